//! Owns the wallet: the money of a user that has been charged and not spent.
//!
//! The ledger is the truth, the balance its projection: both change in the same transaction, and the database refuses
//! a balance below zero. A wallet also has the hash of its last entry: the end of its chain moves with its balance.
//! Locked after the reservation and before the seats.

mod correction;

use chassis::time::Timestamp;
use diesel::prelude::*;
use diesel::sql_types::{Binary, Datetime, Integer, Text};
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::audit::{self, Action, Actor, Change, Entity};
use crate::crash;
use crate::db::{At, Conn, DbError, Id, Tx, fails_with_db, kept, update, upsert};
use crate::ledger::{self, CURRENCY, Cause, Entry};
use crate::outbox::{self, Event, EventType};
use crate::schema::wallets;
pub use correction::{Corrected, Correction, CorrectionCause, CorrectionError, correct};

chassis::catalogue! {
    /// What has happened to wallets.
    WalletMetrics;
    /// Charges of wallets
    charges: IntCounter = "booking_charges_total",
    /// Money that came into wallets by them, in won
    charged: IntCounter = "booking_charged_won_total",
}

/// The most that one charge may put in, in minor units.
pub const CHARGE_MAX: i64 = 100_000_000;
/// The most that a wallet holds after a charge, in minor units. Money that comes back may take it beyond.
pub const BALANCE_LIMIT: i64 = 1_000_000_000;

/// What a charge may be: 1 to [`CHARGE_MAX`] minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "i64")]
pub struct Amount(i64);

/// The number is not an amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a whole number from 1 to {CHARGE_MAX}")]
pub struct AmountInvalid;

impl Amount {
    /// Minor units.
    pub fn minor(self) -> i64 {
        self.0
    }
}

impl TryFrom<i64> for Amount {
    type Error = AmountInvalid;

    fn try_from(minor: i64) -> Result<Self, AmountInvalid> {
        if (1..=CHARGE_MAX).contains(&minor) {
            Ok(Self(minor))
        } else {
            Err(AmountInvalid)
        }
    }
}

/// Money to put into a wallet.
#[derive(Debug, Clone, Copy)]
pub struct Charge {
    /// Id of the request: it charges once, for ever.
    pub request_id: Uuid,
    /// Whose wallet.
    pub user_id: Uuid,
    /// How much.
    pub amount: Amount,
}

/// What a charge led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Charged {
    /// The ledger entry.
    pub entry_id: Uuid,
    /// The balance after it, in minor units.
    pub balance: i64,
}

/// Why a charge is refused.
#[derive(Debug, thiserror::Error)]
pub enum ChargeError {
    /// The wallet would hold more than [`BALANCE_LIMIT`].
    #[error("the wallet would hold more than {BALANCE_LIMIT}")]
    BalanceLimit,
    /// This very request charged the wallet before.
    #[error("charged before")]
    Repeated,
    /// The database failed.
    #[error(transparent)]
    Db(DbError),
}

fails_with_db!(ChargeError);

/// Puts money in; the wallet comes into being with the first. Four statements: wallet, ledger, audit, outbox. One more for a
/// wallet that was there before: its balance.
pub fn charge(tx: &mut Tx, charge: &Charge, now: Timestamp) -> Result<Charged, ChargeError> {
    let money = Received {
        request_id: charge.request_id,
        user_id: charge.user_id,
        minor: charge.amount.minor(),
    };
    let charged = receive(tx, &money, Actor::User(charge.user_id), now)?;
    if charged.balance > BALANCE_LIMIT {
        return Err(ChargeError::BalanceLimit);
    }
    Ok(charged)
}

/// Money that has come.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Received {
    pub(crate) request_id: Uuid,
    pub(crate) user_id: Uuid,
    pub(crate) minor: i64,
}

/// The same without a limit: money that is there goes in.
pub(crate) fn receive(
    tx: &mut Tx,
    money: &Received,
    by: Actor<'_>,
    now: Timestamp,
) -> Result<Charged, ChargeError> {
    let Received {
        request_id,
        user_id,
        minor,
    } = *money;
    let entry = Entry::new(user_id, Cause::Charged, request_id, minor, now);
    let entry_id = entry.id;
    let is_new = put_in(tx, &entry)?;
    crash::point("charge.moved");
    let balance = if is_new { minor } else { balance(tx, user_id)? };
    match ledger::record(tx, &entry) {
        Err(DbError::Duplicate(name)) if name == "ledger_entries_once" => {
            return Err(ChargeError::Repeated);
        }
        recorded => recorded?,
    }
    crash::point("charge.booked");
    let detail = json!({ "entryId": entry_id, "amount": minor, "balance": balance });
    let change = Change {
        entity: Entity::Wallet,
        entity_id: user_id,
        action: Action::Charged,
        actor: by,
        detail,
    };
    audit::record(tx, &[change], now)?;
    let event = Event {
        event_type: EventType::WalletCharged,
        aggregate_id: user_id,
        payload: json!({
            "userId": user_id, "entryId": entry_id, "amount": minor,
            "balance": balance, "currency": CURRENCY,
        }),
    };
    outbox::record(tx, &[event], now)?;
    crash::point("charge.recorded");
    Ok(Charged { entry_id, balance })
}

