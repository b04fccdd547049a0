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
    browser.run(rules).await;
    let found = browser
        .run("return axe.run(document).then((it) => it.violations.map((one) => [one.id, one.nodes.map((node) => node.html)]))")
        .await;
    found
        .as_array()
        .unwrap()
        .iter()
        .map(Value::to_string)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_found_in_any_state_light_or_dark() {
    let Some(rules) = rules() else { return };
    let site = Site::open().await;
    site.rule(json!({ "maxActive": 1, "message": "Doors at the north side.", "title": "Aurora" }))
        .await;
    let inside = site.join().await;
    let visitor = site.visitor().await;
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
        for is_dark in [false, true] {
            visitor.size(400, 900, is_dark).await;
            assert_eq!(
                findings(&visitor, &rules).await,
                Vec::<String>::new(),
                "{state}"
            );
        }
        visitor.screen(&format!("access-{state}")).await;
    }
    visitor.go(&site.at("/usher/left")).await;
    assert_eq!(
        findings(&visitor, &rules).await,
        Vec::<String>::new(),
        "left"
    );
    visitor.go(&site.at("/console/")).await;
    visitor
        .sees("document.querySelector('#queue:not([hidden])')")
        .await;
    for part in ["line", "sale", "report"] {
        visitor.press(&format!("[data-part={part}]")).await;
        for is_dark in [false, true] {
            visitor.size(1280, 1000, is_dark).await;
            let found = findings(&visitor, &rules).await;
            assert_eq!(found, Vec::<String>::new(), "{part} of the console");
        }
    }
    drop(inside);
    visitor.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_found_in_the_shop_light_or_dark() {
    let Some(rules) = rules() else { return };
    let site = Site::shop().await;
    let visitor = site.browser().await;
    let nothing = async |what: &str| {
        for is_dark in [false, true] {
            visitor.size(900, 900, is_dark).await;
            let found = findings(&visitor, &rules).await;
            assert_eq!(found, Vec::<String>::new(), "{what}");
        }
    };
    site.front(&visitor).await;
    nothing("front").await;
    go_in(&visitor, SEATS).await;
    visitor
        .run("document.querySelector('details').open = true")
        .await;
    visitor.sees("document.querySelector('#list label')").await;
    nothing("seats").await;
    // The window has just changed its size: where the button was, something else may be.
    visitor.run("document.querySelector('#best').click()").await;
    visitor.sees(UNPAID).await;
    nothing("order").await;
    pays(&visitor).await;
    nothing("ticket").await;
    visitor.go(&site.at("/shop/mine")).await;
    visitor.sees("document.querySelector('#orders a')").await;
    nothing("own orders").await;
    visitor.close().await;
}
