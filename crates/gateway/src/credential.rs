//! Owns where a visitor or operator carries what proves them: a bearer or the queue's cookie.
//!
//! Never the URL. A bearer wins over cookies, unless it is for the service behind. A visitor with cookies of several queues may
//! say which of them is meant.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::cookie::Cookie;
use actix_web::http::header::{self, HeaderValue};

use crate::queue::QueueId;

/// Every queue's cookie is named by this and the queue.
const COOKIE: &str = "usher_token_";

/// Every cookie of the gateway begins with this.
const OWN_COOKIES: &str = "usher_";

/// How a browser keeps the cookies of the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CookieRules {
    /// Over TLS only.
    pub is_secure: bool,
    /// Whether requests from pages of other sites carry it.
    pub same_site: SameSite,
}

/// Which requests from pages of other sites carry a cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SameSite {
    /// None of them.
    Strict,
    /// Those that lead here.
    Lax,
    /// All, each site with a cookie of its own.
    None,
}

/// Not a rule for cookies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be lax, strict or none")]
pub struct SameSiteInvalid;

impl FromStr for SameSite {
    type Err = SameSiteInvalid;

    fn from_str(text: &str) -> Result<Self, SameSiteInvalid> {
        match text {
            "strict" => Ok(Self::Strict),
            "lax" => Ok(Self::Lax),
            "none" => Ok(Self::None),
            _ => Err(SameSiteInvalid),
        }
    }
}

impl fmt::Display for SameSite {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(match self {
            Self::Strict => "Strict",
            Self::Lax => "Lax",
            Self::None => "None; Partitioned",
        })
    }
}

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

/// Whether the visitor shows a token by a cookie.
pub fn has_cookie(request: &HttpRequest) -> bool {
    tokens(request).next().is_some()
}

/// A `Cookie` header without those of the gateway, for the upstream, which has no use for them.
pub fn without_tokens(cookies: &[u8]) -> Vec<u8> {
    let others = each(cookies).filter(|it| !it.starts_with(OWN_COOKIES.as_bytes()));
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

/// The queues that a request shows cookies of, with their tokens. What is no name of a queue is left out.
pub fn cookies(request: &HttpRequest) -> Vec<(QueueId, String)> {
    let named = |(queue, token): (&str, &str)| Some((queue.parse().ok()?, token.to_owned()));
    tokens(request).filter_map(named).collect()
}

/// `Set-Cookie` with a token of `queue`, kept for as long as the token is good.
pub fn cookie(queue: &QueueId, token: &str, ttl: Duration, rules: CookieRules) -> HeaderValue {
    let more = format!("; HttpOnly; Max-Age={}", ttl.as_secs());
    set_cookie(&format!("{COOKIE}{queue}"), token, rules, &more)
}

/// `Set-Cookie` that takes it back.
pub fn no_cookie(queue: &QueueId, rules: CookieRules) -> HeaderValue {
    let gone = "; HttpOnly; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT";
    set_cookie(&format!("{COOKIE}{queue}"), "", rules, gone)
}

/// `Set-Cookie` of another cookie of the gateway, `usher_{name}`.
pub fn own_cookie(name: &str, value: &str, rules: CookieRules) -> HeaderValue {
    set_cookie(
        &format!("{OWN_COOKIES}{name}"),
        value,
        rules,
        "; HttpOnly; Max-Age=31536000",
    )
}

/// What the browser keeps as `usher_{name}`.
pub fn kept(request: &HttpRequest, name: &str) -> Option<String> {
    let cookie = request.cookie(&format!("{OWN_COOKIES}{name}"))?;
    Some(cookie.value().to_owned())
}

fn set_cookie(name: &str, value: &str, rules: CookieRules, more: &str) -> HeaderValue {
    let pair = Cookie::new(name, value);
    let secure = if rules.is_secure { "; Secure" } else { "" };
    let text = format!("{pair}; Path=/; SameSite={}{secure}{more}", rules.same_site);
    // Names of queues, tokens and numbers are plain letters.
    HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use std::time::Duration;

    use super::{CookieRules, SameSite, all, bearer, cookie, for_queue, no_cookie, without_tokens};

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
        let given = "a=b; usher_token_main=m; c=d; usher_language=ko";
        assert_eq!(without_tokens(given.as_bytes()), b"a=b; c=d");
        assert_eq!(without_tokens(b"usher_token_main=m"), b"");
    }

    #[test]
    fn a_script_cannot_read_the_cookie() {
        let queue = "main".parse().expect("a name");
        let minute = Duration::from_secs(60);
        let mut rules = CookieRules {
            is_secure: false,
            same_site: SameSite::Lax,
        };
        assert_eq!(
            cookie(&queue, "t", minute, rules),
            "usher_token_main=t; Path=/; SameSite=Lax; HttpOnly; Max-Age=60"
        );
        rules.is_secure = true;
        rules.same_site = SameSite::None;
        assert_eq!(
            cookie(&queue, "t", minute, rules),
            "usher_token_main=t; Path=/; SameSite=None; Partitioned; Secure; HttpOnly; Max-Age=60"
        );
        let gone = no_cookie(&queue, rules);
        assert!(gone.to_str().expect("ASCII").contains("Max-Age=0"));
    }
}