/// What a user has, in minor units: 0 for a user who never charged. One statement.
pub fn balance(conn: &mut Conn, user_id: Uuid) -> Result<i64, DbError> {
    let found = wallets::table
        .find(Id(user_id))
        .select(wallets::balance)
        .first(conn)
        .optional()?;
    Ok(found.unwrap_or(0))
}

/// Locks a user's wallet until the transaction ends, an empty one if there is none yet, and says what it has. Two statements.
pub(crate) fn lock(tx: &mut Tx, user_id: Uuid, now: Timestamp) -> Result<i64, DbError> {
    kept(LOCK)
        .bind::<Binary, _>(Id(user_id))
        .bind::<Datetime, _>(At(now))
        .execute(tx)?;
    balance(tx, user_id)
}

/// Locks the row also where it changes nothing.
const LOCK: &str = "INSERT INTO wallets (user_id, balance, created_at) VALUES (?, 0, ?) \
    ON DUPLICATE KEY UPDATE balance = balance";

/// The hash before the first entry.
pub(crate) const NO_HASH: [u8; 32] = [0; 32];

#[diesel::declare_sql_function]
extern "SQL" {
    /// Both, one after the other.
    fn concat(first: Binary, second: Binary) -> Binary;
    /// The hash in hexadecimal.
    #[sql_name = "SHA2"]
    fn sha2_hex(of: Binary, bits: Integer) -> Text;
    /// The bytes of a hexadecimal text.
    fn unhex(text: Text) -> Binary;
}

/// The hash of the chain with an entry of this digest, in hexadecimal, at its end.
macro_rules! chained {
    ($digest_hex:expr) => {
        unhex(sha2_hex(concat(wallets::head, unhex($digest_hex)), 256))
    };
}

/// Adds what the entry says to the balance, creating the wallet if needed, and moves the end of its chain. One statement,
/// which locks the wallet; the entry is recorded after it. Says whether the wallet is new: then the entry is all that it has.
pub(crate) fn put_in(tx: &mut Tx, entry: &Entry) -> Result<bool, DbError> {
    let digest = entry.digest();
    let first: [u8; 32] = Sha256::new()
        .chain_update(NO_HASH)
        .chain_update(digest)
        .finalize()
        .into();
    let wallet = diesel::insert_into(wallets::table).values((
        wallets::user_id.eq(Id(entry.user_id)),
        wallets::balance.eq(entry.amount),
        wallets::created_at.eq(At(entry.created_at)),
        wallets::entries.eq(1),
        wallets::head.eq(first.as_slice()),
    ));
    let changes = (
        wallets::balance.eq(wallets::balance + entry.amount),
        wallets::entries.eq(wallets::entries + 1),
        wallets::head.eq(chained!(ledger::hex(&digest))),
    );
    // One row is counted for an insert and two for an update, which always changes the number of entries.
    Ok(upsert(wallet, changes).execute(tx)? == 1)
}

/// Takes what the entry says from the balance if there is enough, and says whether there was. One statement, which locks
/// the wallet and moves the end of its chain; the entry is recorded after it. What seats cost is taken where they are sold.
pub(crate) fn take_out(tx: &mut Tx, entry: &Entry) -> Result<bool, DbError> {
    let enough = wallets::table
        .find(Id(entry.user_id))
        .filter(wallets::balance.ge(entry.amount));
    let changes = (
        wallets::balance.eq(wallets::balance - entry.amount),
        wallets::entries.eq(wallets::entries + 1),
        wallets::head.eq(chained!(entry.digest_hex())),
    );
    // The row count decides: the statement changes what its condition tests.
    let taken = update(enough, changes).execute(tx)?;
    Ok(taken == 1)
}

#[cfg(test)]
mod tests {
    use super::{Amount, CHARGE_MAX};

    #[test]
    fn an_amount_is_a_positive_number_with_a_limit() {
        for odd in [i64::MIN, -1, 0, CHARGE_MAX + 1, i64::MAX] {
            assert!(Amount::try_from(odd).is_err(), "{odd}");
        }
        assert_eq!(
            Amount::try_from(CHARGE_MAX).map(Amount::minor),
            Ok(CHARGE_MAX)
        );
    }
}
