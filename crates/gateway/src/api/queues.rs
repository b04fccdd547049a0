//! What everybody sees of the queues, and the operator's routes.

use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::{Data, Path, Query};
use chassis::json::Body;
use chassis::page::{Page, PageQuery};
use chassis::problem::Problem;
use chassis::time::{Timestamp, wire, wire_option};
use serde::Serialize;
use utoipa::ToSchema;

use super::lottery::QueueLottery;
use super::{ProblemBody, QueueName};
use crate::Gateway;
use crate::admission::Operator;
use crate::queue::policy::{Order, Policy, PolicyChange, State};
use crate::queue::{AuditEntry, AuditPage, Queue, QueueId};

/// What everybody sees of a queue, at most a second old.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct QueueStatus {
    /// Its name.
    #[schema(example = "main")]
    queue: String,
    /// What holds now; a scheduled queue is `open` from `opensAt` on.
    state: State,
    /// In which order visitors enter.
    order: Order,
    /// When a scheduled queue opens.
    #[serde(with = "wire_option")]
    #[schema(value_type = Option<String>, format = DateTime)]
    opens_at: Option<Timestamp>,
    /// Visitors in the line.
    waiting: u64,
    /// Visitors inside.
    active: u64,
    /// Most visitors inside at once.
    max_active: u32,
    /// Most visitors let in per second.
    admit_per_second: f64,
    /// Visitors let in during the last 60 seconds.
    admitted_last_minute: u64,
    /// A word from the operator.
    message: Option<String>,
    /// The draw of a queue that draws; `null` otherwise.
    lottery: Option<QueueLottery>,
    /// The life of the queue: another one after the store lost everything.
    epoch: u64,
}

impl QueueStatus {
    fn of(queue: &Queue) -> Self {
        let snapshot = queue.snapshot();
        let policy = &snapshot.policy;
        Self {
            queue: queue.id().to_string(),
            state: snapshot.state,
            order: policy.order,
            opens_at: policy.opens_at,
            waiting: snapshot.waiting,
            active: snapshot.active,
            max_active: policy.max_active,
            admit_per_second: policy.admit_per_second,
            admitted_last_minute: snapshot.admitted_last_minute,
            message: policy.message.clone(),
            lottery: snapshot.lottery().map(QueueLottery::of),
            epoch: snapshot.epoch,
        }
    }
}

/// The rules of a queue, as an operator set them.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct QueuePolicy {
    /// Its name.
    #[schema(example = "main")]
    queue: String,
    #[serde(flatten)]
    policy: Policy,
}

impl QueuePolicy {
    fn of(queue: &QueueId, policy: Policy) -> Self {
        let queue = queue.to_string();
        Self { queue, policy }
    }
}

/// One change of a queue's rules.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyAudit {
    /// When.
    #[serde(with = "wire")]
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// The operator's name; `start` for the configuration.
    by: String,
    /// The rules before; `null` when the queue was created.
    before: Option<QueuePolicy>,
    /// The rules after; `null` when the queue was removed.
    after: Option<QueuePolicy>,
    #[serde(skip)]
    version: u64,
}

impl PolicyAudit {
    fn of(queue: &QueueId, entry: AuditEntry) -> Self {
        let policy = |policy| QueuePolicy::of(queue, policy);
        Self {
            at: entry.at,
            by: entry.by,
            before: entry.before.map(policy),
            after: entry.after.map(policy),
            version: entry.version,
        }
    }
}

/// All queues.
#[utoipa::path(
    get, path = "/api/v1/queues", tag = "status", operation_id = "queues",
    responses((status = 200, description = "Every queue, in one page.", body = Page<QueueStatus>))
)]
pub async fn list(app: Data<Gateway>) -> HttpResponse {
    let items = app.queues.list().iter().map(QueueStatus::of).collect();
    public().json(Page::whole(items))
}

/// One queue.
#[utoipa::path(
    get, path = "/api/v1/queues/{queue}", tag = "status", operation_id = "queue",
    params(QueueName),
    responses(
        (status = 200, description = "At most a second old.", body = QueueStatus),
        (status = 404, description = "`QUEUE_UNKNOWN`", body = ProblemBody),
        (status = 503, description = "`STORE_UNAVAILABLE`", body = ProblemBody),
    )
)]
pub async fn status(app: Data<Gateway>, queue: Path<QueueId>) -> Result<HttpResponse, Problem> {
    let queue = app.queues.open(&queue).await?;
    Ok(public().json(QueueStatus::of(&queue)))
}

