//! The one table from what went wrong to what the client hears. Exhaustive: a new error is a new line here.

use chassis::problem::Problem;
use chassis::time::{rfc3339, whole_seconds};
use serde_json::{Value, json};
use uuid::Uuid;

use super::codes::{
    ALREADY_EXTENDED, ALREADY_PAID, ALREADY_REFUNDED, AMOUNT_INVALID, BALANCE_LIMIT, BALANCE_SHORT,
    CANCELLATION_NOT_FOUND, CHARGE_NOT_FOUND, CONCERT_NOT_FOUND, DATABASE_BUSY, DATES_LEFT,
    ENTRY_NOT_FOUND, EVENT_NOT_DEAD, EVENT_NOT_FOUND, EXTENSION_REFUSED, GRADE_UNKNOWN,
    HOLD_EXPIRED, IDEMPOTENCY_IN_PROGRESS, IDEMPOTENCY_KEY_REUSED, PAYMENT_IN_PROGRESS,
    PAYMENT_NOT_FOUND, PERSON_HAS_CLAIMS, PRECONDITION_FAILED, QUEUE_MISMATCH, REFUND_TOO_LARGE,
    REFUND_TOO_LATE, RESERVATION_CANCELLED, RESERVATION_NOT_FOUND, SALES_CLOSED, SALES_INVALID,
    SCHEDULE_CANCELLED, SCHEDULE_NOT_FOUND, SEAT_TAKEN, SEAT_UNKNOWN, SEATS_AVAILABLE, SEATS_EXIST,
    SEATS_INVALID, SEATS_SOLD, SECTIONS_INVALID, SHOW_STARTED, SOLD_OUT, TOO_MANY_HOLDS,
    TOO_MANY_SEATS, WAITLIST_FIRST,
};
use crate::cancellation::CancelError;
use crate::concert::{ClosedSales, LayoutError, ScheduleError};
use crate::db::DbError;
use crate::erasure::ForgetError;
use crate::idempotency::OnceError;
use crate::outbox::RedeliverError;
use crate::payment::{PayError, RefundError};
use crate::programme::ProgrammeError;
use crate::provider::{EventError, OrderError};
use crate::reservation::{Conflict, ExtendError, Reason, ReserveError};
use crate::seat::SeatNumbersError;
use crate::seat::SeatState;
use crate::waitlist::WaitlistError;
use crate::wallet::{AmountInvalid, BALANCE_LIMIT as LIMIT, ChargeError, CorrectionError};

impl From<DbError> for Problem {
    fn from(error: DbError) -> Self {
        Self::from(&error)
    }
}

impl From<&DbError> for Problem {
    fn from(error: &DbError) -> Self {
        match error {
            DbError::Busy => DATABASE_BUSY
                .because("Too much at once; try again soon.")
                .cause(error),
            DbError::LockWait | DbError::Deadlock => DATABASE_BUSY
                .because("Too many want the same thing; try again soon.")
                .cause(error),
            DbError::Unreachable(_) | DbError::Unwritable(_) => DATABASE_BUSY
                .because("The database does not answer; try again soon.")
                .cause(error),
            DbError::Check(_)
            | DbError::Duplicate(_)
            | DbError::Migration(_)
            | DbError::Unexpected(_)
            | DbError::Query(_) => Self::internal(error),
        }
    }
}

impl From<ScheduleError> for Problem {
    fn from(error: ScheduleError) -> Self {
        match error {
            ScheduleError::ConcertNotFound => CONCERT_NOT_FOUND.because("There is no such concert."),
            ScheduleError::SalesInvalid => SALES_INVALID.because(
                "Sales open before they close, and close when the show starts at the latest, in the years 1970 to 9999.",
            ),
            ScheduleError::Db(cause) => cause.into(),
        }
    }
}

