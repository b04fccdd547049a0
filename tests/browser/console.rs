//! The operator's console, beside a visitor who sees what it does.

use serde_json::{Value, json};

use crate::access::nothing_is_found;
use crate::driver::Browser;
use crate::site::{INSIDE, Site, looks_at_sale};

#[tokio::test(flavor = "multi_thread")]
async fn one_press_holds_everybody_and_one_more_takes_it_back() {
    let site = Site::open().await;
    site.rule(json!({ "maxActive": 1 })).await;
    let inside = site.join().await;
    let visitor = site.visitor().await;
    visitor.waits_as("line").await;
    let operator = site.operator().await;
    operator.press("#hold").await;
    says(&operator, "Everybody is held").await;
    let words = operator.text("#toast span").await;
    let seconds: f64 = words.split(' ').find_map(|it| it.parse().ok()).unwrap();
    assert!(seconds < 2.0, "{words}");
    visitor.waits_as("paused").await;
    operator
        .sees("document.querySelector('#audit').innerText.includes('paused')")
        .await;
    nothing_is_found(&operator, "console-held").await;
    operator.press("#toast button").await;
    visitor.waits_as("line").await;
    site.leave(&inside).await;
    visitor.sees(INSIDE).await;
    operator.close().await;
    visitor.end().await;
}

/// From now on `kept` has what files are made of, each with its type.
pub const EARS: &str = "window.kept = []; const make = window.URL.createObjectURL; \
    window.URL.createObjectURL = (blob) => { blob.text().then((text) => kept.push([blob.type, text])); return make(blob); }";

/// Presses the red button, and waits until everybody is held.
async fn hold(operator: &Browser) {
    operator.press("#hold").await;
    says(operator, "Everybody is held, after").await;
}

