//! Seats that the visitor holds for a while: take them, look at them, give them back.

use actix_web::HttpResponse;
use actix_web::web::{Data, Path, Query};
use chassis::json::Body;
use chassis::page::{Page, PageQuery};
use chassis::problem::Problem;
use chassis::time::Timestamp;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::caller::Admitted;
use super::repeat::{self, OptionalKey, OptionalKeyHeader};
use super::{answer, paging};
use crate::Booking;
use crate::concert::Grade;
use crate::crash;
use crate::db::{Tx, new_id};
use crate::idempotency::{Claim, OnceError, Outcome};
use crate::ledger::CURRENCY;
use crate::reservation::{
    self, Best, Cancelled, Conflict, Reason, ReservationState, ReserveError, ReservedSeat, Wanted,
};
use crate::seat::SeatNumbers;
use crate::seat_lock::LockOutcome;

const RESERVATIONS: &str = "/api/v1/reservations";
const RESERVE: &str = "POST /api/v1/reservations";

/// Seats that the visitor wants: either these very ones, or some of the best.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(untagged, try_from = "Fields")]
pub enum Reserve {
    /// These very seats.
    Numbers(ReserveNumbers),
    /// Some of the best that are free.
    Best(ReserveBest),
}

/// Seats that the visitor names.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReserveNumbers {
    schedule_id: Uuid,
    /// All of them or none.
    #[schema(min_items = 1, max_items = 4, example = json!([7, 8]))]
    seat_numbers: Vec<i64>,
}

/// Seats that are chosen for the visitor: side by side (consecutive numbers of one grade) while there are such, the
/// dearest first, of one price the lowest numbers. When there are none side by side, the best that are free, wherever
/// they are; who does not want them gives them back.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReserveBest {
    schedule_id: Uuid,
    /// How many seats.
    #[schema(minimum = 1, maximum = 4, example = 2)]
    count: i64,
    /// Only seats of this grade; of any when not said.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 32, example = "VIP")]
    #[serde(skip_serializing_if = "Option::is_none")]
    grade: Option<Grade>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Fields {
    schedule_id: Uuid,
    seat_numbers: Option<Vec<i64>>,
    count: Option<i64>,
    grade: Option<Grade>,
}

impl TryFrom<Fields> for Reserve {
    type Error = &'static str;

    fn try_from(fields: Fields) -> Result<Self, Self::Error> {
        let schedule_id = fields.schedule_id;
        match (fields.seat_numbers, fields.count, fields.grade) {
            (Some(seat_numbers), None, None) => Ok(Self::Numbers(ReserveNumbers {
                schedule_id,
                seat_numbers,
            })),
            (None, Some(count), grade) => Ok(Self::Best(ReserveBest {
                schedule_id,
                count,
                grade,
            })),
            _ => Err("either `seatNumbers`, or `count` with or without `grade`"),
        }
    }
}

impl Reserve {
    fn wanted(
        self,
        by: Admitted,
        max: u16,
        now: Timestamp,
    ) -> Result<reservation::Reserve, Problem> {
        let (schedule_id, seats) = match self {
            Self::Numbers(wish) => {
                let numbers = SeatNumbers::parse(&wish.seat_numbers, max)?;
                (wish.schedule_id, Wanted::Numbers(numbers))
            }
            Self::Best(wish) => {
                let best = Best::parse(wish.count, wish.grade, max)?;
                (wish.schedule_id, Wanted::Best(best))
            }
        };
        Ok(reservation::Reserve {
            id: new_id(now),
            user_id: by.user_id,
            schedule_id,
            seats,
            queue: by.queue,
        })
    }
}

/// Seats that the visitor holds or has bought.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Reservation {
    id: Uuid,
    schedule_id: Uuid,
    user_id: Uuid,
    /// `held`, `confirmed` (paid), `cancelled`, `expired` or `refunded`.
    #[schema(example = "held")]
    state: &'static str,
    seats: Vec<HeldSeat>,
    /// What the seats cost together, in minor units.
    #[schema(example = 300_000)]
    amount: i64,
    #[schema(example = "KRW")]
    currency: &'static str,
    /// From then on the seats are free again unless they are paid.
    #[serde(with = "chassis::time::wire")]
    hold_expires_at: DateTime<Utc>,
    /// Whole seconds until then, rounded up; 0 when nothing is held.
    #[schema(example = 300)]
    expires_in_seconds: i64,
    #[serde(with = "chassis::time::wire")]
    created_at: DateTime<Utc>,
}

/// A seat of a reservation, as it was when it was reserved.
#[derive(Serialize, ToSchema)]
#[schema(as = ReservedSeat)]
pub struct HeldSeat {
    #[schema(example = 7)]
    number: u16,
    #[schema(example = "VIP")]
    grade: String,
    /// In minor units.
    #[schema(example = 150_000)]
    price: i64,
}

