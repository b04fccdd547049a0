//! A date that is cancelled: the act, and how far it has come.

use actix_web::HttpResponse;
use actix_web::web::{Data, Path};
use chassis::json::Body;
use chassis::problem::Problem;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::answer;
use super::operator::{Operator, right};
use crate::Booking;
use crate::concert::Title;
use crate::db::Tx;
use crate::ledger::CURRENCY;
use crate::programme::{self, DateCancellation, Left, ProgrammeError};

/// Why a date is cancelled.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CancelDate {
    /// Told to other systems with the event `schedule.cancelled`.
    #[schema(value_type = String, min_length = 1, max_length = 200, example = "Storm")]
    reason: Title,
}

/// How far the cancellation of a date has come.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Cancellation {
    schedule_id: Uuid,
    /// `running`, or `done`: everybody has their money.
    #[schema(example = "running")]
    state: &'static str,
    #[schema(example = "Storm")]
    reason: String,
    /// The name of the operator's key.
    #[schema(example = "operator:office")]
    requested_by: String,
    #[serde(with = "chassis::time::wire")]
    requested_at: DateTime<Utc>,
    #[serde(with = "chassis::time::wire_option")]
    finished_at: Option<DateTime<Utc>>,
    done: Done,
    left: StillLeft,
}

/// What was done of it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Done {
    #[schema(minimum = 0)]
    holds_ended: u32,
    #[schema(minimum = 0)]
    payments_refunded: u32,
    /// In minor units.
    #[schema(minimum = 0)]
    amount_refunded: i64,
    #[schema(example = "KRW")]
    currency: &'static str,
}

/// What is left to do.
#[derive(Serialize, ToSchema)]
pub struct StillLeft {
    #[schema(minimum = 0)]
    holds: i64,
    #[schema(minimum = 0)]
    payments: i64,
}

impl From<(DateCancellation, Left)> for Cancellation {
    fn from((cancellation, left): (DateCancellation, Left)) -> Self {
        let is_done = cancellation.finished_at.is_some();
        Self {
            schedule_id: cancellation.schedule_id,
            state: if is_done { "done" } else { "running" },
            reason: cancellation.reason,
            requested_by: cancellation.requested_by,
            requested_at: cancellation.requested_at,
            finished_at: cancellation.finished_at.map(|at| at.0),
            done: Done {
                holds_ended: cancellation.holds_ended,
                payments_refunded: cancellation.payments_refunded,
                amount_refunded: cancellation.amount_refunded,
                currency: CURRENCY,
            },
            left: StillLeft {
                holds: left.holds,
                payments: left.payments,
            },
        }
    }
}

/// Cancels a date: its sale stops at once, then everybody gets their money back. The second time is the same act.
#[utoipa::path(post, path = "/api/v1/admin/schedules/{scheduleId}/cancellation", operation_id = "cancelSchedule",
    tag = "admin", params(("scheduleId" = Uuid, Path)), request_body = CancelDate,
    responses((status = 202, description = "Nobody can buy any more; the money goes back in the background.",
        body = Cancellation)),
    extensions(("x-access" = json!("operator")), ("x-codes" = json!(["SCHEDULE_NOT_FOUND"]))))]
pub async fn cancel(
    app: Data<Booking>,
    operator: Operator<right::Sale>,
    id: Path<Uuid>,
    body: Body<CancelDate>,
) -> Result<HttpResponse, Problem> {
    let (id, now, name) = (*id, app.clock.now(), operator.name);
    let reason = body.0.reason;
    let cancel = move |tx: &mut Tx| {
        let cancellation = programme::cancel_date(tx, id, &reason, &name, now)?;
        Ok::<_, ProgrammeError>((cancellation, programme::left(tx, id)?))
    };
    let cancelled = app.db.transaction(cancel).await?;
    app.lists.changed(id);
    app.cancellations.notify();
    Ok(answer::accepted(&Cancellation::from(cancelled)))
}

/// Shows how far the cancellation of a date has come.
#[utoipa::path(get, path = "/api/v1/admin/schedules/{scheduleId}/cancellation", operation_id = "showCancellation",
    tag = "admin", params(("scheduleId" = Uuid, Path)),
    responses((status = 200, description = "What was done and what is left.", body = Cancellation)),
    extensions(("x-access" = json!("operator")), ("x-codes" = json!(["CANCELLATION_NOT_FOUND"]))))]
pub async fn show(
    app: Data<Booking>,
    _operator: Operator<right::Read>,
    id: Path<Uuid>,
) -> Result<HttpResponse, Problem> {
    let id = *id;
    let look = move |conn: &mut _| {
        let cancellation = programme::cancellation(conn, id)?;
        Ok::<_, ProgrammeError>((cancellation, programme::left(conn, id)?))
    };
    let found = app.db.read(look).await?;
    Ok(answer::own(&Cancellation::from(found)))
}
