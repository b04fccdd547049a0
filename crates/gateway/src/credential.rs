//! Owns where a visitor or operator carries what proves them: a bearer or the queue's cookie.
//!
//! Never the URL. A bearer wins over cookies. Whoever has cookies of several queues may say which
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
        None => request
            .cookie(&format!("{COOKIE}{queue}"))
            .map(|cookie| cookie.value().to_owned()),
    }
}

/// Every token that a visitor shows, where the path does not name a queue.
pub fn all(request: &HttpRequest) -> Vec<String> {
    if let Some(token) = bearer(request) {
        return vec![token.to_owned()];
    }
    let Ok(cookies) = request.cookies() else {
        return Vec::new();
    };
    let meant = request.headers().get(QUEUE).map(|it| it.as_bytes());
    let is_meant = |queue: &str| meant.is_none_or(|meant| meant == queue.as_bytes());
    cookies
        .iter()
        .filter(|cookie| cookie.name().strip_prefix(COOKIE).is_some_and(is_meant))
        .map(|cookie| cookie.value().to_owned())
        .collect()
}

/// A `Cookie` header without the tokens, for the upstream, which has no use for them.
pub fn without_tokens(cookies: &str) -> String {
    cookies
        .split(';')
        .map(str::trim)
        .filter(|cookie| !cookie.starts_with(COOKIE) && !cookie.is_empty())
        .collect::<Vec<_>>()
        .join("; ")
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

    #[test]
    fn a_bearer_wins_over_cookies_and_a_queue_has_its_own() {
        let queue = "main".parse().expect("a name");
        let request = TestRequest::default()
            .insert_header(("Cookie", "usher_token_main=m; usher_token_vip=v; a=b"))
            .to_http_request();
        assert_eq!(for_queue(&request, &queue).as_deref(), Some("m"));
        assert_eq!(all(&request), ["m", "v"]);
        let request = TestRequest::default()
            .insert_header(("Authorization", "bearer t"))
            .insert_header(("Cookie", "usher_token_main=m"))
            .to_http_request();
        assert_eq!(for_queue(&request, &queue).as_deref(), Some("t"));
        assert_eq!(all(&request), ["t"]);
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
        assert_eq!(without_tokens(given), "a=b; c=d");
        assert_eq!(without_tokens("usher_token_main=m"), "");
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
