//! The question of a proxy that stands there already: may this request pass, and as whom?
//!
//! nginx (`auth_request`), Traefik (ForwardAuth) and Caddy (`forward_auth`) take every 2xx as leave to
//! pass, so a refused request never gets one here, whatever a page would be answered with.

use std::time::Duration;

use actix_web::http::header::HeaderValue;
use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};
use chassis::json::{self, Body};
use chassis::problem::Problem;
use serde::Deserialize;
use utoipa::ToSchema;

use super::document::GatewayProblem;
use super::{navigation, waiting};
use crate::admission::{self, Grant, Target};
use crate::codes;
use crate::token::Holder;
use crate::{Gateway, proxy};

/// Nobody waits for an hour.
const LONGEST_MS: u32 = 3_600_000;
/// What a neighbour says of the request that it holds: the headers of Traefik and Caddy, and those
/// that are usual with nginx.
const METHODS: [&str; 2] = ["x-forwarded-method", "x-original-method"];
const HOSTS: [&str; 2] = ["x-forwarded-host", "x-original-host"];
const TARGETS: [&str; 3] = ["x-forwarded-uri", "x-original-uri", "x-original-url"];

/// May a request pass that a neighbour proxy holds?
///
/// The neighbour tells the request by `X-Forwarded-Method`, `-Uri` and `-Host` (Traefik, Caddy) or
/// `X-Original-Method` and `-URI` (nginx), and passes on the headers of its client. Whoever may not
/// pass never gets a 2xx.
#[utoipa::path(
    get, path = "/api/v1/authorize", tag = "neighbour",
    params(
        ("X-Forwarded-Method" = Option<String>, Header, description = "The method; GET where it is not said. Or `X-Original-Method`."),
        ("X-Forwarded-Uri" = Option<String>, Header, description = "Path and query. Or `X-Original-URI`."),
        ("X-Forwarded-Host" = Option<String>, Header, description = "The host that was asked for."),
    ),
    responses(
        (status = 204, description = "It may pass. Public paths have no pass.", headers(
            ("X-Usher-Pass" = String, description = "To be passed on to the service behind."),
            ("X-Usher-User" = String, description = "Who asks, as the pass says."),
            ("X-Usher-Token" = String, description = "Of a visit that is over: the token in place of the one that was shown, for the client. Also as `Set-Cookie`."),
            ("X-Usher-Token-Expires" = String, description = "Until when a token proves who asks for their own things, for the client."),
        )),
        (status = 303, description = "For a browser that was given a place inside just now: ask again with the cookie"),
        (status = 401, description = "For a browser the waiting page, else `TOKEN_MISSING`, `TOKEN_INVALID`, `TOKEN_EXPIRED`, `OPERATOR_KEY_INVALID`", body = GatewayProblem, content_type = "application/problem+json"),
        (status = 403, description = "For a browser the waiting page, else `NOT_ADMITTED` with the place, `QUEUE_MISMATCH` with the queue that is wanted, `RATE_LIMITED`, `QUEUE_UNKNOWN`", body = GatewayProblem, content_type = "application/problem+json"),
    ),
    extensions(("x-codes" = json!(["REQUEST_UNTOLD", "PATH_INVALID", "STORE_UNAVAILABLE"])))
)]
pub async fn ask(app: web::Data<Gateway>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let uri = said(&request, &TARGETS).ok_or_else(untold)?;
    // Some neighbours tell the whole address.
    let uri = uri.parse::<http::Uri>().map_err(|_| untold())?;
    let target = Target {
        method: said(&request, &METHODS).unwrap_or("GET"),
        host: said(&request, &HOSTS).or_else(|| proxy::host(&request, app.trusted_hops)),
        path: uri.path(),
    };
    match admission::decide(&app, &request, &target).await {
        Ok(grant) => Ok(let_through(grant)),
        Err(refusal) => refused(&app, &request, (target.method, &uri), refusal).await,
    }
}

/// The waiting page for a browser that looks for a page, else the problem.
async fn refused(
    app: &Gateway,
    request: &HttpRequest,
    (method, uri): (&str, &http::Uri),
    refusal: Problem,
) -> Result<HttpResponse, Problem> {
    if matches!(method, "GET" | "HEAD") && navigation::is_navigation(request) {
        return show(app, request, &address_of(uri), refusal).await;
    }
    Err(never_success(refusal))
}

fn let_through(mut grant: Grant) -> HttpResponse {
    let mut answer = HttpResponse::NoContent();
    answer.insert_header((header::CACHE_CONTROL, "no-store"));
    if let Some(pass) = grant.pass.take() {
        answer.insert_header(("x-usher-user", pass.holder.sub));
        answer.insert_header(("x-usher-pass", pass.text));
    }
    let mut answer = answer.finish();
    grant.tell_life(answer.headers_mut());
    answer
}

