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

use super::navigation::header_text;
use super::{ProblemBody, QueueName};
use crate::Gateway;
use crate::admission::Operator;
use crate::operator::Right;
use crate::queue::{MOST_MINUTES, Minute, QueueId, last_minutes};

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

/// A queue as it was in a minute. Totals are of this life of the queue.
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
}

impl QueueMinute {
    fn of((at, minute): (Timestamp, Minute)) -> Self {
        Self {
            at,
            epoch: minute.epoch,
            waiting: minute.waiting,
            active: minute.active,
            parked: minute.parked,
            joined: minute.joined,
            admitted: minute.admitted,
            no_shows: minute.no_shows,
        }
    }
}

/// What a queue did, minute by minute, for the last thirty days.
#[utoipa::path(
    get, path = "/api/v1/queues/{queue}/minutes", tag = "operator", operation_id = "minutes",
    params(QueueName, MinutesQuery), security(("operator" = [])),
    responses(
        (status = 200, description = "The minutes that were kept, oldest first; as `text/csv` for whoever accepts that.", body = Page<QueueMinute>),
        (status = 400, description = "`QUERY_INVALID`", body = ProblemBody),
        (status = 401, description = "`OPERATOR_KEY_INVALID`", body = ProblemBody),
        (status = 403, description = "`RIGHT_MISSING`", body = ProblemBody),
        (status = 404, description = "`QUEUE_UNKNOWN`", body = ProblemBody),
        (status = 503, description = "`STORE_UNAVAILABLE`", body = ProblemBody),
    )
)]
pub async fn minutes(
    operator: Operator,
    app: Data<Gateway>,
    queue: Path<QueueId>,
    request: HttpRequest,
    asked: Query<MinutesQuery>,
) -> Result<HttpResponse, Problem> {
    operator.with(Right::Read)?;
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

/// A line each, with names above.
fn csv(minutes: &[QueueMinute]) -> String {
    let mut text = String::from("at,epoch,waiting,active,parked,joined,admitted,noShows\r\n");
    for minute in minutes {
        // A `String` takes every letter.
        let _ = write!(
            text,
            "{},{},{},{},{},{},{},{}\r\n",
            rfc3339(minute.at),
            minute.epoch,
            minute.waiting,
            minute.active,
            minute.parked,
            minute.joined,
            minute.admitted,
            minute.no_shows,
        );
    }
    text
}
