//! Owns requests that may be repeated, seen from HTTP: the header `Idempotency-Key`, and the answer
//! that is given again.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{FromRequest, HttpRequest, HttpResponse};
use chassis::problem::Problem;
use chassis::time::Timestamp;
use prometheus::IntCounter;
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;
use uuid::Uuid;

use super::codes::{IDEMPOTENCY_KEY_INVALID, IDEMPOTENCY_KEY_MISSING};
use crate::Booking;
use crate::crash;
use crate::db::{Failure, Tx};
use crate::idempotency::{self, Answer, Claim, Fingerprint, IdempotencyKey, OnceError, Outcome};

const HEADER: &str = "Idempotency-Key";
const REPLAYED: &str = "Idempotent-Replayed";

/// The key of a request that must have one.
pub struct RequiredKey(IdempotencyKey);

/// The key of a request that may have one.
pub struct OptionalKey(Option<IdempotencyKey>);

impl RequiredKey {
    /// What the key stands for: this user's request to `route` with this content.
    pub fn claim(&self, user_id: Uuid, route: &'static str, content: &impl Serialize) -> Claim {
        claim(&self.0, user_id, route, content)
    }
}

impl OptionalKey {
    /// What the key stands for, when there is one.
    pub fn claim(
        &self,
        user_id: Uuid,
        route: &'static str,
        content: &impl Serialize,
    ) -> Option<Claim> {
        self.0
            .as_ref()
            .map(|key| claim(key, user_id, route, content))
    }
}

fn claim(
    key: &IdempotencyKey,
    user_id: Uuid,
    route: &'static str,
    content: &impl Serialize,
) -> Claim {
    let content = serde_json::to_value(content).expect("a body is JSON");
    Claim {
        user_id,
        route,
        key: key.clone(),
        fingerprint: Fingerprint::of(&content),
    }
}

/// Lets `act` have its effect once for the key, in one transaction with the answer that is kept.
pub async fn once<Body, E>(
    app: &Booking,
    claim: Claim,
    now: Timestamp,
    act: impl Fn(&mut Tx) -> Result<Body, E> + Send + Sync + 'static,
) -> Result<Outcome<E>, OnceError>
where
    Body: Serialize,
    E: Failure + Send + 'static,
{
    let outcome = app
        .db
        .transaction(move |tx| {
            idempotency::once(tx, &claim, now, |tx| act(tx).map(|body| created(&body)))
        })
        .await;
    crash::point("once.committed");
    outcome
}

/// A 201 as it is stored, so that a repetition gets the same.
pub fn created(body: &impl Serialize) -> Answer {
    let body = serde_json::to_string(body).expect("an answer is JSON");
    Answer {
        status: StatusCode::CREATED.as_u16(),
        body,
    }
}

/// Counts what a request did that had its effect now; repetitions are not counted again.
pub fn count<E>(outcome: &Outcome<E>, counters: &[(&IntCounter, u64)]) {
    if let Outcome::Fresh(_) = outcome {
        counters
            .iter()
            .for_each(|(counter, by)| counter.inc_by(*by));
    }
}

/// The answer, fresh or given again.
pub fn answer<E>(outcome: Outcome<E>) -> Result<HttpResponse, Problem>
where
    Problem: From<E>,
{
    let (answer, replayed) = match outcome {
        Outcome::Fresh(answer) => (answer, false),
        Outcome::Replayed(answer) => (answer, true),
        Outcome::Refused(refusal) => return Err(refusal.into()),
    };
    let status = StatusCode::from_u16(answer.status).map_err(Problem::internal)?;
    let mut head = HttpResponse::build(status);
    head.content_type("application/json")
        .insert_header((header::CACHE_CONTROL, "no-store"));
    if replayed {
        head.insert_header((REPLAYED, "true"));
    }
    Ok(head.body(answer.body))
}

/// The same, and where the thing with the answer's `id` is: below `list`.
pub fn answer_at<E>(list: &str, outcome: Outcome<E>) -> Result<HttpResponse, Problem>
where
    Problem: From<E>,
{
    let id = match &outcome {
        Outcome::Fresh(answer) | Outcome::Replayed(answer) => Some(id_in(&answer.body)?),
        Outcome::Refused(_) => None,
    };
    let mut answer = answer(outcome)?;
    if let Some(id) = id {
        let location = HeaderValue::from_str(&format!("{list}/{id}")).map_err(Problem::internal)?;
        answer.headers_mut().insert(header::LOCATION, location);
    }
    Ok(answer)
}

fn id_in(body: &str) -> Result<Uuid, Problem> {
    #[derive(Deserialize)]
    struct Identified {
        id: Uuid,
    }
    let identified: Identified = serde_json::from_str(body).map_err(Problem::internal)?;
    Ok(identified.id)
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
        example = "0f9c2b6e-1"
    )]
    key: Option<String>,
}
