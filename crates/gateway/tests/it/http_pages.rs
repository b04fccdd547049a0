//! What browsers get over HTTP: the waiting page in place of a refusal, its files, its forms.

use std::collections::BTreeMap;

use reqwest::redirect::Policy;
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::json;
use testbed::Scratch;

use crate::test_app::{SECRET, TestApp, said, token, until};

const GATED: &str = "/api/v1/seats?page=2";
const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

/// A browser that follows nothing by itself and keeps no cookies.
fn browser(app: &TestApp, method: Method, path: &str) -> RequestBuilder {
    let client = Client::builder().redirect(Policy::none()).build().unwrap();
    let request = client.request(method, format!("{}{path}", app.url));
    request.header("Accept", BROWSER)
}

fn cookies(answer: &Response) -> Vec<String> {
    let all = answer.headers().get_all("set-cookie").iter();
    all.map(|it| it.to_str().unwrap().to_owned()).collect()
}

/// The cookies of an answer as the next request carries them.
fn kept(answer: &Response) -> String {
    let pair = |cookie: String| cookie.split(';').next().unwrap().to_owned();
    cookies(answer)
        .into_iter()
        .map(pair)
        .collect::<Vec<_>>()
        .join("; ")
}

async fn waiting(app: &TestApp) -> u64 {
    let mut redis = crate::fixture::plain(&app.redis.url()).await;
    let mut keys = redis::cmd("KEYS");
    let keys: Vec<String> = keys
        .arg("*{main}*waiting*")
        .query_async(&mut redis)
        .await
        .unwrap();
    let mut all = 0;
    for key in keys {
        let mut count = redis::cmd("ZCARD");
        all += count
            .arg(key)
            .query_async::<u64>(&mut redis)
            .await
            .unwrap_or(0);
    }
    all
}

#[actix_web::test]
async fn a_browser_with_room_inside_passes_at_once_and_keeps_its_place() {
    let app = TestApp::open().await;
    let answer = browser(&app, Method::GET, GATED).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let cookie = kept(&answer);
    assert!(cookie.contains("usher_token_main="), "{cookie}");
    let seen: serde_json::Value = answer.json().await.unwrap();
    assert_eq!(
        seen["query"], "page=2",
        "what was asked for, of the service behind"
    );
    assert!(
        seen["headers"]["authorization"].is_null(),
        "the token is not for it"
    );
    let again = browser(&app, Method::GET, GATED).header("Cookie", cookie);
    let again = again.send().await.unwrap();
    assert_eq!(again.status(), 200);
    assert!(
        !kept(&again).contains("usher_token_main"),
        "no second place"
    );
    app.close().await;
}

#[actix_web::test]
async fn a_browser_that_must_wait_gets_the_page_and_programs_keep_their_problems() {
    let app = TestApp::with(&[("GATEWAY_QUEUEING_STATUS", "202")]).await;
    app.rule(json!({ "maxActive": 1, "message": "<b>Soon</b>" }))
        .await;
    let _inside = app.join().await;
    let answer = browser(&app, Method::GET, GATED).send().await.unwrap();
    assert_eq!(answer.status(), 202);
    let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("cache-control"), "no-store");
    assert_eq!(header("x-robots-tag"), "noindex");
    assert!(header("content-security-policy").starts_with("default-src 'self'"));
    assert!(header("retry-after").parse::<u64>().unwrap() >= 1);
    let cookie = kept(&answer);
    let page = answer.text().await.unwrap();
    for part in [
        "data-state=\"line\"",
        "You are next",
        "http-equiv=\"refresh\"",
        "&lt;b&gt;Soon",
        "/tokens/me/leave?to=/api/v1/seats%3Fpage%3D2",
    ] {
        assert!(page.contains(part), "no {part} in {page}");
    }
    assert!(!page.contains("<b>Soon"), "an operator's text is text");
    let korean = browser(&app, Method::GET, GATED).header("Cookie", &cookie);
    let korean = korean
        .header("Accept-Language", "ko-KR,en;q=0.5")
        .send()
        .await
        .unwrap();
    assert!(korean.text().await.unwrap().contains("lang=\"ko\""));
    let program = app.get(GATED).header("Cookie", &cookie);
    assert_eq!(said(program).await.1["code"], "NOT_ADMITTED");
    let script = browser(&app, Method::GET, GATED).header("Sec-Fetch-Mode", "cors");
    assert_eq!(said(script).await.1["code"], "TOKEN_MISSING");
    app.close().await;
}

