//! What is asked of who joins before they get a place: who they are, and that it cost them something.

use actix_web::HttpRequest;
use chassis::json;
use chassis::problem::Problem;
use chassis::time::{Timestamp, wire};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::{Builder, Uuid};

use crate::codes;
use crate::identity::Identity;
use crate::proof_of_work::{Challenge, Solution};
use crate::queue::{JoinSecret, Queue, Ticket, UserId};
use crate::token::Claims;
use crate::visits::JoinedVisit;
use crate::{Gateway, credential, proxy};

/// Who joins.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Join {
    /// The visitor. One user has one place in a queue. Where the gateway makes ids it must not be given;
    /// where an identity provider says who joins it must be that user, if it is given.
    #[schema(nullable = false)]
    user_id: Option<Uuid>,
    /// Where whoever names a user is that user: any text of 8 to 128 bytes. With it the place that one
    /// already has is given again without its token.
    #[schema(value_type = String, nullable = false, min_length = 8, max_length = 128)]
    secret: Option<JoinSecret>,
    /// The answer to a proof of work, where one was asked for.
    #[schema(nullable = false)]
    proof: Option<Proof>,
    /// The answer to a challenge by others, where one was asked for.
    #[schema(nullable = false)]
    challenge: Option<String>,
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

/// Somebody who may have a place.
pub struct Joining {
    /// Who it is.
    pub user: UserId,
    /// The place that a token of this user proves in this queue; of several the newest.
    pub ticket: Option<Ticket>,
    /// Whether the user is only named, so that an old place needs another proof.
    pub is_only_named: bool,
}

/// What a client has to solve, as a member of the refusal.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProofOfWork<'a> {
    /// Always `SHA-256`.
    #[schema(example = "SHA-256")]
    algorithm: &'static str,
    /// What stands before the nonce.
    challenge: &'a str,
    /// With how many zero bits the hash begins.
    bits: u32,
    /// Until when it is taken.
    #[serde(with = "wire")]
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
}

/// The user who joins, if their source may ask, they are who they say, and they have paid for it.
pub async fn check(
    app: &Gateway,
    request: &HttpRequest,
    queue: &Queue,
    join: &Join,
) -> Result<Joining, Problem> {
    let now = app.clock.now();
    let source = proxy::source(request, app.trusted_hops);
    if let Some(source) = source {
        app.limits.joins.take(source, now)?;
    }
    let joining = identify(app, request, queue, join).await?;
    let response = join.challenge.as_deref();
    if let Some(challenge) = &app.challenge {
        challenge.wants(response)?;
    }
    // The answer to a challenge is good once, so it is shown to its verifier last.
    app.proof_of_work
        .take(queue.id(), &joining.user, join.solution(), now)?;
    if let Some(challenge) = &app.challenge {
        challenge.take(response, source).await?;
    }
    Ok(joining)
}

async fn identify(
    app: &Gateway,
    request: &HttpRequest,
    queue: &Queue,
    join: &Join,
) -> Result<Joining, Problem> {
    let now = app.clock.now();
    let named = join.user_id.map(UserId);
    let user = match &app.identity {
        Identity::Jwt(_) => {
            let user = app.identity.user(named, credential::bearer(request), now);
            user.await?
        }
        Identity::Anonymous if named.is_some() => return Err(user_is_not_named()),
        Identity::Anonymous => {
            let user = shown(app, request, queue).next().map(|it| it.sub);
            // Whom a challenge names is only believed because the proof is checked afterwards, which
            // takes none but our own challenges.
            let promised = join.solution().filter(|_| app.proof_of_work.is_needed());
            let user = user.or_else(|| promised.and_then(|it| it.user()));
            Some(user.unwrap_or_else(|| new_user(now)))
        }
        Identity::Open => named,
    };
    let user = user.ok_or_else(|| json::unacceptable("The body has no `userId`."))?;
    Ok(joining(app, request, queue, user))
}

/// A browser that asks for a page: the `user` whom it was known as, in `anonymous` whom its token names, or
/// somebody new.
pub fn known_or_new(
    app: &Gateway,
    request: &HttpRequest,
    queue: &Queue,
    user: Option<UserId>,
) -> Joining {
    let is_only_named = matches!(app.identity, Identity::Open);
    let shown = || shown(app, request, queue).next().map(|it| it.sub);
    let user = user.or_else(|| shown().filter(|_| !is_only_named));
    let user = user.unwrap_or_else(|| new_user(app.clock.now()));
    joining(app, request, queue, user)
}

fn joining(app: &Gateway, request: &HttpRequest, queue: &Queue, user: UserId) -> Joining {
    let is_own = |it: &Claims| it.sub == user && it.queue == *queue.id() && !it.over;
    let own = shown(app, request, queue).filter(is_own);
    Joining {
        user,
        ticket: own.map(|it| it.ticket()).max_by_key(|it| it.number),
        is_only_named: matches!(app.identity, Identity::Open),
    }
}

/// What good tokens say, that of the queue before others.
fn shown(app: &Gateway, request: &HttpRequest, queue: &Queue) -> impl Iterator<Item = Claims> {
    let own = credential::for_queue(request, queue.id());
    let all = credential::all(request).into_iter().map(|it| it.token);
    let good = |token: String| app.tokens.verify(&token, app.clock.now()).ok();
    own.into_iter().chain(all).filter_map(good)
}

fn new_user(now: Timestamp) -> UserId {
    let now_ms = u64::try_from(now.timestamp_millis()).unwrap_or(0);
    UserId(Builder::from_unix_timestamp_millis(now_ms, &rand::random()).into_uuid())
}

fn user_is_not_named() -> Problem {
    json::unacceptable("The gateway makes the user's id: send no `userId`, and keep the token.")
}

impl Join {
    /// What a place that is new is given again for.
    pub fn secret(&self) -> Option<&JoinSecret> {
        self.secret.as_ref()
    }

    fn solution(&self) -> Option<Solution<'_>> {
        self.proof.as_ref().map(|proof| Solution {
            challenge: &proof.challenge,
            nonce: &proof.nonce,
        })
    }
}

impl<'a> ProofOfWork<'a> {
    /// Shows a challenge.
    pub fn of(challenge: &'a Challenge) -> Self {
        Self {
            algorithm: "SHA-256",
            challenge: &challenge.text,
            bits: challenge.bits,
            expires_at: challenge.expires_at,
        }
    }
}

/// Who is only named gets a place of theirs that is new, or one that they can prove.
pub async fn prove_place(
    joined: &JoinedVisit,
    joining: &Joining,
    secret: Option<&JoinSecret>,
) -> Result<(), Problem> {
    let ticket = &joined.visit.ticket;
    if !joining.is_only_named || joined.created {
        return Ok(());
    }
    let is_shown = joining.ticket.is_some_and(|it| it.number == ticket.number);
    let is_proven = match secret {
        Some(secret) if !is_shown => joined.is_of(secret).await?,
        _ => is_shown,
    };
    if is_proven {
        Ok(())
    } else {
        Err(place_taken())
    }
}

fn place_taken() -> Problem {
    codes::PLACE_TAKEN.because(
        "This user has a place already. Show its token, or the secret that it was joined with.",
    )
}
