//! The operator's console: the dates of a concert, from a further one to a cancelled one, and the desk of one.

use reqwest::Method;
use serde_json::{Value, json};

use crate::access::nothing_is_found;
use crate::console::{EARS, says, set, undo};
use crate::driver::Browser;
use crate::fit::fits;
use crate::site::Site;

/// A site with a date of twelve seats, and an operator who sees the dates of its concert, on a screen where nothing has to
/// be scrolled.
async fn at_the_dates() -> (Site, Browser) {
    let seats = json!([{ "grade": "VIP", "price": 100_000, "from": 1, "to": 12 }]);
    let site = Site::shop_with(seats).await;
    let operator = site.operator().await;
    operator.size(1280, 2600, false).await;
    opens_dates(&operator).await;
    (site, operator)
}

/// Shows the dates of the only concert.
pub async fn opens_dates(operator: &Browser) {
    operator.press("[data-part=sale]").await;
    operator
        .sees("document.querySelector('[data-concert]')")
        .await;
    operator.press("[data-concert]").await;
    operator.sees("document.querySelector('[data-date]')").await;
}

/// Waits until the list of dates says this.
async fn lists(operator: &Browser, words: &str) {
    let said = format!("document.querySelector('#dates-list').innerText.includes('{words}')");
    operator.sees(&said).await;
}

/// The path of the only date, for operators.
async fn path_of_date(operator: &Browser) -> String {
    let id = operator.run("return document.querySelector('[data-date]').dataset.date");
    format!("/api/v1/admin/schedules/{}", id.await.as_str().unwrap())
}

