//! The story of a visitor from the line to the paid seat, on real processes with two gateways.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::fs;
use std::path::Path;
use std::process::Command;

use e2e::{Sale, Visitor};
use reqwest::Method;
use serde_json::{Value, json};
use testbed::Scratch;

fn state_of(seats: &Value, number: u64) -> &str {
    let items = seats["items"].as_array().unwrap();
    let seat = items.iter().find(|seat| seat["number"] == number).unwrap();
    seat["state"].as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_joins_gets_in_holds_pays_and_is_out() {
    let sale = Sale::open(2, 50).await;
    let mut visitor = sale.visitor(0);
    let concerts = visitor.get("/api/v1/concerts").await;
    assert_eq!(
        concerts.body["items"][0]["id"],
        sale.concert.as_str(),
        "public"
    );
    assert_eq!(visitor.join().await.status, 201);
    visitor.enter().await;
    let schedules = format!("/api/v1/concerts/{}/schedules?available=true", sale.concert);
    let schedules = visitor.get(&schedules).await;
    assert_eq!(
        schedules.body["items"][0]["seatsAvailable"], 50,
        "{schedules:?}"
    );
    let seats_path = format!("/api/v1/schedules/{}/seats", sale.schedule);
    let held = visitor.reserve(&[7, 8], "hold-1").await;
    assert_eq!(held.status, 201, "{held:?}");
    assert_eq!(
        (&held.body["state"], &held.body["amount"]),
        (&json!("held"), &json!(2_000))
    );
    let seats = visitor.get(&seats_path).await.body;
    assert_eq!(
        (state_of(&seats, 7), state_of(&seats, 9)),
        ("held", "available")
    );
    let reservation = held.body["id"].as_str().unwrap();
    let short = visitor.pay(reservation, "pay-0").await;
    assert_eq!((short.status, short.code()), (409, "BALANCE_SHORT"));
    assert_eq!(short.body["missing"], 2_000);
    let charged = visitor.charge(5_000, "charge-1").await;
    assert_eq!(
        (charged.status, &charged.body["balance"]),
        (201, &json!(5_000))
    );
    let paid = visitor.pay(reservation, "pay-1").await;
    assert_eq!(
        (paid.status, &paid.body["state"]),
        (201, &json!("captured")),
        "{paid:?}"
    );

    let over = visitor.poll().await;
    assert_eq!(
        (over.status, over.code()),
        (410, "TOKEN_EXPIRED"),
        "out with the payment"
    );
    visitor.enter().await;
    let mine = visitor
        .get(&format!("/api/v1/reservations/{reservation}"))
        .await;
    assert_eq!(mine.body["state"], "confirmed");
    let balance = visitor
        .get(&format!("/api/v1/users/{}/balance", visitor.user))
        .await;
    assert_eq!(balance.body["balance"], 3_000);
    assert_eq!(state_of(&visitor.get(&seats_path).await.body, 8), "sold");
    sale.assert_books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_places_are_filled_in_ticket_order_as_others_pay_or_leave() {
    let sale = Sale::open(2, 50).await;
    sale.rule(json!({ "maxActive": 2, "admitPerSecond": 1_000 }))
        .await;
    let mut visitors: Vec<Visitor> = (0..5).map(|number| sale.visitor(number)).collect();
    let mut tickets = Vec::new();
    for visitor in &mut visitors {
        let said = visitor.join().await;
        tickets.push(said.body["ticketNumber"].as_u64().unwrap());
    }
    assert!(
        tickets.is_sorted(),
        "numbers follow arrival over both gateways"
    );
    assert_eq!(states(&visitors).await, ["active", "active", "1", "2", "3"]);

    let refused = visitors[2].reserve(&[1], "too-soon").await;
    assert_eq!((refused.status, refused.code()), (403, "NOT_ADMITTED"));
    assert_eq!(refused.body["place"]["position"], 1);

    let held = visitors[0].reserve(&[1], "hold").await.body;
    visitors[0].charge(1_000, "charge").await;
    assert_eq!(
        visitors[0]
            .pay(held["id"].as_str().unwrap(), "pay")
            .await
            .status,
        201
    );
    assert_eq!(states(&visitors[1..]).await, ["active", "active", "1", "2"]);

    assert_eq!(visitors[1].leave().await.status, 204);
    assert_eq!(states(&visitors[2..]).await, ["active", "active", "1"]);
    assert_eq!(visitors[3].leave().await.status, 204);
    assert_eq!(states(&visitors[4..]).await, ["active"]);
    sale.assert_books_agree().await;
}

/// `active`, or the position, of each visitor.
async fn states(visitors: &[Visitor]) -> Vec<String> {
    let mut states = Vec::new();
    for visitor in visitors {
        let place = visitor.poll().await.body;
        states.push(match place["state"].as_str() {
            Some("waiting") => place["position"].to_string(),
            other => other.unwrap_or("none").to_owned(),
        });
    }
    states
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_rules_is_in_force_on_every_gateway() {
    let sale = Sale::open(2, 50).await;
    sale.rule(json!({ "maxActive": 1 })).await;
    sale.visitor(0).enter().await;
    let mut waiting = sale.visitor(1);
    assert_eq!(waiting.join().await.body["state"], "waiting");
    sale.rule(json!({ "maxActive": 2 })).await;
    assert_eq!(
        waiting.poll().await.body["state"],
        "active",
        "at the other gateway, at once"
    );
    let path = "/api/v1/queues/main";
    let removed = sale.operate(Method::DELETE, path, None).await;
    assert_eq!(removed.status, 204);
    assert_eq!(waiting.poll().await.code(), "QUEUE_UNKNOWN");
}

/// The lines that the README asks people to paste.
fn session() -> String {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = fs::read_to_string(readme).unwrap();
    let session = readme.split("## A session").nth(1).unwrap();
    let lines = session.split("```sh\n").nth(1).unwrap();
    lines.split("```").next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_session_of_the_readme_can_be_pasted_and_leaves_nothing_changed() {
    let sale = Sale::open(1, 50).await;
    let before = sale
        .operate(Method::GET, "/api/v1/queues/main/policy", None)
        .await;
    let scratch = Scratch::new().unwrap();
    fs::create_dir_all(scratch.path().join("target/usher")).unwrap();
    let variables = format!(
        "GATEWAY_URLS={}\nOPERATOR_KEY={}\n",
        sale.stack.gateway_urls()[0],
        sale.stack.operator_key()
    );
    fs::write(scratch.path().join("target/usher/up.env"), variables).unwrap();
    let mut shell = Command::new("sh");
    shell.args(["-euc", &session()]).current_dir(scratch.path());
    let output = shell.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    let answers: Vec<Value> = said
        .lines()
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_str(line).expect(line))
        .collect();
    let told = |member: &str| {
        let all = answers.iter().filter_map(|answer| answer[member].as_str());
        all.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(told("code"), ["SEAT_TAKEN"], "{said}");
    let states = [
        "open", "active", "waiting", "active", "captured", "refunded", "open",
    ];
    assert_eq!(told("state"), states, "{said}");
    let after = sale
        .operate(Method::GET, "/api/v1/queues/main/policy", None)
        .await;
    assert_eq!(after.body, before.body);
    let mut visitor = sale.visitor(0);
    visitor.enter().await;
    let seats = visitor
        .get(&format!(
            "/api/v1/schedules/{}/seats?state=available",
            sale.schedule
        ))
        .await;
    assert_eq!(seats.body["items"].as_array().unwrap().len(), 50);
    sale.assert_books_agree().await;
}
