//! The best seats as clients ask for them.

use serde_json::{Value, json};

use crate::test_app::{Answer, Caller, TestApp};

const RESERVATIONS: &str = "/api/v1/reservations";

fn wish(app: &TestApp, more: Value) -> Value {
    let mut wish = more;
    wish["scheduleId"] = json!(app.fixture.schedule_id);
    wish
}

async fn best(visitor: &Caller<'_>, more: Value) -> Answer {
    visitor.post(RESERVATIONS, &wish(visitor.app, more)).await
}

fn numbers(held: &Answer) -> Vec<u64> {
    assert_eq!(held.status, 201, "{held:?}");
    let seats = held.body["seats"].as_array().unwrap().iter();
    seats.map(|seat| seat["number"].as_u64().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn some_of_the_best_seats_are_held_without_naming_them() {
    let app = TestApp::open().await;
    let visitor = app.visitor();
    let held = best(&visitor, json!({ "count": 2 })).await;
    assert_eq!(numbers(&held), [1, 2]);
    assert_eq!(
        held.header("location"),
        Some(format!("{RESERVATIONS}/{}", held.id()).as_str())
    );
    let economy = best(&visitor, json!({ "count": 2, "grade": "ECONOMY" })).await;
    assert_eq!(numbers(&economy), [36, 37]);
    assert_eq!(
        best(&visitor, json!({ "count": 1 })).await.refusal(),
        (422, "TOO_MANY_SEATS")
    );
    let others = app.visitor();
    assert_eq!(
        others.reserve(&[2, 3]).await.refusal(),
        (409, "SEAT_TAKEN"),
        "also for those who name theirs"
    );
    assert_eq!(numbers(&best(&others, json!({ "count": 4 })).await)[0], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_wish_for_the_best_gets_the_same_seats() {
    let app = TestApp::open().await;
    let visitor = app.visitor();
    let two = wish(&app, json!({ "count": 2 }));
    let first = visitor.post_once(RESERVATIONS, "k", &two).await;
    let again = visitor.post_once(RESERVATIONS, "k", &two).await;
    assert_eq!((again.status, &again.body), (201, &first.body));
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    let three = wish(&app, json!({ "count": 3 }));
    let other = visitor.post_once(RESERVATIONS, "k", &three).await;
    assert_eq!(other.refusal(), (422, "IDEMPOTENCY_KEY_REUSED"));
}

#[tokio::test(flavor = "multi_thread")]
async fn when_too_few_are_free_the_answer_says_how_many() {
    let app = TestApp::open().await;
    for first in [1, 5] {
        let seats = [first, first + 1, first + 2, first + 3];
        app.visitor().hold(&seats).await;
    }
    app.visitor().hold(&[9]).await;
    let vip = json!({ "count": 2, "grade": "VIP" });
    let refused = best(&app.visitor(), vip).await;
    assert_eq!(refused.refusal(), (409, "SOLD_OUT"));
    assert_eq!(refused.body["available"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wish_names_seats_or_a_count_and_never_both() {
    let app = TestApp::open().await;
    let (visitor, before) = (app.visitor(), app.fixture.traces().await);
    for (more, code) in [
        (json!({}), "BODY_INVALID"),
        (json!({ "seatNumbers": [1], "count": 1 }), "BODY_INVALID"),
        (
            json!({ "seatNumbers": [1], "grade": "VIP" }),
            "BODY_INVALID",
        ),
        (json!({ "grade": "VIP" }), "BODY_INVALID"),
        (json!({ "count": null }), "BODY_INVALID"),
        (json!({ "count": 1.5 }), "BODY_INVALID"),
        (json!({ "count": "2" }), "BODY_INVALID"),
        (json!({ "count": 1, "grade": "a b" }), "BODY_INVALID"),
        (json!({ "count": 1, "grades": ["VIP"] }), "BODY_INVALID"),
        (json!({ "count": 0 }), "SEATS_INVALID"),
        (json!({ "count": -1 }), "SEATS_INVALID"),
        (json!({ "count": 5 }), "TOO_MANY_SEATS"),
        (json!({ "count": i64::MAX }), "TOO_MANY_SEATS"),
        (
            json!({ "count": 1, "grade": "'--DROP_TABLE" }),
            "BODY_INVALID",
        ),
        (json!({ "count": 1, "grade": "vip" }), "GRADE_UNKNOWN"),
        (json!({ "count": 1, "grade": "VI_" }), "GRADE_UNKNOWN"),
    ] {
        let refused = best(&visitor, more.clone()).await;
        assert_eq!(refused.refusal(), (422, code), "{more}");
    }
    assert_eq!(app.fixture.traces().await, before);
}
