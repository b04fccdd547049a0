//! The verb `reserve`: all the seats or none.

use chassis::time::{Clock, Timestamp};
use chrono::TimeDelta;
use diesel::prelude::*;
use uuid::Uuid;

use super::buyer::Holdings;
use super::on_sale::{OnSale, offered, on_sale, yield_to_waiting};
use super::{Reservation, ReservationState, ReservedSeat, Wanted, best, buyer, taking};
use crate::audit::{self, Action, Actor};
use crate::concert::{ClosedSales, QueueName};
use crate::crash;
use crate::db::{At, DbError, Id, Tx, fails_with_db, insert_rows};
use crate::outbox::{self, EventType};
use crate::schema::{reservation_seats, reservations};
use crate::subject;

/// Most seats of one user that a date may allow.
pub const SEATS_AT_MOST: u16 = 50;

/// What a user wants.
#[derive(Debug, Clone)]
pub struct Reserve {
    /// Id of the reservation that it becomes.
    pub id: Uuid,
    /// Who wants it.
    pub user_id: Uuid,
    /// The person, when nobody knows the subject yet: both are joined where seats are taken.
    pub newcomer: Option<Uuid>,
    /// Of which date.
    pub schedule_id: Uuid,
    /// Which seats.
    pub seats: Wanted,
    /// The queue that the user has come through.
    pub queue: QueueName,
}

/// How much one user may take, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Seats that a user may have of one schedule, in one reservation or in several. Default 4.
    pub seats_per_user: u16,
    /// How long seats are kept for a reservation that is not paid. Default 5 minutes.
    pub hold: TimeDelta,
    /// Holds that a user may make in a row of one date without paying one, in 24 hours. Default 12: an hour of holds.
    pub unpaid_holds: u16,
    /// How much longer a hold may last, once. Default 2 minutes; 0 is not at all.
    pub extension: TimeDelta,
    /// Free seats that a date must have while a hold is extended, so that the last ones are not kept from those who
    /// wait. Default 1.
    pub extension_free_seats: u16,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            seats_per_user: 4,
            hold: TimeDelta::minutes(5),
            unpaid_holds: 12,
            extension: TimeDelta::minutes(2),
            extension_free_seats: 1,
        }
    }
}

/// Why a seat cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Another user holds it; it may come back.
    Held,
    /// It is paid.
    Sold,
    /// It is not for sale.
    Blocked,
    /// The user who wants it holds it already.
    Yours,
}

impl Reason {
    /// The word for it on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Sold => "sold",
            Self::Blocked => "blocked",
            Self::Yours => "yours",
        }
    }
}

/// A wanted seat that is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conflict {
    /// Its number.
    pub seat_number: u16,
    /// Why it cannot be had.
    pub reason: Reason,
    /// The reservation that has it, when that is the user's own.
    pub reservation_id: Option<Uuid>,
}

/// Why nothing was reserved.
#[derive(Debug, thiserror::Error)]
pub enum ReserveError {
    /// These of the wanted seats are taken.
    #[error("seats are taken")]
    SeatTaken(Vec<Conflict>),
    /// The schedule has no seats with these numbers.
    #[error("no such seats: {0:?}")]
    SeatUnknown(Vec<u16>),
    /// Fewer seats are free than are wanted, of the grade that was named if one was.
    #[error("only {available} seats are free")]
    SoldOut {
        /// How many are free.
        available: usize,
    },
    /// The schedule has no seats of this grade.
    #[error("no such grade: {0}")]
    GradeUnknown(String),
    /// Others are taking all the seats that are left at this very moment; ask again with [`Best::patiently`](super::Best::patiently).
    #[error("others are taking the last seats")]
    Crowded,
    /// The user would have more seats of this schedule than allowed.
    #[error("at most {max} seats, and {has} are taken")]
    TooManySeats {
        /// How many are allowed.
        max: u16,
        /// How many the user holds or has bought.
        has: u16,
    },
    /// The user has held seats of this date too often without paying.
    #[error("{held} holds in a row were not paid")]
    TooManyHolds {
        /// How many.
        held: usize,
    },
    /// Sales are not open yet, or no longer.
    #[error("sales are closed")]
    SalesClosed(ClosedSales),
    /// Seats came back, and somebody in the waiting list comes first.
    #[error("others wait for these seats")]
    WaitlistFirst,
    /// There is no such schedule, or it is hidden.
    #[error("no such schedule")]
    ScheduleNotFound,
    /// The newcomer is known under another subject: another request of theirs was first.
    #[error("somebody who is known already")]
    NotNew,
    /// The user has come through the queue of another concert.
    #[error("admitted to another queue")]
    QueueMismatch,
    /// The database failed.
    #[error(transparent)]
    Db(DbError),
}

