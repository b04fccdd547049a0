//! Owns the way to the upstream and back: what is passed on, what is kept, what an answer means.
//!
//! Bodies are streamed both ways. Headers of one hop, and every header with which a client could
//! pretend to be the gateway, are dropped. `X-Admission: release` in an answer ends the visit
//! before the visitor hears of it, so that the next one enters at once.

use std::net::IpAddr;
use std::time::Duration;

use actix_web::body::SizedStream;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::web::{self, ReqData};
use actix_web::{HttpRequest, HttpResponse};
use awc::error::{ConnectError, SendRequestError};
use awc::{Client, ClientRequest, ClientResponse, Connector};
use bytes::Bytes;
use chassis::problem::Problem;
use chassis::{json, request_id};
use futures_util::{Stream, TryStreamExt as _};

use crate::Gateway;
use crate::admission::Passage;
use crate::config;
use crate::credential;
use crate::source;

/// Headers of one hop (RFC 9110, section 7.6.1), and those that the gateway writes itself.
const DROPPED: [&str; 13] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "expect",
    "forwarded",
    "host",
    "x-real-ip",
];
/// A client's header of these kinds would be a lie to the upstream.
const DROPPED_PREFIXES: [&str; 2] = ["x-usher-", "x-forwarded-"];
/// An idle connection is closed before a usual server does it, which would race a request.
const KEEP_ALIVE: Duration = Duration::from_secs(4);

const PASS: HeaderName = HeaderName::from_static("x-usher-pass");
const ADMISSION: HeaderName = HeaderName::from_static("x-admission");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// The client of one worker; it keeps its connections to the upstream.
pub fn client(config: &config::Proxy) -> Client {
    Client::builder()
        .connector(
            Connector::new()
                .timeout(config.connect_timeout)
                .limit(config.connections)
                .conn_keep_alive(KEEP_ALIVE),
        )
        .timeout(config.timeout)
        .disable_redirects()
        .no_default_headers()
        .finish()
}

/// Handler of everything that is not the gateway's own; the gate let it pass.
pub async fn forward(
    app: web::Data<Gateway>,
    client: web::Data<Client>,
    passage: ReqData<Passage>,
    request: HttpRequest,
    body: web::Payload,
) -> Result<HttpResponse, Problem> {
    let answer = send(&app, &client, &passage, &request, body).await?;
    if answer
        .headers()
        .get(ADMISSION)
        .is_some_and(|it| it == "release")
    {
        release(&app, &passage).await;
    }
    Ok(passed_back(request.method(), answer))
}

async fn send(
    app: &Gateway,
    client: &Client,
    passage: &Passage,
    request: &HttpRequest,
    body: web::Payload,
) -> Result<ClientResponse, Problem> {
    let outgoing = || outgoing(app, client, passage, request);
    match length(request.headers())? {
        Length::None => match outgoing().send().await {
            // A connection that was kept may be closed by the other side at this very moment.
            // A request that changes nothing is simply sent once more.
            Err(SendRequestError::Send(_) | SendRequestError::Response(_))
                if matches!(*request.method(), Method::GET | Method::HEAD) =>
            {
                outgoing().send().await
            }
            answer => answer,
        },
        Length::Known(bytes) if bytes > app.max_body_bytes as u64 => {
            return Err(json::too_large(app.max_body_bytes));
        }
        Length::Known(bytes) => outgoing().send_body(SizedStream::new(bytes, body)).await,
        Length::Unknown => {
            let limited = limited(body, app.max_body_bytes);
            outgoing().send_stream(limited).await
        }
    }
    .map_err(|cause| of_upstream(cause, app.max_body_bytes))
}

/// Whether a request has a body, and how long it is said to be.
enum Length {
    None,
    Known(u64),
    Unknown,
}

fn length(headers: &HeaderMap) -> Result<Length, Problem> {
    if headers.contains_key(header::TRANSFER_ENCODING) {
        return Ok(Length::Unknown);
    }
    let Some(value) = headers.get(header::CONTENT_LENGTH) else {
        return Ok(Length::None);
    };
    let bytes = value.to_str().ok().and_then(|text| text.parse().ok());
    bytes.map(Length::Known).ok_or_else(|| {
        Problem::new(
            StatusCode::BAD_REQUEST,
            "REQUEST_INVALID",
            "Content-Length is not a number.",
        )
    })
}

/// A body of unknown length was longer than it may be.
#[derive(Debug, thiserror::Error)]
#[error("the body is longer than it may be")]
struct TooLong;

fn limited(
    body: web::Payload,
    most: usize,
) -> impl Stream<Item = Result<Bytes, Box<dyn std::error::Error>>> {
    let mut seen = 0;
    body.map_err(Into::into).and_then(move |chunk: Bytes| {
        seen += chunk.len();
        std::future::ready(if seen > most {
            Err(TooLong.into())
        } else {
            Ok(chunk)
        })
    })
}

fn outgoing(
    app: &Gateway,
    client: &Client,
    passage: &Passage,
    request: &HttpRequest,
) -> ClientRequest {
    let address = app
        .upstream
        .address_of(&passage.path, request.uri().query());
    let mut outgoing = client
        .request(request.method().clone(), address)
        .no_decompress();
    let headers = outgoing.headers_mut();
    let own_hop = named_by_connection(request.headers());
    // A bearer that the gateway understands is for the gateway alone; on a public path another one
    // may be for the upstream.
    let spent = passage.pass.is_some()
        || credential::bearer(request).is_some_and(|bearer| app.knows(bearer));
    for (name, value) in request.headers() {
        let keep = !is_dropped(name)
            && !own_hop.contains(name)
            && name != header::CONTENT_LENGTH
            && name != header::COOKIE
            && !(spent && name == header::AUTHORIZATION);
        if keep {
            headers.append(name.clone(), value.clone());
        }
    }
    add_cookies(headers, request.headers());
    if let Some(pass) = passage.pass.as_deref() {
        add(headers, PASS, pass);
    }
    add(headers, request_id::HEADER, &request_id::of(request));
    add_forwarded(headers, request, app.trusted_hops);
    outgoing
}

