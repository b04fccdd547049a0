//! Who waits for `100 Continue` gets it when the body is wanted, and else the answer at once.

use serde_json::json;
use uuid::Uuid;

use crate::http_wire::{OK, before};
use crate::raw::{Player, Wire, answer_to};
use crate::test_app::{TestApp, token};

const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";

/// The head of a request that waits to send so many bytes.
fn waiting(path: &str, more: &str, length: usize) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: shop\r\nexpect: 100-continue\r\n{more}content-length: {length}\r\n\r\n"
    )
}

fn bearer(place: &serde_json::Value) -> String {
    format!("authorization: Bearer {}\r\n", token(place))
}

#[actix_web::test]
async fn who_is_not_let_in_hears_it_before_anything_is_sent() {
    let app = TestApp::open().await;
    app.rule(json!({ "maxActive": 1 })).await;
    let inside = app.join().await;
    let outside = app.join().await;
    let address = app.url.replace("http://", "");
    for (who, status, code) in [
        (bearer(&outside), "403", "NOT_ADMITTED"),
        (String::new(), "401", "TOKEN_MISSING"),
    ] {
        let got = answer_to(&address, waiting("/api/v1/seats", &who, 60_000)).await;
        assert!(got.starts_with(&format!("HTTP/1.1 {status} ")), "{got}");
        assert!(
            got.contains(code) && got.contains("connection: close"),
            "{got}"
        );
    }
    let long = waiting("/api/v1/seats", &bearer(&inside), 70_000);
    let got = answer_to(&address, long).await;
    assert!(
        got.starts_with("HTTP/1.1 413 "),
        "longer than it may be: {got}"
    );
    app.close().await;
}

#[actix_web::test]
async fn who_is_let_in_goes_on_and_all_of_it_arrives() {
    let app = TestApp::open().await;
    let inside = app.join().await;
    let address = app.url.replace("http://", "");
    let mut client = Wire::to(&address).await;
    for length in [5, 60_000, 5] {
        let who = bearer(&inside);
        client.send(waiting("/api/v1/seats", &who, length)).await;
        assert_eq!(client.head().await, CONTINUE);
        client.send("x".repeat(length)).await;
        let head = client.head().await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        let told = client.until("}").await + &client.until("}").await;
        assert!(told.contains(&format!("\"bytes\":{length}")), "{told}");
    }
    app.close().await;
}

#[actix_web::test]
async fn a_client_that_does_not_wait_after_all_is_served_too() {
    let player = Player::start(|mut wire, _| async move {
        wire.head().await;
        wire.take(5).await;
        wire.send(OK).await;
        wire.rest().await;
    })
    .await;
    let (app, address) = before(&player, &[]).await;
    let mut client = Wire::to(&address).await;
    client.send(waiting("/x", "", 5) + "hello").await;
    assert_eq!(client.head().await, CONTINUE);
    assert!(client.until("ok").await.starts_with("HTTP/1.1 200 "));
    app.close().await;
}

#[actix_web::test]
async fn the_gateways_own_routes_let_go_on_too() {
    let app = TestApp::open().await;
    let mut client = Wire::to(&app.url.replace("http://", "")).await;
    let body = json!({ "userId": Uuid::new_v4() }).to_string();
    let json = "content-type: application/json\r\n";
    client
        .send(waiting("/api/v1/queues/main/tokens", json, body.len()))
        .await;
    assert_eq!(client.head().await, CONTINUE);
    client.send(body).await;
    assert!(client.head().await.starts_with("HTTP/1.1 201 "));
    app.close().await;
}
