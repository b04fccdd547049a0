//! What the waiting page takes care of: the address, the bar, the clock, the voice, the focus, the last seconds.

use reqwest::Response;
use serde_json::{Value, json};
use testbed::eventually;

use crate::console::{says, undo};
use crate::driver::{Browser, PATIENCE};
use crate::site::{INSIDE, SEATS, Site};

/// Said by the page to those who hear it.
const VOICE: &str = "document.querySelector('[data-usher=announce]').textContent";
/// The bar.
const DONE: &str = "document.querySelector('[data-usher=progress]').value";

/// A site with one inside, and a visitor who has the place after `others`.
async fn in_line(others: usize) -> (Site, Vec<String>, Browser) {
    let site = Site::open().await;
    let before = fill(&site, others).await;
    let visitor = site.visitor().await;
    visitor.waits_as("line").await;
    (site, before, visitor)
}

/// The same, where all streams are taken by who is inside and those first in line, so that they are there: the place of
/// the visitor is polled, and what a poll says can be altered on its way.
async fn in_line_by_polls(others: usize) -> (Site, Vec<String>, Vec<Response>, Browser) {
    let streams = 1 + others / 2;
    let site = Site::with(&[("GATEWAY_STREAMS", &streams.to_string())]).await;
    let before = fill(&site, others).await;
    let mut taken = Vec::new();
    for token in &before[..streams] {
        taken.push(site.stream(token).await);
    }
    let visitor = site.visitor().await;
    visitor.waits_as("line").await;
    (site, before, taken, visitor)
}

/// One who is inside, and `others` who wait.
async fn fill(site: &Site, others: usize) -> Vec<String> {
    site.rule(json!({ "maxActive": 1 })).await;
    let mut before = Vec::new();
    for _ in 0..=others {
        before.push(site.join().await);
    }
    before
}

