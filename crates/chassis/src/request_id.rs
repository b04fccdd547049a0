//! Owns the id that follows one request through every service and log.

use std::ops::Deref;
use std::rc::Rc;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage as _, HttpRequest};

/// The header that carries the id, both ways.
pub const HEADER: HeaderName = HeaderName::from_static("x-request-id");
/// A longer id from a client is replaced.
const LONGEST: usize = 64;

/// The id of a request: at most 64 of `[A-Za-z0-9._-]`.
#[derive(Clone, Debug)]
pub struct RequestId(Rc<str>);

impl Deref for RequestId {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl RequestId {
    /// The client's id when it is a sane token, a new one otherwise.
    fn of_header(value: Option<&HeaderValue>) -> Self {
        let given = value
            .and_then(|value| value.to_str().ok())
            .filter(|text| is_sane(text));
        match given {
            Some(text) => Self(text.into()),
            None => Self::fresh(),
        }
    }

    /// A new one.
    pub(crate) fn fresh() -> Self {
        let mut buffer = uuid::Uuid::encode_buffer();
        let id = uuid::Uuid::now_v7().simple().encode_lower(&mut buffer);
        Self((*id).into())
    }
}

fn is_sane(text: &str) -> bool {
    (1..=LONGEST).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// The id of this request; empty outside of [`assign`].
pub fn of(request: &HttpRequest) -> RequestId {
    let id = request.extensions().get::<RequestId>().cloned();
    id.unwrap_or_else(|| RequestId("".into()))
}

/// Middleware, outermost: takes or makes the id, and answers it.
pub async fn assign<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let id = RequestId::of_header(request.headers().get(HEADER));
    let value = HeaderValue::from_str(&id);
    request.extensions_mut().insert(id);
    let mut answer = next.call(request).await?;
    if let Ok(value) = value {
        answer.headers_mut().insert(HEADER, value);
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::RequestId;

    fn taken(text: &str) -> bool {
        let value = HeaderValue::from_bytes(text.as_bytes()).ok();
        &*RequestId::of_header(value.as_ref()) == text
    }

    #[test]
    fn a_sane_id_is_kept_and_any_other_replaced() {
        assert!(taken("a.B-9_"));
        assert!(taken(&"x".repeat(64)));
        for odd in ["", "a b", "a\"b", "ü", &"x".repeat(65)] {
            assert!(!taken(odd), "{odd:?}");
        }
        assert_eq!(RequestId::of_header(None).len(), 32);
    }
}
