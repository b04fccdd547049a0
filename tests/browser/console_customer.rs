//! The operator's console: what one customer has, and what the desk does for them.

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::access::nothing_is_found;
use crate::console::{EARS, says};
use crate::console_dates::opens_dates;
use crate::driver::Browser;
use crate::fit::fits;
use crate::relay::Relay;
use crate::site::Site;

/// Whether the things of a customer are shown.
const SHOWN: &str = "!document.querySelector('#customer-shown').hidden";
/// A site where somebody bought the seats 7 and 8, for 100,000 won each; their payment.
async fn sold() -> (Site, Value) {
    let seats = json!([{ "grade": "VIP", "price": 100_000, "from": 1, "to": 12 }]);
    let site = Site::shop_with(seats).await;
    let payment = site.buys(&[7, 8]).await;
    (site, payment)
}

/// Gives the console, which is locked, a key.
async fn unlocks(operator: &Browser, key: &str) {
    operator
        .sees("document.querySelector('[data-queue=main]')")
        .await;
    operator.write("#key", key).await;
    operator.press("#key-go").await;
    operator
        .sees("document.querySelector('#key-go').innerText === 'Lock'")
        .await;
}

/// Asks for a customer, in the part of the console for that.
async fn opens(operator: &Browser, user: &str) {
    operator.press("[data-part=customer]").await;
    operator.write("#customer-form [name=userId]", user).await;
    operator.press("#customer-form .primary").await;
}

/// An operator who sees what a customer has, on a screen where nothing has to be scrolled.
async fn at_the_customer(site: &Site, user: &str) -> Browser {
    let operator = site.operator().await;
    operator.size(1280, 2400, false).await;
    opens(&operator, user).await;
    operator.sees(SHOWN).await;
    operator
}

async fn shows(operator: &Browser, place: &str, words: &str) {
    let shown = format!("document.querySelector('{place}').innerText.includes('{words}')");
    operator.sees(&shown).await;
}

async fn moves(operator: &Browser, amount: &str, why: &str, by: &str) {
    operator.write("#money [name=amount]", amount).await;
    operator.write("#money [name=reason]", why).await;
    operator.press(&format!("#money [value={by}]")).await;
}

