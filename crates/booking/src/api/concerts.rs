//! What is for sale: concerts, their dates, the seats of a date.

use actix_web::web::{Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chassis::page::{Page, PageQuery};
use chassis::problem::Problem;
use chassis::time::{Timestamp, whole_seconds};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::caller::Admitted;
use super::encoded::EncodedBody;
use super::{answer, paging};
use crate::Booking;
use crate::{concert, seat};

/// A concert.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Concert {
    id: Uuid,
    #[schema(example = "Night of the Harps")]
    title: String,
    #[schema(example = "Great Hall")]
    venue: Option<String>,
    /// The queue of the waiting room through which its buyers come.
    #[schema(example = "main")]
    queue: String,
}

impl From<concert::Concert> for Concert {
    fn from(concert: concert::Concert) -> Self {
        let concert::Concert {
            id,
            title,
            venue,
            queue,
            ..
        } = concert;
        Self {
            id,
            title,
            venue,
            queue,
        }
    }
}

/// Lists the concerts, newest first.
#[utoipa::path(get, path = "/api/v1/concerts", operation_id = "listConcerts", tag = "concerts",
    params(PageQuery),
    responses((status = 200, description = "A page of concerts.", body = Page<Concert>)),
    extensions(("x-access" = json!("public"))))]
pub async fn list(app: Data<Booking>, query: Query<PageQuery>) -> Result<HttpResponse, Problem> {
    let rows = paging::rows_of(&query)?;
    let found = app.db.read(move |conn| concert::list(conn, rows)).await?;
    Ok(answer::public(&paging::page_of(
        found,
        &query,
        |row| row.id,
        Concert::from,
    )))
}

/// Shows one concert.
#[utoipa::path(get, path = "/api/v1/concerts/{concertId}", operation_id = "showConcert", tag = "concerts",
    params(("concertId" = Uuid, Path)),
    responses((status = 200, description = "The concert.", body = Concert)),
    extensions(("x-access" = json!("public")), ("x-codes" = json!(["CONCERT_NOT_FOUND"]))))]
pub async fn show(app: Data<Booking>, id: Path<Uuid>) -> Result<HttpResponse, Problem> {
    let concert = app.db.read(move |conn| concert::find(conn, *id)).await?;
    let concert = concert.ok_or(concert::ScheduleError::ConcertNotFound)?;
    Ok(answer::public(&Concert::from(concert)))
}

/// One date of a concert.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Schedule {
    id: Uuid,
    #[serde(with = "chassis::time::wire")]
    starts_at: DateTime<Utc>,
    #[serde(with = "chassis::time::wire")]
    sales_open_at: DateTime<Utc>,
    #[serde(with = "chassis::time::wire")]
    sales_close_at: DateTime<Utc>,
    #[schema(example = 50)]
    seats_total: u32,
    /// Free at this moment.
    #[schema(example = 12)]
    seats_available: u32,
    /// Whether it does not take place; who paid gets the money back.
    cancelled: bool,
    /// Whole seconds until sales open, rounded up; 0 once they have.
    #[schema(minimum = 0, example = 0)]
    opens_in_seconds: i64,
    refund_rules: RefundRules,
}

/// How much of the price comes back: all until `fullUntilSeconds` before the start, then `sharePercent` of it until
/// `shareUntilSeconds` before the start, then nothing.
#[derive(Serialize, Deserialize, Clone, Copy, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, try_from = "Rules")]
pub struct RefundRules {
    /// 0 is until the start.
    #[schema(value_type = i64, minimum = 0, maximum = 4_294_967_295_i64, example = 604_800)]
    full_until_seconds: u32,
    /// At most `fullUntilSeconds`.
    #[schema(value_type = i64, minimum = 0, maximum = 4_294_967_295_i64, example = 86_400)]
    share_until_seconds: u32,
    /// Rounded in favour of the buyer.
    #[schema(minimum = 0, maximum = 100, example = 50)]
    share_percent: u16,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Rules {
    full_until_seconds: u32,
    share_until_seconds: u32,
    share_percent: u16,
}

impl TryFrom<Rules> for RefundRules {
    type Error = concert::RulesInvalid;

    fn try_from(rules: Rules) -> Result<Self, Self::Error> {
        let rules = concert::RefundRules {
            full_until_s: rules.full_until_seconds,
            share_until_s: rules.share_until_seconds,
            share_percent: rules.share_percent,
        };
        rules.checked().map(Self::from)
    }
}

impl Default for RefundRules {
    fn default() -> Self {
        concert::RefundRules::default().into()
    }
}

impl From<concert::RefundRules> for RefundRules {
    fn from(rules: concert::RefundRules) -> Self {
        Self {
            full_until_seconds: rules.full_until_s,
            share_until_seconds: rules.share_until_s,
            share_percent: rules.share_percent,
        }
    }
}

impl From<RefundRules> for concert::RefundRules {
    fn from(rules: RefundRules) -> Self {
        Self {
            full_until_s: rules.full_until_seconds,
            share_until_s: rules.share_until_seconds,
            share_percent: rules.share_percent,
        }
    }
}

impl Schedule {
    pub(super) fn at(now: Timestamp, schedule: concert::Schedule) -> Self {
        Self {
            opens_in_seconds: whole_seconds(schedule.sales_open_at - now),
            refund_rules: schedule.refund_rules.into(),
            id: schedule.id,
            starts_at: schedule.starts_at,
            sales_open_at: schedule.sales_open_at,
            sales_close_at: schedule.sales_close_at,
            seats_total: schedule.seats_total,
            seats_available: schedule.seats_available,
            cancelled: schedule.is_cancelled,
        }
    }
}

/// Which dates.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Bookable {
    /// Only those of which a seat can be reserved now.
    #[serde(default)]
    #[param(default = false)]
    available: bool,
}

