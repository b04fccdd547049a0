//! Owns where an answer sends its reader: an address of the service behind is no address of theirs.

use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};

use super::head;
use super::upstream::{HostRule, Upstream};

/// Rewrites `Location` and `Content-Location` where they name the service's own address.
pub fn rewrite(
    answer: &mut HttpResponse,
    upstream: &Upstream,
    request: &HttpRequest,
    trusted_hops: usize,
) {
    for name in [header::LOCATION, header::CONTENT_LOCATION] {
        let Some(given) = answer.headers().get(&name).and_then(|it| it.to_str().ok()) else {
            continue;
        };
        let Some(path) = own_path(given, upstream) else {
            continue;
        };
        let Some(host) = head::host(request, trusted_hops) else {
            continue;
        };
        let public = format!("{}://{host}{path}", head::scheme(request, trusted_hops));
        if let Ok(public) = HeaderValue::from_str(&public) {
            answer.headers_mut().insert(name, public);
        }
    }
}

/// The path of an address that is one of the service's.
fn own_path<'a>(given: &'a str, upstream: &Upstream) -> Option<&'a str> {
    let rest = ["http://", "https://", "//"];
    let rest = rest.iter().find_map(|it| given.strip_prefix(it))?;
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let is_literal = match &upstream.rules.host {
        HostRule::Literal(host) => host == authority,
        HostRule::Keep | HostRule::Upstream => false,
    };
    (is_literal || upstream.is_at(authority)).then_some(if path.is_empty() { "/" } else { path })
}
