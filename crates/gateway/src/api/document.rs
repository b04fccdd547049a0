//! Owns what the OpenAPI document says about refusals and about who may ask.

use chassis::code::Code;
use chassis::document::{Refusals, access, bearer, cookie, operations};
use chassis::problem::ProblemBody;
use serde_json::{Value, json};
use utoipa::openapi::OpenApi;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{SecurityRequirement, SecurityScheme};
use utoipa::{Modify, ToSchema};

use super::join_checks::ProofOfWork;
use super::place::Place;
use crate::codes;

const REFUSALS: Refusals = Refusals {
    codes: codes::ALL,
    schema: "GatewayProblem",
    prefix: "gateway.",
    implied,
    members,
};

/// Completes every operation of the document.
pub struct Complete;

impl Modify for Complete {
    fn modify(&self, document: &mut OpenApi) {
        for (_, operation) in operations(&mut document.paths) {
            let names: &[&str] = match access(operation) {
                "token" => &["token", "tokenCookie"],
                "operator" => &["operator"],
                _ => continue,
            };
            let require = |name: &&str| SecurityRequirement::new(*name, [""; 0]);
            operation.security = Some(names.iter().map(require).collect());
        }
        REFUSALS.describe(document);
        let components = document.components.get_or_insert_default();
        components.add_security_schemes_from_iter(schemes());
    }
}

/// What refusals and failures look like (RFC 9457), with the members that some codes add.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "the document is made of it; the table of errors makes the answers"
)]
pub struct GatewayProblem {
    #[serde(flatten)]
    problem: ProblemBody,
    /// With `NOT_ADMITTED`: where the visitor stands.
    place: Option<Place>,
    /// With `PROOF_REQUIRED` and `PROOF_INVALID`: the work that is asked for.
    #[schema(rename = "proofOfWork")]
    proof_of_work: Option<ProofOfWork<'static>>,
    /// With `CHALLENGE_REQUIRED` and `CHALLENGE_INVALID`: for whose challenge an answer is asked.
    #[schema(rename = "siteKey")]
    site_key: Option<String>,
    /// With a refusal at a route of one queue: which queue is wanted.
    queue: Option<String>,
    /// With `RIGHT_MISSING`: `read`, `queue`, `sale`, `desk` or `money`.
    right: Option<String>,
}

/// The codes that follow from who may ask and from the queue in the path.
fn implied(path: &str, access: &str, operation: &Operation) -> Vec<&'static str> {
    let mut names = match access {
        "token" => vec!["TOKEN_MISSING", "TOKEN_INVALID", "TOKEN_EXPIRED"],
        "operator" => vec!["OPERATOR_KEY_INVALID", "RIGHT_MISSING", "RATE_LIMITED"],
        _ => Vec::new(),
    };
    if path.contains("{queue}") {
        names.extend(["PATH_INVALID", "STORE_UNAVAILABLE"]);
        // A change makes the queue that is not there.
        if operation.operation_id.as_deref() != Some("change") {
            names.push("QUEUE_UNKNOWN");
        }
    }
    names
}

/// What a code adds to a problem, or has otherwise than its status says, as an example.
fn members(code: &Code) -> Vec<(&'static str, Value)> {
    let end = "2026-05-01T20:00:00.000Z";
    let work = || json!({ "algorithm": "SHA-256", "challenge": "…", "bits": 16, "expiresAt": end });
    match *code {
        codes::PROOF_REQUIRED | codes::PROOF_INVALID => vec![("proofOfWork", work())],
        codes::CHALLENGE_REQUIRED | codes::CHALLENGE_INVALID => vec![("siteKey", json!("…"))],
        codes::RIGHT_MISSING => vec![("right", json!("queue"))],
        codes::POLICY_CONTENDED => vec![("retryable", json!(true))],
        _ => Vec::new(),
    }
}

/// How callers prove who they are.
fn schemes() -> [(&'static str, SecurityScheme); 4] {
    let token = "The token of a queue, as the gateway set it: `usher_token_{queue}`.";
    let provider = "A token of the identity provider, where the gateway has one.";
    let operator =
        "An operator's key. With many wrong ones a source is `RATE_LIMITED`, for right ones too.";
    [
        ("token", bearer("The token of a place, as issued.")),
        ("tokenCookie", cookie("usher_token_main", token)),
        ("identity", bearer(provider)),
        ("operator", bearer(operator)),
    ]
}
