//! Who joins: all that is asked of a newcomer before they get a place.

use actix_web::HttpRequest;
use chassis::json;
use chassis::problem::Problem;
use chassis::time::rfc3339;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::queue::{Queue, UserId};
use crate::work::{Challenge, Solution};
use crate::{Gateway, credential, proxy};

/// Who joins.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Join {
    /// The visitor. One user has one place in a queue. Required, unless an identity provider says
    /// who joins; then it must be that user, if it is given.
    #[schema(nullable = false)]
    user_id: Option<Uuid>,
    /// The answer to a challenge, where one was given.
    #[schema(nullable = false)]
    proof: Option<Proof>,
}

/// The answer to a challenge: SHA-256 of `challenge`, `:` and `nonce` begins with as many zero
/// bits as were asked for.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Proof {
    /// The text of the challenge, as it was given.
    challenge: String,
    /// What was found: any text of at most 64 bytes.
    #[schema(example = "48213")]
    nonce: String,
}

/// The user who joins, if their source may ask, they are who they say, and they have worked.
pub async fn check(
    app: &Gateway,
    request: &HttpRequest,
    queue: &Queue,
    join: &Join,
) -> Result<UserId, Problem> {
    let now = app.clock.now();
    if let Some(source) = proxy::source(request, app.trusted_hops) {
        app.issue_limit.take(source, now)?;
    }
    let (named, token) = (join.user_id.map(UserId), credential::bearer(request));
    let user = app.identity.user(named, token, now).await?;
    let user = user.ok_or_else(|| json::unacceptable("The body has no `userId`."))?;
    let solution = join.proof.as_ref().map(|proof| Solution {
        challenge: &proof.challenge,
        nonce: &proof.nonce,
    });
    app.work.take(queue.id(), &user, solution, now)?;
    Ok(user)
}

/// What a client has to solve, as a member of the refusal.
pub fn shown(challenge: &Challenge) -> Value {
    json!({
        "algorithm": "SHA-256",
        "challenge": challenge.text,
        "bits": challenge.bits,
        "expiresAt": rfc3339(challenge.expires_at),
    })
}
