//! The operator's console, beside a visitor who sees what it does.

use serde_json::json;

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
    operator
        .sees("document.querySelector('#toast').innerText.includes('Everybody is held')")
        .await;
    let words = operator.text("#toast span").await;
    let seconds: f64 = words.split(' ').find_map(|it| it.parse().ok()).unwrap();
    assert!(seconds < 2.0, "{words}");
    visitor.waits_as("paused").await;
    operator
        .sees("document.querySelector('#audit').innerText.includes('paused')")
        .await;
    operator.screen("console").await;
    operator.press("#toast button").await;
    visitor.waits_as("line").await;
    site.leave(&inside).await;
    visitor.sees(INSIDE).await;
    operator.close().await;
    visitor.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_are_steered_with_an_undo_and_the_sale_is_seen() {
    let site = Site::open().await;
    let operator = site.operator().await;
    operator.write("[name=maxActive]", "7").await;
    operator.write("[name=message]", "Come in.").await;
    operator.press("#save").await;
    operator
        .sees("document.querySelector('#toast').innerText.includes('maxActive 7')")
        .await;
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
    operator
        .sees("document.querySelector('#toast').innerText.includes('Somebody else')")
        .await;
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
    operator.screen("console-desk").await;
    operator.press("#toast button").await;
    operator.sees(&sums("0 blocked")).await;
    for list in ["buyers", "reservations", "payments"] {
        operator.press(&format!("[data-list={list}]")).await;
        operator.sees(&sums("0 shown")).await;
    }
    operator.close().await;
}
