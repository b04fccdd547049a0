//! Owns files that are built into a program and sent as they are: their media type, their tag, their
//! compressed form.
//!
//! A file is compressed once, at the start. Its digest is its tag, and may be part of its address, so
//! that an answer can be kept for ever.

use std::fmt::Write as _;
use std::io::Write as _;

use actix_web::http::header::{self, HeaderName};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse};
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest as _, Sha256};

/// An address with the digest of its content in it never changes.
pub const FOR_EVER: &str = "public, max-age=31536000, immutable";
/// Others are asked for again, which costs a 304.
pub const ASK_AGAIN: &str = "public, no-cache";

const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// Digits of a digest.
const DIGITS: usize = 16;

/// A file, ready to be sent.
#[derive(Debug, Clone)]
pub struct Asset {
    /// Its media type.
    pub media_type: &'static str,
    /// As it is.
    pub plain: Bytes,
    /// Compressed, where that makes it smaller.
    pub gzip: Option<Bytes>,
    /// Names this very content.
    pub digest: String,
}

impl Asset {
    /// Content by the ending of its name.
    pub fn of(name: &str, content: Vec<u8>) -> Self {
        let gzip = gzip(&content, Compression::best());
        Self {
            media_type: media_type(name),
            gzip: Some(gzip)
                .filter(|it| it.len() < content.len())
                .map(Bytes::from),
            digest: digest([content.as_slice()]),
            plain: Bytes::from(content),
        }
    }

    /// The file, or 304 where the client has it; compressed where it may be. `kept` says how it may be cached.
    pub fn sent(&self, request: &HttpRequest, kept: &'static str) -> HttpResponse {
        let gzip = self.gzip.as_ref().filter(|_| takes_gzip(request));
        let end = if gzip.is_some() { ".gz" } else { "" };
        let tag = format!("\"{}{end}\"", self.digest);
        let is_known = |it: &str| {
            let known = it.trim().trim_start_matches("W/");
            known == tag || known == "*"
        };
        let has_it = text(request, header::IF_NONE_MATCH)
            .split(',')
            .any(is_known);
        let mut answer = if has_it {
            HttpResponse::NotModified()
        } else {
            HttpResponse::Ok()
        };
        answer
            .insert_header((header::ETAG, tag))
            .insert_header((header::CACHE_CONTROL, kept))
            .insert_header((header::VARY, "Accept-Encoding"))
            .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
            .insert_header((RESOURCE_POLICY, "cross-origin"));
        if has_it {
            return answer.finish();
        }
        answer.insert_header((header::CONTENT_TYPE, self.media_type));
        match gzip {
            Some(gzip) => {
                answer.insert_header((header::CONTENT_ENCODING, "gzip"));
                answer.body(gzip.clone())
            }
            None => answer.body(self.plain.clone()),
        }
    }
}

/// `content`, compressed.
pub fn gzip(content: &[u8], level: Compression) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(content.len() / 2), level);
    let written = encoder.write_all(content).and_then(|()| encoder.finish());
    written.expect("memory takes every byte")
}

/// Names the content of all `parts`, in their order.
pub fn digest<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut whole = Sha256::new();
    for part in parts {
        whole.update(part);
    }
    let mut text = String::with_capacity(DIGITS);
    for byte in &whole.finalize()[..DIGITS / 2] {
        // A `String` takes every letter.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The media type that the ending of a name stands for.
pub fn media_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, ending)| ending) {
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("html") => "text/html; charset=utf-8",
        Some("json") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("webp") => "image/webp",
        Some("avif") => "image/avif",
        Some("woff2") => "font/woff2",
        Some("ts" | "txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

/// Whether the answer may be compressed.
pub fn takes_gzip(request: &HttpRequest) -> bool {
    let is_gzip = |part: &str| {
        let mut pieces = part.split(';').map(str::trim);
        let is_named = pieces
            .next()
            .is_some_and(|it| it.eq_ignore_ascii_case("gzip"));
        is_named && !pieces.any(|it| matches!(it, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
    };
    text(request, header::ACCEPT_ENCODING)
        .split(',')
        .any(is_gzip)
}

fn text(request: &HttpRequest, name: HeaderName) -> &str {
    let value = request.headers().get(name);
    value.and_then(|it| it.to_str().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use actix_web::http::header;
    use actix_web::test::TestRequest;

    use super::{ASK_AGAIN, Asset};

    #[test]
    fn a_file_is_sent_compressed_only_to_who_takes_that_and_once_to_who_keeps_it() {
        let file = Asset::of("a.css", "body { margin: 0 } ".repeat(20).into_bytes());
        for (accepted, encoding, end) in [
            ("gzip, br", Some("gzip"), ".gz\""),
            ("br, gzip;q=0", None, "\""),
            ("", None, "\""),
        ] {
            let request = TestRequest::get().insert_header(("Accept-Encoding", accepted));
            let answer = file.sent(&request.to_http_request(), ASK_AGAIN);
            let headers = answer.headers();
            let sent = headers.get(header::CONTENT_ENCODING);
            assert_eq!(sent.map(|it| it.to_str().expect("ASCII")), encoding);
            let tag = headers.get(header::ETAG).expect("a tag");
            let tag = tag.to_str().expect("ASCII");
            assert!(tag.ends_with(end), "{tag}");
            let again = TestRequest::get()
                .insert_header(("Accept-Encoding", accepted))
                .insert_header(("If-None-Match", tag));
            assert_eq!(file.sent(&again.to_http_request(), ASK_AGAIN).status(), 304);
        }
    }
}
