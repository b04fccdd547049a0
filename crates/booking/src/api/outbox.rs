//! What operators see of the events for other systems, and how they send one again.

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::middleware::Next;
use actix_web::web::{Data, Path, Query};
use actix_web::{Error, HttpResponse};
use chassis::json::Body;
use chassis::page::{Page, PageQuery};
use chassis::problem::Problem;
use chassis::time::Timestamp;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::answer;
use super::operator::{Operator, right};
use super::paging::{page_of, rows_of};
use crate::Booking;
use crate::audit::Actor;
use crate::db::DbError;
use crate::forwarder::{self, Endpoint};
use crate::outbox;

/// Middleware: what was just written is published at once and does not wait for the next second. It stands around all
/// routes, so none can forget it; an event whose request was given up meanwhile waits for the line of the schedule.
pub async fn notify<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let writes = !matches!(*request.method(), Method::GET | Method::HEAD);
    let answer = next.call(request).await?;
    if writes
        && answer.status().is_success()
        && let Some(app) = answer.request().app_data::<Data<Booking>>()
    {
        app.events.notify();
    }
    Ok(answer)
}

/// How the delivery of events goes, with a page of the dead letters, newest first.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Outbox {
    /// Events that wait to be delivered.
    #[schema(minimum = 0)]
    backlog: i64,
    /// For how long the oldest of them has been waiting.
    #[schema(minimum = 0)]
    lag_seconds: i64,
    /// Dead letters, on all pages.
    #[schema(minimum = 0)]
    dead: i64,
    /// Who gets events as webhooks, by name.
    webhooks: Vec<Webhook>,
    #[serde(flatten)]
    dead_letters: Page<DeadLetter>,
}

impl Outbox {
    fn of(
        backlog: &outbox::Backlog,
        webhooks: Vec<Webhook>,
        dead_letters: Page<DeadLetter>,
        now: Timestamp,
    ) -> Self {
        Self {
            backlog: backlog.pending,
            lag_seconds: backlog.lag_s(now),
            dead: backlog.dead,
            webhooks,
            dead_letters,
        }
    }
}

/// A receiver of webhooks, as its forwarders last measured it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Webhook {
    /// Its name: the consumer group.
    #[schema(example = "data-platform")]
    receiver: String,
    /// Events on the topic that it does not have.
    #[schema(minimum = 0)]
    waiting: i64,
    /// For how long the oldest of them has been waiting.
    #[schema(minimum = 0)]
    oldest_seconds: i64,
    /// When that was measured, of the partition that was measured longest ago; `null` when it never was.
    #[serde(with = "chassis::time::wire_option")]
    measured_at: Option<DateTime<Utc>>,
    /// Since when nothing is sent, because the receiver answered 410; `null` while it gets events.
    #[serde(with = "chassis::time::wire_option")]
    stopped_at: Option<DateTime<Utc>>,
    /// Why nothing is sent.
    #[schema(example = "the receiver answered 410")]
    stopped_reason: Option<String>,
}

impl Webhook {
    fn of(endpoint: Endpoint, now: DateTime<Utc>) -> Self {
        let oldest = endpoint.oldest_at.map(|at| (now - at).num_seconds().max(0));
        let (stopped_at, stopped_reason) = endpoint.stopped.unzip();
        Self {
            receiver: endpoint.receiver,
            waiting: endpoint.waiting,
            oldest_seconds: oldest.unwrap_or_default(),
            measured_at: endpoint.measured_at,
            stopped_at,
            stopped_reason,
        }
    }
}

/// An event that was given up after its last try.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetter {
    id: Uuid,
    #[serde(rename = "type")]
    #[schema(example = "payment.captured")]
    event_type: &'static str,
    #[schema(example = "reservation")]
    aggregate_type: &'static str,
    aggregate_id: Uuid,
    /// Tries that failed.
    attempts: u32,
    #[schema(example = "Broker: Topic authorization failed")]
    last_error: Option<String>,
    #[serde(with = "chassis::time::wire")]
    created_at: DateTime<Utc>,
}

impl From<outbox::DeadLetter> for DeadLetter {
    fn from(event: outbox::DeadLetter) -> Self {
        Self {
            id: event.id,
            event_type: event.event_type.as_str(),
            aggregate_type: event.event_type.aggregate_type(),
            aggregate_id: event.aggregate_id,
            attempts: event.attempts,
            last_error: event.last_error,
            created_at: event.created_at,
        }
    }
}

/// Shows how many events wait, for how long, and which were given up.
#[utoipa::path(get, path = "/api/v1/admin/outbox", operation_id = "showOutbox", tag = "admin",
    params(PageQuery),
    responses((status = 200, description = "The outbox.", body = Outbox)),
    extensions(("x-access" = json!("operator"))))]
