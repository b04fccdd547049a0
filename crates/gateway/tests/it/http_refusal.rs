//! What the parser refuses before there is a request is a problem like every other refusal.

use serde_json::Value;

use crate::http_wire::{answering, before};
use crate::raw::{Wire, answer_to};
use crate::test_app::TestApp;

/// An answer of the parser, which a body may pretend to be.
const BARE: &str = "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\
                    date: Thu, 26 Nov 2026 17:26:48 GMT\r\n\r\n";
const ODD: &str = "GET /x HTTP/1.1\r\nno colon\r\n\r\n";

/// Checks that this is one answer with a problem, the last of its connection.
fn is_problem(got: &str, status: u16, code: &str) {
    let (head, body) = got.split_once("\r\n\r\n").expect(got);
    assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{got}");
    assert!(
        head.contains("content-type: application/problem+json"),
        "{head}"
    );
    assert!(
        head.contains(&format!("content-length: {}", body.len())),
        "{head}"
    );
    let body: Value = serde_json::from_str(body).expect(body);
    assert_eq!(
        (&body["code"], &body["status"]),
        (&code.into(), &status.into())
    );
    let id = body["requestId"].as_str().unwrap();
    assert!(head.contains(&format!("x-request-id: {id}")), "{head}");
}

#[actix_web::test]
async fn what_is_no_request_is_told_so() {
    let app = TestApp::open().await;
    let address = app.url.replace("http://", "");
    let long = format!("GET /x HTTP/1.1\r\nx-long: {}\r\n\r\n", "x".repeat(140_000));
    for (sent, status, code) in [
        (ODD, 400, "REQUEST_INVALID"),
        ("\x16\x03\x01\x02\0\x01\0\r\n\r\n", 400, "REQUEST_INVALID"),
        (
            "GET /x HTTP/1.1\r\ncontent-length: x\r\n\r\n",
            400,
            "REQUEST_INVALID",
        ),
        (&long, 431, "HEAD_TOO_LARGE"),
        // A head that does not go on.
        ("GET /x HTTP/1.1\r\nhost: shop\r\n", 408, "HEAD_TOO_SLOW"),
    ] {
        is_problem(&answer_to(&address, sent).await, status, code);
    }
    app.close().await;
}

#[actix_web::test]
async fn a_refusal_behind_an_answer_stands_alone() {
    let app = TestApp::open().await;
    let mut client = Wire::to(&app.url.replace("http://", "")).await;
    let live = "GET /live HTTP/1.1\r\nhost: shop\r\n\r\n";
    client.send(format!("{live}{ODD}")).await;
    let first = client.head().await;
    assert!(first.starts_with("HTTP/1.1 200 "), "{first}");
    let length = first
        .lines()
        .find_map(|it| it.strip_prefix("content-length: "));
    client.take(length.unwrap().parse().unwrap()).await;
    is_problem(&client.rest().await, 400, "REQUEST_INVALID");
    app.close().await;
}

#[actix_web::test]
async fn a_body_that_looks_like_a_refusal_passes_as_it_came() {
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{BARE}",
        BARE.len()
    );
    let (player, _heard) = answering(answer).await;
    let (app, address) = before(&player, &[]).await;
    let mut client = Wire::to(&address).await;
    for _ in 0..2 {
        client.send("GET /x HTTP/1.1\r\nhost: shop\r\n\r\n").await;
        client.head().await;
        assert_eq!(client.take(BARE.len()).await, BARE);
    }
    client.send(ODD).await;
    is_problem(&client.rest().await, 400, "REQUEST_INVALID");
    app.close().await;
}