#[actix_web::test]
async fn the_bar_of_a_page_that_loads_itself_again_never_goes_back() {
    let app = TestApp::open().await;
    app.rule(json!({ "maxActive": 1 })).await;
    let _inside = app.join().await;
    let mut before = Vec::new();
    for _ in 0..4 {
        before.push(app.join().await);
    }
    let mut jar = BTreeMap::new();
    // What the bar shows on the next page of one browser, when so many are ahead.
    let mut bar = async |ahead: &str| {
        let mut shown = String::new();
        until(async || {
            let pairs = jar.iter().map(|(name, value)| format!("{name}={value}"));
            let cookies = pairs.collect::<Vec<_>>().join("; ");
            let page = browser(&app, Method::GET, GATED).header("Cookie", cookies);
            let page = page.send().await.unwrap();
            let new = kept(&page);
            let new = new.split("; ").filter_map(|it| it.split_once('='));
            jar.extend(new.map(|(name, value)| (name.to_owned(), value.to_owned())));
            let page = page.text().await.unwrap();
            let value = page.split("<progress max=\"100\" value=\"").nth(1);
            shown = value
                .unwrap_or_default()
                .chars()
                .take_while(char::is_ascii_digit)
                .collect();
            page.contains(ahead)
        })
        .await;
        shown
    };
    assert_eq!(bar("4 people are ahead of you").await, "2");
    for place in &before[2..] {
        app.persist_leave(place).await;
    }
    assert_eq!(bar("2 people are ahead of you").await, "50");
    let mut redis = crate::fixture::plain(&app.redis.url()).await;
    let flush = redis::cmd("FLUSHALL").exec_async(&mut redis).await;
    flush.unwrap();
    assert_eq!(bar("You are next").await, "100");
    for place in &before[..2] {
        until(async || app.poll(place).await.1["state"] == "waiting").await;
    }
    assert_eq!(bar("2 people are ahead of you").await, "100");
    app.close().await;
}

#[actix_web::test]
async fn only_a_page_that_is_asked_for_now_joins() {
    let app = TestApp::open().await;
    app.rule(json!({ "state": "paused" })).await;
    for request in [
        browser(&app, Method::HEAD, GATED),
        browser(&app, Method::GET, GATED).header("Sec-Purpose", "prefetch"),
        browser(&app, Method::POST, GATED),
    ] {
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(kept(&answer), "", "no place");
    }
    assert_eq!(waiting(&app).await, 0);
    let answer = browser(&app, Method::GET, GATED).send().await.unwrap();
    assert!(kept(&answer).contains("usher_token_main"));
    assert_eq!(waiting(&app).await, 1);
    app.close().await;
}

#[actix_web::test]
async fn a_visit_that_is_over_is_told_and_begins_again_as_the_same_visitor() {
    let app = TestApp::open().await;
    app.rule(json!({ "maxActive": 1 })).await;
    let answer = browser(&app, Method::GET, GATED).send().await.unwrap();
    let cookie = kept(&answer);
    let leave = "/api/v1/queues/main/tokens/me/leave?to=/api/v1/seats";
    let left = browser(&app, Method::POST, leave).header("Cookie", &cookie);
    let left = left.send().await.unwrap();
    assert_eq!(left.status(), 303);
    let to = left.headers()["location"].to_str().unwrap().to_owned();
    assert_eq!(to, "/usher/left?queue=main&to=/api/v1/seats");
    assert_keeps_a_token(&left);
    let page = browser(&app, Method::GET, &to).send().await.unwrap();
    assert!(page.text().await.unwrap().contains("data-state=\"left\""));
    let over = browser(&app, Method::GET, GATED).header("Cookie", &cookie);
    let over = over.send().await.unwrap().text().await.unwrap();
    assert!(over.contains("data-state=\"expired\"") && over.contains("/usher/join?queue=main"));
    let again = browser(
        &app,
        Method::POST,
        "/usher/join?queue=main&to=//evil.example",
    );
    let again = again.header("Cookie", &cookie).send().await.unwrap();
    assert_eq!(again.status(), 303);
    assert_eq!(again.headers()["location"], "/", "never to another site");
    assert!(kept(&again).contains("usher_token_main"));
    app.close().await;
}

