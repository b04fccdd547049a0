//! Owns how bodies, paths and queries are read, and what a client hears when they are wrong.
//!
//! Broken JSON is 400, another content type 415, a body over the limit 413, and JSON of the wrong
//! shape 422. A path or query that does not parse is 400.

use std::fmt;
use std::future::ready;
use std::marker::PhantomData;
use std::ops::Deref;
use std::pin::Pin;
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::web::{Bytes, BytesMut};
use actix_web::{FromRequest, HttpRequest, error, web};
use futures_util::future::LocalBoxFuture;
use futures_util::stream::{self, Stream, StreamExt as _};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, Deserializer, MapAccess, Visitor};
use serde_json::error::Category;
use tokio::time::timeout;

use crate::problem::Problem;

/// The largest body that a route reads, in bytes.
pub const MAX_BODY_BYTES: usize = 64 * 1024;

/// Longest time that a body may take to arrive.
pub const SLOWEST_BODY: Duration = Duration::from_secs(10);

/// A JSON body that is an object: the extractor of every route that reads a body.
///
/// Serde alone would also take an array whose items are the fields in their order.
#[derive(Debug)]
pub struct Body<T>(pub T);

impl<T> Deref for Body<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: DeserializeOwned + 'static> FromRequest for Body<T> {
    type Error = actix_web::Error;
    type Future = LocalBoxFuture<'static, Result<Self, Self::Error>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let json = web::Json::<Object<T>>::from_request(request, payload);
        Box::pin(async {
            let json = timeout(SLOWEST_BODY, json)
                .await
                .map_err(|_| too_slow(SLOWEST_BODY))?;
            Ok(Self(json?.into_inner().0))
        })
    }
}

/// The same where a request may also have no body at all: then the content type does not matter either.
#[derive(Debug)]
pub struct OptionalBody<T>(pub Option<T>);

impl<T: DeserializeOwned + 'static> FromRequest for OptionalBody<T> {
    type Error = actix_web::Error;
    type Future = LocalBoxFuture<'static, Result<Self, Self::Error>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, mut payload) = (request.clone(), payload.take());
        Box::pin(async move {
            // Whether there is a body is seen by its first bytes: a chunked one may turn out to be empty.
            let first = timeout(SLOWEST_BODY, payload.next());
            let first = match first.await.map_err(|_| too_slow(SLOWEST_BODY))? {
                None => return Ok(Self(None)),
                Some(Ok(bytes)) if bytes.is_empty() => return Ok(Self(None)),
                Some(first) => first,
            };
            let whole = stream::once(ready(first)).chain(payload);
            let whole: BoxedPayload = Box::pin(whole);
            let body = Body::<T>::from_request(&request, &mut Payload::from(whole));
            body.await.map(|body| Self(Some(body.0)))
        })
    }
}

type BoxedPayload = Pin<Box<dyn Stream<Item = Result<Bytes, error::PayloadError>>>>;

/// The whole body whatever it is, for a route that reads it by itself: within the size and the time of every other one.
pub async fn whole(mut payload: Payload) -> Result<BytesMut, Problem> {
    let read = async {
        let mut body = BytesMut::new();
        while let Some(part) = payload.next().await {
            let part = part.map_err(|_| malformed("The body could not be read.".to_owned()))?;
            if body.len() + part.len() > MAX_BODY_BYTES {
                return Err(too_large(MAX_BODY_BYTES));
            }
            body.extend_from_slice(&part);
        }
        Ok(body)
    };
    let body = timeout(SLOWEST_BODY, read).await;
    body.map_err(|_| too_slow(SLOWEST_BODY))?
}

/// Deserializes from a map alone.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct ObjectVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
            type Value = Object<T>;

            fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
                to.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }

        from.deserialize_map(ObjectVisitor(PhantomData))
    }
}

/// Registers how this application reads requests. For `App::configure`.
pub fn configure(app: &mut web::ServiceConfig) {
    app.app_data(
        web::JsonConfig::default()
            .limit(MAX_BODY_BYTES)
            .error_handler(|cause, _| of_body(&cause).into()),
    )
    .app_data(web::PathConfig::default().error_handler(|cause, _| of_path(&cause).into()))
    .app_data(web::QueryConfig::default().error_handler(|cause, _| of_query(&cause).into()));
}

/// A body that is JSON but never acceptable.
pub fn unacceptable(detail: impl Into<std::borrow::Cow<'static, str>>) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "BODY_INVALID", detail)
}

/// The body, or the next piece of it, took longer to arrive than it may.
pub fn too_slow(limit: Duration) -> Problem {
    Problem::new(
        StatusCode::REQUEST_TIMEOUT,
        "BODY_TOO_SLOW",
        format!("The body did not arrive within {limit:?}."),
    )
    .retryable()
}

/// The body is over `limit_bytes`.
pub fn too_large(limit_bytes: usize) -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "BODY_TOO_LARGE",
        format!("The body may have at most {limit_bytes} bytes."),
    )
}

