//! Inside of pages of other sites: the waiting page and the element in frames.

use serde_json::json;

use crate::driver::Browser;
use crate::elsewhere::{Elsewhere, Files};
use crate::site::{INSIDE, Site, leaves_and_comes_back};

/// Pages that show what their address names: a frame, or the client's element.
fn pages(_: &str) -> Files {
    let page = |script: &str| {
        format!(
            "<!doctype html><html lang=en><link rel=icon href=data:,><title>Shop</title><body>\
             <script type=module src={script}></script>"
        )
    };
    let framed = "const frame = document.createElement('iframe'); frame.width = 800; frame.height = 900; \
        frame.src = new URLSearchParams(location.search).get('show'); document.body.append(frame);";
    let element = "await import(new URLSearchParams(location.search).get('from')); \
        document.body.innerHTML = '<usher-place queue=main join></usher-place>';";
    vec![
        ("/", "text/html", page("/framed.js")),
        ("/framed.js", "text/javascript", framed.to_owned()),
        ("/place", "text/html", page("/place.js")),
        ("/place.js", "text/javascript", element.to_owned()),
    ]
}

async fn site_for(elsewhere: &Elsewhere) -> Site {
    Site::with(&[
        ("GATEWAY_CORS_ORIGINS", &elsewhere.url()),
        ("GATEWAY_COOKIE_SAMESITE", "none"),
        ("GATEWAY_COOKIE_SECURE", "true"),
        ("GATEWAY_IDENTITY", "anonymous"),
    ])
    .await
}

async fn shows(visitor: &Browser, page: &str, framed: &str) {
    let framed = framed.replace(':', "%3A").replace('/', "%2F");
    let framed = framed.replace('?', "%3F").replace('=', "%3D");
    visitor.go(&format!("{page}/?show={framed}")).await;
    visitor.sees("document.querySelector('iframe')").await;
    visitor.enter_frame().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_frame_of_another_site_one_keeps_the_place_leaves_comes_back_and_enters() {
    let elsewhere = Elsewhere::open(pages);
    let site = site_for(&elsewhere).await;
    site.rule(json!({ "maxActive": 1 })).await;
    let inside = site.join().await;
    let visitor = site.browser().await;
    shows(&visitor, &elsewhere.url(), &site.at(&site.gated)).await;
    visitor.waits_as("line").await;
    let ticket = visitor.text("[data-usher=ticket]").await;
    visitor.reload().await;
    visitor.waits_as("line").await;
    assert_eq!(
        visitor.text("[data-usher=ticket]").await,
        ticket,
        "the cookie of the frame proves the place"
    );
    leaves_and_comes_back(&visitor).await;
    site.leave(&inside).await;
    visitor.sees(INSIDE).await;
    visitor.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_element_shows_the_place_in_a_frame_of_another_site() {
    let elsewhere = Elsewhere::open(pages);
    let site = site_for(&elsewhere).await;
    site.rule(json!({ "maxActive": 1 })).await;
    let inside = site.join().await;
    let visitor = site.browser().await;
    let top = elsewhere.url().replace("localhost", "127.0.0.1");
    let place = format!("{}/place?from={}", elsewhere.url(), site.at("/usher.js"));
    shows(&visitor, &top, &place).await;
    let shown = "document.querySelector('usher-place')?.shadowRoot?.textContent";
    visitor
        .sees(&format!("{shown}?.includes('You are next')"))
        .await;
    site.leave(&inside).await;
    visitor
        .sees(&format!("{shown}?.includes('It is your turn')"))
        .await;
    visitor.end().await;
}
