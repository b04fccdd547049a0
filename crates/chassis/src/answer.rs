//! Owns the heads of answers: status, caching, where the thing now is.

use actix_web::HttpResponse;
use actix_web::http::header;
use serde::Serialize;

/// What is the same for everybody a shared cache may keep this long.
const PUBLIC: &str = "public, max-age=1";
const NO_STORE: &str = "no-store";

/// 200 for the one who asks only.
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

/// 202: it is done soon.
pub fn accepted(body: &impl Serialize) -> HttpResponse {
    HttpResponse::Accepted()
        .insert_header((header::CACHE_CONTROL, NO_STORE))
        .json(body)
}

/// 204.
pub fn gone() -> HttpResponse {
    HttpResponse::NoContent()
        .insert_header((header::CACHE_CONTROL, NO_STORE))
        .finish()
}

/// 200 for operators, with the strong `ETag` of this version of the thing.
pub fn versioned(version: u32, body: &impl Serialize) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, NO_STORE))
        .insert_header((header::ETAG, format!("\"{version}\"")))
        .json(body)
}