/// The visit of this pass is over.
///
/// For a neighbour whose service behind answered `X-Admission: release`.
#[utoipa::path(
    post, path = "/api/v1/authorize/release", tag = "neighbour",
    params(("X-Usher-Pass" = String, Header, description = "The pass of the request that was answered.")),
    responses(
        (status = 204, description = "It is over; also the second time"),
        (status = 401, description = "Not a pass, or one past its time."),
    ),
    extensions(("x-codes" = json!(["PASS_INVALID", "QUEUE_UNKNOWN", "STORE_UNAVAILABLE"])))
)]
pub async fn release(
    app: web::Data<Gateway>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let pass = good_pass(&app, &request)?;
    admission::release(&app, &pass).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// How the service behind answered a request.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Feedback {
    /// Milliseconds from the end of the request to the first byte of its answer.
    #[schema(minimum = 0, maximum = 3_600_000, example = 87)]
    latency_ms: u32,
    /// The status of the answer.
    #[schema(minimum = 100, maximum = 599, example = 200)]
    status: u16,
}

/// How the service behind answered the request of this pass.
///
/// From a neighbour that carries requests itself: a rate that is found (`admitPerSecond: "auto"`) is found
/// by this.
#[utoipa::path(
    post, path = "/api/v1/authorize/feedback", tag = "neighbour",
    params(("X-Usher-Pass" = String, Header, description = "The pass of the request that was answered.")),
    request_body = Feedback,
    responses(
        (status = 204, description = "Counted"),
        (status = 401, description = "Not a pass, or one past its time."),
    ),
    extensions(("x-codes" = json!(["PASS_INVALID", "QUEUE_UNKNOWN", "STORE_UNAVAILABLE"])))
)]
pub async fn feedback(
    app: web::Data<Gateway>,
    request: HttpRequest,
    body: Body<Feedback>,
) -> Result<HttpResponse, Problem> {
    let pass = good_pass(&app, &request)?;
    let took = body.checked()?;
    admission::answered(&app, &pass, took, body.status >= 500).await?;
    Ok(HttpResponse::NoContent().finish())
}

impl Feedback {
    /// The time, if all of it can be.
    fn checked(&self) -> Result<Duration, Problem> {
        if self.latency_ms > LONGEST_MS {
            return Err(json::unacceptable("`latencyMs` is at most 3600000."));
        }
        if !(100..600).contains(&self.status) {
            return Err(json::unacceptable("`status` is from 100 to 599."));
        }
        Ok(Duration::from_millis(u64::from(self.latency_ms)))
    }
}

/// A browser gets the page, with a status that no neighbour takes for leave. One that has no place gets
/// one, and with room inside it asks again, as that visitor.
async fn show(
    app: &Gateway,
    request: &HttpRequest,
    address: &str,
    refusal: Problem,
) -> Result<HttpResponse, Problem> {
    let (refusal, cookie) = match waiting::join(app, request, &refusal).await {
        None => (refusal, None),
        Some(joined) => {
            let joined = joined.map_err(never_success)?;
            if joined.is_inside {
                return Ok(again(address, joined.cookie));
            }
            (joined.refusal, Some(joined.cookie))
        }
    };
    let page = waiting::page_at(app, request, address, &refusal, cookie.as_ref()).await;
    let refusal = never_success(refusal);
    let Some(mut page) = page else {
        return Err(refusal);
    };
    *page.status_mut() = refusal.status();
    Ok(page)
}

fn again(address: &str, cookie: HeaderValue) -> HttpResponse {
    let mut answer = HttpResponse::SeeOther();
    answer.insert_header((header::CACHE_CONTROL, "no-store"));
    answer.insert_header((header::LOCATION, address));
    answer.insert_header((header::SET_COOKIE, cookie));
    answer.finish()
}

/// Path and query: the rest is where the visitor is already. Two slashes would begin another host.
fn address_of(uri: &http::Uri) -> String {
    let address = uri.path_and_query().map_or("", |it| it.as_str());
    format!("/{}", address.trim_start_matches(['/', '\\']))
}

fn said<'a>(request: &'a HttpRequest, names: &[&str]) -> Option<&'a str> {
    let value = |name: &&str| request.headers().get(*name)?.to_str().ok();
    names.iter().find_map(value)
}

fn good_pass(app: &Gateway, request: &HttpRequest) -> Result<Holder, Problem> {
    let shown = said(request, &["x-usher-pass"]);
    let pass = shown.and_then(|text| app.passes.verify(text, app.clock.now()));
    pass.ok_or_else(|| {
        let detail = "This needs the pass of a request as X-Usher-Pass.";
        codes::PASS_INVALID.because(detail)
    })
}

fn untold() -> Problem {
    let detail = "Which request is meant is told by X-Forwarded-Uri or X-Original-URI.";
    codes::REQUEST_UNTOLD.because(detail)
}

/// Of these neighbours nginx knows 401 and 403 alone: what is somebody's own doing becomes one of them.
fn never_success(problem: Problem) -> Problem {
    match problem.status().as_u16() {
        410 => problem.answered(StatusCode::UNAUTHORIZED),
        404 | 405 | 429 => problem.answered(StatusCode::FORBIDDEN),
        _ => problem,
    }
}
