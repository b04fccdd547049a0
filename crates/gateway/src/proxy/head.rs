//! Owns which headers pass: what is of one hop, what a client could pretend with, and what the
//! gateway itself says.
//!
//! Some programs read `_` as `-`, so a name is judged in its spelling with dashes.

use std::borrow::Cow;
use std::net::IpAddr;

use actix_web::HttpRequest;
use actix_web::http::Version;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::HeaderMap as Sent;
use http::header::{HeaderName as Name, HeaderValue as Value};

use crate::credential;
use crate::source;

/// Headers of one hop (RFC 9110, section 7.6.1).
const OF_ONE_HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
/// Headers of a request that the gateway writes itself, or that are settled with it.
const OWN: [&str; 7] = [
    "expect",
    "forwarded",
    "host",
    "http2-settings",
    "traceparent",
    "x-real-ip",
    "x-request-id",
];
/// A client's header of these kinds would be a lie to the service behind; a service's is for the
/// gateway alone.
const OWN_PREFIX: &str = "x-usher-";
const FORWARDED_PREFIX: &str = "x-forwarded-";

/// Protocols under which requests of HTTP go on, with TLS or without.
const HTTP_ITSELF: [&str; 4] = ["h2c", "h2", "http", "tls"];

/// What is left to sell.
pub const REMAINING: &str = "x-usher-remaining";
/// Ends the visit.
pub const ADMISSION: &str = "x-admission";
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// What passes of the headers of a client; `spent` means that its `Authorization` was for the
/// gateway.
pub fn passed_on(given: &HeaderMap, spent: bool) -> Sent {
    let own_hop = named_by_connection(given);
    let mut sent = Sent::with_capacity(given.len() + 8);
    for (name, value) in given {
        let is_of_hop = |it: &&str| it.eq_ignore_ascii_case(name.as_str());
        let is_dropped = is_settled(name.as_str())
            || own_hop.iter().any(|it| is_of_hop(&&**it))
            || name == header::COOKIE
            || (spent && name == header::AUTHORIZATION);
        if !is_dropped {
            append(&mut sent, name.as_str(), value.as_bytes());
        }
    }
    for cookies in given.get_all(header::COOKIE) {
        let others = credential::without_tokens(cookies.as_bytes());
        if !others.is_empty() {
            append(&mut sent, "cookie", &others);
        }
    }
    sent
}

/// Whether a header of a request stays behind.
fn is_settled(name: &str) -> bool {
    let name = with_dashes(name);
    OF_ONE_HOP.contains(&&*name)
        || OWN.contains(&&*name)
        || name.starts_with(OWN_PREFIX)
        || name.starts_with(FORWARDED_PREFIX)
}

fn with_dashes(name: &str) -> Cow<'_, str> {
    if name.contains('_') {
        Cow::Owned(name.replace('_', "-"))
    } else {
        Cow::Borrowed(name)
    }
}

/// Whether a header of an answer stays behind.
pub fn is_kept_back(name: &Name) -> bool {
    let name = name.as_str();
    OF_ONE_HOP.contains(&name) || name == ADMISSION || name.starts_with(OWN_PREFIX)
}

/// Headers that a `Connection` header declares to be of this hop.
fn named_by_connection(headers: &HeaderMap) -> Vec<String> {
    let values = headers.get_all(header::CONNECTION);
    listed(values.map(HeaderValue::as_bytes))
}

/// As [`named_by_connection`], of an answer.
pub fn named_by_answer(headers: &Sent) -> Vec<String> {
    let values = headers.get_all(http::header::CONNECTION);
    listed(values.iter().map(Value::as_bytes))
}

fn listed<'a>(values: impl Iterator<Item = &'a [u8]>) -> Vec<String> {
    let texts = values.filter_map(|value| std::str::from_utf8(value).ok());
    let names = texts.flat_map(|text| text.split(','));
    names.map(|name| name.trim().to_ascii_lowercase()).collect()
}

