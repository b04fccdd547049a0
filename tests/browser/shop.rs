//! The road from the printed address to the ticket, in the demo shop.

use serde_json::json;

use crate::access::nothing_is_found;
use crate::driver::{Browser, ENTER};
use crate::relay::Relay;
use crate::site::{HELD, LINE, PAID, SEATS, Site, go_in, holds_best, leaves, pays};

/// Chooses the seat of this number in the list, which is there for those who do not see the map.
async fn choose(visitor: &Browser, number: u32) {
    let box_of = format!("document.querySelector('#list [value=\"{number}\"]')");
    visitor
        .run("document.querySelector('details').open = true")
        .await;
    visitor.sees(&box_of).await;
    visitor.run(&format!("{box_of}.click()")).await;
    visitor.sees(&format!("{box_of}.checked")).await;
}

async fn at_the_seats(site: &Site) -> Browser {
    let visitor = site.browser().await;
    visitor.size(1200, 950, false).await;
    site.front(&visitor).await;
    visitor.screen("shop").await;
    go_in(&visitor, SEATS).await;
    visitor
}

async fn holds(site: &Site, number: u32) -> Browser {
    let visitor = at_the_seats(site).await;
    choose(&visitor, number).await;
    visitor.press("#hold").await;
    visitor.sees(HELD).await;
    visitor
}

