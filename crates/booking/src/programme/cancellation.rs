//! The cancellation of a date: one act that stops its sale, then steps that give everybody their money back.
//!
//! The act marks the date and blocks its free seats. A buyer takes seats only while they are free, so a buyer who was
//! slower than the act finds none, and a faster one is found by the steps. A step takes a bounded batch and counts what it
//! did in the same transaction; a process that dies leaves the rest to the next step, here or elsewhere. The work is over
//! when every seat is blocked, which then stays so: nothing is left that could give one back.

use chassis::time::{Clock, Timestamp, rfc3339};
use diesel::dsl::exists;
use diesel::prelude::*;
use serde_json::{Map, json};
use uuid::Uuid;

use super::edit::record;
use super::{ProgrammeError, locked_date};
use crate::audit::{Action, Actor, Entity};
use crate::cancellation;
use crate::concert::Title;
use crate::crash;
use crate::db::{At, Conn, DbError, Id, Tx};
use crate::outbox::{self, Event, EventType};
use crate::reservation::{Reservation, ReservationState};
use crate::schema::{reservations, schedule_cancellations, schedules, seats};
use crate::seat::{self, SeatState};

/// Reservations that one step ends.
const BATCH: i64 = 50;
/// Why seats of a cancelled date are blocked, as operators see it.
const BLOCKED_REASON: &str = "The date is cancelled";

/// How far a cancellation has come.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = schedule_cancellations)]
pub struct DateCancellation {
    /// The date.
    #[diesel(deserialize_as = Id)]
    pub schedule_id: Uuid,
    /// Why.
    pub reason: String,
    /// The operator's key that asked for it.
    pub requested_by: String,
    /// When.
    #[diesel(deserialize_as = At)]
    pub requested_at: Timestamp,
    /// When nothing was left to do.
    pub finished_at: Option<At>,
    /// Unpaid holds that were ended.
    pub holds_ended: u32,
    /// Payments that were given back.
    pub payments_refunded: u32,
    /// Minor units of them.
    pub amount_refunded: i64,
}

/// What is left to do of a cancellation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    /// Reservations that are held.
    pub holds: i64,
    /// Reservations that are paid.
    pub payments: i64,
}

/// What one step did.
#[derive(Debug, Default)]
pub struct Step {
    /// Whether there was a cancellation to work on.
    pub worked: bool,
    /// The reservations that it ended.
    pub ended: Vec<Reservation>,
    /// What it gave back of each payment, in minor units.
    pub refunded: Vec<i64>,
}

/// Cancels a date: sales stop at once, everybody gets their money back by steps. The second time is the same act.
/// Six statements.
pub fn cancel_date(
    tx: &mut Tx,
    id: Uuid,
    reason: &Title,
    by: &str,
    now: Timestamp,
) -> Result<DateCancellation, ProgrammeError> {
    let date = locked_date(tx, id)?;
    if date.cancelled_at.is_some() {
        return cancellation(tx, id);
    }
    diesel::update(schedules::table.find(Id(id)))
        .set((
            schedules::cancelled_at.eq(Some(At(now))),
            schedules::version.eq(date.version + 1),
        ))
        .execute(tx)?;
    crash::point("cancellation.marked");
    block_free(tx, id, now)?;
    crash::point("cancellation.blocked");
    let made = DateCancellation {
        schedule_id: id,
        reason: reason.as_str().to_owned(),
        requested_by: by.chars().take(128).collect(),
        requested_at: now,
        finished_at: None,
        holds_ended: 0,
        payments_refunded: 0,
        amount_refunded: 0,
    };
    diesel::insert_into(schedule_cancellations::table)
        .values((
            schedule_cancellations::schedule_id.eq(Id(id)),
            schedule_cancellations::reason.eq(&made.reason),
            schedule_cancellations::requested_by.eq(&made.requested_by),
            schedule_cancellations::requested_at.eq(At(now)),
        ))
        .execute(tx)?;
    let detail = Map::from_iter([("reason".to_owned(), json!(made.reason))]);
    let actor = Actor::Operator(by);
    record(
        tx,
        (Entity::Schedule, id),
        Action::Cancelled,
        detail,
        actor,
        now,
    )?;
    let event = Event {
        event_type: EventType::ScheduleCancelled,
        aggregate_id: id,
        payload: json!({
            "scheduleId": id, "concertId": date.concert_id, "startsAt": rfc3339(date.starts_at),
            "reason": made.reason, "cancelledAt": rfc3339(now),
        }),
    };
    outbox::record(tx, &[event], now)?;
    Ok(made)
}

