//! What everybody may see of how fair a queue is.

use actix_web::HttpResponse;
use actix_web::web::{Data, Path};
use chassis::problem::Problem;
use chassis::time::{Timestamp, wire};
use serde::Serialize;
use utoipa::ToSchema;

use super::{QueueName, queues};
use crate::Gateway;
use crate::fairness::FairnessCounts;
use crate::queue::{QueueId, Snapshot};

/// How fair a queue is.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct QueueFairness {
    /// Visitors let in from the line after one with a higher ticket number had been let in from it.
    /// Anything but 0 is a mistake.
    inversions: u64,
    /// Visitors inside beyond `maxActive` after somebody was let in, at most, in the last minute.
    cap_overshoot: u64,
    /// Visitors let in beyond `admitPerSecond` in the last minute.
    rate_overshoot: u64,
    /// Ends of ranges of `etaSeconds` that have come, of a sample of visitors.
    promises: u64,
    /// Those of them by which the visitor was inside.
    promises_kept: u64,
    /// Visitors who were let in and did not show up in time.
    no_shows: u64,
    /// Visitors whose turn came while they were away, and who are away still.
    parked: u64,
    /// Since when it is counted: the begin of this life of the queue.
    #[serde(with = "wire")]
    #[schema(value_type = String, format = DateTime)]
    since: Timestamp,
}

impl QueueFairness {
    fn of(snapshot: &Snapshot, counts: FairnessCounts) -> Self {
        Self {
            inversions: snapshot.inversions,
            cap_overshoot: counts.cap_overshoot,
            rate_overshoot: counts.rate_overshoot,
            promises: counts.promises,
            promises_kept: counts.promises_kept,
            no_shows: snapshot.no_shows,
            parked: snapshot.parked,
            since: snapshot.begin(),
        }
    }
}

/// How fair a queue is: order, cap, rate, and how often the time that was told was kept.
#[utoipa::path(
    get, path = "/api/v1/queues/{queue}/fairness", tag = "status", operation_id = "fairness",
    params(QueueName),
    responses((status = 200, description = "At most some seconds old; cacheable for one.", body = QueueFairness))
)]
pub async fn fairness(app: Data<Gateway>, queue: Path<QueueId>) -> Result<HttpResponse, Problem> {
    let queue = app.queues.open(&queue).await?;
    let counts = app.fairness.of(queue.id());
    Ok(queues::public().json(QueueFairness::of(&queue.snapshot(), counts)))
}
