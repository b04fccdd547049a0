//! People and the subjects of the books: joined by one row, which an operator can drop.

use std::collections::BTreeSet;
use std::time::Duration;

use booking::db::Tx;
use booking::erasure;
use booking::integrity;
use booking::subject::Subjects;
use chassis::time::Clock;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::fixture::Fixture;
use crate::test_app::{Caller, TestApp};

fn path(of: &str) -> String {
    format!("/api/v1/admin/users/{of}")
}

/// Every place in the database where this id stands, in whatever form.
async fn traces(app: &TestApp, id: &str) -> i64 {
    let id: Uuid = id.parse().unwrap();
    let binary = format!("x'{}'", id.simple());
    let text = format!("'%{id}%'");
    let like = |table: &str, column: &str| {
        format!("(SELECT COUNT(*) FROM {table} WHERE {column} LIKE {text})")
    };
    let is = |table: &str, column: &str| {
        format!("(SELECT COUNT(*) FROM {table} WHERE {column} = {binary})")
    };
    let all = [
        is("subjects", "person"),
        is("subjects", "subject"),
        is("wallets", "user_id"),
        is("ledger_entries", "user_id"),
        is("reservations", "user_id"),
        is("payments", "user_id"),
        is("buyers", "user_id"),
        is("seats", "holder_id"),
        is("waitlist_entries", "user_id"),
        is("provider_orders", "user_id"),
        is("idempotency_keys", "user_id"),
        is("audit_log", "actor_id"),
        is("audit_log", "entity_id"),
        like("audit_log", "detail"),
        like("idempotency_keys", "body"),
        like("idempotency_keys", "location"),
        like("outbox", "payload"),
    ];
    app.fixture
        .number(&format!("SELECT {}", all.join(" + ")))
        .await
}

