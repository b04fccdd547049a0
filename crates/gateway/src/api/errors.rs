//! The status table: what a client hears of each error of the queue.

use actix_web::http::StatusCode;
use chassis::json;
use chassis::problem::Problem;

use crate::queue::QueueError;

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
