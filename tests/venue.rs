//! What a venue needs beside the sale, on real processes: a provider that collects money, a plan of the hall that
//! changes by itself, a date that is cancelled.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::time::Duration;

use e2e::{Sale, Visitor, ask};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use testbed::{eventually, within};

const PATIENCE: Duration = Duration::from_secs(120);

async fn balance(visitor: &Visitor) -> Value {
    let path = format!("/api/v1/users/{}/balance", visitor.user);
    visitor.get(&path).await.body["balance"].clone()
}

/// Reads a stream until it says this.
async fn hears(stream: &mut Response, words: &str) {
    let mut text = String::new();
    let heard = async {
        while !text.contains(words) {
            let piece = stream.chunk().await.expect("a stream").expect("more of it");
            text.push_str(&String::from_utf8_lossy(&piece));
        }
    };
    within(PATIENCE, words, heard).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_collects_a_plan_shows_it_and_a_cancelled_date_gives_all_of_it_back() {
    let sale = Sale::on(10, |options| {
        options.gateways = 2;
        options.sandbox = true;
    })
    .await;
    let mut visitor = sale.visitor(0);
    visitor.enter().await;
    let ordered = visitor.charge(5_000, "charge").await;
    assert_eq!(
        (ordered.status, &ordered.body["state"]),
        (202, &json!("pending"))
    );
    eventually(PATIENCE, "the charge", async || {
        (balance(&visitor).await == 5_000).then_some(())
    })
    .await;

    let plan = format!("/api/v1/schedules/{}/seats/events", sale.schedule);
    let mut plan = visitor.request(Method::GET, &plan).send().await.unwrap();
    assert_eq!(plan.status(), 200);
    hears(&mut plan, "event: seats").await;
    let held = visitor.reserve(&[7], "hold").await;
    assert_eq!(held.status, 201, "{held:?}");
    hears(
        &mut plan,
        "\"number\":7,\"grade\":\"ALL\",\"price\":1000,\"state\":\"held\"",
    )
    .await;
    let body = json!({ "reservationId": held.body["id"], "with": "provider" });
    let paying = visitor.request(Method::POST, "/api/v1/payments");
    let paying = ask(paying.header("Idempotency-Key", "pay").json(&body)).await;
    assert_eq!(paying.status, 202, "{paying:?}");
    hears(&mut plan, "\"state\":\"sold\"").await;
    let payment = format!("/api/v1/payments/{}", paying.body["id"].as_str().unwrap());
    assert_eq!(visitor.get(&payment).await.body["state"], "captured");
    assert_eq!(balance(&visitor).await, 5_000);

    // The way of the provider leads through the gateway, and is open to its signature alone.
    let events = format!("{}/api/v1/provider/events", sale.stack.gateway_urls()[1]);
    let forged = ask(sale.client.post(events).json(&json!({}))).await;
    assert_eq!((forged.status, forged.code()), (401, "SIGNATURE_INVALID"));

    let path = format!("/api/v1/admin/schedules/{}/cancellation", sale.schedule);
    let storm = json!({ "reason": "Storm" });
    let cancelled = sale.operate(Method::POST, &path, Some(&storm)).await;
    assert_eq!(cancelled.status, 202, "{cancelled:?}");
    eventually(PATIENCE, "the end of the cancellation", async || {
        let progress = sale.operate(Method::GET, &path, None).await.body;
        (progress["state"] == "done").then_some(())
    })
    .await;
    assert_eq!(balance(&visitor).await, 6_000);
    hears(&mut plan, "\"state\":\"blocked\"").await;
    sale.assert_books_agree().await;
}
