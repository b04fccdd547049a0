//! What axe-core finds against people who hear a page, or see it badly. It comes by npm into `target/`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use crate::driver::Browser;
use crate::site::{SEATS, Site, UNPAID, go_in, pays};

/// Tests of one process do not fetch at the same time.
static FETCHING: Mutex<()> = Mutex::new(());

/// The rules of axe-core; `None` where npm is not there or cannot fetch them.
fn rules() -> Option<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let folder: PathBuf = root.join("target/usher/axe");
    let script = folder.join("node_modules/axe-core/axe.min.js");
    let _alone = FETCHING.lock().unwrap_or_else(PoisonError::into_inner);
    if !script.exists() {
        fs::create_dir_all(&folder).unwrap();
        let mut npm = Command::new("npm");
        npm.args(["install", "--no-audit", "--no-fund", "--ignore-scripts"]);
        let npm = npm.arg("--prefix").arg(&folder).arg("axe-core@4").status();
        if !npm.is_ok_and(|it| it.success()) {
            eprintln!(
                "NOT TESTED: axe-core cannot be had, because npm is not there or reaches nobody"
            );
            return None;
        }
    }
    Some(fs::read_to_string(script).unwrap())
}

/// What is found in the page, whatever its severity.
async fn findings(browser: &Browser, rules: &str) -> Vec<String> {
    if browser.run("return window.axe === undefined").await == true {
        browser.run(rules).await;
    }
    let found = browser
        .run("return axe.run(document, { resultTypes: ['violations'] }).then((it) => it.violations.map((one) => [one.id, one.nodes.map((node) => node.html)]))")
        .await;
    found
        .as_array()
        .unwrap()
        .iter()
        .map(Value::to_string)
        .collect()
}

