//! What the commands say to those who mistype or ask for help.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::process::{Command, Output};

fn xtask(line: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(line.split_whitespace())
        .output()
        .unwrap()
}

fn check_refused(line: &str, words: &str) {
    let output = xtask(line);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(64), "{line}: {said}");
    assert!(said.contains(words), "{line}: {said}");
    assert!(output.stdout.is_empty(), "{line}");
}

fn check_help(line: &str, words: &str) {
    let output = xtask(line);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{line}");
    assert!(said.contains(words), "{line}: {said}");
}

#[test]
fn what_is_not_understood_is_refused_and_named() {
    check_refused("dance", "'dance'");
    check_refused("--dance", "'--dance'");
    check_refused("up --fast", "'--fast'");
    check_refused("up now", "'now'");
    check_refused("test --fast", "'--fast'");
    check_refused(
        "test --long --mysql mysql://root@127.0.0.1:1",
        "'--mysql <URL>'",
    );
    check_refused("openapi --fast", "'--fast'");
    check_refused("bench dance", "'dance'");
    check_refused("bench poll --fast", "'--fast'");
    check_refused("bench --write", "'--write'");
    check_refused("bench indexes poll", "'poll'");
    check_refused("bench indexes --rows 1", "20000..=10000000");
    check_refused("bench indexes --rows 50000 --write", "'--write'");
    check_refused("load", "SCENARIO");
    check_refused("load dance", "\"dance\"");
    check_refused("load story --gateways 0", "1..=50");
    check_refused("load story --target", "'--target <URL>'");
    check_refused("up --gateways", "'--gateways <N>'");
    check_refused("up --gateways 0", "1..=50");
    check_refused("up --bookings 21", "1..=20");
    check_refused("up --forwarders 0", "1..=20");
    check_refused("up --gateways many", "'many'");
    check_refused("up --port 80", "1024..=64000");
    check_refused("up --port 65000", "1024..=64000");
    check_refused("up --port -1", "'-1'");
    check_refused("up --kafka tea", "[possible values: real, stand-in, none]");
    check_refused("up --kafka real --no-kafka", "'--no-kafka'");
    check_refused(
        "up --upstream http://127.0.0.1:3000 --kafka real",
        "'--kafka <KAFKA>'",
    );
}

#[test]
fn help_lists_commands_and_flags() {
    check_help("--help", "openapi");
    check_help("help", "up");
    check_help("up --help", "--gateways <N>");
    check_help("up -h", "--fresh");
    check_help("up --help", "--no-kafka");
    check_help("up --help", "--upstream <URL>");
    check_help("test --help", "--yes");
    check_help("test --help", "--long");
    check_help("openapi --help", "--check");
    check_help("bench --help", "--json <FILE>");
    check_help("bench --help", "indexes");
    check_help("load --help", "sell-out");
    check_help("load --help", "--p99-ms MS");
    check_help("load story --help", "--target <URL>");
}