impl From<ReservedSeat> for HeldSeat {
    fn from(seat: ReservedSeat) -> Self {
        Self {
            number: seat.number,
            grade: seat.grade,
            price: seat.price,
        }
    }
}

impl Reservation {
    pub(super) fn at(now: Timestamp, reservation: reservation::Reservation) -> Self {
        let left_us = (reservation.hold_expires_at - now)
            .num_microseconds()
            .unwrap_or(0);
        let held = reservation.state == ReservationState::Held;
        Self {
            id: reservation.id,
            schedule_id: reservation.schedule_id,
            user_id: reservation.user_id,
            state: reservation.state.as_str(),
            seats: reservation.seats.into_iter().map(HeldSeat::from).collect(),
            amount: reservation.amount,
            currency: CURRENCY,
            hold_expires_at: reservation.hold_expires_at,
            expires_in_seconds: if held {
                (left_us.max(0) + 999_999) / 1_000_000
            } else {
                0
            },
            created_at: reservation.created_at,
        }
    }
}

/// Holds seats for the visitor: all of them or none. Names them, or asks for some of the best.
#[utoipa::path(post, path = "/api/v1/reservations", operation_id = "reserve", tag = "reservations",
    params(OptionalKeyHeader), request_body = Reserve,
    responses((status = 201, description = "The seats are held until `holdExpiresAt`.", body = Reservation,
        headers(("Location" = String, description = "The reservation."),
            ("Idempotent-Replayed" = String, description = "`true` on a repetition.")))),
    extensions(("x-access" = json!("active")), ("x-codes" = json!(["SCHEDULE_NOT_FOUND", "SEAT_TAKEN", "SEAT_UNKNOWN",
        "SEATS_INVALID", "TOO_MANY_SEATS", "SOLD_OUT", "GRADE_UNKNOWN", "SALES_CLOSED", "QUEUE_MISMATCH"]))))]
pub async fn reserve(
    app: Data<Booking>,
    admitted: Admitted,
    key: OptionalKey,
    body: Body<Reserve>,
) -> Result<HttpResponse, Problem> {
    let now = app.clock.now();
    let claim = key.claim(admitted.user_id, RESERVE, &*body);
    let wanted = body.0.wanted(admitted, app.limits.seats_per_user, now)?;
    let schedule_id = wanted.schedule_id;
    let outcome = hold(&app, wanted, claim, now).await;
    if let Ok(Outcome::Fresh(_)) = outcome {
        app.lists.changed(schedule_id);
    }
    repeat::answer_at(RESERVATIONS, outcome?)
}

async fn hold(
    app: &Booking,
    wanted: reservation::Reserve,
    claim: Option<Claim>,
    now: Timestamp,
) -> Result<Outcome<ReserveError>, OnceError> {
    match wanted.seats.clone() {
        Wanted::Numbers(numbers) => hold_numbers(app, wanted, &numbers, claim, now).await,
        Wanted::Best(best) => hold_best(app, wanted, best, claim, now).await,
    }
}

/// Redis locks reject early; MySQL decides. The locks of a hold stay for as long as it may live, at most 5 s.
async fn hold_numbers(
    app: &Booking,
    wanted: reservation::Reserve,
    seats: &SeatNumbers,
    claim: Option<Claim>,
    now: Timestamp,
) -> Result<Outcome<ReserveError>, OnceError> {
    let reservation::Reserve {
        id, schedule_id, ..
    } = wanted;
    let lives = app.limits.hold.to_std().unwrap_or_default();
    let owner = claim.as_ref().map_or(id, Claim::request_id);
    if let LockOutcome::Contended(numbers) =
        app.seat_lock.take(schedule_id, seats, owner, lives).await
    {
        app.metrics.conflicts.with_label_values(&["lock"]).inc();
        return Ok(Outcome::Refused(being_held(numbers)));
    }
    crash::point("reserve.locked");
    let outcome = decide(app, wanted, claim, now).await;
    let held_for_id = owner == id && matches!(outcome, Ok(Outcome::Fresh(_)));
    if !held_for_id {
        // A cancellation knows the reservation and not the key, so the locks of a key go at once.
        app.seat_lock
            .release(schedule_id, seats.as_slice(), owner)
            .await;
    }
    outcome
}

/// Seats that are chosen need no locks in Redis: no buyer is offered what others are taking.
async fn hold_best(
    app: &Booking,
    wanted: reservation::Reserve,
    best: Best,
    claim: Option<Claim>,
    now: Timestamp,
) -> Result<Outcome<ReserveError>, OnceError> {
    let patient = reservation::Reserve {
        seats: Wanted::Best(best.patiently()),
        ..wanted.clone()
    };
    match decide(app, wanted, claim.clone(), now).await {
        Ok(Outcome::Refused(ReserveError::Crowded)) => decide(app, patient, claim, now).await,
        outcome => outcome,
    }
}