/// Nothing is found in what the page shows now, light or dark; a picture of it is kept.
pub async fn nothing_is_found(browser: &Browser, what: &str) {
    let Some(rules) = rules() else { return };
    for is_dark in [true, false] {
        browser.colours(is_dark).await;
        let found = findings(browser, &rules).await;
        assert_eq!(found, Vec::<String>::new(), "{what}, dark: {is_dark}");
    }
    browser.screen(&format!("access-{what}")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_found_in_the_line_light_or_dark() {
    let site = Site::open().await;
    site.rule(json!({ "maxActive": 1, "message": "Doors at the north side.", "title": "Aurora" }))
        .await;
    let inside = site.join().await;
    let visitor = site.visitor().await;
    visitor.size(400, 900, false).await;
    for (change, state) in [
        (json!({}), "line"),
        (json!({ "state": "paused" }), "paused"),
        (
            json!({ "state": "open", "opensAt": "2099-01-01T10:00:00Z" }),
            "scheduled",
        ),
        (
            json!({ "state": "open", "opensAt": null, "accentColor": "#ffd400" }),
            "line",
        ),
    ] {
        site.rule(change).await;
        visitor.go(&site.at(&site.gated)).await;
        visitor.waits_as(state).await;
        nothing_is_found(&visitor, state).await;
    }
    visitor.go(&site.at("/usher/left")).await;
    nothing_is_found(&visitor, "left").await;
    drop(inside);
    visitor.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_found_where_nobody_can_join_or_where_a_visit_ends() {
    let site = Site::open().await;
    site.rule(json!({ "maxActive": 1, "claimSeconds": 300 }))
        .await;
    let inside = site.join().await;
    let visitor = site.visitor().await;
    visitor.size(400, 900, false).await;
    visitor.waits_as("line").await;
    visitor.look_away().await;
    site.leave(&inside).await;
    visitor.waits_as("turn").await;
    visitor
        .sees("!document.querySelector('.clock').hidden")
        .await;
    nothing_is_found(&visitor, "turn").await;
    let ends = "return fetch('/api/v1/queues/main/tokens/me', { method: 'DELETE' }).then((it) => it.status)";
    assert_eq!(visitor.run(ends).await, 204);
    visitor.waits_as("expired").await;
    nothing_is_found(&visitor, "expired").await;
    visitor.go(&site.at(&site.gated)).await;
    visitor.waits_as("left").await;
    nothing_is_found(&visitor, "left").await;
    visitor.end().await;
    let (inside, waiting) = (site.join().await, site.join().await);
    let waits = site.stream(&waiting).await;
    site.rule(json!({ "maxWaiting": 1 })).await;
    let newcomer = site.visitor().await;
    newcomer.size(400, 900, false).await;
    for (change, state) in [
        (json!({}), "full"),
        (json!({ "state": "closed" }), "closed"),
    ] {
        site.rule(change).await;
        newcomer.go(&site.at(&site.gated)).await;
        newcomer.waits_as(state).await;
        nothing_is_found(&newcomer, state).await;
    }
    drop((inside, waits));
    newcomer.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_found_where_all_is_sold_or_is_likely_to_be() {
    let site = Site::shop().await;
    site.rule(json!({ "maxActive": 1 })).await;
    let inside = site.join().await;
    site.hears_of_left(&inside, 50).await;
    let seats: Vec<_> = (1..=50).collect();
    site.blocks(&inside, &seats[2..]).await;
    site.hears_of_left(&inside, 2).await;
    let visitor = site.visitor().await;
    visitor.size(400, 900, false).await;
    visitor.waits_as("line").await;
    visitor
        .sees(
            "document.querySelector('[data-usher=outlook]').innerText.startsWith('It is unlikely')",
        )
        .await;
    nothing_is_found(&visitor, "unlikely").await;
    site.blocks(&inside, &seats[..2]).await;
    site.hears_of_left(&inside, 0).await;
    visitor.waits_as("soldout").await;
    nothing_is_found(&visitor, "soldout").await;
    visitor.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_found_where_one_signs_in_or_asks_too_often() {
    let named = Site::with(&[
        ("GATEWAY_IDENTITY", "jwt"),
        (
            "GATEWAY_IDENTITY_SECRET",
            "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY",
        ),
        ("GATEWAY_LOGIN_URL", "https://id.example/?back={return}"),
    ])
    .await;
    let visitor = named.visitor().await;
    visitor.size(400, 900, false).await;
    visitor.waits_as("login").await;
    nothing_is_found(&visitor, "login").await;
    visitor.end().await;
    let busy = Site::with(&[("GATEWAY_ISSUE_PER_MINUTE", "1")]).await;
    busy.join().await;
    let visitor = busy.visitor().await;
    visitor.size(400, 900, false).await;
    visitor.waits_as("limited").await;
    nothing_is_found(&visitor, "limited").await;
    visitor.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_found_in_the_console_light_or_dark() {
    let site = Site::open().await;
    let operator = site.browser().await;
    operator.size(1280, 1000, false).await;
    operator.go(&site.at("/console/")).await;
    let parts = async |who: &str| {
        operator
            .sees("document.querySelector('#queue:not([hidden])')")
            .await;
        for part in ["line", "sale", "customer", "report"] {
            operator.press(&format!("[data-part={part}]")).await;
            nothing_is_found(&operator, &format!("console-{part}-{who}")).await;
        }
        operator.press("[data-part=line]").await;
    };
    parts("anybody").await;
    operator.write("#key", site.stack.operator_key()).await;
    operator.press("#key-go").await;
    operator
        .sees("!document.querySelector('[name=maxActive]').disabled")
        .await;
    parts("operator").await;
    operator.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_found_in_the_shop_light_or_dark() {
    let site = Site::shop().await;
    let visitor = site.browser().await;
    visitor.size(900, 900, false).await;
    site.front(&visitor).await;
    nothing_is_found(&visitor, "front").await;
    go_in(&visitor, SEATS).await;
    visitor
        .run("document.querySelector('details').open = true")
        .await;
    visitor.sees("document.querySelector('#list label')").await;
    nothing_is_found(&visitor, "seats").await;
    visitor.press("#best").await;
    visitor.sees(UNPAID).await;
    nothing_is_found(&visitor, "order").await;
    visitor.back().await;
    visitor
        .sees("!(document.querySelector('#holding')?.hidden ?? true)")
        .await;
    nothing_is_found(&visitor, "holding").await;
    visitor.press("#go_on").await;
    visitor.sees(UNPAID).await;
    pays(&visitor).await;
    nothing_is_found(&visitor, "ticket").await;
    visitor.press("#refund").await;
    nothing_is_found(&visitor, "refund").await;
    visitor.press("#sure [value=refund]").await;
    visitor
        .sees("document.documentElement.dataset.state === 'refunded'")
        .await;
    nothing_is_found(&visitor, "refunded").await;
    visitor.go(&site.at("/shop/mine")).await;
    visitor.sees("document.querySelector('#orders a')").await;
    nothing_is_found(&visitor, "mine").await;
    let nobodys = "/shop/queues/main/orders/0190c7a0-0000-7000-8000-000000000000";
    visitor.go(&site.at(nobodys)).await;
    visitor
        .sees("!document.querySelector('#strange').hidden")
        .await;
    nothing_is_found(&visitor, "strange").await;
    // The order of nobody is a refusal, which the browser writes down.
    visitor.end().await;
}
