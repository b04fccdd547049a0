//! What operators change while it is on sale: concerts and dates, hidden ones too.

use actix_web::HttpResponse;
use actix_web::web::{Data, Path, Query};
use chassis::json::Body;
use chassis::page::{Page, PageQuery};
use chassis::problem::Problem;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::admin::storable;
use super::concerts::RefundRules;
use super::edition::{IfMatch, IfMatchHeader, given};
use super::operator::{Operator, right};
use super::{answer, paging};
use crate::Booking;
use crate::audit::Actor;
use crate::concert::{self, Grade, Price, QueueName, Title};
use crate::db::Tx;
use crate::programme::{self, EditConcert, EditDate, ListedConcert, ListedDate, SeatCounts};

/// A concert as its operators see it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AdminConcert {
    id: Uuid,
    #[schema(example = "Night of the Harps")]
    title: String,
    #[schema(example = "Great Hall")]
    venue: Option<String>,
    #[schema(example = "main")]
    queue: String,
    /// Whether visitors see nothing of it.
    hidden: bool,
    /// Also the `ETag`.
    #[schema(minimum = 1, example = 3)]
    version: u32,
    #[serde(with = "chassis::time::wire")]
    created_at: DateTime<Utc>,
}

impl From<ListedConcert> for AdminConcert {
    fn from(concert: ListedConcert) -> Self {
        Self {
            id: concert.id,
            title: concert.title,
            venue: concert.venue,
            queue: concert.queue,
            hidden: concert.hidden,
            version: concert.version,
            created_at: concert.created_at,
        }
    }
}

/// A date as its operators see it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AdminSchedule {
    id: Uuid,
    concert_id: Uuid,
    #[serde(with = "chassis::time::wire")]
    starts_at: DateTime<Utc>,
    #[serde(with = "chassis::time::wire")]
    sales_open_at: DateTime<Utc>,
    #[serde(with = "chassis::time::wire")]
    sales_close_at: DateTime<Utc>,
    #[schema(example = 50)]
    seats_total: u32,
    /// Whether visitors see nothing of it.
    hidden: bool,
    /// Most seats of one visitor; `null` is the default of the service.
    #[schema(minimum = 1, maximum = 50, example = 6)]
    max_seats_per_user: Option<u16>,
    refund_rules: RefundRules,
    #[serde(with = "chassis::time::wire_option")]
    cancelled_at: Option<DateTime<Utc>>,
    /// Also the `ETag`.
    #[schema(minimum = 1, example = 3)]
    version: u32,
}

impl From<ListedDate> for AdminSchedule {
    fn from(date: ListedDate) -> Self {
        Self {
            id: date.id,
            concert_id: date.concert_id,
            starts_at: date.starts_at,
            sales_open_at: date.sales_open_at,
            sales_close_at: date.sales_close_at,
            seats_total: date.seats_total,
            hidden: date.hidden,
            max_seats_per_user: date.max_seats_per_user,
            refund_rules: concert::RefundRules {
                full_until_s: date.refund_full_until_s,
                share_until_s: date.refund_share_until_s,
                share_percent: date.refund_share_percent,
            }
            .into(),
            cancelled_at: date.cancelled_at.map(|at| at.0),
            version: date.version,
        }
    }
}

/// A date with its seats at this moment.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CountedSchedule {
    #[serde(flatten)]
    schedule: AdminSchedule,
    seats: CountedSeats,
}

/// How many seats are in each state.
#[derive(Serialize, ToSchema)]
pub struct CountedSeats {
    #[schema(minimum = 0)]
    available: i64,
    #[schema(minimum = 0)]
    held: i64,
    #[schema(minimum = 0)]
    sold: i64,
    #[schema(minimum = 0)]
    blocked: i64,
}

impl From<(ListedDate, SeatCounts)> for CountedSchedule {
    fn from((date, counts): (ListedDate, SeatCounts)) -> Self {
        let SeatCounts {
            available,
            held,
            sold,
            blocked,
        } = counts;
        Self {
            schedule: date.into(),
            seats: CountedSeats {
                available,
                held,
                sold,
                blocked,
            },
        }
    }
}

