//! Owns that a person is forgotten: the row that says who a subject is goes, and the books stay.
//!
//! Stands above `subject` and above everything that may still be a person's: money, seats, places in a waiting list, orders
//! at the payment provider.

use chassis::time::Timestamp;
use diesel::prelude::*;
use diesel::sql_query;
use serde_json::json;
use uuid::Uuid;

use crate::audit::{self, Action, Actor, Change, Entity};
use crate::db::{At, DbError, Id, Tx, fails_with_db};
use crate::reservation::ReservationState;
use crate::schema::{provider_orders, reservations, schedules, subjects, waitlist_entries};
use crate::{provider, subject, wallet};

/// Why a person is not forgotten.
#[derive(Debug, thiserror::Error)]
pub enum ForgetError {
    /// Money, seats or places in a line would be nobody's.
    #[error("something is still theirs: {0:?}")]
    StillOwns(Vec<&'static str>),
    /// The database failed.
    #[error(transparent)]
    Db(DbError),
}

fails_with_db!(ForgetError);

/// Forgets who a subject is, and lets every instance know. Fine for somebody who is not known. Eight statements.
///
/// That something is theirs is asked so that nobody loses money by a typing error. It is no lock: what a person does in the
/// same moment stays with the subject, where an operator finds it by the subject's id.
pub fn forget(tx: &mut Tx, person: Uuid, by: &str, now: Timestamp) -> Result<(), ForgetError> {
    let Some(subject) = subject::find(tx, person)? else {
        return Ok(());
    };
    let owned = owned(tx, subject, now)?;
    if !owned.is_empty() {
        return Err(ForgetError::StillOwns(owned));
    }
    // Of two operators at once the row count lets one write it down.
    if diesel::delete(subjects::table.find(Id(person))).execute(tx)? == 1 {
        let change = Change {
            entity: Entity::Subject,
            entity_id: subject,
            action: Action::Forgotten,
            actor: Actor::Operator(by),
            detail: json!({}),
        };
        audit::record(tx, &[change], now)?;
        let count = "INSERT INTO forgets (id, times) VALUES (1, 1) ON DUPLICATE KEY UPDATE times = times + 1";
        sql_query(count).execute(tx)?;
    }
    Ok(())
}

fn owned(tx: &mut Tx, subject: Uuid, now: Timestamp) -> Result<Vec<&'static str>, DbError> {
    let mut owned = Vec::new();
    if wallet::balance(tx, subject)? > 0 {
        owned.push("balance");
    }
    let held = reservations::state
        .eq(ReservationState::Held)
        .and(reservations::hold_expires_at.gt(At(now)));
    let bought = reservations::state
        .eq(ReservationState::Confirmed)
        .and(schedules::starts_at.gt(At(now)));
    let live: i64 = reservations::table
        .inner_join(schedules::table.on(schedules::id.eq(reservations::schedule_id)))
        .filter(reservations::user_id.eq(Id(subject)))
        .filter(held.or(bought))
        .count()
        .get_result(tx)?;
    if live > 0 {
        owned.push("reservations");
    }
    let waiting: i64 = waitlist_entries::table
        // By the index of their places: the key of those who wait begins with the date.
        .filter(waitlist_entries::user_id.eq(Id(subject)))
        .filter(waitlist_entries::live_user.is_not_null())
        .count()
        .get_result(tx)?;
    if waiting > 0 {
        owned.push("waitlist");
    }
    let ordered: i64 = provider_orders::table
        .filter(provider_orders::user_id.eq(Id(subject)))
        .filter(provider_orders::state.eq(provider::OrderState::Pending))
        .count()
        .get_result(tx)?;
    if ordered > 0 {
        owned.push("charges");
    }
    Ok(owned)
}
