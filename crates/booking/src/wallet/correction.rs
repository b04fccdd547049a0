//! The verbs of the desk on a wallet: a credit out of goodwill, and a correction of a mistake. Both are entries of the
//! ledger like any other, with the reason and the name of the operator's key; nothing is ever changed or removed.

use chassis::time::Timestamp;
use serde_json::json;
use uuid::Uuid;

use super::{Amount, balance, put_in, take_out};
use crate::audit::{self, Action, Actor, Change, Entity};
use crate::concert::Title;
use crate::db::{DbError, Tx, fails_with_db};
use crate::ledger::{self, CURRENCY, Cause, Entry, Note};
use crate::outbox::{self, Event, EventType};

/// Money that an operator moves.
#[derive(Debug, Clone)]
pub struct Correction {
    /// Id of the request: it moves money once, for ever.
    pub request_id: Uuid,
    /// Whose wallet.
    pub user_id: Uuid,
    /// Why the ledger says it moved.
    pub cause: CorrectionCause,
    /// How much.
    pub amount: Amount,
    /// Why, in the operator's words.
    pub reason: Title,
    /// The name of the operator's key.
    pub by: String,
}

/// The kinds of a correction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CorrectionCause {
    /// A gift of the house.
    Goodwill,
    /// A mistake that cost the customer.
    CorrectedUp,
    /// A mistake that gave the customer too much.
    CorrectedDown,
}

impl CorrectionCause {
    fn booked_as(self) -> Cause {
        match self {
            Self::Goodwill => Cause::Goodwill,
            Self::CorrectedUp => Cause::CorrectedUp,
            Self::CorrectedDown => Cause::CorrectedDown,
        }
    }
}

/// What a correction led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Corrected {
    /// The ledger entry.
    pub entry_id: Uuid,
    /// The balance after it, in minor units.
    pub balance: i64,
}

/// Why a wallet is not corrected.
#[derive(Debug, thiserror::Error)]
pub enum CorrectionError {
    /// There is less in the wallet than is to be taken.
    #[error("{missing} missing")]
    BalanceShort {
        /// How much more would be needed, in minor units.
        missing: i64,
    },
    /// This very request moved the money before.
    #[error("corrected before")]
    Repeated,
    /// The database failed.
    #[error(transparent)]
    Db(DbError),
}

fails_with_db!(CorrectionError);

/// Moves money as an operator says. Five statements: wallet, balance, ledger, audit, outbox.
pub fn correct(
    tx: &mut Tx,
    correction: &Correction,
    now: Timestamp,
) -> Result<Corrected, CorrectionError> {
    let Correction {
        request_id,
        user_id,
        cause,
        amount,
        ..
    } = *correction;
    let minor = amount.minor();
    let note = Note {
        reason: correction.reason.as_str(),
        by: &correction.by,
    };
    let entry = Entry::new(user_id, cause.booked_as(), request_id, minor, now).with(&note);
    let entry_id = entry.id;
    match cause {
        CorrectionCause::Goodwill | CorrectionCause::CorrectedUp => {
            put_in(tx, &entry)?;
        }
        CorrectionCause::CorrectedDown => {
            if !take_out(tx, &entry)? {
                let missing = minor - balance(tx, user_id)?;
                return Err(CorrectionError::BalanceShort {
                    missing: missing.max(1),
                });
            }
        }
    }
    let balance = balance(tx, user_id)?;
    match ledger::record(tx, &entry) {
        Err(DbError::Duplicate(name)) if name == "ledger_entries_once" => {
            return Err(CorrectionError::Repeated);
        }
        recorded => recorded?,
    }
    let signed = match cause {
        CorrectionCause::Goodwill | CorrectionCause::CorrectedUp => minor,
        CorrectionCause::CorrectedDown => -minor,
    };
    let change = Change {
        entity: Entity::Wallet,
        entity_id: user_id,
        action: Action::Corrected,
        actor: Actor::Operator(&correction.by),
        detail: json!({
            "entryId": entry_id, "cause": entry.cause.as_str(), "amount": signed, "balance": balance,
            "reason": correction.reason.as_str(),
        }),
    };
    audit::record(tx, &[change], now)?;
    let event = Event {
        event_type: EventType::WalletCorrected,
        aggregate_id: user_id,
        payload: json!({
            "userId": user_id, "entryId": entry_id, "cause": entry.cause.as_str(), "amount": signed,
            "balance": balance, "currency": CURRENCY,
        }),
    };
    outbox::record(tx, &[event], now)?;
    Ok(Corrected { entry_id, balance })
}