/// Lists all concerts, newest first, hidden ones too.
#[utoipa::path(get, path = "/api/v1/admin/concerts", operation_id = "listAllConcerts", tag = "admin",
    params(PageQuery),
    responses((status = 200, description = "A page of concerts.", body = Page<AdminConcert>)),
    extensions(("x-access" = json!("operator"))))]
pub async fn concerts(
    app: Data<Booking>,
    _operator: Operator<right::Read>,
    query: Query<PageQuery>,
) -> Result<HttpResponse, Problem> {
    let rows = paging::rows_of(&query)?;
    let look = move |conn: &mut _| programme::concerts(conn, rows);
    let found = app.db.read(look).await?;
    let page = paging::page_of(found, &query, |row| row.id, AdminConcert::from);
    Ok(answer::own(&page))
}

/// Shows a concert, a hidden one too.
#[utoipa::path(get, path = "/api/v1/admin/concerts/{concertId}", operation_id = "showAnyConcert", tag = "admin",
    params(("concertId" = Uuid, Path)),
    responses((status = 200, description = "The concert.", body = AdminConcert,
        headers(("ETag" = String, description = "Strong; send it as `If-Match` with a change.")))),
    extensions(("x-access" = json!("operator")), ("x-codes" = json!(["CONCERT_NOT_FOUND"]))))]
pub async fn concert(
    app: Data<Booking>,
    _operator: Operator<right::Read>,
    id: Path<Uuid>,
) -> Result<HttpResponse, Problem> {
    let found = app
        .db
        .read(move |conn| programme::concert(conn, *id))
        .await?;
    Ok(answer::versioned(found.version, &AdminConcert::from(found)))
}

/// What is to be changed of a concert; what is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = ConcertChanges)]
pub struct ConcertChanges {
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = String, min_length = 1, max_length = 200, required = false)]
    title: Option<Title>,
    /// `null` takes it away.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 200, required = false)]
    venue: Option<Option<Title>>,
    /// Buyers come through it from now on; holds can be paid all the same.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = String, pattern = "^[a-z0-9][a-z0-9-]{0,31}$", required = false)]
    queue: Option<QueueName>,
    /// Visitors see nothing of it and can reserve nothing of it; holds can be paid.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = bool, required = false)]
    hidden: Option<bool>,
}

impl From<ConcertChanges> for EditConcert {
    fn from(changes: ConcertChanges) -> Self {
        Self {
            title: changes.title,
            venue: changes.venue,
            queue: changes.queue,
            hidden: changes.hidden,
        }
    }
}

/// Changes a concert.
#[utoipa::path(patch, path = "/api/v1/admin/concerts/{concertId}", operation_id = "editConcert", tag = "admin",
    params(("concertId" = Uuid, Path), IfMatchHeader), request_body = ConcertChanges,
    responses((status = 200, description = "The concert as it is now.", body = AdminConcert,
        headers(("ETag" = String, description = "Strong.")))),
    extensions(("x-access" = json!("operator")), ("x-codes" = json!(["CONCERT_NOT_FOUND"]))))]
pub async fn edit_concert(
    app: Data<Booking>,
    operator: Operator<right::Sale>,
    id: Path<Uuid>,
    IfMatch(expected): IfMatch,
    body: Body<ConcertChanges>,
) -> Result<HttpResponse, Problem> {
    let (id, now, name) = (*id, app.clock.now(), operator.name);
    let edit = EditConcert::from(body.0);
    let change = move |tx: &mut Tx| {
        programme::edit_concert(tx, id, &edit, &expected, Actor::Operator(&name), now)
    };
    let edited = app.db.transaction(change).await?;
    app.lists.edited();
    let version = edited.version;
    Ok(answer::versioned(version, &AdminConcert::from(edited)))
}

/// Removes a concert that has no dates.
#[utoipa::path(delete, path = "/api/v1/admin/concerts/{concertId}", operation_id = "removeConcert", tag = "admin",
    params(("concertId" = Uuid, Path), IfMatchHeader),
    responses((status = 204, description = "It is gone.")),
    extensions(("x-access" = json!("operator")), ("x-codes" = json!(["CONCERT_NOT_FOUND", "DATES_LEFT"]))))]
