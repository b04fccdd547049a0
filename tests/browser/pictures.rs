//! The pictures of `docs/img`, from running programs: `cargo xtask pictures`.

use std::fs;
use std::time::Duration;

use loadtest::settings::Settings;
use loadtest::{Progress, Scenario, Size, Target, machine, report};
use serde_json::json;
use testbed::Scratch;

use crate::driver::{Browser, target};
use crate::site::{LINE, SEATS, Site, go_in, holds_best, pays};

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
    holds_best(&visitor).await;
    pays(&visitor).await;
    visitor
        .sees("document.querySelector('#bars')?.width > 200")
        .await;
    take(&visitor, "ticket").await;
    visitor.end().await;
}

/// What an operator sees while a small load runs, and what is left of it.
async fn load(site: &Site) {
    let settings = Settings {
        rate: 8.0,
        duration: Duration::from_secs(100),
        seats: 2_000,
        max_active: 20,
        ..Scenario::Story.defaults(Size::Small)
    };
    let operator = site.operator().await;
    operator.frame(1280, 1300).await;
    let urls = site.stack.gateway_urls();
    let targets = urls.iter().map(|url| Target::parse(url).unwrap()).collect();
    let key = site.stack.operator_key().to_owned();
    let run = move || loadtest::run(&settings, targets, &key, Progress::Silent).unwrap();
    let run = tokio::task::spawn_blocking(run);
    let loaded = "[...document.querySelectorAll('#queues [data-queue]')].find((it) => it.dataset.queue !== 'main')";
    operator.sees(loaded).await;
    operator.run(&format!("{loaded}.click()")).await;
    // Every chart has a line by then.
    operator
        .sees("document.querySelector('#now-latency').innerText.includes('ms') && Number(document.querySelector('#now-failed').innerText.split(' of ')[1]?.replace(',', '')) > 700")
        .await;
    take(&operator, "console").await;
    // Before the run is over: its queue goes with it.
    operator.press("[data-part=report]").await;
    operator
        .sees("document.querySelector('#report-figures').innerText.includes('≤')")
        .await;
    take(&operator, "sale").await;
    operator.end().await;
    let outcome = run.await.unwrap();
    let scratch = Scratch::new().unwrap();
    let page = scratch.path().join("report.html");
    let run = report::json(&outcome, &machine::facts(), "");
    fs::write(&page, report::page(&run)).unwrap();
    let reader = site.browser().await;
    reader.frame(1100, 1000).await;
    reader.go(&format!("file://{}", page.display())).await;
    take(&reader, "report").await;
    reader.end().await;
}

async fn swagger(site: &Site) {
    let reader = site.browser().await;
    reader.frame(1000, 900).await;
    reader.go(&site.at("/docs/")).await;
    reader
        .sees("document.querySelectorAll('.opblock').length > 20")
        .await;
    take(&reader, "swagger").await;
    reader.end().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes the pictures of docs/img, for `cargo xtask pictures`"]
async fn all_are_taken() {
    let site = Site::shop().await;
    shop(&site).await;
    swagger(&site).await;
    load(&site).await;
}
