//! What bad input gets: a clear refusal, never a 500, and no trace in the data.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::test_app::{Answer, TestApp, answer};

const RESERVATIONS: &str = "/api/v1/reservations";

#[tokio::test(flavor = "multi_thread")]
async fn seats_that_cannot_be_reserved_together_are_told_apart() {
    let app = TestApp::open().await;
    let (visitor, before) = (app.visitor(), app.fixture.traces().await);
    for (seats, code) in [
        (json!([0]), "SEAT_UNKNOWN"),
        (json!([51]), "SEAT_UNKNOWN"),
        (json!([-1]), "SEAT_UNKNOWN"),
        (json!([1, 51]), "SEAT_UNKNOWN"),
        (json!([70_000]), "SEAT_UNKNOWN"),
        (json!([i64::MAX]), "SEAT_UNKNOWN"),
        (json!([7, 7]), "SEATS_INVALID"),
        (json!([]), "SEATS_INVALID"),
        (json!([1, 2, 3, 4, 5]), "TOO_MANY_SEATS"),
        (json!([1.5]), "BODY_INVALID"),
        (json!(["1"]), "BODY_INVALID"),
        (json!([9_223_372_036_854_775_808_u64]), "BODY_INVALID"),
        (json!("1"), "BODY_INVALID"),
        (json!(null), "BODY_INVALID"),
    ] {
        let wish = json!({ "scheduleId": app.fixture.schedule_id, "seatNumbers": seats });
        assert_eq!(
            visitor.post(RESERVATIONS, &wish).await.refusal(),
            (422, code),
            "{seats}"
        );
    }
    assert_eq!(app.fixture.traces().await, before);
    visitor.hold(&[1, 2, 3]).await;
    assert_eq!(
        visitor.reserve(&[4, 5]).await.refusal(),
        (422, "TOO_MANY_SEATS")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_whole_positive_number_is_an_amount() {
    let app = TestApp::open().await;
    let (visitor, before) = (app.visitor(), app.fixture.traces().await);
    for amount in [
        "0",
        "-1",
        "9223372036854775808",
        "9223372036854775807",
        "-9223372036854775809",
        "1.5",
        "1.0",
        "1e3",
        "100000001",
        "\"1000\"",
        "null",
        "true",
        "[]",
        "{}",
    ] {
        let body = format!(r#"{{"amount":{amount}}}"#);
        let request = visitor
            .request(Method::POST, &visitor.charges_path())
            .header("Idempotency-Key", "k");
        let refused = answer(
            request
                .header("Content-Type", "application/json")
                .body(body),
        )
        .await;
        assert_eq!(refused.refusal(), (422, "AMOUNT_INVALID"), "{amount}");
    }
    let missing = visitor
        .post_once(&visitor.charges_path(), "k", &json!({}))
        .await;
    assert_eq!(missing.refusal(), (422, "AMOUNT_INVALID"));
    assert_eq!(visitor.balance().await, 0);
    assert_eq!(app.fixture.traces().await, before);

    for _ in 0..10 {
        visitor.charge(100_000_000).await;
    }
    let full = visitor
        .post_once(&visitor.charges_path(), "one-more", &json!({ "amount": 1 }))
        .await;
    assert_eq!(full.refusal(), (422, "BALANCE_LIMIT"));
    assert_eq!(visitor.balance().await, 1_000_000_000);
}

/// Every route that reads a body, with one that it would take.
fn bodies(app: &TestApp, user: &str) -> Vec<(String, bool, Value)> {
    let concert = app.fixture.concert_id;
    vec![
        (RESERVATIONS.into(), false, app.wish(&[1])),
        (
            "/api/v1/payments".into(),
            false,
            json!({ "reservationId": Uuid::new_v4() }),
        ),
        (
            format!("/api/v1/users/{user}/balance/charges"),
            false,
            json!({ "amount": 1 }),
        ),
        (
            "/api/v1/admin/concerts".into(),
            true,
            json!({ "title": "T", "queue": "q" }),
        ),
        (
            format!("/api/v1/admin/concerts/{concert}/schedules"),
            true,
            json!({ "startsAt": "2099-01-01T00:00:00Z" }),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_not_what_was_asked_for_are_refused_on_every_route() {
    let app = TestApp::open().await;
    let visitor = app.visitor();
    let before = app.fixture.traces().await;
    for (path, operators, body) in bodies(&app, &visitor.sub) {
        let caller = if operators {
            app.operator()
        } else {
            visitor.clone()
        };
        let send = async |content_type: &str, text: String| -> Answer {
            let request = caller
                .request(Method::POST, &path)
                .header("Idempotency-Key", "k");
            answer(request.header("Content-Type", content_type).body(text)).await
        };
        let json = "application/json";
        let mut more = body.clone();
        more["surprise"] = json!(1);
        assert_eq!(
            send(json, more.to_string()).await.refusal(),
            (422, "BODY_INVALID"),
            "{path}"
        );
        let mut long = body.clone();
        long["padding"] = json!("x".repeat(64 * 1024));
        assert_eq!(
            send(json, long.to_string()).await.refusal(),
            (413, "BODY_TOO_LARGE"),
            "{path}"
        );
        assert_eq!(
            send("text/plain", body.to_string()).await.refusal(),
            (415, "CONTENT_TYPE_UNSUPPORTED"),
            "{path}"
        );
        assert_eq!(
            send(json, "{".into()).await.refusal(),
            (400, "BODY_MALFORMED"),
            "{path}"
        );
        assert_eq!(
            send(json, String::new()).await.refusal(),
            (400, "BODY_MALFORMED"),
            "{path}"
        );
        assert_eq!(send(json, "[]".into()).await.status, 422, "{path}");
        let fields: Vec<&Value> = body.as_object().unwrap().values().collect();
        let list = json!(fields).to_string();
        assert_eq!(send(json, list).await.status, 422, "a list at {path}");
        assert_eq!(send(json, "null".into()).await.status, 422, "{path}");
    }
    assert_eq!(app.fixture.traces().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_hides_its_length_is_cut_off_at_the_same_limit() {
    let app = TestApp::open().await;
    let visitor = app.visitor();
    let mut stream = TcpStream::connect(app.base.trim_start_matches("http://")).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    let head = format!(
        "POST {RESERVATIONS} HTTP/1.1\r\nHost: booking\r\nX-Usher-Pass: {}\r\n\
         Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
        visitor.pass()
    );
    stream.write_all(head.as_bytes()).unwrap();
    for _ in 0..5 {
        let chunk = "x".repeat(16 * 1024);
        stream
            .write_all(format!("{:x}\r\n{chunk}\r\n", chunk.len()).as_bytes())
            .unwrap();
    }
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_that_are_not_uuids_are_400_in_a_path_and_422_in_a_body() {
    let app = TestApp::open().await;
    let (visitor, operator) = (app.visitor(), app.operator());
    for odd in [
        "7",
        "x",
        "%00",
        "'%20OR%20'1'='1",
        "123e4567-e89b-12d3-a456-42661417400g",
        "..%2f",
    ] {
        for path in [
            format!("/api/v1/concerts/{odd}"),
            format!("/api/v1/concerts/{odd}/schedules"),
            format!("/api/v1/schedules/{odd}/seats"),
            format!("/api/v1/reservations/{odd}"),
            format!("/api/v1/payments/{odd}"),
            format!("/api/v1/users/{odd}/balance"),
            format!("/api/v1/users/{odd}/ledger"),
        ] {
            assert_eq!(
                visitor.get(&path).await.refusal(),
                (400, "PATH_INVALID"),
                "{path}"
            );
        }
        let refund = visitor
            .post_once(&format!("/api/v1/payments/{odd}/refunds"), "k", &json!({}))
            .await;
        assert_eq!(refund.refusal(), (400, "PATH_INVALID"), "{odd}");
        let starts = json!({ "startsAt": "2099-01-01T00:00:00Z" });
        let schedule = operator
            .post(&format!("/api/v1/admin/concerts/{odd}/schedules"), &starts)
            .await;
        assert_eq!(schedule.refusal(), (400, "PATH_INVALID"), "{odd}");
        let wish = json!({ "scheduleId": odd, "seatNumbers": [1] });
        assert_eq!(
            visitor.post(RESERVATIONS, &wish).await.refusal(),
            (422, "BODY_INVALID"),
            "{odd}"
        );
        assert_eq!(
            visitor.pay(odd, "k").await.refusal(),
            (422, "BODY_INVALID"),
            "{odd}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_that_do_not_parse_are_400() {
    let app = TestApp::open().await;
    let visitor = app.visitor();
    let schedules = format!("/api/v1/concerts/{}/schedules", app.fixture.concert_id);
    for path in [
        "/api/v1/concerts?limit=0".to_owned(),
        "/api/v1/concerts?limit=201".to_owned(),
        "/api/v1/concerts?limit=x".to_owned(),
        "/api/v1/concerts?cursor=x".to_owned(),
        "/api/v1/reservations?cursor='%20OR%201".to_owned(),
        format!("/api/v1/users/{}/ledger?limit=-1", visitor.sub),
        format!("{schedules}?available=maybe"),
        format!("{}?state=sold", app.seats_path()),
    ] {
        assert_eq!(
            visitor.get(&path).await.refusal(),
            (400, "QUERY_INVALID"),
            "{path}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn text_is_only_text_and_control_characters_are_refused() {
    let app = TestApp::open().await;
    let operator = app.operator();
    for text in [
        "'; DROP TABLE concerts; --",
        "\" OR 1=1 #",
        "Ωμέγα 하프의 밤 🎻",
        "<script>alert(1)</script>",
        "%00 \\' \\\\",
    ] {
        let made = operator
            .post(
                "/api/v1/admin/concerts",
                &json!({ "title": text, "venue": text, "queue": "q" }),
            )
            .await;
        assert_eq!(
            (made.status, &made.body["title"]),
            (201, &json!(text)),
            "{made:?}"
        );
        let shown = app.get(&format!("/api/v1/concerts/{}", made.id())).await;
        assert_eq!(
            (&shown.body["title"], &shown.body["venue"]),
            (&json!(text), &json!(text))
        );
    }
    let before = app.fixture.number("SELECT COUNT(*) FROM concerts").await;
    let long = "x".repeat(201);
    for odd in ["", " ", "a\u{0}b", "a\nb", "\u{7f}", long.as_str()] {
        for body in [
            json!({ "title": odd, "queue": "q" }),
            json!({ "title": "T", "venue": odd, "queue": "q" }),
            json!({ "title": "T", "queue": odd }),
        ] {
            let refused = operator.post("/api/v1/admin/concerts", &body).await;
            assert_eq!(refused.refusal(), (422, "BODY_INVALID"), "{body}");
        }
    }
    for queue in ["'; DROP TABLE seats", "Main", "a b", "../x"] {
        let refused = operator
            .post(
                "/api/v1/admin/concerts",
                &json!({ "title": "T", "queue": queue }),
            )
            .await;
        assert_eq!(refused.refusal(), (422, "BODY_INVALID"), "{queue}");
    }
    assert_eq!(
        app.fixture.number("SELECT COUNT(*) FROM concerts").await,
        before
    );
}
