//! Owns what pages of other origins may do: who may call, and which headers they may read.
//!
//! Where no origin is configured this is the business of the service behind alone. A preflight
//! carries no credentials, so it is answered here or passed on, never refused for want of a token.
//! An answer says each thing once, here or as the service behind said it.

use actix_web::body::{BoxBody, EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{Error, HttpRequest, HttpResponse, web};

use crate::config::Cors;

/// Seconds for which a browser need not ask again.
const MAX_AGE_S: &str = "3600";
/// Headers of ours that a page may read.
const OURS: [&str; 7] = [
    "etag",
    "location",
    "retry-after",
    "idempotent-replayed",
    "x-request-id",
    "x-usher-token",
    "x-usher-token-expires",
];

/// The method of the request that a browser asks leave for, if this is such a question.
pub fn preflight_of(request: &HttpRequest) -> Option<&str> {
    let headers = request.headers();
    if *request.method() != Method::OPTIONS || !headers.contains_key(header::ORIGIN) {
        return None;
    }
    headers
        .get(header::ACCESS_CONTROL_REQUEST_METHOD)?
        .to_str()
        .ok()
}

/// Middleware around everything that answers a client.
pub async fn share<B: MessageBody + 'static>(
    cors: web::Data<Cors>,
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B, BoxBody>>, Error> {
    let origin = request.headers().get(header::ORIGIN).cloned();
    let Some(origin) = origin.filter(|it| cors.allows(it.as_bytes())) else {
        return Ok(next.call(request).await?.map_into_left_body());
    };
    if preflight_of(request.request()).is_some() {
        let answer = preflight(&cors, &origin, request.headers());
        return Ok(request.into_response(answer).map_into_right_body());
    }
    let mut answer = next.call(request).await?;
    let headers = answer.headers_mut();
    allow(headers, &origin);
    let exposed = OURS
        .into_iter()
        .chain(cors.exposed.iter().map(String::as_str));
    add_names(headers, header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    Ok(answer.map_into_left_body())
}

fn preflight(cors: &Cors, origin: &HeaderValue, asked: &HeaderMap) -> HttpResponse {
    let mut answer = HttpResponse::build(StatusCode::NO_CONTENT).finish();
    let headers = answer.headers_mut();
    allow(headers, origin);
    let methods =
        list(&cors.methods).or_else(|| asked.get(header::ACCESS_CONTROL_REQUEST_METHOD).cloned());
    let allowed =
        list(&cors.headers).or_else(|| asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned());
    let max_age = Some(HeaderValue::from_static(MAX_AGE_S));
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_METHODS, methods),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, allowed),
        (header::ACCESS_CONTROL_MAX_AGE, max_age),
    ] {
        if let Some(value) = value {
            headers.insert(name, value);
        }
    }
    let asked = [
        "access-control-request-method",
        "access-control-request-headers",
    ];
    add_names(headers, header::VARY, asked.into_iter());
    answer
}

fn list(names: &[String]) -> Option<HeaderValue> {
    let text = (!names.is_empty()).then(|| names.join(", "))?;
    HeaderValue::from_str(&text).ok()
}

fn allow(headers: &mut HeaderMap, origin: &HeaderValue) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    let yes = HeaderValue::from_static("true");
    headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
    add_names(headers, header::VARY, ["origin"].into_iter());
}

/// Adds names to a header that lists names, in one line, each once.
fn add_names<'a>(headers: &mut HeaderMap, name: HeaderName, more: impl Iterator<Item = &'a str>) {
    let lines = headers.get_all(&name);
    let lines: Vec<String> = lines
        .map(|it| String::from_utf8_lossy(it.as_bytes()).into_owned())
        .collect();
    let given = lines.iter().flat_map(|line| line.split(','));
    let mut names: Vec<&str> = Vec::new();
    // Names of the service come first.
    let more: Vec<&str> = more.collect();
    for one in given.map(str::trim).chain(more) {
        if !one.is_empty() && !names.iter().any(|it| it.eq_ignore_ascii_case(one)) {
            names.push(one);
        }
    }
    if let Ok(value) = HeaderValue::from_str(&names.join(", ")) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{self, HeaderMap, HeaderValue};

    use super::add_names;

    #[test]
    fn ours_are_added_to_those_of_the_service_and_each_is_there_once() {
        let mut headers = HeaderMap::new();
        for line in ["X-Total, ETag", "x-page"] {
            let line = HeaderValue::from_static(line);
            headers.append(header::ACCESS_CONTROL_EXPOSE_HEADERS, line);
        }
        let ours = ["etag", "retry-after"].into_iter();
        add_names(&mut headers, header::ACCESS_CONTROL_EXPOSE_HEADERS, ours);
        let all: Vec<_> = headers
            .get_all(header::ACCESS_CONTROL_EXPOSE_HEADERS)
            .collect();
        assert_eq!(all, ["X-Total, ETag, x-page, retry-after"]);
    }
}
