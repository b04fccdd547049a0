//! Owns the ledger: every movement of money, one row each, both sides in it.
//!
//! Append only: there is no verb that changes or removes an entry, and none may be added; a mistake is put right by an
//! entry the other way round. A cause can be booked once for a part of what it refers to, which the database enforces.
//! The entries of a wallet are a chain: each carries a hash of itself and of the one before it.

use std::fmt::Write as _;

use chassis::time::Timestamp;
use diesel::prelude::*;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::db::{At, Conn, DbError, Id, Page, Tx, new_id, stored_as_text};
use crate::schema::{ledger_entries, wallets};

/// The currency of every amount. It has no minor unit, so 1 is 1 won.
pub const CURRENCY: &str = "KRW";

stored_as_text! {
    /// Why money moved.
    pub enum Cause {
        /// The user put it in.
        Charged = "charged",
        /// It paid for seats.
        Captured = "captured",
        /// It came back for seats.
        Refunded = "refunded",
        /// An operator gave it out of goodwill.
        Goodwill = "goodwill",
        /// An operator put right what cost the customer.
        CorrectedUp = "corrected_up",
        /// An operator put right what gave the customer too much.
        CorrectedDown = "corrected_down",
    }
}

stored_as_text! {
    /// Where money is.
    pub enum Account {
        /// The user's wallet.
        Wallet = "wallet",
        /// Outside: what users paid in.
        Cash = "cash",
        /// What was earned with seats.
        Revenue = "revenue",
        /// What the house gave away.
        Goodwill = "goodwill",
        /// Mistakes that were put right.
        Adjustment = "adjustment",
    }
}

impl Cause {
    /// The account that gives and the account that gets.
    pub fn accounts(self) -> (Account, Account) {
        match self {
            Self::Charged => (Account::Cash, Account::Wallet),
            Self::Captured => (Account::Wallet, Account::Revenue),
            Self::Refunded => (Account::Revenue, Account::Wallet),
            Self::Goodwill => (Account::Goodwill, Account::Wallet),
            Self::CorrectedUp => (Account::Adjustment, Account::Wallet),
            Self::CorrectedDown => (Account::Wallet, Account::Adjustment),
        }
    }
}

/// One movement of money.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = ledger_entries)]
pub struct Entry {
    /// Its id.
    #[diesel(deserialize_as = Id)]
    pub id: Uuid,
    /// Whose wallet is on one side.
    #[diesel(deserialize_as = Id)]
    pub user_id: Uuid,
    /// Why.
    pub cause: Cause,
    /// The request that charged, or the payment.
    #[diesel(deserialize_as = Id)]
    pub reference_id: Uuid,
    /// Which part of it: refunds of one payment are counted from 0.
    pub part: u16,
    /// The account that gives.
    pub debit_account: Account,
    /// The account that gets.
    pub credit_account: Account,
    /// Minor units, above zero.
    pub amount: i64,
    /// When.
    #[diesel(deserialize_as = At)]
    pub created_at: Timestamp,
    /// Why an operator moved it.
    pub reason: Option<String>,
    /// The name of the operator's key.
    pub actor_name: Option<String>,
}

/// What an operator writes to an entry.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Note<'a> {
    pub(crate) reason: &'a str,
    /// The name of the key, of which the ledger has room for 128 characters.
    pub(crate) by: &'a str,
}

impl Entry {
    /// The entry of this cause.
    pub(crate) fn new(
        user_id: Uuid,
        cause: Cause,
        reference_id: Uuid,
        amount: i64,
        now: Timestamp,
    ) -> Self {
        let (debit_account, credit_account) = cause.accounts();
        Self {
            id: new_id(now),
            user_id,
            cause,
            reference_id,
            part: 0,
            debit_account,
            credit_account,
            amount,
            created_at: now,
            reason: None,
            actor_name: None,
        }
    }

    /// The same with a note.
    pub(crate) fn with(self, note: &Note<'_>) -> Self {
        Self {
            reason: Some(note.reason.to_owned()),
            actor_name: Some(note.by.chars().take(128).collect()),
            ..self
        }
    }

    /// SHA-256 of all that it says; [`DIGEST`] is the same in SQL. The accounts follow from the cause.
    pub(crate) fn digest(&self) -> [u8; 32] {
        let hex = |text: &String| {
            let bytes = text.as_bytes().iter();
            bytes.map(|byte| format!("{byte:02X}")).collect::<String>()
        };
        let noted = |text: &Option<String>| text.as_ref().map_or_else(|| "-".to_owned(), hex);
        let said = format!(
            "{:X}|{:X}|{}|{:X}|{}|{}|{}|{}|{}",
            self.id.simple(),
            self.user_id.simple(),
            self.cause.as_str(),
            self.reference_id.simple(),
            self.part,
            self.amount,
            self.created_at.format("%Y-%m-%d %H:%M:%S%.6f"),
            noted(&self.reason),
            noted(&self.actor_name),
        );
        Sha256::digest(said).into()
    }

    /// [`Entry::digest`] in hexadecimal, so that logs of the server stay text.
    pub(crate) fn digest_hex(&self) -> String {
        hex(&self.digest())
    }

    /// What it did to the wallet, in minor units: below zero when money went out.
    pub fn signed_amount(&self) -> i64 {
        if self.credit_account == Account::Wallet {
            self.amount
        } else {
            -self.amount
        }
    }
}

/// These bytes in lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing to a text never fails.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// What [`Entry::digest`] is of a row `e`, in lower-case hexadecimal.
pub(crate) const DIGEST: &str = "SHA2(CONCAT_WS('|', HEX(e.id), HEX(e.user_id), e.cause, HEX(e.reference_id), e.part, e.amount, \
    DATE_FORMAT(e.created_at, '%Y-%m-%d %H:%i:%s.%f'), COALESCE(HEX(e.reason), '-'), COALESCE(HEX(e.actor_name), '-')), 256)";

/// Writes an entry. One statement. The caller has moved the wallet with it, which is therefore locked: its last hash is
/// that of this entry.
pub(crate) fn record(tx: &mut Tx, entry: &Entry) -> Result<(), DbError> {
    let wallet = wallets::table.find(Id(entry.user_id));
    diesel::insert_into(ledger_entries::table)
        .values((
            ledger_entries::id.eq(Id(entry.id)),
            ledger_entries::user_id.eq(Id(entry.user_id)),
            ledger_entries::cause.eq(entry.cause),
            ledger_entries::reference_id.eq(Id(entry.reference_id)),
            ledger_entries::part.eq(entry.part),
            ledger_entries::debit_account.eq(entry.debit_account),
            ledger_entries::credit_account.eq(entry.credit_account),
            ledger_entries::amount.eq(entry.amount),
            ledger_entries::created_at.eq(At(entry.created_at)),
            ledger_entries::reason.eq(&entry.reason),
            ledger_entries::actor_name.eq(&entry.actor_name),
            ledger_entries::position.eq(wallet.select(wallets::entries).single_value()),
            ledger_entries::hash.eq(wallet.select(wallets::head).single_value()),
        ))
        .execute(tx)?;
    Ok(())
}

/// A user's entries, newest first. One statement.
pub fn entries(conn: &mut Conn, user_id: Uuid, page: Page) -> Result<Vec<Entry>, DbError> {
    let before = Id(page.after.unwrap_or(Uuid::max()));
    let found = ledger_entries::table
        .filter(ledger_entries::user_id.eq(Id(user_id)))
        .filter(ledger_entries::id.lt(before))
        .order(ledger_entries::id.desc())
        .limit(page.limit.into())
        .select(Entry::as_select())
        .load(conn)?;
    Ok(found)
}
