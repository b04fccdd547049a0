//! Other protocols than WebSocket on a connection that was upgraded, and health checks of addresses.

use serde_json::json;

use crate::raw::{Player, Wire};
use crate::test_app::{TestApp, said, token, until};

/// A service that says everything back in a protocol of its own, and a head where it is not asked for one.
async fn parrot() -> Player {
    Player::start(|mut wire: Wire, _| async move {
        let head = wire.head().await;
        if !head.contains("upgrade: ") {
            let length = head.len();
            wire.send(format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{head}"
            ))
            .await;
            return;
        }
        wire.send(
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: parrot/1\r\n\r\n",
        )
        .await;
        loop {
            let said = wire.until("\n").await;
            if said.is_empty() {
                return;
            }
            wire.send(said).await;
        }
    })
    .await
}

fn asking(protocol: &str, who: &str) -> String {
    format!(
        "GET /api/v1/live HTTP/1.1\r\nhost: shop\r\nconnection: upgrade\r\nupgrade: {protocol}\r\n{who}\r\n"
    )
}

#[actix_web::test]
async fn any_protocol_passes_both_ways_for_whoever_is_inside_until_the_visit_ends() {
    let player = parrot().await;
    let app = TestApp::with(&[("GATEWAY_UPSTREAM", &player.url)]).await;
    app.rule(json!({ "maxActive": 1 })).await;
    let inside = app.join().await;
    let outside = app.join().await;
    let address = app.url.replace("http://", "");
    let bearer = |place| format!("authorization: Bearer {}\r\n", token(place));
    let mut client = Wire::to(&address).await;
    client.send(asking("parrot/1", &bearer(&outside))).await;
    assert!(client.head().await.starts_with("HTTP/1.1 403 "));
    let mut client = Wire::to(&address).await;
    client
        .send(asking("other, parrot/1", &bearer(&inside)))
        .await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert!(head.contains("upgrade: parrot/1\r\n"), "{head}");
    // What would be a request is none here.
    for said in [
        "hello\n",
        "GET /api/v1/live HTTP/1.1\r\n\r\n\n",
        &format!("{}\n", "x".repeat(300_000)),
    ] {
        client.send(said).await;
        assert_eq!(client.take(said.len()).await, said);
    }
    let left = app.delete("/api/v1/queues/main/tokens/me");
    assert_eq!(said(left.bearer_auth(token(&inside))).await.0, 204);
    assert_eq!(client.rest().await, "", "it ends");
    app.close().await;
}

#[actix_web::test]
async fn http_in_another_form_is_not_switched_to() {
    let player = parrot().await;
    let access = ("GATEWAY_ACCESS", "public /**");
    let app = TestApp::with(&[("GATEWAY_UPSTREAM", &player.url), access]).await;
    for protocol in ["h2c", "TLS/1.0", "HTTP/2.0, parrot/1"] {
        let mut client = Wire::to(&app.url.replace("http://", "")).await;
        client.send(asking(protocol, "")).await;
        let got = client.until("\r\n\r\n").await;
        assert!(got.starts_with("HTTP/1.1 200 "), "{protocol}: {got}");
    }
    app.close().await;
}

#[actix_web::test]
async fn an_address_that_says_that_it_is_not_well_gets_no_requests_until_it_is() {
    let service = |name: &'static str, is_well: &'static std::sync::atomic::AtomicBool| {
        Player::start(move |mut wire: Wire, _| async move {
            loop {
                let head = wire.head().await;
                if head.is_empty() {
                    return;
                }
                let status = match head.starts_with("GET /health ") {
                    true if !is_well.load(std::sync::atomic::Ordering::SeqCst) => "503 No",
                    _ => "200 OK",
                };
                let length = name.len();
                wire.send(format!(
                    "HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{name}"
                ))
                .await;
            }
        })
    };
    static ONE: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(true);
    static OTHER: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);
    let (one, other) = (service("one", &ONE).await, service("other", &OTHER).await);
    let both = format!("{}, {}", one.url, other.url);
    let app = TestApp::with(&[
        ("GATEWAY_UPSTREAM", &both),
        ("GATEWAY_UPSTREAM_CHECK", "/health"),
        ("GATEWAY_ACCESS", "public /**"),
    ])
    .await;
    let answers = async || {
        let mut answers = Vec::new();
        for _ in 0..6 {
            answers.push(said(app.get("/x")).await.1);
        }
        answers
    };
    until(async || answers().await.iter().all(|it| it == "one")).await;
    OTHER.store(true, std::sync::atomic::Ordering::SeqCst);
    until(async || answers().await.iter().any(|it| it == "other")).await;
    app.close().await;
}
