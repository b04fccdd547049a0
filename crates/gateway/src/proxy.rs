//! Owns the way to the service behind and back: what is passed on, what is kept, what an answer
//! means.
//!
//! Bodies are streamed both ways, and nothing is buffered whole. What breaks on one side breaks on
//! the other: an answer that ends early never looks whole. Headers of one hop, and every header
//! with which a client could pretend to be the gateway, are dropped. `X-Admission: release` in an
//! answer ends the visit before the visitor hears of it, so that the next one enters at once; a
//! replayed answer ends nothing.

mod check;
mod client;
mod frames;
mod head;
mod location;
mod measurement;
mod tls;
mod tunnel;
mod upload;
pub mod upstream;

use actix_web::body::BodySize;
use actix_web::dev::Payload;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::http::{ConnectionType, Method, StatusCode, Version};
use actix_web::web::{self, ReqData};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use chassis::http_server::Handle;
use chassis::problem::Problem;
use chassis::{json, request_id, trace};
use futures_util::StreamExt as _;
use http::{Request, Response};
use std::time::Instant;

use crate::Gateway;
use crate::admission::Grant;
use crate::codes;
use crate::route;

use client::{Download, SendError};
use measurement::Measurement;
use upload::{Upload, UploadError};
use upstream::{HostRule, Upstream, UpstreamRules};

pub use check::check;
pub use client::Client;
pub use head::{host, source};
pub use tls::Trust;

/// Marks an answer that was given before.
const REPLAYED: &str = "idempotent-replayed";

/// Handler of everything that is not the gateway's own; the gate let it pass.
pub async fn forward(
    app: web::Data<Gateway>,
    client: web::Data<Client>,
    grant: ReqData<Grant>,
    request: HttpRequest,
    body: web::Payload,
) -> Result<HttpResponse, Problem> {
    let upstream = &grant.upstream;
    let protocol = head::upgrade(&request);
    let (upload, tunnelled) = match protocol {
        Some(_) => (Upload::none(), Some(body.into_inner())),
        None => (upload(&request, body.into_inner(), &upstream.rules)?, None),
    };
    let outgoing = outgoing(&app, &grant, &request, upload)?;
    let measured = Measurement::begin(&app, &grant);
    let sent = client.send(upstream, outgoing).await;
    measured.end(&sent);
    let answer = sent.map_err(|cause| refusal(&app, upstream, &cause))?;
    hear_of_stock(&grant, answer.headers());
    if answer.status() == http::StatusCode::SWITCHING_PROTOCOLS
        && let (Some(protocol), Some(payload)) = (protocol, tunnelled)
    {
        return switched(app, &grant, &request, protocol, payload, answer).await;
    }
    if ends_the_visit(answer.headers()) {
        release(&app, &grant).await;
    }
    let mut back = passed_back(&request, answer)?;
    location::rewrite(&mut back, upstream, &request, app.trusted_hops);
    Ok(back)
}

/// What the service behind says of its stock is of the queue whose visitor asked.
fn hear_of_stock(grant: &Grant, headers: &http::HeaderMap) {
    let left = headers.get(head::REMAINING);
    let left = left.and_then(|it| it.to_str().ok()?.trim().parse().ok());
    if let (Some((queue, _)), Some(left)) = (&grant.visit, left) {
        queue.heard_remaining(left, Instant::now());
    }
}

fn outgoing(
    app: &Gateway,
    grant: &Grant,
    request: &HttpRequest,
    upload: Upload,
) -> Result<Request<Upload>, Problem> {
    let upstream = &grant.upstream;
    let mut headers = head::passed_on(request.headers(), grant.is_bearer_spent);
    add_via(app, request, &mut headers)?;
    if let Some(host) = spoken_host(upstream, request) {
        headers.insert(http::header::HOST, host);
    }
    if let Some(pass) = &grant.pass {
        head::append(&mut headers, "x-usher-pass", pass.text.as_bytes());
    }
    let id = request_id::of(request);
    head::append(&mut headers, "x-request-id", id.as_bytes());
    if let Some(trace) = trace::current() {
        head::append(&mut headers, "traceparent", trace.to_string().as_bytes());
    }
    head::add_forwarded(&mut headers, request, app.trusted_hops);
    if let Some(protocol) = head::upgrade(request) {
        head::append(&mut headers, "connection", b"upgrade");
        head::append(&mut headers, "upgrade", protocol.as_bytes());
    }
    let mut outgoing = Request::new(upload);
    *outgoing.headers_mut() = headers;
    *outgoing.method_mut() = http::Method::from_bytes(request.method().as_str().as_bytes())
        .map_err(|_| odd("The method is not one of HTTP."))?;
    *outgoing.uri_mut() = target(request, grant.strip)?;
    Ok(outgoing)
}

