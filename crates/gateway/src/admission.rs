//! Owns one decision: may this request pass to the upstream, and as whom?
//!
//! The standing of a visitor is asked of Redis on every request, so a visit that ended anywhere
//! ends everywhere at once. Only while Redis does not answer, visitors who were seen inside may go on.
//! What the upstream hears of the visitor is a pass that only the gateway can sign.

mod operators;
mod own_things;

use std::sync::Arc;
use std::time::Duration;

use actix_web::body::{BoxBody, EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage as _, HttpRequest, web};
use chassis::logging::RoutePattern;
use chassis::problem::{self, Problem};
use chassis::time::{Timestamp, rfc3339};
use tokio::time::Instant;
use uuid::Uuid;

use crate::api::place::Place;
use crate::api::{navigation, waiting};
use crate::codes;
use crate::cors;
use crate::credential::{self, Shown};
use crate::identity::Identity;
use crate::proxy::{self, upstream::Upstream};
use crate::queue::policy::State;
use crate::queue::{Queue, QueueError, QueueId, Standing, Ticket, UserId};
use crate::route::{Asked, Found, PathInvalid, QueueRule, Readings};
use crate::token::{self, Holder, Level, VisitState};
use crate::{FreshToken, Gateway, Pass};

pub use operators::Operator;
use operators::operator_passes;
use own_things::{id_of, own_things};

/// What the proxy needs to know of a request that may pass.
#[derive(Clone)]
pub struct Grant {
    /// Where it goes.
    pub upstream: Arc<Upstream>,
    /// `X-Usher-Pass`, where the upstream is to know who comes.
    pub(crate) pass: Option<Pass>,
    /// Whether `Authorization` was for the gateway; another one is for the upstream.
    pub is_bearer_spent: bool,
    /// The visit that an answer may end.
    pub visit: Option<(Queue, Ticket)>,
    /// Of the token that proved who asks for their own things.
    life: Option<TokenLife>,
    /// The visit that must last as long as an upgraded connection does.
    pub lease: Option<(Queue, Ticket)>,
    /// Segments that are taken off the front of the path.
    pub strip: usize,
}

impl Grant {
    /// Tells the client for how long its token still proves who it is, where that is its business.
    pub fn tell_life(&self, headers: &mut HeaderMap) {
        if let Some(life) = &self.life {
            life.tell(headers);
        }
    }
}

/// A request that is to be judged.
pub struct Target<'a> {
    /// Its method.
    pub method: &'a str,
    /// The host that it asks for.
    pub host: Option<&'a str>,
    /// Its path as it came, without the query.
    pub path: &'a str,
}

/// A token in place of the one that was shown.
const RENEWED: HeaderName = HeaderName::from_static("x-usher-token");
/// Until when that one is good, or the one that was shown where there is none in its place.
const GOOD_UNTIL: HeaderName = HeaderName::from_static("x-usher-token-expires");

/// For how long a token still proves who one is.
#[derive(Clone)]
enum TokenLife {
    /// The one that was shown, before this instant.
    Until(Timestamp),
    /// Its visit is over: this one, in its place.
    Renewed(FreshToken),
}

/// Whose request it is, as was proven.
#[derive(Default)]
struct Proven {
    pass: Option<Pass>,
    life: Option<TokenLife>,
    by_bearer: bool,
    visit: Option<(Queue, Ticket)>,
}

/// Middleware around everything: takes back the cookies that are of no use any more, with the refusal
/// that shows it. A visit that is over is no reason: its token still proves who one is.
pub async fn clear_dead_cookies<B: MessageBody + 'static>(
    app: web::Data<Gateway>,
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let mut answer = next.call(request).await?;
    if !answer.status().is_client_error() {
        return Ok(answer);
    }
    for (queue, token) in credential::cookies(answer.request()) {
        if is_dead(&app, &queue, &token).await {
            let removal = credential::no_cookie(&queue, app.cookie);
            answer.headers_mut().append(header::SET_COOKIE, removal);
        }
    }
    Ok(answer)
}

