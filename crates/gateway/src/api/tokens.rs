//! A visitor's routes: join, look, leave.

use actix_web::http::header;
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use chassis::json::Body;
use chassis::problem::Problem;

use super::QueueName;
use super::join_checks::{self, Join};
use super::place::{Place, PlaceState};
use crate::queue::{Queue, QueueError, QueueId, Ticket};
use crate::token::{Claims, TokenError};
use crate::visits::Visit;
use crate::{FreshToken, Gateway, admission, credential};

/// Join the line, or get a fresh token for the place that one already has.
///
/// Where an identity provider says who joins, its token is the bearer. Where the gateway makes the
/// ids, the token of an earlier visit, also one that is over, joins as the same user; without one it
/// is somebody new.
///
/// A refusal with `proofOfWork` asks for work first. Its members are `challenge`, `bits`,
/// `algorithm` (`SHA-256`) and `expiresAt`. Find a `nonce` such that the SHA-256 of the UTF-8 text
/// `challenge + ":" + nonce` begins with at least `bits` zero bits, for example by counting up, and
/// send both as `proof`. A challenge is for one user and queue, and is taken once.
#[utoipa::path(
    post, path = "/api/v1/queues/{queue}/tokens", tag = "visitor", operation_id = "issue",
    params(QueueName), request_body = Join, security((), ("identity" = [])),
    responses(
        (status = 201, description = "A new place. Also sets the cookie `usher_token_{queue}`.", body = Place),
        (status = 200, description = "The place that the user already has, with a fresh token.", body = Place),
        (status = 401, description = "A challenge is in `proofOfWork`, or by others with this `siteKey`."),
        (status = 403, description = "The queue is closed, or `userId` is another user."),
        (status = 409, description = "This user has a place; show its token or the `secret` of its join."),
        (status = 429, description = "Too many from this source."),
    ),
    extensions(("x-codes" = json!([
        "IDENTITY_MISSING", "IDENTITY_INVALID", "IDENTITY_MISMATCH", "IDENTITY_UNAVAILABLE", "PROOF_REQUIRED",
        "PROOF_INVALID", "CHALLENGE_REQUIRED", "CHALLENGE_INVALID", "CHALLENGE_UNAVAILABLE", "QUEUE_CLOSED",
        "QUEUE_FULL", "PLACE_TAKEN", "RATE_LIMITED",
    ])))
)]
pub async fn issue(
    app: Data<Gateway>,
    queue: Path<QueueId>,
    request: HttpRequest,
    join: Body<Join>,
) -> Result<HttpResponse, Problem> {
    let queue = app.queue(&queue).await?;
    let joining = join_checks::check(&app, &request, &queue, &join).await?;
    let secret = join.secret().filter(|_| joining.is_only_named);
    let joined = app
        .visits
        .join(&queue, joining.user, joining.ticket, secret.cloned())
        .await?;
    join_checks::prove_place(&joined, &joining, secret).await?;
    let token = app.token(queue.id(), &joined.visit.ticket);
    let place = app.place(&joined.visit);
    Ok(issued(&queue, joined.created, place, token))
}

fn issued(queue: &Queue, is_new: bool, mut place: Place, token: FreshToken) -> HttpResponse {
    let mut answer = if is_new {
        HttpResponse::Created()
    } else {
        HttpResponse::Ok()
    };
    if is_new {
        let own = format!("/api/v1/queues/{}/tokens/me", queue.id());
        answer.insert_header((header::LOCATION, own));
    }
    answer.append_header((header::SET_COOKIE, token.cookie));
    place.token = Some(token.text);
    place.token_expires_at = Some(token.expires_at);
    answer.place(&place)
}

