//! The status table: what a client hears of each error of the queue.

use actix_web::http::StatusCode;
use chassis::json;
use chassis::problem::Problem;

use super::join_checks::ProofOfWork;
use crate::challenge::ChallengeError;
use crate::identity::IdentityError;
use crate::limit::TooMany;
use crate::operator::RightMissing;
use crate::proof_of_work::ProofError;
use crate::queue::QueueError;
use crate::stream::WatchError;

impl From<QueueError> for Problem {
    fn from(error: QueueError) -> Self {
        match error {
            QueueError::Unknown => Self::new(
                StatusCode::NOT_FOUND,
                "QUEUE_UNKNOWN",
                "There is no queue of this name.",
            ),
            QueueError::Closed => Self::new(
                StatusCode::FORBIDDEN,
                "QUEUE_CLOSED",
                "This queue is closed; nobody can join.",
            ),
            QueueError::Full { retry_after } => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "QUEUE_FULL",
                "The line is as long as it may be. Try again later.",
            )
            .retry_after(retry_after.as_secs().max(1)),
            QueueError::Over => Self::new(
                StatusCode::GONE,
                "TOKEN_EXPIRED",
                "This visit is over. Join the queue again.",
            ),
            QueueError::Changed => Self::new(
                StatusCode::PRECONDITION_FAILED,
                "POLICY_CHANGED",
                "Somebody changed these rules since. Look at them again.",
            ),
            QueueError::Contended => Self::new(
                StatusCode::CONFLICT,
                "POLICY_CONTENDED",
                "Others change these rules all the time. Try again.",
            )
            .retryable(),
            QueueError::Idle => Self::new(
                StatusCode::GONE,
                "TOKEN_EXPIRED",
                "This visit is over, because nothing was asked for longer than a visit may be idle. \
                 Join the queue again.",
            ),
            QueueError::Refused(cause) => json::unacceptable(format!("{cause}.")),
            QueueError::StoreUnavailable(cause) => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "STORE_UNAVAILABLE",
                "The line cannot be read right now. Keep your token; your place is not lost.",
            )
            .retry_after(2)
            .cause(cause),
        }
    }
}

impl From<WatchError> for Problem {
    fn from(error: WatchError) -> Self {
        match error {
            WatchError::Full => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "STREAMS_FULL",
                "No more places can be watched here right now. Poll instead.",
            )
            .retry_after(10),
        }
    }
}

impl From<TooMany> for Problem {
    fn from(error: TooMany) -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "RATE_LIMITED",
            "Too many requests of this kind came from here. Try again later.",
        )
        .retry_after(
            error
                .retry_after
                .as_millis()
                .div_ceil(1000)
                .try_into()
                .unwrap_or(60),
        )
    }
}

impl From<IdentityError> for Problem {
    fn from(error: IdentityError) -> Self {
        match error {
            IdentityError::Missing => Self::new(
                StatusCode::UNAUTHORIZED,
                "IDENTITY_MISSING",
                "Log in first: send the identity provider's token as Authorization: Bearer.",
            ),
            IdentityError::Invalid(why) => Self::new(
                StatusCode::UNAUTHORIZED,
                "IDENTITY_INVALID",
                format!("The identity provider's token is not good: {why}."),
            ),
            IdentityError::OtherUser => Self::new(
                StatusCode::FORBIDDEN,
                "IDENTITY_MISMATCH",
                "The place is for another user than the one who is logged in.",
            ),
            IdentityError::Unavailable(cause) => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "IDENTITY_UNAVAILABLE",
                "Who you are cannot be checked right now.",
            )
            .retry_after(5)
            .cause(cause),
        }
    }
}

impl From<RightMissing> for Problem {
    fn from(RightMissing(right): RightMissing) -> Self {
        let right = right.as_str();
        Self::new(
            StatusCode::FORBIDDEN,
            "RIGHT_MISSING",
            format!("This operator key lacks the right {right:?}."),
        )
        .with("right", right)
    }
}

impl From<ChallengeError> for Problem {
    fn from(error: ChallengeError) -> Self {
        let (code, detail, site_key) = match error {
            ChallengeError::Missing { site_key } => (
                "CHALLENGE_REQUIRED",
                "Solve the challenge of this site key and send its answer as `challenge`.",
                site_key,
            ),
            ChallengeError::Refused { site_key } => (
                "CHALLENGE_INVALID",
                "The verifier does not take this answer to the challenge. Solve another one.",
                site_key,
            ),
            ChallengeError::Unavailable(cause) => {
                return Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "CHALLENGE_UNAVAILABLE",
                    "The answer to the challenge cannot be verified right now.",
                )
                .retry_after(5)
                .cause(cause);
            }
        };
        Self::new(StatusCode::UNAUTHORIZED, code, detail).with("siteKey", site_key)
    }
}

impl From<ProofError> for Problem {
    fn from(error: ProofError) -> Self {
        let (code, detail, challenge) = match &error {
            ProofError::Missing(challenge) => (
                "PROOF_REQUIRED",
                "A place costs some work. Solve the challenge and send it as `proof`.",
                challenge,
            ),
            ProofError::Invalid(challenge) => (
                "PROOF_INVALID",
                "This is no proof of work for this user and queue, or it was used. Here is \
                 another challenge.",
                challenge,
            ),
        };
        let challenge = serde_json::json!(ProofOfWork::of(challenge));
        Self::new(StatusCode::UNAUTHORIZED, code, detail).with("proofOfWork", challenge)
    }
}
