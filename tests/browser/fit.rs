//! Every page on the smallest screen, and with everything at twice its size.

use serde_json::json;

use crate::driver::Browser;
use crate::site::{LINE, SEATS, Site, go_in, holds_best, pays};

/// What is wider than the screen, but for what may be scrolled by itself.
const WIDE: &str = "const edge = document.documentElement.clientWidth; \
    if (document.documentElement.scrollWidth <= edge) return []; \
    return [...document.querySelectorAll('body *')].filter((it) => it.getBoundingClientRect().right > edge + 1) \
        .map((it) => it.tagName + '#' + it.id + '.' + it.className).slice(0, 5)";

/// Nothing in the page is wider than either; a picture of each is kept.
pub async fn fits(visitor: &Browser, what: &str) {
    // 320 px is also 400 % at 1,280 px; 640 px with letters of twice the size is 200 % at 1,280 px and more.
    for (width, letters) in [(320, "100%"), (640, "200%")] {
        visitor.size(width, 900, false).await;
        visitor
            .run(&format!(
                "document.documentElement.style.fontSize = '{letters}'"
            ))
            .await;
        assert_eq!(visitor.run(WIDE).await, json!([]), "{what} at {width} px");
        visitor.screen(&format!("fit-{what}-{width}")).await;
    }
    visitor
        .run("document.documentElement.style.fontSize = ''")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_wider_than_a_small_screen_or_one_at_twice_its_size() {
    let site = Site::shop().await;
    site.rule(json!({ "maxActive": 1, "title": "A night at the tests", "message": "Doors at the north side." }))
        .await;
    let inside = site.join().await;
    let visitor = site.customer().await;
    fits(&visitor, "shop").await;
    go_in(&visitor, LINE).await;
    fits(&visitor, "line").await;
    site.leave(&inside).await;
    visitor.sees(SEATS).await;
    visitor
        .run("document.querySelector('details').open = true")
        .await;
    visitor
        .sees("document.querySelectorAll('#list label').length > 40")
        .await;
    fits(&visitor, "seats").await;
    holds_best(&visitor).await;
    fits(&visitor, "order").await;
    pays(&visitor).await;
    fits(&visitor, "ticket").await;
    visitor.go(&site.at("/shop/mine")).await;
    visitor.sees("document.querySelector('#orders a')").await;
    fits(&visitor, "mine").await;
    visitor.go(&site.at("/console/")).await;
    visitor
        .sees("document.querySelector('#queue:not([hidden])')")
        .await;
    fits(&visitor, "console").await;
    visitor.press("[data-part=customer]").await;
    fits(&visitor, "console-customers").await;
    visitor.close().await;
}
