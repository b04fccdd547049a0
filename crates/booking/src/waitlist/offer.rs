//! The steps of the list: seats that came back are offered, and what became of an offer is followed up.
//!
//! A step takes one date, whose lock another instance may have: then it is that one's. An offer that fails on the way is
//! undone to where it began, and the next in the list is looked at.

use chassis::time::{Clock, rfc3339};
use chrono::TimeDelta;
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use serde_json::json;
use uuid::Uuid;

use super::{Entry, EntryState, WaitlistError, count, locked, move_on};
use crate::concert::{Grade, QueueName};
use crate::crash;
use crate::db::{Conn, DbError, Id, Tx, new_id};
use crate::outbox::{self, EventType};
use crate::precedence::Free;
use crate::reservation::{
    self, Best, Limits, Reservation, ReservationState, Reserve, ReserveError, Wanted,
};
use crate::schema::{reservations, schedules, waitlist_entries};

/// Entries that one step looks at, from the first on.
const LOOKED_AT: i64 = 200;
/// Offers of one step.
const OFFERS: usize = 20;
/// Offers whose end is followed up in one step.
const FOLLOWED_UP: i64 = 100;

/// What one step did.
#[derive(Debug, Default)]
pub struct Offered {
    /// What is held now.
    pub reservations: Vec<Reservation>,
    /// Entries that ended because sales did, or because their user may have no more.
    pub expired: usize,
}

/// Dates for which somebody waits. One statement.
pub fn waited_for(conn: &mut Conn) -> Result<Vec<Uuid>, DbError> {
    let ids: Vec<Id> = schedules::table
        .filter(schedules::waiting.gt(0))
        .select(schedules::id)
        .load(conn)?;
    Ok(ids.into_iter().map(Uuid::from).collect())
}

/// Offers free seats of a date to those who wait for them, in order.
pub fn offer(
    tx: &mut Tx,
    schedule_id: Uuid,
    limits: &Limits,
    offer_hold: TimeDelta,
    clock: &Clock,
) -> Result<Offered, DbError> {
    let date = match locked(tx, schedule_id) {
        Ok(date) => date,
        Err(WaitlistError::Db(cause)) => return Err(cause),
        // A hidden date offers nothing until it is shown again.
        Err(_) => return Ok(Offered::default()),
    };
    let now = clock.now();
    let mut offered = Offered::default();
    if date.cancelled_at.is_some() || date.closes_at.0 <= now {
        offered.expired = end_all(tx, schedule_id, clock)?;
        return Ok(offered);
    }
    // Counted once: seats that come back while the step runs serve nobody who stands behind one whom it passed over.
    let mut free = Free::count(tx, schedule_id, now)?;
    let (all, most) = (seat_count(free.of_grade(None)), seat_count(free.most()));
    if all == 0 {
        return Ok(offered);
    }
    let grades = free.grades();
    let of_any = waitlist_entries::grade.is_null();
    let of_any = of_any.and(waitlist_entries::seat_count.le(all));
    let of_these = waitlist_entries::grade.eq_any(grades);
    let of_these = of_these.and(waitlist_entries::seat_count.le(most));
    let served: Vec<Entry> = waitlist_entries::table
        .filter(waitlist_entries::schedule_id.eq(Id(schedule_id)))
        .filter(waitlist_entries::state.eq(EntryState::Waiting))
        .filter(of_any.or(of_these))
        .order(waitlist_entries::seq)
        .limit(LOOKED_AT)
        .select(Entry::as_select())
        .load(tx)?;
    let Ok(queue) = QueueName::try_from(date.queue) else {
        return Err(DbError::Unexpected("a queue has no name"));
    };
    let limits = Limits {
        hold: offer_hold,
        ..*limits
    };
    for entry in &served {
        if free.of_grade(entry.grade.as_deref()) < i64::from(entry.seat_count) {
            continue;
        }
        match hold(tx, entry, &queue, &limits, clock)? {
            Try::Held(held) => {
                free.take(held.seats.iter().map(|seat| seat.grade.as_str()));
                offered.reservations.push(held);
            }
            Try::Over => offered.expired += 1,
            // For the same reason the next step begins again with this one.
            Try::NotNow => break,
        }
        if offered.reservations.len() + offered.expired == OFFERS {
            break;
        }
    }
    Ok(offered)
}

/// Nothing comes back any more. The rest of a long list is left to the next step.
fn end_all(tx: &mut Tx, schedule_id: Uuid, clock: &Clock) -> Result<usize, DbError> {
    let waiting: Vec<Entry> = waitlist_entries::table
        .filter(waitlist_entries::schedule_id.eq(Id(schedule_id)))
        .filter(waitlist_entries::state.eq(EntryState::Waiting))
        .order(waitlist_entries::seq)
        .limit(LOOKED_AT)
        .select(Entry::as_select())
        .load(tx)?;
    for entry in &waiting {
        end(tx, entry, clock)?;
    }
    Ok(waiting.len())
}

