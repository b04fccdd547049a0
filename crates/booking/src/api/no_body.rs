//! Owns what a route that takes nothing takes: a body may be missing, `{}` or `null`, and anything else is refused, not ignored.

use actix_web::dev::Payload;
use actix_web::web::BytesMut;
use chassis::json::{MAX_BODY_BYTES, SLOWEST_BODY, too_large, too_slow};
use chassis::problem::Problem;
use futures_util::StreamExt as _;
use serde_json::Value;
use tokio::time::timeout;

use super::codes::{BODY_INVALID, BODY_MALFORMED};

/// Refuses a body that says something.
pub(super) async fn check(payload: Payload) -> Result<(), Problem> {
    let body = timeout(SLOWEST_BODY, whole(payload)).await;
    let body = body.map_err(|_| too_slow(SLOWEST_BODY))??;
    if body.is_empty() {
        return Ok(());
    }
    match serde_json::from_slice(&body) {
        Ok(Value::Null) => Ok(()),
        Ok(Value::Object(fields)) if fields.is_empty() => Ok(()),
        Ok(_) => Err(BODY_INVALID.because("Nothing is asked for here but `{}`.")),
        Err(_) => Err(BODY_MALFORMED.because("The body is not JSON.")),
    }
}

async fn whole(mut payload: Payload) -> Result<BytesMut, Problem> {
    let mut body = BytesMut::new();
    while let Some(part) = payload.next().await {
        let part = part.map_err(|_| BODY_MALFORMED.because("The body could not be read."))?;
        if body.len() + part.len() > MAX_BODY_BYTES {
            return Err(too_large(MAX_BODY_BYTES));
        }
        body.extend_from_slice(&part);
    }
    Ok(body)
}