/// The protocol to which a request wants to switch, where that is passed on. HTTP in another form is
/// not: its requests would pass the gate unseen. Neither is a request with a body, after which alone the
/// other protocol could begin.
pub fn upgrade(request: &HttpRequest) -> Option<&str> {
    let headers = request.headers();
    let protocol = headers.get(header::UPGRADE)?.to_str().ok()?.trim();
    let is_http = |name: &str| {
        let name = name.trim().split('/').next().unwrap_or_default();
        HTTP_ITSELF.iter().any(|it| name.eq_ignore_ascii_case(it))
    };
    let length = headers.get(header::CONTENT_LENGTH);
    let has_body = headers.contains_key(header::TRANSFER_ENCODING)
        || length.is_some_and(|it| it.as_bytes() != b"0");
    let is_asked = request.version() == Version::HTTP_11
        && named_by_connection(headers)
            .iter()
            .any(|it| it == "upgrade")
        && !protocol.is_empty()
        && !protocol.split(',').any(is_http)
        && !has_body;
    is_asked.then_some(protocol)
}

/// Whether this protocol has frames that are known here.
pub fn is_websocket(protocol: &str) -> bool {
    protocol.eq_ignore_ascii_case("websocket")
}

/// Adds a header; the bytes of one that was received are sound.
pub fn append(headers: &mut Sent, name: &str, value: &[u8]) {
    if let (Ok(name), Ok(value)) = (Name::from_bytes(name.as_bytes()), Value::from_bytes(value)) {
        headers.append(name, value);
    }
}

/// Says who asks, and through whom. A proxy of ours in front is believed.
pub fn add_forwarded(headers: &mut Sent, request: &HttpRequest, trusted_hops: usize) {
    let peer = request.peer_addr().map(|peer| peer.ip());
    let chain = believed(request.headers(), trusted_hops);
    let addresses: Vec<String> = chain
        .into_iter()
        .chain(peer)
        .map(|it| it.to_string())
        .collect();
    append(headers, "x-forwarded-for", addresses.join(", ").as_bytes());
    append(
        headers,
        "x-forwarded-proto",
        scheme(request, trusted_hops).as_bytes(),
    );
    if let Some(host) = host(request, trusted_hops) {
        append(headers, "x-forwarded-host", host.as_bytes());
    }
}

/// The scheme that the visitor uses.
pub fn scheme(request: &HttpRequest, trusted_hops: usize) -> &str {
    said(request, &FORWARDED_PROTO, trusted_hops)
        .filter(|scheme| matches!(*scheme, "http" | "https"))
        .unwrap_or("http")
}

/// The host that the visitor asked for.
pub fn host(request: &HttpRequest, trusted_hops: usize) -> Option<&str> {
    said(request, &FORWARDED_HOST, trusted_hops).or_else(|| {
        let host = request.headers().get(header::HOST)?;
        host.to_str().ok()
    })
}

fn said<'a>(request: &'a HttpRequest, name: &HeaderName, trusted_hops: usize) -> Option<&'a str> {
    let value = request.headers().get(name).filter(|_| trusted_hops > 0)?;
    value
        .to_str()
        .ok()
        .map(str::trim)
        .filter(|it| !it.is_empty())
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

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};

    use super::{is_settled, passed_on};

    #[test]
    fn what_a_client_could_pretend_with_is_dropped_in_every_spelling() {
        for name in [
            "x-usher-pass",
            "x_usher_pass",
            "x-usher_anything",
            "x-forwarded-for",
            "x_forwarded_for",
            "x-forwarded-proto",
            "forwarded",
            "x-real-ip",
            "x_real-ip",
            "connection",
            "upgrade",
            "transfer-encoding",
            "transfer_encoding",
        ] {
            assert!(is_settled(name), "{name}");
        }
        assert!(!is_settled("idempotency-key"));
        assert!(!is_settled("my_own"));
    }

    #[test]
    fn headers_named_by_connection_are_of_this_hop() {
        let mut headers = HeaderMap::new();
        let mut add = |name, value| {
            headers.append(
                HeaderName::from_static(name),
                HeaderValue::from_bytes(value).expect("sound"),
            );
        };
        add("connection", b"close, X-Secret");
        add("x-secret", b"1");
        add("x-odd", b"caf\xe9");
        add("cookie", b"a=\xe9; usher_token_main=t");
        let sent = passed_on(&headers, false);
        assert!(!sent.contains_key("x-secret"));
        assert_eq!(sent["x-odd"].as_bytes(), b"caf\xe9");
        assert_eq!(sent["cookie"].as_bytes(), b"a=\xe9");
    }
}
