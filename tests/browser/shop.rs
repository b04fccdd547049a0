//! The road from the printed address to the ticket, in the demo shop.

use serde_json::json;

use crate::driver::Browser;
use crate::site::Site;

/// Chooses the seat of this number in the list, which is there for those who do not see the map.
async fn choose(visitor: &Browser, number: u32) {
    let label = format!(
        "[...document.querySelectorAll('#list label')].find((it) => it.textContent.includes(' {number} '))"
    );
    visitor
        .run("document.querySelector('details').open = true")
        .await;
    visitor.sees(&label).await;
    visitor
        .run(&format!("{label}.querySelector('input').click()"))
        .await;
}

async fn at_the_seats(site: &Site) -> Browser {
    let visitor = site.browser().await;
    visitor.size(1200, 950, false).await;
    visitor.go(&site.at("/")).await;
    visitor
        .sees("document.querySelector('#title').textContent.includes('A night')")
        .await;
    visitor.screen("shop").await;
    visitor.press("#go").await;
    visitor
        .sees("document.querySelector('#legend')?.children.length > 4")
        .await;
    visitor
}

#[tokio::test(flavor = "multi_thread")]
async fn from_the_first_page_to_the_ticket_and_back() {
    let site = Site::shop().await;
    let visitor = at_the_seats(&site).await;
    visitor.run("document.querySelector('#map').focus()").await;
    visitor.keys(&["\u{e014}", " "]).await;
    visitor
        .sees("document.querySelectorAll('#chosen li').length === 1")
        .await;
    choose(&visitor, 7).await;
    visitor
        .sees("document.querySelectorAll('#chosen li').length === 2")
        .await;
    visitor.screen("shop-seats").await;
    visitor.press("#hold").await;
    visitor.sees("!document.querySelector('#paying').hidden && document.querySelector('#left').textContent").await;
    visitor
        .go(&site.at(&visitor
            .run("return location.pathname")
            .await
            .as_str()
            .unwrap()
            .to_owned()))
        .await;
    visitor.sees("!document.querySelector('#paying').hidden && !document.querySelector('#charge').hidden").await;
    visitor.screen("shop-held").await;
    visitor.press("#charge").await;
    visitor
        .sees("!document.querySelector('#pay').disabled")
        .await;
    // The answer of the first payment is lost on its way.
    visitor
        .run("const send = fetch; let isLost = false; window.fetch = async (...it) => { const answer = await send(...it); if (!isLost && String(it[0]).endsWith('/payments')) { isLost = true; throw new TypeError('lost'); } return answer; }")
        .await;
    visitor.press("#pay").await;
    visitor
        .sees("document.querySelector('.ticket canvas')")
        .await;
    visitor.screen("shop-ticket").await;
    let tickets = visitor
        .run("return document.querySelectorAll('.ticket').length")
        .await;
    assert_eq!(tickets, 1, "paid once");
    visitor.press(".ticket button").await;
    visitor
        .sees("document.querySelector('.ticket').classList.contains('over')")
        .await;
    visitor.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_who_want_one_seat_the_slower_is_told_and_offered_the_next() {
    let site = Site::shop().await;
    let (fast, slow) = (at_the_seats(&site).await, at_the_seats(&site).await);
    choose(&slow, 7).await;
    slow.sees("!document.querySelector('#hold').disabled").await;
    choose(&fast, 7).await;
    fast.press("#hold").await;
    // What is seen may be old by some seconds; what is sold is not.
    slow.run("document.querySelector('#hold').click()").await;
    slow.sees("!document.querySelector('#paying').hidden || !document.querySelector('#told').hidden || document.querySelectorAll('#chosen li').length === 0").await;
    fast.sees(
        "!document.querySelector('#paying').hidden || !document.querySelector('#told').hidden",
    )
    .await;
    let holds = [&fast, &slow];
    let mut held = 0;
    for browser in holds {
        let is_held = browser
            .run("return !document.querySelector('#paying').hidden")
            .await;
        held += u32::from(is_held == true);
    }
    assert_eq!(held, 1, "one seat has one holder");
    fast.end().await;
    slow.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_must_wait_sees_the_waiting_page_before_the_seats() {
    let site = Site::shop().await;
    site.rule(json!({ "maxActive": 1, "title": "A night at the tests" }))
        .await;
    let inside = site.join().await;
    let visitor = site.browser().await;
    visitor.go(&site.at("/")).await;
    visitor.sees("!document.querySelector('#go').hidden").await;
    visitor.press("#go").await;
    visitor.waits_as("line").await;
    visitor.screen("shop-waiting").await;
    site.leave(&inside).await;
    visitor.sees("document.querySelector('#map')").await;
    visitor.close().await;
}