/// Whether a cookie proves nothing: its token is forged or past its time, or its queue is gone.
async fn is_dead(app: &Gateway, queue: &QueueId, token: &str) -> bool {
    let is_good = |claims: token::Claims| claims.queue == *queue;
    if !app.tokens.verify(token, app.clock.now()).is_ok_and(is_good) {
        return true;
    }
    matches!(app.queues.open(queue).await, Err(QueueError::Unknown))
}

/// Middleware around the proxy: lets a request pass or refuses it.
pub async fn gate<B: MessageBody + 'static>(
    app: web::Data<Gateway>,
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B, BoxBody>>, Error> {
    let (decided, cookie) = match decide_on(&app, request.request()).await {
        Err(refusal) if navigation::is_navigation(request.request()) => {
            Box::pin(join(&app, &mut request, refusal)).await
        }
        decided => (decided, None),
    };
    match decided {
        Ok(grant) => {
            let life = grant.life.clone();
            request.extensions_mut().insert(grant);
            let mut answer = next.call(request).await?;
            if let Some(life) = life {
                life.tell(answer.headers_mut());
            }
            if let Some(cookie) = cookie {
                answer.headers_mut().append(header::SET_COOKIE, cookie);
            }
            Ok(answer.map_into_left_body())
        }
        Err(refusal) => Ok(Box::pin(refuse(&app, request, refusal, cookie.as_ref())).await),
    }
}

impl TokenLife {
    /// Tells until when one can prove who one is; a token in place of the one that was shown comes as a
    /// header, for clients that send bearers, and as the cookie.
    fn tell(&self, headers: &mut HeaderMap) {
        let mut put = |name, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        };
        match self {
            Self::Until(until) => put(GOOD_UNTIL, &rfc3339(*until)),
            Self::Renewed(token) => {
                put(RENEWED, &token.text);
                put(GOOD_UNTIL, &rfc3339(token.expires_at));
                headers.append(header::SET_COOKIE, token.cookie.clone());
            }
        }
    }
}

/// Tells somebody who left what proves from now on who they are: a token in place of the one that was
/// shown. Where an identity provider says who they are nothing else has to.
pub fn tell_left(app: &Gateway, claims: &token::Claims, headers: &mut HeaderMap) {
    if matches!(app.identity, Identity::Jwt(_)) {
        let removal = credential::no_cookie(&claims.queue, app.cookie);
        headers.append(header::SET_COOKIE, removal);
        return;
    }
    TokenLife::Renewed(app.given_up(claims)).tell(headers);
}

/// A browser that has no place gets one; with room inside it passes at once, as that visitor.
async fn join(
    app: &Gateway,
    request: &mut ServiceRequest,
    refusal: Problem,
) -> (Result<Grant, Problem>, Option<HeaderValue>) {
    let joined = match waiting::join(app, request.request(), &refusal).await {
        None => return (Err(refusal), None),
        Some(Err(other)) => return (Err(other), None),
        Some(Ok(joined)) => joined,
    };
    let bearer = HeaderValue::try_from(format!("Bearer {}", joined.token));
    match bearer {
        Ok(bearer) if joined.is_inside => {
            request.headers_mut().insert(header::AUTHORIZATION, bearer);
            let decided = decide_on(app, request.request()).await;
            (decided, Some(joined.cookie))
        }
        _ => (Err(joined.refusal), Some(joined.cookie)),
    }
}

/// The one place where a refusal becomes an answer: a problem, or the waiting page for a browser.
async fn refuse<B: MessageBody>(
    app: &Gateway,
    request: ServiceRequest,
    refusal: Problem,
    cookie: Option<&HeaderValue>,
) -> ServiceResponse<EitherBody<B, BoxBody>> {
    if navigation::is_navigation(request.request())
        && let Some(page) = waiting::page(app, request.request(), &refusal, cookie).await
    {
        return request.into_response(page).map_into_right_body();
    }
    let is_method = refusal.status() == StatusCode::METHOD_NOT_ALLOWED;
    let mut answer = problem::refuse(request, refusal);
    if is_method {
        let allow = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
        answer.headers_mut().insert(header::ALLOW, allow);
    }
    answer
}

