//! The desk: who has what, what a customer has, and what is done for them.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::test_app::{Caller, TestApp};

fn of_date(app: &TestApp, list: &str) -> String {
    format!("/api/v1/admin/schedules/{}/{list}", app.fixture.schedule_id)
}

fn of_user(user: &Caller<'_>, what: &str) -> String {
    format!("/api/v1/admin/users/{}/{what}", user.sub)
}

/// All items of a list, page by page.
async fn all(caller: &Caller<'_>, path: &str) -> Vec<Value> {
    let (mut items, mut cursor) = (Vec::new(), String::new());
    loop {
        let mark = if path.contains('?') { '&' } else { '?' };
        let page = caller.get(&format!("{path}{mark}limit=2{cursor}")).await;
        assert_eq!(page.status, 200, "{page:?}");
        let found = page.body["items"].as_array().expect("items");
        assert!(found.len() <= 2);
        items.extend(found.clone());
        match page.body["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return items,
        }
    }
}

async fn text(caller: &Caller<'_>, path: &str) -> Vec<String> {
    let answer = caller.request(reqwest::Method::GET, path).send().await;
    let answer = answer.expect("an answer");
    assert_eq!(answer.headers()["content-type"], "text/csv; charset=utf-8");
    let text = answer.text().await.expect("all of it");
    text.lines().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_desk_sees_every_reservation_payment_and_buyer_of_a_date_once() {
    let app = TestApp::open().await;
    let desk = app.clerk(&["desk"]);
    let mut users = Vec::new();
    for seat in 1..=5 {
        let visitor = app.visitor();
        visitor.buy(&[seat]).await;
        users.push(visitor.sub);
    }
    let holder = app.visitor();
    holder.hold(&[10, 11]).await;
    let other = app.visitor();
    let given_back = other.hold(&[20]).await;
    other
        .delete(&format!("/api/v1/reservations/{given_back}"))
        .await;

    let reservations = all(&desk, &of_date(&app, "reservations")).await;
    assert_eq!(reservations.len(), 7);
    let of = |state: &str| {
        let path = of_date(&app, &format!("reservations?state={state}"));
        let desk = app.clerk(&["desk"]);
        async move { all(&desk, &path).await.len() }
    };
    assert_eq!(
        (
            of("confirmed").await,
            of("held").await,
            of("cancelled").await,
            of("expired").await
        ),
        (5, 1, 1, 0)
    );
    let one = of_date(&app, &format!("reservations?userId={}", holder.sub));
    assert_eq!(all(&desk, &one).await[0]["seats"][1]["number"], 11);
    assert_eq!(all(&desk, &of_date(&app, "payments")).await.len(), 5);
    for (list, who, found) in [
        ("payments", &users[2], 1),
        ("buyers", &users[2], 1),
        ("buyers", &holder.sub, 1),
        ("buyers", &other.sub, 0),
    ] {
        let path = of_date(&app, &format!("{list}?userId={who}"));
        let items = all(&desk, &path).await;
        assert_eq!(items.len(), found, "{list}");
        assert!(items.iter().all(|it| it["userId"] == who.as_str()));
        let file = text(&desk, &format!("{path}&format=csv")).await;
        assert_eq!(file.len(), 1 + found, "{list}");
    }
    let buyers = all(&desk, &of_date(&app, "buyers")).await;
    assert_eq!(buyers.len(), 6);
    let of_holder = buyers.iter().find(|it| it["userId"] == holder.sub.as_str());
    let of_holder = of_holder.expect("the holder");
    assert_eq!(
        (&of_holder["seatsBought"], &of_holder["seatsHeld"]),
        (&json!(0), &json!(2))
    );

    for (list, lines) in [("reservations", 8), ("payments", 6), ("buyers", 7)] {
        let file = text(&desk, &of_date(&app, &format!("{list}?format=csv"))).await;
        assert_eq!(file.len(), lines, "{list}: {file:?}");
        let columns = file[0].split(',').count();
        assert!(file.iter().all(|line| line.split(',').count() == columns));
    }
    let held = text(&desk, &of_date(&app, "reservations?format=csv&state=held")).await;
    assert!(held[1].contains(",held,10 11,270000,KRW,"), "{held:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_a_date_that_is_not_there_or_of_an_odd_page_is_refused() {
    let app = TestApp::open().await;
    let desk = app.clerk(&["desk"]);
    let unknown = format!("/api/v1/admin/schedules/{}/buyers", Uuid::new_v4());
    assert_eq!(
        desk.get(&unknown).await.refusal(),
        (404, "SCHEDULE_NOT_FOUND")
    );
    let odd = of_date(&app, "buyers?cursor=x");
    assert_eq!(desk.get(&odd).await.refusal(), (400, "QUERY_INVALID"));
}

#[tokio::test(flavor = "multi_thread")]
async fn payments_are_found_by_each_of_their_states() {
    let app = TestApp::open().await;
    let desk = app.clerk(&["desk"]);
    let back = [
        json!({}),
        json!({ "seatNumbers": [3] }),
        json!({ "amount": 1 }),
    ];
    app.visitor().buy(&[1]).await;
    for (body, seats) in back.iter().zip([[2, 5], [3, 6], [4, 7]]) {
        let visitor = app.visitor();
        let refunds = format!("/api/v1/payments/{}/refunds", visitor.buy(&seats).await);
        let refunded = visitor.post_once(&refunds, "back", body).await;
        assert_eq!(refunded.status, 201, "{refunded:?}");
    }
    for (state, found) in [("captured", 1), ("partially_refunded", 2), ("refunded", 1)] {
        let path = of_date(&app, &format!("payments?state={state}"));
        let payments = all(&desk, &path).await;
        assert_eq!(payments.len(), found, "{state}");
        assert!(payments.iter().all(|it| it["state"] == state), "{state}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_desk_sees_what_a_customer_has() {
    let app = TestApp::open().await;
    let (desk, customer) = (app.clerk(&["desk"]), app.visitor());
    customer.buy(&[1]).await;
    let balance = desk.get(&of_user(&customer, "balance")).await;
    assert_eq!(balance.body["balance"], 850_000);
    let ledger = all(&desk, &of_user(&customer, "ledger")).await;
    assert_eq!(ledger.len(), 2);
    assert_eq!(
        (&ledger[0]["amount"], &ledger[0]["by"]),
        (&json!(-150_000), &Value::Null)
    );
    let reservations = all(&desk, &of_user(&customer, "reservations")).await;
    assert_eq!(reservations[0]["state"], "confirmed");
    let all = desk
        .get(&format!("/api/v1/admin/users/{}", customer.sub))
        .await;
    for (part, count) in [
        ("ledger", 2),
        ("reservations", 1),
        ("payments", 1),
        ("waitlist", 0),
    ] {
        assert_eq!(
            all.body[part].as_array().map(Vec::len),
            Some(count),
            "{part}"
        );
    }
    assert_eq!(all.body["balance"], 850_000);
    let nobody = app.visitor();
    assert_eq!(
        desk.get(&of_user(&nobody, "balance")).await.body["balance"],
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_desk_gives_a_customer_the_money_back_once() {
    let app = TestApp::open().await;
    let (desk, customer) = (app.clerk(&["desk"]), app.visitor());
    let payment = customer.buy(&[1, 2]).await;
    let path = format!("/api/v1/admin/payments/{payment}/refunds");
    let refunded = desk.post_once(&path, "r1", &json!({})).await;
    assert_eq!(refunded.status, 201, "{refunded:?}");
    let again = desk.post_once(&path, "r1", &json!({})).await;
    assert_eq!(
        (again.status, again.header("idempotent-replayed")),
        (201, Some("true"))
    );
    let twice = desk.post_once(&path, "r2", &json!({})).await;
    assert_eq!(twice.refusal(), (409, "ALREADY_REFUNDED"));
    assert_eq!(customer.balance().await, 1_000_000);
    let audited = "SELECT COUNT(*) FROM audit_log WHERE entity = 'payment' AND action = 'refunded' \
        AND actor = 'operator' AND actor_name = 'operator:clerk'";
    assert_eq!(app.fixture.number(audited).await, 1);
    let unknown = format!("/api/v1/admin/payments/{}/refunds", Uuid::new_v4());
    assert_eq!(
        desk.post_once(&unknown, "r3", &json!({})).await.refusal(),
        (404, "PAYMENT_NOT_FOUND")
    );
    app.fixture.reconciled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_desk_gives_back_one_seat_or_a_part_of_the_money() {
    let app = TestApp::open().await;
    let (desk, customer) = (app.clerk(&["desk"]), app.visitor());
    let payment = customer.buy(&[1, 2]).await;
    let path = format!("/api/v1/admin/payments/{payment}/refunds");
    let seat = json!({ "seatNumbers": [2] });
    for replayed in [None, Some("true")] {
        let given = desk.post_once(&path, "p1", &seat).await;
        assert_eq!(
            (
                given.status,
                &given.body["seatNumbers"],
                &given.body["amount"]
            ),
            (201, &json!([2]), &json!(150_000))
        );
        assert_eq!(given.header("idempotent-replayed"), replayed);
    }
    let other = desk.post_once(&path, "p1", &json!({ "amount": 1 })).await;
    assert_eq!(other.refusal(), (422, "IDEMPOTENCY_KEY_REUSED"));
    for (key, odd, code) in [
        ("o1", json!({ "seatNumbers": [2] }), "SEAT_UNKNOWN"),
        ("o2", json!({ "amount": 150_001 }), "REFUND_TOO_LARGE"),
        ("o3", json!({ "amount": 0 }), "AMOUNT_INVALID"),
        (
            "o4",
            json!({ "amount": 1, "seatNumbers": [1] }),
            "BODY_INVALID",
        ),
        ("o5", json!({ "sum": 1 }), "BODY_INVALID"),
    ] {
        let refused = desk.post_once(&path, key, &odd).await;
        assert_eq!(refused.refusal().1, code, "{odd}");
    }
    let money = desk
        .post_once(&path, "p2", &json!({ "amount": 50_000 }))
        .await;
    assert_eq!(
        (
            money.status,
            &money.body["state"],
            &money.body["refundedAmount"]
        ),
        (201, &json!("partially_refunded"), &json!(200_000))
    );
    let rest = desk.post_once(&path, "p3", &json!({})).await;
    assert_eq!(
        (&rest.body["amount"], &rest.body["state"]),
        (&json!(100_000), &json!("refunded"))
    );
    assert_eq!(customer.balance().await, 1_000_000);
    app.fixture.reconciled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn credits_and_corrections_are_entries_with_a_reason_and_the_name_of_the_key() {
    let app = TestApp::open().await;
    let (desk, money) = (app.clerk(&["desk"]), app.operator());
    let customer = app.visitor();
    let credits = of_user(&customer, "credits");
    let gift = json!({ "amount": 10_000, "reason": "Sound failed" });
    assert_eq!(
        desk.post_once(&credits, "c1", &gift).await.refusal(),
        (403, "RIGHT_MISSING")
    );
    for _ in 0..3 {
        let given = money.post_once(&credits, "c1", &gift).await;
        assert_eq!(
            (given.status, &given.body["balance"]),
            (201, &json!(10_000))
        );
    }
    let corrections = of_user(&customer, "corrections");
    let down = json!({ "amount": -4_000, "reason": "Typing error" });
    let taken = money.post_once(&corrections, "k1", &down).await;
    assert_eq!((taken.status, &taken.body["balance"]), (201, &json!(6_000)));
    let too_much = json!({ "amount": -6_001, "reason": "Typing error" });
    let refused = money.post_once(&corrections, "k2", &too_much).await;
    assert_eq!(
        (refused.refusal(), &refused.body["missing"]),
        ((409, "BALANCE_SHORT"), &json!(1))
    );
    let up = json!({ "amount": 1, "reason": "Typing error" });
    assert_eq!(money.post_once(&corrections, "k3", &up).await.status, 201);
    assert_eq!(customer.balance().await, 6_001);

    let ledger = all(&desk, &of_user(&customer, "ledger")).await;
    let entry = |it: &serde_json::Value| {
        let text = |name: &str| it[name].as_str().unwrap().to_owned();
        (it["amount"].as_i64().unwrap(), text("reason"), text("by"))
    };
    let told: Vec<_> = ledger.iter().map(entry).collect();
    assert_eq!(
        told,
        [
            (1, "Typing error", "operator:tests"),
            (-4_000, "Typing error", "operator:tests"),
            (10_000, "Sound failed", "operator:tests"),
        ]
        .map(|(amount, reason, by)| (amount, reason.to_owned(), by.to_owned()))
    );
    let events = "SELECT COUNT(*) FROM outbox WHERE type = 'wallet.corrected'";
    assert_eq!(app.fixture.number(events).await, 3);
    app.fixture.reconciled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credit_needs_an_amount_a_reason_and_a_key() {
    let app = TestApp::open().await;
    let (money, customer) = (app.operator(), app.visitor());
    let credits = of_user(&customer, "credits");
    let gift = json!({ "amount": 10_000, "reason": "Sound failed" });
    for odd in [
        json!({ "amount": 0, "reason": "x" }),
        json!({ "amount": -1, "reason": "x" }),
        json!({ "reason": "x" }),
    ] {
        let refused = money.post_once(&credits, "odd", &odd).await;
        assert_eq!(refused.refusal(), (422, "AMOUNT_INVALID"), "{odd}");
    }
    let silent = json!({ "amount": 1 });
    assert_eq!(
        money.post_once(&credits, "odd", &silent).await.refusal(),
        (422, "BODY_INVALID")
    );
    assert_eq!(
        money.post(&credits, &gift).await.refusal(),
        (400, "IDEMPOTENCY_KEY_MISSING")
    );
}