impl From<ProgrammeError> for Problem {
    fn from(error: ProgrammeError) -> Self {
        let detail = sentence(&error);
        match error {
            ProgrammeError::ConcertNotFound => ScheduleError::ConcertNotFound.into(),
            ProgrammeError::ScheduleNotFound => ReserveError::ScheduleNotFound.into(),
            ProgrammeError::VersionMismatch(_) => {
                PRECONDITION_FAILED.because("Somebody changed it since you read it; read it again.")
            }
            ProgrammeError::SalesInvalid => ScheduleError::SalesInvalid.into(),
            ProgrammeError::GradeUnknown(_) => GRADE_UNKNOWN.because(detail),
            ProgrammeError::SeatUnknown(_) => SEAT_UNKNOWN.because(detail),
            ProgrammeError::SeatTaken(taken) => {
                let conflict = |(number, state): (u16, SeatState)| json!({ "seatNumber": number, "reason": state.as_str() });
                let conflicts: Vec<Value> = taken.into_iter().map(conflict).collect();
                SEAT_TAKEN
                    .because("Somebody has one of these seats; nothing was changed.")
                    .with("conflicts", conflicts)
            }
            ProgrammeError::SeatsExist(numbers) => {
                SEATS_EXIST.because(detail).with("seatNumbers", numbers)
            }
            ProgrammeError::TooMany => SECTIONS_INVALID.because(detail),
            ProgrammeError::Sold => SEATS_SOLD
                .because("Somebody has bought or holds seats of this date; cancel it instead."),
            ProgrammeError::HasDates => {
                DATES_LEFT.because("The concert still has dates; remove them first.")
            }
            ProgrammeError::NotCancelled => {
                CANCELLATION_NOT_FOUND.because("This date is not cancelled.")
            }
            ProgrammeError::Cancelled => SCHEDULE_CANCELLED.because("This date was cancelled."),
            ProgrammeError::Db(cause) => cause.into(),
        }
    }
}

impl From<LayoutError> for Problem {
    fn from(error: LayoutError) -> Self {
        match error {
            LayoutError::Empty | LayoutError::Range | LayoutError::Overlap(_) => {
                SECTIONS_INVALID.because(sentence(&error))
            }
        }
    }
}

impl From<SeatNumbersError> for Problem {
    fn from(error: SeatNumbersError) -> Self {
        let detail = sentence(&error);
        match error {
            SeatNumbersError::Empty | SeatNumbersError::Repeated(_) => {
                SEATS_INVALID.because(detail)
            }
            SeatNumbersError::TooMany { .. } => TOO_MANY_SEATS.because(detail),
            SeatNumbersError::Unknown(_) => SEAT_UNKNOWN.because(detail),
        }
    }
}

impl From<ReserveError> for Problem {
    fn from(error: ReserveError) -> Self {
        let detail = sentence(&error);
        match error {
            ReserveError::SeatTaken(taken) => {
                let conflicts: Vec<Value> = taken.iter().map(conflict).collect();
                SEAT_TAKEN
                    .because(words_of(&taken))
                    .with("conflicts", conflicts)
            }
            ReserveError::SeatUnknown(_) => SEAT_UNKNOWN.because(detail),
            ReserveError::SoldOut { available } => SOLD_OUT
                .because("Fewer seats are free than you asked for; nothing was reserved.")
                .with("available", available),
            ReserveError::GradeUnknown(_) => GRADE_UNKNOWN.because(detail),
            ReserveError::Crowded => {
                DATABASE_BUSY.because("Too many want the same seats; try again soon.")
            }
            ReserveError::NotNew => {
                DATABASE_BUSY.because("Another request of yours was first; try again.")
            }
            ReserveError::TooManySeats { max, has } => TOO_MANY_SEATS.because(format!(
                "At most {max} seats of one date; you have {has} already."
            )),
            ReserveError::TooManyHolds { held } => TOO_MANY_HOLDS.because(format!(
                "You have held seats of this date {held} times without paying; pay a hold that you have, or come back tomorrow."
            )),
            ReserveError::SalesClosed(when) => sales_closed(when),
            ReserveError::WaitlistFirst => WAITLIST_FIRST
                .because("Others wait for the seats that came back; join the waiting list."),
            ReserveError::ScheduleNotFound => {
                SCHEDULE_NOT_FOUND.because("There is no such schedule.")
            }
            ReserveError::QueueMismatch => {
                QUEUE_MISMATCH.because("You were admitted to the queue of another concert.")
            }
            ReserveError::Db(cause) => cause.into(),
        }
    }
}

/// One seat that cannot be had.
fn conflict(conflict: &Conflict) -> Value {
    let mut told =
        json!({ "seatNumber": conflict.seat_number, "reason": conflict.reason.as_str() });
    if let Some(id) = conflict.reservation_id {
        told["reservationId"] = json!(id);
    }
    told
}

