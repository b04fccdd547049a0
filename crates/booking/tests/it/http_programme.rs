//! Concerts and dates that operators change while they are on sale.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::test_app::{Answer, Caller, TestApp, answer};

const DEADLINE: Duration = Duration::from_secs(60);

async fn patch(caller: &Caller<'_>, path: &str, tag: Option<&str>, body: &Value) -> Answer {
    let mut request = caller.request(Method::PATCH, path).json(body);
    if let Some(tag) = tag {
        request = request.header("If-Match", tag);
    }
    answer(request).await
}

fn concert_path(app: &TestApp) -> String {
    format!("/api/v1/admin/concerts/{}", app.fixture.concert_id)
}

fn date_path(app: &TestApp) -> String {
    format!("/api/v1/admin/schedules/{}", app.fixture.schedule_id)
}

fn dates_path(app: &TestApp) -> String {
    format!("/api/v1/concerts/{}/schedules", app.fixture.concert_id)
}

/// State and blocked reason of a seat as operators see it.
async fn seat(app: &TestApp, number: usize) -> Value {
    let seats = app
        .operator()
        .get(&format!("{}/seats", date_path(app)))
        .await;
    seats.body["items"][number - 1].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_operators_who_edit_the_same_version_one_is_told_to_read_again() {
    let app = TestApp::open().await;
    let operator = app.operator();
    for path in [concert_path(&app), date_path(&app)] {
        let read = operator.get(&path).await;
        let tag = read.header("etag").expect("a tag").to_owned();
        assert_eq!((read.status, tag.as_str()), (200, "\"1\""));
        let first = patch(&operator, &path, Some(&tag), &json!({ "hidden": false })).await;
        assert_eq!((first.status, first.header("etag")), (200, Some("\"2\"")));
        let second = patch(&operator, &path, Some(&tag), &json!({ "hidden": true })).await;
        assert_eq!(second.refusal(), (412, "PRECONDITION_FAILED"));
        let removed = answer(
            operator
                .request(Method::DELETE, &path)
                .header("If-Match", &tag),
        );
        assert_eq!(removed.await.refusal(), (412, "PRECONDITION_FAILED"));
        assert_eq!(operator.get(&path).await.body["hidden"], false);
        for fine in [Some("\"2\""), Some("*"), None] {
            let edited = patch(&operator, &path, fine, &json!({ "hidden": false })).await;
            assert_eq!(edited.status, 200, "{fine:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_concert_is_renamed_moved_to_another_queue_and_hidden() {
    let app = TestApp::open().await;
    let (operator, visitor) = (app.operator(), app.visitor());
    let public = format!("/api/v1/concerts/{}", app.fixture.concert_id);
    let changes = json!({ "title": "Days", "venue": null, "queue": "other" });
    let edited = patch(&operator, &concert_path(&app), None, &changes).await;
    assert_eq!(edited.status, 200, "{edited:?}");
    let shown = app.get(&public).await.body;
    assert_eq!(
        (&shown["title"], &shown["venue"], &shown["queue"]),
        (&json!("Days"), &Value::Null, &json!("other"))
    );
    let seats = app.seats_path();
    assert_eq!(visitor.get(&seats).await.refusal(), (403, "QUEUE_MISMATCH"));
    assert_eq!(visitor.through("other").get(&seats).await.status, 200);

    let hide = json!({ "hidden": true });
    patch(&operator, &concert_path(&app), None, &hide).await;
    assert_eq!(app.get(&public).await.refusal(), (404, "CONCERT_NOT_FOUND"));
    assert_eq!(app.get("/api/v1/concerts").await.body["items"], json!([]));
    let hidden = visitor.through("other").get(&seats).await;
    assert_eq!(hidden.refusal(), (404, "SCHEDULE_NOT_FOUND"));
    let wish = visitor.through("other").reserve(&[1]).await;
    assert_eq!(wish.refusal(), (404, "SCHEDULE_NOT_FOUND"));
    let listed = operator.get("/api/v1/admin/concerts").await.body;
    assert_eq!(listed["items"][0]["hidden"], true, "{listed}");
    for odd in [
        json!({ "title": null }),
        json!({ "title": "" }),
        json!({ "queue": "A b" }),
        json!({ "hidden": null }),
        json!({ "name": "x" }),
    ] {
        let refused = patch(&operator, &concert_path(&app), None, &odd).await;
        assert_eq!(refused.refusal(), (422, "BODY_INVALID"), "{odd}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_price_changes_for_new_holds_and_not_for_those_that_are_there() {
    let app = TestApp::open().await;
    let visitor = app.visitor();
    visitor.charge(1_000_000).await;
    let before = visitor.reserve(&[1]).await;
    let dearer = json!({ "prices": [{ "grade": "VIP", "price": 200_000 }] });
    let edited = patch(&app.operator(), &date_path(&app), None, &dearer).await;
    assert_eq!(edited.status, 200, "{edited:?}");
    let after = visitor.reserve(&[2]).await;
    assert_eq!(
        (&before.body["amount"], &after.body["amount"]),
        (&json!(150_000), &json!(200_000))
    );
    for (held, key) in [(before, "1"), (after, "2")] {
        assert_eq!(visitor.pay(&held.id(), key).await.status, 201);
    }
    assert_eq!(visitor.balance().await, 650_000);
    app.fixture.reconciled().await;
    let odd = json!({ "prices": [{ "grade": "BOX", "price": 1 }] });
    let refused = patch(&app.operator(), &date_path(&app), None, &odd).await;
    assert_eq!(refused.refusal(), (422, "GRADE_UNKNOWN"));
}

#[tokio::test(flavor = "multi_thread")]
async fn sales_are_moved_closed_and_never_made_senseless() {
    let app = TestApp::open().await;
    let (operator, visitor) = (app.operator(), app.visitor());
    let hold = visitor.hold(&[1]).await;
    let closed = operator
        .post(&format!("{}/closing", date_path(&app)), &json!({}))
        .await;
    assert_eq!(closed.status, 200, "{closed:?}");
    let again = operator
        .post(&format!("{}/closing", date_path(&app)), &json!({}))
        .await;
    assert_eq!(again.body["version"], closed.body["version"]);
    assert_eq!(visitor.reserve(&[2]).await.refusal(), (409, "SALES_CLOSED"));
    visitor.charge(1_000_000).await;
    assert_eq!(visitor.pay(&hold, "paid").await.status, 201);
    let listed = visitor
        .get(&format!("{}?available=true", dates_path(&app)))
        .await;
    assert_eq!(listed.body["items"], json!([]));

    let later =
        json!({ "salesCloseAt": "2098-01-01T00:00:00Z", "startsAt": "2099-01-01T00:00:00Z" });
    let moved = patch(&operator, &date_path(&app), None, &later).await;
    assert_eq!(moved.body["startsAt"], "2099-01-01T00:00:00.000Z");
    assert_eq!(visitor.reserve(&[2]).await.status, 201);
    let senseless = json!({ "startsAt": "2097-01-01T00:00:00Z" });
    let refused = patch(&operator, &date_path(&app), None, &senseless).await;
    assert_eq!(refused.refusal(), (422, "SALES_INVALID"));
}

#[tokio::test(flavor = "multi_thread")]
async fn blocked_seats_are_shown_as_such_and_cannot_be_had_until_they_are_released() {
    let app = TestApp::open().await;
    let (operator, visitor) = (app.operator(), app.visitor());
    let blocks = format!("{}/seats/blocks", date_path(&app));
    let releases = format!("{}/seats/releases", date_path(&app));
    let camera = json!({ "seatNumbers": [1, 2], "reason": "Camera stand" });
    assert_eq!(operator.post(&blocks, &camera).await.status, 204);
    let shown = visitor.get(&app.seats_path()).await.body;
    assert_eq!(shown["items"][0]["state"], "blocked", "{shown}");
    assert_eq!(seat(&app, 2).await["blockedReason"], "Camera stand");
    let refused = visitor.reserve(&[2, 3]).await;
    assert_eq!(refused.refusal(), (409, "SEAT_TAKEN"));
    assert_eq!(
        refused.body["conflicts"],
        json!([{ "seatNumber": 2, "reason": "blocked" }])
    );
    let best = json!({ "scheduleId": app.fixture.schedule_id, "count": 1 });
    let best = visitor.post("/api/v1/reservations", &best).await;
    assert_eq!(best.body["seats"][0]["number"], 3);

    let taken = json!({ "seatNumbers": [3, 4], "reason": "No" });
    let refused = operator.post(&blocks, &taken).await;
    assert_eq!(
        (refused.refusal(), &refused.body["conflicts"]),
        (
            (409, "SEAT_TAKEN"),
            &json!([{ "seatNumber": 3, "reason": "held" }])
        )
    );
    assert_eq!(seat(&app, 4).await["state"], "available");
    let other = json!({ "seatNumbers": [1], "reason": "Broken" });
    assert_eq!(operator.post(&blocks, &other).await.status, 204);
    assert_eq!(seat(&app, 1).await["blockedReason"], "Broken");
    let dates = operator
        .get(&format!("{}/schedules", concert_path(&app)))
        .await;
    assert_eq!(
        dates.body["items"][0]["seats"],
        json!({ "available": 47, "held": 1, "sold": 0, "blocked": 2 })
    );

    let back = operator
        .post(&releases, &json!({ "seatNumbers": [1, 2, 3] }))
        .await;
    assert_eq!((back.status, &back.body["released"]), (200, &json!(2)));
    assert_eq!(visitor.reserve(&[1]).await.status, 201);
    for path in [&blocks, &releases] {
        let mut odd = json!({ "seatNumbers": [51] });
        if path == &blocks {
            odd["reason"] = json!("x");
        }
        let refused = operator.post(path, &odd).await;
        assert_eq!(refused.refusal(), (422, "SEAT_UNKNOWN"), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_date_grows_and_seats_that_are_there_stay_as_they_are() {
    let app = TestApp::open().await;
    let operator = app.operator();
    let path = format!("{}/seats", date_path(&app));
    let section = |from: u16, to: u16| json!({ "sections": [{ "grade": "BOX", "price": 1, "from": from, "to": to }] });
    let grown = operator.post(&path, &section(51, 60)).await;
    assert_eq!(
        (grown.status, &grown.body["seatsTotal"]),
        (201, &json!(60)),
        "{grown:?}"
    );
    assert_eq!(app.visitor().reserve(&[60]).await.status, 201);
    let refused = operator.post(&path, &section(60, 61)).await;
    assert_eq!(
        (refused.refusal(), &refused.body["seatNumbers"]),
        ((409, "SEATS_EXIST"), &json!([60]))
    );
    let refused = operator.post(&path, &section(61, 10_000)).await;
    assert_eq!(refused.status, 201);
    let listed = operator.get(&path).await.body;
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(10_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_bought_can_be_removed_and_nothing_else() {
    let app = TestApp::open().await;
    let (operator, visitor) = (app.operator(), app.visitor());
    let hold = visitor.hold(&[1]).await;
    let refused = operator.delete(&date_path(&app)).await;
    assert_eq!(refused.refusal(), (409, "SEATS_SOLD"));
    let refused = operator.delete(&concert_path(&app)).await;
    assert_eq!(refused.refusal(), (409, "DATES_LEFT"));
    visitor
        .delete(&format!("/api/v1/reservations/{hold}"))
        .await;
    assert_eq!(operator.delete(&date_path(&app)).await.status, 204);
    assert_eq!(
        operator.delete(&date_path(&app)).await.refusal(),
        (404, "SCHEDULE_NOT_FOUND")
    );
    assert_eq!(operator.delete(&concert_path(&app)).await.status, 204);
    assert_eq!(
        operator.get(&concert_path(&app)).await.refusal(),
        (404, "CONCERT_NOT_FOUND")
    );
    let gone = visitor.reserve(&[1]).await;
    assert_eq!(gone.refusal(), (404, "SCHEDULE_NOT_FOUND"));
    app.fixture.reconciled().await;

    let sold = TestApp::open().await;
    sold.visitor().buy(&[1]).await;
    let refused = sold.operator().delete(&date_path(&sold)).await;
    assert_eq!(refused.refusal(), (409, "SEATS_SOLD"));
    let unknown = format!("/api/v1/admin/schedules/{}", Uuid::new_v4());
    for path in [unknown.clone(), format!("{unknown}/seats")] {
        let refused = sold.operator().get(&path).await;
        assert_eq!(refused.refusal(), (404, "SCHEDULE_NOT_FOUND"), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_is_told_how_many_seats_are_left_behind_a_queue() {
    let app = TestApp::open().await;
    let visitor = app.visitor();
    visitor.hold(&[1, 2]).await;
    let left = async || {
        let seats = visitor.get(&app.seats_path()).await;
        seats.header("x-usher-remaining").map(str::to_owned)
    };
    assert_eq!(left().await.as_deref(), Some("48"));
    visitor.hold(&[3]).await;
    assert_eq!(left().await.as_deref(), Some("48"), "for a moment");
    app.clock.advance(Duration::from_secs(6));
    assert_eq!(left().await.as_deref(), Some("47"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_date_may_allow_a_visitor_more_seats_or_fewer_than_the_service_does() {
    let app = TestApp::open().await;
    let (operator, path) = (app.operator(), date_path(&app));
    let more = patch(&operator, &path, None, &json!({ "maxSeatsPerUser": 6 })).await;
    assert_eq!(more.body["maxSeatsPerUser"], 6, "{more:?}");
    let six = app.visitor();
    assert_eq!(six.reserve(&[1, 2, 3, 4, 5, 6]).await.status, 201);
    assert_eq!(six.reserve(&[7]).await.refusal(), (422, "TOO_MANY_SEATS"));
    let fewer = json!({ "maxSeatsPerUser": 1 });
    assert_eq!(patch(&operator, &path, None, &fewer).await.status, 200);
    let one = app.visitor();
    assert_eq!(
        one.reserve(&[11, 12]).await.refusal(),
        (422, "TOO_MANY_SEATS")
    );
    assert_eq!(one.reserve(&[11]).await.status, 201);
    let default = json!({ "maxSeatsPerUser": null });
    assert_eq!(patch(&operator, &path, None, &default).await.status, 200);
    assert_eq!(one.reserve(&[12, 13, 14]).await.status, 201);
    for odd in [0, 51, -1] {
        let refused = patch(&operator, &path, None, &json!({ "maxSeatsPerUser": odd })).await;
        assert_eq!(refused.refusal(), (422, "BODY_INVALID"), "{odd}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_date_is_shown_as_such_with_its_progress_and_stays_on_record() {
    let app = TestApp::open().await;
    let (operator, visitor) = (app.operator(), app.visitor());
    visitor.buy(&[1, 2]).await;
    let path = format!("{}/cancellation", date_path(&app));
    assert_eq!(
        operator.get(&path).await.refusal(),
        (404, "CANCELLATION_NOT_FOUND")
    );
    let storm = json!({ "reason": "Storm" });
    let cancelled = operator.post(&path, &storm).await;
    assert_eq!(
        (cancelled.status, &cancelled.body["state"]),
        (202, &json!("running")),
        "{cancelled:?}"
    );
    let progress = testbed::eventually(DEADLINE, "the money", async || {
        let progress = operator.get(&path).await.body;
        (progress["state"] == "done").then_some(progress)
    })
    .await;
    assert_eq!(
        (
            &progress["done"]["paymentsRefunded"],
            &progress["done"]["amountRefunded"]
        ),
        (&json!(1), &json!(300_000))
    );
    assert_eq!(progress["left"], json!({ "holds": 0, "payments": 0 }));
    assert_eq!(progress["requestedBy"], "operator:tests");
    assert_eq!(operator.post(&path, &storm).await.body["state"], "done");
    assert_eq!(visitor.balance().await, 1_000_000);
    let dates = visitor.get(&dates_path(&app)).await.body;
    assert_eq!(
        (
            &dates["items"][0]["cancelled"],
            &dates["items"][0]["seatsAvailable"]
        ),
        (&json!(true), &json!(0))
    );
    assert_eq!(
        app.visitor().reserve(&[9]).await.refusal(),
        (409, "SALES_CLOSED")
    );
    assert_eq!(
        operator.delete(&date_path(&app)).await.refusal(),
        (409, "SCHEDULE_CANCELLED")
    );
    let closing = format!("{}/closing", date_path(&app));
    let odd = operator.post(&closing, &json!({ "now": true })).await;
    assert_eq!(odd.refusal(), (422, "BODY_INVALID"));
    app.fixture.reconciled().await;
}
