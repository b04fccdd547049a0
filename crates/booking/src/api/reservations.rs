//! Seats that the visitor holds for a while: take them, look at them, give them back.

use actix_web::web::{Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use chassis::json::{Body, OptionalBody};
use chassis::page::{Page, PageQuery};
use chassis::problem::Problem;
use chassis::time::{Timestamp, whole_seconds};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::caller::{Taker, Visitor};
use super::document::SeatNumber;
use super::repeat::{self, OptionalKey, OptionalKeyHeader};
use super::{answer, paging};
use crate::Booking;
use crate::cancellation::CancelError;
use crate::concert::Grade;
use crate::db::new_id;
use crate::idempotency::{Answer, OnceError};
use crate::ledger::CURRENCY;
use crate::reservation::{
    self, Best, ReservationState, ReserveError, ReservedSeat, SEATS_AT_MOST, Wanted,
};
use crate::sale::Held;
use crate::seat::SeatNumbers;

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
    #[schema(value_type = Vec<SeatNumber>, min_items = 1, max_items = 50, example = json!([7, 8]))]
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
    #[schema(minimum = 1, maximum = 50, example = 2)]
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
    fn wanted(&self, by: Taker, max: u16, now: Timestamp) -> Result<reservation::Reserve, Problem> {
        let (schedule_id, seats) = match self {
            Self::Numbers(wish) => {
                let numbers = SeatNumbers::parse(&wish.seat_numbers, max)?;
                (wish.schedule_id, Wanted::Numbers(numbers))
            }
            Self::Best(wish) => {
                let best = Best::parse(wish.count, wish.grade.clone(), max)?;
                (wish.schedule_id, Wanted::Best(best))
            }
        };
        Ok(reservation::Reserve {
            id: new_id(now),
            user_id: by.user_id,
            newcomer: by.is_new.then_some(by.person),
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
    /// What paid it; null until it is paid.
    #[schema(required)]
    payment_id: Option<Uuid>,
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
                whole_seconds(reservation.hold_expires_at - now)
            } else {
                0
            },
            created_at: reservation.created_at,
            payment_id: reservation.payment_id,
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
        "SEATS_INVALID", "TOO_MANY_SEATS", "TOO_MANY_HOLDS", "SOLD_OUT", "GRADE_UNKNOWN", "SALES_CLOSED",
        "QUEUE_MISMATCH", "WAITLIST_FIRST"]))))]
pub async fn reserve(
    app: Data<Booking>,
    taker: Taker,
    key: OptionalKey,
    body: Body<Reserve>,
    http: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let mut by = taker;
    let mut held = hold(&app, by.clone(), &key, &body).await?;
    if let Err(OnceError::Refused(ReserveError::NotNew)) = held {
        by = by.known(&http).await?;
        held = hold(&app, by.clone(), &key, &body).await?;
    }
    if by.is_new && held.is_ok() {
        app.subjects.joined(by.person, by.user_id);
    }
    repeat::answer(held?)
}

async fn hold(
    app: &Booking,
    by: Taker,
    key: &OptionalKey,
    body: &Reserve,
) -> Result<Held, Problem> {
    let request = key.clone().request(by.user_id, RESERVE, body, held);
    // What a user may have of this date is decided under the buyer's lock.
    let wanted = body.wanted(by, SEATS_AT_MOST, app.clock.now())?;
    Ok(app.sale.hold(wanted, request).await)
}

fn held(made: &reservation::Reservation) -> Answer {
    let location = format!("{RESERVATIONS}/{}", made.id);
    repeat::created_at(location, &Reservation::at(made.created_at, made.clone()))
}

/// Lists the visitor's own reservations, newest first.
#[utoipa::path(get, path = "/api/v1/reservations", operation_id = "listReservations", tag = "reservations",
    params(PageQuery),
    responses((status = 200, description = "A page of reservations.", body = Page<Reservation>)),
    extensions(("x-access" = json!("token"))))]
pub async fn list(
    app: Data<Booking>,
    visitor: Visitor,
    query: Query<PageQuery>,
) -> Result<HttpResponse, Problem> {
    let (rows, now) = (paging::rows_of(&query)?, app.clock.now());
    let found = app
        .db
        .read(move |conn| reservation::list(conn, visitor.user_id, rows, now))
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
    extensions(("x-access" = json!("token")), ("x-codes" = json!(["RESERVATION_NOT_FOUND"]))))]
pub async fn show(
    app: Data<Booking>,
    visitor: Visitor,
    id: Path<Uuid>,
) -> Result<HttpResponse, Problem> {
    let (id, now) = (*id, app.clock.now());
    let found = app
        .db
        .read(move |conn| reservation::find(conn, visitor.user_id, id, now))
        .await?;
    let found = found.ok_or(CancelError::ReservationNotFound)?;
    Ok(answer::own(&Reservation::at(now, found)))
}

/// Makes a hold last longer, once, while the date has free seats for others.
#[utoipa::path(post, path = "/api/v1/reservations/{reservationId}/extensions", operation_id = "extend",
    tag = "reservations", params(("reservationId" = Uuid, Path)), request_body(content = Option<Extend>),
    responses((status = 201, description = "The reservation with its new `holdExpiresAt`.", body = Reservation)),
    extensions(("x-access" = json!("token")), ("x-codes" = json!(["RESERVATION_NOT_FOUND", "HOLD_EXPIRED",
        "RESERVATION_CANCELLED", "ALREADY_PAID", "ALREADY_EXTENDED", "EXTENSION_REFUSED"]))))]
pub async fn extend(
    app: Data<Booking>,
    visitor: Visitor,
    id: Path<Uuid>,
    _nothing: OptionalBody<Extend>,
) -> Result<HttpResponse, Problem> {
    let extended = app.sale.extend(visitor.user_id, *id).await?;
    let location = format!("{RESERVATIONS}/{}", extended.id);
    let shown = Reservation::at(app.clock.now(), extended);
    Ok(answer::created(&location, &shown))
}

/// Nothing needs to be said.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Extend {}

/// Gives a reservation back: a hold is ended, a paid one is refunded by the rules of the date.
/// The second time is fine too.
#[utoipa::path(delete, path = "/api/v1/reservations/{reservationId}", operation_id = "cancel",
    tag = "reservations", params(("reservationId" = Uuid, Path)),
    responses((status = 204, description = "It is given back, or was over already.")),
    extensions(("x-access" = json!("token")),
        ("x-codes" = json!(["RESERVATION_NOT_FOUND", "SHOW_STARTED", "REFUND_TOO_LATE"]))))]
pub async fn cancel(
    app: Data<Booking>,
    visitor: Visitor,
    id: Path<Uuid>,
) -> Result<HttpResponse, Problem> {
    app.sale.cancel(visitor.user_id, *id).await?;
    Ok(answer::gone())
}
