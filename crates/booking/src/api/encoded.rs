//! Owns bodies that are encoded once and sent many times, plain or compressed.
//!
//! Plain and compressed are two representations, so each has a strong `ETag` of its own, and `Vary` tells caches that
//! the choice depends on `Accept-Encoding`. Neither a 200 nor a 304 builds any JSON.

use std::io::Write as _;
use std::sync::OnceLock;

use actix_web::http::header::{self, AcceptEncoding, Encoding, Header as _};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse};
use flate2::Compression;
use flate2::write::GzEncoder;

/// The browser may keep it but asks each time; no shared cache does.
const REVALIDATED: &str = "private, no-cache";
/// A smaller body fits into a packet or two, so compressing gains nothing.
const LARGE: usize = 1_400;

/// A JSON body as it is sent.
pub struct EncodedBody {
    version: String,
    plain: Bytes,
    gzip: OnceLock<Bytes>,
}

impl EncodedBody {
    /// `version` is the same for the same content.
    pub fn new(version: &str, body: Vec<u8>) -> Self {
        Self {
            version: version.to_owned(),
            plain: body.into(),
            gzip: OnceLock::new(),
        }
    }

    /// 200 with a strong `ETag`, or 304 when the client has this version already.
    pub fn answer(&self, request: &HttpRequest) -> HttpResponse {
        let compressed = self.plain.len() >= LARGE && takes_gzip(request);
        let (plain, gzip) = (format!("\"{}\"", self.version), self.gzip_tag());
        let tag = if compressed { &gzip } else { &plain };
        let has_it = has(request, &[&plain, &gzip]);
        let mut answer = if has_it {
            HttpResponse::NotModified()
        } else {
            HttpResponse::Ok()
        };
        answer
            .insert_header((header::ETAG, tag.as_str()))
            .insert_header((header::VARY, header::ACCEPT_ENCODING.as_str()))
            .insert_header((header::CACHE_CONTROL, REVALIDATED));
        if has_it {
            return answer.finish();
        }
        answer.content_type("application/json");
        if compressed {
            answer.insert_header((header::CONTENT_ENCODING, "gzip"));
            return answer.body(self.gzip.get_or_init(|| gzipped(&self.plain)).clone());
        }
        answer.body(self.plain.clone())
    }

    fn gzip_tag(&self) -> String {
        format!("\"{}.gz\"", self.version)
    }
}

/// Fast rather than small: it is made anew after every sale.
fn gzipped(plain: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let written = encoder.write_all(plain).and_then(|()| encoder.finish());
    written.expect("memory takes all").into()
}

fn takes_gzip(request: &HttpRequest) -> bool {
    let supported = [Encoding::gzip(), Encoding::identity()];
    AcceptEncoding::parse(request)
        .is_ok_and(|accepted| accepted.negotiate(supported.iter()) == Some(Encoding::gzip()))
}

/// Whether `If-None-Match` names one of the tags, which stand for the same content; the weak comparison of RFC 9110,
/// section 13.1.2.
fn has(request: &HttpRequest, tags: &[&str]) -> bool {
    let lines = request.headers().get_all(header::IF_NONE_MATCH);
    let mut named = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(|one| one.trim().trim_start_matches("W/"));
    named.any(|one| one == "*" || tags.contains(&one))
}

#[cfg(test)]
mod tests {
    use actix_web::http::StatusCode;
    use actix_web::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, ETAG, IF_NONE_MATCH};
    use actix_web::test::TestRequest;

    use super::EncodedBody;

    #[test]
    fn a_version_that_the_client_has_is_not_sent_again() {
        let encoded = EncodedBody::new("v1", b"\"body\"".to_vec());
        let status = |given: &str| {
            let request = TestRequest::get().insert_header((IF_NONE_MATCH, given));
            encoded.answer(&request.to_http_request()).status()
        };
        for same in ["\"v1\"", "W/\"v1\"", "\"v0\", \"v1\"", "*", "\"v1.gz\""] {
            assert_eq!(status(same), StatusCode::NOT_MODIFIED, "{same}");
        }
        for other in ["\"v0\"", "v1", "\"v1", "", "\"v1x\"", "\"v1.br\""] {
            assert_eq!(status(other), StatusCode::OK, "{other}");
        }
    }

    #[test]
    fn a_large_body_is_compressed_for_those_who_take_it_and_has_another_tag() {
        let large = EncodedBody::new("v1", vec![b'1'; 2_000]);
        let small = EncodedBody::new("v1", vec![b'1'; 1_000]);
        let answer = |encoded: &EncodedBody, accepted: Option<&str>| {
            let mut request = TestRequest::get();
            if let Some(accepted) = accepted {
                request = request.insert_header((ACCEPT_ENCODING, accepted));
            }
            let answer = encoded.answer(&request.to_http_request());
            let coded = answer.headers().contains_key(CONTENT_ENCODING);
            let tag = answer.headers().get(ETAG).and_then(|tag| tag.to_str().ok());
            (coded, tag.map(str::to_owned))
        };
        let (plain, gzip) = (Some("\"v1\"".to_owned()), Some("\"v1.gz\"".to_owned()));
        for taken in ["gzip", "deflate, gzip;q=0.8", "br, gzip", "gzip, *;q=0"] {
            assert_eq!(answer(&large, Some(taken)), (true, gzip.clone()), "{taken}");
            assert_eq!(
                answer(&small, Some(taken)),
                (false, plain.clone()),
                "{taken}"
            );
        }
        for not_taken in [
            None,
            Some("br"),
            Some("gzip;q=0"),
            Some("*"),
            Some("identity"),
            Some(""),
        ] {
            let got = answer(&large, not_taken);
            assert_eq!(got, (false, plain.clone()), "{not_taken:?}");
        }
    }
}
