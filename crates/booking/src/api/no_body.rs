//! Owns what a route that takes nothing takes: a body may be missing, `{}` or `null`, and anything else is refused, not ignored.

use actix_web::dev::Payload;
use chassis::json;
use chassis::problem::Problem;
use serde_json::Value;

use super::codes::{BODY_INVALID, BODY_MALFORMED};

/// Refuses a body that says something.
pub(super) async fn check(payload: Payload) -> Result<(), Problem> {
    let body = json::whole(payload).await?;
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
