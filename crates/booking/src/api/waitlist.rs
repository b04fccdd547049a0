//! The waiting list of a date, for visitors who find no seats.

use actix_web::HttpResponse;
use actix_web::web::{Data, Path, Query};
use chassis::json::Body;
use chassis::page::{Page, PageQuery};
use chassis::problem::Problem;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::caller::{Buyer, Visitor};
use super::{answer, paging};
use crate::Booking;
use crate::concert::Grade;
use crate::db::Tx;
use crate::waitlist::{self, Waiting};

/// How many seats the visitor waits for.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct JoinWaitlist {
    /// At most as many as a visitor may have.
    #[schema(value_type = u16, minimum = 1, maximum = 50, example = 2)]
    count: Count,
    /// Only seats of this grade; of any when not said.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 32, example = "VIP")]
    grade: Option<Grade>,
}

/// A number of seats, at least one.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "u16")]
struct Count(u16);

impl TryFrom<u16> for Count {
    type Error = &'static str;

    fn try_from(count: u16) -> Result<Self, Self::Error> {
        (count > 0)
            .then_some(Self(count))
            .ok_or("must be at least 1")
    }
}

/// The visitor's place in the waiting list of a date.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WaitlistEntry {
    id: Uuid,
    schedule_id: Uuid,
    #[schema(minimum = 1, example = 2)]
    count: u16,
    #[schema(example = "VIP")]
    grade: Option<String>,
    /// `waiting`, `offered` (seats are held, pay them in time), `taken` (paid), `lapsed` (the offer ended unpaid), `left`, or
    /// `expired` (sales ended, or you may have no more seats).
    #[schema(example = "waiting")]
    state: &'static str,
    /// 1 is the next; `null` when it does not wait any more.
    #[schema(minimum = 1, example = 3)]
    position: Option<u32>,
    /// What was offered.
    reservation_id: Option<Uuid>,
    #[serde(with = "chassis::time::wire")]
    created_at: DateTime<Utc>,
}

impl From<Waiting> for WaitlistEntry {
    fn from(waiting: Waiting) -> Self {
        let Waiting {
            entry, position, ..
        } = waiting;
        Self {
            id: entry.id,
            schedule_id: entry.schedule_id,
            count: entry.seat_count,
            grade: entry.grade,
            state: entry.state.as_str(),
            position,
            reservation_id: entry.reservation_id.map(Uuid::from),
            created_at: entry.created_at.0,
        }
    }
}

/// Takes the visitor into the waiting list of a date: seats that come back are offered in order, as a hold of their own.
/// Who is in it already keeps the place and the wish.
#[utoipa::path(post, path = "/api/v1/schedules/{scheduleId}/waitlist", operation_id = "joinWaitlist", tag = "waitlist",
    params(("scheduleId" = Uuid, Path)), request_body = JoinWaitlist,
    responses((status = 201, description = "A new place.", body = WaitlistEntry),
        (status = 200, description = "The place that the visitor has.", body = WaitlistEntry)),
    extensions(("x-access" = json!("active")), ("x-codes" = json!(["SCHEDULE_NOT_FOUND", "QUEUE_MISMATCH", "SALES_CLOSED",
        "SEATS_AVAILABLE", "TOO_MANY_SEATS", "GRADE_UNKNOWN"]))))]
pub async fn join(
    app: Data<Booking>,
    buyer: Buyer,
    id: Path<Uuid>,
    body: Body<JoinWaitlist>,
) -> Result<HttpResponse, Problem> {
    let wish = waitlist::Join {
        user_id: buyer.user_id,
        schedule_id: *id,
        count: body.0.count.0,
        grade: body.0.grade,
        queue: buyer.queue,
    };
    let (limits, clock) = (app.sale.limits, app.clock.clone());
    let join = move |tx: &mut Tx| waitlist::join(tx, &wish, &limits, &clock);
    let waiting = app.db.transaction(join).await?;
    Ok(joined(buyer.person, waiting))
}

fn joined(person: Uuid, waiting: waitlist::Waiting) -> HttpResponse {
    let at = format!("/api/v1/users/{person}/waitlist");
    match waiting.is_new {
        true => answer::created(&at, &WaitlistEntry::from(waiting)),
        false => answer::own(&WaitlistEntry::from(waiting)),
    }
}

/// Lists the visitor's own entries of waiting lists, the latest first.
#[utoipa::path(get, path = "/api/v1/users/{userId}/waitlist", operation_id = "listWaitlist", tag = "waitlist",
    params(("userId" = Uuid, Path, description = "The one who asks."), PageQuery),
    responses((status = 200, description = "A page of entries.", body = Page<WaitlistEntry>)),
    extensions(("x-access" = json!("token")), ("x-codes" = json!(["WALLET_NOT_FOUND"]))))]
pub async fn list(
    app: Data<Booking>,
    visitor: Visitor,
    user_id: Path<Uuid>,
    query: Query<PageQuery>,
) -> Result<HttpResponse, Problem> {
    let user_id = visitor.must_be(*user_id)?;
    let rows = paging::rows_of(&query)?;
    let look = move |conn: &mut _| waitlist::entries(conn, user_id, rows);
    let found = app.db.read(look).await?;
    let page = paging::page_of(found, &query, |row| row.entry.id, WaitlistEntry::from);
    Ok(answer::own(&page))
}

/// Takes the visitor out of a waiting list. The second time is fine too.
#[utoipa::path(delete, path = "/api/v1/users/{userId}/waitlist/{entryId}", operation_id = "leaveWaitlist",
    tag = "waitlist",
    params(("userId" = Uuid, Path, description = "The one who asks."), ("entryId" = Uuid, Path)),
    responses((status = 204, description = "Out of the list. What was offered stays a hold that can be given back.")),
    extensions(("x-access" = json!("token")), ("x-codes" = json!(["WALLET_NOT_FOUND", "ENTRY_NOT_FOUND"]))))]
pub async fn leave(
    app: Data<Booking>,
    visitor: Visitor,
    path: Path<(Uuid, Uuid)>,
) -> Result<HttpResponse, Problem> {
    let (user_id, entry_id) = path.into_inner();
    let user_id = visitor.must_be(user_id)?;
    let clock = app.clock.clone();
    let leave = move |tx: &mut Tx| waitlist::leave(tx, user_id, entry_id, &clock);
    app.db.transaction(leave).await?;
    Ok(answer::gone())
}