/// The one cookie of this answer is a token of `main` that is good for a day.
fn assert_keeps_a_token(answer: &Response) {
    let set = cookies(answer);
    let is_token = |it: &str| it.starts_with("usher_token_main=ey") && it.contains("Max-Age=86400");
    assert!(set.len() == 1 && is_token(&set[0]), "{set:?}");
}

#[actix_web::test]
async fn who_leaves_by_the_form_gets_to_the_start_page_of_the_organiser_where_there_is_one() {
    let app = TestApp::open().await;
    let leave = "/api/v1/queues/main/tokens/me/leave?to=/api/v1/seats";
    for (home, to, form) in [
        (
            json!("https://shop.example/start?a=b"),
            "https://shop.example/start?a=b",
            "'self' https://shop.example;",
        ),
        (json!("/start"), "/start", "'self';"),
        (
            json!(null),
            "/usher/left?queue=main&to=/api/v1/seats",
            "'self';",
        ),
    ] {
        app.rule(json!({ "state": "paused", "homeUrl": home }))
            .await;
        let page = browser(&app, Method::GET, GATED).send().await.unwrap();
        let policy = page.headers()["content-security-policy"].to_str().unwrap();
        assert!(policy.contains(&format!("form-action {form}")), "{policy}");
        let left = browser(&app, Method::POST, leave).header("Cookie", kept(&page));
        let left = left.send().await.unwrap();
        assert_eq!(left.status(), 303);
        assert_eq!(left.headers()["location"], to);
        assert_keeps_a_token(&left);
    }
    app.close().await;
}

#[actix_web::test]
async fn a_full_line_and_a_closed_one_keep_their_status_and_are_explained() {
    let app = TestApp::open().await;
    app.rule(json!({ "maxActive": 1, "maxWaiting": 1 })).await;
    let _inside = app.join().await;
    let _waiting = app.join().await;
    let full = browser(&app, Method::GET, GATED).send().await.unwrap();
    assert_eq!(full.status(), 503);
    assert!(full.headers().contains_key("retry-after"));
    assert!(full.text().await.unwrap().contains("data-state=\"full\""));
    app.rule(json!({ "state": "closed" })).await;
    let closed = browser(&app, Method::GET, GATED).send().await.unwrap();
    assert_eq!(closed.status(), 403);
    assert!(
        closed
            .text()
            .await
            .unwrap()
            .contains("data-state=\"closed\"")
    );
    app.close().await;
}

#[actix_web::test]
async fn where_an_identity_is_needed_the_page_leads_to_it_and_nobody_joins() {
    let app = TestApp::with(&[
        ("GATEWAY_IDENTITY", "jwt"),
        ("GATEWAY_IDENTITY_SECRET", SECRET),
        (
            "GATEWAY_LOGIN_URL",
            "https://id.example/login?back={return}",
        ),
    ])
    .await;
    let answer = browser(&app, Method::GET, GATED).send().await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), kept(&answer).as_str()),
        (200, "")
    );
    let page = answer.text().await.unwrap();
    let host = app.url.strip_prefix("http://").unwrap().replace(':', "%3A");
    let back = format!("https://id.example/login?back=http%3A//{host}/api/v1/seats%3Fpage%3D2");
    assert!(page.contains(&back), "{page}");
    app.close().await;
}

