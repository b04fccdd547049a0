//! What everybody may know of a draw: enough to check it.

use actix_web::HttpResponse;
use actix_web::web::{Data, Path, Query};
use chassis::page::{Page, PageQuery};
use chassis::problem::Problem;
use serde::Serialize;
use utoipa::ToSchema;

use super::{ProblemBody, QueueName, queues};
use crate::Gateway;
use crate::queue::{DrawnPage, DrawnPlace, Lottery, QueueId};

/// The draw of a queue.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct QueueLottery {
    /// SHA-256 of the seed's 64 digits, in hex: known before anybody has a ticket.
    commitment: String,
    /// The seed; `null` before the doors open.
    seed: Option<String>,
    /// Tickets up to this number took part; `null` before the doors open.
    last_ticket: Option<u64>,
    /// How many took part; `null` before the doors open.
    entrants: Option<u64>,
}

impl QueueLottery {
    /// What may be shown of it now.
    pub fn of(lottery: Lottery) -> Self {
        let drawn = lottery.drawn.as_ref();
        Self {
            commitment: lottery.commitment,
            seed: drawn.map(|it| it.seed.clone()),
            last_ticket: drawn.map(|it| it.last_ticket),
            entrants: drawn.map(|it| it.entrants),
        }
    }
}

/// A place that was drawn and is still in line.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DrawnTicket {
    /// The number of the ticket.
    #[schema(example = 1_764_000_000_123_456_u64)]
    ticket_number: u64,
    /// What the seed gave it; places are in the order of lots.
    #[schema(example = 2_831_292_943_081_933_u64)]
    lot: u64,
}

impl From<DrawnPlace> for DrawnTicket {
    fn from(place: DrawnPlace) -> Self {
        Self {
            ticket_number: place.ticket,
            lot: place.lot,
        }
    }
}

/// The places that were drawn and are still in line, in their order.
///
/// With the seed, which the status of the queue shows, anybody can compute them again. Nobody is
/// named. Before the doors open the list is empty.
#[utoipa::path(
    get, path = "/api/v1/queues/{queue}/lottery", tag = "status", operation_id = "drawn",
    params(QueueName, PageQuery),
    responses(
        (status = 200, description = "Tickets and lots, the next to enter first.", body = Page<DrawnTicket>),
        (status = 400, description = "`QUERY_INVALID`", body = ProblemBody),
        (status = 404, description = "`QUEUE_UNKNOWN`", body = ProblemBody),
        (status = 503, description = "`STORE_UNAVAILABLE`", body = ProblemBody),
    )
)]
pub async fn drawn(
    app: Data<Gateway>,
    queue: Path<QueueId>,
    page: Query<PageQuery>,
) -> Result<HttpResponse, Problem> {
    let after_lot = page.cursor.as_deref().map(str::parse).transpose();
    let wanted = DrawnPage {
        after_lot: after_lot.map_err(|_| super::cursor_invalid())?,
        limit: page.limit() as usize + 1,
    };
    let places = app.queues.open(&queue).await?.drawn(wanted).await?;
    let items = places.into_iter().map(DrawnTicket::from).collect();
    let page = Page::cut(items, page.limit(), |it| it.lot.to_string());
    Ok(queues::public().json(page))
}