async fn decide(
    app: &Booking,
    wanted: reservation::Reserve,
    claim: Option<Claim>,
    now: Timestamp,
) -> Result<Outcome<ReserveError>, OnceError> {
    let limits = app.limits;
    let act = move |tx: &mut Tx| {
        let held = reservation::reserve(tx, &wanted, &limits, now)?;
        Ok(Reservation::at(now, held))
    };
    let outcome = match claim {
        Some(claim) => repeat::once(app, claim, now, act).await,
        None => Ok(match app.db.transaction(act).await {
            Ok(held) => Outcome::Fresh(repeat::created(&held)),
            Err(refusal) => Outcome::Refused(refusal),
        }),
    };
    count(app, &outcome);
    outcome
}

fn count(app: &Booking, outcome: &Result<Outcome<ReserveError>, OnceError>) {
    match outcome {
        Ok(Outcome::Fresh(_)) => app.metrics.holds.inc(),
        Ok(Outcome::Refused(ReserveError::SeatTaken(_) | ReserveError::SoldOut { .. })) => {
            app.metrics.conflicts.with_label_values(&["database"]).inc();
        }
        Ok(Outcome::Replayed(_) | Outcome::Refused(_)) | Err(_) => {}
    }
}

fn being_held(numbers: Vec<u16>) -> ReserveError {
    let conflict = |seat_number| Conflict {
        seat_number,
        reason: Reason::Held,
    };
    ReserveError::SeatTaken(numbers.into_iter().map(conflict).collect())
}

/// Lists the visitor's own reservations, newest first.
#[utoipa::path(get, path = "/api/v1/reservations", operation_id = "listReservations", tag = "reservations",
    params(PageQuery),
    responses((status = 200, description = "A page of reservations.", body = Page<Reservation>)),
    extensions(("x-access" = json!("active"))))]
pub async fn list(
    app: Data<Booking>,
    admitted: Admitted,
    query: Query<PageQuery>,
) -> Result<HttpResponse, Problem> {
    let (rows, now) = (paging::rows_of(&query)?, app.clock.now());
    let found = app
        .db
        .read(move |conn| reservation::list(conn, admitted.user_id, rows, now))
        .await?;
    Ok(answer::own(&paging::page_of(
        found,
        &query,
        |row| row.id,
        |row| Reservation::at(now, row),
    )))
}

/// Shows one of the visitor's own reservations.
#[utoipa::path(get, path = "/api/v1/reservations/{reservationId}", operation_id = "showReservation",
    tag = "reservations", params(("reservationId" = Uuid, Path)),
    responses((status = 200, description = "The reservation.", body = Reservation)),
    extensions(("x-access" = json!("active")), ("x-codes" = json!(["RESERVATION_NOT_FOUND"]))))]
pub async fn show(
    app: Data<Booking>,
    admitted: Admitted,
    id: Path<Uuid>,
) -> Result<HttpResponse, Problem> {
    let (id, now) = (*id, app.clock.now());
    let found = app
        .db
        .read(move |conn| reservation::find(conn, admitted.user_id, id, now))
        .await?;
    let found = found.ok_or(reservation::CancelError::ReservationNotFound)?;
    Ok(answer::own(&Reservation::at(now, found)))
}

/// Gives a reservation back: a hold is ended, a paid one is refunded in full until the show starts.
/// The second time is fine too.
#[utoipa::path(delete, path = "/api/v1/reservations/{reservationId}", operation_id = "cancel",
    tag = "reservations", params(("reservationId" = Uuid, Path)),
    responses((status = 204, description = "It is given back, or was over already.")),
    extensions(("x-access" = json!("active")),
        ("x-codes" = json!(["RESERVATION_NOT_FOUND", "SHOW_STARTED", "BALANCE_LIMIT"]))))]
pub async fn cancel(
    app: Data<Booking>,
    admitted: Admitted,
    id: Path<Uuid>,
) -> Result<HttpResponse, Problem> {
    let (id, now) = (*id, app.clock.now());
    let cancelled = app
        .db
        .transaction(move |tx| reservation::cancel(tx, admitted.user_id, id, now))
        .await?;
    count_cancelled(&app, &cancelled);
    app.seats_changed(&cancelled.reservation).await;
    Ok(answer::gone())
}

/// A paid reservation that is given back is a refund too.
fn count_cancelled(app: &Booking, cancelled: &Cancelled) {
    let Cancelled {
        reservation,
        changed,
    } = cancelled;
    app.metrics.cancellations.inc_by((*changed).into());
    if *changed && reservation.state == ReservationState::Refunded {
        app.metrics.refunds.inc();
        app.metrics
            .refunded
            .inc_by(reservation.amount.unsigned_abs());
    }
}
