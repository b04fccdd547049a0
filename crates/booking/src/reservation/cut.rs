//! What becomes of live holds when the show starts earlier: none lasts longer than to its start.

use chassis::time::Timestamp;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Binary, Datetime};
use uuid::Uuid;

use super::ReservationState;
use crate::db::{At, DbError, Id, Tx};
use crate::schema::{buyers, reservations};

/// A hold is never over before it was made, as the table demands.
const END: &str = "GREATEST(?, r.created_at + INTERVAL 1 MICROSECOND)";

/// Ends the holds of a date at `end` that would last longer, and says how many. The caller has locked the date.
///
/// The buyers are locked first, in the order of the table: whoever is about to hold, extend or pay is waited for, and then
/// seen. A hold of somebody who is new to the date and comes before the caller has committed is not: it is there once that is
/// done, so a caller who moves a start calls this again afterwards. Until then it cannot be paid after the start either,
/// because a reservation is read with the start of its date. Four statements.
pub(crate) fn cut(tx: &mut Tx, schedule_id: Uuid, end: Timestamp) -> Result<usize, DbError> {
    let _: Vec<Id> = buyers::table
        .filter(buyers::schedule_id.eq(Id(schedule_id)))
        .order(buyers::user_id)
        .for_update()
        .select(buyers::user_id)
        .load(tx)?;
    let too_long: Vec<Id> = reservations::table
        .filter(reservations::schedule_id.eq(Id(schedule_id)))
        .filter(reservations::state.eq(ReservationState::Held))
        .filter(reservations::hold_expires_at.gt(At(end)))
        .for_update()
        .select(reservations::id)
        .load(tx)?;
    if too_long.is_empty() {
        return Ok(0);
    }
    let which = "r.schedule_id = ? AND r.state = 'held' AND r.hold_expires_at > ?";
    let seats = format!(
        "UPDATE seats t JOIN reservations r ON r.id = t.reservation_id SET t.hold_expires_at = {END} \
         WHERE t.schedule_id = r.schedule_id AND t.state = 'held' AND {which}"
    );
    let holds = format!("UPDATE reservations r SET r.hold_expires_at = {END} WHERE {which}");
    for statement in [seats, holds] {
        sql_query(statement)
            .bind::<Datetime, _>(At(end))
            .bind::<Binary, _>(Id(schedule_id))
            .bind::<Datetime, _>(At(end))
            .execute(tx)?;
    }
    Ok(too_long.len())
}
