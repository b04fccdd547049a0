//! `usher.js` on pages of somebody else: another origin, the element, `fetch`, challenges.

use serde_json::{Value, json};

use crate::access::nothing_is_found;
use crate::driver::Browser;
use crate::elsewhere::Elsewhere;
use crate::site::{INSIDE, Site};

/// A page of another origin that imports the client, and a gateway that allows it.
async fn elsewhere(body: &str) -> (Site, Elsewhere) {
    let head = "<!doctype html><html lang=en><link rel=icon href=data:,><title>Shop</title>";
    let page = format!("{head}<body>{body}<script type=module src=/start.js></script>");
    let start = "const from = new URLSearchParams(location.search).get('from');\
        window.Usher = (await import(from)).Usher;";
    let elsewhere = Elsewhere::open(|_| {
        vec![
            ("/", "text/html", page.clone()),
            ("/start.js", "text/javascript", start.to_owned()),
        ]
    });
    let site = Site::with(&[
        ("GATEWAY_CORS_ORIGINS", &elsewhere.url()),
        ("GATEWAY_IDENTITY", "anonymous"),
    ])
    .await;
    (site, elsewhere)
}

async fn visitor_of(site: &Site, elsewhere: &Elsewhere) -> Browser {
    let visitor = site.browser().await;
    let from = site.at("/usher.js");
    visitor
        .go(&format!("{}/?from={from}", elsewhere.url()))
        .await;
    visitor.sees("window.Usher").await;
    visitor
}

