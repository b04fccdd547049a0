//! Without scripts, and with forms.

use serde_json::json;

use crate::access::nothing_is_found;
use crate::driver::Browser;
use crate::site::{INSIDE, Site};

async fn without_scripts(site: &Site) -> Browser {
    let browser = site.browser().await;
    browser.scripts(false).await;
    browser.go(&site.at(&site.gated)).await;
    browser
}

#[tokio::test(flavor = "multi_thread")]
async fn without_scripts_the_page_loads_itself_again_until_it_is_ones_turn() {
    let site = Site::open().await;
    site.rule(json!({ "maxActive": 1 })).await;
    let inside = site.join().await;
    let visitor = without_scripts(&site).await;
    visitor.waits_as("line").await;
    assert_eq!(visitor.text("[data-usher=ahead]").await, "You are next");
    visitor.screen("without-scripts").await;
    site.leave(&inside).await;
    visitor.sees(INSIDE).await;
    visitor.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_scripts_one_leaves_and_comes_back_by_buttons_and_chooses_a_language() {
    let site = Site::open().await;
    site.rule(json!({ "maxActive": 1 })).await;
    let _inside = site.join().await;
    let visitor = without_scripts(&site).await;
    let ticket = visitor.text("[data-usher=ticket]").await;
    visitor.press("option[value=de]").await;
    visitor.press("[data-usher=language] button").await;
    visitor.sees("document.documentElement.lang === 'de'").await;
    assert_eq!(visitor.text("h1").await, "Sie stehen in der Schlange");
    assert_eq!(
        visitor.text("[data-usher=ticket]").await,
        ticket,
        "the same place"
    );
    visitor.press("[data-usher=leave] button").await;
    visitor.waits_as("left").await;
    visitor.go(&site.at(&site.gated)).await;
    visitor.waits_as("left").await;
    visitor.press("[data-usher=again] button").await;
    visitor.waits_as("line").await;
    assert_ne!(
        visitor.text("[data-usher=ticket]").await,
        ticket,
        "at the end of the line"
    );
    visitor.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_scripts_a_place_that_costs_work_is_explained() {
    let site = Site::with(&[("GATEWAY_POW_BITS", "8")]).await;
    let visitor = without_scripts(&site).await;
    visitor.waits_as("work").await;
    assert!(visitor.text("main").await.contains("needs JavaScript"));
    site.has_waiting(0).await;
    assert_eq!(visitor.cookies().await, json!([]), "no place");
    // What looks for faults is a script too; those of the page were not loaded.
    visitor.scripts(true).await;
    nothing_is_found(&visitor, "work").await;
    visitor.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sends_a_form_is_told_to_send_it_again() {
    let site = Site::open().await;
    site.rule(json!({ "state": "paused" })).await;
    let visitor = site.visitor().await;
    visitor.waits_as("paused").await;
    let send = "const form = document.createElement('form'); form.method = 'post'; \
        form.action = location.pathname; document.body.append(form); form.submit()";
    visitor.run(send).await;
    visitor
        .sees("document.querySelector('.note')?.innerText.includes('has not arrived')")
        .await;
    site.rule(json!({ "state": "open" })).await;
    visitor.sees(INSIDE).await;
    visitor.close().await;
}
