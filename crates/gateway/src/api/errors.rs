//! The status table: what a client hears of each error of the queue.

use chassis::json;
use chassis::problem::Problem;

use super::join_checks::ProofOfWork;
use crate::challenge::ChallengeError;
use crate::codes;
use crate::identity::IdentityError;
use crate::limit::TooMany;
use crate::operator::RightMissing;
use crate::proof_of_work::ProofError;
use crate::queue::QueueError;
use crate::stream::WatchError;

/// What is told of a visit that ended.
pub(super) const VISIT_OVER: &str = "This visit is over. Join the queue again.";
/// What is told of one that ended by idleness.
pub(super) const VISIT_IDLE: &str = "This visit is over, because nothing was asked for longer than a \
    visit may be idle. Join the queue again.";

impl From<QueueError> for Problem {
    fn from(error: QueueError) -> Self {
        match error {
            QueueError::Unknown => codes::QUEUE_UNKNOWN.because("There is no queue of this name."),
            QueueError::Closed => {
                codes::QUEUE_CLOSED.because("This queue is closed; nobody can join.")
            }
            QueueError::Full { retry_after } => codes::QUEUE_FULL
                .because("The line is as long as it may be. Try again later.")
                .retry_after(retry_after.as_secs().max(1)),
            QueueError::Over => codes::TOKEN_EXPIRED.because(VISIT_OVER),
            QueueError::Changed => codes::POLICY_CHANGED
                .because("Somebody changed these rules since. Look at them again."),
            QueueError::Contended => codes::POLICY_CONTENDED
                .because("Others change these rules all the time. Try again.")
                .retryable(),
            QueueError::Idle => codes::TOKEN_EXPIRED.because(VISIT_IDLE),
            QueueError::Refused(cause) => json::unacceptable(format!("{cause}.")),
            QueueError::StoreUnavailable(cause) => codes::STORE_UNAVAILABLE
                .because(
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
            WatchError::Full => codes::STREAMS_FULL
                .because("No more places can be watched here right now. Poll instead.")
                .retry_after(10),
        }
    }
}

impl From<TooMany> for Problem {
    fn from(error: TooMany) -> Self {
        codes::RATE_LIMITED
            .because("Too many requests of this kind came from here. Try again later.")
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
            IdentityError::Missing => codes::IDENTITY_MISSING.because(
                "Log in first: send the identity provider's token as Authorization: Bearer.",
            ),
            IdentityError::Invalid(why) => codes::IDENTITY_INVALID
                .because(format!("The identity provider's token is not good: {why}.")),
            IdentityError::OtherUser => codes::IDENTITY_MISMATCH
                .because("The place is for another user than the one who is logged in."),
            IdentityError::Unavailable(cause) => codes::IDENTITY_UNAVAILABLE
                .because("Who you are cannot be checked right now.")
                .retry_after(5)
                .cause(cause),
        }
    }
}

impl From<RightMissing> for Problem {
    fn from(RightMissing(right): RightMissing) -> Self {
        let right = right.as_str();
        codes::RIGHT_MISSING
            .because(format!("This operator key lacks the right {right:?}."))
            .with("right", right)
    }
}

impl From<ChallengeError> for Problem {
    fn from(error: ChallengeError) -> Self {
        let (code, detail, site_key) = match error {
            ChallengeError::Missing { site_key } => (
                codes::CHALLENGE_REQUIRED,
                "Solve the challenge of this site key and send its answer as `challenge`.",
                site_key,
            ),
            ChallengeError::Refused { site_key } => (
                codes::CHALLENGE_INVALID,
                "The verifier does not take this answer to the challenge. Solve another one.",
                site_key,
            ),
            ChallengeError::Unavailable(cause) => {
                return codes::CHALLENGE_UNAVAILABLE
                    .because("The answer to the challenge cannot be verified right now.")
                    .retry_after(5)
                    .cause(cause);
            }
        };
        code.because(detail).with("siteKey", site_key)
    }
}

impl From<ProofError> for Problem {
    fn from(error: ProofError) -> Self {
        let (code, detail, challenge) = match &error {
            ProofError::Missing(challenge) => (
                codes::PROOF_REQUIRED,
                "A place costs some work. Solve the challenge and send it as `proof`.",
                challenge,
            ),
            ProofError::Invalid(challenge) => (
                codes::PROOF_INVALID,
                "This is no proof of work for this user and queue, or it was used. Here is \
                 another challenge.",
                challenge,
            ),
        };
        let challenge = serde_json::json!(ProofOfWork::of(challenge));
        code.because(detail).with("proofOfWork", challenge)
    }
}
