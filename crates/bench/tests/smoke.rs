//! Every benchmark runs on the real processes and reports: next to nothing of everything, and no time is asserted.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::collections::BTreeSet;
use std::process::{Command, Output};

use serde_json::Value;
use testbed::Scratch;

fn bench(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bench"))
        .args(arguments)
        .output()
        .unwrap()
}

/// The benchmarks that the help lists, in its order.
fn listed() -> Vec<String> {
    let told = String::from_utf8(bench(&["--help"]).stdout).unwrap();
    assert!(told.contains("--json <FILE>"), "{told}");
    let values = told.lines().filter_map(|it| it.trim().strip_prefix("- "));
    let names = values.filter_map(|it| it.split(':').next());
    names.map(str::to_owned).collect()
}

#[test]
fn every_benchmark_runs_and_reports_and_nothing_fails_on_the_way() {
    let scratch = Scratch::new().unwrap();
    let file = scratch.path().join("bench.json");
    let output = bench(&["--small", "--json", file.to_str().unwrap()]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");

    let report: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    for name in ["cores", "redis-server", "mariadbd", "mariadbd settings"] {
        let value = report["machine"][name].as_str().unwrap();
        assert!(!value.is_empty() && value != "unknown", "{name}");
    }
    assert!(report["machine"]["commit"].is_string());
    let rows = report["rows"].as_array().unwrap();
    let benches: BTreeSet<_> = rows
        .iter()
        .map(|row| row["bench"].as_str().unwrap())
        .collect();
    let wanted = listed();
    let wanted: BTreeSet<_> = wanted.iter().map(String::as_str).collect();
    assert_eq!(benches, wanted);
    for row in rows {
        assert_eq!(row["errors"], 0, "{row}");
        assert!(row["measured"]["median"].is_number(), "{row}");
        let is_rate = row["unit"] == "/s";
        let is_positive = row["measured"]["median"].as_f64() > Some(0.0);
        assert!(!is_rate || is_positive, "{row}");
    }
    let table = String::from_utf8(output.stdout).unwrap();
    let lines = table.lines().filter(|line| line.starts_with("| "));
    assert_eq!(lines.count(), rows.len() + 1, "{table}");
}

#[test]
fn what_is_not_understood_is_refused() {
    for arguments in [
        &["dance"][..],
        &["--fast"],
        &["--seconds", "0"],
        &["--rounds", "none"],
        &["poll", "--json"],
    ] {
        let output = bench(arguments);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn the_command_knows_every_benchmark_by_its_name() {
    let workspace = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap();
    let command = std::fs::read_to_string(workspace.join("xtask/src/bench.rs")).unwrap();
    let list = command.split("const NAMES").nth(1).unwrap();
    let list = list.split(']').nth(1).unwrap();
    let known: Vec<_> = list.split('"').skip(1).step_by(2).collect();
    assert_eq!(known, listed());
}
