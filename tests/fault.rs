//! Processes that are killed, and programs that cannot start.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::collections::BTreeSet;
use std::process::Command;

use e2e::Sale;
use testbed::{Profile, binary};

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