#[actix_web::test]
async fn files_are_kept_for_ever_under_their_digest_and_asked_for_again_elsewhere() {
    let app = TestApp::open().await;
    app.rule(json!({
        "state": "paused", "title": "Aurora", "accentColor": "#1a7f5a",
        "logoUrl": "https://cdn.example/logo.svg",
    }))
    .await;
    let page = browser(&app, Method::GET, GATED).send().await.unwrap();
    let policy = page.headers()["content-security-policy"]
        .to_str()
        .unwrap()
        .to_owned();
    assert!(
        policy.contains("img-src 'self' https://cdn.example;"),
        "{policy}"
    );
    let page = page.text().await.unwrap();
    assert!(page.contains("Aurora") && page.contains("/usher/accent/1a7f5a.css"));
    let script = page
        .split("src=\"")
        .find(|it| it.contains("waiting.js"))
        .unwrap();
    let script = script.split('"').next().unwrap();
    let file = app
        .get(script)
        .header("Accept-Encoding", "gzip")
        .send()
        .await
        .unwrap();
    assert_eq!(file.status(), 200);
    assert_eq!(
        file.headers()["cache-control"],
        "public, max-age=31536000, immutable"
    );
    assert_eq!(file.headers()["content-encoding"], "gzip");
    let tag = file.headers()["etag"].clone();
    let again = app.get(script).header("Accept-Encoding", "gzip");
    let again = again.header("If-None-Match", tag).send().await.unwrap();
    assert_eq!(again.status(), 304);
    let client = app.get("/usher.js").send().await.unwrap();
    assert_eq!(client.headers()["cache-control"], "public, no-cache");
    assert_eq!(
        client.headers()["content-type"],
        "text/javascript; charset=utf-8"
    );
    let other = app
        .get("/usher/another-release/usher.js")
        .send()
        .await
        .unwrap();
    assert_eq!(other.headers()["cache-control"], "public, no-cache");
    assert_eq!(
        app.get("/usher/x/none.js").send().await.unwrap().status(),
        404
    );
    let console = app.get("/console/").send().await.unwrap();
    assert_eq!(console.status(), 200);
    app.close().await;
}

#[actix_web::test]
async fn where_cookies_travel_from_other_sites_only_known_pages_act_by_them() {
    let app = TestApp::with(&[
        ("GATEWAY_COOKIE_SECURE", "true"),
        ("GATEWAY_COOKIE_SAMESITE", "none"),
        ("GATEWAY_CORS_ORIGINS", "https://shop.example"),
    ])
    .await;
    let place = app.join().await;
    let leave = || {
        let request = app.delete("/api/v1/queues/main/tokens/me");
        request.header("Cookie", format!("usher_token_main={}", token(&place)))
    };
    let (status, refusal) = said(leave().header("Origin", "https://evil.example")).await;
    assert_eq!(
        (status.as_u16(), refusal["code"].as_str()),
        (403, Some("ORIGIN_REFUSED"))
    );
    assert_eq!(
        said(leave()).await.0,
        403,
        "a page without an Origin is not known"
    );
    let (status, _) = said(leave().header("Origin", "https://shop.example")).await;
    assert_eq!(status, 204);
    app.close().await;
}

#[actix_web::test]
async fn a_page_of_ones_own_takes_the_place_of_ours_and_waiting_may_look_like_a_failure() {
    let scratch = Scratch::new().unwrap();
    let page = "<h1>{{title}}</h1><link href={{assets}}/own.css>{{#message}}<i>{{message}}</i>{{/message}}";
    std::fs::write(scratch.path().join("waiting.html"), page).unwrap();
    std::fs::write(scratch.path().join("own.css"), "h1{color:red}").unwrap();
    let app = TestApp::with(&[
        ("GATEWAY_PAGES", scratch.path().to_str().unwrap()),
        ("GATEWAY_QUEUEING_STATUS", "429"),
    ])
    .await;
    app.rule(json!({ "state": "paused", "message": "<Soon>" }))
        .await;
    let answer = browser(&app, Method::GET, GATED).send().await.unwrap();
    assert_eq!(answer.status(), 429);
    let page = answer.text().await.unwrap();
    let (before, rest) = page.split_once("<link href=").unwrap();
    let (style, after) = rest.split_once('>').unwrap();
    assert_eq!(before, "<h1>The line stands still</h1>");
    assert_eq!(after, "<i>&lt;Soon&gt;</i>");
    let style = app.get(style).send().await.unwrap();
    assert_eq!(style.headers()["content-type"], "text/css; charset=utf-8");
    assert_eq!(style.text().await.unwrap(), "h1{color:red}");
    app.close().await;
}

#[actix_web::test]
async fn where_a_route_names_no_queue_a_browser_joins_the_default_one() {
    let app = TestApp::with(&[("GATEWAY_DEFAULT_QUEUE", "side")]).await;
    let made = app.put("/api/v1/queues/side", &json!({ "state": "paused" }));
    assert_eq!(said(made).await.0, 201);
    let answer = browser(&app, Method::GET, GATED).send().await.unwrap();
    assert!(kept(&answer).contains("usher_token_side="));
    let page = answer.text().await.unwrap();
    assert!(page.contains("data-queue=\"side\"") && page.contains("data-state=\"paused\""));
    app.close().await;
}