pub async fn remove_concert(
    app: Data<Booking>,
    operator: Operator<right::Sale>,
    id: Path<Uuid>,
    IfMatch(expected): IfMatch,
) -> Result<HttpResponse, Problem> {
    let (id, now, name) = (*id, app.clock.now(), operator.name);
    let remove = move |tx: &mut Tx| {
        programme::remove_concert(tx, id, &expected, Actor::Operator(&name), now)
    };
    app.db.transaction(remove).await?;
    app.lists.edited();
    Ok(answer::gone())
}

/// Lists all dates of a concert in their order, hidden and cancelled ones too.
#[utoipa::path(get, path = "/api/v1/admin/concerts/{concertId}/schedules", operation_id = "listAllSchedules",
    tag = "admin", params(("concertId" = Uuid, Path), PageQuery),
    responses((status = 200, description = "Every date, on one page.", body = Page<CountedSchedule>)),
    extensions(("x-access" = json!("operator")), ("x-codes" = json!(["CONCERT_NOT_FOUND"]))))]
pub async fn dates(
    app: Data<Booking>,
    _operator: Operator<right::Read>,
    id: Path<Uuid>,
    _page: Query<PageQuery>,
) -> Result<HttpResponse, Problem> {
    let (id, now) = (*id, app.clock.now());
    let found = app
        .db
        .read(move |conn| programme::dates(conn, id, now))
        .await?;
    let dates = found.into_iter().map(CountedSchedule::from).collect();
    Ok(answer::own(&Page::whole(dates)))
}

/// Shows a date, a hidden or cancelled one too.
#[utoipa::path(get, path = "/api/v1/admin/schedules/{scheduleId}", operation_id = "showSchedule", tag = "admin",
    params(("scheduleId" = Uuid, Path)),
    responses((status = 200, description = "The date.", body = AdminSchedule,
        headers(("ETag" = String, description = "Strong; send it as `If-Match` with a change.")))),
    extensions(("x-access" = json!("operator")), ("x-codes" = json!(["SCHEDULE_NOT_FOUND"]))))]
pub async fn date(
    app: Data<Booking>,
    _operator: Operator<right::Read>,
    id: Path<Uuid>,
) -> Result<HttpResponse, Problem> {
    let found = app.db.read(move |conn| programme::date(conn, *id)).await?;
    Ok(answer::versioned(
        found.version,
        &AdminSchedule::from(found),
    ))
}

/// What is to be changed of a date; what is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScheduleChanges {
    /// Holds that would last longer end then.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = DateTime<Utc>, required = false)]
    starts_at: Option<DateTime<Utc>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = DateTime<Utc>, required = false)]
    sales_open_at: Option<DateTime<Utc>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = DateTime<Utc>, required = false)]
    sales_close_at: Option<DateTime<Utc>>,
    /// Visitors see nothing of it and can reserve nothing of it; holds can be paid.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = bool, required = false)]
    hidden: Option<bool>,
    /// Most seats of one visitor; `null` is the default of the service. Who has more keeps them.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<u16>, minimum = 1, maximum = 50, required = false)]
    max_seats_per_user: Option<Option<MaxSeats>>,
    /// How much of a payment comes back. What is paid already comes back by these, or by the rules at the time of the payment
    /// where they give more.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = RefundRules, required = false)]
    refund_rules: Option<RefundRules>,
    /// What seats of these grades cost from now on. Holds keep the price that they were made at.
    #[serde(default)]
    prices: Vec<GradePrice>,
}

/// A price for a grade.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GradePrice {
    #[schema(value_type = String, min_length = 1, max_length = 32, example = "VIP")]
    grade: Grade,
    /// In minor units of KRW.
    #[schema(value_type = i64, minimum = 0, maximum = 100_000_000, example = 150_000)]
    price: Price,
}

/// Most seats of one visitor in a date: 1 to 50.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "u16")]
pub struct MaxSeats(u16);

impl MaxSeats {
    pub(super) fn number(self) -> u16 {
        self.0
    }
}

impl TryFrom<u16> for MaxSeats {
    type Error = &'static str;

    fn try_from(number: u16) -> Result<Self, Self::Error> {
        let sound = (1..=50).contains(&number);
        sound.then_some(Self(number)).ok_or("must be from 1 to 50")
    }
}