/// How far the cancellation of a date has come. One statement.
pub fn cancellation(conn: &mut Conn, id: Uuid) -> Result<DateCancellation, ProgrammeError> {
    let found = schedule_cancellations::table
        .find(Id(id))
        .select(DateCancellation::as_select())
        .first(conn)
        .optional()?;
    found.ok_or(ProgrammeError::NotCancelled)
}

/// What is left to do of it. Two statements.
pub fn left(conn: &mut Conn, id: Uuid) -> Result<Left, DbError> {
    let mut of_state = |state: ReservationState| -> Result<i64, DbError> {
        let of_date = reservations::table
            .filter(reservations::schedule_id.eq(Id(id)))
            .filter(reservations::state.eq(state));
        Ok(of_date.count().get_result(conn)?)
    };
    Ok(Left {
        holds: of_state(ReservationState::Held)?,
        payments: of_state(ReservationState::Confirmed)?,
    })
}

/// Whether there is a cancellation to go on with. One statement, so that a step with nothing to do costs no commit.
pub fn is_cancelling(conn: &mut Conn) -> Result<bool, DbError> {
    let open = schedule_cancellations::table.filter(schedule_cancellations::finished_at.is_null());
    Ok(diesel::select(exists(open)).get_result(conn)?)
}

/// Goes on with the cancellation that was asked for longest ago, if no other instance has it in hand.
///
/// Its row is locked first, so two instances never work on one date at a time.
pub fn advance(tx: &mut Tx, clock: &Clock) -> Result<Step, DbError> {
    let open: Option<(Id, String)> = schedule_cancellations::table
        .filter(schedule_cancellations::finished_at.is_null())
        .order(schedule_cancellations::requested_at)
        .for_update()
        .skip_locked()
        .select((
            schedule_cancellations::schedule_id,
            schedule_cancellations::requested_by,
        ))
        .first(tx)
        .optional()?;
    let Some((Id(id), requested_by)) = open else {
        return Ok(Step::default());
    };
    let by = Actor::Operator(&requested_by);
    let mut step = Step {
        worked: true,
        ..Step::default()
    };
    let live: Vec<(Id, Id)> = reservations::table
        .filter(reservations::schedule_id.eq(Id(id)))
        .filter(reservations::state.eq_any([ReservationState::Held, ReservationState::Confirmed]))
        .order(reservations::user_id)
        .limit(BATCH)
        .select((reservations::user_id, reservations::id))
        .load(tx)?;
    let found = live.len();
    let (mut holds, mut payments, mut amount) = (0_u32, 0_u32, 0_i64);
    for (user_id, reservation_id) in live {
        match cancellation::call_off(tx, user_id.0, reservation_id.0, by, clock)? {
            cancellation::CalledOff::HoldEnded(reservation) => {
                holds += 1;
                step.ended.push(reservation);
            }
            cancellation::CalledOff::Refunded(reservation, minor) => {
                payments += 1;
                amount += minor;
                step.refunded.push(minor);
                step.ended.push(reservation);
            }
            cancellation::CalledOff::OverAlready => {}
        }
        crash::point("cancellation.step");
    }
    block_free(tx, id, clock.now())?;
    let is_over = found == 0 && !has_open_seats(tx, id)?;
    diesel::update(schedule_cancellations::table.find(Id(id)))
        .set((
            schedule_cancellations::holds_ended.eq(schedule_cancellations::holds_ended + holds),
            schedule_cancellations::payments_refunded
                .eq(schedule_cancellations::payments_refunded + payments),
            schedule_cancellations::amount_refunded
                .eq(schedule_cancellations::amount_refunded + amount),
            schedule_cancellations::finished_at.eq(is_over.then(|| At(clock.now()))),
        ))
        .execute(tx)?;
    crash::point("cancellation.counted");
    Ok(step)
}

/// Nobody can take these seats any more.
fn block_free(tx: &mut Tx, id: Uuid, now: Timestamp) -> Result<(), DbError> {
    let (nobody, never): (Option<Id>, Option<At>) = (None, None);
    let free = seats::table
        .filter(seats::schedule_id.eq(Id(id)))
        .filter(seat::is_free(now));
    diesel::update(free)
        .set((
            seats::state.eq(SeatState::Blocked),
            seats::reservation_id.eq(nobody),
            seats::holder_id.eq(nobody),
            seats::hold_expires_at.eq(never),
            seats::blocked_reason.eq(BLOCKED_REASON),
        ))
        .execute(tx)?;
    Ok(())
}

fn has_open_seats(tx: &mut Tx, id: Uuid) -> Result<bool, DbError> {
    let open = seats::table
        .filter(seats::schedule_id.eq(Id(id)))
        .filter(seats::state.ne(SeatState::Blocked));
    Ok(diesel::select(exists(open)).get_result(tx)?)
}
