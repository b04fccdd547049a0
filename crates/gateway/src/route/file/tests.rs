//! What is understood, and what is refused with its line and reason.

use std::time::Duration;

use super::{Access, read};
use crate::config::DEFAULT_ACCESS;
use crate::proxy::Trust;
use crate::proxy::upstream::{HostRule, Upstream, UpstreamRules};
use crate::route::{Asked, Found, QueueRule, Readings, RouteTable};
use crate::token::Level;

fn defaults() -> UpstreamRules {
    UpstreamRules {
        host: HostRule::Keep,
        connect_timeout: Duration::from_secs(1),
        answer_timeout: Some(Duration::from_secs(10)),
        idle_timeout: None,
        max_body_bytes: Some(65_536),
        upload_pause: Duration::from_secs(10),
        connections: 256,
        trust: Trust::system(),
        check: None,
    }
}

fn short(text: &str) -> RouteTable {
    let origins = "http://shop".parse().expect("an address");
    let access: Access = text.parse().expect(text);
    access.table(&Upstream::new("shop", origins, defaults()))
}

fn find(table: &RouteTable, method: &str, host: &str, path: &str) -> Option<Found> {
    let path = Readings::of(path).expect("a path");
    let host = Some(host);
    table.find(Asked {
        host,
        method,
        path: &path,
    })
}

fn level(table: &RouteTable, method: &str, path: &str) -> Level {
    find(table, method, "shop", path).expect("found").level
}

#[test]
fn the_default_table_is_the_contract_of_booking() {
    let table = short(DEFAULT_ACCESS);
    for (method, path, wanted) in [
        ("GET", "/api/v1/concerts", Level::Public),
        ("HEAD", "/api/v1/concerts", Level::Public),
        ("GET", "/api/v1/concerts/1", Level::Public),
        ("POST", "/api/v1/concerts", Level::Active),
        ("GET", "/api/v1/concerts/", Level::Active),
        ("GET", "/api/v1/concerts/1/schedules", Level::Active),
        ("GET", "/api/v1/schedules/1/seats", Level::Active),
        ("GET", "/api/v1/users/1/balance", Level::Token),
        ("POST", "/api/v1/admin/concerts", Level::Operator),
        ("GET", "/api/v1/adminx", Level::Active),
        ("POST", "/api/v1/payments", Level::Token),
        ("POST", "/api/v1/reservations", Level::Active),
        ("GET", "/api/v1/reservations", Level::Token),
        ("DELETE", "/api/v1/reservations/1", Level::Token),
        ("POST", "/api/v1/reservations/1/extensions", Level::Token),
        ("GET", "/api/v1/integrity", Level::Public),
        ("POST", "/api/v1/provider/events", Level::Public),
        ("GET", "/", Level::Active),
    ] {
        assert_eq!(level(&table, method, path), wanted, "{method} {path}");
    }
}

#[test]
fn a_path_that_no_rule_fits_needs_an_active_visitor() {
    assert_eq!(level(&short("public GET /a"), "GET", "/b"), Level::Active);
}

#[test]
fn the_strictest_reading_of_a_path_holds() {
    let table = short("operator /admin/**; public /api/**; public /**");
    for path in [
        "/admin/",
        "//admin",
        "/%61dmin",
        "/admin;x/keys",
        "/\\admin",
        "/%5cadmin/keys",
        "/admin%2Fkeys",
    ] {
        assert_eq!(level(&table, "GET", path), Level::Operator, "{path}");
    }
    for path in ["/api//seats", "/api/caf%c3%a9", "/api/a%2Fb", "/%61pi/x"] {
        assert_eq!(level(&table, "GET", path), Level::Public, "{path}");
    }
}

#[test]
fn a_rule_of_the_short_form_that_cannot_be_understood_is_named() {
    for odd in [
        "open /a",
        "public",
        "public get /a",
        "public FETCH /a",
        "public HEAD /a",
        "public GET a",
        "public /**/a",
        "public GET /a b",
    ] {
        let refused = odd.parse::<Access>().expect_err(odd);
        assert!(refused.to_string().contains(odd), "{refused}");
    }
    let behind = "public /**; active /a"
        .parse::<Access>()
        .expect_err("behind");
    assert!(behind.to_string().contains("can never decide"), "{behind}");
}

const FILE: &str = r#"
[upstreams.shop]
addresses = ["http://a:1", "http://b:2"]
answerTimeoutMs = "none"
maxBodyBytes = 1000

[upstreams.files]
addresses = ["http://files"]
host = "files.example"

[[routes]]
host = "Files.example"
path = "/**"
level = "public"
upstream = "files"

[[routes]]
path = "/api/{queue}/**"
methods = ["GET"]
level = "active"
upstream = "shop"
stripPrefix = "/api"