fn words_of(taken: &[Conflict]) -> &'static str {
    if taken.iter().all(|it| it.reason == Reason::Yours) {
        "You hold these seats already; pay the reservation that is named."
    } else {
        "Another visitor was faster; nothing was reserved."
    }
}

/// Before the opening the refusal goes away by itself, but not that of a date that was cancelled.
fn sales_closed(when: ClosedSales) -> Problem {
    let known = |detail| {
        SALES_CLOSED
            .because(detail)
            .with("salesOpenAt", rfc3339(when.opens_at))
            .with("salesCloseAt", rfc3339(when.closes_at))
    };
    if when.is_cancelled {
        return known("This date was cancelled.");
    }
    if when.now < when.opens_at {
        return known("Sales of this date have not begun.")
            .with("opensInSeconds", whole_seconds(when.opens_at - when.now))
            .retryable();
    }
    known("Sales of this date are over.")
}

impl From<ForgetError> for Problem {
    fn from(error: ForgetError) -> Self {
        match error {
            ForgetError::StillOwns(claims) => PERSON_HAS_CLAIMS
                .because("Settle what is still theirs first; nobody could find it afterwards.")
                .with("claims", claims),
            ForgetError::Db(cause) => cause.into(),
        }
    }
}

impl From<CancelError> for Problem {
    fn from(error: CancelError) -> Self {
        match error {
            CancelError::ReservationNotFound => reservation_not_found(),
            CancelError::ShowStarted => show_started(),
            CancelError::TooLate => too_late(),
            CancelError::Db(cause) => cause.into(),
        }
    }
}

impl From<PayError> for Problem {
    fn from(error: PayError) -> Self {
        match error {
            PayError::ReservationNotFound => reservation_not_found(),
            PayError::HoldExpired => {
                HOLD_EXPIRED.because("The hold is over; your money was not touched.")
            }
            PayError::Cancelled => RESERVATION_CANCELLED.because("The reservation was given back."),
            PayError::AlreadyPaid { payment_id } => already_paid(payment_id),
            PayError::BalanceShort { missing } => BALANCE_SHORT
                .because("The wallet has too little; charge it first.")
                .with("missing", missing),
            PayError::Db(cause) => cause.into(),
        }
    }
}

impl From<RefundError> for Problem {
    fn from(error: RefundError) -> Self {
        match error {
            RefundError::PaymentNotFound => {
                PAYMENT_NOT_FOUND.because("There is no such payment, or it is not yours.")
            }
            RefundError::AlreadyRefunded => {
                ALREADY_REFUNDED.because("The money was given back before.")
            }
            RefundError::SeatsUnknown(_) => SEAT_UNKNOWN.because(sentence(&error)),
            RefundError::TooMuch { refundable } => REFUND_TOO_LARGE
                .because("That is more than can be given back now.")
                .with("refundable", refundable),
            RefundError::TooLate => too_late(),
            RefundError::ShowStarted => show_started(),
            RefundError::Db(cause) => cause.into(),
        }
    }
}

impl From<CorrectionError> for Problem {
    fn from(error: CorrectionError) -> Self {
        match error {
            CorrectionError::BalanceShort { missing } => BALANCE_SHORT
                .because("There is less in the wallet than is to be taken.")
                .with("missing", missing),
            CorrectionError::Repeated => ChargeError::Repeated.into(),
            CorrectionError::Db(cause) => cause.into(),
        }
    }
}

impl From<OrderError> for Problem {
    fn from(error: OrderError) -> Self {
        match error {
            OrderError::Pay(refusal) => refusal.into(),
            OrderError::InProgress => {
                PAYMENT_IN_PROGRESS.because("Another payment for this reservation is on its way.")
            }
            OrderError::BalanceLimit => balance_limit(),
            OrderError::Free => AMOUNT_INVALID
                .because("The seats cost nothing, so a provider has nothing to collect."),
            OrderError::Repeated => ChargeError::Repeated.into(),
            OrderError::Db(cause) => cause.into(),
        }
    }
}

impl From<EventError> for Problem {
    fn from(error: EventError) -> Self {
        let detail = sentence(&error);
        match error {
            EventError::OrderNotFound => CHARGE_NOT_FOUND.because("There is no such order."),
            EventError::AmountDiffers(_) => AMOUNT_INVALID.because(detail),
            EventError::Db(cause) => cause.into(),
        }
    }
}

