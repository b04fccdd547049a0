//! Lists that many visitors read: loaded once for all, old for a moment, never what a sale is decided by.

use std::io::Read as _;
use std::time::Duration;

use chrono::TimeDelta;
use flate2::read::GzDecoder;
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::fixture::layout;
use crate::test_app::{Caller, TestApp, answer};

/// An age that no test reaches by itself: only a clock that is moved makes lists old.
const HOUR: Duration = Duration::from_secs(3_600);
const KEPT: (&str, &str) = ("BOOKING_CACHE_MS", "10000");

async fn states(visitor: &Caller<'_>) -> Vec<String> {
    let seats = visitor.get(&visitor.app.seats_path()).await;
    assert_eq!(seats.status, 200, "{seats:?}");
    let items = seats.body["items"].as_array().unwrap().iter();
    items
        .map(|seat| seat["state"].as_str().unwrap().to_owned())
        .collect()
}

async fn available(visitor: &Caller<'_>) -> i64 {
    let path = format!(
        "/api/v1/concerts/{}/schedules",
        visitor.app.fixture.concert_id
    );
    let dates = visitor.get(&path).await;
    dates.body["items"][0]["seatsAvailable"].as_i64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_this_instance_sells_shows_at_once_after_half_a_second_without_a_change() {
    let app = TestApp::with(&[KEPT]).await;
    let (reader, buyer) = (app.visitor(), app.visitor());
    let quiet = || app.clock.advance(Duration::from_millis(500));
    assert_eq!(
        (available(&reader).await, states(&reader).await.len()),
        (50, 50)
    );
    buyer.charge(1_000_000).await;
    let held = buyer.hold(&[1]).await;
    assert_eq!(
        (available(&reader).await, states(&reader).await[0].as_str()),
        (49, "held")
    );
    quiet();
    let paid = buyer.pay(&held, "k").await;
    assert_eq!(states(&reader).await[0], "sold");
    quiet();
    let refunds = format!("/api/v1/payments/{}/refunds", paid.id());
    buyer.post_once(&refunds, "k", &json!({})).await;
    assert_eq!(
        (available(&reader).await, states(&reader).await[0].as_str()),
        (50, "available")
    );
    quiet();
    let held = buyer.hold(&[2]).await;
    assert_eq!(
        (available(&reader).await, states(&reader).await[1].as_str()),
        (49, "held")
    );
    quiet();
    buyer.delete(&format!("/api/v1/reservations/{held}")).await;
    assert_eq!(
        (available(&reader).await, states(&reader).await[1].as_str()),
        (50, "available")
    );
    quiet();
    let dates = format!(
        "/api/v1/admin/concerts/{}/schedules",
        app.fixture.concert_id
    );
    app.operator()
        .post(&dates, &json!({ "startsAt": "2099-01-01T00:00:00Z" }))
        .await;
    let shown = reader.get(&dates.replace("/admin", "")).await;
    assert_eq!(shown.body["items"].as_array().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_date_that_changes_all_the_time_shows_its_changes_half_a_second_later() {
    let app = TestApp::with(&[KEPT]).await;
    let reader = app.visitor();
    for number in 1..=20 {
        app.visitor().hold(&[number]).await;
        let shown = available(&reader).await;
        assert!((50 - number..=50).contains(&shown), "{shown}");
    }
    app.clock.advance(Duration::from_millis(500));
    assert_eq!(available(&reader).await, 30);
    app.clock.advance(Duration::from_millis(500));
    let held = states(&reader).await;
    assert_eq!(held.iter().filter(|it| *it == "held").count(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_sell_shows_when_the_list_is_old_and_never_decides_a_sale() {
    let app = TestApp::with(&[KEPT]).await;
    let reader = app.visitor();
    assert_eq!(
        (available(&reader).await, states(&reader).await[0].as_str()),
        (50, "available")
    );
    app.fixture.reserve(Uuid::new_v4(), &[1]).await;
    assert_eq!(
        (available(&reader).await, states(&reader).await[0].as_str()),
        (50, "available")
    );
    let refused = reader.reserve(&[1]).await;
    assert_eq!(refused.refusal(), (409, "SEAT_TAKEN"), "whatever was shown");
    app.clock.advance(Duration::from_secs(10));
    assert_eq!(
        (available(&reader).await, states(&reader).await[0].as_str()),
        (49, "held")
    );
    app.clock.advance(HOUR);
    assert_eq!(states(&reader).await[0], "available", "the hold is over");
}

#[tokio::test(flavor = "multi_thread")]
async fn words_of_a_newer_instance_in_the_audit_log_keep_nobody_from_the_lists() {
    let app = TestApp::with(&[KEPT]).await;
    let reader = app.visitor();
    assert_eq!(available(&reader).await, 50);
    let newer = "INSERT INTO audit_log (entity, entity_id, action, actor, at, detail) \
        SELECT 'novelty', id, 'renewed', 'sweeper', NOW(6), '{}' FROM schedules";
    assert_eq!(app.fixture.raw(newer).await.expect("a row"), 1);
    app.fixture.reserve(Uuid::new_v4(), &[1]).await;
    app.clock.advance(Duration::from_secs(10));
    assert_eq!(
        (available(&reader).await, states(&reader).await[0].as_str()),
        (49, "held")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn dates_have_a_version_too_and_other_queues_do_not_see_them() {
    let app = TestApp::open().await;
    let visitor = app.visitor();
    let path = format!("/api/v1/concerts/{}/schedules", app.fixture.concert_id);
    for path in [path.clone(), format!("{path}?available=true")] {
        let first = visitor.get(&path).await;
        assert_eq!(
            (first.status, first.header("cache-control")),
            (200, Some("private, no-cache"))
        );
        let tag = first.header("etag").expect("a version").to_owned();
        let again = visitor
            .request(Method::GET, &path)
            .header("If-None-Match", tag);
        assert_eq!(answer(again).await.status, 304);
    }
    for path in [path, app.seats_path()] {
        let stranger = visitor.through("other").get(&path).await;
        assert_eq!(
            stranger.refusal(),
            (403, "QUEUE_MISMATCH"),
            "also from what is kept"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_counts_down_to_an_opening_and_keeps_its_version_where_all_is_open() {
    let app = TestApp::open().await;
    let visitor = app.visitor();
    let path = format!("/api/v1/concerts/{}/schedules", app.fixture.concert_id);
    let mut tags = Vec::new();
    for _ in 0..2 {
        let all_open = visitor.get(&path).await;
        tags.push(all_open.header("etag").unwrap().to_owned());
        app.clock.advance(Duration::from_secs(60));
    }
    assert_eq!(tags[0], tags[1]);

    let at = |hours| (app.clock.now() + TimeDelta::hours(hours)).to_rfc3339();
    let later = json!({ "startsAt": at(48), "salesOpenAt": at(1), "salesCloseAt": at(2) });
    let dates = path.replace("/api/v1/", "/api/v1/admin/");
    let added = app.operator().post(&dates, &later).await;
    let opens_in_s = async || {
        let listed = visitor.get(&path).await;
        let items = listed.body["items"].as_array().unwrap().clone();
        let date = items.iter().find(|it| it["id"] == added.body["id"]);
        let tag = listed.header("etag").unwrap().to_owned();
        (date.unwrap()["opensInSeconds"].as_i64().unwrap(), tag)
    };
    let (before, old) = opens_in_s().await;
    app.clock.advance(Duration::from_secs(60));
    let (after, new) = opens_in_s().await;
    assert!((60..120).contains(&(before - after)), "{before} {after}");
    assert_ne!(old, new);
    app.clock.advance(HOUR);
    assert_eq!(opens_in_s().await.0, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_list_is_older_than_its_age_whichever_instance_sold_and_whatever_was_read_meanwhile() {
    let seller = TestApp::with(&[KEPT]).await;
    let app = TestApp::on(seller.fixture.clone(), &[KEPT]).await;
    let (reader, buyer) = (app.visitor(), seller.visitor());
    assert_eq!(
        (available(&reader).await, states(&reader).await.len()),
        (50, 50)
    );
    app.clock.advance(Duration::from_secs(10));
    assert_eq!(available(&reader).await, 50);
    buyer.hold(&[1]).await;
    // Here the seats are looked up with what was read of the log before the sale.
    app.clock.advance(Duration::from_millis(500));
    states(&reader).await;
    // And now with what was read after it.
    app.clock.advance(Duration::from_millis(9_100));
    states(&reader).await;
    app.clock.advance(Duration::from_millis(500));
    assert_eq!(
        (available(&reader).await, states(&reader).await[0].as_str()),
        (49, "held")
    );
}

/// The same date with 1,350 seats, the largest venue that people sit in.
async fn large_venue() -> TestApp {
    let mut app = TestApp::open().await;
    let large = layout([("ALL", 100_000, 1..=1_350)]);
    app.fixture = app.fixture.schedule_with(|new| new.layout = large).await;
    app
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_answer_is_compressed_for_those_who_take_it() {
    let app = large_venue().await;
    let (visitor, path) = (app.visitor(), app.seats_path());
    let plain = visitor.get(&path).await;
    assert_eq!(plain.body["items"].as_array().unwrap().len(), 1_350);
    let get = || {
        visitor
            .request(Method::GET, &path)
            .header("Accept-Encoding", "gzip")
    };
    let sent = get().send().await.unwrap();
    let header = |name: &str| sent.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(
        (header("content-encoding").as_str(), header("vary").as_str()),
        ("gzip", "accept-encoding")
    );
    assert_eq!(header("content-type"), "application/json");
    let tag = header("etag");
    assert_ne!(
        Some(tag.as_str()),
        plain.header("etag"),
        "another representation"
    );
    assert_eq!(plain.header("vary"), Some("accept-encoding"));
    let bytes = sent.bytes().await.unwrap();
    let mut text = String::new();
    GzDecoder::new(bytes.as_ref())
        .read_to_string(&mut text)
        .unwrap();
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), plain.body);
    assert!(
        bytes.len() * 5 < text.len(),
        "{} of {}",
        bytes.len(),
        text.len()
    );
    let again = answer(get().header("If-None-Match", &tag)).await;
    assert_eq!(
        (again.status, again.header("etag")),
        (304, Some(tag.as_str()))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_venue_of_1350_seats_is_read_by_many_at_once() {
    let app = large_venue().await;
    app.visitor().get(&app.seats_path()).await;
    let (pass, url) = (
        app.visitor().pass(),
        format!("{}{}", app.base, app.seats_path()),
    );
    let read = async |_: usize| {
        let request = app.client.get(&url).header("X-Usher-Pass", &pass);
        let sent = request
            .header("Accept-Encoding", "gzip")
            .send()
            .await
            .unwrap();
        let status = sent.status().as_u16();
        sent.bytes().await.unwrap();
        status
    };
    for _ in 0..40 {
        let all = join_all((0..32).map(read)).await;
        assert!(all.iter().all(|status| *status == 200), "{all:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_is_shown_while_the_database_is_away() {
    let app = TestApp::with(&[KEPT]).await;
    let visitor = app.visitor();
    assert_eq!(states(&visitor).await.len(), 50);
    let away = "RENAME TABLE seats TO lost, audit_log TO lost_log";
    app.fixture.raw(away).await.unwrap();
    assert_eq!(states(&visitor).await.len(), 50);
    let other = format!("{}?state=available", app.seats_path());
    assert_eq!(visitor.get(&other).await.status, 200, "from the same look");
    app.clock.advance(Duration::from_secs(10));
    assert_eq!(visitor.get(&other).await.refusal(), (500, "INTERNAL"));
    let back = "RENAME TABLE lost TO seats, lost_log TO audit_log";
    app.fixture.raw(back).await.unwrap();
    assert_eq!(
        visitor.get(&other).await.status,
        200,
        "a failure is not kept"
    );
}
