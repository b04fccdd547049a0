//! Owns the one form of every refusal and failure: RFC 9457 `application/problem+json`.
//!
//! Services turn their error enums into a [`Problem`] in one exhaustive table each. The edge
//! adds what only the request knows (path, request id), logs the cause that the client must not
//! see, and gives a problem's form to what the framework refuses by itself.

use std::borrow::Cow;
use std::fmt::{self, Display};

use actix_web::body::{BoxBody, EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage as _, HttpResponse, ResponseError};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::request_id;

/// Where a client reads more about a code, relative to the server that answered.
const TYPE_BASE: &str = "/problems/";

/// A refusal or failure, as the client sees it.
#[derive(Debug, Clone)]
pub struct Problem(Box<Parts>);

#[derive(Debug, Clone)]
struct Parts {
    status: StatusCode,
    code: &'static str,
    detail: Cow<'static, str>,
    retryable: bool,
    retry_after_s: Option<u64>,
    members: Map<String, Value>,
    cause: Option<String>,
}

/// What an answer shows, in this order.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Members<'a> {
    r#type: String,
    title: String,
    status: u16,
    detail: &'a str,
    instance: Option<&'a str>,
    code: &'static str,
    retryable: bool,
    request_id: Option<&'a str>,
    #[serde(flatten)]
    members: &'a Map<String, Value>,
}

/// The members of a problem, for OpenAPI documents.
#[derive(ToSchema)]
#[schema(as = Problem, rename_all = "camelCase")]
#[allow(dead_code, reason = "describes Members")]
pub struct ProblemBody {
    /// Names the code.
    #[schema(example = "/problems/not-found")]
    r#type: String,
    /// The code in words.
    #[schema(example = "Not found")]
    title: String,
    /// The status of the answer.
    #[schema(example = 404)]
    status: u16,
    /// A sentence for a person.
    #[schema(example = "There is nothing at /x.")]
    detail: String,
    /// The path asked for.
    #[schema(example = "/x")]
    instance: String,
    /// For programs: the same mistake gives the same code everywhere.
    #[schema(example = "NOT_FOUND")]
    code: String,
    /// Whether the same request may succeed later.
    retryable: bool,
    /// Finds the request in the log.
    #[schema(example = "0199a2b4c6d87e1f8a3b5c7d9e0f1a2b")]
    request_id: String,
}

impl Problem {
    /// A problem with a code in capitals, such as `NAME_TAKEN`, and a sentence for a person.
    ///
    /// 429, 502, 503 and 504 are retryable from the start; 429 and 503 say after how long.
    pub fn new(
        status: StatusCode,
        code: &'static str,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        let overload = matches!(status.as_u16(), 429 | 503);
        Self(Box::new(Parts {
            status,
            code,
            detail: detail.into(),
            retryable: overload || matches!(status.as_u16(), 502 | 504),
            retry_after_s: overload.then(|| after(status, 1)),
            members: Map::new(),
            cause: None,
        }))
    }

