//! Owns routes that take nothing: a body may be missing or `{}`, and anything else is refused, not ignored.

use actix_web::dev::Payload;
use actix_web::web::Bytes;
use actix_web::{FromRequest, HttpRequest};
use chassis::problem::Problem;
use futures_util::future::LocalBoxFuture;
use serde_json::Value;

use super::codes::{BODY_INVALID, BODY_MALFORMED, BODY_TOO_LARGE};

/// The body of a request that has none.
pub struct NoBody;

impl FromRequest for NoBody {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let body = Bytes::from_request(request, payload);
        Box::pin(async {
            let too_large = |_| BODY_TOO_LARGE.because("The body has more than 64 KiB.");
            let body = body.await.map_err(too_large)?;
            if body.is_empty() {
                return Ok(Self);
            }
            match serde_json::from_slice(&body) {
                Ok(Value::Object(fields)) if fields.is_empty() => Ok(Self),
                Ok(_) => Err(BODY_INVALID.because("Nothing is asked for here but `{}`.")),
                Err(_) => Err(BODY_MALFORMED.because("The body is not JSON.")),
            }
        })
    }
}
