//! Owns where a visitor or operator carries what proves them: a bearer or the queue's cookie.
//!
//! Never the URL. A bearer wins over cookies, unless it is for the service behind. Whoever has cookies of several queues may say which
//! of them is meant.

use actix_web::HttpRequest;
use actix_web::cookie::{Cookie, SameSite};
use actix_web::http::header;

use crate::queue::QueueId;

/// Every queue's cookie is named by this and the queue.
const COOKIE: &str = "usher_token_";

/// Which queue's cookie is meant, where the path does not say it.
const QUEUE: &str = "x-usher-queue";

/// The text behind `Authorization: Bearer`.
pub fn bearer(request: &HttpRequest) -> Option<&str> {
    let value = request
        .headers()
        .get(header::AUTHORIZATION)?
        .to_str()
        .ok()?;
    let (scheme, text) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| text.trim())
}

/// The token that a visitor shows to `queue`.
pub fn for_queue(request: &HttpRequest, queue: &QueueId) -> Option<String> {
    match bearer(request) {
        Some(token) => Some(token.to_owned()),
        None => tokens(request)
            .find(|(of, _)| *of == queue.as_str())
            .map(|(_, token)| token.to_owned()),
    }
}

/// A token as it was shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Its text.
    pub token: String,
    /// Whether it came as a bearer, rather than as a cookie.
    pub is_bearer: bool,
}

/// Every token that a visitor shows, where the path does not name a queue: the bearer first, which
/// may also be for the service behind, then the cookies.
pub fn all(request: &HttpRequest) -> Vec<Shown> {
    let meant = request.headers().get(QUEUE).map(|it| it.as_bytes());
    let is_meant = |queue: &str| meant.is_none_or(|meant| meant == queue.as_bytes());
    let shown = |token: &str, is_bearer| Shown {
        token: token.to_owned(),
        is_bearer,
    };
    let bearer = bearer(request).map(|token| shown(token, true));
    let cookies = tokens(request).filter(|(queue, _)| is_meant(queue));
    bearer
        .into_iter()
        .chain(cookies.map(|(_, token)| shown(token, false)))
        .collect()
}

/// A `Cookie` header without the tokens, for the upstream, which has no use for them.
pub fn without_tokens(cookies: &[u8]) -> Vec<u8> {
    let others = each(cookies).filter(|it| !it.starts_with(COOKIE.as_bytes()));
    others.collect::<Vec<_>>().join(&b"; "[..])
}

/// The cookies of one header. Some programs write bytes that are no ASCII, so it is read as bytes.
fn each(cookies: &[u8]) -> impl Iterator<Item = &[u8]> {
    let all = cookies.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    all.filter(|cookie| !cookie.is_empty())
}

/// The queues and tokens of all cookies that carry one, in their order.
fn tokens(request: &HttpRequest) -> impl Iterator<Item = (&str, &str)> {
    let headers = request.headers().get_all(header::COOKIE);
    let cookies = headers.flat_map(|header| each(header.as_bytes()));
    cookies.filter_map(|cookie| {
        let (queue, token) = std::str::from_utf8(cookie)
            .ok()?
            .strip_prefix(COOKIE)?
            .split_once('=')?;
        Some((queue, token.trim_matches('"')))
    })
}

/// The cookie that carries a token.
pub fn cookie(queue: &QueueId, token: &str, secure: bool) -> Cookie<'static> {
    Cookie::build(format!("{COOKIE}{queue}"), token.to_owned())
        .path("/")
        .http_only(true)
        .same_site(SameSite::Lax)
        .secure(secure)
        .finish()
}

/// The cookie that takes it back.
pub fn no_cookie(queue: &QueueId) -> Cookie<'static> {
    let mut cookie = cookie(queue, "", false);
    cookie.make_removal();
    cookie
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::{all, bearer, cookie, for_queue, without_tokens};

    fn texts(request: &actix_web::HttpRequest) -> Vec<String> {
        all(request).into_iter().map(|it| it.token).collect()
    }

    #[test]
    fn a_cookie_is_found_beside_bytes_that_are_no_ascii() {
        let queue = "main".parse().expect("a name");
        let odd = actix_web::http::header::HeaderValue::from_bytes(b"a=\xe9; usher_token_main=m");
        let request = TestRequest::default()
            .insert_header(("Cookie", odd.expect("sound")))
            .to_http_request();
        assert_eq!(for_queue(&request, &queue).as_deref(), Some("m"));
        assert_eq!(texts(&request), ["m"]);
    }

    #[test]
    fn a_bearer_wins_over_cookies_and_a_queue_has_its_own() {
        let queue = "main".parse().expect("a name");
        let request = TestRequest::default()
            .insert_header(("Cookie", "usher_token_main=m; usher_token_vip=v; a=b"))
            .to_http_request();
        assert_eq!(for_queue(&request, &queue).as_deref(), Some("m"));
        assert_eq!(texts(&request), ["m", "v"]);
        let request = TestRequest::default()
            .insert_header(("Authorization", "bearer t"))
            .insert_header(("Cookie", "usher_token_main=m"))
            .to_http_request();
        assert_eq!(for_queue(&request, &queue).as_deref(), Some("t"));
        assert_eq!(texts(&request), ["t", "m"]);
    }

    #[test]
    fn other_schemes_carry_no_token() {
        let request = TestRequest::default()
            .insert_header(("Authorization", "Basic abc"))
            .to_http_request();
        assert_eq!(bearer(&request), None);
        assert!(all(&request).is_empty());
    }

    #[test]
    fn the_upstream_gets_the_other_cookies() {
        let given = "a=b; usher_token_main=m; c=d";
        assert_eq!(without_tokens(given.as_bytes()), b"a=b; c=d");
        assert_eq!(without_tokens(b"usher_token_main=m"), b"");
    }

    #[test]
    fn a_script_cannot_read_the_cookie() {
        let queue = "main".parse().expect("a name");
        let text = cookie(&queue, "t", true).to_string();
        assert_eq!(
            text,
            "usher_token_main=t; HttpOnly; SameSite=Lax; Secure; Path=/"
        );
    }
}