fn of_body(cause: &error::JsonPayloadError) -> Problem {
    use error::JsonPayloadError as Cause;
    match cause {
        Cause::OverflowKnownLength { limit, .. } | Cause::Overflow { limit } => too_large(*limit),
        Cause::ContentType => Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "CONTENT_TYPE_UNSUPPORTED",
            "Send the body as Content-Type: application/json.",
        ),
        Cause::Deserialize(cause) if cause.classify() == Category::Data => {
            unacceptable(format!("The body is not acceptable: {cause}."))
        }
        Cause::Deserialize(cause) => malformed(format!("The body is not JSON: {cause}.")),
        Cause::Payload(error::PayloadError::Overflow) => too_large(MAX_BODY_BYTES),
        other => malformed(format!("The body could not be read: {other}.")),
    }
}

fn malformed(detail: String) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "BODY_MALFORMED", detail)
}

// Without the framework's own words, which tell a client nothing.
fn of_path(cause: &error::PathError) -> Problem {
    let cause = match cause {
        error::PathError::Deserialize(cause) => cause.to_string(),
        other => other.to_string(),
    };
    Problem::new(
        StatusCode::BAD_REQUEST,
        "PATH_INVALID",
        format!("The path does not parse: {cause}."),
    )
}

fn of_query(cause: &error::QueryPayloadError) -> Problem {
    let cause = match cause {
        error::QueryPayloadError::Deserialize(cause) => cause.to_string(),
        other => other.to_string(),
    };
    Problem::new(
        StatusCode::BAD_REQUEST,
        "QUERY_INVALID",
        format!("The query does not parse: {cause}."),
    )
}

#[cfg(test)]
mod tests {
    use actix_web::dev::Payload;
    use actix_web::error::PayloadError;
    use actix_web::middleware::from_fn;
    use actix_web::web::Bytes;
    use actix_web::{App, HttpResponse, test, web};
    use futures_util::stream;
    use serde::Deserialize;

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Order {
        count: u8,
    }

    async fn status_of(content_type: &str, body: impl Into<Vec<u8>>) -> u16 {
        async fn order(order: super::Body<Order>) -> HttpResponse {
            HttpResponse::Ok().body(order.count.to_string())
        }
        let app = test::init_service(
            App::new()
                .configure(super::configure)
                .wrap(from_fn(crate::problem::edge))
                .route("/orders", web::post().to(order)),
        )
        .await;
        let request = test::TestRequest::post()
            .uri("/orders")
            .insert_header(("content-type", content_type))
            .set_payload(body.into())
            .to_request();
        test::call_service(&app, request).await.status().as_u16()
    }

    #[actix_web::test]
    async fn each_kind_of_bad_body_has_its_own_status() {
        let json = "application/json";
        assert_eq!(status_of(json, r#"{"count":1}"#).await, 200);
        assert_eq!(status_of(json, r#"{"count":"#).await, 400);
        assert_eq!(status_of(json, "").await, 400);
        assert_eq!(status_of("text/plain", r#"{"count":1}"#).await, 415);
        assert_eq!(status_of(json, r#"{"count":300}"#).await, 422);
        assert_eq!(status_of(json, "[1]").await, 422);
        assert_eq!(status_of(json, "null").await, 422);
        assert_eq!(status_of(json, r#"{"count":1,"cuont":2}"#).await, 422);
        let long = format!(r#"{{"count":1,"pad":"{}"}}"#, "x".repeat(70_000));
        assert_eq!(status_of(json, long).await, 413);
    }

    /// A body that comes in pieces of these lengths.
    fn pieces<const COUNT: usize>(lengths: [Result<usize, PayloadError>; COUNT]) -> Payload {
        let piece = |length| Bytes::from(vec![b'x'; length]);
        let all = lengths.into_iter().map(move |length| length.map(piece));
        let all: super::BoxedPayload = Box::pin(stream::iter(all.collect::<Vec<_>>()));
        Payload::from(all)
    }

    #[actix_web::test]
    async fn a_body_is_read_whole_up_to_its_limit_and_a_broken_one_is_refused() {
        async fn read<const COUNT: usize>(
            lengths: [Result<usize, PayloadError>; COUNT],
        ) -> Result<usize, &'static str> {
            let body = super::whole(pieces(lengths)).await;
            body.map(|body| body.len())
                .map_err(|problem| problem.code())
        }
        let most = super::MAX_BODY_BYTES;
        assert_eq!(read([]).await, Ok(0));
        assert_eq!(read([Ok(most - 1), Ok(1)]).await, Ok(most));
        assert_eq!(read([Ok(most), Ok(1)]).await, Err("BODY_TOO_LARGE"));
        let cut = Err(PayloadError::EncodingCorrupted);
        assert_eq!(read([Ok(1), cut]).await, Err("BODY_MALFORMED"));
    }
}