impl From<ScheduleChanges> for EditDate {
    fn from(changes: ScheduleChanges) -> Self {
        let prices = changes.prices.into_iter().map(|it| (it.grade, it.price));
        Self {
            starts_at: changes.starts_at.map(storable),
            sales_open_at: changes.sales_open_at.map(storable),
            sales_close_at: changes.sales_close_at.map(storable),
            hidden: changes.hidden,
            max_seats_per_user: changes
                .max_seats_per_user
                .map(|max| max.map(MaxSeats::number)),
            refund_rules: changes.refund_rules.map(RefundRules::into),
            prices: prices.collect(),
        }
    }
}

/// Changes a date: when it is and is sold, what seats cost, how many a visitor may have, whether it is shown.
#[utoipa::path(patch, path = "/api/v1/admin/schedules/{scheduleId}", operation_id = "editSchedule", tag = "admin",
    params(("scheduleId" = Uuid, Path), IfMatchHeader), request_body = ScheduleChanges,
    responses((status = 200, description = "The date as it is now.", body = AdminSchedule,
        headers(("ETag" = String, description = "Strong.")))),
    extensions(("x-access" = json!("operator")),
        ("x-codes" = json!(["SCHEDULE_NOT_FOUND", "SALES_INVALID", "GRADE_UNKNOWN"]))))]
pub async fn edit_date(
    app: Data<Booking>,
    operator: Operator<right::Sale>,
    id: Path<Uuid>,
    IfMatch(expected): IfMatch,
    body: Body<ScheduleChanges>,
) -> Result<HttpResponse, Problem> {
    let (id, now, by) = (*id, app.clock.now(), operator.name);
    let edit = EditDate::from(body.0);
    let edited = programme::change_date(&app.db, id, edit, expected, by, now).await?;
    app.lists.edited_date(edited.concert_id, id);
    Ok(answer::versioned(
        edited.version,
        &AdminSchedule::from(edited),
    ))
}

/// Removes a date with its seats, while nobody has bought or holds one. Once somebody did, it can be cancelled.
#[utoipa::path(delete, path = "/api/v1/admin/schedules/{scheduleId}", operation_id = "removeSchedule", tag = "admin",
    params(("scheduleId" = Uuid, Path), IfMatchHeader),
    responses((status = 204, description = "It is gone.")),
    extensions(("x-access" = json!("operator")), ("x-codes" = json!(["SCHEDULE_NOT_FOUND", "SEATS_SOLD",
        "SCHEDULE_CANCELLED"]))))]
pub async fn remove_date(
    app: Data<Booking>,
    operator: Operator<right::Sale>,
    id: Path<Uuid>,
    IfMatch(expected): IfMatch,
) -> Result<HttpResponse, Problem> {
    let (id, now, name) = (*id, app.clock.now(), operator.name);
    let remove =
        move |tx: &mut Tx| programme::remove_date(tx, id, &expected, Actor::Operator(&name), now);
    app.db.transaction(remove).await?;
    app.lists.edited();
    Ok(answer::gone())
}

/// Ends the sales of a date now; holds can still be paid. The second time is fine too.
#[utoipa::path(post, path = "/api/v1/admin/schedules/{scheduleId}/closing", operation_id = "closeSales", tag = "admin",
    params(("scheduleId" = Uuid, Path)),
    responses((status = 200, description = "The date as it is now.", body = AdminSchedule,
        headers(("ETag" = String, description = "Strong.")))),
    extensions(("x-access" = json!("operator")),
        ("x-codes" = json!(["SCHEDULE_NOT_FOUND"]))))]
pub async fn close(
    app: Data<Booking>,
    operator: Operator<right::Sale>,
    id: Path<Uuid>,
) -> Result<HttpResponse, Problem> {
    let (id, now, name) = (*id, app.clock.now(), operator.name);
    let close = move |tx: &mut Tx| programme::close(tx, id, Actor::Operator(&name), now);
    let closed = app.db.transaction(close).await?;
    app.lists.edited_date(closed.concert_id, id);
    Ok(answer::versioned(
        closed.version,
        &AdminSchedule::from(closed),
    ))
}
