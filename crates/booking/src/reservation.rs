//! Owns reservations: seats that one user holds for a while, and what becomes of them.
//!
//! A reservation is *held*, then *confirmed* by a payment, *cancelled* by its user or *expired*; a confirmed one may be
//! *refunded*. Locks are taken in one order: buyer, reservation, wallet, seats by number. A seat is taken by a
//! conditional update and its row count decides, whatever was read before.

mod best;
mod buyer;
mod cut;
mod expire;
mod extend;
mod on_sale;
mod register;
mod reserve;
mod seats;
mod taking;
mod wanted;

use chassis::time::Timestamp;
use diesel::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::audit::{Action, Actor, Change, Entity};
use crate::concert::{Promise, RefundRules};
use crate::db::{At, Conn, DbError, Id, Page, stored_as_text};
use crate::ledger::CURRENCY;
use crate::outbox::{Event, EventType};
use crate::schema::{concerts, payments, reservation_seats, reservations, schedules};
pub(crate) use buyer::lock as lock_buyer;
pub(crate) use cut::cut;
pub use expire::expire;
pub use extend::{ExtendError, extend};
pub(crate) use register::behind;
pub use register::{After, Buyer, Filter, buyers_of, of_date};
pub(crate) use reserve::reserve_offer;
pub use reserve::{Conflict, Limits, Reason, Reserve, ReserveError, SEATS_AT_MOST, reserve};
pub(crate) use seats::{Sale as SaleOfHold, free, has_all, sell, unsell};
pub use wanted::{Best, Wanted};

chassis::catalogue! {
    /// What has happened to holds.
    HoldMetrics;
    /// Reservations that were made
    holds: IntCounter = "booking_holds_total",
    /// Reservations that were refused because a seat was taken, by who said so: the locks in Redis, or MySQL
    conflicts: IntCounterVec = "booking_conflicts_total" by "judge" ["lock", "database"],
    /// Reservations that were given back by their users, held or paid
    cancellations: IntCounter = "booking_cancellations_total",
    /// Holds that were made longer
    extended: IntCounter = "booking_extensions_total",
    /// Holds that the sweeper of this instance has ended
    expired: IntCounter = "booking_expired_total",
}

stored_as_text! {
    /// What has become of a reservation.
    pub enum ReservationState {
        /// Its seats are kept until the hold ends.
        Held = "held",
        /// It is paid.
        Confirmed = "confirmed",
        /// Its user gave it back unpaid.
        Cancelled = "cancelled",
        /// Its hold ended unpaid.
        Expired = "expired",
        /// It was paid and the money was given back.
        Refunded = "refunded",
    }
}

/// A seat as it was when it was reserved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReservedSeat {
    /// Its number in the schedule.
    pub number: u16,
    /// What seats of its price are called.
    pub grade: String,
    /// Minor units.
    pub price: i64,
}

/// A reservation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    /// Its id.
    pub id: Uuid,
    /// The date.
    pub schedule_id: Uuid,
    /// Whose it is.
    pub user_id: Uuid,
    /// Its state at the instant that was asked for: a hold that is over reads as expired.
    pub state: ReservationState,
    /// Its seats by number, without those that were given back one by one.
    pub seats: Vec<ReservedSeat>,
    /// What they cost together, in minor units.
    pub amount: i64,
    /// From when the seats are free again if it is not paid.
    pub hold_expires_at: Timestamp,
    /// When it was made.
    pub created_at: Timestamp,
    /// What paid it, once it is paid.
    pub payment_id: Option<Uuid>,
}

impl Reservation {
    /// The numbers of its seats, ascending.
    pub fn seat_numbers(&self) -> Vec<u16> {
        self.seats.iter().map(|seat| seat.number).collect()
    }

    /// The same as it is at `now`: a hold that is over reads as expired.
    pub(crate) fn seen_at(self, now: Timestamp) -> Self {
        let over = self.state == ReservationState::Held && self.hold_expires_at <= now;
        if over {
            self.moved_to(ReservationState::Expired)
        } else {
            self
        }
    }

    /// The same in another state.
    pub(crate) fn moved_to(self, state: ReservationState) -> Self {
        Self { state, ..self }
    }

    /// What other systems are told of it.
    pub(crate) fn event(&self, event_type: EventType) -> Event {
        Event {
            event_type,
            aggregate_id: self.id,
            payload: self.described(),
        }
    }

    /// What the audit log keeps of it.
    pub(crate) fn change<'a>(&self, action: Action, actor: Actor<'a>) -> Change<'a> {
        let detail = json!({
            "scheduleId": self.schedule_id, "seatNumbers": self.seat_numbers(), "amount": self.amount,
        });
        Change {
            entity: Entity::Reservation,
            entity_id: self.id,
            action,
            actor,
            detail,
        }
    }

    pub(crate) fn described(&self) -> Value {
        let seat = |seat: &ReservedSeat| json!({ "number": seat.number, "grade": seat.grade, "price": seat.price });
        json!({
            "reservationId": self.id, "scheduleId": self.schedule_id, "userId": self.user_id,
            "seats": self.seats.iter().map(seat).collect::<Vec<_>>(),
            "amount": self.amount, "currency": CURRENCY,
            "holdExpiresAt": chassis::time::rfc3339(self.hold_expires_at),
        })
    }
}

/// A row of `reservations`.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = reservations)]
pub(crate) struct ReservationRow {
    #[diesel(deserialize_as = Id)]
    id: Uuid,
    #[diesel(deserialize_as = Id)]
    schedule_id: Uuid,
    #[diesel(deserialize_as = Id)]
    user_id: Uuid,
    state: ReservationState,
    amount: i64,
    #[diesel(deserialize_as = At)]
    hold_expires_at: Timestamp,
    #[diesel(deserialize_as = At)]
    created_at: Timestamp,
}

