//! Owns the heads of answers: status, caching, where the thing now is.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;

/// Catalogue answers are the same for everybody; a shared cache may keep them this long.
const PUBLIC: &str = "public, max-age=1";
/// The browser may keep it but asks each time; no shared cache does.
const REVALIDATED: &str = "private, no-cache";
const NO_STORE: &str = "no-store";

/// 200 for this visitor only.
pub fn own(body: &impl Serialize) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, NO_STORE))
        .json(body)
}

/// 200 for anybody.
pub fn public(body: &impl Serialize) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, PUBLIC))
        .json(body)
}

/// 201, and where the new thing is.
pub fn created(location: &str, body: &impl Serialize) -> HttpResponse {
    HttpResponse::Created()
        .insert_header((header::CACHE_CONTROL, NO_STORE))
        .insert_header((header::LOCATION, location))
        .json(body)
}

/// 204.
pub fn gone() -> HttpResponse {
    HttpResponse::NoContent()
        .insert_header((header::CACHE_CONTROL, NO_STORE))
        .finish()
}

/// 200 with a strong `ETag` of `version`, or 304 when the client has this version already.
pub fn versioned(request: &HttpRequest, version: &str, body: &impl Serialize) -> HttpResponse {
    let tag = format!("\"{version}\"");
    let mut answer = if has(request, &tag) {
        HttpResponse::NotModified()
    } else {
        HttpResponse::Ok()
    };
    answer
        .insert_header((header::ETAG, tag.as_str()))
        .insert_header((header::CACHE_CONTROL, REVALIDATED));
    if has(request, &tag) {
        answer.finish()
    } else {
        answer.json(body)
    }
}

/// Whether `If-None-Match` names the tag; the weak comparison of RFC 9110, section 13.1.2.
fn has(request: &HttpRequest, tag: &str) -> bool {
    let lines = request.headers().get_all(header::IF_NONE_MATCH);
    let mut named = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','));
    named.any(|one| one.trim() == "*" || one.trim().trim_start_matches("W/") == tag)
}

#[cfg(test)]
mod tests {
    use actix_web::http::StatusCode;
    use actix_web::http::header::IF_NONE_MATCH;
    use actix_web::test::TestRequest;

    use super::versioned;

    #[test]
    fn a_version_that_the_client_has_is_not_sent_again() {
        let status = |given: &str| {
            let request = TestRequest::get()
                .insert_header((IF_NONE_MATCH, given))
                .to_http_request();
            versioned(&request, "v1", &"body").status()
        };
        for same in ["\"v1\"", "W/\"v1\"", "\"v0\", \"v1\"", "*"] {
            assert_eq!(status(same), StatusCode::NOT_MODIFIED, "{same}");
        }
        for other in ["\"v0\"", "v1", "\"v1", "", "\"v1x\""] {
            assert_eq!(status(other), StatusCode::OK, "{other}");
        }
    }
}
