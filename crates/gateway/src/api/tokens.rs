//! A visitor's routes: join, look, leave.

use actix_web::http::header;
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use chassis::json::Body;
use chassis::problem::Problem;

use super::newcomer::{self, Join};
use super::place::Place;
use super::{ProblemBody, QueueName};
use crate::queue::{Queue, QueueId, Ticket};
use crate::token::TokenError;
use crate::{Gateway, admission, credential};

/// Join the line, or get a fresh token for the place that one already has.
///
/// Where an identity provider says who joins, its token is the bearer.
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
        (status = 400, description = "`BODY_MALFORMED`, `PATH_INVALID`", body = ProblemBody),
        (status = 401, description = "`IDENTITY_MISSING`, `IDENTITY_INVALID`; `PROOF_REQUIRED`, \
            `PROOF_INVALID` with a challenge in `proofOfWork`", body = ProblemBody),
        (status = 403, description = "`QUEUE_CLOSED`; `IDENTITY_MISMATCH`: `userId` is another user", body = ProblemBody),
        (status = 404, description = "`QUEUE_UNKNOWN`", body = ProblemBody),
        (status = 413, description = "`BODY_TOO_LARGE`", body = ProblemBody),
        (status = 415, description = "`CONTENT_TYPE_UNSUPPORTED`", body = ProblemBody),
        (status = 422, description = "`BODY_INVALID`", body = ProblemBody),
        (status = 429, description = "`RATE_LIMITED`: too many from this source", body = ProblemBody),
        (status = 503, description = "`QUEUE_FULL`, `STORE_UNAVAILABLE`, `IDENTITY_UNAVAILABLE`", body = ProblemBody),
    )
)]
pub async fn issue(
    app: Data<Gateway>,
    queue: Path<QueueId>,
    request: HttpRequest,
    join: Body<Join>,
) -> Result<HttpResponse, Problem> {
    let queue = app.queue(&queue).await?;
    let user = newcomer::check(&app, &request, &queue, &join).await?;
    let joined = app.visits.join(&queue, user).await?;
    let token = app.token(queue.id(), &joined.visit.ticket);
    let mut place = Place::of(&joined.visit, app.clock.now());
    let mut answer = if joined.created {
        HttpResponse::Created()
    } else {
        HttpResponse::Ok()
    };
    if joined.created {
        let own = format!("/api/v1/queues/{}/tokens/me", queue.id());
        answer.insert_header((header::LOCATION, own));
    }
    let cookie = credential::cookie(queue.id(), &token, app.cookie);
    answer.append_header((header::SET_COOKIE, cookie));
    place.token = Some(token);
    Ok(answer.place(&place))
}

/// Look at one's own place. Changes nothing in the order.
#[utoipa::path(
    get, path = "/api/v1/queues/{queue}/tokens/me", tag = "visitor", operation_id = "poll",
    params(QueueName), security(("token" = [])),
    responses(
        (status = 200, description = "The place. Ask again after `pollAfterMs`, also in `Retry-After`.", body = Place),
        (status = 401, description = "`TOKEN_MISSING`, `TOKEN_INVALID`", body = ProblemBody),
        (status = 404, description = "`QUEUE_UNKNOWN`", body = ProblemBody),
        (status = 410, description = "`TOKEN_EXPIRED`: the visit is over; join again.", body = ProblemBody),
        (status = 503, description = "`STORE_UNAVAILABLE`", body = ProblemBody),
    )
)]
pub async fn poll(
    app: Data<Gateway>,
    queue: Path<QueueId>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let (queue, ticket) = visit(&app, &queue, &request).await?;
    let visit = app.visits.poll(&queue, ticket).await?;
    let place = Place::of(&visit, app.clock.now());
    Ok(HttpResponse::Ok().place(&place))
}

/// Leave the line or end the visit. Twice is fine.
#[utoipa::path(
    delete, path = "/api/v1/queues/{queue}/tokens/me", tag = "visitor", operation_id = "leave",
    params(QueueName), security(("token" = [])),
    responses(
        (status = 204, description = "The place is given up."),
        (status = 401, description = "`TOKEN_MISSING`, `TOKEN_INVALID`", body = ProblemBody),
        (status = 404, description = "`QUEUE_UNKNOWN`", body = ProblemBody),
        (status = 410, description = "`TOKEN_EXPIRED`: the token is too old to be used.", body = ProblemBody),
        (status = 503, description = "`STORE_UNAVAILABLE`", body = ProblemBody),
    )
)]
pub async fn leave(
    app: Data<Gateway>,
    queue: Path<QueueId>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    give_up(&app, &queue, &request).await?;
    Ok(HttpResponse::NoContent()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .append_header((
            header::SET_COOKIE,
            credential::no_cookie(&queue, app.cookie),
        ))
        .finish())
}

/// Ends the visit that the token proves.
pub(super) async fn give_up(
    app: &Gateway,
    queue: &QueueId,
    request: &HttpRequest,
) -> Result<(), Problem> {
    let (queue, ticket) = visit(app, queue, request).await?;
    app.visits.leave(&queue, &ticket).await?;
    Ok(())
}

/// The queue of the path and the visit that the token proves; a token of another queue does not.
pub(super) async fn visit(
    app: &Gateway,
    queue: &QueueId,
    request: &HttpRequest,
) -> Result<(Queue, Ticket), Problem> {
    let queue = app.queue(queue).await?;
    let token = credential::for_queue(request, queue.id()).ok_or_else(admission::no_token)?;
    let claims = app.tokens.verify(&token, app.clock.now())?;
    if claims.queue != *queue.id() {
        return Err(TokenError::Invalid.into());
    }
    Ok((queue, claims.ticket()))
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