/// Types what the dialog wants typed.
async fn confirms(operator: &Browser) {
    let word = operator.text("#sure-word").await;
    operator.write("#sure [name=typed]", &word).await;
    operator.press("#sure-go").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gift_and_a_correction_are_in_the_wallet_and_the_ledger_says_why() {
    let (site, payment) = sold().await;
    let operator = at_the_customer(&site, payment["userId"].as_str().unwrap()).await;
    shows(&operator, "#customer-figures", "0 KRW").await;
    shows(&operator, "#bought-table", "7 VIP, 8 VIP").await;
    moves(&operator, "5000", "Sound failed", "credits").await;
    says(&operator, "5,000 KRW given; in the wallet are 5,000.").await;
    shows(&operator, "#customer-figures", "5,000 KRW").await;
    shows(&operator, "#ledger-table", "Sound failed").await;
    moves(&operator, "-2000", "Given twice", "corrections").await;
    says(&operator, "in the wallet are 3,000.").await;
    shows(&operator, "#customer-figures", "3,000 KRW").await;
    shows(&operator, "#ledger-table", "corrected down").await;
    nothing_is_found(&operator, "console-customer").await;
    // More than there is.
    moves(&operator, "-4000", "Given twice", "corrections").await;
    operator
        .sees("document.querySelector('#toast').classList.contains('bad')")
        .await;
    assert_eq!(operator.text("#customer-figures b").await, "3,000 KRW");
    fits(&operator, "console-customer").await;
    operator.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seat_an_amount_and_the_rest_are_given_back_to_a_customer() {
    let (site, payment) = sold().await;
    let operator = at_the_customer(&site, payment["userId"].as_str().unwrap()).await;
    let begins = async || {
        operator.press("#bought-table button").await;
        operator
            .sees("!document.querySelector('#refund').hidden")
            .await;
    };
    begins().await;
    nothing_is_found(&operator, "console-refund").await;
    operator.press("#refund-seats [value=\"8\"]").await;
    operator.press("#refund .danger").await;
    says(&operator, "100,000 KRW given back. Free again: 8.").await;
    shows(&operator, "#bought-table", "partially refunded").await;
    begins().await;
    operator.write("#refund [name=amount]", "30000").await;
    operator.press("#refund .danger").await;
    says(&operator, "30,000 KRW given back.").await;
    shows(&operator, "#bought-table", "130,000").await;
    begins().await;
    operator.press("#refund .danger").await;
    says(&operator, "70,000 KRW given back. Free again: 7.").await;
    shows(&operator, "#customer-figures", "200,000 KRW").await;
    let rows = "[...document.querySelectorAll('#ledger-table tr')].filter((it) => it.innerText.includes('refunded')).length";
    operator.sees(&format!("{rows} === 3")).await;
    // There is nothing left to give back, so the focus is in the list.
    operator
        .sees("!document.querySelector('#bought-table button') && document.activeElement.ariaLabel === 'Reservations and payments'")
        .await;
    operator.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gift_whose_answer_is_lost_is_given_once() {
    let site = Site::shop().await;
    let relay = Relay::start(&site.stack.gateway_urls());
    let operator = site.browser().await;
    operator.size(1280, 2400, false).await;
    operator.go(&format!("{}/console/", relay.url())).await;
    unlocks(&operator, site.key()).await;
    opens(&operator, &Uuid::new_v4().to_string()).await;
    operator.sees(SHOWN).await;
    relay.lose_answer_to("POST /api/v1/admin/users/");
    moves(&operator, "5000", "Sound failed", "credits").await;
    // A browser may send it again by itself.
    operator
        .sees("/No answer came|given;/.test(document.querySelector('#toast').innerText)")
        .await;
    if operator.text("#toast").await.contains("No answer") {
        operator.press("#money [value=credits]").await;
    }
    says(&operator, "5,000 KRW given; in the wallet are 5,000.").await;
    assert!(relay.count() >= 2, "it was sent again");
    operator
        .sees("document.querySelectorAll('#ledger-table td:first-child').length === 1")
        .await;
    operator.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_goes_on_page_by_page() {
    let site = Site::shop().await;
    let user = Uuid::new_v4();
    let credits = format!("/api/v1/admin/users/{user}/credits");
    let gift = json!({ "amount": 1, "reason": "One of many" });
    for _ in 0..21 {
        site.operate(Method::POST, &credits, &gift).await;
    }
    let operator = at_the_customer(&site, &user.to_string()).await;
    let rows = "document.querySelectorAll('#ledger-table td:first-child').length";
    operator.sees(&format!("{rows} === 20")).await;
    operator.press("#ledger-more").await;
    operator.sees(&format!("{rows} === 21")).await;
    operator
        .sees("document.querySelector('#ledger-more').hidden && document.activeElement.ariaLabel === 'Ledger of the wallet'")
        .await;
    operator.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_known_is_kept_as_a_file_and_who_has_nothing_left_is_forgotten() {
    let site = Site::shop().await;
    let user = Uuid::new_v4();
    let path = format!("/api/v1/admin/users/{user}");
    let act = async |what: &str, amount: i64| {
        let body = json!({ "amount": amount, "reason": "Sound failed" });
        let path = format!("{path}/{what}");
        site.operate(Method::POST, &path, &body).await
    };
    act("credits", 5).await;
    let operator = at_the_customer(&site, &user.to_string()).await;
    operator.run(EARS).await;
    operator.press("#customer-export").await;
    operator.sees("kept.length === 1").await;
    let kept = operator.run("return kept[0]").await;
    assert_eq!(kept[0], "application/json");
    let known: Value = serde_json::from_str(kept[1].as_str().unwrap()).unwrap();
    assert_eq!(known["ledger"][0]["reason"], "Sound failed");
    operator.press("#customer-forget").await;
    operator.sees("document.querySelector('#sure').open").await;
    operator.write("#sure [name=typed]", "yes").await;
    operator
        .sees("document.querySelector('#sure-go').disabled")
        .await;
    nothing_is_found(&operator, "console-sure").await;
    confirms(&operator).await;
    says(&operator, "It is: balance.").await;
    act("corrections", -5).await;
    operator.press("#customer-forget").await;
    confirms(&operator).await;
    shows(&operator, "#customer-said", "Forgotten").await;
    operator
        .sees("document.querySelector('#customer-shown').hidden && !document.querySelector('#ledger-table').innerHTML")
        .await;
    let known = site.operate(Method::GET, &path, &json!({})).await;
    assert_eq!(known["ledger"], json!([]), "nobody can tell");
    operator.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_with_few_rights_is_told_which_one_it_lacks() {
    const WHOLE: &str = "all-rights-0123456789";
    const DESK: &str = "only-the-desk-0123456789";
    const READS: &str = "only-reads-0123456789";
    let keys = format!("ann:{WHOLE},dan:{DESK}:desk,eve:{READS}:read");
    let site = Site::shop_with_rules(&[("GATEWAY_OPERATOR_KEYS", &keys)], &[]).await;
    let payment = site.buys(&[7]).await;
    let user = payment["userId"].as_str().unwrap();
    let operator = site.browser().await;
    operator.size(1280, 2400, false).await;
    operator.go(&site.at("/console/")).await;
    unlocks(&operator, DESK).await;
    opens(&operator, user).await;
    operator.sees(SHOWN).await;
    moves(&operator, "5000", "Sound failed", "credits").await;
    says(&operator, "lacks the right `money`").await;
    // Who locks the console leaves nothing of a customer behind.
    operator.press("#key-go").await;
    operator
        .sees("document.querySelector('#customer-shown').hidden && !document.querySelector('#bought-table').innerHTML")
        .await;
    unlocks(&operator, READS).await;
    opens(&operator, user).await;
    shows(&operator, "#customer-said", "lacks the right `desk`").await;
    opens_dates(&operator).await;
    operator
        .sees("document.querySelector('[data-act^=hide]')")
        .await;
    operator.press("[data-act^=hide]").await;
    says(&operator, "lacks the right `sale`").await;
    operator.end().await;
}
