//! What a queue did, minute by minute: for the console, and to keep after a sale.

use std::fmt::Write as _;

use actix_web::http::header;
use actix_web::web::{Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use chassis::answer;
use chassis::page::Page;
use chassis::problem::Problem;
use chassis::time::{Timestamp, rfc3339, wire};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::QueueName;
use super::navigation::header_text;
use crate::Gateway;
use crate::admission::Operator;
use crate::operator::Right;
use crate::queue::{Buckets, MOST_MINUTES, Minute, QueueId, Sums, last_minutes};

/// Which minutes.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct MinutesQuery {
    /// The first; without it, the last ones.
    #[param(value_type = Option<String>, format = DateTime)]
    from: Option<Timestamp>,
    /// How many, at most a day of them.
    #[param(minimum = 1, maximum = 1440, default = 1440)]
    count: Option<i64>,
}

/// A queue as it was in a minute, and what all gateways counted in it. Totals are of this life of the queue.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct QueueMinute {
    /// The minute.
    #[serde(with = "wire")]
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// Which life of the queue.
    epoch: u64,
    /// Visitors in line.
    waiting: u64,
    /// Visitors inside.
    active: u64,
    /// Visitors away whose turn came; their places are kept.
    parked: u64,
    /// Visitors who joined, in all.
    joined: u64,
    /// Visitors let in, in all.
    admitted: u64,
    /// Visitors let in who did not show up, in all.
    no_shows: u64,
    /// Visitors in line who were away at their turn and are here again.
    returned: u64,
    /// Visitors who bought, in all.
    bought: u64,
    /// What was left to sell; `null` where nobody said it.
    remaining: Option<u64>,
    /// Requests of visitors that the service behind answered in this minute, or did not.
    answered: u64,
    /// Those of them with a 5xx, or without an answer.
    failed: u64,
    /// Ends of the time that visitors were told which came in this minute, of a sample.
    promises: u64,
    /// Those of them that were kept.
    promises_kept: u64,
    /// How long those who were let in in this minute had waited, in seconds; `null` where nobody was.
    wait_seconds: Option<Percentiles>,
    /// From the end of a request to the first byte of its answer, in milliseconds; `null` without answers.
    first_byte_ms: Option<Percentiles>,
    /// The same waits, counted: those of several minutes may be added up.
    waits: Vec<Bucket>,
    /// The same times to the first byte, counted.
    first_bytes: Vec<Bucket>,
}

/// Never less than it was, and at most half more; below 2 at most 1 more.
#[derive(Serialize, ToSchema)]
pub struct Percentiles {
    /// Half of all were within it.
    p50: u64,
    /// Nine of ten were within it.
    p90: u64,
    /// 99 of a hundred were within it.
    p99: u64,
}

/// How many times lay above the bucket before and within this one.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Bucket {
    /// Its bound; `null` for what is above all bounds.
    up_to: Option<u64>,
    /// How many.
    count: u64,
}

impl Percentiles {
    fn of(buckets: &Buckets) -> Option<Self> {
        Some(Self {
            p50: buckets.percentile(0.5)?,
            p90: buckets.percentile(0.9)?,
            p99: buckets.percentile(0.99)?,
        })
    }
}

impl Bucket {
    fn all(buckets: &Buckets) -> Vec<Self> {
        let bucket = |(up_to, count)| Self { up_to, count };
        buckets.counts().map(bucket).collect()
    }
}

impl QueueMinute {
    fn of((at, minute, sums): (Timestamp, Minute, Sums)) -> Self {
        let (waits, first_bytes) = (sums.waits(), sums.first_bytes());
        let (promises, promises_kept) = sums.promises();
        Self {
            at,
            epoch: minute.epoch,
            waiting: minute.waiting,
            active: minute.active,
            parked: minute.parked,
            joined: minute.joined,
            admitted: minute.admitted,
            no_shows: minute.no_shows,
            returned: minute.returned,
            bought: minute.bought,
            remaining: minute.remaining,
            answered: sums.answered(),
            failed: sums.failed(),
            promises,
            promises_kept,
            wait_seconds: Percentiles::of(&waits),
            first_byte_ms: Percentiles::of(&first_bytes),
            waits: Bucket::all(&waits),
            first_bytes: Bucket::all(&first_bytes),
        }
    }
}

/// What a queue did, minute by minute, for the last thirty days.
#[utoipa::path(
    get, path = "/api/v1/queues/{queue}/minutes", tag = "operator", operation_id = "minutes",
    params(QueueName, MinutesQuery),
    responses((status = 200, description = "The minutes that were kept, oldest first; as `text/csv` for whoever accepts that.", body = Page<QueueMinute>)),
    extensions(("x-access" = json!("operator")))
)]
pub async fn minutes(
    operator: Operator,
    app: Data<Gateway>,
    queue: Path<QueueId>,
    request: HttpRequest,
    asked: Query<MinutesQuery>,
) -> Result<HttpResponse, Problem> {
    operator.with(Right::Read, &app, &queue).await?;
    let count = asked.count.unwrap_or(MOST_MINUTES);
    let last = || last_minutes(app.clock.now(), count);
    let from = asked.from.unwrap_or_else(last);
    let kept = app.queue(&queue).await?.minutes(from, count).await?;
    let minutes: Vec<_> = kept.into_iter().map(QueueMinute::of).collect();
    Ok(match header_text(&request, header::ACCEPT) {
        accepted if accepted.contains("text/csv") => file(&minutes),
        _ => answer::own(&Page::whole(minutes)),
    })
}

fn file(minutes: &[QueueMinute]) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::CONTENT_TYPE, "text/csv; charset=utf-8"))
        .body(csv(minutes))
}

/// The columns of the table.
const COLUMNS: &str = "at,epoch,waiting,active,parked,joined,admitted,noShows,returned,bought,remaining,\
    answered,failed,promises,promisesKept,waitP50S,waitP90S,waitP99S,firstByteP50Ms,firstByteP90Ms,\
    firstByteP99Ms\r\n";

/// A line each, with names above; what is not known is empty.
fn csv(minutes: &[QueueMinute]) -> String {
    let mut text = String::from(COLUMNS);
    for minute in minutes {
        let counts = [
            minute.epoch,
            minute.waiting,
            minute.active,
            minute.parked,
            minute.joined,
            minute.admitted,
            minute.no_shows,
            minute.returned,
            minute.bought,
        ];
        let sums = [
            minute.answered,
            minute.failed,
            minute.promises,
            minute.promises_kept,
        ];
        let times = [&minute.wait_seconds, &minute.first_byte_ms];
        let times = times.into_iter().flat_map(|it| match it {
            Some(it) => [Some(it.p50), Some(it.p90), Some(it.p99)],
            None => [None; 3],
        });
        let counts = counts.map(Some).into_iter().chain([minute.remaining]);
        text += &rfc3339(minute.at);
        for cell in counts.chain(sums.map(Some)).chain(times) {
            // A `String` takes every letter.
            let _ = match cell {
                Some(number) => write!(text, ",{number}"),
                None => write!(text, ","),
            };
        }
        text += "\r\n";
    }
    text
}
