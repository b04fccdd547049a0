//! What the `type` of a problem leads to: a few words about its code.
//!
//! The codes of the service behind are read from its document, so that they stand in one place. An address that was
//! made from a code leads back to it; any other is unknown.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use actix_web::http::header;
use actix_web::web::Path;
use actix_web::{HttpRequest, HttpResponse};
use chassis::problem::Problem;
use chassis::routes;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{BOOKING, ProblemBody};

/// The gateway's own codes, and when each is answered.
const OWN: &[(&str, &str)] = &[
    (
        "BODY_INVALID",
        "The body is JSON and not what the route takes.",
    ),
    ("BODY_MALFORMED", "The body is not JSON."),
    ("BODY_TOO_LARGE", "The body is longer than the route takes."),
    ("BODY_TOO_SLOW", "The body came too slowly."),
    (
        "CHALLENGE_INVALID",
        "The answer to the challenge was not accepted.",
    ),
    (
        "CHALLENGE_REQUIRED",
        "Solve the challenge of the page and send its answer.",
    ),
    (
        "CHALLENGE_UNAVAILABLE",
        "Whoever checks challenges does not answer.",
    ),
    (
        "CONTENT_TYPE_UNSUPPORTED",
        "The route takes another content type.",
    ),
    ("HEAD_TOO_LARGE", "The head of the request is too long."),
    (
        "HEAD_TOO_SLOW",
        "The head of the request did not arrive in time.",
    ),
    (
        "IDENTITY_INVALID",
        "The token of the identity provider is not good.",
    ),
    (
        "IDENTITY_MISMATCH",
        "The token of the identity provider is another user's.",
    ),
    (
        "IDENTITY_MISSING",
        "Send the token of the identity provider.",
    ),
    (
        "IDENTITY_UNAVAILABLE",
        "The keys of the identity provider cannot be had now.",
    ),
    (
        "LOOP_DETECTED",
        "The service behind leads back to this waiting room.",
    ),
    (
        "METHOD_NOT_ALLOWED",
        "The path takes other methods; they stand in Allow.",
    ),
    (
        "NOT_ADMITTED",
        "It is not your turn yet; the place says where you stand.",
    ),
    ("NOT_FOUND", "There is nothing at this path."),
    (
        "NOT_READY",
        "A store does not answer, or the process is stopping.",
    ),
    ("OPERATOR_KEY_INVALID", "This is no operator's key."),
    (
        "ORIGIN_REFUSED",
        "A page of this origin may not do this with a cookie.",
    ),
    ("PATH_INVALID", "The path can be read in more than one way."),
    (
        "PLACE_TAKEN",
        "Somebody else has a place under this user's name.",
    ),
    (
        "POLICY_CHANGED",
        "The rules were changed since they were read; read them again.",
    ),
    (
        "POLICY_CONTENDED",
        "Others change the rules at this very moment; try again.",
    ),
    (
        "PROOF_INVALID",
        "The proof of work is wrong, used or too old.",
    ),
    (
        "PROOF_REQUIRED",
        "Find a proof of work for the challenge and send it.",
    ),
    ("QUERY_INVALID", "A query parameter does not parse."),
    ("QUEUE_CLOSED", "The queue takes nobody."),
    (
        "QUEUE_FULL",
        "The line is as long as it may be; try again later.",
    ),
    (
        "QUEUE_MISMATCH",
        "The token is of another queue than the path asks for.",
    ),
    ("QUEUE_UNKNOWN", "There is no such queue."),
    (
        "RATE_LIMITED",
        "Too many requests; Retry-After says when to go on.",
    ),
    ("REQUEST_INVALID", "The request cannot be read."),
    (
        "RIGHT_MISSING",
        "The operator's key lacks the right that is named.",
    ),
    (
        "STORE_UNAVAILABLE",
        "The line cannot be reached now; your place is kept.",
    ),
    ("STREAMS_FULL", "As many listen here as can; poll instead."),
    ("TOKEN_EXPIRED", "The visit is over; join again."),
    (
        "TOKEN_INVALID",
        "The token is forged, malformed or of another queue.",
    ),
    ("TOKEN_MISSING", "Send the token of a place."),
    ("TOO_MANY_STREAMS", "The visit listens as often as it may."),
    (
        "UPSTREAM_BUSY",
        "The service behind has as many requests as it may have.",
    ),
    (
        "UPSTREAM_INVALID",
        "The service behind gave an answer that cannot be passed on.",
    ),
    (
        "UPSTREAM_TIMEOUT",
        "The service behind did not answer in time.",
    ),
    (
        "UPSTREAM_UNREACHABLE",
        "The service behind cannot be reached.",
    ),
];

/// A code by the last part of its address.
static KNOWN: LazyLock<BTreeMap<String, About>> = LazyLock::new(|| {
    let document: Value = serde_json::from_str(BOOKING).unwrap_or_default();
    let responses = document["components"]["responses"].as_object();
    let examples = responses.into_iter().flatten().filter_map(|(_, response)| {
        response["content"]["application/problem+json"]["examples"].as_object()
    });
    let behind = examples.flatten().filter_map(|(code, example)| {
        let meaning = example["value"]["detail"].as_str()?;
        Some((code.as_str(), meaning))
    });
    let all = behind.chain(OWN.iter().copied());
    all.map(|(code, meaning)| (slug(code), About::of(code, meaning)))
        .collect()
});

/// What a code means.
#[derive(Clone, Serialize, ToSchema)]
pub struct About {
    /// In capitals, as clients branch on it.
    #[schema(example = "NOT_ADMITTED")]
    code: String,
    /// When it is answered.
    #[schema(example = "It is not your turn yet; the place says where you stand.")]
    meaning: String,
}

impl About {
    fn of(code: &str, meaning: &str) -> Self {
        Self {
            code: code.to_owned(),
            meaning: meaning.to_owned(),
        }
    }
}

fn slug(code: &str) -> String {
    code.to_ascii_lowercase().replace('_', "-")
}

/// Says what the `type` of a problem means.
#[utoipa::path(get, path = "/problems/{slug}", operation_id = "explainProblem", tag = "status",
    params(("slug" = String, Path, description = "The last part of a problem's `type`.", example = "not-admitted")),
    responses((status = 200, description = "The code and its meaning.", body = About),
        (status = 404, description = "`NOT_FOUND`: no problem has this type.", body = ProblemBody,
            content_type = "application/problem+json")))]
pub async fn explain(slug: Path<String>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    match KNOWN.get(slug.as_str()) {
        Some(about) => Ok(HttpResponse::Ok()
            .insert_header((header::CACHE_CONTROL, "public, max-age=3600"))
            .json(about)),
        None => Err(routes::missing(&request)),
    }
}

#[cfg(test)]
mod tests {
    use super::{KNOWN, OWN, slug};

    #[test]
    fn codes_of_both_services_are_known_and_own_ones_stand_in_order() {
        for of in ["seat-taken", "hold-expired", "not-admitted", "queue-full"] {
            assert!(KNOWN.contains_key(of), "{of}");
        }
        assert!(OWN.is_sorted());
        assert!(
            OWN.iter()
                .all(|(code, meaning)| KNOWN.contains_key(&slug(code)) && meaning.ends_with('.'))
        );
    }
}