/// What an operator reads there.
async fn read(site: &Site, path: &str) -> Value {
    site.operate(Method::GET, path, &json!({})).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_concert_gets_a_second_date_with_seats_of_its_own() {
    let (_site, operator) = at_the_dates().await;
    operator.press("#dates-new").await;
    operator
        .sees("document.activeElement === document.querySelector('#date [name=startsAt]')")
        .await;
    nothing_is_found(&operator, "console-date").await;
    set(&operator, "#date [name=startsAt]", "2099-02-01T20:00").await;
    operator
        .write("#date [name=sections]", "FLOOR 90000 1")
        .await;
    operator.press("#date-go").await;
    says(&operator, "Sections are lines of GRADE PRICE FROM TO.").await;
    operator
        .write("#date [name=sections]", "FLOOR 90000 1 30")
        .await;
    operator.write("#date [name=maxSeatsPerUser]", "2").await;
    operator.press("#date-go").await;
    says(
        &operator,
        "Another date of A night at the tests is on sale.",
    )
    .await;
    lists(&operator, "of 30").await;
    operator
        .sees("document.querySelectorAll('[data-date]').length === 2 && document.querySelector('#date').hidden")
        .await;
    operator.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_who_edit_a_date_the_second_is_shown_what_the_first_did() {
    let (site, operator) = at_the_dates().await;
    let path = path_of_date(&operator).await;
    operator.press("[data-act^=edit]").await;
    operator
        .sees("document.querySelector('#date-prices input')?.value === '100000'")
        .await;
    operator.write("#date [name=maxSeatsPerUser]", "3").await;
    let first = json!({ "maxSeatsPerUser": 2 });
    site.operate(Method::PATCH, &path, &first).await;
    operator.press("#date-go").await;
    says(&operator, "Somebody else changed the date").await;
    operator
        .sees("document.querySelector('#date [name=maxSeatsPerUser]').value === '2'")
        .await;
    assert_eq!(read(&site, &path).await["maxSeatsPerUser"], 2);
    operator.write("#date-prices input", "70000").await;
    set(&operator, "#date [name=salesCloseAt]", "2098-12-31T12:00").await;
    operator.press("#date-go").await;
    says(&operator, "In force: salesCloseAt, price of VIP").await;
    let seats = format!("{path}/seats");
    assert_eq!(read(&site, &seats).await["items"][0]["price"], 70_000);
    undo(&operator).await;
    says(&operator, "Undone: salesCloseAt, price of VIP").await;
    assert_eq!(read(&site, &seats).await["items"][0]["price"], 100_000);
    let date = read(&site, &path).await;
    assert_eq!(date["salesCloseAt"], date["startsAt"], "as it was");
    // The refusal is on the console, as every answer of 412 is.
    operator.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_date_is_hidden_and_its_sales_are_closed_and_both_are_taken_back() {
    let (site, operator) = at_the_dates().await;
    let path = path_of_date(&operator).await;
    operator.press("[data-act^=hide]").await;
    lists(&operator, "on sale, hidden").await;
    assert_eq!(read(&site, &path).await["hidden"], true);
    // The list was drawn anew, and who is in it stays where they were.
    operator
        .sees("document.activeElement.dataset.act?.startsWith('hide:')")
        .await;
    undo(&operator).await;
    operator
        .sees("!document.querySelector('#dates-list').innerText.includes('hidden')")
        .await;
    operator.press("[data-act^=close]").await;
    lists(&operator, "· closed").await;
    undo(&operator).await;
    lists(&operator, "· on sale").await;
    operator.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_date_is_followed_until_everybody_has_their_money_and_the_books_agree() {
    let (site, operator) = at_the_dates().await;
    let buyers = [site.buys(&[7]).await, site.buys(&[8]).await];
    operator.press("[data-act^=cancel]").await;
    operator.sees("document.querySelector('#sure').open").await;
    operator
        .sees("document.querySelector('#sure-go').disabled")
        .await;
    operator.press("#sure-no").await;
    lists(&operator, "on sale").await;
    operator
        .sees("document.activeElement.dataset.act?.startsWith('cancel:')")
        .await;
    operator.press("[data-act^=cancel]").await;
    operator.write("#sure [name=reason]", "Storm").await;
    let word = operator.text("#sure-word").await;
    operator.write("#sure [name=typed]", &word).await;
    operator.press("#sure-go").await;
    let said = "document.querySelector('#cancelling-said').innerText";
    let done = "Everybody has their money: 2 payments given back, 200,000 KRW; 0 holds ended.";
    operator.sees(&format!("{said} === '{done}'")).await;
    operator
        .sees("document.querySelector('#cancelling-bar').position === 1 && document.querySelector('#cancelling-books').innerText.startsWith('The books agree')")
        .await;
    lists(&operator, "· cancelled").await;
    nothing_is_found(&operator, "console-cancelled").await;
    for buyer in buyers {
        let wallet = format!(
            "/api/v1/admin/users/{}/balance",
            buyer["userId"].as_str().unwrap()
        );
        assert_eq!(read(&site, &wallet).await["balance"], 100_000);
    }
    // Who comes later sees the same.
    operator.reload().await;
    opens_dates(&operator).await;
    operator.press("[data-act^=cancel]").await;
    operator.sees(&format!("{said} === '{done}'")).await;
    fits(&operator, "console-cancelled").await;
    // Books that are compared for long are asked for again, and the browser writes down what it was told before.
    operator.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_desk_of_a_date_is_narrowed_to_one_customer_kept_as_a_file_and_leads_to_them() {
    let (site, operator) = at_the_dates().await;
    let buyers = [site.buys(&[7]).await, site.buys(&[8]).await];
    let [one, other] = [0, 1].map(|at: usize| buyers[at]["userId"].as_str().unwrap());
    let sums =
        |text: &str| format!("document.querySelector('#desk-sum').innerText.includes('{text}')");
    operator.press("[data-date]").await;
    operator.sees(&sums("2 sold")).await;
    operator.press("[data-list=payments]").await;
    operator.sees(&sums("2 shown")).await;
    operator.write("#desk-filter [name=userId]", one).await;
    operator.press("#desk-filter button").await;
    operator.sees(&sums("1 shown")).await;
    operator.run(EARS).await;
    operator.press("#desk-csv").await;
    operator.sees("kept.length === 1").await;
    let kept = operator.run("return kept[0]").await;
    let table = kept[1].as_str().unwrap();
    assert_eq!(kept[0], "text/csv");
    assert!(table.contains(one) && !table.contains(other), "{table}");
    operator.press("#desk-state [value=refunded]").await;
    operator.press("#desk-filter button").await;
    operator.sees(&sums("0 shown")).await;
    operator.press("#desk-state [value=captured]").await;
    operator.press("#desk-filter button").await;
    operator.sees(&sums("1 shown")).await;
    nothing_is_found(&operator, "console-payments").await;
    operator.press("#desk-table .link").await;
    operator
        .sees("!document.querySelector('#customer-shown').hidden")
        .await;
    assert_eq!(operator.text("#customer-name").await, one);
    let asked = "return performance.getEntriesByType('resource').map((it) => it.name).join()";
    let asked = operator.run(asked).await;
    assert!(!asked.as_str().unwrap().contains(site.key()));
    operator.close().await;
}
