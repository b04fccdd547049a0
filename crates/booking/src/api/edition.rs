//! Owns `If-Match` (RFC 9110, section 13.1.1): which version of a thing somebody means to change, and how a change
//! names what it leaves as it is.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::{FromRequest, HttpRequest};
use chassis::problem::Problem;
use serde::{Deserialize, Deserializer};
use utoipa::IntoParams;

use crate::programme::Expected;

/// The version that the request means, whatever it is when the header is not sent.
pub struct IfMatch(pub Expected);

impl FromRequest for IfMatch {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let lines = request.headers().get_all(header::IF_MATCH);
        let tags: Vec<&str> = lines
            .flat_map(|line| line.to_str().unwrap_or_default().split(','))
            .map(str::trim)
            .collect();
        let expected = if tags.is_empty() || tags.contains(&"*") {
            Expected::Any
        } else {
            // A weak tag, or one that is none of ours, matches nothing.
            Expected::OneOf(tags.into_iter().filter_map(version).collect())
        };
        ready(Ok(Self(expected)))
    }
}

fn version(tag: &str) -> Option<u32> {
    tag.strip_prefix('"')?.strip_suffix('"')?.parse().ok()
}

/// A field that may be left out but, when it is there, is read as it is: `null` is a value of its own.
pub fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    from: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

/// The header, for the document.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "the document is made of it")]
pub struct IfMatchHeader {
    /// The `ETag` of what you read: if it was changed since, nothing happens. Left out, the change is made whatever the
    /// version is.
    #[param(rename = "If-Match", example = "\"3\"")]
    if_match: Option<String>,
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::IF_MATCH;
    use actix_web::test::TestRequest;
    use actix_web::{FromRequest as _, dev::Payload};

    use super::IfMatch;
    use crate::programme::Expected;

    fn expected(lines: &[&str]) -> Expected {
        let mut request = TestRequest::default();
        for line in lines {
            request = request.append_header((IF_MATCH, *line));
        }
        let read = IfMatch::from_request(&request.to_http_request(), &mut Payload::None);
        read.into_inner().map(|it| it.0).unwrap_or(Expected::Any)
    }

    #[test]
    fn strong_tags_name_versions_and_nothing_else_does() {
        assert_eq!(expected(&[]), Expected::Any);
        assert_eq!(expected(&["*"]), Expected::Any);
        assert_eq!(expected(&["\"3\""]), Expected::OneOf(vec![3]));
        assert_eq!(
            expected(&["\"3\", \"4\"", "\"5\""]),
            Expected::OneOf(vec![3, 4, 5])
        );
        for none in ["3", "W/\"3\"", "\"x\"", "", "\"-1\"", "\"3"] {
            assert_eq!(expected(&[none]), Expected::OneOf(vec![]), "{none}");
        }
    }
}
