//! Every language, on a small screen.

use serde_json::json;

use crate::access::nothing_is_found;
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
async fn every_language_fits_on_a_small_screen_and_says_all_alike_with_and_without_scripts() {
    let sections = json!([{ "grade": "FLOOR", "price": 90_000, "from": 1, "to": 12 }]);
    let site = Site::shop_with(sections).await;
    site.rule(json!({ "maxActive": 1 })).await;
    let inside = site.join().await;
    site.hears_of_left(&inside, 12).await;
    site.rule(json!({ "state": "paused" })).await;
    // Their streams say that they are there: who is absent near the head is passed by, also while nobody enters.
    let mut ahead = Vec::new();
    for _ in 0..11 {
        ahead.push(site.stream(&site.join().await).await);
    }
    let (visitor, plain) = (site.visitor().await, site.browser().await);
    visitor.waits_as("paused").await;
    assert_eq!(visitor.text("[data-usher=position]").await, "12");
    assert_eq!(
        visitor.text("[data-usher=outlook]").await,
        "It is uncertain whether something is left when your turn comes. \
         About 12 left, 11 people ahead of you."
    );
    nothing_is_found(&visitor, "uncertain").await;
    plain.scripts(false).await;
    visitor.size(320, 900, false).await;
    plain.go(&site.at("/usher/left")).await;
    plain.take_cookies(visitor.cookies().await).await;
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
    drop(ahead);
    // Streams of pages that were left so quickly count for a moment, and a fifth is refused.
    visitor.end().await;
}
