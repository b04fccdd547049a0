//! The verbs that take a concert or a date off the programme, while nobody has bought anything.

use chassis::time::Timestamp;
use diesel::dsl::exists;
use diesel::prelude::*;
use serde_json::{Map, json};
use uuid::Uuid;

use super::edit::record;
use super::{Expected, ProgrammeError, is_anybodys, locked_concert, locked_date};
use crate::audit::{Action, Actor, Entity};
use crate::db::{At, DbError, Id, Tx};
use crate::reservation::ReservationState;
use crate::schema::{buyers, concerts, reservations, schedules, seats, waitlist_entries};
use crate::seat::SeatState;

/// Removes a date with its seats, of which nobody holds or ever bought one; nor a cancelled one. Eight
/// statements.
///
/// Its seats are locked before they are looked at: a buyer who was faster is seen, and one who comes later finds none.
pub fn remove_date(
    tx: &mut Tx,
    id: Uuid,
    expected: &Expected,
    by: Actor<'_>,
    now: Timestamp,
) -> Result<(), ProgrammeError> {
    let date = locked_date(tx, id)?;
    expected.check(date.version)?;
    // What was cancelled stays on record.
    if date.cancelled_at.is_some() {
        return Err(ProgrammeError::Cancelled);
    }
    diesel::delete(buyers::table.filter(buyers::schedule_id.eq(Id(id)))).execute(tx)?;
    let states: Vec<(SeatState, Option<At>)> = seats::table
        .filter(seats::schedule_id.eq(Id(id)))
        .order(seats::number)
        .for_update()
        .select((seats::state, seats::hold_expires_at))
        .load(tx)?;
    let taken = states
        .into_iter()
        .any(|(state, hold_expires_at)| is_anybodys(state, hold_expires_at, now));
    if taken || was_sold(tx, id)? {
        return Err(ProgrammeError::Sold);
    }
    let waiting = waitlist_entries::table.filter(waitlist_entries::schedule_id.eq(Id(id)));
    diesel::delete(waiting).execute(tx)?;
    diesel::delete(seats::table.filter(seats::schedule_id.eq(Id(id)))).execute(tx)?;
    diesel::delete(schedules::table.find(Id(id))).execute(tx)?;
    let detail = Map::from_iter([("concertId".to_owned(), json!(date.concert_id))]);
    record(tx, (Entity::Schedule, id), Action::Removed, detail, by, now)?;
    Ok(())
}

/// Whether some reservation of the date is or was paid: those stay on record, and the date with them.
fn was_sold(tx: &mut Tx, id: Uuid) -> Result<bool, DbError> {
    let paid = [ReservationState::Confirmed, ReservationState::Refunded];
    let sold = reservations::table
        .filter(reservations::schedule_id.eq(Id(id)))
        .filter(reservations::state.eq_any(paid));
    Ok(diesel::select(exists(sold)).get_result(tx)?)
}

/// Removes a concert that has no dates. Four statements.
///
/// Adding a date takes a shared lock on its concert, so none can come in between.
pub fn remove_concert(
    tx: &mut Tx,
    id: Uuid,
    expected: &Expected,
    by: Actor<'_>,
    now: Timestamp,
) -> Result<(), ProgrammeError> {
    let concert = locked_concert(tx, id)?;
    expected.check(concert.version)?;
    let dates = schedules::table.filter(schedules::concert_id.eq(Id(id)));
    if diesel::select(exists(dates)).get_result(tx)? {
        return Err(ProgrammeError::HasDates);
    }
    diesel::delete(concerts::table.find(Id(id))).execute(tx)?;
    let detail = Map::from_iter([("title".to_owned(), json!(concert.title))]);
    record(tx, (Entity::Concert, id), Action::Removed, detail, by, now)?;
    Ok(())
}