/// May this very request pass, and as whom?
async fn decide_on(app: &Gateway, request: &HttpRequest) -> Result<Grant, Problem> {
    let target = Target {
        method: request.method().as_str(),
        host: proxy::host(request, app.trusted_hops),
        path: request.path(),
    };
    decide(app, request, &target).await
}

/// May this request pass, and as whom? `request` proves who asks; `target` is what they ask for.
///
/// # Errors
/// The refusal.
pub async fn decide(
    app: &Gateway,
    request: &HttpRequest,
    target: &Target<'_>,
) -> Result<Grant, Problem> {
    if matches!(target.method, "CONNECT" | "TRACE") {
        return Err(method_refused());
    }
    let path = Readings::of(target.path)?;
    let routes = app.routes();
    // A preflight asks for another request, and is judged by the route of that one.
    let preflight = cors::preflight_of(request);
    let found = routes.find(Asked {
        host: target.host,
        method: preflight.unwrap_or(target.method),
        path: &path,
    });
    let found = found.ok_or_else(|| no_route(target))?;
    request
        .extensions_mut()
        .insert(RoutePattern(format!("upstream {}", found.pattern).into()));
    let proven = match found.level {
        _ if preflight.is_some() => None,
        Level::Public => None,
        Level::Operator => Some(operator_passes(app, request)?),
        Level::Token => Some(own_things(app, request).await?),
        Level::Active => inside(app, request, &found).await?,
    };
    let by_bearer = proven.as_ref().is_some_and(|it| it.by_bearer);
    let is_ours = || credential::bearer(request).is_some_and(|bearer| app.knows(bearer));
    let is_bearer_spent = by_bearer || is_ours();
    let Proven {
        pass, visit, life, ..
    } = proven.unwrap_or_default();
    Ok(Grant {
        upstream: found.upstream,
        pass,
        is_bearer_spent,
        lease: visit.clone().filter(|_| found.level == Level::Active),
        visit,
        life,
        strip: found.strip,
    })
}

fn no_route(target: &Target<'_>) -> Problem {
    let detail = format!("There is nothing at {}.", target.path);
    codes::NOT_FOUND.because(detail)
}

fn method_refused() -> Problem {
    codes::METHOD_NOT_ALLOWED.because("CONNECT and TRACE are not passed on.")
}

/// Level `active`: a visitor with several tokens passes with the first of their visits that may.
/// While the queue of the route lets everybody pass, so does who has no visit.
async fn inside(
    app: &Gateway,
    request: &HttpRequest,
    found: &Found,
) -> Result<Option<Proven>, Problem> {
    // However many tokens are shown, the request has one deadline.
    let begun = Instant::now();
    let is_bypassed = match &found.queue {
        QueueRule::One(queue) => is_bypassed(&app.queues.open_for(queue, begun).await?),
        // A route that names no queue is one of every queue.
        QueueRule::Any => {
            let queues = app.queues.list();
            !queues.is_empty() && queues.iter().all(is_bypassed)
        }
        QueueRule::Odd => return Err(QueueError::Unknown.into()),
    };
    let mut refusal = None;
    for shown in credential::all(request) {
        match visit_inside(app, &shown, &found.queue, is_bypassed, begun).await {
            Ok(proven) => return Ok(Some(proven)),
            Err(problem) => refusal = Some(worse(refusal, problem)),
        }
    }
    if is_bypassed {
        return Ok(None);
    }
    let refusal = refusal.unwrap_or_else(no_token);
    Err(match &found.queue {
        QueueRule::One(queue) => refusal.with("queue", queue.as_str()),
        QueueRule::Any | QueueRule::Odd => refusal,
    })
}

fn is_bypassed(queue: &Queue) -> bool {
    queue.snapshot().state == State::Bypass
}

/// Of two refusals the one that tells more. That some token is not one of ours tells least: it may
/// be for the service behind.
fn worse(before: Option<Problem>, now: Problem) -> Problem {
    let weight = |problem: &Problem| match problem.code() {
        "NOT_ADMITTED" => 3,
        "QUEUE_MISMATCH" => 1,
        _ if problem.status() == StatusCode::UNAUTHORIZED => 0,
        _ => 2,
    };
    match before {
        Some(before) if weight(&before) >= weight(&now) => before,
        _ => now,
    }
}

