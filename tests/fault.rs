//! Processes that are killed in the middle of a sale, and programs that cannot start.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use e2e::{Sale, Visitor, reached};
use serde_json::json;
use testbed::{Profile, binary};
use tokio::task::JoinSet;

const STORIES: u16 = 200;

/// Buys one seat, whatever happens to the processes; two visitors want each seat at first.
async fn buy(mut visitor: Visitor, number: u16) -> (u64, String) {
    visitor.enter().await;
    let charged = visitor.persist(|it| it.charging(1_000, "charge")).await;
    assert_eq!(charged.status, 201, "{charged:?}");
    let mut wanted = number / 2 + 1;
    for attempt in 0.. {
        let key = format!("hold-{attempt}");
        let held = visitor.persist(|it| it.reserving(&[wanted], &key)).await;
        if held.status == 409 {
            // Taken by the other one: from the far end there are seats enough for everybody.
            wanted = 2 * STORIES - number - attempt;
            continue;
        }
        assert_eq!(held.status, 201, "{held:?}");
        let reservation = held.body["id"].as_str().unwrap().to_owned();
        let paid = visitor.persist(|it| it.paying(&reservation, "pay")).await;
        assert_eq!(paid.status, 201, "{paid:?}");
        return (
            held.body["seats"][0]["number"].as_u64().unwrap(),
            reservation,
        );
    }
    unreachable!("the attempts do not end")
}

#[tokio::test(flavor = "multi_thread")]
async fn no_seat_is_sold_twice_when_gateway_and_booking_are_killed_in_the_middle() {
    let mut sale = Sale::open(2, 2 * STORIES).await;
    sale.rule(
        json!({ "maxActive": 40, "admitPerSecond": 1_000, "leaseSeconds": 20, "claimSeconds": 5 }),
    )
    .await;
    let done = Arc::new(AtomicUsize::new(0));
    let mut stories = JoinSet::new();
    for number in 0..STORIES {
        let visitor = sale.visitor(usize::from(number));
        let done = done.clone();
        stories.spawn(async move {
            let bought = buy(visitor, number).await;
            done.fetch_add(1, Ordering::SeqCst);
            bought
        });
    }
    reached(&done, 20).await;
    sale.stack.gateways[0].kill();
    sale.stack.gateways[0].restart().unwrap();
    reached(&done, 60).await;
    sale.stack.bookings[0].kill();
    sale.stack.bookings[0].restart().unwrap();
    reached(&done, 100).await;
    sale.stack.gateways[1].kill();
    sale.stack.bookings[0].kill();
    sale.stack.bookings[0].restart().unwrap();
    sale.stack.gateways[1].restart().unwrap();

    let bought = stories.join_all().await;
    let seats: BTreeSet<_> = bought.iter().map(|(seat, _)| seat).collect();
    assert_eq!(seats.len(), usize::from(STORIES), "a seat was sold twice");
    sale.assert_books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_killed_is_started_again_where_it_was() {
    let mut sale = Sale::open(2, 50).await;
    let mut visitor = sale.visitor(0);
    visitor.enter().await;
    sale.stack.gateways[0].kill();
    sale.stack.bookings[0].kill();
    let mut revived = BTreeSet::new();
    while let Some(ended) = sale.stack.revive().unwrap() {
        assert_eq!(ended.code, 128 + 9, "{}", ended.log_tail);
        revived.insert(ended.name);
    }
    assert_eq!(
        revived,
        BTreeSet::from(["booking".into(), "gateway-1".into()])
    );
    let seats = visitor
        .get(&format!("/api/v1/schedules/{}/seats", sale.schedule))
        .await;
    assert_eq!(
        seats.status, 200,
        "the same token, the same port: {seats:?}"
    );
}

/// Runs a program without any of its variables but these; its exit code and what it said.
fn run(program: &str, variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let output = Command::new(binary(program, Profile::Debug).unwrap())
        .env_clear()
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (
        output.status.code(),
        said + &String::from_utf8_lossy(&output.stdout),
    )
}

const SECRET: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY";

#[test]
fn a_bad_configuration_is_told_by_name_with_exit_code_64() {
    let (code, said) = run("gateway", &[("GATEWAY_LISTEN", "nowhere")]);
    assert_eq!(code, Some(64));
    for name in [
        "GATEWAY_LISTEN",
        "GATEWAY_TOKEN_KEYS",
        "GATEWAY_PASS_KEY",
        "GATEWAY_IDENTITY must be set",
        "jwt",
        "anonymous",
        "open",
    ] {
        assert!(said.contains(name), "{said}");
    }
    let (code, said) = run("booking", &[("BOOKING_HOLD_S", "soon")]);
    assert_eq!(code, Some(64));
    for name in ["BOOKING_HOLD_S", "BOOKING_MYSQL_URL", "BOOKING_PASS_KEY"] {
        assert!(said.contains(name), "{said}");
    }
    assert!(!said.contains("panicked"), "{said}");
}

#[test]
fn a_store_that_is_not_there_is_told_with_exit_code_69() {
    let nobody = testbed::free_port();
    let redis = format!("redis://127.0.0.1:{nobody}/0");
    let (code, said) = run(
        "gateway",
        &[
            ("GATEWAY_LISTEN", "127.0.0.1:0"),
            ("GATEWAY_ADMIN_LISTEN", "127.0.0.1:0"),
            ("GATEWAY_TOKEN_KEYS", &format!("k:{SECRET}")),
            ("GATEWAY_PASS_KEY", SECRET),
            ("GATEWAY_IDENTITY", "open"),
            ("GATEWAY_REDIS_URL", &redis),
            ("GATEWAY_START_WAIT_S", "0"),
        ],
    );
    assert_eq!(code, Some(69), "{said}");
    assert!(
        said.contains("Redis") && said.contains("GATEWAY_REDIS_URL"),
        "{said}"
    );
    let mysql = format!("mysql://root:hunter2@127.0.0.1:{nobody}/usher");
    let (code, said) = run(
        "booking",
        &[
            ("BOOKING_LISTEN", "127.0.0.1:0"),
            ("BOOKING_ADMIN_LISTEN", "127.0.0.1:0"),
            ("BOOKING_PASS_KEY", SECRET),
            ("BOOKING_MYSQL_URL", &mysql),
            ("BOOKING_START_WAIT_S", "0"),
        ],
    );
    assert_eq!(code, Some(69), "{said}");
    assert!(
        said.contains("MySQL") && !said.contains("hunter2"),
        "{said}"
    );
}

#[test]
fn help_lists_every_variable() {
    for (program, prefix, least) in [("gateway", "GATEWAY_", 20), ("booking", "BOOKING_", 12)] {
        let (code, said) = run(program, &[("NOTHING", "1")]);
        assert_eq!(code, Some(64), "{said}");
        let output = Command::new(binary(program, Profile::Debug).unwrap())
            .arg("--help")
            .env_clear()
            .output()
            .unwrap();
        let page = String::from_utf8(output.stdout).unwrap();
        let listed = page
            .lines()
            .filter(|line| line.trim_start().starts_with(prefix))
            .count();
        assert!(
            listed >= least && page.contains("LOG_CONFIG"),
            "{listed}: {page}"
        );
    }
}
