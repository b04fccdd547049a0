//! A gateway whose own routes stand under a path, in front of a shop that has the root.

use serde_json::json;

use crate::site::{
    LINE, SEATS, Site, go_in, holds_best, leaves_and_comes_back, looks_at_sale, pays,
};

const BASE: &str = "/queue";

#[tokio::test(flavor = "multi_thread")]
async fn under_a_base_path_one_waits_leaves_comes_back_enters_and_pays() {
    let site = Site::shop_under(BASE).await;
    site.rule(json!({ "maxActive": 1 })).await;
    let inside = site.join().await;
    let visitor = site.customer().await;
    go_in(&visitor, LINE).await;
    let address = visitor.run("return location.pathname").await;
    assert!(address.as_str().unwrap().starts_with("/shop/"), "{address}");
    let own = "return [...document.querySelectorAll('script[src], link[href], form[action]')] \
        .map((it) => new URL(it.src || it.href || it.action).pathname) \
        .filter((it) => !it.startsWith('/queue/'))";
    assert_eq!(visitor.run(own).await, json!([]), "all is under the path");
    visitor.press("option[value=de]").await;
    visitor.sees("document.documentElement.lang === 'de'").await;
    visitor.waits_as("line").await;
    leaves_and_comes_back(&visitor).await;
    site.leave(&inside).await;
    visitor.sees(SEATS).await;
    holds_best(&visitor).await;
    pays(&visitor).await;
    visitor.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn under_a_base_path_the_console_steers_and_sees_the_sale_and_the_client_is_served() {
    let site = Site::shop_under(BASE).await;
    let operator = site.operator().await;
    operator.press("#hold").await;
    operator
        .sees("document.querySelector('#toast').innerText.includes('Everybody is held')")
        .await;
    looks_at_sale(&operator).await;
    operator.press("[data-part=report]").await;
    operator
        .sees("document.querySelector('#report-audit').innerText.includes('paused')")
        .await;
    let client = "return (async () => (await import('/queue/usher.js')).Usher.name)()";
    assert_eq!(operator.run(client).await, "Usher");
    operator.close().await;
}
