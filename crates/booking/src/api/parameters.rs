//! Owns what a request to a route may say: the query parameters of its operation in the OpenAPI document, and a body where
//! that has one; nothing else.
//!
//! So a typing error never passes silently, and the document cannot say less than the service takes.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::middleware::Next;
use actix_web::web::Query;
use actix_web::{Error, HttpMessage as _};
use chassis::problem::Problem;
use utoipa::OpenApi as _;
use utoipa::openapi::RefOr;
use utoipa::openapi::path::{Operation, ParameterIn};

use super::codes::QUERY_UNKNOWN;
use super::{Document, no_body};

/// What a route takes.
struct Takes {
    parameters: HashSet<String>,
    body: bool,
}

/// By method and route pattern.
static KNOWN: LazyLock<HashMap<(Method, String), Takes>> = LazyLock::new(|| {
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
                known.insert((method, path.clone()), takes(operation));
            }
        }
    }
    known
});

fn takes(operation: Operation) -> Takes {
    let all = operation.parameters.unwrap_or_default().into_iter();
    let of_query = all.filter_map(|it| match it {
        RefOr::T(it) if it.parameter_in == ParameterIn::Query => Some(it.name),
        RefOr::T(_) | RefOr::Ref(_) => None,
    });
    Takes {
        parameters: of_query.collect(),
        body: operation.request_body.is_some(),
    }
}

/// Middleware: a query parameter that the route does not have is refused by its name, and a body where none is asked for.
pub async fn check<B: MessageBody + 'static>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    // A path or method without an operation is answered by 404 or 405. Who says nothing is not looked up.
    if !says_nothing(&mut request)
        && let Some(takes) = operation(&request)
        && let Err(refused) = only(takes, &mut request).await
    {
        return Ok(request.error_response(refused).map_into_right_body());
    }
    let answer = next.call(request).await?;
    Ok(answer.map_into_left_body())
}

fn says_nothing(request: &mut ServiceRequest) -> bool {
    request.query_string().is_empty() && matches!(request.parts_mut().1, Payload::None)
}

fn operation(request: &ServiceRequest) -> Option<&'static Takes> {
    let method = match request.method() {
        &Method::HEAD => Method::GET,
        method => method.clone(),
    };
    KNOWN.get(&(method, request.match_pattern()?))
}

/// Refuses what the route does not take.
async fn only(takes: &Takes, request: &mut ServiceRequest) -> Result<(), Problem> {
    if let Some(name) = unknown(takes, request.query_string()) {
        let detail = format!("There is no query parameter `{name}` here.");
        return Err(QUERY_UNKNOWN.because(detail));
    }
    match request.take_payload() {
        Payload::None => Ok(()),
        payload if takes.body => {
            request.set_payload(payload);
            Ok(())
        }
        payload => no_body::check(payload).await,
    }
}

fn unknown(takes: &Takes, query: &str) -> Option<String> {
    // What cannot be decoded is refused by the query of the route.
    let pairs = Query::<Vec<(String, String)>>::from_query(query).ok()?;
    let mut names = pairs.into_inner().into_iter().map(|(name, _)| name);
    names.find(|name| !takes.parameters.contains(name))
}
