//! A visitor's routes: join, look, leave.

use actix_web::http::header;
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use chassis::json::Body;
use chassis::problem::Problem;
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::place::Place;
use super::{ProblemBody, QueueName};
use crate::queue::{Queue, QueueId, Standing, Ticket, UserId};
use crate::token::TokenError;
use crate::{Gateway, admission, credential};

/// Who joins.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Join {
    /// The visitor. One user has one place in a queue.
    user_id: Uuid,
}

/// Join the line, or get a fresh token for the place that one already has.
#[utoipa::path(
    post, path = "/api/v1/queues/{queue}/tokens", tag = "visitor", operation_id = "issue",
    params(QueueName), request_body = Join,
    responses(
        (status = 201, description = "A new place. Also sets the cookie `usher_token_{queue}`.", body = Place),
        (status = 200, description = "The place that the user already has, with a fresh token.", body = Place),
        (status = 400, description = "`BODY_MALFORMED`, `PATH_INVALID`", body = ProblemBody),
        (status = 403, description = "`QUEUE_CLOSED`", body = ProblemBody),
        (status = 404, description = "`QUEUE_UNKNOWN`", body = ProblemBody),
        (status = 413, description = "`BODY_TOO_LARGE`", body = ProblemBody),
        (status = 415, description = "`CONTENT_TYPE_UNSUPPORTED`", body = ProblemBody),
        (status = 422, description = "`BODY_INVALID`", body = ProblemBody),
        (status = 503, description = "`QUEUE_FULL`, `STORE_UNAVAILABLE`", body = ProblemBody),
    )
)]
pub async fn issue(
    app: Data<Gateway>,
    queue: Path<QueueId>,
    join: Body<Join>,
) -> Result<HttpResponse, Problem> {
    let queue = app.queues.open(&queue).await?;
    let joined = queue.join(UserId(join.user_id)).await?;
    let token = app.token(queue.id(), &joined.ticket);
    let mut place = Place::of(&queue, &joined.ticket, &joined.standing, app.clock.now());
    let mut answer = if joined.created {
        HttpResponse::Created()
    } else {
        HttpResponse::Ok()
    };
    if joined.created {
        let own = format!("/api/v1/queues/{}/tokens/me", queue.id());
        answer.insert_header((header::LOCATION, own));
    }
    answer.cookie(credential::cookie(queue.id(), &token, app.cookie_secure));
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
    let standing: Standing = queue.rank(&ticket).await?;
    let place = Place::of(&queue, &ticket, &standing, app.clock.now());
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
    let (queue, ticket) = visit(&app, &queue, &request).await?;
    queue.leave(&ticket).await?;
    Ok(HttpResponse::NoContent()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .cookie(credential::no_cookie(queue.id()))
        .finish())
}

/// The queue of the path and the visit that the token proves; a token of another queue does not.
async fn visit(
    app: &Gateway,
    queue: &QueueId,
    request: &HttpRequest,
) -> Result<(Queue, Ticket), Problem> {
    let queue = app.queues.open(queue).await?;
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
