//! Owns which query parameters a route has: those of its operation in the OpenAPI document, and no others.
//!
//! So a typing error never passes silently, and the document cannot say less than the service takes.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use actix_web::Error;
use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::middleware::Next;
use actix_web::web::Query;
use utoipa::OpenApi as _;
use utoipa::openapi::RefOr;
use utoipa::openapi::path::{Operation, ParameterIn};

use super::Document;
use super::codes::QUERY_UNKNOWN;

/// What every list takes by the contract, also one that is short and always whole.
const OF_LISTS: [&str; 2] = ["limit", "cursor"];

/// The names by method and route pattern.
static KNOWN: LazyLock<HashMap<(Method, String), HashSet<String>>> = LazyLock::new(|| {
    let document = Document::openapi();
    let mut known = HashMap::new();
    for (path, item) in document.paths.paths {
        let operations = [
            (Method::GET, item.get),
            (Method::PUT, item.put),
            (Method::POST, item.post),
            (Method::PATCH, item.patch),
            (Method::DELETE, item.delete),
        ];
        for (method, operation) in operations {
            if let Some(operation) = operation {
                known.insert((method, path.clone()), names(operation));
            }
        }
    }
    known
});

fn names(operation: Operation) -> HashSet<String> {
    let all = operation.parameters.unwrap_or_default().into_iter();
    let of_query = all.filter_map(|it| match it {
        RefOr::T(it) if it.parameter_in == ParameterIn::Query => Some(it.name),
        RefOr::T(_) | RefOr::Ref(_) => None,
    });
    of_query.collect()
}

/// Middleware: a query parameter that the route does not have is refused by its name.
pub async fn check<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    if let Some(name) = unknown(&request) {
        let detail = format!("There is no query parameter `{name}` here.");
        let refused = request.error_response(QUERY_UNKNOWN.because(detail));
        return Ok(refused.map_into_right_body());
    }
    let answer = next.call(request).await?;
    Ok(answer.map_into_left_body())
}

fn unknown(request: &ServiceRequest) -> Option<String> {
    if request.query_string().is_empty() {
        return None;
    }
    let method = match request.method() {
        &Method::HEAD => Method::GET,
        method => method.clone(),
    };
    let is_read = method == Method::GET;
    // A path or method without an operation is answered by 404 or 405.
    let known = KNOWN.get(&(method, request.match_pattern()?))?;
    // What cannot be decoded is refused by the query of the route.
    let pairs = Query::<Vec<(String, String)>>::from_query(request.query_string()).ok()?;
    let mut names = pairs.into_inner().into_iter().map(|(name, _)| name);
    let is_of_lists = |name: &str| is_read && OF_LISTS.contains(&name);
    names.find(|name| !known.contains(name) && !is_of_lists(name))
}
