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
    check_refused("dance", "`dance`");
    check_refused("--dance", "'--dance'");
    check_refused("up --fast", "'--fast'");
    check_refused("up now", "\"now\"");
    check_refused("test --fast", "'--fast'");
    check_refused("openapi --fast", "'--fast'");
    check_refused("bench dance", "`dance`");
    check_refused("bench poll --fast", "'--fast'");
    check_refused("bench --write", "'--write'");
    check_refused("bench indexes poll", "`poll`");
    check_refused("bench indexes --rows 1", "from 1000 to 10000000");
    check_refused("bench indexes --rows 5000 --write", "leave --rows out");
    check_refused("load story --gateways 0", "from 1 to 50");
    check_refused("load story --target", "--target takes a value");
    check_refused("up --gateways", "'--gateways'");
    check_refused("up --gateways 0", "from 1 to 50");
    check_refused("up --gateways many", "`many`");
    check_refused("up --port 80", "from 1024 to 64000");
    check_refused("up --port 65000", "from 1024 to 64000");
    check_refused("up --port -1", "--port");
}

#[test]
fn help_lists_commands_and_flags() {
    check_help("", "cargo xtask up");
    check_help("--help", "cargo xtask openapi");
    check_help("help", "cargo xtask test");
    check_help("up --help", "--gateways N");
    check_help("up -h", "--fresh");
    check_help("up --help", "--no-kafka");
    check_help("test --help", "--yes");
    check_help("openapi --help", "--check");
    check_help("bench --help", "--json FILE");
    check_help("bench --help", "indexes");
    check_help("load", "sell-out");
    check_help("load --help", "--p99-ms MS");
    check_help("load story --help", "--target URL");
}
