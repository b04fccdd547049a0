//! Owns one decision: may this request pass to the upstream, and as whom?
//!
//! The standing of a visitor is asked of Redis on every request, so a visit that ended anywhere
//! ends everywhere at once. Only while Redis does not answer, whoever was seen inside may go on.
//! What the upstream hears of the visitor is a pass that only the gateway can sign.

use std::future::{Ready, ready};

use actix_web::body::{BoxBody, EitherBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::middleware::Next;
use actix_web::{Error, FromRequest, HttpMessage as _, HttpRequest, web};
use chassis::logging::RoutePattern;
use chassis::problem::{self, Problem};

use crate::Gateway;
use crate::access::{Level, PathInvalid, one_form};
use crate::api::place::Place;
use crate::credential;
use crate::queue::{Queue, QueueError, Standing, Ticket};
use crate::token;

/// What the proxy needs to know of a request that may pass.
#[derive(Clone)]
pub struct Passage {
    /// The path in its one form, which is the one that was decided on.
    pub path: String,
    /// `X-Usher-Pass`, where the upstream is to know who comes.
    pub pass: Option<String>,
    /// The visit that an answer may end.
    pub visit: Option<(Queue, Ticket)>,
}

/// Middleware around the proxy: lets a request pass or refuses it.
pub async fn gate<B: MessageBody + 'static>(
    app: web::Data<Gateway>,
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B, BoxBody>>, Error> {
    match decide(&app, request.request()).await {
        Ok(passage) => {
            request.extensions_mut().insert(passage);
            let answer = next.call(request).await?;
            Ok(answer.map_into_left_body())
        }
        Err(refusal) => Ok(problem::refuse(request, refusal)),
    }
}

async fn decide(app: &Gateway, request: &HttpRequest) -> Result<Passage, Problem> {
    let path = one_form(request.path())?.into_owned();
    let (level, pattern) = app.access.level(request.method().as_str(), &path);
    request
        .extensions_mut()
        .insert(RoutePattern(format!("upstream {pattern}").into()));
    match level {
        Level::Public => Ok(Passage {
            path,
            pass: None,
            visit: None,
        }),
        Level::Operator => {
            let name = operator(app, request)?;
            let pass = app.pass(&format!("operator:{name}"), "", token::Level::Operator);
            Ok(Passage {
                path,
                pass: Some(pass),
                visit: None,
            })
        }
        Level::Token => visitor(app, request, path, token::Level::Token).await,
        Level::Active => visitor(app, request, path, token::Level::Active).await,
    }
}

/// The name of the operator who asks; a handler that takes it is for operators alone.
pub struct Operator(pub String);

impl FromRequest for Operator {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let app = request.app_data::<web::Data<Gateway>>();
        ready(match app {
            Some(app) => operator(app, request).map(|name| Self(name.to_owned())),
            None => Err(Problem::internal("the application has no state")),
        })
    }
}

fn operator<'a>(app: &'a Gateway, request: &HttpRequest) -> Result<&'a str, Problem> {
    credential::bearer(request)
        .and_then(|key| app.operators.name_of(key))
        .ok_or_else(|| {
            Problem::new(
                StatusCode::UNAUTHORIZED,
                "OPERATOR_KEY_INVALID",
                "This route needs an operator's key as Authorization: Bearer.",
            )
        })
}

/// A visitor with several cookies passes with the first of their visits that may.
async fn visitor(
    app: &Gateway,
    request: &HttpRequest,
    path: String,
    level: token::Level,
) -> Result<Passage, Problem> {
    let mut refusal = no_token();
    for token in credential::all(request) {
        match visit(app, &token, level).await {
            Ok((queue, ticket)) => {
                let sub = ticket.user.to_string();
                return Ok(Passage {
                    path,
                    pass: Some(app.pass(&sub, queue.id().as_str(), level)),
                    visit: Some((queue, ticket)),
                });
            }
            Err(problem) => refusal = problem,
        }
    }
    Err(refusal)
}

async fn visit(
    app: &Gateway,
    token: &str,
    level: token::Level,
) -> Result<(Queue, Ticket), Problem> {
    let claims = app.tokens.verify(token, app.clock.now())?;
    let ticket = claims.ticket();
    let queue = app.queue(&claims.queue).await?;
    let is_for_active = !matches!(level, token::Level::Token);
    let visit = app.visits.pass(&queue, ticket, is_for_active).await?;
    match visit.standing {
        Standing::Active { .. } => Ok((queue, ticket)),
        _ if !is_for_active => Ok((queue, ticket)),
        _ => Err(not_admitted(&Place::of(&visit, app.clock.now()))),
    }
}

/// No token where one is needed.
pub fn no_token() -> Problem {
    Problem::new(
        StatusCode::UNAUTHORIZED,
        "TOKEN_MISSING",
        "Join the queue first: POST /api/v1/queues/{queue}/tokens. Then send the token as \
         Authorization: Bearer.",
    )
}

fn not_admitted(place: &Place) -> Problem {
    Problem::new(
        StatusCode::FORBIDDEN,
        "NOT_ADMITTED",
        "It is not your turn yet.",
    )
    .retryable()
    .retry_after(place.retry_after_s())
    .with("place", serde_json::json!(place))
}

impl From<PathInvalid> for Problem {
    fn from(error: PathInvalid) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "PATH_INVALID",
            format!("Refused: {error}."),
        )
    }
}

impl From<token::TokenError> for Problem {
    fn from(error: token::TokenError) -> Self {
        match error {
            token::TokenError::Invalid => Self::new(
                StatusCode::UNAUTHORIZED,
                "TOKEN_INVALID",
                "This is not a token of this queue.",
            ),
            token::TokenError::Expired => QueueError::Over.into(),
        }
    }
}
