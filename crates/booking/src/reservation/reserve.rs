//! The verb `reserve`: all the seats or none.

use std::ops::Range;

use chassis::time::Timestamp;
use chrono::TimeDelta;
use diesel::prelude::*;
use uuid::Uuid;

use super::{Reservation, ReservationState, ReservedSeat, Wanted, best};
use crate::audit::{self, Action, Actor};
use crate::concert::QueueName;
use crate::crash;
use crate::db::{At, Conn, DbError, Id, Tx, fails_with_db, insert_rows, one_of, update, upsert};
use crate::outbox::{self, EventType};
use crate::schema::{buyers, concerts, reservation_seats, reservations, schedules, seats};
use crate::seat::{self, SeatNumbers, SeatState};

/// What a user wants.
#[derive(Debug, Clone)]
pub struct Reserve {
    /// Id of the reservation that it becomes.
    pub id: Uuid,
    /// Who wants it.
    pub user_id: Uuid,
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
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            seats_per_user: 4,
            hold: TimeDelta::minutes(5),
        }
    }
}

/// Why a seat cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Somebody holds it; it may come back.
    Held,
    /// Somebody has paid for it.
    Sold,
    /// It is not for sale.
    Blocked,
}

impl Reason {
    /// The word for it on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Sold => "sold",
            Self::Blocked => "blocked",
        }
    }
}

/// A wanted seat that another buyer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conflict {
    /// Its number.
    pub seat_number: u16,
    /// Why it cannot be had.
    pub reason: Reason,
}