#[tokio::test(flavor = "multi_thread")]
async fn from_the_first_page_to_the_ticket_and_back() {
    let site = Site::shop().await;
    let visitor = at_the_seats(&site).await;
    visitor.screen("shop-seats").await;
    choose(&visitor, 7).await;
    choose(&visitor, 8).await;
    visitor
        .sees("document.querySelectorAll('#chosen li').length === 2")
        .await;
    visitor.press("#hold").await;
    visitor.sees(HELD).await;
    visitor.back().await;
    visitor
        .sees("!(document.querySelector('#holding')?.hidden ?? true)")
        .await;
    visitor.press("#go_on").await;
    visitor.sees(HELD).await;
    visitor.reload().await;
    visitor
        .sees(&format!(
            "{HELD} && document.querySelector('#left').textContent"
        ))
        .await;
    visitor.screen("shop-held").await;
    pays(&visitor).await;
    visitor
        .sees("document.querySelector('#bars').width > 200")
        .await;
    visitor.screen("shop-ticket").await;
    visitor.reload().await;
    visitor.sees(PAID).await;
    visitor.go(&site.at("/shop/mine")).await;
    visitor
        .sees("document.querySelectorAll('#orders a').length === 1")
        .await;
    visitor.press("#orders a").await;
    visitor.sees(PAID).await;
    visitor.press("#refund").await;
    visitor.press("#sure [value=refund]").await;
    visitor
        .sees("document.documentElement.dataset.state === 'refunded'")
        .await;
    visitor.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_whose_answer_is_lost_is_paid_once() {
    let site = Site::shop().await;
    let relay = Relay::start(&site.stack.gateway_urls());
    let visitor = holds(&site, 7).await;
    let order = visitor.run("return location.pathname").await;
    // Cookies know no ports.
    visitor
        .go(&format!("{}{}", relay.url(), order.as_str().unwrap()))
        .await;
    visitor.sees(HELD).await;
    relay.lose_answer_to("POST /api/v1/payments");
    pays(&visitor).await;
    assert!(relay.count() >= 2, "it was sent again");
    let user = "const { userId } = await fetch(`/api/v1/reservations/${location.pathname.split('/').at(-1)}`).then((it) => it.json());";
    let ledger = "return (await fetch(`/api/v1/users/${userId}/ledger`).then((it) => it.json())).items.length";
    let entries = visitor
        .run(&format!("return (async () => {{ {user} {ledger} }})()"))
        .await;
    assert_eq!(entries, 2, "one charge and one payment");
    visitor.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_who_want_one_seat_the_slower_is_told_and_offered_the_next() {
    let site = Site::shop().await;
    let (fast, slow) = (at_the_seats(&site).await, at_the_seats(&site).await);
    choose(&slow, 7).await;
    choose(&fast, 7).await;
    // The slower one has pressed already when the faster one does; their network is slow.
    slow.run("const send = fetch; window.fetch = async (...it) => { if (String(it[0]).endsWith('/reservations')) await new Promise((go) => (window.go = go)); return send(...it); }")
        .await;
    slow.press("#hold").await;
    slow.sees("window.go").await;
    fast.press("#hold").await;
    fast.sees(HELD).await;
    slow.run("window.go()").await;
    slow.sees("document.querySelector('#told').textContent.includes('seat 7 is gone')")
        .await;
    nothing_is_found(&slow, "faster").await;
    let offered = slow.text("#chosen").await;
    assert!(
        offered.contains(" 8") || offered.contains(" 6"),
        "{offered}"
    );
    fast.close().await;
    slow.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_holds_a_seat_in_another_tab_is_told_that_it_is_their_own() {
    let site = Site::shop().await;
    let visitor = at_the_seats(&site).await;
    choose(&visitor, 7).await;
    let hold = "send('/api/v1/reservations', { method: 'POST', headers: { 'content-type': 'application/json' }, body: it[1].body })";
    visitor
        .run(&format!("const send = fetch; window.fetch = async (...it) => {{ if (String(it[0]).endsWith('/reservations')) await {hold}; return send(...it); }}"))
        .await;
    visitor.press("#hold").await;
    visitor
        .sees("document.querySelector('#told').textContent === 'You hold seat 7 already.'")
        .await;
    visitor
        .sees("!document.querySelector('#holding').hidden")
        .await;
    visitor
        .sees("document.querySelectorAll('#chosen li').length === 0")
        .await;
    visitor.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_is_paid_after_the_lease_has_ended_and_the_next_is_inside() {
    let site = Site::shop().await;
    site.rule(json!({ "maxActive": 1, "leaseSeconds": 20, "claimSeconds": 20 }))
        .await;
    let next = site.customer().await;
    let visitor = at_the_seats(&site).await;
    go_in(&next, LINE).await;
    choose(&visitor, 7).await;
    visitor.press("#hold").await;
    visitor.sees(HELD).await;
    let order = visitor.run("return location.href").await;
    visitor.back().await;
    visitor
        .sees("document.querySelector('#over') && !document.querySelector('#over').hidden")
        .await;
    nothing_is_found(&visitor, "over").await;
    next.sees(SEATS).await;
    visitor.press("#go_on").await;
    visitor.sees(HELD).await;
    assert_eq!(visitor.run("return location.href").await, order);
    pays(&visitor).await;
    next.close().await;
    visitor.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_tabs_of_one_visitor_show_the_same_order() {
    let site = Site::shop().await;
    let visitor = holds(&site, 7).await;
    let first = visitor.tab().await;
    let order = visitor.run("return location.href").await;
    let second = visitor.new_tab().await;
    visitor.go(order.as_str().unwrap()).await;
    visitor.sees(HELD).await;
    visitor.show_tab(&first).await;
    pays(&visitor).await;
    visitor.show_tab(&second).await;
    visitor.sees(PAID).await;
    visitor.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_must_wait_sees_the_waiting_page_before_the_seats() {
    let site = Site::shop().await;
    site.rule(json!({ "maxActive": 1, "title": "A night at the tests" }))
        .await;
    let inside = site.join().await;
    let visitor = site.customer().await;
    go_in(&visitor, LINE).await;
    visitor.screen("shop-waiting").await;
    site.leave(&inside).await;
    visitor.sees(SEATS).await;
    visitor.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_anonymous_buyer_who_leaves_the_line_keeps_the_ticket() {
    let site = Site::shop_with_rules(&[("GATEWAY_IDENTITY", "anonymous")], &[]).await;
    let visitor = holds(&site, 7).await;
    pays(&visitor).await;
    site.rule(json!({ "maxActive": 1 })).await;
    let _inside = site.join().await;
    site.front(&visitor).await;
    visitor.press("#go").await;
    visitor.waits_as("expired").await;
    visitor.press("[data-usher=again] button").await;
    visitor.waits_as("line").await;
    leaves(&visitor).await;
    let tickets = "document.querySelectorAll('#orders .card').length === 1";
    visitor.go(&site.at("/shop/mine")).await;
    visitor.sees(tickets).await;
    // Who comes back to the seats is told so, and gets a place by the button alone.
    site.front(&visitor).await;
    visitor.press("#go").await;
    visitor.waits_as("left").await;
    visitor.press("[data-usher=again] button").await;
    visitor.waits_as("line").await;
    visitor.go(&site.at("/shop/mine")).await;
    visitor.sees(tickets).await;
    visitor.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keyboard_is_enough_from_the_first_page_to_the_ticket() {
    let site = Site::shop().await;
    let visitor = site.customer().await;
    visitor.tab_to("#go").await;
    visitor.keys(&[ENTER]).await;
    visitor.sees(SEATS).await;
    visitor.tab_to("#map").await;
    let right = "\u{e014}";
    visitor.keys(&[right, right, " "]).await;
    visitor
        .sees("document.querySelectorAll('#chosen li').length === 1")
        .await;
    let heard = visitor.text("#seat").await;
    assert!(
        heard.starts_with("Seat ") && heard.ends_with("yours"),
        "{heard}"
    );
    visitor.tab_to("#hold").await;
    visitor.keys(&[ENTER]).await;
    visitor
        .sees("!(document.querySelector('#charge')?.hidden ?? true)")
        .await;
    visitor.tab_to("#charge").await;
    visitor.keys(&[ENTER]).await;
    visitor
        .sees("!document.querySelector('#pay').disabled")
        .await;
    visitor.tab_to("#pay").await;
    visitor.keys(&[ENTER]).await;
    visitor.sees(PAID).await;
    visitor.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn korean_is_spoken_with_korean_prices() {
    let site = Site::shop().await;
    let visitor = at_the_seats(&site).await;
    visitor.press("[data-language]").await;
    visitor
        .sees(&format!(
            "document.documentElement.lang === 'ko' && {SEATS}"
        ))
        .await;
    visitor.screen("shop-korean").await;
    assert_eq!(visitor.text("#hold").await, "이 좌석 잡기");
    let legend = visitor.text("#legend").await;
    assert!(legend.contains("₩150,000"), "{legend}");
    let same = "return Object.keys(texts.TEXTS.en).filter((it) => !texts.TEXTS.ko[it]).concat(Object.keys(texts.TEXTS.ko).filter((it) => !texts.TEXTS.en[it]))";
    let missing = visitor
        .run(&format!("return (async () => {{ const texts = await import(document.querySelector('script').src.replace('concert', 'texts')); {same} }})()"))
        .await;
    assert_eq!(missing, json!([]), "texts of one language alone");
    visitor.close().await;
}

/// From now on `painted` has how many shapes each frame has painted into the map.
const COUNTS_FRAMES: &str = "window.painted = []; let shapes = 0; \
    const [next, shape] = [requestAnimationFrame, CanvasRenderingContext2D.prototype.roundRect]; \
    window.requestAnimationFrame = (act) => next((at) => { shapes = 0; act(at); if (shapes) painted.push(shapes); }); \
    CanvasRenderingContext2D.prototype.roundRect = function (...it) { shapes += 1; return shape.apply(this, it); };";

#[tokio::test(flavor = "multi_thread")]
async fn a_hall_of_eight_thousand_is_shown_whole_moved_in_and_listed_piece_by_piece() {
    let site =
        Site::shop_with(json!([{ "grade": "FLOOR", "price": 90_000, "from": 1, "to": 8_000 }]))
            .await;
    let visitor = at_the_seats(&site).await;
    visitor.screen("shop-large").await;
    what_moves_is_what_is_seen(&site, &visitor).await;
    visitor.tab_to("#map").await;
    visitor.keys(&["+", "\u{e015}", " "]).await;
    visitor
        .sees("document.querySelectorAll('#chosen li').length === 1")
        .await;
    visitor
        .run("document.querySelector('details').open = true")
        .await;
    let listed = "document.querySelectorAll('#list label').length";
    visitor.sees(&format!("{listed} === 200")).await;
    visitor.press("#list button").await;
    visitor.sees(&format!("{listed} === 400")).await;
    visitor.press("#hold").await;
    visitor.sees(HELD).await;
    visitor.close().await;
}

/// However large a hall is, the page does not grow with it, a frame paints the seats that are in view and no others, and
/// of a seat that changes no more than its neighbours is painted again. Times depend on the machine; this does not.
async fn what_moves_is_what_is_seen(site: &Site, visitor: &Browser) {
    let inside = site.join().await;
    visitor.run(COUNTS_FRAMES).await;
    let count = async |what: &str| {
        let count = visitor.run(&format!("return {what}")).await;
        count.as_u64().unwrap()
    };
    // How many shapes a frame paints at most, from now until there is one.
    let most = async || {
        visitor.sees("painted.length > 0").await;
        count("Math.max(...painted)").await
    };
    let forget = async || visitor.run("window.painted = []").await;
    let nodes = "document.querySelectorAll('*').length";
    let before = count(nodes).await;
    assert!(before < 500, "{before}");
    visitor.press("[data-zoom=out]").await;
    visitor.sees("painted.at(-1) === 8000").await;
    forget().await;
    site.blocks(&inside, &[4_000]).await;
    let painted = most().await;
    assert!(painted <= 9, "{painted}");

    for _ in 0..10 {
        visitor.press("[data-zoom=in]").await;
    }
    visitor.sees("painted.at(-1) < 500").await;
    forget().await;
    visitor.drag("#map", 40, 20).await;
    let painted = most().await;
    assert!((50..500).contains(&painted), "{painted}");
    forget().await;
    // One in the middle of the hall.
    site.blocks(&inside, &[4_186]).await;
    assert_eq!(most().await, 1);
    let picture = "document.querySelector('#map').toDataURL()";
    visitor
        .run(&format!(
            "window.picture = {picture}; window.painted = []; \
             document.querySelector('#map').dispatchEvent(new Event('contextrestored'))"
        ))
        .await;
    assert!(most().await >= 50, "as a whole");
    assert_eq!(
        visitor.run(&format!("return picture === {picture}")).await,
        true
    );
    assert_eq!(count(nodes).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_anonymous_buyer_is_told_until_when_the_ticket_can_be_opened() {
    let site = Site::shop_with_rules(&[("GATEWAY_IDENTITY", "anonymous")], &[]).await;
    let visitor = at_the_seats(&site).await;
    holds_best(&visitor).await;
    pays(&visitor).await;
    let told = "const { items } = await fetch('/api/v1/reservations').then(async (it) => { \
        window.until = new Date(it.headers.get('x-usher-token-expires')); return it.json(); }); \
        const day = (language) => new Intl.DateTimeFormat(language, { dateStyle: 'full' }).format(until); \
        return [items.length, until > Date.now(), ...['en', 'ko'].map(day)]";
    let told = visitor
        .run(&format!("return (async () => {{ {told} }})()"))
        .await;
    assert_eq!((&told[0], &told[1]), (&json!(1), &json!(true)), "{told}");
    let says = async |words: &str, day: usize| {
        let day = told[day].as_str().unwrap();
        let text = "document.querySelector('#known').innerText";
        visitor
            .sees(&format!(
                "{text}.includes('{words}') && {text}.includes('{day}')"
            ))
            .await;
    };
    says("This browser can open it until", 2).await;
    visitor.screen("shop-known").await;
    visitor.go(&site.at("/shop/mine")).await;
    says("This browser can open it until", 2).await;
    visitor.press("[data-language]").await;
    says("까지 열 수 있습니다", 3).await;
    visitor.press("#orders a").await;
    visitor.sees(PAID).await;
    says("까지 열 수 있습니다", 3).await;
    visitor.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_slow_is_warned_before_a_hold_ends_and_gets_more_time_once() {
    let site = Site::shop_with_rules(&[], &[("BOOKING_HOLD_S", "50")]).await;
    let visitor = holds(&site, 7).await;
    visitor
        .sees("document.querySelector('#hurry').innerText === 'Less than a minute left.'")
        .await;
    nothing_is_found(&visitor, "hurry").await;
    visitor.press("#longer button").await;
    visitor
        .sees("/^2:/.test(document.querySelector('#left').innerText)")
        .await;
    visitor
        .sees("document.querySelector('#hurry').hidden && document.querySelector('#longer').hidden")
        .await;
    pays(&visitor).await;
    visitor.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seat_is_chosen_by_a_finger_on_the_map_and_seen_by_all_when_it_is_held() {
    let site = Site::shop().await;
    let (one, other) = (at_the_seats(&site).await, at_the_seats(&site).await);
    choose(&other, 7).await;
    // Seats lie in rows around the middle of the map, so one of these points is a seat.
    for step in 0..20 {
        one.touch("#map", step * 4, step * 6).await;
        if one
            .run("return document.querySelectorAll('#chosen li').length")
            .await
            == 1
        {
            break;
        }
    }
    let chosen = one.text("#chosen").await;
    assert!(chosen.contains('₩'), "{chosen}");
    one.press("#hold").await;
    one.sees(HELD).await;
    one.back().await;
    one.sees("!(document.querySelector('#holding')?.hidden ?? true)")
        .await;
    choose(&one, 7).await;
    one.press("#hold").await;
    one.sees(HELD).await;
    other
        .sees("document.querySelectorAll('#chosen li').length === 0")
        .await;
    let seat = "document.querySelector('#list [value=\"7\"]')";
    other.sees(&format!("!{seat}")).await;
    one.close().await;
    other.close().await;
}