/// Buys, gives back, and has nothing left but history.
async fn was_here(customer: &Caller<'_>, money: &Caller<'_>) -> Value {
    let payment = customer.buy(&[1, 2]).await;
    let refund = format!("/api/v1/payments/{payment}/refunds");
    let refunded = customer.post_once(&refund, "r", &json!({})).await;
    assert_eq!(refunded.status, 201, "{refunded:?}");
    let rest = json!({ "amount": -1_000_000, "reason": "Paid out" });
    let path = format!("{}/corrections", path(&customer.sub));
    let taken = money.post_once(&path, &payment, &rest).await;
    assert_eq!((taken.status, &taken.body["balance"]), (201, &json!(0)));
    let known = money.get(&self::path(&customer.sub)).await;
    assert_eq!(known.body["userId"], customer.sub.as_str());
    known.body
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_in_the_database_but_one_row_knows_a_person() {
    let app = TestApp::open().await;
    let customer = app.visitor();
    let known = was_here(&customer, &app.operator()).await;
    assert_eq!(traces(&app, &customer.sub).await, 1);
    let subject = known["subject"].as_str().unwrap();
    assert!(traces(&app, subject).await > 10);
    // And yet everybody hears of the person alone.
    for told in [&known["reservations"][0], &known["payments"][0]] {
        assert_eq!(told["userId"], customer.sub.as_str());
    }
    let own = customer.get("/api/v1/reservations").await;
    assert_eq!(own.body["items"][0]["userId"], customer.sub.as_str());
    let again = customer
        .pay(own.body["items"][0]["id"].as_str().unwrap(), "buy")
        .await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(again.body["userId"], customer.sub.as_str());
    let by_person = format!(
        "/api/v1/admin/audit?userId={}&action=captured",
        customer.sub
    );
    let audit = app.operator().get(&by_person).await;
    assert_eq!(audit.body["items"][0]["userId"], customer.sub.as_str());
    let of_date = format!(
        "/api/v1/admin/schedules/{}/payments",
        app.fixture.schedule_id
    );
    let paid = app
        .operator()
        .get(&format!("{of_date}?userId={}", customer.sub))
        .await;
    assert_eq!(paid.body["items"][0]["userId"], customer.sub.as_str());
    let file = app
        .operator()
        .request(reqwest::Method::GET, &format!("{of_date}?format=csv"));
    let file = file.send().await.unwrap().text().await.unwrap();
    assert!(
        file.contains(&customer.sub) && !file.contains(subject),
        "{file}"
    );
}

/// What happened, each kind once.
fn acts(audit: &[Value]) -> BTreeSet<String> {
    let word = |it: &Value, member: &str| it[member].as_str().unwrap().to_owned();
    let act = |it: &Value| format!("{} {}", word(it, "entity"), word(it, "action"));
    audit.iter().map(act).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_booking_has_of_a_person_is_given_out_as_a_whole() {
    let app = TestApp::with(&[
        ("BOOKING_CHARGES", "provider"),
        ("BOOKING_PROVIDER_URL", "http://127.0.0.1:1"),
        (
            "BOOKING_PROVIDER_SECRET",
            "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0",
        ),
    ])
    .await;
    let (customer, other, operator) = (app.visitor(), app.visitor(), app.operator());
    for visitor in [&customer, &other] {
        let amount = json!({ "amount": 7_000 });
        let ordered = visitor
            .post_once(&visitor.charges_path(), "k", &amount)
            .await;
        assert_eq!(ordered.status, 202, "{ordered:?}");
        let gift = json!({ "amount": 300_000, "reason": "Welcome" });
        let credits = format!("{}/credits", path(&visitor.sub));
        let given = operator.post_once(&credits, &visitor.sub, &gift).await;
        assert_eq!(given.status, 201, "{given:?}");
    }
    let paid = customer.pay(&customer.hold(&[1, 2]).await, "p").await;
    let refunds = format!("/api/v1/payments/{}/refunds", paid.id());
    for (key, part) in [("r1", json!({ "seatNumbers": [1] })), ("r2", json!({}))] {
        let back = customer.post_once(&refunds, key, &part).await;
        assert_eq!(back.status, 201, "{back:?}");
    }
    other.hold(&[5]).await;
    let all = app.clerk(&["desk"]).get(&path(&customer.sub)).await.body;
    let items = |member: &str| all[member].as_array().unwrap().clone();
    let [order] = items("orders").try_into().unwrap();
    assert_eq!(
        (&order["kind"], &order["state"], &order["amount"]),
        (&json!("charge"), &json!("pending"), &json!(7_000))
    );
    let amounts: Vec<_> = items("refunds")
        .iter()
        .map(|it| it["amount"].clone())
        .collect();
    assert_eq!(amounts, [json!(150_000), json!(150_000)]);
    assert!(
        items("refunds")
            .iter()
            .all(|it| it["paymentId"] == paid.id().as_str())
    );
    let acts = acts(&items("audit"));
    let expected = [
        "order created",
        "payment captured",
        "payment partially_refunded",
        "payment refunded",
        "reservation confirmed",
        "reservation held",
        "reservation partially_refunded",
        "reservation refunded",
        "wallet corrected",
    ];
    assert!(acts.iter().eq(&expected), "{acts:?}");
    let reads = "SELECT COUNT(*) FROM audit_log WHERE entity IN ('order', 'wallet', 'reservation', 'payment')";
    let of_other = 3;
    assert_eq!(
        app.fixture.number(reads).await,
        items("audit").len() as i64 + of_other
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_is_forgotten_and_neither_ledger_nor_chain_has_changed() {
    let app = TestApp::open().await;
    let (customer, operator) = (app.visitor(), app.operator());
    let known = was_here(&customer, &operator).await;
    let subject = known["subject"].as_str().unwrap().to_owned();
    let books = "SELECT CRC32(GROUP_CONCAT(HEX(id), HEX(user_id), amount, HEX(hash) ORDER BY id)) FROM ledger_entries";
    let before = app.fixture.number(books).await;

    let desk = app.clerk(&["desk"]);
    for _ in 0..2 {
        assert_eq!(desk.delete(&path(&customer.sub)).await.status, 204);
    }
    assert_eq!(traces(&app, &customer.sub).await, 0);
    assert_eq!(app.fixture.number(books).await, before);
    let breaks = app.fixture.instances[0].read(integrity::verify_all).await;
    assert_eq!(breaks.unwrap(), []);
    app.fixture.reconciled().await;
    let audited = "SELECT COUNT(*) FROM audit_log WHERE action = 'forgotten' AND actor_name = 'operator:clerk'";
    assert_eq!(app.fixture.number(audited).await, 1);
    // The books are found under the subject, and the person is somebody new.
    let anonymous = operator.get(&path(&subject)).await;
    assert_eq!(
        anonymous.body["reservations"][0]["userId"],
        subject.as_str()
    );
    let nobody = operator.get(&path(&customer.sub)).await;
    assert_eq!(nobody.body["reservations"], json!([]));
    let own = customer.get("/api/v1/reservations").await;
    assert_eq!(own.body["items"], json!([]));
    customer.charge(500).await;
    assert_eq!(customer.balance().await, 500);
    let new = operator.get(&path(&customer.sub)).await;
    assert_ne!(new.body["subject"], subject.as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_instance_acts_for_who_was_forgotten_no_longer_than_it_believes_what_it_read() {
    let fixture = Fixture::open().await;
    let clock = Clock::system();
    let instance = |turn| Subjects::new(fixture.db(turn).clone(), clock.clone());
    let (here, there) = (instance(0), instance(1));
    let [person, other] = [(); 2].map(|()| Uuid::new_v4());
    let subject = here.of_writer(person).await.unwrap();
    assert_eq!(there.of_reader(person).await.unwrap(), subject);
    // Without a word to anybody: what an instance remembers is not asked for again.
    let gone = fixture.raw("DELETE FROM subjects").await.unwrap();
    assert_eq!(gone, 1);
    clock.advance(Duration::from_secs(4));
    assert_eq!(there.of_writer(person).await.unwrap(), subject);

    let again = here.of_writer(other).await.unwrap();
    assert_eq!(there.of_writer(other).await.unwrap(), again);
    let now = clock.now();
    let forget = move |tx: &mut Tx| erasure::forget(tx, other, "clerk", now);
    fixture.db(0).transaction(forget).await.unwrap();
    assert_eq!(there.of_writer(other).await.unwrap(), again, "for a moment");
    clock.advance(Duration::from_secs(5));
    assert_ne!(there.of_writer(other).await.unwrap(), again);
    // And all others were asked for again.
    assert_ne!(there.of_writer(person).await.unwrap(), subject);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_forgotten_to_whom_something_still_belongs() {
    let app = TestApp::open().await;
    let (customer, desk) = (app.visitor(), app.clerk(&["desk"]));
    customer.charge(1_000_000).await;
    let refused = desk.delete(&path(&customer.sub)).await;
    assert_eq!(refused.refusal(), (409, "PERSON_HAS_CLAIMS"));
    assert_eq!(refused.body["claims"], json!(["balance"]));
    let held = app.visitor();
    held.hold(&[5]).await;
    let refused = desk.delete(&path(&held.sub)).await;
    assert_eq!(refused.body["claims"], json!(["reservations"]));
    assert_eq!(customer.balance().await, 1_000_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subject_is_nobody_who_could_ask_for_it() {
    let app = TestApp::open().await;
    let customer = app.visitor();
    let known = was_here(&customer, &app.operator()).await;
    // Whoever names the id of a subject as their own is another person.
    let thief = Caller {
        sub: known["subject"].as_str().unwrap().to_owned(),
        ..app.visitor()
    };
    assert_eq!(
        thief.get("/api/v1/reservations").await.body["items"],
        json!([])
    );
    assert_eq!(thief.balance().await, 0);
    thief.charge(5).await;
    assert_eq!(thief.balance().await, 5);
    assert_eq!(customer.balance().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_of_who_was_refused_seats_and_who_takes_them_many_times_at_once_is_one_subject()
 {
    let app = TestApp::open().await;
    let known = async || app.fixture.number("SELECT COUNT(*) FROM subjects").await;
    let first = app.visitor();
    first.hold(&[1]).await;
    assert_eq!(known().await, 1);
    let (late, greedy) = (app.visitor(), app.visitor());
    assert_eq!(late.reserve(&[1]).await.refusal(), (409, "SEAT_TAKEN"));
    assert_eq!(greedy.reserve(&[1, 2]).await.status, 409);
    assert_eq!(known().await, 1);

    let customer = app.visitor();
    let wishes = (3..=8).map(|seat| {
        let customer = customer.clone();
        async move { customer.reserve(&[seat]).await }
    });
    let all = futures_util::future::join_all(wishes).await;
    let held: Vec<_> = all.iter().filter(|it| it.status == 201).collect();
    let refused = all.iter().filter(|it| it.status != 201);
    assert!(
        refused
            .clone()
            .all(|it| it.refusal() == (422, "TOO_MANY_SEATS")),
        "{all:?}"
    );
    assert_eq!((held.len(), refused.count()), (4, 2), "{all:?}");
    assert!(
        held.iter()
            .all(|it| it.body["userId"] == customer.sub.as_str())
    );
    assert_eq!(known().await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_who_comes_many_times_at_once_is_one_subject() {
    let app = TestApp::open().await;
    let customer = app.visitor();
    let path = customer.charges_path();
    let charges = (0..20).map(|turn| {
        let (customer, path) = (customer.clone(), path.clone());
        async move {
            let key = format!("c{turn}");
            customer
                .post_once(&path, &key, &json!({ "amount": 10 }))
                .await
                .status
        }
    });
    let all = futures_util::future::join_all(charges).await;
    assert!(all.iter().all(|status| *status == 201), "{all:?}");
    assert_eq!(customer.balance().await, 200);
    assert_eq!(app.fixture.number("SELECT COUNT(*) FROM subjects").await, 1);
}