fails_with_db!(ReserveError);

/// Holds all the wanted seats for the user, or none.
///
/// Seven statements: what is on offer, the buyer's lock, the seats, the reservation, its seats, audit, outbox. One more for
/// a newcomer, who is joined to a subject. A seat that is plainly taken costs only the first, and no lock.
/// What a buyer has who is not new to the date is asked with the seats; where that refuses, two more say why.
/// The best seats take two more: looking for them, and locking them; one more for each time that another buyer is faster, and
/// one more for what a buyer has who is not new.
/// Where somebody waits for seats to come back, the list is asked before the buyer is locked and after the seats are.
pub fn reserve(
    tx: &mut Tx,
    wanted: &Reserve,
    limits: &Limits,
    clock: &Clock,
) -> Result<Reservation, ReserveError> {
    take(tx, wanted, limits, Asks::Buyer, clock)
}

/// The same for somebody whose turn it is in the waiting list of the date.
pub(crate) fn reserve_offer(
    tx: &mut Tx,
    wanted: &Reserve,
    limits: &Limits,
    clock: &Clock,
) -> Result<Reservation, ReserveError> {
    take(tx, wanted, limits, Asks::WaitingList, clock)
}

/// On whose behalf seats are taken.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Asks {
    Buyer,
    WaitingList,
}

fn take(
    tx: &mut Tx,
    wanted: &Reserve,
    limits: &Limits,
    asks: Asks,
    clock: &Clock,
) -> Result<Reservation, ReserveError> {
    let (seats, date, now, is_allowed) = match &wanted.seats {
        Wanted::Numbers(numbers) => {
            let (seats, date) = offered(tx, wanted, numbers, clock.now())?;
            let grades = grades_of(&seats);
            yield_to_waiting(tx, wanted, (&date, asks), &grades, &[], clock.now())?;
            let (now, is_new) = line_up(tx, wanted, &date, seats.len(), limits, clock)?;
            (seats, date, now, is_new)
        }
        Wanted::Best(best) => {
            let date = on_sale(tx, wanted, clock.now())?;
            let grades: Vec<String> = best.grade().map(str::to_owned).into_iter().collect();
            yield_to_waiting(tx, wanted, (&date, asks), &grades, &[], clock.now())?;
            let (now, is_new) = line_up(tx, wanted, &date, best.count(), limits, clock)?;
            if !is_new {
                taking::must_be_allowed(tx, wanted, &date, best.count(), limits, now)?;
            }
            let seats = best::choose(tx, wanted.schedule_id, best, now)?;
            (seats, date, now, true)
        }
    };
    crash::point("reserve.offered");
    // Nothing can be paid when the show has started.
    let end = |date: &OnSale| (now + limits.hold).min(date.starts_at);
    let mut held = Reservation {
        id: wanted.id,
        schedule_id: wanted.schedule_id,
        user_id: wanted.user_id,
        state: ReservationState::Held,
        amount: seats.iter().map(|seat| seat.price).sum(),
        seats,
        hold_expires_at: end(&date),
        created_at: now,
        payment_id: None,
    };
    if is_allowed {
        taking::hold_until_start(tx, wanted, &mut held, end)?;
    } else {
        taking::hold_what_is_allowed(tx, wanted, &mut held, (&date, limits), end)?;
    }
    crash::point("reserve.held");
    // What was asked before decided nothing: while this request waited for its buyer's lock, seats may have come back that
    // serve somebody in the list. Now its seats are locked, so from here on they can come to nobody else, and counted as
    // free they are at least what the list could have had of them. Whatever comes back after this is not among them.
    let grades = grades_of(&held.seats);
    yield_to_waiting(tx, wanted, (&date, asks), &grades, &grades, now)?;
    write(tx, &held, date.seats_per_user(limits))?;
    crash::point("reserve.written");
    audit::record(
        tx,
        &[held.change(Action::Held, Actor::User(held.user_id))],
        now,
    )?;
    crash::point("reserve.audited");
    outbox::record(tx, &[held.event(EventType::ReservationHeld)], now)?;
    crash::point("reserve.recorded");
    Ok(held)
}

