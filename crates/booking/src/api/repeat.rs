//! Owns requests that may be repeated, seen from HTTP: the header `Idempotency-Key`, and the answer
//! that is given again.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::http::header;
use actix_web::{FromRequest, HttpRequest, HttpResponse};
use chassis::problem::Problem;
use serde::Serialize;
use utoipa::IntoParams;
use uuid::Uuid;

use super::codes::{IDEMPOTENCY_KEY_INVALID, IDEMPOTENCY_KEY_MISSING};
use crate::idempotency::{Answer, Claim, Fingerprint, IdempotencyKey, Outcome, Request};

const HEADER: &str = "Idempotency-Key";
const REPLAYED: &str = "Idempotent-Replayed";

/// The key of a request that must have one.
pub struct RequiredKey(IdempotencyKey);

/// The key of a request that may have one.
#[derive(Clone)]
pub struct OptionalKey(Option<IdempotencyKey>);

impl RequiredKey {
    /// This user's request to `route` with this content, and what its success is answered with.
    pub fn request<T>(
        self,
        user_id: Uuid,
        route: &'static str,
        content: &impl Serialize,
        answer: fn(&T) -> Answer,
    ) -> Request<T> {
        OptionalKey(Some(self.0)).request(user_id, route, content, answer)
    }
}

impl OptionalKey {
    /// The same; without a key it cannot be repeated.
    pub fn request<T>(
        self,
        user_id: Uuid,
        route: &'static str,
        content: &impl Serialize,
        answer: fn(&T) -> Answer,
    ) -> Request<T> {
        let content = serde_json::to_value(content).expect("a body is JSON");
        let claim = self.0.map(|key| Claim {
            user_id,
            route,
            key,
            fingerprint: Fingerprint::of(&content),
        });
        Request { claim, answer }
    }
}

/// A 201 as it is stored, so that a repetition gets the same.
pub fn created(body: &impl Serialize) -> Answer {
    let body = serde_json::to_string(body).expect("an answer is JSON");
    Answer {
        status: StatusCode::CREATED.as_u16(),
        body,
        location: None,
    }
}

/// The same, and where the new thing is.
pub fn created_at(location: String, body: &impl Serialize) -> Answer {
    Answer {
        location: Some(location),
        ..created(body)
    }
}

/// The answer, fresh or given again.
pub fn answer<T>(outcome: Outcome<T>) -> Result<HttpResponse, Problem> {
    let (answer, replayed) = match outcome {
        Outcome::Fresh(_, answer) => (answer, false),
        Outcome::Replayed(answer) => (answer, true),
    };
    let status = StatusCode::from_u16(answer.status).map_err(Problem::internal)?;
    let mut head = HttpResponse::build(status);
    head.content_type("application/json")
        .insert_header((header::CACHE_CONTROL, "no-store"));
    if let Some(location) = answer.location {
        head.insert_header((header::LOCATION, location));
    }
    if replayed {
        head.insert_header((REPLAYED, "true"));
    }
    Ok(head.body(answer.body))
}

impl FromRequest for RequiredKey {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let missing = || {
            IDEMPOTENCY_KEY_MISSING
                .because("Send the header Idempotency-Key, new for each new wish.")
        };
        ready(key_of(request).and_then(|key| key.map(Self).ok_or_else(missing)))
    }
}

impl FromRequest for OptionalKey {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(key_of(request).map(Self))
    }
}

fn key_of(request: &HttpRequest) -> Result<Option<IdempotencyKey>, Problem> {
    let invalid = |told: String| IDEMPOTENCY_KEY_INVALID.because(told);
    let mut lines = request.headers().get_all(HEADER);
    let Some(line) = lines.next() else {
        return Ok(None);
    };
    if lines.next().is_some() {
        return Err(invalid("Send Idempotency-Key once.".to_owned()));
    }
    let text = String::from_utf8_lossy(line.as_bytes()).into_owned();
    let key = IdempotencyKey::try_from(text);
    key.map(Some)
        .map_err(|cause| invalid(format!("Idempotency-Key {cause}.")))
}

/// The header, where it is required.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "the document is made of it")]
pub struct RequiredKeyHeader {
    /// 1 to 255 visible ASCII characters, new for each new wish. A repetition with the same key and
    /// body has no second effect and gets the first answer with `Idempotent-Replayed: true`.
    #[param(
        rename = "Idempotency-Key",
        min_length = 1,
        max_length = 255,
        pattern = "^[!-~]{1,255}$",
        example = "0f9c2b6e-1"
    )]
    key: String,
}

/// The header, where it is optional.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "the document is made of it")]
pub struct OptionalKeyHeader {
    /// 1 to 255 visible ASCII characters, new for each new wish. A repetition with the same key and
    /// body has no second effect and gets the first answer with `Idempotent-Replayed: true`.
    #[param(
        rename = "Idempotency-Key",
        min_length = 1,
        max_length = 255,
        pattern = "^[!-~]{1,255}$",
        example = "0f9c2b6e-1"
    )]
    key: Option<String>,
}
