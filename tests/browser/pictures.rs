//! The pictures of `docs/img`, from running programs: `cargo xtask pictures`.

use serde_json::json;

use crate::driver::{Browser, target};
use crate::site::{LINE, SEATS, Site, go_in};

/// Each picture and what it shows, a line each.
const PICTURES: &str = include_str!("../pictures.txt");

async fn take(browser: &Browser, name: &str) {
    assert!(PICTURES.contains(&format!("\n{name} ")) || PICTURES.starts_with(name));
    // A pointer that rests on a button colours it, and a field with the focus blinks.
    browser.run("document.activeElement?.blur()").await;
    browser.picture(&target("pictures"), name).await;
}

/// What visitors see, from the front of the shop to the ticket.
async fn shop(site: &Site) {
    site.rule(json!({ "maxActive": 1, "title": "A night at the tests" }))
        .await;
    let (inside, between) = (site.join().await, site.join().await);
    site.hears_of_left(&inside, 50).await;
    let ahead = site.stream(&between).await;
    let visitor = site.browser().await;
    visitor.frame(640, 520).await;
    site.front(&visitor).await;
    take(&visitor, "shop").await;
    go_in(&visitor, LINE).await;
    visitor.frame(900, 900).await;
    visitor
        .sees("!document.querySelector('[data-usher=outlook]').hidden && !document.querySelector('[data-usher=wishes]').hidden")
        .await;
    take(&visitor, "waiting").await;
    for token in [&inside, &between] {
        site.leave(token).await;
    }
    drop(ahead);
    visitor.frame(1200, 950).await;
    visitor.sees(SEATS).await;
    take(&visitor, "seats").await;
    visitor.press("[data-language]").await;
    visitor
        .sees(&format!(
            "document.documentElement.lang === 'ko' && {SEATS}"
        ))
        .await;
    take(&visitor, "korean").await;
    visitor.press("[data-language]").await;
    visitor
        .sees(&format!(
            "document.documentElement.lang === 'en' && {SEATS}"
        ))
        .await;
    visitor.press("#best").await;
    visitor
        .sees("document.documentElement.dataset.state === 'held' && !document.querySelector('#charge').hidden")
        .await;
    visitor.press("#charge").await;
    visitor
        .sees("!document.querySelector('#pay').disabled")
        .await;
    visitor.press("#pay").await;
    visitor
        .sees("document.querySelector('#bars')?.width > 200")
        .await;
    take(&visitor, "ticket").await;
    visitor.end().await;
}

/// What an operator sees who has held everybody.
async fn console(site: &Site) {
    let operator = site.operator().await;
    operator.frame(1280, 1400).await;
    operator.press("#hold").await;
    operator
        .sees("document.querySelector('#toast').innerText.includes('Everybody is held') && document.querySelector('#audit').innerText.includes('paused')")
        .await;
    take(&operator, "console").await;
    operator.end().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes the pictures of docs/img, for `cargo xtask pictures`"]
async fn all_are_taken() {
    let site = Site::shop().await;
    shop(&site).await;
    console(&site).await;
}
