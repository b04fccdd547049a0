//! What operators see of the events for other systems, and how they send one again.

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::middleware::Next;
use actix_web::web::{Data, Path, Query};
use actix_web::{Error, HttpResponse};
use chassis::page::{Page, PageQuery};
use chassis::problem::Problem;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::answer;
use super::operator::{Operator, right};
use super::paging::{page_of, rows_of};
use crate::Booking;
use crate::audit::Actor;
use crate::db::DbError;
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
    #[serde(flatten)]
    dead_letters: Page<DeadLetter>,
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
        let backlog = outbox::backlog(conn)?;
        Ok::<_, DbError>((backlog, outbox::dead_letters(conn, rows)?))
    };
    let (backlog, dead_letters) = app.db.read(look).await?;
    Ok(answer::own(&Outbox {
        backlog: backlog.pending,
        lag_seconds: backlog.lag_s(now),
        dead: backlog.dead,
        dead_letters: page_of(dead_letters, &query, |event| event.id, DeadLetter::from),
    }))
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