/// Create a queue or change its rules. A field that is not named keeps its value.
#[utoipa::path(
    put, path = "/api/v1/queues/{queue}", tag = "operator", operation_id = "change",
    params(QueueName), request_body = PolicyChange, security(("operator" = [])),
    responses(
        (status = 200, description = "Changed; in force on every gateway at once.", body = QueuePolicy),
        (status = 201, description = "Created; fields that were not named have their defaults.", body = QueuePolicy),
        (status = 400, description = "`BODY_MALFORMED`, `PATH_INVALID`", body = ProblemBody),
        (status = 401, description = "`OPERATOR_KEY_INVALID`", body = ProblemBody),
        (status = 413, description = "`BODY_TOO_LARGE`", body = ProblemBody),
        (status = 415, description = "`CONTENT_TYPE_UNSUPPORTED`", body = ProblemBody),
        (status = 422, description = "`BODY_INVALID`", body = ProblemBody),
        (status = 503, description = "`STORE_UNAVAILABLE`", body = ProblemBody),
    )
)]
pub async fn change(
    operator: Operator,
    app: Data<Gateway>,
    queue: Path<QueueId>,
    change: Body<PolicyChange>,
) -> Result<HttpResponse, Problem> {
    let changed = app.queues.change(&queue, &change, &operator.0).await?;
    // A wider door lets in at once; if this ring fails, the scheduler's next one does.
    let _ = changed.queue.admit().await;
    let policy = QueuePolicy::of(&queue, changed.queue.snapshot().policy.clone());
    let mut answer = if changed.created {
        HttpResponse::Created()
    } else {
        HttpResponse::Ok()
    };
    Ok(answer
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .json(policy))
}

/// Remove a queue and everybody in it.
#[utoipa::path(
    delete, path = "/api/v1/queues/{queue}", tag = "operator", operation_id = "remove",
    params(QueueName), security(("operator" = [])),
    responses(
        (status = 204, description = "Gone on every gateway within 2 seconds."),
        (status = 401, description = "`OPERATOR_KEY_INVALID`", body = ProblemBody),
        (status = 404, description = "`QUEUE_UNKNOWN`", body = ProblemBody),
        (status = 503, description = "`STORE_UNAVAILABLE`", body = ProblemBody),
    )
)]
pub async fn remove(
    operator: Operator,
    app: Data<Gateway>,
    queue: Path<QueueId>,
) -> Result<HttpResponse, Problem> {
    app.queues.remove(&queue, &operator.0).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Who changed what, newest first.
#[utoipa::path(
    get, path = "/api/v1/queues/{queue}/audit", tag = "operator", operation_id = "audit",
    params(QueueName, PageQuery), security(("operator" = [])),
    responses(
        (status = 200, description = "Changes, newest first.", body = Page<PolicyAudit>),
        (status = 400, description = "`QUERY_INVALID`", body = ProblemBody),
        (status = 401, description = "`OPERATOR_KEY_INVALID`", body = ProblemBody),
        (status = 404, description = "`QUEUE_UNKNOWN`", body = ProblemBody),
        (status = 503, description = "`STORE_UNAVAILABLE`", body = ProblemBody),
    )
)]
pub async fn audit(
    _operator: Operator,
    app: Data<Gateway>,
    queue: Path<QueueId>,
    page: Query<PageQuery>,
) -> Result<HttpResponse, Problem> {
    let older_than = page.cursor.as_deref().map(str::parse).transpose();
    let wanted = AuditPage {
        older_than: older_than.map_err(|_| super::cursor_invalid())?,
        limit: page.limit() as usize + 1,
    };
    let entries = app.queues.audit(&queue, wanted).await?;
    let items = entries.into_iter().map(|it| PolicyAudit::of(&queue, it));
    let page = Page::cut(items.collect(), page.limit(), |it| it.version.to_string());
    Ok(HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .json(page))
}

pub(super) fn public() -> actix_web::HttpResponseBuilder {
    let mut answer = HttpResponse::Ok();
    answer.insert_header((header::CACHE_CONTROL, "public, max-age=1"));
    answer
}