fn seat_count(seats: i64) -> u16 {
    u16::try_from(seats.max(0)).unwrap_or(u16::MAX)
}

/// What came of an offer.
enum Try {
    Held(Reservation),
    /// The user may have no more seats of this date.
    Over,
    /// A buyer who asked before the entry was made was faster.
    NotNow,
}

fn hold(
    tx: &mut Tx,
    entry: &Entry,
    queue: &QueueName,
    limits: &Limits,
    clock: &Clock,
) -> Result<Try, DbError> {
    let grade = entry.grade.clone().map(Grade::try_from).transpose();
    let best = grade
        .ok()
        .and_then(|grade| Best::parse(entry.seat_count.into(), grade, entry.seat_count).ok());
    let best = best.ok_or(DbError::Unexpected("an entry of the waiting list is odd"))?;
    let wish = Reserve {
        id: new_id(clock.now()),
        user_id: entry.user_id,
        newcomer: None,
        schedule_id: entry.schedule_id,
        seats: Wanted::Best(best.patiently()),
        queue: queue.clone(),
    };
    tx.batch_execute("SAVEPOINT offering")?;
    match reservation::reserve_offer(tx, &wish, limits, clock) {
        Ok(held) => {
            let reservation_id = Some(Id(held.id));
            move_on(
                tx,
                entry,
                EntryState::Waiting,
                EntryState::Offered,
                reservation_id,
            )?;
            count(tx, entry.schedule_id, -1)?;
            crash::point("waitlist.offered");
            let more = json!({
                "reservationId": held.id, "seatNumbers": held.seat_numbers(),
                "holdExpiresAt": rfc3339(held.hold_expires_at),
            });
            let event = entry.event(EventType::WaitlistOffered, more);
            outbox::record(tx, &[event], clock.now())?;
            Ok(Try::Held(held))
        }
        Err(ReserveError::Db(cause)) => Err(cause),
        Err(ReserveError::TooManySeats { .. } | ReserveError::TooManyHolds { .. }) => {
            tx.batch_execute("ROLLBACK TO SAVEPOINT offering")?;
            end(tx, entry, clock)?;
            Ok(Try::Over)
        }
        Err(
            ReserveError::SeatTaken(_)
            | ReserveError::SeatUnknown(_)
            | ReserveError::SoldOut { .. }
            | ReserveError::GradeUnknown(_)
            | ReserveError::Crowded
            | ReserveError::NotNew
            | ReserveError::SalesClosed(_)
            | ReserveError::WaitlistFirst
            | ReserveError::ScheduleNotFound
            | ReserveError::QueueMismatch,
        ) => {
            tx.batch_execute("ROLLBACK TO SAVEPOINT offering")?;
            Ok(Try::NotNow)
        }
    }
}

fn end(tx: &mut Tx, entry: &Entry, clock: &Clock) -> Result<(), DbError> {
    if move_on(tx, entry, EntryState::Waiting, EntryState::Expired, None)? {
        count(tx, entry.schedule_id, -1)?;
        let event = entry.event(EventType::WaitlistExpired, json!({}));
        outbox::record(tx, &[event], clock.now())?;
    }
    Ok(())
}

/// Offers that were paid, given back or are over, and what became of each; a batch. One statement.
pub fn ended_offers(conn: &mut Conn) -> Result<Vec<(Entry, ReservationState)>, DbError> {
    let ended = waitlist_entries::table
        .inner_join(
            reservations::table
                .on(waitlist_entries::reservation_id.eq(reservations::id.nullable())),
        )
        .filter(waitlist_entries::state.eq(EntryState::Offered))
        .filter(reservations::state.ne(ReservationState::Held))
        .order(waitlist_entries::seq)
        .limit(FOLLOWED_UP)
        .select((Entry::as_select(), reservations::state))
        .load(conn)?;
    Ok(ended)
}

/// Writes down what became of offers, and says how many ended unpaid; what another instance wrote down already is left as
/// it is. Two statements for each.
pub fn follow_up(
    tx: &mut Tx,
    ended: &[(Entry, ReservationState)],
    clock: &Clock,
) -> Result<usize, DbError> {
    let mut lapsed = 0;
    for (entry, state) in ended {
        let to = match state {
            ReservationState::Confirmed | ReservationState::Refunded => EntryState::Taken,
            ReservationState::Held | ReservationState::Cancelled | ReservationState::Expired => {
                EntryState::Lapsed
            }
        };
        if move_on(tx, entry, EntryState::Offered, to, None)? && to == EntryState::Lapsed {
            lapsed += 1;
            let more = json!({ "reservationId": entry.reservation_id.map(Uuid::from) });
            let event = entry.event(EventType::WaitlistExpired, more);
            outbox::record(tx, &[event], clock.now())?;
        }
    }
    Ok(lapsed)
}
