//! What operators put on sale, and from when to when it is sold.

use serde_json::{Value, json};

use crate::test_app::{Caller, TestApp};

const STARTS: &str = "2099-01-01T00:00:00Z";

fn dates_path(app: &TestApp) -> String {
    format!(
        "/api/v1/admin/concerts/{}/schedules",
        app.fixture.concert_id
    )
}

fn section(from: i64, to: i64) -> Value {
    json!({ "grade": "A", "price": 1, "from": from, "to": to })
}

async fn refuses_all(operator: &Caller<'_>, bodies: &[Value], code: &str) {
    let path = dates_path(operator.app);
    for body in bodies {
        let refused = operator.post(&path, body).await;
        assert_eq!(refused.refusal(), (422, code), "{body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_date_whose_times_make_no_sense_is_not_put_on_sale() {
    let app = TestApp::open().await;
    let odd = [
        json!({ "startsAt": "2001-01-01T00:00:00Z" }),
        json!({ "startsAt": "+12345-01-01T00:00:00Z" }),
        json!({ "startsAt": STARTS, "salesCloseAt": "2099-01-02T00:00:00Z" }),
        json!({ "startsAt": STARTS, "salesOpenAt": STARTS }),
    ];
    refuses_all(&app.operator(), &odd, "SALES_INVALID").await;
    let no_instant = [
        json!({ "startsAt": "tomorrow" }),
        json!({ "startsAt": 4_070_908_800_i64 }),
        json!({ "startsAt": null }),
        json!({}),
    ];
    refuses_all(&app.operator(), &no_instant, "BODY_INVALID").await;
    assert_eq!(
        app.fixture.number("SELECT COUNT(*) FROM schedules").await,
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn sections_are_checked_before_they_become_seats() {
    let app = TestApp::open().await;
    let with = |sections: Value| json!({ "startsAt": STARTS, "sections": sections });
    let priced =
        |grade: &str, price: Value| json!([{ "grade": grade, "price": price, "from": 1, "to": 2 }]);
    let odd = [
        with(json!([])),
        with(json!([section(0, 5)])),
        with(json!([section(5, 4)])),
        with(json!([section(1, 10_001)])),
        with(json!([section(1, 5), section(5, 9)])),
    ];
    refuses_all(&app.operator(), &odd, "SECTIONS_INVALID").await;
    let malformed = [
        with(json!([section(-1, 5)])),
        with(json!([section(1, 70_000)])),
        with(priced("A", json!(-1))),
        with(priced("A", json!(1.5))),
        with(priced("A", json!(100_000_001))),
        with(priced("A\n", json!(1))),
        with(priced("'; DROP TABLE seats; --", json!(1))),
    ];
    refuses_all(&app.operator(), &malformed, "BODY_INVALID").await;
    assert_eq!(
        app.fixture.number("SELECT COUNT(*) FROM schedules").await,
        1
    );

    let free = json!({ "grade": "B", "price": 0, "from": 1, "to": 2 });
    let own = with(json!([section(3, 4), free]));
    let made = app.operator().post(&dates_path(&app), &own).await;
    assert_eq!(
        (made.status, &made.body["seatsTotal"]),
        (201, &json!(4)),
        "{made:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leap_second_is_the_second_after_it() {
    let app = TestApp::open().await;
    let leap = json!({ "startsAt": "2098-12-31T23:59:60Z" });
    let made = app.operator().post(&dates_path(&app), &leap).await;
    assert_eq!(
        (made.status, &made.body["startsAt"]),
        (201, &json!("2099-01-01T00:00:00.000Z")),
        "{made:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn seats_are_not_sold_before_sales_open_or_after_they_close() {
    let app = TestApp::open().await;
    let (operator, visitor) = (app.operator(), app.visitor());
    let path = dates_path(&app);
    let later =
        json!({ "startsAt": "2099-01-02T00:00:00Z", "salesOpenAt": "2099-01-01T00:00:00Z" });
    let schedule = operator.post(&path, &later).await;
    let wish = json!({ "scheduleId": schedule.id(), "seatNumbers": [1] });
    assert_eq!(
        visitor.post("/api/v1/reservations", &wish).await.refusal(),
        (409, "SALES_CLOSED")
    );
    let schedules = format!("/api/v1/concerts/{}/schedules", app.fixture.concert_id);
    let ids = async |query: &str| {
        let listed = visitor.get(&format!("{schedules}{query}")).await;
        listed.body["items"].as_array().expect("items").len()
    };
    assert_eq!(
        (
            ids("").await,
            ids("?available=true").await,
            ids("?available=false").await
        ),
        (2, 1, 2)
    );
}