pub async fn show(
    app: Data<Booking>,
    _operator: Operator<right::Read>,
    query: Query<PageQuery>,
) -> Result<HttpResponse, Problem> {
    let (now, rows) = (app.clock.now(), rows_of(&query)?);
    let look = move |conn: &mut _| {
        let (backlog, dead) = (outbox::backlog(conn)?, outbox::dead_letters(conn, rows)?);
        Ok::<_, DbError>((backlog, dead, forwarder::endpoints(conn)?))
    };
    let (backlog, dead_letters, endpoints) = app.db.read(look).await?;
    let dead_letters = page_of(dead_letters, &query, |event| event.id, DeadLetter::from);
    let webhooks = endpoints.into_iter().map(|it| Webhook::of(it, now));
    let outbox = Outbox::of(&backlog, webhooks.collect(), dead_letters, now);
    Ok(answer::own(&outbox))
}

/// An event that is sent again.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Redelivery {
    /// The event; receivers know it again by this id.
    id: Uuid,
    #[serde(rename = "type")]
    #[schema(example = "payment.captured")]
    event_type: &'static str,
    /// `pending`.
    #[schema(example = "pending")]
    state: &'static str,
}

/// Sends a dead letter again, soon. Events that came after it may have been delivered already.
#[utoipa::path(post, path = "/api/v1/admin/outbox/{eventId}/redeliveries", operation_id = "redeliver", tag = "admin",
    params(("eventId" = Uuid, Path)),
    responses((status = 202, description = "It waits to be delivered.", body = Redelivery)),
    extensions(("x-access" = json!("operator")), ("x-codes" = json!(["EVENT_NOT_FOUND", "EVENT_NOT_DEAD"]))))]
pub async fn redeliver(
    app: Data<Booking>,
    operator: Operator<right::Sale>,
    id: Path<Uuid>,
) -> Result<HttpResponse, Problem> {
    let (now, id, name) = (app.clock.now(), *id, operator.name.clone());
    let event = app
        .db
        .transaction(move |tx| outbox::redeliver(tx, id, Actor::Operator(&name), now))
        .await?;
    log::info!("{} sends event {} again", operator.name, event.id);
    Ok(answer::accepted(&Redelivery {
        id: event.id,
        event_type: event.event_type.as_str(),
        state: outbox::EventState::Pending.as_str(),
    }))
}

/// How many dead letters to send again.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RedeliverAll {
    /// At most so many, oldest first.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 1000, default = 1000)]
    limit: RedeliveryLimit,
}

/// From 1 to 1,000 events: what one transaction changes.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(try_from = "u32")]
#[schema(value_type = u32, minimum = 1, maximum = 1000)]
pub struct RedeliveryLimit(u32);

impl Default for RedeliveryLimit {
    fn default() -> Self {
        Self(1_000)
    }
}

impl TryFrom<u32> for RedeliveryLimit {
    type Error = &'static str;

    fn try_from(limit: u32) -> Result<Self, Self::Error> {
        let is_bounded = (1..=1_000).contains(&limit);
        is_bounded
            .then_some(Self(limit))
            .ok_or("limit must be from 1 to 1000")
    }
}

/// Dead letters that are sent again.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Redeliveries {
    /// So many are sent again.
    #[schema(minimum = 0)]
    redelivered: usize,
    /// So many are still dead letters.
    #[schema(minimum = 0)]
    dead: i64,
}

/// Sends dead letters again, the oldest first. Ask again while `dead` is not 0.
#[utoipa::path(post, path = "/api/v1/admin/outbox/redeliveries", operation_id = "redeliverAll", tag = "admin",
    request_body = RedeliverAll,
    responses((status = 202, description = "They wait to be delivered.", body = Redeliveries)),
    extensions(("x-access" = json!("operator"))))]
pub async fn redeliver_all(
    app: Data<Booking>,
    operator: Operator<right::Sale>,
    body: Body<RedeliverAll>,
) -> Result<HttpResponse, Problem> {
    let (now, limit, name) = (app.clock.now(), body.limit.0, operator.name.clone());
    let act = move |tx: &mut _| {
        let redelivered = outbox::redeliver_oldest(tx, limit, Actor::Operator(&name), now)?;
        Ok::<_, DbError>((redelivered, outbox::backlog(tx)?.dead))
    };
    let (redelivered, dead) = app.db.transaction(act).await?;
    log::info!("{} sends {redelivered} events again", operator.name);
    Ok(answer::accepted(&Redeliveries { redelivered, dead }))
}

/// Receivers that get events again.
#[derive(Serialize, ToSchema)]
pub struct Resumption {
    /// Their names; none when none was stopped.
    receivers: Vec<String>,
}

/// Nothing is said by the body: `{}`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Resume {}

/// Lets receivers that answered 410 get events again. What waited for them is sent, in order.
#[utoipa::path(post, path = "/api/v1/admin/outbox/resumptions", operation_id = "resumeWebhooks", tag = "admin",
    request_body = Resume,
    responses((status = 202, description = "Forwarders notice it within seconds.", body = Resumption)),
    extensions(("x-access" = json!("operator"))))]
pub async fn resume(
    app: Data<Booking>,
    operator: Operator<right::Sale>,
    _nothing: Body<Resume>,
) -> Result<HttpResponse, Problem> {
    let (now, name) = (app.clock.now(), operator.name.clone());
    let receivers = app
        .db
        .transaction(move |tx| forwarder::resume(tx, Actor::Operator(&name), now))
        .await?;
    log::info!("{} resumes {receivers:?}", operator.name);
    Ok(answer::accepted(&Resumption { receivers }))
}