/// Look at one's own place. Changes nothing in the order.
#[utoipa::path(
    get, path = "/api/v1/queues/{queue}/tokens/me", tag = "visitor", operation_id = "poll",
    params(QueueName),
    responses(
        (status = 200, description = "The place. Ask again after `pollAfterMs`, also in `Retry-After`.", body = Place),
        (status = 429, description = "Far too many polls of this token."),
    ),
    extensions(("x-access" = json!("token")), ("x-codes" = json!(["RATE_LIMITED"])))
)]
pub async fn poll(
    app: Data<Gateway>,
    queue: Path<QueueId>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let (queue, ticket) = visit(&app, &queue, &request).await?;
    let key = (ticket.user, ticket.number);
    app.limits.polls.take(key, app.clock.now())?;
    let visit = app.visits.poll(&queue, ticket).await?;
    let place = app.place(&visit);
    Ok(HttpResponse::Ok().place(&place))
}

/// Leave the line or end the visit. Twice is fine.
#[utoipa::path(
    delete, path = "/api/v1/queues/{queue}/tokens/me", tag = "visitor", operation_id = "leave",
    params(QueueName),
    responses(
        (status = 204, description = "The place is given up. What proves who one is from now on comes as \
            `X-Usher-Token` and as the cookie; where an identity provider says it the cookie is taken back."),
        (status = 410, description = "The token is too old to be used."),
    ),
    extensions(("x-access" = json!("token")), ("x-codes" = json!(["ORIGIN_REFUSED"])))
)]
pub async fn leave(
    app: Data<Gateway>,
    queue: Path<QueueId>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let (_, claims) = give_up(&app, &queue, &request).await?;
    let mut answer = HttpResponse::NoContent()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .finish();
    admission::tell_left(&app, &claims, answer.headers_mut());
    Ok(answer)
}

/// Ends the visit that the token proves, in this queue; tells the queue and what the token said.
pub(super) async fn give_up(
    app: &Gateway,
    queue: &QueueId,
    request: &HttpRequest,
) -> Result<(Queue, Claims), Problem> {
    let (queue, claims) = visitor_of(app, queue, request).await?;
    if !claims.over {
        app.visits.leave(&queue, &claims.ticket()).await?;
    }
    Ok((queue, claims))
}

/// The queue of the path and what the token says, in whatever state its visit is.
pub(super) async fn visitor_of(
    app: &Gateway,
    queue: &QueueId,
    request: &HttpRequest,
) -> Result<(Queue, Claims), Problem> {
    let queue = app.queue(queue).await?;
    let token = credential::for_queue(request, queue.id()).ok_or_else(admission::no_token)?;
    let claims = app.tokens.verify(&token, app.clock.now())?;
    if claims.queue != *queue.id() {
        return Err(TokenError::Invalid.into());
    }
    Ok((queue, claims))
}

/// The queue of the path and the visit that the token proves; a token of another queue does not.
pub(super) async fn visit(
    app: &Gateway,
    queue: &QueueId,
    request: &HttpRequest,
) -> Result<(Queue, Ticket), Problem> {
    let (queue, claims) = visitor_of(app, queue, request).await?;
    if claims.over {
        return Err(QueueError::Over.into());
    }
    Ok((queue, claims.ticket()))
}

impl Gateway {
    /// What the visitor sees. Whether what it says about time comes true is followed.
    fn place(&self, visit: &Visit) -> Place {
        let now = self.clock.now();
        let (place, queue) = (Place::of(visit, now), visit.queue.id());
        match (place.state, place.eta_seconds) {
            (PlaceState::Waiting, Some(eta)) => {
                let promise = (u64::from(eta.max), place.retry_after_s());
                self.fairness.promised(queue, &visit.ticket, promise, now);
            }
            (PlaceState::Active, _) => self.fairness.arrived(queue, &visit.ticket, now),
            _ => {}
        }
        place
    }
}

/// How a place is answered everywhere.
trait AnswerPlace {
    fn place(&mut self, place: &Place) -> HttpResponse;
}

impl AnswerPlace for actix_web::HttpResponseBuilder {
    fn place(&mut self, place: &Place) -> HttpResponse {
        self.insert_header((header::CACHE_CONTROL, "no-store"))
            .insert_header((header::RETRY_AFTER, place.retry_after_s()))
            .json(place)
    }
}