#[tokio::test(flavor = "multi_thread")]
async fn one_enters_what_was_asked_for_with_query_and_fragment() {
    let site = Site::shop().await;
    let before = fill(&site, 0).await;
    let visitor = site.customer().await;
    let concert = visitor
        .run("return document.querySelector('#go').href")
        .await;
    let asked = format!("{}?from=%C3%A9&x=1#part", concert.as_str().unwrap());
    visitor.go(&asked).await;
    visitor.waits_as("line").await;
    site.leave(&before[0]).await;
    visitor.sees(SEATS).await;
    assert_eq!(visitor.run("return location.href").await, asked.as_str());
    visitor.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bar_never_goes_back_whatever_the_line_does() {
    let (site, before, taken, visitor) = in_line_by_polls(4).await;
    for token in &before[3..] {
        site.leave(token).await;
    }
    visitor.sees(&format!("{DONE} === 50")).await;
    let others = "const send = fetch; window.fetch = async (...it) => { \
        const answer = await send(...it); if (!String(it[0]).endsWith('/tokens/me')) return answer; \
        const place = await answer.json(); place.ahead += 9; place.position += 9; \
        return new Response(JSON.stringify(place), answer); };";
    visitor.run(others).await;
    let position = "document.querySelector('[data-usher=position]').textContent";
    visitor.sees(&format!("{position} === '12'")).await;
    assert_eq!(visitor.run(&format!("return {DONE}")).await, 50);
    visitor.reload().await;
    visitor
        .sees(&format!("{position} === '3' && {DONE} >= 50"))
        .await;
    drop(taken);
    visitor.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_countdown_runs_by_the_clock_of_the_gateway() {
    let site = Site::open().await;
    let visitor = site.browser().await;
    visitor.go(&site.at("/usher/left")).await;
    let in_an_hour = "return new Date(Date.now() + 3_600_000).toISOString()";
    site.rule(json!({ "opensAt": visitor.run(in_an_hour).await }))
        .await;
    visitor.go(&site.at(&site.gated)).await;
    visitor.waits_as("scheduled").await;
    let clock = "document.querySelector('[data-usher=clock]').textContent";
    visitor
        .sees(&format!("/^(59:|1:00:00)/.test({clock})"))
        .await;
    // The clock of this device is wrong from now on; each answer of the gateway says what is right.
    let wrong = format!(
        "window.before = {clock}; const now = window.Date.now; \
         window.Date.now = () => now() + 1_800_000; dispatchEvent(new Event('online'))"
    );
    visitor.run(&wrong).await;
    visitor
        .sees(&format!(
            "{clock} !== window.before && /^5\\d:/.test({clock})"
        ))
        .await;
    visitor.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_state_is_said_at_once_the_rest_is_not_and_the_focus_stays() {
    let (site, before, visitor) = in_line(3).await;
    let mut there = Vec::new();
    for token in &before[1..] {
        there.push(site.stream(token).await);
    }
    let says = async |words: &str| visitor.sees(&format!("{VOICE} === '{words}'")).await;
    says("You are in line. 3 people are ahead of you").await;
    let polite = "return document.querySelector('[data-usher=announce]').getAttribute('aria-live')";
    assert_eq!(visitor.run(polite).await, "polite");
    visitor.tab_to("#usher-language").await;
    // From now on the time of the page is what it is told.
    visitor
        .run("window.at = Date.now(); window.Date.now = () => window.at")
        .await;
    site.rule(json!({ "state": "paused" })).await;
    says("The line stands still. 3 people are ahead of you").await;
    site.leave(&before[1]).await;
    visitor
        .sees("document.querySelector('[data-usher=position]').innerText === '3'")
        .await;
    says("The line stands still. 3 people are ahead of you").await;
    visitor.run("window.at += 20_000").await;
    site.leave(&before[2]).await;
    says("The line stands still. 1 person is ahead of you").await;
    let focus = visitor.run("return document.activeElement.id").await;
    assert_eq!(focus, "usher-language");
    drop(there);
    visitor.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_looks_elsewhere_is_warned_before_a_claim_ends_and_enters_by_a_button() {
    let site = Site::open().await;
    site.rule(json!({ "maxActive": 1, "claimSeconds": 60 }))
        .await;
    let inside = site.join().await;
    let visitor = site.visitor().await;
    visitor.waits_as("line").await;
    visitor.look_away().await;
    site.leave(&inside).await;
    visitor.waits_as("turn").await;
    let clock = "document.querySelector('[data-usher=clock]').textContent";
    visitor.sees(&format!("/^0:[45]\\d$/.test({clock})")).await;
    assert_eq!(visitor.text("[data-usher=action]").await, "Enter now");
    assert!(
        !visitor
            .run(&format!("return {VOICE}"))
            .await
            .to_string()
            .contains("0:"),
        "no warning yet"
    );
    // Half a minute passes at once.
    visitor
        .run(
            "const now = performance.now.bind(performance); performance.now = () => now() + 30_000",
        )
        .await;
    visitor
        .sees(&format!("{VOICE}.startsWith('Time left to enter: 0:2')"))
        .await;
    visitor.press("[data-usher=action]").await;
    visitor.sees(INSIDE).await;
    visitor.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn work_is_done_in_a_worker_which_tells_how_far_it_is() {
    let site = Site::open().await;
    let visitor = site.browser().await;
    visitor.go(&site.at("/usher/left")).await;
    let solve = "window.told = []; const { solve } = await import('/usher.js'); \
        const make = window.Worker; window.Worker = class extends make { constructor(...it) { super(...it); window.hasWorker = true; } }; \
        solve({ challenge: 'of a test', bits: 16 }, { progress: (done) => told.push(done) }) \
            .then((nonce) => (window.nonce = nonce))";
    visitor
        .run(&format!("return (async () => {{ {solve} }})()"))
        .await;
    visitor.sees("window.nonce").await;
    let grows = "return [window.hasWorker, told.length > 0, told.every((it, at) => it >= 0 && it < 1 && (!at || it > told[at - 1]))]";
    assert_eq!(visitor.run(grows).await, json!([true, true, true]));
    visitor.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_language_counts_as_the_browser_does() {
    let site = Site::open().await;
    let visitor = site.browser().await;
    visitor.go(&site.at("/usher/left")).await;
    let table = include_str!("../../crates/gateway/tests/counted.json");
    let table: Value = serde_json::from_str(table).unwrap();
    for (tag, counted) in table.as_object().unwrap() {
        let count = format!(
            "return (async () => {{ const {{ Phrases }} = await import('/usher/latest/phrases.js'); \
             const phrases = await Phrases.load(new URL('/usher/latest/', location.href), '{tag}'); \
             return {counted}.map(([number]) => [number, phrases.plural.select(number), phrases.number(number)]) }})()"
        );
        assert_eq!(&visitor.run(&count).await, counted, "{tag}");
    }
    visitor.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_lost_while_the_device_is_offline_is_told_as_such() {
    let (mut site, _before, taken, visitor) = in_line_by_polls(0).await;
    visitor
        .run("Object.defineProperty(navigator, 'onLine', { get: () => false })")
        .await;
    site.stack.redis_mut().kill();
    visitor.waits_as("offline").await;
    drop(taken);
    visitor.end().await;
}

/// A pause that was answered is seen so much later at most.
const PAUSE_SEEN_MS: i64 = 2_000;
/// So often a machine that has much else to do may be late.
const PAUSES: usize = 5;
/// From now on a page writes down when it went over to a pause.
const SEES_PAUSES: &str = "const page = document.documentElement; new MutationObserver(() => { \
    if (page.dataset.state === 'paused') window.pausedAt ??= Date.now(); \
    }).observe(page, { attributes: true, attributeFilter: ['data-state'] })";
/// From now on a page writes down when a change of the rules was answered.
const HEARS_ANSWERS: &str = "const send = fetch; window.fetch = async (...it) => { const answer = await send(...it); \
    if (it[1]?.method === 'PUT') window.answeredAt ??= Date.now(); return answer; }";

/// An operator pauses and opens again; milliseconds by the clock of the machine from the answer until the page of a visitor
/// went over to the pause.
async fn pause_is_seen_after(operator: &Browser, visitor: &Browser) -> i64 {
    visitor.run("window.pausedAt = null").await;
    operator.run("window.answeredAt = null").await;
    operator.press("[data-set=paused]").await;
    visitor.waits_as("paused").await;
    visitor.sees("window.pausedAt").await;
    operator.sees("window.answeredAt").await;
    let seen = visitor.run("return window.pausedAt").await;
    let answered = operator.run("return window.answeredAt").await;
    undo(operator).await;
    // The console has read the rules again by then, so that the next change is made to those.
    says(operator, "Undone").await;
    visitor.waits_as("line").await;
    seen.as_i64().unwrap() - answered.as_i64().unwrap()
}

/// Both pages write their instants down themselves, so what the drivers take does not count. What a busy machine takes until
/// it runs a page does, and any one pause may be late by that: what is late by itself is so each time.
#[tokio::test(flavor = "multi_thread")]
async fn an_operator_who_pauses_is_seen_within_two_seconds_by_all_who_wait() {
    let (site, _before, visitor) = in_line(0).await;
    let operator = site.operator().await;
    visitor.run(SEES_PAUSES).await;
    operator.run(HEARS_ANSWERS).await;
    let mut after = Vec::new();
    while after.len() < PAUSES && after.iter().all(|ms| *ms > PAUSE_SEEN_MS) {
        after.push(pause_is_seen_after(&operator, &visitor).await);
    }
    let least = after.iter().min().unwrap();
    assert!(*least <= PAUSE_SEEN_MS, "milliseconds: {after:?}");
    eventually(PATIENCE, "the audit of it", async || {
        let audit = operator.text("#audit").await;
        audit.contains("paused").then_some(())
    })
    .await;
    operator.close().await;
    visitor.close().await;
}