/// Waits until the console tells this.
pub async fn says(operator: &Browser, words: &str) {
    let said = format!("document.querySelector('#toast').innerText.includes('{words}')");
    operator.sees(&said).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_was_closed_by_itself_is_open_by_its_rules_after_a_hold() {
    let site = Site::shop().await;
    let inside = site.join().await;
    site.blocks(&inside, &(1..=50).collect::<Vec<_>>()).await;
    site.hears_of_left(&inside, 0).await;
    site.rule(json!({ "soldOut": "close" })).await;
    let operator = site.operator().await;
    operator
        .sees("document.querySelector('#state').innerText === 'closed'")
        .await;
    hold(&operator).await;
    assert_eq!(site.policy().await["state"], "paused");
    undo(&operator).await;
    says(&operator, "Undone").await;
    assert_eq!(site.policy().await["state"], "open");
    operator.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_else_changed_after_a_hold_is_not_undone_with_it() {
    let site = Site::open().await;
    let operator = site.operator().await;
    hold(&operator).await;
    site.rule(json!({ "maxActive": 9 })).await;
    undo(&operator).await;
    says(&operator, "somebody else").await;
    assert_eq!(site.policy().await["state"], "paused");
    operator.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_undo_takes_back_nothing_that_somebody_else_changed_since() {
    let site = Site::open().await;
    let operator = site.operator().await;
    operator.write("[name=maxActive]", "7").await;
    operator.press("#save").await;
    says(&operator, "maxActive 7").await;
    site.rule(json!({ "maxActive": 9 })).await;
    undo(&operator).await;
    says(&operator, "Somebody else").await;
    assert_eq!(site.policy().await["maxActive"], 9);
    operator.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_away_is_told_and_so_is_its_return() {
    let mut site = Site::open().await;
    let operator = site.operator().await;
    operator
        .sees("document.querySelector('#store').hidden")
        .await;
    site.stack.redis_mut().freeze();
    operator
        .sees("document.querySelector('#store').innerText.includes('The store is away')")
        .await;
    site.stack.redis_mut().thaw();
    operator
        .sees("document.querySelector('#store').hidden")
        .await;
    operator.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_are_steered_with_an_undo_and_the_sale_is_seen() {
    let site = Site::open().await;
    let operator = site.operator().await;
    operator.write("[name=maxActive]", "7").await;
    operator.write("[name=message]", "Come in.").await;
    operator.press("#save").await;
    says(&operator, "maxActive 7").await;
    operator
        .sees("document.querySelector('#now-active').innerText === '0 / 7'")
        .await;
    operator.press("#toast button").await;
    operator
        .sees("document.querySelector('#now-active').innerText === '0 / 100'")
        .await;
    operator.press("[data-part=report]").await;
    operator
        .sees("document.querySelector('#report-audit').innerText.includes('maxActive')")
        .await;
    looks_at_sale(&operator).await;
    operator.screen("console-sale").await;
    operator.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_operators_at_once_the_second_is_shown_what_the_first_did() {
    let site = Site::open().await;
    let operator = site.operator().await;
    operator.write("[name=maxActive]", "5").await;
    site.rule(json!({ "maxActive": 9 })).await;
    operator.press("#save").await;
    says(&operator, "Somebody else").await;
    operator
        .sees("document.querySelector('[name=maxActive]').value === '9'")
        .await;
    // The refusal is on the console, as every answer of 412 is.
    operator.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn seats_are_taken_off_sale_and_put_back_and_the_desk_sees_who_has_what() {
    let site = Site::shop().await;
    let operator = site.operator().await;
    operator.press("[data-part=sale]").await;
    operator
        .sees("document.querySelector('[data-concert]')")
        .await;
    operator.press("[data-concert]").await;
    operator.sees("document.querySelector('[data-date]')").await;
    operator
        .sees("document.querySelector('#dates-list').innerText.includes('0 sold, 0 held')")
        .await;
    operator.press("[data-date]").await;
    let sums =
        |text: &str| format!("document.querySelector('#desk-sum').innerText.includes('{text}')");
    operator.sees(&sums("50 available")).await;
    operator.write("#blocking [name=seats]", "7, 20-22").await;
    operator
        .write("#blocking [name=reason]", "Camera stands")
        .await;
    operator.press("#blocking [value=block]").await;
    operator.sees(&sums("4 blocked")).await;
    operator
        .sees("document.querySelector('#desk-table').innerText.includes('Camera stands')")
        .await;
    nothing_is_found(&operator, "console-desk").await;
    operator.press("#toast button").await;
    operator.sees(&sums("0 blocked")).await;
    for list in ["buyers", "reservations", "payments"] {
        operator.press(&format!("[data-list={list}]")).await;
        operator.sees(&sums("0 shown")).await;
    }
    operator.close().await;
}

/// Takes back what was done, as soon as that is offered.
pub async fn undo(operator: &Browser) {
    operator
        .sees("!document.querySelector('#toast').hidden && !document.querySelector('#toast button').hidden")
        .await;
    operator.press("#toast button").await;
}

/// Fills a field without keys: how a browser writes an instant by them depends on its language.
pub async fn set(operator: &Browser, field: &str, value: &str) {
    let script = format!(
        "const field = document.querySelector('{field}'); field.value = '{value}'; \
         field.dispatchEvent(new Event('input', {{ bubbles: true }}))"
    );
    operator.run(&script).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_concert_is_made_and_its_queue_is_opened_by_lot_at_an_instant() {
    let site = Site::shop().await;
    let operator = site.operator().await;
    let set = async |name: &str, value: &str| set(&operator, name, value).await;
    set("#rules [name=opensAt]", "2099-01-01T10:00:00").await;
    set("#rules [name=order]", "lottery").await;
    operator.press("#save").await;
    operator
        .sees("document.querySelector('#state').innerText === 'scheduled' && document.querySelector('#about').innerText.includes('by lot')")
        .await;
    undo(&operator).await;
    operator
        .sees("document.querySelector('#state').innerText === 'open' && document.querySelector('#about').innerText.includes('first come')")
        .await;
    operator.press("[data-set=closed]").await;
    operator
        .sees("document.querySelector('#state').innerText === 'closed'")
        .await;
    undo(&operator).await;
    operator
        .sees("document.querySelector('#state').innerText === 'open'")
        .await;
    operator.press("[data-part=sale]").await;
    operator.write("#concert [name=title]", "Aurora").await;
    operator.write("#concert [name=venue]", "North hall").await;
    set("#concert [name=startsAt]", "2099-02-01T20:00").await;
    operator
        .write("#concert [name=sections]", "FLOOR 90000 1 12")
        .await;
    operator.press("#concert .primary").await;
    says(&operator, "Aurora is on sale.").await;
    let dates = "[...document.querySelectorAll('#concerts li')].find((it) => it.innerText.includes('Aurora, North hall') || it.innerText.includes('Aurora North hall'))?.querySelector('button')";
    operator.sees(dates).await;
    operator.run(&format!("{dates}.click()")).await;
    operator
        .sees("document.querySelector('#dates-list').innerText.includes('0 sold, 0 held') && document.querySelector('#dates-list').innerText.includes('of 12')")
        .await;
    operator.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_is_seen_with_its_reason_and_sent_again() {
    let site = Site::shop().await;
    site.holds(&site.join().await).await;
    let url = site.stack.mysql_url();
    let (_, database) = url.rsplit_once('/').unwrap();
    let dead = format!(
        "UPDATE {database}.outbox SET state = 'dead', attempts = 20, last_error = 'Broker: no'"
    );
    site.stack.mariadb().execute(&dead).unwrap();
    let operator = site.operator().await;
    operator.press("[data-part=sale]").await;
    operator
        .sees("document.querySelector('#dead').innerText.includes('Broker: no')")
        .await;
    let letters = "document.querySelectorAll('#dead button').length";
    let before = operator.run(&format!("return {letters}")).await;
    operator.press("#dead button").await;
    says(&operator, "On its way again.").await;
    operator.sees(&format!("{letters} === {before} - 1")).await;
    operator.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_a_sale_is_kept_as_a_table_and_as_json_and_printed() {
    let site = Site::open().await;
    let operator = site.operator().await;
    operator.press("[data-part=report]").await;
    operator
        .sees("document.querySelector('#report-figures').innerText.includes('Kept promises')")
        .await;
    let ears = format!("{EARS}; window.print = () => kept.push('printed')");
    operator.run(&ears).await;
    for button in ["#report-csv", "#report-json", "#report-print"] {
        let count = operator.run("return kept.length").await;
        operator.press(button).await;
        operator.sees(&format!("kept.length > {count}")).await;
    }
    let kept = operator.run("return kept").await;
    assert_eq!(kept[0][0], "text/csv");
    let table = kept[0][1].as_str().unwrap();
    assert!(table.starts_with("at,epoch,waiting,"), "{table}");
    assert_eq!(kept[1][0], "application/json");
    let said: Value = serde_json::from_str(kept[1][1].as_str().unwrap()).unwrap();
    assert!(said["items"].is_array(), "{said}");
    assert_eq!(kept[2], "printed");
    operator.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_stays_in_the_tab_and_without_it_nothing_can_be_changed() {
    let site = Site::open().await;
    let operator = site.operator().await;
    let key = site.stack.operator_key();
    let places = "return [location.href, document.cookie, JSON.stringify(localStorage), JSON.stringify(sessionStorage)]";
    let places = operator.run(places).await;
    let places: Vec<_> = places.as_array().unwrap().iter().collect();
    let holds = |it: &&&Value| it.as_str().unwrap().contains(key);
    assert_eq!(places.iter().filter(holds).count(), 1);
    assert!(holds(&&places[3]), "the session of the tab");
    let asked = "return performance.getEntriesByType('resource').map((it) => it.name).join()";
    let asked = operator.run(asked).await;
    assert!(!asked.as_str().unwrap().contains(key));
    operator.reload().await;
    operator
        .sees("document.querySelector('#key-go')?.innerText === 'Lock' && document.querySelector('#audit')?.innerText")
        .await;
    operator.press("#key-go").await;
    operator
        .sees("document.querySelector('#hold').disabled && [...document.querySelector('#rules').elements].every((it) => it.disabled) && !Object.keys(sessionStorage).length")
        .await;
    operator
        .sees("document.querySelector('#now-active').innerText === '0 / 100'")
        .await;
    operator.close().await;
}
