//! Whoever asks too much, too often, too slowly, or for somebody else.

use std::time::Duration;

use reqwest::RequestBuilder;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use uuid::Uuid;

use crate::test_app::{TestApp, refused, said, until};

const TOKENS: &str = "/api/v1/queues/main/tokens";

fn join(app: &TestApp) -> RequestBuilder {
    let body = json!({ "userId": Uuid::new_v4() });
    app.post(TOKENS).json(&body)
}

#[actix_web::test]
async fn one_source_may_ask_for_so_many_places_in_a_minute() {
    let app = TestApp::with(&[("GATEWAY_ISSUE_PER_MINUTE", "3")]).await;
    let place = app.join().await;
    for lie in ["1.1.1.1", "2.2.2.2"] {
        let request = join(&app).header("X-Forwarded-For", lie);
        assert_eq!(said(request).await.0, 201);
    }
    let request = join(&app).header("X-Forwarded-For", "3.3.3.3");
    let refusal = request.send().await.unwrap();
    assert_eq!(refusal.status(), 429);
    let wait: u64 = refusal.headers()["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=20).contains(&wait), "{wait}");
    let refusal: Value = refusal.json().await.unwrap();
    assert_eq!(refusal["code"], "RATE_LIMITED");
    for _ in 0..10 {
        assert_eq!(app.poll(&place).await.0, 200, "polls are not counted");
    }
    app.clock.advance(Duration::from_secs(wait));
    assert_eq!(said(join(&app)).await.0, 201);
    assert_eq!(refused(join(&app)).await.0, 429);
    app.close().await;
}

#[actix_web::test]
async fn behind_a_proxy_of_ours_each_client_is_a_source_and_what_they_write_is_not() {
    let app = TestApp::with(&[
        ("GATEWAY_ISSUE_PER_MINUTE", "1"),
        ("GATEWAY_TRUSTED_HOPS", "1"),
    ])
    .await;
    let from = |chain: &str| join(&app).header("X-Forwarded-For", chain);
    assert_eq!(said(from("10.0.0.1")).await.0, 201);
    assert_eq!(said(from("10.0.0.2")).await.0, 201);
    assert_eq!(refused(from("6.6.6.6, 10.0.0.1")).await.0, 429);
    assert_eq!(said(from("2001:db8::1")).await.0, 201);
    assert_eq!(refused(from("2001:db8::2")).await.0, 429, "one customer");
    assert_eq!(said(from("2001:db8:0:1::1")).await.0, 201);
    assert_eq!(said(join(&app)).await.0, 201, "the proxy itself");
    assert_eq!(refused(from("6.6.6.6, unknown")).await.0, 429);
    app.close().await;
}

#[actix_web::test]
async fn without_a_limit_one_address_may_bring_a_crowd() {
    let app = TestApp::open().await;
    for _ in 0..200 {
        assert_eq!(said(join(&app)).await.0, 201);
    }
    app.close().await;
}

/// Counts up until the hash begins with so many zero bits, as a browser would.
pub fn solve(challenge: &Value) -> Value {
    let bits = challenge["bits"].as_u64().unwrap();
    let text = challenge["challenge"].as_str().unwrap();
    let is_solved = |nonce: &u64| {
        let hash = Sha256::digest(format!("{text}:{nonce}"));
        let head = u64::from_be_bytes(hash[..8].try_into().unwrap());
        u64::from(head.leading_zeros()) >= bits
    };
    let nonce = (0..).find(is_solved).unwrap();
    json!({ "challenge": text, "nonce": nonce.to_string() })
}

#[actix_web::test]
async fn where_a_place_costs_work_only_who_worked_for_it_has_one() {
    let app = TestApp::with(&[("GATEWAY_POW_BITS", "8")]).await;
    let user = Uuid::new_v4();
    let post = |user: Uuid, proof: Option<&Value>| {
        let mut body = json!({ "userId": user });
        if let Some(proof) = proof {
            body["proof"] = proof.clone();
        }
        app.post(TOKENS).json(&body)
    };
    let (status, refusal) = said(post(user, None)).await;
    assert_eq!(
        (status.as_u16(), &refusal["code"]),
        (401, &json!("PROOF_REQUIRED"))
    );
    assert_eq!(refusal["retryable"], false);
    let challenge = &refusal["proofOfWork"];
    assert_eq!(challenge["algorithm"], "SHA-256");
    assert_eq!(challenge["bits"], 8);
    let proof = solve(challenge);
    for (user, proof) in [
        (Uuid::new_v4(), proof.clone()),
        (
            user,
            json!({ "challenge": challenge["challenge"], "nonce": "" }),
        ),
        (user, json!({ "challenge": "x", "nonce": "0" })),
    ] {
        let (status, refusal) = said(post(user, Some(&proof))).await;
        assert_eq!(
            (status.as_u16(), &refusal["code"]),
            (401, &json!("PROOF_INVALID"))
        );
        assert_ne!(refusal["proofOfWork"]["challenge"], challenge["challenge"]);
    }
    let (status, place) = said(post(user, Some(&proof))).await;
    assert_eq!(status, 201, "{place}");
    assert_eq!(
        refused(post(user, Some(&proof))).await,
        (401, "PROOF_INVALID".to_owned()),
        "once"
    );
    let (_, refusal) = said(post(user, None)).await;
    let late = solve(&refusal["proofOfWork"]);
    app.clock.advance(Duration::from_secs(121));
    assert_eq!(refused(post(user, Some(&late))).await.0, 401);
    let odd = json!({ "challenge": "x", "nonce": "0", "more": 1 });
    assert_eq!(refused(post(user, Some(&odd))).await.0, 422);
    app.close().await;
}

#[actix_web::test]
async fn a_head_of_any_length_is_answered_and_not_kept() {
    let app = TestApp::open().await;
    let place = app.join().await;
    let long = |length: usize| {
        let request = app
            .get("/api/v1/seats")
            .bearer_auth(crate::test_app::token(&place));
        request.header("X-Long", "x".repeat(length))
    };
    assert_eq!(said(long(8_000)).await.0, 200);
    let refusal = refused(long(40_000)).await;
    assert_eq!(refusal, (431, "HEAD_TOO_LARGE".to_owned()));
    let mut many = app.get("/api/v1/queues");
    for number in 0..200 {
        many = many.header(format!("X-{number}"), "1");
    }
    assert_eq!(said(many).await.0, 431);
    app.close().await;
}

/// Sends a byte now and then, as often as others are answered, until the connection is closed.
/// What was said before that.
async fn trickle(app: &TestApp, before: &str) -> String {
    let address = app.url.strip_prefix("http://").unwrap();
    let (mut answer, mut request) = TcpStream::connect(address).await.unwrap().into_split();
    request.write_all(before.as_bytes()).await.unwrap();
    let closed = tokio::spawn(async move {
        let mut read = Vec::new();
        // A reset is an end as well.
        let _ = answer.read_to_end(&mut read).await;
        String::from_utf8(read).unwrap()
    });
    until(async || {
        for _ in 0..20 {
            assert_eq!(said(app.get("/live")).await.0, 200, "others are served");
        }
        let _ = request.write_all(b"x").await;
        closed.is_finished()
    })
    .await;
    closed.await.unwrap()
}

#[actix_web::test]
async fn who_sends_a_request_byte_by_byte_is_cut_off() {
    let app = TestApp::open().await;
    let head = "GET /live HTTP/1.1\r\nHost: here\r\nX-Slow: ";
    let body = format!(
        "POST {TOKENS} HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n\
         Content-Length: 60000\r\nConnection: close\r\n\r\n"
    );
    for slow in [head, &body] {
        let said = trickle(&app, slow).await;
        assert!(said.starts_with("HTTP/1.1 408"), "{said}");
    }
    app.close().await;
}