impl ReservationRow {
    fn with(self, seats: Vec<ReservedSeat>, payment_id: Option<Uuid>) -> Reservation {
        Reservation {
            id: self.id,
            schedule_id: self.schedule_id,
            user_id: self.user_id,
            state: self.state,
            seats,
            amount: self.amount,
            hold_expires_at: self.hold_expires_at,
            created_at: self.created_at,
            payment_id,
        }
    }
}

type SeatColumns = (u16, String, i64);

/// A user's own reservation as it is at `now`; another user's is not found. One statement.
pub fn find(
    conn: &mut Conn,
    user_id: Uuid,
    id: Uuid,
    now: Timestamp,
) -> Result<Option<Reservation>, DbError> {
    let found = stored(conn, user_id, id)?;
    Ok(found.map(|reservation| reservation.seen_at(now)))
}

/// A user's own reservations as they are at `now`, newest first. Two statements.
pub fn list(
    conn: &mut Conn,
    user_id: Uuid,
    page: Page,
    now: Timestamp,
) -> Result<Vec<Reservation>, DbError> {
    let before = Id(page.after.unwrap_or(Uuid::max()));
    let rows: Vec<(ReservationRow, Option<Id>)> = reservations::table
        .left_join(payments::table)
        .filter(reservations::user_id.eq(Id(user_id)))
        .filter(reservations::id.lt(before))
        .order(reservations::id.desc())
        .limit(page.limit.into())
        .select((ReservationRow::as_select(), payments::id.nullable()))
        .load(conn)?;
    let found = with_seats(conn, rows)?;
    Ok(found
        .into_iter()
        .map(|reservation| reservation.seen_at(now))
        .collect())
}

/// A user's own reservation with its stored state; its hold ends when the show starts at the latest. One statement.
pub(crate) fn stored(
    conn: &mut Conn,
    user_id: Uuid,
    id: Uuid,
) -> Result<Option<Reservation>, DbError> {
    let found = stored_with_date(conn, user_id, id)?;
    Ok(found.map(|(reservation, _)| reservation))
}

/// What is read of the date together with a reservation.
pub(crate) struct OfDate {
    /// The queue before its concert.
    pub(crate) queue: String,
    /// What its rules say about refunds.
    pub(crate) promise: Promise,
}

/// The same, with what its date says. One statement.
pub(crate) fn stored_with_date(
    conn: &mut Conn,
    user_id: Uuid,
    id: Uuid,
) -> Result<Option<(Reservation, OfDate)>, DbError> {
    type Date = (At, (u32, u32, u16), String);
    type Found = (ReservationRow, Option<Id>, SeatColumns, Date);
    let rows: Vec<Found> = reservations::table
        .inner_join(reservation_seats::table)
        .inner_join(schedules::table.on(schedules::id.eq(reservations::schedule_id)))
        .inner_join(concerts::table.on(concerts::id.eq(schedules::concert_id)))
        .left_join(payments::table)
        .filter(reservations::id.eq(Id(id)))
        .filter(reservations::user_id.eq(Id(user_id)))
        .filter(reservation_seats::returned_by.is_null())
        .order(reservation_seats::seat_number)
        .select((
            ReservationRow::as_select(),
            payments::id.nullable(),
            (
                reservation_seats::seat_number,
                reservation_seats::grade,
                reservation_seats::price,
            ),
            (
                schedules::starts_at,
                (
                    schedules::refund_full_until_s,
                    schedules::refund_share_until_s,
                    schedules::refund_share_percent,
                ),
                concerts::queue,
            ),
        ))
        .load(conn)?;
    let seats = rows.iter().map(|(_, _, seat, _)| reserved(seat.clone()));
    let seats = seats.collect();
    let head = rows.into_iter().next();
    Ok(head.map(|(row, payment_id, _, (starts_at, rules, queue))| {
        let found = row.with(seats, payment_id.map(Uuid::from));
        let hold_expires_at = found.hold_expires_at.min(starts_at.0);
        let found = Reservation {
            hold_expires_at,
            ..found
        };
        let promise = RefundRules::from(rules).promise(starts_at.0);
        (found, OfDate { queue, promise })
    }))
}

/// These reservations with their seats, in the same order. One statement.
fn with_seats(
    conn: &mut Conn,
    rows: Vec<(ReservationRow, Option<Id>)>,
) -> Result<Vec<Reservation>, DbError> {
    let ids: Vec<Id> = rows.iter().map(|(row, _)| Id(row.id)).collect();
    let seats: Vec<(Id, SeatColumns)> = reservation_seats::table
        .filter(reservation_seats::reservation_id.eq_any(&ids))
        .filter(reservation_seats::returned_by.is_null())
        .order((
            reservation_seats::reservation_id,
            reservation_seats::seat_number,
        ))
        .select((
            reservation_seats::reservation_id,
            (
                reservation_seats::seat_number,
                reservation_seats::grade,
                reservation_seats::price,
            ),
        ))
        .load(conn)?;
    let seats_of = |id: Uuid| {
        let own = seats
            .iter()
            .filter(move |(reservation_id, _)| reservation_id.0 == id);
        own.map(|(_, seat)| reserved(seat.clone())).collect()
    };
    let with = |(row, payment_id): (ReservationRow, Option<Id>)| {
        let seats = seats_of(row.id);
        row.with(seats, payment_id.map(Uuid::from))
    };
    Ok(rows.into_iter().map(with).collect())
}

fn reserved((number, grade, price): SeatColumns) -> ReservedSeat {
    ReservedSeat {
        number,
        grade,
        price,
    }
}
