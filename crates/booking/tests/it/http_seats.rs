//! What is shown: seats with a version that changes when they do, and lists page by page.

use reqwest::Method;
use serde_json::json;

use crate::test_app::{TestApp, answer};

#[tokio::test(flavor = "multi_thread")]
async fn seats_have_a_version_and_are_not_sent_again_while_it_stands() {
    let app = TestApp::open().await;
    let (visitor, path) = (app.visitor(), app.seats_path());
    let seats = visitor.get(&path).await;
    assert_eq!(seats.body["items"].as_array().unwrap().len(), 50);
    assert_eq!(
        seats.body["items"][0],
        json!({ "number": 1, "grade": "VIP", "price": 150_000, "state": "available" })
    );
    let tag = seats.header("etag").expect("a version").to_owned();
    assert_eq!(
        tag,
        format!("\"{}\"", seats.body["version"].as_str().unwrap())
    );
    assert_eq!(seats.header("cache-control"), Some("private, no-cache"));

    let ask = async |tags: &str| {
        answer(
            visitor
                .request(Method::GET, &path)
                .header("If-None-Match", tags),
        )
        .await
    };
    for same in [
        tag.clone(),
        format!("W/{tag}"),
        format!("\"x\", {tag}"),
        "*".to_owned(),
    ] {
        let again = ask(&same).await;
        assert_eq!(
            (again.status, again.header("etag")),
            (304, Some(tag.as_str())),
            "{same}"
        );
        assert!(again.body.is_null());
    }
    assert_eq!(ask("\"x\"").await.status, 200);

    let held = app.visitor().hold(&[1]).await;
    let changed = ask(&tag).await;
    assert_eq!(
        (changed.status, &changed.body["items"][0]["state"]),
        (200, &json!("held"))
    );
    assert_ne!(
        changed.header("etag"),
        Some(tag.as_str()),
        "of reservation {held}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_seats_that_are_free_are_shown_when_asked_for() {
    let app = TestApp::open().await;
    let visitor = app.visitor();
    app.visitor().buy(&[1]).await;
    app.visitor().hold(&[2]).await;
    let all = visitor.get(&app.seats_path()).await;
    let states: Vec<_> = (0..3)
        .map(|index| all.body["items"][index]["state"].as_str().unwrap())
        .collect();
    assert_eq!(states, ["sold", "held", "available"]);
    let free = visitor
        .get(&format!("{}?state=available", app.seats_path()))
        .await;
    assert_eq!(
        (
            free.body["items"].as_array().unwrap().len(),
            &free.body["items"][0]["number"]
        ),
        (48, &json!(3))
    );
    assert_ne!(free.body["version"], all.body["version"]);
    let schedules = visitor
        .get(&format!(
            "/api/v1/concerts/{}/schedules",
            app.fixture.concert_id
        ))
        .await;
    assert_eq!(schedules.body["items"][0]["seatsAvailable"], 48);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seat_that_has_just_been_paid_is_refused_as_sold_and_one_that_was_refunded_is_free() {
    let app = TestApp::open().await;
    let (buyer, other) = (app.visitor(), app.visitor());
    let payment = buyer.buy(&[1, 2]).await;
    let refused = other.reserve(&[1, 2, 3]).await;
    let sold = |number| json!({ "seatNumber": number, "reason": "sold" });
    assert_eq!(refused.body["conflicts"], json!([sold(1), sold(2)]));
    let refunds = format!("/api/v1/payments/{payment}/refunds");
    let refunded = buyer.post_once(&refunds, "k", &json!({})).await;
    assert_eq!(refunded.status, 201, "{refunded:?}");
    other.hold(&[1, 2]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_read_page_by_page_newest_first() {
    let app = TestApp::open().await;
    let visitor = app.visitor();
    for amount in 1..=5 {
        visitor.charge(amount).await;
    }
    let path = format!("/api/v1/users/{}/ledger?limit=2", visitor.sub);
    let (mut amounts, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = visitor.get(&format!("{path}{cursor}")).await;
        let items = page.body["items"].as_array().unwrap().clone();
        assert!(items.len() <= 2);
        amounts.extend(items.iter().map(|item| item["amount"].as_i64().unwrap()));
        match page.body["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(amounts, [5, 4, 3, 2, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_is_answered_where_a_get_is() {
    let app = TestApp::open().await;
    let head = answer(app.visitor().request(Method::HEAD, &app.seats_path())).await;
    assert_eq!(head.status, 200);
    assert!(head.header("etag").is_some() && head.body.is_null());
}