    /// A failure of ours that no client can cause; the cause is logged and never shown.
    pub fn internal(cause: impl Display) -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "INTERNAL",
            "Something went wrong on our side. The request id finds it in the log.",
        )
        .cause(cause)
    }

    /// The same request may succeed later.
    pub fn retryable(mut self) -> Self {
        self.0.retryable = true;
        self
    }

    /// Sets `Retry-After`, in seconds; a 503 spreads it by a fifth.
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.0.retry_after_s = Some(after(self.0.status, seconds));
        self
    }

    /// The same problem for a reader who knows fewer statuses.
    pub fn answered(mut self, status: StatusCode) -> Self {
        self.0.status = status;
        self
    }

    /// Adds a member of this problem's own, such as `conflicts`.
    pub fn with(mut self, member: &str, value: impl Into<Value>) -> Self {
        self.0.members.insert(member.to_owned(), value.into());
        self
    }

    /// Keeps what went wrong inside for the log.
    pub fn cause(mut self, cause: impl Display) -> Self {
        self.0.cause = Some(cause.to_string());
        self
    }

    /// A member of this problem's own.
    pub fn member(&self, name: &str) -> Option<&Value> {
        self.0.members.get(name)
    }

    /// After how many seconds the same request may succeed.
    pub fn retry_after_s(&self) -> Option<u64> {
        self.0.retry_after_s
    }

    /// The code, for tests and metrics.
    pub fn code(&self) -> &'static str {
        self.0.code
    }

    /// The status, for tests and metrics.
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// The members, as they are sent; `instance` is the path asked for.
    pub(crate) fn body(&self, instance: Option<&str>, request_id: Option<&str>) -> String {
        let Parts { status, code, .. } = *self.0;
        let members = Members {
            r#type: type_of(code),
            title: title_of(code),
            status: status.as_u16(),
            detail: &self.0.detail,
            instance,
            code,
            retryable: self.0.retryable,
            request_id,
            members: &self.0.members,
        };
        // Names are text and values are JSON already, so there is nothing that cannot be written.
        serde_json::to_string(&members).unwrap_or_default()
    }

    /// The answer; `instance` is the path asked for.
    fn answer(&self, instance: Option<&str>, request_id: Option<&str>) -> HttpResponse {
        let status = self.0.status;
        let mut answer = HttpResponse::build(status);
        answer.insert_header((header::CACHE_CONTROL, "no-store"));
        if let Some(seconds) = self.0.retry_after_s {
            answer.insert_header((header::RETRY_AFTER, seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            answer.insert_header((header::WWW_AUTHENTICATE, "Bearer"));
        }
        let body = self.body(instance, request_id);
        answer.content_type("application/problem+json").body(body)
    }
}

/// Clients that the same outage refused shall not come back in the same instant: up to a fifth more or
/// less, in whole seconds rounded up.
fn after(status: StatusCode, seconds: u64) -> u64 {
    if status != StatusCode::SERVICE_UNAVAILABLE {
        return seconds;
    }
    // The last byte of such an id is random.
    let chance = u64::from(Uuid::new_v4().as_bytes()[15]);
    let thousandths = 800 + 400 * chance / 255;
    seconds.saturating_mul(thousandths).div_ceil(1_000)
}

/// `NAME_TAKEN` becomes `/problems/name-taken`.
fn type_of(code: &str) -> String {
    format!("{TYPE_BASE}{}", code.to_ascii_lowercase().replace('_', "-"))
}

/// `NAME_TAKEN` becomes `Name taken`.
fn title_of(code: &str) -> String {
    let mut title = code.to_ascii_lowercase().replace('_', " ");
    if let Some(first) = title.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    title
}

impl Display for Problem {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}: {}", self.0.code, self.0.detail)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.0.status
    }

    fn error_response(&self) -> HttpResponse {
        self.answer(None, None)
    }
}

/// Ends a request in a middleware with a problem.
pub fn refuse<B: MessageBody>(
    request: ServiceRequest,
    problem: Problem,
) -> ServiceResponse<EitherBody<B, BoxBody>> {
    request.error_response(problem).map_into_right_body()
}

/// Middleware: gives every error its final form, and logs what the client does not see.
pub async fn edge<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B, BoxBody>>, Error> {
    let answer = next.call(request).await?;
    let Some(error) = answer.response().error() else {
        return Ok(answer.map_into_left_body());
    };
    let problem = match error.as_error::<Problem>() {
        Some(problem) => problem.clone(),
        None => of_framework(answer.status(), error),
    };
    let instance = answer.request().path().to_owned();
    let id = answer
        .request()
        .extensions()
        .get::<request_id::RequestId>()
        .cloned();
    let id = id.as_deref();
    if let Some(cause) = &problem.0.cause {
        log::error!(
            "{} on {instance}: {cause} [{}]",
            problem.code(),
            id.unwrap_or("-")
        );
    }
    let kept: Vec<(header::HeaderName, HeaderValue)> = answer
        .headers()
        .iter()
        .filter(|(name, _)| *name == header::ALLOW || *name == header::SET_COOKIE)
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let mut final_form = problem.answer(Some(&instance), id);
    for (name, value) in kept {
        final_form.headers_mut().append(name, value);
    }
    Ok(answer.into_response(final_form).map_into_right_body())
}