/// Lists the dates of a concert in their order.
#[utoipa::path(get, path = "/api/v1/concerts/{concertId}/schedules", operation_id = "listSchedules", tag = "concerts",
    params(("concertId" = Uuid, Path), Bookable, PageQuery,
        ("If-None-Match" = Option<String>, Header, description = "The `ETag` of the answer that you have.")),
    responses(
        (status = 200, description = "Every date, or every date that can be booked, on one page; as it was a moment ago.",
            body = Page<Schedule>, headers(("ETag" = String, description = "Strong."))),
        (status = 304, description = "The answer that you have is still true.")),
    extensions(("x-access" = json!("active")), ("x-codes" = json!(["CONCERT_NOT_FOUND", "QUEUE_MISMATCH"]))))]
pub async fn schedules(
    app: Data<Booking>,
    admitted: Admitted,
    id: Path<Uuid>,
    query: Query<Bookable>,
    _page: Query<PageQuery>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let dates = app.lists.dates(&app.db, *id).await?;
    admitted.must_come_from(&dates.queue)?;
    Ok(dates.encoded(query.available).answer(&request))
}

/// One seat.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Seat {
    #[schema(minimum = 1, example = 7)]
    number: u16,
    #[schema(example = "VIP")]
    grade: String,
    /// In minor units of KRW.
    #[schema(example = 150_000)]
    price: i64,
    /// `available`, `held`, `sold` or `blocked`.
    #[schema(example = "available")]
    state: &'static str,
}

impl From<seat::Seat> for Seat {
    fn from(seat: seat::Seat) -> Self {
        Self {
            number: seat.number,
            grade: seat.grade,
            price: seat.price,
            state: seat.state.as_str(),
        }
    }
}

/// The seats of a date.
#[derive(Serialize, ToSchema)]
pub struct Seats {
    items: Vec<Seat>,
    /// The same for the same content; also the `ETag`.
    #[schema(example = "hvOGOTYRb5hDJvy8B0yI7w")]
    version: String,
}

impl Seats {
    /// Those of these seats that are shown, with a version of just them.
    pub(super) fn of(seats: impl Iterator<Item = seat::Seat>) -> Self {
        let items: Vec<Seat> = seats.map(Seat::from).collect();
        let version = version_of(&items);
        Self { items, version }
    }

    pub(super) fn version(self) -> String {
        self.version
    }

    pub(super) fn encoded(&self) -> EncodedBody {
        let body = serde_json::to_vec(self).expect("seats are JSON");
        EncodedBody::new(&self.version, body)
    }
}

/// The same for the same content: half a SHA-256 in base64url.
pub(super) fn version_of(content: &impl Serialize) -> String {
    let mut hash = Sha256::new();
    serde_json::to_writer(&mut hash, content).expect("content is JSON");
    URL_SAFE_NO_PAD.encode(&hash.finalize()[..16])
}

/// Which seats.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct SeatQuery {
    /// Only those in this state.
    #[param(inline)]
    state: Option<Wanted>,
}

/// The state that can be asked for.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Wanted {
    /// Free at this moment.
    Available,
}

/// Lists the seats of a date by number.
#[utoipa::path(get, path = "/api/v1/schedules/{scheduleId}/seats", operation_id = "listSeats", tag = "concerts",
    params(("scheduleId" = Uuid, Path), SeatQuery,
        ("If-None-Match" = Option<String>, Header, description = "The `ETag` of the answer that you have.")),
    responses(
        (status = 200, description = "Every seat, or every seat in the state asked for; as it was a moment ago.", body = Seats,
            headers(("ETag" = String, description = "Strong: `version` between quotation marks, with `.gz` behind it \
                where the answer is compressed."))),
        (status = 304, description = "The answer that you have is still true.")),
    extensions(("x-access" = json!("active")), ("x-codes" = json!(["SCHEDULE_NOT_FOUND", "QUEUE_MISMATCH"]))))]
pub async fn seats(
    app: Data<Booking>,
    admitted: Admitted,
    id: Path<Uuid>,
    query: Query<SeatQuery>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let seats = app.lists.seats(&app.db, *id).await?;
    admitted.must_come_from(&seats.queue)?;
    let answer = seats.encoded(query.state.is_some()).answer(&request);
    let from = (&app.db, &*app.lists);
    Ok(app.remaining.told(from, &seats.queue, answer).await)
}
