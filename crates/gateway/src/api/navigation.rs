//! What kind of request asks: a person's browser that wants a page, or a program.

use actix_web::HttpRequest;
use actix_web::http::Method;
use actix_web::http::header::{self, HeaderMap};

use crate::pages::address::is_local;

/// Whether a browser wants to show the answer as a page.
///
/// Browsers say so in `Sec-Fetch-Mode`; those that do not are known by what they accept.
pub fn is_navigation(request: &HttpRequest) -> bool {
    let is_page = matches!(*request.method(), Method::GET | Method::HEAD | Method::POST);
    let mode = text(request.headers(), "sec-fetch-mode");
    is_page
        && mode.is_none_or(|mode| mode == "navigate")
        && prefers_html(text(request.headers(), "accept").unwrap_or_default())
}

/// Whether the visitor gets a place by this very request: a page that a person asked for now.
///
/// A form could come from a page of another site, and then without the cookie of a place that the
/// visitor has already.
pub fn may_join(request: &HttpRequest) -> bool {
    let is_ahead = ["sec-purpose", "purpose", "x-moz"]
        .iter()
        .filter_map(|name| text(request.headers(), name))
        .any(|purpose| purpose.contains("prefetch") || purpose.contains("preview"));
    *request.method() == Method::GET && !is_ahead
}

/// Path and query as they were asked for.
pub fn address(request: &HttpRequest) -> &str {
    request.uri().path_and_query().map_or("/", |it| it.as_str())
}

/// For a form: the page of this site that it was sent from.
pub fn form_page(request: &HttpRequest) -> Option<String> {
    if *request.method() != Method::POST {
        return None;
    }
    let from = text(request.headers(), "referer").and_then(|referer| {
        let (_, rest) = referer.split_once("://")?;
        let (host, path) = rest.split_at(rest.find('/')?);
        let is_ours = text(request.headers(), "host") == Some(host);
        (is_ours && is_local(path)).then(|| path.to_owned())
    });
    Some(from.unwrap_or_else(|| "/".to_owned()))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Whether `text/html` is named, and nothing that is named is wanted more (RFC 9110, section 12.5.1).
fn prefers_html(accept: &str) -> bool {
    let weigh = |part: &str| {
        let mut pieces = part.split(';').map(str::trim);
        let kind = pieces.next().unwrap_or_default().to_ascii_lowercase();
        let weight = pieces.find_map(|it| it.strip_prefix("q="));
        (kind, weight.map_or(1.0_f32, |it| it.parse().unwrap_or(0.0)))
    };
    let named: Vec<_> = accept.split(',').map(weigh).collect();
    let html = named.iter().find(|(kind, _)| kind == "text/html");
    html.is_some_and(|(_, wanted)| {
        *wanted > 0.0 && named.iter().all(|(_, weight)| weight <= wanted)
    })
}

/// The value of a header as text, empty where there is none.
pub fn header_text(request: &HttpRequest, name: header::HeaderName) -> &str {
    let value = request.headers().get(name);
    value.and_then(|it| it.to_str().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::{form_page, is_navigation, may_join, prefers_html};

    const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

    #[test]
    fn only_who_names_html_first_prefers_it() {
        for (accept, is_page) in [
            (BROWSER, true),
            ("text/html", true),
            ("*/*", false),
            ("application/json", false),
            ("application/json, text/html;q=0.9", false),
            ("text/html;q=0", false),
            ("text/html;q=odd", false),
            ("", false),
        ] {
            assert_eq!(prefers_html(accept), is_page, "{accept:?}");
        }
    }

    #[test]
    fn what_a_script_asks_for_is_no_navigation() {
        let asked = |mode: &str| {
            let request = TestRequest::get().insert_header(("Accept", BROWSER));
            request
                .insert_header(("Sec-Fetch-Mode", mode))
                .to_http_request()
        };
        assert!(is_navigation(&asked("navigate")));
        assert!(!is_navigation(&asked("cors")));
        let put = TestRequest::put().insert_header(("Accept", BROWSER));
        assert!(!is_navigation(&put.to_http_request()));
    }

    #[test]
    fn nobody_joins_who_did_not_ask_for_the_page_now() {
        assert!(may_join(&TestRequest::get().to_http_request()));
        let ahead = TestRequest::get().insert_header(("Sec-Purpose", "prefetch;prerender"));
        assert!(!may_join(&ahead.to_http_request()));
        assert!(!may_join(&TestRequest::post().to_http_request()));
    }

    #[test]
    fn a_form_goes_on_where_it_was_sent_from_if_that_is_here() {
        let sent = |from: &str| {
            let request = TestRequest::post().insert_header(("Host", "shop.example"));
            form_page(&request.insert_header(("Referer", from)).to_http_request())
        };
        assert_eq!(sent("https://shop.example/a?b").as_deref(), Some("/a?b"));
        assert_eq!(sent("https://evil.example/a").as_deref(), Some("/"));
        assert_eq!(form_page(&TestRequest::get().to_http_request()), None);
    }
}
