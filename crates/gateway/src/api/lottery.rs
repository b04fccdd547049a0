//! What everybody may know of a draw: enough to check it; and what the operator adds to it.

use actix_web::HttpRequest;
use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::{Data, Path, Query};
use chassis::answer;
use chassis::json::{self, Body};
use chassis::page::{Page, PageQuery};
use chassis::problem::Problem;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::tokens::visitor_of;
use super::{QueueName, queues};
use crate::Gateway;
use crate::admission::Operator;
use crate::codes;
use crate::merkle::Step;
use crate::operator::Right;
use crate::queue::{
    DrawnPage, DrawnPlace, Queue, QueueId, RevealError, Revealed, Seed, SeedInvalid,
};

/// The draw of a queue.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct QueueLottery {
    /// SHA-256 of the seed's 64 digits, in hex: known before anybody has a ticket.
    commitment: String,
    /// How many seeds were chosen in this life of the queue (see `epoch`): one that is chosen again is seen.
    seeds: u64,
    /// Which public beacon will be added, in the operator's words; `null` for none.
    beacon: Option<String>,
    /// The root over all tickets that take part; `null` before the doors open. It is fixed before
    /// anybody can know a lot.
    root: Option<String>,
    /// Tickets up to this number take part; `null` before the doors open.
    last_ticket: Option<u64>,
    /// How many take part; `null` before the doors open.
    entrants: Option<u64>,
    /// The seed; `null` before the draw.
    seed: Option<String>,
    /// What the beacon said; `null` before the draw, empty where none was announced.
    beacon_value: Option<String>,
    /// SHA-256 of `seed:root:beaconValue`, which gives the lots; `null` before the draw.
    key: Option<String>,
}

impl QueueLottery {
    /// What may be shown of it now.
    pub fn of(queue: &Queue) -> Option<Self> {
        let snapshot = queue.snapshot();
        let lottery = snapshot.lottery()?;
        let (entry, drawn) = (lottery.entry, lottery.drawn);
        Some(Self {
            commitment: lottery.commitment,
            seeds: lottery.seeds,
            beacon: snapshot.beacon().map(str::to_owned),
            root: entry.as_ref().map(|it| it.root.clone()),
            last_ticket: entry.as_ref().map(|it| it.last_ticket),
            entrants: entry.as_ref().map(|it| it.entrants),
            seed: drawn.as_ref().map(|it| it.seed.clone()),
            beacon_value: drawn.as_ref().map(|it| it.beacon.clone()),
            key: drawn.map(|it| it.key),
        })
    }
}

/// The proof that a ticket takes part in a draw.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LotteryProof {
    /// The number of the own ticket.
    ticket_number: u64,
    /// The root over all tickets that take part.
    root: String,
    /// How many take part.
    entrants: u64,
    /// From the ticket to the root.
    #[schema(value_type = Vec<ProofStep>)]
    path: Vec<Step>,
    /// What the key gave it; `null` before the draw.
    lot: Option<u64>,
}

/// One step of a path: SHA-256 of the byte 1, the left hash and the right one.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[allow(dead_code, reason = "describes Step")]
struct ProofStep {
    /// `left` or `right`: where the neighbour stands.
    side: String,
    /// The hash of the neighbour, 64 hex digits.
    hash: String,
}

/// What an operator reveals when it is fixed who takes part.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Reveal {
    /// The 64 hex digits that `seedCommitment` promised.
    #[schema(nullable = false)]
    seed: Option<String>,
    /// What the beacon said: 1 to 256 of `A-Z a-z 0-9 . _ -`.
    #[schema(nullable = false)]
    beacon: Option<String>,
}

impl Reveal {
    fn read(&self) -> Result<Revealed, Problem> {
        let seed = self.seed.as_deref().map(str::parse::<Seed>).transpose();
        let seed = seed.map_err(|cause: SeedInvalid| json::unacceptable(format!("{cause}.")))?;
        let beacon = self.beacon.clone().map(Revealed::beacon).transpose();
        let beacon = beacon.map_err(|cause| json::unacceptable(format!("{cause}.")))?;
        Ok(Revealed {
            seed,
            ..beacon.unwrap_or_default()
        })
    }
}

