//! Every language, on a small screen.

use serde_json::json;

use crate::driver::Browser;
use crate::site::Site;

const LANGUAGES: [&str; 11] = [
    "ko", "en", "ja", "zh-Hans", "zh-Hant", "es", "fr", "de", "pt", "id", "ar",
];

const SPOKEN: &str = "return [...document.querySelectorAll('[data-usher]')]\
    .filter((it) => it.dataset.usher !== 'announce' && !it.hidden && !it.children.length)\
    .map((it) => it.dataset.usher + ': ' + it.textContent.trim())";

async fn speak(visitor: &Browser, site: &Site, tag: &str) {
    let to = site.gated.replace('/', "%2F");
    visitor
        .go(&site.at(&format!("/usher/language?lang={tag}&to={to}")))
        .await;
    visitor
        .sees(&format!("document.documentElement.lang === '{tag}'"))
        .await;
    visitor.waits_as("paused").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_language_fits_on_a_small_screen_and_is_said_alike_with_and_without_scripts() {
    let site = Site::open().await;
    site.rule(json!({ "state": "paused", "maxActive": 1 }))
        .await;
    for _ in 0..11 {
        site.join().await;
    }
    let (visitor, plain) = (site.visitor().await, site.browser().await);
    plain.no_scripts().await;
    visitor.size(320, 900, false).await;
    plain.go(&site.at("/usher/left")).await;
    let cookies = visitor.tell("Network.getCookies", json!({})).await;
    let cookies = json!({ "cookies": cookies["cookies"] });
    plain.tell("Network.setCookies", cookies).await;
    for tag in LANGUAGES {
        speak(&visitor, &site, tag).await;
        // The script has painted when it has taken the button of the switch away.
        visitor
            .sees("document.querySelector('[data-usher=language] button').hidden")
            .await;
        let wide =
            "return document.documentElement.scrollWidth - document.documentElement.clientWidth";
        assert_eq!(visitor.run(wide).await, 0, "{tag} overflows at 320 px");
        visitor.screen(&format!("language-{tag}")).await;
        speak(&plain, &site, tag).await;
        let (with, without) = (visitor.run(SPOKEN).await, plain.run(SPOKEN).await);
        assert_eq!(with, without, "{tag}");
    }
    visitor.size(1280, 900, true).await;
    visitor.screen("arabic-dark").await;
    let direction = visitor
        .run("return getComputedStyle(document.body).direction")
        .await;
    assert_eq!(direction, "rtl");
    // Streams of pages that were left so quickly count for a moment, and a fifth is refused.
    visitor.end().await;
}
