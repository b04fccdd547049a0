//! The road of a visitor from the first request to the inside.

use reqwest::Response;
use serde_json::json;
use testbed::{eventually, within};

use crate::driver::PATIENCE;
use crate::site::{INSIDE, Site, leaves};

/// How many pings of the gateway, 15 s apart, a tab sleeps through: longer than streams are silent and than any poll.
const SLEPT_PINGS: usize = 5;

#[tokio::test(flavor = "multi_thread")]
async fn the_first_is_inside_at_once_and_the_second_sees_the_line_move_and_enters() {
    let site = Site::open().await;
    site.rule(json!({ "maxActive": 1, "message": "Doors at the north side." }))
        .await;
    let first = site.visitor().await;
    first.sees(INSIDE).await;
    let between = site.join().await;
    let second = site.visitor().await;
    second.waits_as("line").await;
    assert_eq!(second.text("[data-usher=position]").await, "2");
    assert_eq!(
        second.text("[data-usher=ahead]").await,
        "1 person is ahead of you"
    );
    assert_eq!(
        second.text("[data-usher=message]").await,
        "Doors at the north side."
    );
    second.screen("waiting").await;
    site.leave(&between).await;
    second
        .sees("document.querySelector('[data-usher=position]').innerText === '1'")
        .await;
    assert_eq!(second.text("[data-usher=ahead]").await, "You are next");
    let progress = second
        .run("return document.querySelector('progress').value")
        .await;
    assert_eq!(progress, 100, "of one who was ahead nobody is");
    let leave = "fetch('/api/v1/queues/main/tokens/me', { method: 'DELETE' })";
    first
        .run(&format!("return {leave}.then((it) => it.status)"))
        .await;
    second.sees(INSIDE).await;
    let address = second.run("return location.pathname").await;
    assert_eq!(
        address,
        site.gated.as_str(),
        "the address that was asked for"
    );
    second.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_operator_says_is_seen_and_the_end_of_a_pause_lets_in() {
    let site = Site::open().await;
    site.rule(json!({ "state": "paused" })).await;
    let visitor = site.visitor().await;
    visitor.waits_as("paused").await;
    visitor.screen("paused").await;
    site.rule(json!({ "message": "The band is late." })).await;
    visitor
        .sees("document.querySelector('.message').innerText.includes('The band is late.')")
        .await;
    site.rule(json!({ "state": "open" })).await;
    visitor.sees(INSIDE).await;
    visitor.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_tabs_of_a_visitor_share_one_stream_and_one_place() {
    let site = Site::open().await;
    site.rule(json!({ "maxActive": 1 })).await;
    let inside = site.join().await;
    let visitor = site.visitor().await;
    visitor.waits_as("line").await;
    for _ in 0..2 {
        visitor.run(&format!("window.open('{}')", site.gated)).await;
    }
    let locks = "const all = await navigator.locks.query(); return all.pending.length";
    let locks = format!("return (async () => {{ {locks} }})()");
    let share = async || (visitor.run(&locks).await == 2).then_some(());
    eventually(PATIENCE, "two tabs to listen to the first", share).await;
    site.has_waiting(1).await;
    site.leave(&inside).await;
    visitor.sees(INSIDE).await;
    visitor.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_in_one_tab_is_told_in_the_others_that_they_left() {
    let site = Site::with(&[("GATEWAY_IDENTITY", "anonymous")]).await;
    site.rule(json!({ "maxActive": 1 })).await;
    let _inside = site.join().await;
    let visitor = site.visitor().await;
    visitor.waits_as("line").await;
    let first = visitor.tab().await;
    visitor.new_tab().await;
    visitor.go(&site.at(&site.gated)).await;
    visitor.waits_as("line").await;
    leaves(&visitor).await;
    visitor.show_tab(&first).await;
    visitor.waits_as("left").await;
    // It may have asked once more, and was told that the visit is over.
    visitor.end().await;
}

/// Reads a stream of events up to so many pings of it.
async fn hears_pings(stream: &mut Response, count: usize) {
    let mut heard = String::new();
    while heard.matches(": ping").count() < count {
        let piece = stream.chunk().await.unwrap();
        heard += &String::from_utf8_lossy(&piece.expect("the stream goes on"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tab_that_slept_for_a_minute_enters_when_it_wakes() {
    let site = Site::open().await;
    site.rule(json!({ "maxActive": 1 })).await;
    let inside = site.join().await;
    let visitor = site.visitor().await;
    visitor.waits_as("line").await;
    let waiting = visitor.tab().await;
    let other = visitor.new_tab().await;
    visitor.drive_tab(&waiting).await;
    visitor
        .tell("Page.setWebLifecycleState", json!({ "state": "frozen" }))
        .await;
    site.rule(json!({ "message": "Said while you slept." }))
        .await;
    // A minute does have to pass: the clock of a frozen tab is the machine's, which nobody can move from here.
    // That it passed for the gateway too is heard by somebody who is awake, and who stays inside by it.
    let mut awake = site.stream(&inside).await;
    let slept = hears_pings(&mut awake, SLEPT_PINGS);
    within(PATIENCE * 2, "a minute of pings", slept).await;
    site.leave(&inside).await;
    visitor
        .tell("Page.setWebLifecycleState", json!({ "state": "active" }))
        .await;
    // Only a tab that somebody comes back to is seen: the command leaves it hidden.
    visitor.show_tab(&other).await;
    visitor.show_tab(&waiting).await;
    visitor.sees(INSIDE).await;
    visitor.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_streams_are_refused_the_place_is_polled() {
    let site = Site::with(&[("GATEWAY_STREAMS", "1")]).await;
    site.rule(json!({ "maxActive": 1 })).await;
    let inside = site.join().await;
    let only = site.stream(&inside).await;
    let visitor = site.visitor().await;
    visitor.waits_as("line").await;
    site.leave(&inside).await;
    visitor.sees(INSIDE).await;
    drop(only);
    visitor.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_costs_work_is_worked_for_in_the_browser() {
    let site = Site::with(&[("GATEWAY_POW_BITS", "14")]).await;
    let visitor = site.visitor().await;
    visitor.sees(INSIDE).await;
    visitor.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keyboard_is_enough_to_leave_and_to_come_back() {
    let site = Site::open().await;
    site.rule(json!({ "maxActive": 1 })).await;
    let _inside = site.join().await;
    let visitor = site.visitor().await;
    visitor.waits_as("line").await;
    visitor
        .sees("!document.querySelector('[data-usher=wishes]').hidden")
        .await;
    let (tab, enter) = ("\u{e004}", "\u{e007}");
    visitor.run("document.querySelector('h1').focus()").await;
    let is_leaving = "return document.activeElement.closest('form')?.dataset.usher === 'leave'";
    while visitor.run(is_leaving).await != true {
        visitor.keys(&[tab]).await;
    }
    visitor.keys(&[enter]).await;
    visitor.sees("document.querySelector('dialog').open").await;
    visitor.screen("leaving").await;
    visitor.keys(&[tab, enter]).await;
    visitor.waits_as("left").await;
    visitor.keys(&[tab, enter]).await;
    visitor.waits_as("line").await;
    visitor.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_background_tab_title_and_icon_tell_and_who_wants_it_hears_that_it_is_their_turn() {
    let site = Site::open().await;
    site.rule(json!({ "maxActive": 1, "title": "Aurora" }))
        .await;
    let inside = site.join().await;
    let visitor = site.visitor().await;
    visitor.waits_as("line").await;
    let icon = "document.querySelector('link[rel=icon]').href";
    visitor
        .sees(&format!(
            "document.title === '1 · You are in line · Aurora' && {icon}.endsWith('icon-line.svg')"
        ))
        .await;
    visitor
        .sees("!document.querySelector('[data-usher=wishes]').hidden")
        .await;
    // What the page asks of the browser, in place of a loudspeaker and a desktop.
    let ears = "window.heard = []; \
        window.Notification = class { \
            static requestPermission() { return Promise.resolve('granted'); } \
            constructor(title, { body }) { heard.push(`${title}, ${body}`); } }; \
        const make = AudioContext.prototype.createOscillator; \
        AudioContext.prototype.createOscillator = function () { heard.push('tone'); return make.call(this); };";
    visitor.run(ears).await;
    visitor.look_away().await;
    visitor.press("[data-usher=sound]").await;
    visitor.press("[data-usher=notify]").await;
    visitor
        .sees("document.querySelector('[data-usher=notify]').checked")
        .await;
    site.leave(&inside).await;
    visitor
        .sees("window.heard.join() === 'tone,tone,tone,It is your turn, Aurora'")
        .await;
    visitor
        .sees(&format!(
            "document.title === 'It is your turn · Aurora' && {icon}.endsWith('icon-turn.svg')"
        ))
        .await;
    visitor.look_back().await;
    visitor.sees(INSIDE).await;
    visitor.close().await;
}

/// All that a first visit loads, with heads, in bytes.
const BUDGET: u64 = 30 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn the_page_with_all_that_it_loads_is_small_on_the_wire() {
    let site = Site::open().await;
    site.rule(json!({ "state": "paused" })).await;
    let visitor = site.visitor().await;
    visitor
        .sees("document.querySelector('[data-usher=language] button').hidden")
        .await;
    let loaded = "return ['navigation', 'resource'].flatMap((type) => performance.getEntriesByType(type)) \
        .filter((it) => !it.name.endsWith('/events')).map((it) => [it.name, it.transferSize])";
    let loaded = visitor.run(loaded).await;
    let sizes = loaded.as_array().unwrap().iter();
    let sizes: Vec<_> = sizes.map(|it| it[1].as_u64().unwrap()).collect();
    assert!(
        sizes.len() >= 7 && sizes.iter().all(|it| *it > 0),
        "{loaded}"
    );
    assert!(sizes.iter().sum::<u64>() <= BUDGET, "{loaded}");
    visitor.close().await;
}
