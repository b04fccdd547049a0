//! The verb `reserve`: all the seats or none.

use chassis::time::{Clock, Timestamp};
use chrono::TimeDelta;
use diesel::prelude::*;
use uuid::Uuid;

use super::{Reservation, ReservationState, ReservedSeat, Wanted, best, buyer};
use crate::audit::{self, Action, Actor};
use crate::concert::QueueName;
use crate::crash;
use crate::db::{At, Conn, DbError, Id, Tx, fails_with_db, insert_rows, one_of, update};
use crate::outbox::{self, EventType};
use crate::schema::{concerts, reservation_seats, reservations, schedules, seats};
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
    /// Holds that a user may make in a row of one date without paying one, in 24 hours. Default 12: an hour of holds.
    pub unpaid_holds: u16,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            seats_per_user: 4,
            hold: TimeDelta::minutes(5),
            unpaid_holds: 12,
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
    SalesClosed {
        /// From when they are open.
        opens_at: Timestamp,
        /// From when they no longer are.
        closes_at: Timestamp,
        /// When that was judged.
        now: Timestamp,
    },
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
    clock: &Clock,
) -> Result<Reservation, ReserveError> {
    let (seats, date, now) = match &wanted.seats {
        Wanted::Numbers(numbers) => {
            let (seats, date) = offered(tx, wanted, numbers, clock.now())?;
            let now = within_limits(tx, wanted, &date, seats.len(), limits, clock)?;
            (seats, date, now)
        }
        Wanted::Best(best) => {
            let date = on_sale(tx, wanted, clock.now())?;
            let now = within_limits(tx, wanted, &date, best.count(), limits, clock)?;
            (best::choose(tx, wanted.schedule_id, best, now)?, date, now)
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
        // Nothing can be paid when the show has started.
        hold_expires_at: (now + limits.hold).min(date.starts_at),
        created_at: now,
        payment_id: None,
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

/// When a date is for sale, and to whom.
struct OnSale {
    queue: String,
    opens_at: Timestamp,
    closes_at: Timestamp,
    starts_at: Timestamp,
}

type DateColumns = (At, At, At, String);

impl OnSale {
    fn of((opens_at, closes_at, starts_at, queue): DateColumns) -> Self {
        Self {
            queue,
            opens_at: opens_at.0,
            closes_at: closes_at.0,
            starts_at: starts_at.0,
        }
    }

    fn must_be_open_to(&self, wanted: &Reserve, now: Timestamp) -> Result<(), ReserveError> {
        if self.queue != wanted.queue.as_str() {
            return Err(ReserveError::QueueMismatch);
        }
        let (opens_at, closes_at) = (self.opens_at, self.closes_at);
        if !(opens_at..closes_at).contains(&now) {
            return Err(ReserveError::SalesClosed {
                opens_at,
                closes_at,
                now,
            });
        }
        Ok(())
    }
}

type SeatRow = (
    u16,
    String,
    i64,
    SeatState,
    Option<At>,
    Option<Id>,
    Option<Id>,
);

/// The wanted seats with their prices, if they are for sale to this user now. Nothing is locked yet.
fn offered(
    conn: &mut Conn,
    wanted: &Reserve,
    numbers: &SeatNumbers,
    now: Timestamp,
) -> Result<(Vec<ReservedSeat>, OnSale), ReserveError> {
    let offers: Vec<(SeatRow, DateColumns)> = seats::table
        .inner_join(schedules::table.inner_join(concerts::table))
        .filter(seats::schedule_id.eq(Id(wanted.schedule_id)))
        .filter(one_of(seats::number, numbers.as_slice()))
        .order(seats::number)
        .select((
            (
                seats::number,
                seats::grade,
                seats::price,
                seats::state,
                seats::hold_expires_at,
                seats::holder_id,
                seats::reservation_id,
            ),
            (
                schedules::sales_open_at,
                schedules::sales_close_at,
                schedules::starts_at,
                concerts::queue,
            ),
        ))
        .load(conn)?;
    let (seats, mut dates): (Vec<_>, Vec<_>) = offers.into_iter().unzip();
    let Some(date) = dates.pop().map(OnSale::of) else {
        return Err(nothing_offered(conn, wanted, numbers)?);
    };
    date.must_be_open_to(wanted, now)?;
    let is_known = |number: &&u16| seats.iter().any(|seat| seat.0 == **number);
    let unknown = numbers.as_slice().iter().filter(|number| !is_known(number));
    let unknown: Vec<u16> = unknown.copied().collect();
    if !unknown.is_empty() {
        return Err(ReserveError::SeatUnknown(unknown));
    }
    let taken = seats
        .iter()
        .filter_map(|seat| conflict(seat, wanted.user_id, now));
    let taken: Vec<Conflict> = taken.collect();
    if !taken.is_empty() {
        return Err(ReserveError::SeatTaken(taken));
    }
    let reserved = |(number, grade, price, ..): SeatRow| super::reserved((number, grade, price));
    Ok((seats.into_iter().map(reserved).collect(), date))
}

/// The schedule, if it is for sale to this user now, whatever seats it has left. One statement.
fn on_sale(conn: &mut Conn, wanted: &Reserve, now: Timestamp) -> Result<OnSale, ReserveError> {
    let found: Option<DateColumns> = schedules::table
        .inner_join(concerts::table)
        .filter(schedules::id.eq(Id(wanted.schedule_id)))
        .select((
            schedules::sales_open_at,
            schedules::sales_close_at,
            schedules::starts_at,
            concerts::queue,
        ))
        .first(conn)
        .optional()?;
    let date = OnSale::of(found.ok_or(ReserveError::ScheduleNotFound)?);
    date.must_be_open_to(wanted, now)?;
    Ok(date)
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

fn conflict(seat: &SeatRow, user_id: Uuid, now: Timestamp) -> Option<Conflict> {
    let (seat_number, _, _, state, hold_expires_at, holder_id, reservation_id) = seat;
    let is_own = holder_id.is_some_and(|holder| holder.0 == user_id);
    let reason = match seat::effective(*state, *hold_expires_at, now) {
        SeatState::Available => return None,
        SeatState::Held if is_own => Reason::Yours,
        SeatState::Held => Reason::Held,
        SeatState::Sold => Reason::Sold,
        SeatState::Blocked => Reason::Blocked,
    };
    Some(Conflict {
        seat_number: *seat_number,
        reason,
        reservation_id: reservation_id.filter(|_| is_own).map(Uuid::from),
    })
}

/// Locks the buyer, and sees under the lock that sales are open and that the user may have `count` seats more. Two
/// statements, and those that end the user's own holds that are over.
fn within_limits(
    tx: &mut Tx,
    wanted: &Reserve,
    date: &OnSale,
    count: usize,
    limits: &Limits,
    clock: &Clock,
) -> Result<Timestamp, ReserveError> {
    let (schedule_id, user_id) = (wanted.schedule_id, wanted.user_id);
    let now = buyer::lock(tx, schedule_id, user_id, clock)?;
    crash::point("reserve.lined-up");
    date.must_be_open_to(wanted, now)?;
    let has = buyer::holdings(tx, schedule_id, user_id, now)?;
    if has.seats + count > usize::from(limits.seats_per_user) {
        return Err(ReserveError::TooManySeats {
            max: limits.seats_per_user,
            has: u16::try_from(has.seats).unwrap_or(u16::MAX),
        });
    }
    if has.unpaid_in_a_row >= usize::from(limits.unpaid_holds) {
        return Err(ReserveError::TooManyHolds {
            held: has.unpaid_in_a_row,
        });
    }
    Ok(now)
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
    let others: Vec<SeatRow> = seats::table
        .filter(seats::schedule_id.eq(Id(held.schedule_id)))
        .filter(one_of(seats::number, numbers))
        .filter(
            seats::reservation_id
                .is_null()
                .or(seats::reservation_id.ne(Id(held.id))),
        )
        .order(seats::number)
        .select((
            seats::number,
            seats::grade,
            seats::price,
            seats::state,
            seats::hold_expires_at,
            seats::holder_id,
            seats::reservation_id,
        ))
        .load(tx)?;
    // A seat that was lost and is free again by now was held at the moment that counted.
    let lost = others.iter().map(|seat| {
        conflict(seat, held.user_id, now).unwrap_or(Conflict {
            seat_number: seat.0,
            reason: Reason::Held,
            reservation_id: None,
        })
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