impl From<RevealError> for Problem {
    fn from(error: RevealError) -> Self {
        match error {
            RevealError::TooEarly => codes::LOTTERY_NOT_FIXED
                .because("It is not fixed yet who takes part; what is revealed now could be used.")
                .retryable(),
            RevealError::TooLate => {
                codes::LOTTERY_DRAWN.because("The lots of this draw are given out.")
            }
            RevealError::OtherSeed => {
                json::unacceptable("`seed` is not the one that was promised.")
            }
            RevealError::Missing(what) => json::unacceptable(format!("The draw needs {what} too.")),
            RevealError::Queue(cause) => cause.into(),
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
    /// What the key gave it; places are in the order of lots.
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
/// With the key, which the status of the queue shows, anybody can compute them again. Nobody is
/// named. Before the doors open the list is empty.
#[utoipa::path(
    get, path = "/api/v1/queues/{queue}/lottery", tag = "status", operation_id = "drawn",
    params(QueueName, PageQuery),
    responses((status = 200, description = "Tickets and lots, the next to enter first.", body = Page<DrawnTicket>))
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

/// All tickets that take part, one to a line, in ascending order.
///
/// The root over them stands in the status of the queue. Empty before the doors open.
#[utoipa::path(
    get, path = "/api/v1/queues/{queue}/lottery/entrants", tag = "status", operation_id = "entrants",
    params(QueueName),
    responses((status = 200, content_type = "text/plain", body = String, description = "Ticket numbers."))
)]
pub async fn entrants(app: Data<Gateway>, queue: Path<QueueId>) -> Result<HttpResponse, Problem> {
    let tree = app.queue(&queue).await?.entrants().await?;
    let lines = tree.iter().flat_map(|tree| tree.tickets());
    let lines: String = lines.map(|ticket| format!("{ticket}\n")).collect();
    let mut answer = queues::public();
    answer.insert_header((header::CONTENT_TYPE, "text/plain; charset=utf-8"));
    Ok(answer.body(lines))
}

/// The proof that one's own ticket takes part in the draw.
#[utoipa::path(
    get, path = "/api/v1/queues/{queue}/lottery/proof", tag = "visitor", operation_id = "proof",
    params(QueueName),
    responses(
        (status = 200, description = "A path from the ticket to the root.", body = LotteryProof),
        (status = 404, description = "There is no lottery, or the ticket came after the doors had opened."),
        (status = 409, description = "The doors have not opened."),
        (status = 410, description = "The token is past its time."),
    ),
    extensions(("x-access" = json!("token")), ("x-codes" = json!(["LOTTERY_PROOF_UNKNOWN", "LOTTERY_NOT_FIXED"])))
)]
pub async fn proof(
    app: Data<Gateway>,
    queue: Path<QueueId>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let (queue, claims) = visitor_of(&app, &queue, &request).await?;
    let lottery = queue.snapshot().lottery().ok_or_else(no_proof)?;
    let entry = lottery.entry.ok_or(RevealError::TooEarly)?;
    let tree = queue.entrants().await?.ok_or_else(no_proof)?;
    let key = lottery.drawn.and_then(|it| it.key.parse::<Seed>().ok());
    Ok(answer::own(&LotteryProof {
        ticket_number: claims.ticket,
        root: entry.root,
        entrants: entry.entrants,
        path: tree.path(claims.ticket).ok_or_else(no_proof)?,
        lot: key.map(|key| key.lot(claims.ticket)),
    }))
}

fn no_proof() -> Problem {
    codes::LOTTERY_PROOF_UNKNOWN.because("This ticket does not take part in a draw of this queue.")
}

/// Reveal the seed that was kept, and what the beacon said, when it is fixed who takes part.
///
/// The lots are given out by it, once: the same again is 409.
#[utoipa::path(
    post, path = "/api/v1/queues/{queue}/lottery/reveal", tag = "operator", operation_id = "reveal",
    params(QueueName), request_body = Reveal,
    responses(
        (status = 204, description = "The lots are given out."),
        (status = 409, description = "Too early, or too late."),
        (status = 422, description = "Also for another seed than the one that was promised."),
    ),
    extensions(("x-access" = json!("operator")), ("x-codes" = json!(["LOTTERY_NOT_FIXED", "LOTTERY_DRAWN"])))
)]
pub async fn reveal(
    operator: Operator,
    app: Data<Gateway>,
    queue: Path<QueueId>,
    body: Body<Reveal>,
) -> Result<HttpResponse, Problem> {
    let by = operator.with(Right::Queue, &app, &queue).await?;
    app.queues.reveal(&queue, body.read()?).await?;
    log::info!("the draw of queue {} was revealed by {by}", *queue);
    Ok(HttpResponse::NoContent().finish())
}