/// Why nothing was reserved.
#[derive(Debug, thiserror::Error)]
pub enum ReserveError {
    /// Somebody else has these of the wanted seats.
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
    /// Sales are not open yet, or no longer.
    #[error("sales are closed")]
    SalesClosed,
    /// There is no such schedule.
    #[error("no such schedule")]
    ScheduleNotFound,
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
/// Eight statements: what is on offer, the buyer's lock, what they have, the seats, the reservation, its seats, audit,
/// outbox. A seat that is plainly taken costs only the first, and no lock. The best seats take two more: looking for
/// them, and locking them; one more for each time that another buyer is faster.
pub fn reserve(
    tx: &mut Tx,
    wanted: &Reserve,
    limits: &Limits,
    now: Timestamp,
) -> Result<Reservation, ReserveError> {
    let seats = match &wanted.seats {
        Wanted::Numbers(numbers) => {
            let seats = offered(tx, wanted, numbers, now)?;
            within_limit(tx, wanted, seats.len(), limits, now)?;
            seats
        }
        Wanted::Best(best) => {
            on_sale(tx, wanted, now)?;
            within_limit(tx, wanted, best.count(), limits, now)?;
            best::choose(tx, wanted.schedule_id, best, now)?
        }
    };
    crash::point("reserve.offered");
    let held = Reservation {
        id: wanted.id,
        schedule_id: wanted.schedule_id,
        user_id: wanted.user_id,
        state: ReservationState::Held,
        amount: seats.iter().map(|seat| seat.price).sum(),
        seats,
        hold_expires_at: now + limits.hold,
        created_at: now,
    };
    hold_seats(tx, &held, now)?;
    crash::point("reserve.held");
    write(tx, &held)?;
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

type Offer = (u16, String, i64, SeatState, Option<At>, At, At, String);

/// The wanted seats with their prices, if they are for sale to this user now. Nothing is locked yet.
fn offered(
    conn: &mut Conn,
    wanted: &Reserve,
    numbers: &SeatNumbers,
    now: Timestamp,
) -> Result<Vec<ReservedSeat>, ReserveError> {
    let offers: Vec<Offer> = seats::table
        .inner_join(schedules::table.inner_join(concerts::table))
        .filter(seats::schedule_id.eq(Id(wanted.schedule_id)))
        .filter(one_of(seats::number, numbers.as_slice()))
        .order(seats::number)
        .select((
            seats::number,
            seats::grade,
            seats::price,
            seats::state,
            seats::hold_expires_at,
            schedules::sales_open_at,
            schedules::sales_close_at,
            concerts::queue,
        ))
        .load(conn)?;
    let Some((.., open, close, queue)) = offers.first() else {
        return Err(nothing_offered(conn, wanted, numbers)?);
    };
    open_to(wanted, queue, open.0..close.0, now)?;
    let unknown: Vec<u16> = numbers
        .as_slice()
        .iter()
        .copied()
        .filter(|number| !offers.iter().any(|offer| offer.0 == *number))
        .collect();
    if !unknown.is_empty() {
        return Err(ReserveError::SeatUnknown(unknown));
    }
    let taken: Vec<Conflict> = offers
        .iter()
        .filter_map(|offer| conflict(offer.0, seat::effective(offer.3, offer.4, now)))
        .collect();
    if !taken.is_empty() {
        return Err(ReserveError::SeatTaken(taken));
    }
    Ok(offers
        .into_iter()
        .map(|(number, grade, price, ..)| ReservedSeat {
            number,
            grade,
            price,
        })
        .collect())
}

/// Whether the schedule is for sale to this user now, whatever seats it has left. One statement.
fn on_sale(conn: &mut Conn, wanted: &Reserve, now: Timestamp) -> Result<(), ReserveError> {
    let found: Option<(At, At, String)> = schedules::table
        .inner_join(concerts::table)
        .filter(schedules::id.eq(Id(wanted.schedule_id)))
        .select((
            schedules::sales_open_at,
            schedules::sales_close_at,
            concerts::queue,
        ))
        .first(conn)
        .optional()?;
    let (open, close, queue) = found.ok_or(ReserveError::ScheduleNotFound)?;
    open_to(wanted, &queue, open.0..close.0, now)
}

fn open_to(
    wanted: &Reserve,
    queue: &str,
    sales: Range<Timestamp>,
    now: Timestamp,
) -> Result<(), ReserveError> {
    if queue != wanted.queue.as_str() {
        return Err(ReserveError::QueueMismatch);
    }
    if !sales.contains(&now) {
        return Err(ReserveError::SalesClosed);
    }
    Ok(())
}

fn nothing_offered(
    conn: &mut Conn,
    wanted: &Reserve,
    numbers: &SeatNumbers,
) -> Result<ReserveError, DbError> {
    let known: i64 = schedules::table
        .find(Id(wanted.schedule_id))
        .count()
        .get_result(conn)?;
    Ok(if known == 0 {
        ReserveError::ScheduleNotFound
    } else {
        ReserveError::SeatUnknown(numbers.as_slice().to_vec())
    })
}

fn conflict(seat_number: u16, state: SeatState) -> Option<Conflict> {
    match state {
        SeatState::Available => None,
        SeatState::Held => Some(Conflict {
            seat_number,
            reason: Reason::Held,
        }),
        SeatState::Sold => Some(Conflict {
            seat_number,
            reason: Reason::Sold,
        }),
        SeatState::Blocked => Some(Conflict {
            seat_number,
            reason: Reason::Blocked,
        }),
    }
}

/// Whether the user may have `count` seats more. Two statements; afterwards the buyer's row is locked.
fn within_limit(
    tx: &mut Tx,
    wanted: &Reserve,
    count: usize,
    limits: &Limits,
    now: Timestamp,
) -> Result<(), ReserveError> {
    line_up(tx, wanted, now)?;
    crash::point("reserve.lined-up");
    let has = seats_of_user(tx, wanted, now)?;
    if has + count > usize::from(limits.seats_per_user) {
        let has = u16::try_from(has).unwrap_or(u16::MAX);
        return Err(ReserveError::TooManySeats {
            max: limits.seats_per_user,
            has,
        });
    }
    Ok(())
}

/// Locks the buyer's row, so that what this user has cannot change until this transaction ends.
fn line_up(tx: &mut Tx, wanted: &Reserve, now: Timestamp) -> Result<(), DbError> {
    let buyer = diesel::insert_into(buyers::table).values((
        buyers::schedule_id.eq(Id(wanted.schedule_id)),
        buyers::user_id.eq(Id(wanted.user_id)),
        buyers::last_seen_at.eq(At(now)),
    ));
    upsert(buyer, buyers::last_seen_at.eq(At(now))).execute(tx)?;
    Ok(())
}

/// Seats of the schedule that the user has bought, or holds at `now`.
fn seats_of_user(tx: &mut Tx, wanted: &Reserve, now: Timestamp) -> Result<usize, DbError> {
    let live = reservations::state
        .eq(ReservationState::Confirmed)
        .or(reservations::state
            .eq(ReservationState::Held)
            .and(reservations::hold_expires_at.gt(At(now))));
    let counts: Vec<u16> = reservations::table
        .filter(reservations::schedule_id.eq(Id(wanted.schedule_id)))
        .filter(reservations::user_id.eq(Id(wanted.user_id)))
        .filter(live)
        .select(reservations::seat_count)
        .load(tx)?;
    Ok(counts.into_iter().map(usize::from).sum())
}

/// Takes the seats that are free, or whose hold is over, by number. The row count decides: fewer rows than
/// wanted seats means that another buyer was faster, and the transaction is undone.
fn hold_seats(tx: &mut Tx, held: &Reservation, now: Timestamp) -> Result<(), ReserveError> {
    let numbers = held.seat_numbers();
    let free = seats::table
        .filter(seats::schedule_id.eq(Id(held.schedule_id)))
        .filter(one_of(seats::number, numbers.as_slice()))
        .filter(seat::is_free(now));
    let changes = (
        seats::state.eq(SeatState::Held),
        seats::reservation_id.eq(Id(held.id)),
        seats::holder_id.eq(Id(held.user_id)),
        seats::hold_expires_at.eq(At(held.hold_expires_at)),
    );
    let taken = update(free, changes).execute(tx)?;
    if taken == numbers.len() {
        return Ok(());
    }
    let states: Vec<(u16, SeatState)> = seats::table
        .filter(seats::schedule_id.eq(Id(held.schedule_id)))
        .filter(one_of(seats::number, numbers))
        .filter(
            seats::reservation_id
                .is_null()
                .or(seats::reservation_id.ne(Id(held.id))),
        )
        .order(seats::number)
        .select((seats::number, seats::state))
        .load(tx)?;
    // A seat that was lost and is free again by now was held at the moment that counted.
    let lost = states.into_iter().map(|(seat_number, state)| {
        let reason = match state {
            SeatState::Sold => Reason::Sold,
            SeatState::Blocked => Reason::Blocked,
            SeatState::Available | SeatState::Held => Reason::Held,
        };
        Conflict {
            seat_number,
            reason,
        }
    });
    Err(ReserveError::SeatTaken(lost.collect()))
}

fn write(tx: &mut Tx, held: &Reservation) -> Result<(), DbError> {
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