fn grades_of(seats: &[ReservedSeat]) -> Vec<String> {
    seats.iter().map(|seat| seat.grade.clone()).collect()
}

/// Locks the buyer, and sees under the lock that sales are open. One statement. The second says whether the buyer is new to
/// the date: then they have nothing of it, and may have `count` seats.
fn line_up(
    tx: &mut Tx,
    wanted: &Reserve,
    date: &OnSale,
    count: usize,
    limits: &Limits,
    clock: &Clock,
) -> Result<(Timestamp, bool), ReserveError> {
    let (schedule_id, user_id) = (wanted.schedule_id, wanted.user_id);
    let max = date.seats_per_user(limits);
    if count > usize::from(max) {
        // Too many whatever they have, so nobody is locked for it.
        let has = buyer::count(tx, schedule_id, user_id, clock.now())?;
        return Err(taking::too_many(max, has));
    }
    if let Some(person) = wanted.newcomer {
        // Before any other row of theirs. Whoever is refused leaves none.
        match subject::join(tx, person, user_id, clock.now()) {
            Err(DbError::Duplicate(_)) => return Err(ReserveError::NotNew),
            joined => joined?,
        }
    }
    let (now, is_new) = buyer::line_up(tx, schedule_id, user_id, clock)?;
    crash::point("reserve.lined-up");
    date.must_be_open_to(wanted, now)?;
    if is_new {
        taking::must_be_within(limits, max, Holdings::default(), count)?;
    }
    Ok((now, is_new))
}

fn write(tx: &mut Tx, held: &Reservation, max_seats: u16) -> Result<(), DbError> {
    diesel::insert_into(reservations::table)
        .values((
            reservations::id.eq(Id(held.id)),
            reservations::schedule_id.eq(Id(held.schedule_id)),
            reservations::user_id.eq(Id(held.user_id)),
            reservations::state.eq(held.state),
            reservations::seat_count.eq(u16::try_from(held.seats.len()).unwrap_or(u16::MAX)),
            reservations::amount.eq(held.amount),
            reservations::hold_expires_at.eq(At(held.hold_expires_at)),
            reservations::created_at.eq(At(held.created_at)),
            reservations::max_seats.eq(Some(max_seats)),
        ))
        .execute(tx)?;
    crash::point("reserve.headed");
    let rows: Vec<_> = held
        .seats
        .iter()
        .map(|seat| {
            (
                reservation_seats::reservation_id.eq(Id(held.id)),
                reservation_seats::seat_number.eq(seat.number),
                reservation_seats::schedule_id.eq(Id(held.schedule_id)),
                reservation_seats::grade.eq(seat.grade.clone()),
                reservation_seats::price.eq(seat.price),
            )
        })
        .collect();
    insert_rows!(tx, reservation_seats::table, rows.as_slice())?;
    Ok(())
}
