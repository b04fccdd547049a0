//! Which seats a date has and which of them are for sale, for operators.

use actix_web::HttpResponse;
use actix_web::web::{Data, Path, Query};
use chassis::json::Body;
use chassis::page::{Page, PageQuery};
use chassis::problem::Problem;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::admin::Section;
use super::answer;
use super::document::SeatNumber;
use super::edition::{IfMatch, IfMatchHeader};
use super::operator::{Operator, right};
use super::programme::AdminSchedule;
use crate::Booking;
use crate::audit::Actor;
use crate::concert::{Layout, Title};
use crate::db::Tx;
use crate::programme::{self, PlacedSeat};
use crate::seat::{MAX_SEATS, SeatNumbers};

/// A seat as operators see it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AdminSeat {
    #[schema(minimum = 1, example = 7)]
    number: u16,
    #[schema(example = "VIP")]
    grade: String,
    /// In minor units of KRW.
    #[schema(example = 150_000)]
    price: i64,
    /// `available`, `held`, `sold` or `blocked`.
    #[schema(example = "blocked")]
    state: &'static str,
    /// Why it is blocked.
    #[schema(example = "Camera stand")]
    blocked_reason: Option<String>,
    /// Whose it is, while it is held or sold.
    reservation_id: Option<Uuid>,
}

impl From<PlacedSeat> for AdminSeat {
    fn from(seat: PlacedSeat) -> Self {
        Self {
            number: seat.number,
            grade: seat.grade,
            price: seat.price,
            state: seat.state.as_str(),
            blocked_reason: seat.blocked_reason,
            reservation_id: seat.reservation_id,
        }
    }
}

/// Lists every seat of a date with what visitors do not see.
#[utoipa::path(get, path = "/api/v1/admin/schedules/{scheduleId}/seats", operation_id = "listAllSeats", tag = "admin",
    params(("scheduleId" = Uuid, Path), PageQuery),
    responses((status = 200, description = "Every seat by its number, on one page.", body = Page<AdminSeat>)),
    extensions(("x-access" = json!("operator")), ("x-codes" = json!(["SCHEDULE_NOT_FOUND"]))))]
pub async fn list(
    app: Data<Booking>,
    _operator: Operator<right::Read>,
    id: Path<Uuid>,
    _page: Query<PageQuery>,
) -> Result<HttpResponse, Problem> {
    let (id, now) = (*id, app.clock.now());
    let found = app
        .db
        .read(move |conn| programme::seats(conn, id, now))
        .await?;
    let seats = found.into_iter().map(AdminSeat::from).collect();
    Ok(answer::own(&Page::whole(seats)))
}

/// Seats to add.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MoreSeats {
    #[schema(min_items = 1)]
    sections: Vec<Section>,
}

/// Adds seats to a date.
#[utoipa::path(post, path = "/api/v1/admin/schedules/{scheduleId}/seats", operation_id = "addSeats", tag = "admin",
    params(("scheduleId" = Uuid, Path), IfMatchHeader), request_body = MoreSeats,
    responses((status = 201, description = "The date as it is now.", body = AdminSchedule)),
    extensions(("x-access" = json!("operator")),
        ("x-codes" = json!(["SCHEDULE_NOT_FOUND", "SEATS_EXIST", "SECTIONS_INVALID", "SCHEDULE_CANCELLED"]))))]
pub async fn add(
    app: Data<Booking>,
    operator: Operator<right::Sale>,
    id: Path<Uuid>,
    IfMatch(expected): IfMatch,
    body: Body<MoreSeats>,
) -> Result<HttpResponse, Problem> {
    let (id, now, name) = (*id, app.clock.now(), operator.name);
    let sections = body.0.sections.into_iter().map(Section::into);
    let layout = Layout::try_from(sections.collect::<Vec<_>>())?;
    let add = move |tx: &mut Tx| {
        programme::add_seats(tx, id, &layout, &expected, Actor::Operator(&name), now)
    };
    let grown = app.db.transaction(add).await?;
    app.lists.edited_date(grown.concert_id, id);
    let at = format!("/api/v1/admin/schedules/{id}/seats");
    Ok(answer::created(&at, &AdminSchedule::from(grown)))
}

/// Seats to take off sale.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BlockSeats {
    /// All of them or none.
    #[schema(value_type = Vec<SeatNumber>, min_items = 1, max_items = 10_000, example = json!([7, 8]))]
    seat_numbers: Vec<i64>,
    /// Shown to operators only.
    #[schema(value_type = String, min_length = 1, max_length = 200, example = "Camera stand")]
    reason: Title,
}

/// Takes free seats off sale: all of them or none. Blocking a blocked seat gives it another reason.
#[utoipa::path(post, path = "/api/v1/admin/schedules/{scheduleId}/seats/blocks", operation_id = "blockSeats",
    tag = "admin", params(("scheduleId" = Uuid, Path)), request_body = BlockSeats,
    responses((status = 204, description = "They are not for sale.")),
    extensions(("x-access" = json!("operator")), ("x-codes" = json!(["SCHEDULE_NOT_FOUND", "SEAT_TAKEN",
        "SEAT_UNKNOWN", "SEATS_INVALID", "TOO_MANY_SEATS"]))))]
pub async fn block(
    app: Data<Booking>,
    operator: Operator<right::Sale>,
    id: Path<Uuid>,
    body: Body<BlockSeats>,
) -> Result<HttpResponse, Problem> {
    let (id, now, name) = (*id, app.clock.now(), operator.name);
    let BlockSeats {
        seat_numbers,
        reason,
    } = body.0;
    let numbers = SeatNumbers::parse(&seat_numbers, MAX_SEATS)?;
    let block =
        move |tx: &mut Tx| programme::block(tx, id, &numbers, &reason, Actor::Operator(&name), now);
    app.db.transaction(block).await?;
    app.lists.changed(id);
    Ok(answer::gone())
}

/// Seats to put on sale again.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReleaseSeats {
    #[schema(value_type = Vec<SeatNumber>, min_items = 1, max_items = 10_000, example = json!([7, 8]))]
    seat_numbers: Vec<i64>,
}

/// How many seats were put on sale again.
#[derive(Serialize, ToSchema)]
pub struct Released {
    /// Those that were not blocked are not counted.
    #[schema(minimum = 0, example = 2)]
    released: usize,
}

/// Puts blocked seats on sale again; a seat that is not blocked stays as it is.
#[utoipa::path(post, path = "/api/v1/admin/schedules/{scheduleId}/seats/releases", operation_id = "releaseSeats",
    tag = "admin", params(("scheduleId" = Uuid, Path)), request_body = ReleaseSeats,
    responses((status = 200, description = "They are for sale.", body = Released)),
    extensions(("x-access" = json!("operator")), ("x-codes" = json!(["SCHEDULE_NOT_FOUND", "SEAT_UNKNOWN",
        "SEATS_INVALID", "TOO_MANY_SEATS", "SCHEDULE_CANCELLED"]))))]
pub async fn release(
    app: Data<Booking>,
    operator: Operator<right::Sale>,
    id: Path<Uuid>,
    body: Body<ReleaseSeats>,
) -> Result<HttpResponse, Problem> {
    let (id, now, name) = (*id, app.clock.now(), operator.name);
    let numbers = SeatNumbers::parse(&body.seat_numbers, MAX_SEATS)?;
    let release =
        move |tx: &mut Tx| programme::release(tx, id, &numbers, Actor::Operator(&name), now);
    let released = app.db.transaction(release).await?;
    app.lists.changed(id);
    Ok(answer::own(&Released { released }))
}