async fn visit_inside(
    app: &Gateway,
    shown: &Shown,
    wanted: &QueueRule,
    is_bypassed: bool,
    begun: Instant,
) -> Result<Proven, Problem> {
    let now = app.clock.now();
    let claims = app.tokens.verify(&shown.token, now)?;
    if let QueueRule::One(wanted) = wanted
        && claims.queue != *wanted
    {
        return Err(other_queue(wanted));
    }
    let ticket = claims.ticket();
    app.limits
        .requests
        .take((ticket.user, ticket.number), now)?;
    let proven = |visit| Proven {
        pass: Some(app.pass(Holder {
            sub: ticket.user.to_string(),
            queue: claims.queue.to_string(),
            level: Level::Active,
            state: Some(VisitState::Active),
            rights: None,
            visit: Some(id_of(&ticket)),
        })),
        life: None,
        by_bearer: shown.is_bearer,
        visit,
    };
    let visit = match app.queues.open_for(&claims.queue, begun).await {
        Ok(_) if claims.over => Err(QueueError::Over),
        Ok(queue) => app.visits.pass(&queue, ticket, true).await,
        Err(cause) => Err(cause),
    };
    match visit {
        Ok(visit) if matches!(visit.standing, Standing::Active { .. }) => {
            Ok(proven(Some((visit.queue, ticket))))
        }
        _ if is_bypassed => Ok(proven(None)),
        Ok(visit) => Err(not_admitted(&Place::of(&visit, app.clock.now()))),
        Err(cause) => Err(cause.into()),
    }
}

fn other_queue(wanted: &QueueId) -> Problem {
    let detail = format!("This is reached through the queue {wanted}. Join it first.");
    codes::QUEUE_MISMATCH.because(detail)
}

/// Ends the visit that a pass names; the second time it changes nothing.
///
/// # Errors
/// Those of a queue that cannot be asked.
pub async fn release(app: &Gateway, holder: &Holder) -> Result<(), Problem> {
    let (Some(visit), Ok(id), Ok(user)) = (
        holder.visit,
        holder.queue.parse::<QueueId>(),
        holder.sub.parse::<Uuid>(),
    ) else {
        return Ok(());
    };
    let queue = app.queue(&id).await?;
    let ticket = Ticket {
        user: UserId(user),
        number: visit.ticket,
        epoch: visit.epoch,
    };
    queue.heard_bought();
    app.visits.release(&queue, &ticket).await;
    Ok(())
}

/// Counts how the service behind answered the request of a pass; one that is of no visit counts nowhere.
///
/// # Errors
/// Those of a queue that cannot be asked.
pub async fn answered(
    app: &Gateway,
    holder: &Holder,
    took: Duration,
    is_failure: bool,
) -> Result<(), Problem> {
    if let (Some(_), Ok(id)) = (holder.visit, holder.queue.parse::<QueueId>()) {
        let queue = app.queue(&id).await?;
        queue.request_begun();
        queue.request_answered(Some(took), is_failure);
    }
    Ok(())
}

/// No token where one is needed.
pub fn no_token() -> Problem {
    codes::TOKEN_MISSING.because(
        "Join the queue first: POST /api/v1/queues/{queue}/tokens. Then send the token as \
         Authorization: Bearer.",
    )
}

/// Not inside yet; the refusal carries the place.
pub fn not_admitted(place: &Place) -> Problem {
    codes::NOT_ADMITTED
        .because("It is not your turn yet.")
        .retryable()
        .retry_after(place.retry_after_s())
        .with("place", serde_json::json!(place))
}

impl From<PathInvalid> for Problem {
    fn from(error: PathInvalid) -> Self {
        codes::PATH_INVALID.because(format!("Refused: {error}."))
    }
}

impl From<token::TokenError> for Problem {
    fn from(error: token::TokenError) -> Self {
        match error {
            token::TokenError::Invalid => {
                codes::TOKEN_INVALID.because("This is not a token of this queue.")
            }
            token::TokenError::Expired => QueueError::Over.into(),
        }
    }
}