impl From<WaitlistError> for Problem {
    fn from(error: WaitlistError) -> Self {
        let detail = sentence(&error);
        match error {
            WaitlistError::ScheduleNotFound => ReserveError::ScheduleNotFound.into(),
            WaitlistError::QueueMismatch => ReserveError::QueueMismatch.into(),
            WaitlistError::SalesClosed(when) => sales_closed(when),
            WaitlistError::TooManySeats(_) => TOO_MANY_SEATS.because(detail),
            WaitlistError::GradeUnknown(_) => GRADE_UNKNOWN.because(detail),
            WaitlistError::SeatsAvailable(available) => SEATS_AVAILABLE
                .because("Enough seats are free; reserve them.")
                .with("available", available),
            WaitlistError::EntryNotFound => {
                ENTRY_NOT_FOUND.because("There is no such entry, or it is not yours.")
            }
            WaitlistError::Db(cause) => cause.into(),
        }
    }
}

impl From<AmountInvalid> for Problem {
    fn from(error: AmountInvalid) -> Self {
        AMOUNT_INVALID.because(format!("The amount {error}, in minor units."))
    }
}

impl From<ChargeError> for Problem {
    fn from(error: ChargeError) -> Self {
        match error {
            ChargeError::BalanceLimit => balance_limit(),
            ChargeError::Repeated => IDEMPOTENCY_KEY_REUSED.because(
                "This Idempotency-Key charged the wallet long ago, as the ledger shows; take a new one.",
            ),
            ChargeError::Db(cause) => cause.into(),
        }
    }
}

impl From<RedeliverError> for Problem {
    fn from(error: RedeliverError) -> Self {
        match error {
            RedeliverError::NotFound => EVENT_NOT_FOUND.because("There is no such event."),
            RedeliverError::NotDead => EVENT_NOT_DEAD
                .because("The event was not given up, so there is nothing to send again."),
            RedeliverError::Db(cause) => cause.into(),
        }
    }
}

impl<E> From<OnceError<E>> for Problem
where
    Self: From<E>,
{
    fn from(error: OnceError<E>) -> Self {
        match error {
            OnceError::Refused(refusal) => refusal.into(),
            OnceError::KeyReused => IDEMPOTENCY_KEY_REUSED
                .because("This Idempotency-Key was used for another request; take a new one."),
            OnceError::InProgress => IDEMPOTENCY_IN_PROGRESS
                .because("The first request with this key still runs; try again soon."),
            OnceError::Db(cause) => cause.into(),
        }
    }
}

impl From<ExtendError> for Problem {
    fn from(error: ExtendError) -> Self {
        match error {
            ExtendError::ReservationNotFound => reservation_not_found(),
            ExtendError::HoldExpired => {
                HOLD_EXPIRED.because("The hold is over; your money was not touched.")
            }
            ExtendError::Cancelled => {
                RESERVATION_CANCELLED.because("The reservation was given back.")
            }
            ExtendError::AlreadyPaid { payment_id } => already_paid(payment_id),
            ExtendError::AlreadyExtended => {
                ALREADY_EXTENDED.because("The hold was extended before; once is all.")
            }
            ExtendError::SeatsScarce { free } => EXTENSION_REFUSED
                .because("Too few seats are free; the last ones are not kept from others.")
                .with("available", free),
            ExtendError::NoLonger => {
                EXTENSION_REFUSED.because("Holds of this date cannot last longer.")
            }
            ExtendError::Db(cause) => cause.into(),
        }
    }
}

fn already_paid(payment_id: Option<Uuid>) -> Problem {
    ALREADY_PAID
        .because("The reservation is paid, or was paid and refunded.")
        .with("paymentId", json!(payment_id))
}

fn too_late() -> Problem {
    REFUND_TOO_LATE.because("By the rules of this date it is too late for a refund.")
}

fn reservation_not_found() -> Problem {
    RESERVATION_NOT_FOUND.because("There is no such reservation, or it is not yours.")
}

fn show_started() -> Problem {
    SHOW_STARTED.because("The show has started; seats are no longer given back.")
}

fn balance_limit() -> Problem {
    BALANCE_LIMIT.because(format!("A wallet is charged up to {LIMIT} at most."))
}

/// `no such seats: [51]` becomes `No such seats: [51].`
fn sentence(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    text.push('.');
    text
}