fn upload(request: &HttpRequest, body: Payload, rules: &UpstreamRules) -> Result<Upload, Problem> {
    match (length(request)?, rules.max_body_bytes) {
        (Length::None, _) => Ok(Upload::none()),
        (Length::Known(bytes), Some(limit)) if bytes > limit => Err(too_large(limit)),
        (Length::Known(bytes), _) => Ok(Upload::new(body, Some(bytes), rules)),
        (Length::Unknown, _) => Ok(Upload::new(body, None, rules)),
    }
}

/// Path and query as they came, without what the route takes off.
fn target(request: &HttpRequest, strip: usize) -> Result<http::Uri, Problem> {
    let given = request.uri().path_and_query().map_or("", |it| it.as_str());
    let (path, query) = given.split_at(given.find('?').unwrap_or(given.len()));
    let target = if strip == 0 {
        given.parse()
    } else {
        format!("{}{query}", route::stripped(path, strip)).parse()
    };
    target.map_err(|_| odd("The target of the request is not a path."))
}

/// Names this installation among those through which the request came; one that came through it
/// before would go round for ever.
fn add_via(
    app: &Gateway,
    request: &HttpRequest,
    headers: &mut http::HeaderMap,
) -> Result<(), Problem> {
    let given = request.headers().get_all(header::VIA);
    let texts = given.filter_map(|value| value.to_str().ok());
    let mut hops = texts.flat_map(|text| text.split(',')).map(str::trim);
    if hops.any(|hop| hop.ends_with(&app.via)) {
        let detail =
            "The request came through this waiting room before: its upstream leads back to it.";
        return Err(codes::LOOP_DETECTED.because(detail));
    }
    let version = match request.version() {
        Version::HTTP_10 => "1.0",
        _ => "1.1",
    };
    head::append(headers, "via", format!("{version} {}", app.via).as_bytes());
    Ok(())
}

fn spoken_host(upstream: &Upstream, request: &HttpRequest) -> Option<http::HeaderValue> {
    let own = || upstream.origin(0).authority.clone();
    match &upstream.rules.host {
        HostRule::Upstream => Some(own()),
        HostRule::Literal(host) => Some(host.clone()),
        HostRule::Keep => {
            let given = request.headers().get(header::HOST);
            let given = given.and_then(|it| http::HeaderValue::from_bytes(it.as_bytes()).ok());
            // HTTP/1.0 has requests without it.
            given.or_else(|| Some(own()))
        }
    }
}

/// Whether a request has a body, and how long it is said to be.
enum Length {
    None,
    Known(u64),
    Unknown,
}

fn length(request: &HttpRequest) -> Result<Length, Problem> {
    let headers = request.headers();
    if headers.contains_key(header::TRANSFER_ENCODING) {
        return Ok(Length::Unknown);
    }
    let Some(value) = headers.get(header::CONTENT_LENGTH) else {
        return Ok(Length::None);
    };
    match value.to_str().ok().and_then(|text| text.parse().ok()) {
        Some(0) => Ok(Length::None),
        Some(bytes) => Ok(Length::Known(bytes)),
        None => Err(odd("Content-Length is not a number.")),
    }
}

fn odd(detail: &'static str) -> Problem {
    codes::REQUEST_INVALID.because(detail)
}

/// What an answer that was given before says was done when it was given first.
fn ends_the_visit(headers: &http::HeaderMap) -> bool {
    let says = |name, wanted: &str| {
        let value: Option<&http::HeaderValue> = headers.get(name);
        value.is_some_and(|it| it.as_bytes().eq_ignore_ascii_case(wanted.as_bytes()))
    };
    says(head::ADMISSION, "release") && !says(REPLAYED, "true")
}

/// The connection carries another protocol from here on.
async fn switched(
    app: web::Data<Gateway>,
    grant: &Grant,
    request: &HttpRequest,
    protocol: &str,
    payload: Payload,
    mut answer: Response<Download>,
) -> Result<HttpResponse, Problem> {
    let is_websocket = head::is_websocket(protocol);
    // The parser of requests lets go by itself for a WebSocket only.
    let payload = match request.conn_data::<Handle>() {
        Some(connection) if !is_websocket => Payload::Stream {
            payload: connection.hand_over().boxed_local(),
        },
        _ => payload,
    };
    let upgraded = hyper::upgrade::on(&mut answer).await;
    let upgraded = upgraded.map_err(|cause| invalid(&cause.to_string()))?;
    let (head, download) = answer.into_parts();
    // Of several that were asked for the service chose one.
    let chosen = head.headers.get(http::header::UPGRADE);
    let chosen = chosen.and_then(|it| it.to_str().ok()).unwrap_or(protocol);
    let mut back = HttpResponse::build(StatusCode::SWITCHING_PROTOCOLS);
    copy_headers(&head.headers, &mut back, |name| {
        name != http::header::CONTENT_LENGTH
    });
    let tunnel = tunnel::open(
        upgraded,
        payload,
        download,
        is_websocket,
        tunnel::visit_ended(app, grant.lease.clone()),
        grant.upstream.rules.idle_timeout,
    );
    let mut back = back.upgrade(chosen).streaming(tunnel);
    // Only of a WebSocket it is known that what follows has no chunks.
    back.head_mut().no_chunking(true);
    Ok(back)
}