[[routes]]
path = "/Vip/**"
ignoreCase = true
level = "active"
queue = "vip"
upstream = "shop"
"#;

#[test]
fn a_file_says_where_each_path_goes_and_what_it_needs() {
    let table = read(FILE, &defaults()).expect("sound");
    let found = find(&table, "GET", "files.example:8080", "/x").expect("found");
    assert_eq!(
        (found.level, &*found.upstream.name),
        (Level::Public, "files")
    );
    let found = find(&table, "GET", "shop", "/api/main/seats").expect("found");
    assert_eq!(found.queue, QueueRule::One("main".parse().expect("a name")));
    assert_eq!((found.strip, &*found.pattern), (1, "/api/{queue}/**"));
    assert_eq!(found.upstream.rules.answer_timeout, None);
    assert_eq!(found.upstream.rules.max_body_bytes, Some(1_000));
    let found = find(&table, "GET", "shop", "/api/No%20queue/x").expect("found");
    assert_eq!(found.queue, QueueRule::Odd);
    let found = find(&table, "POST", "shop", "/vIP/x").expect("found");
    assert_eq!(found.queue, QueueRule::One("vip".parse().expect("a name")));
    assert!(
        find(&table, "POST", "shop", "/api/main/seats").is_none(),
        "a forgotten route"
    );
}

/// A file with one upstream and these routes.
fn routes(text: &str) -> String {
    format!("[upstreams.a]\naddresses = [\"http://a\"]\n{text}")
}

fn check_refused(text: &str, line: u32, reason: &str) {
    let refused = read(text, &defaults()).expect_err(text).to_string();
    assert!(
        refused.contains(&format!("line {line}:")),
        "{text}\n{refused}"
    );
    assert!(refused.contains(reason), "{text}\n{refused}");
}

#[test]
fn an_upstream_that_cannot_be_used_is_refused_with_line_and_reason() {
    for (text, line, reason) in [
        (
            "[upstreams.a]\naddresses = [\"ftp://a\"]".to_owned(),
            1,
            "must be http://",
        ),
        (
            "[upstreams.a]\naddresses = [\"http://a\"]\nhsot = 1".to_owned(),
            3,
            "unknown field",
        ),
        (
            "[upstreams.a]\naddresses = [\"http://a\"]\nconnections = 0".to_owned(),
            1,
            "at least 1",
        ),
        (
            "[upstreams.a]\naddresses = [\"http://a\"]\nanswerTimeoutMs = \"x\"".to_owned(),
            1,
            "none",
        ),
        (
            routes("[[routes]]\npath = \"/a\"\nlevel = \"opne\""),
            3,
            "must be public",
        ),
        (
            routes("[[routes]]\npath = \"/a/*\"\nlevel = \"active\""),
            3,
            "no other *",
        ),
        (
            routes("[[routes]]\npath = \"/a/../b\"\nlevel = \"active\""),
            3,
            "dot segment",
        ),
        (
            routes("[[routes]]\npath = \"/café\"\nlevel = \"active\""),
            3,
            "escaped",
        ),
        (
            routes("[[routes]]\npath = \"/a\"\nlevel = \"active\"\nmethods = [\"FETCH\"]"),
            3,
            "GET, POST",
        ),
    ] {
        check_refused(&text, line, reason);
    }
}

#[test]
fn a_route_that_cannot_be_used_is_refused_with_line_and_reason() {
    for (text, line, reason) in [
        (
            routes("[[routes]]\npath = \"/a\"\nlevel = \"active\"\nupstream = \"b\""),
            3,
            "not one of",
        ),
        (
            routes("[[routes]]\npath = \"/a\"\nlevel = \"active\"\nqueue = \"No\""),
            3,
            "queue",
        ),
        (
            routes("[[routes]]\npath = \"/{queue}\"\nlevel = \"active\"\nqueue = \"a\""),
            3,
            "already",
        ),
        (
            routes("[[routes]]\npath = \"/a\"\nlevel = \"active\"\nstripPrefix = \"/b\""),
            3,
            "stripPrefix",
        ),
        (
            routes("[[routes]]\npath = \"/a\"\nlevel = \"active\"\nhost = \"a:80\""),
            3,
            "without a port",
        ),
        (
            routes(
                "[[routes]]\npath = \"/**\"\nlevel = \"active\"\n[[routes]]\npath = \"/a\"\nlevel = \"public\"",
            ),
            6,
            "can never decide",
        ),
        ("routes = 1".to_owned(), 1, "invalid type"),
        ("[".to_owned(), 1, ""),
        (String::new(), 1, "no upstream"),
    ] {
        check_refused(&text, line, reason);
    }
}
