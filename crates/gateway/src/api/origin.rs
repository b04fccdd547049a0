//! One decision: where cookies travel with requests from pages of other sites, may this page change
//! something by them?

use actix_web::body::{BoxBody, EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::{Method, header};
use actix_web::middleware::Next;
use actix_web::{Error, HttpRequest, web};
use chassis::problem;

use super::navigation::header_text;
use crate::Gateway;
use crate::codes;
use crate::credential::{self, SameSite};

/// Middleware: refuses what would change something by a cookie alone, from a page that is not known.
pub async fn from_known_pages<B: MessageBody + 'static>(
    app: web::Data<Gateway>,
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B, BoxBody>>, Error> {
    let is_open = app.cookie.same_site == SameSite::None;
    if is_open && acts_by_cookie(request.request()) && !is_known(&app, request.request()) {
        let refusal = codes::ORIGIN_REFUSED
            .because("This page may not act for the visitor: its Origin is not allowed.");
        return Ok(problem::refuse(request, refusal));
    }
    Ok(next.call(request).await?.map_into_left_body())
}

fn acts_by_cookie(request: &HttpRequest) -> bool {
    let is_safe = matches!(
        *request.method(),
        Method::GET | Method::HEAD | Method::OPTIONS
    );
    !is_safe && credential::bearer(request).is_none() && credential::has_cookie(request)
}

fn is_known(app: &Gateway, request: &HttpRequest) -> bool {
    let origin = header_text(request, header::ORIGIN);
    let host = origin.split_once("://").map(|(_, host)| host);
    let is_own = host.is_some_and(|host| host == header_text(request, header::HOST));
    is_own || app.cors.allows(origin.as_bytes())
}