/// Copies what is not of one hop, nor for the gateway alone.
fn copy_headers(
    given: &http::HeaderMap,
    back: &mut HttpResponseBuilder,
    keeps: impl Fn(&http::HeaderName) -> bool,
) {
    let own_hop = head::named_by_answer(given);
    for (name, value) in given {
        if head::is_kept_back(name) || own_hop.iter().any(|it| it == name.as_str()) || !keeps(name)
        {
            continue;
        }
        let name = HeaderName::from_bytes(name.as_str().as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value.as_bytes())) {
            back.append_header((name, value));
        }
    }
}

async fn release(app: &Gateway, grant: &Grant) {
    if let Some((queue, ticket)) = &grant.visit {
        queue.heard_bought();
        app.visits.release(queue, ticket).await;
    }
}

fn passed_back(request: &HttpRequest, answer: Response<Download>) -> Result<HttpResponse, Problem> {
    let (head, mut download) = answer.into_parts();
    let status = StatusCode::from_u16(head.status.as_u16());
    let status = status
        .ok()
        .filter(|it| *it != StatusCode::SWITCHING_PROTOCOLS);
    let Some(status) = status else {
        return Err(invalid(&format!(
            "an answer {} that was not asked for",
            head.status
        )));
    };
    let mut back = HttpResponse::build(status);
    let length = head.headers.get(http::header::CONTENT_LENGTH);
    let length = length.and_then(|it| it.to_str().ok()?.parse().ok());
    // A length is announced by the body, except where it is that of another answer.
    let keeps_length = status == StatusCode::NOT_MODIFIED;
    copy_headers(&head.headers, &mut back, |name| {
        keeps_length || name != http::header::CONTENT_LENGTH
    });
    let is_empty = *request.method() == Method::HEAD || status == StatusCode::NO_CONTENT;
    download.size = match length {
        // Its length is that of the answer it stands for.
        _ if status == StatusCode::NOT_MODIFIED => BodySize::None,
        Some(length) => BodySize::Sized(length),
        None if is_empty => BodySize::None,
        None => BodySize::Stream,
    };
    let ends_by_close = download.size == BodySize::Stream && request.version() < Version::HTTP_11;
    let mut back = back.body(download);
    if ends_by_close {
        back.head_mut().no_chunking(true);
        back.head_mut().set_connection_type(ConnectionType::Close);
    }
    Ok(back)
}

fn too_large(limit: u64) -> Problem {
    json::too_large(usize::try_from(limit).unwrap_or(usize::MAX))
}

/// What a visitor hears of a service that gave no answer.
fn refusal(app: &Gateway, upstream: &Upstream, cause: &SendError) -> Problem {
    let failures = &app.upstream_metrics.failures;
    failures.with_label_values(&[cause.reason()]).inc();
    let kept = "Your place is kept.";
    match cause {
        SendError::Busy => codes::UPSTREAM_BUSY.because(format!(
            "The service behind has as many requests as it may have. {kept}"
        )),
        SendError::Late => codes::UPSTREAM_TIMEOUT
            .because(format!("The service behind did not answer in time. {kept}")),
        SendError::Unreachable(cause) => codes::UPSTREAM_UNREACHABLE
            .because(format!("The service behind cannot be reached. {kept}"))
            .cause(format!("{}: {cause}", upstream.name)),
        SendError::Invalid(cause) => invalid(&format!("{}: {cause}", upstream.name)),
        SendError::Upload(UploadError::TooLong(limit)) => too_large(*limit),
        SendError::Upload(UploadError::Stalled(pause)) => json::too_slow(*pause),
        // Nobody is there to read this.
        SendError::Upload(UploadError::Cut) => odd("The body ended before its end."),
    }
}

fn invalid(cause: &str) -> Problem {
    codes::UPSTREAM_INVALID
        .because("The service behind gave an answer that cannot be passed on. Your place is kept.")
        .cause(cause)
}
