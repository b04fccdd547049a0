//! What a visitor sees of a store or a gateway that is killed.

use serde_json::json;

use crate::access::nothing_is_found;
use crate::relay::Relay;
use crate::site::{INSIDE, SEATS, Site, go_in, holds_best};

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_store_is_told_and_the_place_is_found_again() {
    // The only stream is taken, so the place is polled and the loss is noticed with the next poll.
    let mut site = Site::with(&[("GATEWAY_RECOVERY_S", "2"), ("GATEWAY_STREAMS", "1")]).await;
    site.rule(json!({ "maxActive": 1 })).await;
    let inside = site.join().await;
    let only = site.stream(&inside).await;
    let visitor = site.visitor().await;
    visitor.waits_as("line").await;
    let ticket = visitor.text("[data-usher=ticket]").await;
    site.stack.redis_mut().kill();
    visitor.waits_as("away").await;
    nothing_is_found(&visitor, "away").await;
    site.stack.redis_mut().restart().unwrap();
    visitor
        .sees("['line', 'paused'].includes(document.documentElement.dataset.state)")
        .await;
    assert_eq!(
        visitor.text("[data-usher=ticket]").await,
        ticket,
        "the own ticket"
    );
    drop(only);
    visitor.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_a_gateway_is_killed_the_other_goes_on_with_the_same_place() {
    let mut site = Site::of_two_gateways().await;
    site.rule(json!({ "maxActive": 1 })).await;
    let inside = site.join().await;
    let before = site.join().await;
    let relay = Relay::start(&site.stack.gateway_urls());
    let visitor = site.browser().await;
    visitor.go(&format!("{}{}", relay.url(), site.gated)).await;
    visitor.waits_as("line").await;
    let ticket = visitor.text("[data-usher=ticket]").await;
    site.stack.gateways[0].kill();
    site.goes_on_at(1);
    site.leave(&before).await;
    visitor
        .sees("document.querySelector('[data-usher=position]').innerText === '1' && document.documentElement.dataset.state === 'line'")
        .await;
    assert_eq!(
        visitor.text("[data-usher=ticket]").await,
        ticket,
        "the own ticket"
    );
    site.leave(&inside).await;
    visitor.sees(INSIDE).await;
    visitor.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_shown_and_paid_when_the_store_is_back() {
    let mut site = Site::shop().await;
    let visitor = site.customer().await;
    go_in(&visitor, SEATS).await;
    holds_best(&visitor).await;
    site.stack.redis_mut().kill();
    visitor.press("#charge").await;
    visitor
        .sees("!document.querySelector('#told').hidden || !document.querySelector('#trouble').hidden || !document.querySelector('#pay').disabled")
        .await;
    visitor.screen("shop-store-away").await;
    site.stack.redis_mut().restart().unwrap();
    visitor.reload().await;
    visitor
        .sees("document.documentElement.dataset.state === 'held' && (!document.querySelector('#charge').hidden || !document.querySelector('#pay').disabled)")
        .await;
    visitor.end().await;
}