fn is_dropped(name: &HeaderName) -> bool {
    let name = name.as_str();
    DROPPED.contains(&name) || DROPPED_PREFIXES.iter().any(|it| name.starts_with(it))
}

/// Headers that a `Connection` header declares to be of this hop.
fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    headers
        .get_all(header::CONNECTION)
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect()
}

fn add(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

fn add_cookies(headers: &mut HeaderMap, given: &HeaderMap) {
    for cookies in given.get_all(header::COOKIE) {
        let others = cookies.to_str().map(credential::without_tokens);
        if let Some(others) = others.ok().filter(|it| !it.is_empty())
            && let Ok(others) = HeaderValue::from_str(&others)
        {
            headers.append(header::COOKIE, others);
        }
    }
}

fn add_forwarded(headers: &mut HeaderMap, request: &HttpRequest, trusted_hops: usize) {
    let peer = request.peer_addr().map(|peer| peer.ip());
    let chain = believed(request.headers(), trusted_hops);
    let addresses: Vec<String> = chain
        .into_iter()
        .chain(peer)
        .map(|it| it.to_string())
        .collect();
    add(headers, FORWARDED_FOR, &addresses.join(", "));
    let scheme = request
        .headers()
        .get(FORWARDED_PROTO)
        .and_then(|value| value.to_str().ok())
        .filter(|scheme| trusted_hops > 0 && matches!(*scheme, "http" | "https"));
    add(headers, FORWARDED_PROTO, scheme.unwrap_or("http"));
    if let Some(host) = request.headers().get(header::HOST) {
        headers.insert(FORWARDED_HOST, host.clone());
    }
}

/// What proxies of ours say of where a request comes from.
fn believed(headers: &HeaderMap, trusted_hops: usize) -> Vec<IpAddr> {
    let values = headers.get_all(FORWARDED_FOR);
    // An odd byte from a client must not hide what a proxy wrote behind it.
    let values: Vec<_> = values
        .map(|value| String::from_utf8_lossy(value.as_bytes()))
        .collect();
    source::believed(values.iter().map(|value| &**value), trusted_hops)
}

/// Where a request comes from, as limits count it.
pub fn source(request: &HttpRequest, trusted_hops: usize) -> Option<IpAddr> {
    let peer = request.peer_addr().map(|peer| peer.ip());
    source::counted(&believed(request.headers(), trusted_hops), peer)
}

/// The visit is over.
async fn release(app: &Gateway, passage: &Passage) {
    if let Some((queue, ticket)) = &passage.visit {
        app.visits.release(queue, ticket).await;
    }
}

fn passed_back(method: &Method, answer: ClientResponse) -> HttpResponse {
    let mut back = HttpResponse::build(answer.status());
    let own_hop = named_by_connection(answer.headers());
    let mut length = None;
    for (name, value) in answer.headers() {
        if name == header::CONTENT_LENGTH {
            length = value.to_str().ok().and_then(|text| text.parse().ok());
        } else if !is_dropped(name) && !own_hop.contains(name) && name != ADMISSION {
            back.append_header((name.clone(), value.clone()));
        }
    }
    let bodiless = *method == Method::HEAD
        || matches!(
            answer.status(),
            StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
        );
    match length {
        Some(length) if bodiless => back.no_chunking(length).finish(),
        None if bodiless => back.finish(),
        Some(length) => back.body(SizedStream::new(length, answer)),
        None => back.streaming(answer),
    }
}

fn of_upstream(error: SendRequestError, max_body_bytes: usize) -> Problem {
    match error {
        SendRequestError::Timeout => Problem::new(
            StatusCode::GATEWAY_TIMEOUT,
            "UPSTREAM_TIMEOUT",
            "The service behind did not answer in time. Your place is kept.",
        ),
        SendRequestError::Body(cause) if cause.is::<TooLong>() => json::too_large(max_body_bytes),
        SendRequestError::Connect(ConnectError::Timeout) => {
            unreachable_upstream("no connection within its time")
        }
        other => unreachable_upstream(&other.to_string()),
    }
}

fn unreachable_upstream(cause: &str) -> Problem {
    Problem::new(
        StatusCode::BAD_GATEWAY,
        "UPSTREAM_UNREACHABLE",
        "The service behind cannot be reached. Your place is kept.",
    )
    .cause(cause)
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};

    use super::{is_dropped, named_by_connection};

    #[test]
    fn what_a_client_could_pretend_with_is_dropped() {
        for name in [
            "x-usher-pass",
            "x-usher-anything",
            "x-forwarded-for",
            "x-forwarded-proto",
            "forwarded",
            "x-real-ip",
            "connection",
            "upgrade",
            "transfer-encoding",
        ] {
            assert!(is_dropped(&HeaderName::from_static(name)), "{name}");
        }
        assert!(!is_dropped(&HeaderName::from_static("idempotency-key")));
    }

    #[test]
    fn headers_named_by_connection_are_of_this_hop() {
        let mut headers = HeaderMap::new();
        let value = HeaderValue::from_static("close, X-Secret");
        headers.insert(HeaderName::from_static("connection"), value);
        let named = named_by_connection(&headers);
        assert!(named.contains(&HeaderName::from_static("x-secret")));
    }
}
