//! What everybody sees of the queues.

use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::{Data, Path};
use chassis::page::Page;
use chassis::problem::Problem;
use chassis::time::{Timestamp, wire_option};
use serde::Serialize;
use utoipa::ToSchema;

use super::QueueName;
use super::lottery::QueueLottery;
use crate::Gateway;
use crate::queue::policy::{AdmitRate, Order, State};
use crate::queue::{Queue, QueueId, Snapshot};

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
    /// Most visitors let in per second: the rate in force.
    admit_per_second: f64,
    /// How that rate came about.
    rate: Rate,
    /// What is left to sell; `null` where nobody says it.
    remaining: Option<u64>,
    /// Visitors let in during the last 60 seconds.
    admitted_last_minute: u64,
    /// A word from the operator.
    message: Option<String>,
    /// The draw of a queue that draws; `null` otherwise.
    lottery: Option<QueueLottery>,
    /// The life of the queue: another one after the store lost everything.
    epoch: u64,
}

/// How the rate in force came about.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rate {
    /// `set` by an operator, or `auto`: found by the answers of the service behind.
    #[schema(example = "auto")]
    mode: &'static str,
    /// Why it is what it is. Of a rate that is found: `starting`, `growing`, `seeking` while it rises;
    /// `slow`, `failing` when it fell; `settling`, `draining` until that shows; `unused` while it holds
    /// nobody up, `unmeasured` while nothing is answered, `most` at `autoMax`.
    #[schema(example = "growing")]
    reason: String,
}

impl Rate {
    fn of(snapshot: &Snapshot) -> Self {
        let (mode, reason) = match snapshot.policy.admit_per_second {
            AdmitRate::Set(_) => ("set", "set"),
            AdmitRate::Found(_) => ("auto", &*snapshot.rate_reason),
        };
        let reason = reason.to_owned();
        Self { mode, reason }
    }
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
            admit_per_second: snapshot.admit_per_second,
            rate: Rate::of(&snapshot),
            remaining: snapshot.remaining,
            admitted_last_minute: snapshot.admitted_last_minute,
            message: snapshot.word(),
            lottery: QueueLottery::of(queue),
            epoch: snapshot.epoch,
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
    responses((status = 200, description = "At most a second old.", body = QueueStatus))
)]
pub async fn status(app: Data<Gateway>, queue: Path<QueueId>) -> Result<HttpResponse, Problem> {
    let queue = app.queues.open(&queue).await?;
    Ok(public().json(QueueStatus::of(&queue)))
}

pub(super) fn public() -> actix_web::HttpResponseBuilder {
    let mut answer = HttpResponse::Ok();
    answer.insert_header((header::CACHE_CONTROL, "public, max-age=1"));
    answer
}