/// What the framework refused by itself, in our words. Its own 5xx are a failure of ours.
fn of_framework(status: StatusCode, error: &Error) -> Problem {
    match status {
        StatusCode::PAYLOAD_TOO_LARGE => {
            Problem::new(status, "BODY_TOO_LARGE", "The body is too large.")
        }
        status if status.is_client_error() => {
            Problem::new(status, "REQUEST_INVALID", error.to_string())
        }
        _ => Problem::internal(error),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use actix_web::body::BoxBody;
    use actix_web::dev::ServiceRequest;
    use actix_web::http::StatusCode;
    use actix_web::middleware::{Next, from_fn};
    use actix_web::{App, HttpResponse, test, web};
    use serde_json::{Value, json};

    use super::{Problem, edge, refuse, title_of, type_of};
    use crate::request_id;

    #[::core::prelude::v1::test]
    fn those_whom_an_outage_refused_together_come_back_apart() {
        let times = |status| -> BTreeSet<_> {
            let problem = || Problem::new(status, "AWAY", "Later.").retry_after(10);
            (0..400).filter_map(|_| problem().retry_after_s()).collect()
        };
        let spread = times(StatusCode::SERVICE_UNAVAILABLE);
        assert!(spread.len() >= 3 && spread.is_subset(&(8..=12).collect()));
        assert_eq!(times(StatusCode::TOO_MANY_REQUESTS), BTreeSet::from([10]));
    }

    async fn answer_to(path: &str) -> (actix_web::dev::ServiceResponse, Value) {
        async fn taken() -> Result<HttpResponse, Problem> {
            Err(
                Problem::new(StatusCode::CONFLICT, "NAME_TAKEN", "Name 7 is taken.")
                    .with("conflicts", json!([7])),
            )
        }
        async fn broken() -> Result<HttpResponse, Problem> {
            Err(Problem::internal("the password is hunter2"))
        }
        let closed = async |request: ServiceRequest, _: Next<BoxBody>| {
            let problem = Problem::new(StatusCode::FORBIDDEN, "CLOSED", "Come back later.");
            Ok::<_, actix_web::Error>(refuse::<BoxBody>(request, problem))
        };
        let app = test::init_service(
            App::new()
                .wrap(from_fn(edge))
                .wrap(from_fn(request_id::assign))
                .service(web::resource("/closed").wrap(from_fn(closed)))
                .route("/taken", web::get().to(taken))
                .route("/broken", web::get().to(broken))
                .route(
                    "/ids/{id}",
                    web::get().to(async |_: web::Path<u32>| "an id"),
                ),
        )
        .await;
        let request = test::TestRequest::get()
            .uri(path)
            .insert_header(("X-Request-Id", "abc"))
            .to_request();
        let answer = test::call_service(&app, request).await;
        let (request, answer) = answer.into_parts();
        let (head, body) = answer.into_parts();
        let bytes = actix_web::body::to_bytes(body)
            .await
            .unwrap_or_else(|_| panic!("no body"));
        let value = serde_json::from_slice(&bytes).expect("a JSON body");
        (
            actix_web::dev::ServiceResponse::new(request, head.set_body(()).map_into_boxed_body()),
            value,
        )
    }

    #[actix_web::test]
    async fn a_problem_has_all_members_of_the_contract_and_its_own() {
        let (answer, body) = answer_to("/taken").await;
        assert_eq!(answer.status(), 409);
        assert_eq!(
            answer.headers().get("content-type").expect("a type"),
            "application/problem+json"
        );
        assert_eq!(
            body,
            json!({
                "type": "/problems/name-taken",
                "title": "Name taken", "status": 409, "detail": "Name 7 is taken.",
                "instance": "/taken", "code": "NAME_TAKEN", "retryable": false,
                "requestId": "abc", "conflicts": [7],
            })
        );
    }

    #[actix_web::test]
    async fn a_refusal_of_a_middleware_has_its_path_and_id_too() {
        let (answer, body) = answer_to("/closed").await;
        assert_eq!(answer.status(), 403);
        assert_eq!(body["instance"], "/closed");
        assert_eq!(body["requestId"], "abc");
    }

    #[actix_web::test]
    async fn the_cause_of_an_internal_failure_is_never_shown() {
        let (answer, body) = answer_to("/broken").await;
        assert_eq!(answer.status(), 500);
        assert!(!body.to_string().contains("hunter2"));
    }

    #[actix_web::test]
    async fn what_the_framework_refuses_is_a_problem_too() {
        let (answer, body) = answer_to("/ids/x").await;
        assert_eq!(answer.status(), 404);
        assert_eq!(body["code"], "REQUEST_INVALID");
    }

    #[::core::prelude::v1::test]
    fn overload_is_retryable_and_says_when() {
        let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "DATABASE_BUSY", "Busy.");
        let answer = problem.answer(None, None);
        let after = answer.headers().get("retry-after").expect("set");
        assert!(after == "1" || after == "2", "a second, or a fifth more");
        assert!(problem.0.retryable);
    }

    #[::core::prelude::v1::test]
    fn a_code_names_its_type_and_title() {
        assert_eq!(title_of("HOLD_EXPIRED"), "Hold expired");
        assert!(type_of("HOLD_EXPIRED").ends_with("/problems/hold-expired"));
    }
}