/// What an asynchronous function body gives.
async fn given(visitor: &Browser, body: &str) -> Value {
    visitor
        .run(&format!("return (async () => {{ {body} }})()"))
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_element_shows_the_place_on_a_page_of_another_origin_and_tells_when_it_is_ones_turn() {
    let (site, elsewhere) = elsewhere("<usher-place queue=main join></usher-place>").await;
    site.rule(json!({ "maxActive": 1 })).await;
    let inside = site.join().await;
    let visitor = visitor_of(&site, &elsewhere).await;
    let shown = "document.querySelector('usher-place').shadowRoot?.textContent";
    visitor
        .sees(&format!("{shown}?.includes('You are next')"))
        .await;
    visitor
        .run("addEventListener('active', () => (window.isTurn = true))")
        .await;
    site.leave(&inside).await;
    visitor.sees("window.isTurn").await;
    visitor
        .sees(&format!("{shown}.includes('It is your turn')"))
        .await;
    visitor.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_streams_are_cut_without_a_word_the_client_polls() {
    let (site, elsewhere) = elsewhere("").await;
    site.rule(json!({ "maxActive": 1 })).await;
    let inside = site.join().await;
    let visitor = visitor_of(&site, &elsewhere).await;
    let watch = "const real = window.fetch; window.streams = 0; \
        window.fetch = (url, init) => String(url).endsWith('/events') ? (window.streams += 1, Promise.reject(new TypeError())) : real(url, init); \
        const usher = new Usher(); await usher.join(); window.heard = []; \
        (async () => { for await (const event of usher.watch()) window.heard.push(event.type); })();";
    given(&visitor, watch).await;
    visitor.sees("window.heard.includes('place')").await;
    assert_eq!(visitor.run("return window.streams").await, 2);
    site.leave(&inside).await;
    visitor.sees("window.heard.includes('active')").await;
    visitor.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fetch_waits_for_ones_turn_and_a_lost_answer_is_asked_for_with_the_same_key() {
    let (site, elsewhere) = elsewhere("").await;
    site.rule(json!({ "maxActive": 1 })).await;
    let inside = site.join().await;
    let visitor = visitor_of(&site, &elsewhere).await;
    let join = "window.usher = new Usher(); return (await usher.join()).position";
    assert_eq!(given(&visitor, join).await, 1);
    let path = &site.gated;
    let url = site.at(path);
    let refused =
        format!("return usher.fetch('{url}').catch((it) => [it.name, it.code, it.place.position])");
    assert_eq!(
        given(&visitor, &refused).await,
        json!(["NotAdmitted", "NOT_ADMITTED", 1])
    );
    visitor
        .run(&format!(
            "usher.fetch('{url}', {{ wait: true }}).then((it) => (window.seen = it.status))"
        ))
        .await;
    site.leave(&inside).await;
    visitor.sees("window.seen === 200").await;
    // The first answer is lost on its way.
    let lose = "const send = fetch; const keys = []; window.fetch = async (url, init) => { \
        const answer = await send(url, init); keys.push(new Headers(init.headers).get('idempotency-key')); \
        if (keys.length === 1) throw new TypeError('lost'); return answer; };";
    let charge = format!(
        "const answer = await usher.fetch('{}/api/v1/users/' + usher.last.userId + '/balance/charges', \
        {{ method: 'POST', headers: {{ 'content-type': 'application/json' }}, body: '{{\"amount\":500}}' }}); \
        const said = await answer.json(); return [said.balance, keys.length, new Set(keys).size]",
        site.at("")
    );
    let charged = given(&visitor, &format!("{lose} {charge}")).await;
    assert_eq!(charged, json!([500, 2, 1]), "charged once, with one key");
    visitor.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_watches_enters_leaves_and_is_still_known() {
    let (site, elsewhere) = elsewhere("").await;
    site.rule(json!({ "maxActive": 1 })).await;
    let inside = site.join().await;
    let visitor = visitor_of(&site, &elsewhere).await;
    let join = "window.usher = new Usher(); await usher.join(); window.heard = []; \
        (async () => { for await (const news of usher.watch()) { heard.push(news.type); if (news.type === 'message') break; } heard.push('over'); })(); \
        return [usher.last.position, usher.provenUntil.getTime() === Date.parse(usher.last.tokenExpiresAt)]";
    assert_eq!(given(&visitor, join).await, json!([1, true]));
    visitor.sees("heard.includes('place')").await;
    site.rule(json!({ "message": "Soon." })).await;
    visitor.sees("heard.at(-1) === 'over'").await;
    visitor
        .run("usher.enter().then((place) => (window.entered = place.state))")
        .await;
    site.leave(&inside).await;
    visitor.sees("window.entered === 'active'").await;
    let leave = "window.user = usher.last.userId; await usher.leave(); \
        return usher.place().catch((it) => [it.name, it.code, usher.last])";
    assert_eq!(
        given(&visitor, leave).await,
        json!(["NotAdmitted", "TOKEN_EXPIRED", null])
    );
    let own = format!("{}/' + user + '/balance'", site.at("/api/v1/users"));
    let look = format!("return (await usher.fetch('{own})).status");
    assert_eq!(given(&visitor, &look).await, 200, "still known");
    let again = "return (await usher.join()).userId === user";
    assert_eq!(given(&visitor, again).await, true, "the same visitor");
    visitor.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_another_origin_a_token_is_renewed_while_one_looks_at_ones_own_things() {
    let (site, elsewhere) = elsewhere("").await;
    let visitor = visitor_of(&site, &elsewhere).await;
    let join = "window.usher = new Usher(); window.user = (await usher.join()).userId; \
        return sessionStorage.getItem(usher.name)";
    let first = given(&visitor, join).await;
    let first = first.as_str().unwrap();
    let own = site.at("/api/v1/users");
    let look = format!(
        "const until = usher.provenUntil; \
         const {{ status }} = await usher.fetch('{own}/' + user + '/balance'); \
         return [status, sessionStorage.getItem(usher.name), usher.provenUntil >= until]"
    );
    let inside = given(&visitor, &look).await;
    assert_eq!(inside, json!([200, first, true]), "of a visit that lasts");
    site.leave(first).await;
    let over = given(&visitor, &look).await;
    assert_eq!((&over[0], &over[2]), (&json!(200), &json!(true)), "{over}");
    assert_ne!(over[1], first, "another, in its place");
    let again = "return (await usher.join()).userId === user";
    assert_eq!(given(&visitor, again).await, true, "the same visitor");
    visitor.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_challenge_by_others_is_shown_and_its_origin_is_allowed_on_this_page_alone() {
    let widget = "globalThis.turnstile = { render(place, { sitekey, callback }) { \
        const button = document.createElement('button'); button.id = 'solve'; button.textContent = sitekey; \
        button.onclick = () => callback('solved by a person'); place.append(button); } };";
    let others = Elsewhere::open(|_| {
        vec![
            ("/api.js", "text/javascript", widget.to_owned()),
            (
                "/verify",
                "application/json",
                "{\"success\":true}".to_owned(),
            ),
        ]
    });
    let site = Site::with(&[
        (
            "GATEWAY_CHALLENGE_VERIFY_URL",
            &format!("{}/verify", others.url()),
        ),
        ("GATEWAY_CHALLENGE_SECRET", "of-the-site"),
        ("GATEWAY_CHALLENGE_SITE_KEY", "site-1"),
        (
            "GATEWAY_CHALLENGE_SCRIPT",
            &format!("{}/api.js", others.url()),
        ),
        // Both at once: the answer to the challenge is good once, the puzzle comes after it.
        ("GATEWAY_POW_BITS", "8"),
    ])
    .await;
    let visitor = site.visitor().await;
    visitor.waits_as("challenge").await;
    visitor
        .sees("document.querySelector('#solve')?.textContent === 'site-1'")
        .await;
    nothing_is_found(&visitor, "challenge").await;
    let policy = async |path: &str| {
        let asked = format!(
            "return (await fetch('{path}', {{ headers: {{ accept: 'text/html' }} }})).headers.get('content-security-policy')"
        );
        given(&visitor, &asked).await.to_string()
    };
    assert!(!policy("/console/").await.contains(&others.url()));
    visitor.press("#solve").await;
    visitor.sees(INSIDE).await;
    visitor.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_drawn_sees_the_own_lot_and_its_proof() {
    let site = Site::open().await;
    site.rule(json!({ "maxActive": 1 })).await;
    let inside = site.join().await;
    site.rule(json!({ "order": "lottery", "opensAt": "2099-01-01T10:00:00Z" }))
        .await;
    let visitor = site.visitor().await;
    visitor.waits_as("draw").await;
    nothing_is_found(&visitor, "draw").await;
    site.join().await;
    let soon = "return new Date(Date.now() + 3000).toISOString()";
    site.rule(json!({ "opensAt": visitor.run(soon).await }))
        .await;
    visitor.waits_as("line").await;
    let lot = "document.querySelector('[data-usher=lot]')";
    visitor
        .sees(&format!(
            "!{lot}.parentElement.hidden && /\\d{{9}}/.test({lot}.textContent)"
        ))
        .await;
    nothing_is_found(&visitor, "drawn").await;
    let told = visitor.text("[data-usher=lot]").await;
    visitor.reload().await;
    visitor
        .sees(&format!("{lot}.textContent === '{told}'"))
        .await;
    let proof = given(
        &visitor,
        &format!("return (await fetch({lot}.parentElement.querySelector('a').href)).json()"),
    )
    .await;
    assert_eq!(told, format!("Your lot: {}", proof["lot"]));
    drop(inside);
    visitor.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_types_of_the_client_name_what_it_has_and_nothing_else() {
    let (site, elsewhere) = elsewhere("").await;
    let visitor = visitor_of(&site, &elsewhere).await;
    let script = format!(
        "const types = await (await fetch('{}')).text(); const client = await import('{}'); \
        const usher = new client.Usher(); const place = await usher.join(); \
        const named = (text, pattern) => [...text.matchAll(pattern)].map((it) => it[1]); \
        const block = (head) => types.split(head)[1].split('\\n}}')[0]; \
        const sorted = (names) => [...new Set(names)].sort(); \
        const own = (kind) => Object.getOwnPropertyNames(kind.prototype); \
        return [ \
            [named(types, /^export (?:class|function|const) (\\w+)/gm), Object.keys(client)], \
            [named(block('class Usher extends EventTarget {{'), /^  (?:readonly )?(\\w+)[(:<]/gm) \
                .filter((it) => it !== 'addEventListener'), \
             [...own(client.Usher), 'queue', 'base']], \
            [named(block('interface Place {{'), /^  (\\w+)[?]?:/gm), Object.keys(place)], \
        ].map((both) => both.map(sorted))",
        site.at("/usher.d.ts"),
        site.at("/usher.js"),
    );
    let compared = given(&visitor, &script).await;
    for both in compared.as_array().unwrap() {
        assert_eq!(both[0], both[1], "usher.d.ts against usher.js");
    }
    visitor.end().await;
}
