//! Connections to the service behind: kept ones that it closes, those that clients leave, the last free one, a dead address.

use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::http_wire::{GET, OK, answering, before};
use crate::raw::{Player, Wire};

/// A service that closes each kept connection the moment the second request comes.
async fn closing() -> (Player, mpsc::UnboundedReceiver<String>) {
    let (told, heard) = mpsc::unbounded_channel();
    let player = Player::start(move |mut wire, _| {
        let told = told.clone();
        async move {
            wire.head().await;
            wire.send(OK).await;
            let head = wire.head().await;
            if !head.is_empty() {
                told.send(head).unwrap();
            }
        }
    });
    (player.await, heard)
}

#[actix_web::test]
async fn a_get_that_meets_a_closing_connection_is_sent_once_more_and_a_post_never() {
    let (player, mut heard) = closing().await;
    let (app, _) = before(&player, &[("GATEWAY_WORKERS", "1")]).await;
    for _ in 0..6 {
        let answer = app.get("/x").send().await.unwrap();
        assert_eq!(answer.status(), 200);
    }
    assert!(player.connections() >= 3, "some were made anew");
    let mut lost = 0;
    for _ in 0..6 {
        let answer = app.post("/x").body("once").send().await.unwrap();
        lost += usize::from(answer.status() == 502);
    }
    app.close().await;
    let mut posts = 0;
    while let Ok(head) = heard.try_recv() {
        posts += usize::from(head.contains("POST"));
    }
    assert_eq!(
        posts, lost,
        "each that was lost was seen by the service once"
    );
}

#[actix_web::test]
async fn a_client_that_goes_frees_the_connection_at_once() {
    let (told, mut heard) = mpsc::unbounded_channel();
    let player = Player::start(move |mut wire, _| {
        let told = told.clone();
        async move {
            wire.head().await;
            told.send(None).unwrap();
            let began = Instant::now();
            wire.rest().await;
            told.send(Some(began.elapsed())).unwrap();
        }
    })
    .await;
    let (app, address) = before(&player, &[]).await;
    let mut client = Wire::to(&address).await;
    client.send(GET).await;
    assert_eq!(heard.recv().await.unwrap(), None);
    drop(client);
    let took = heard.recv().await.unwrap().unwrap();
    assert!(
        took < Duration::from_secs(5),
        "{took:?}, long before any time-out"
    );
    app.close().await;
}

#[actix_web::test]
async fn who_finds_no_free_connection_hears_that_the_service_is_busy() {
    let player = Player::start(|mut wire, _| async move {
        wire.head().await;
        wire.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nyes\r\n")
            .await;
        wire.rest().await;
    })
    .await;
    let limits = [
        ("GATEWAY_WORKERS", "1"),
        ("GATEWAY_UPSTREAM_CONNECTIONS", "2"),
        ("GATEWAY_UPSTREAM_CONNECT_TIMEOUT_MS", "100"),
    ];
    let (app, address) = before(&player, &limits).await;
    let mut long = Vec::new();
    for _ in 0..2 {
        let mut client = Wire::to(&address).await;
        client.send(GET).await;
        client.until("yes\r\n").await;
        long.push(client);
    }
    let answer = app.get("/x").send().await.unwrap();
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().contains_key("retry-after"));
    assert!(answer.text().await.unwrap().contains("UPSTREAM_BUSY"));
    let metrics = app.metrics().await;
    assert!(
        metrics.contains("usher_upstream_failures_total{reason=\"busy\"} 1"),
        "{metrics}"
    );
    app.close().await;
}

#[actix_web::test]
async fn an_address_that_is_gone_is_left_out() {
    let (player, _heard) = answering(OK.to_owned()).await;
    let nobody = testbed::free_port();
    let both = format!("http://127.0.0.1:{nobody}, {}", player.url);
    let (app, _) = before(&player, &[("GATEWAY_UPSTREAM", &both)]).await;
    for _ in 0..6 {
        assert_eq!(app.post("/x").send().await.unwrap().status(), 200);
    }
    app.close().await;
}
