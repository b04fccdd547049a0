//! `memory`: what a visitor costs in Redis, wherever they stand.
//!
//! The waiting are written directly; who is inside or parked was moved there by the gateway.

use std::io;
use std::time::Duration;

use serde_json::{Value, json};
use testbed::wait_for;

use crate::house::House;
use crate::report::{self, Goal, Row};

const WAITING: &str = "memory-waiting";
const MOVED: &str = "memory-moved";
const INSIDE: [&str; 3] = ["active", "unclaimed", "tickets"];
const PARKED: [&str; 2] = ["parked", "parked_before"];
const MIB: f64 = 1_048_576.0;
/// Rings are a second apart; who is away is known as absent after two silences of some seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// A long line, then a shorter one that is let in by half and parked.
pub fn run(house: &mut House) -> io::Result<Vec<Row>> {
    let many = house.plan.many;
    house.rule(WAITING, &rules("paused", 1))?;
    let before = house.line.used_memory()?;
    house.line.append(WAITING, many, 0)?;
    let used = house.line.used_memory()? - before;
    let key = house.line.bytes(WAITING, &["waiting"])?;
    house.remove(WAITING)?;
    let mib = used as f64 / MIB;
    let all = Row::figure(
        "memory",
        &format!("{} waiting", report::count(many)),
        mib,
        "MiB",
    )
    .goal(Goal::below("", used as f64 / 1e6, 150.0, "MB"))
    .note("the difference of used_memory");
    let mut rows = vec![all, each("waiting", key, many as u64)];
    rows.extend(moved(house)?);
    Ok(rows)
}

fn rules(state: &str, most: usize) -> Value {
    json!({
        "state": state, "maxActive": most, "admitPerSecond": 100_000, "leaseSeconds": 86_400,
        "claimSeconds": 3_600, "maxWaiting": 10_000_000,
    })
}

fn moved(house: &mut House) -> io::Result<Vec<Row>> {
    let half = house.plan.many / 50;
    house.rule(MOVED, &rules("paused", half))?;
    house.line.append(MOVED, 2 * half, 0)?;
    house.rule(MOVED, &rules("open", half))?;
    wait_for("all who have room to enter", PATIENCE, || {
        let inside = house.line.count(MOVED, "active").ok()?;
        (inside == half as u64).then_some(())
    })?;
    let inside = house.line.bytes(MOVED, &INSIDE)?;
    // Nobody of these ever polls, so a short silence makes them absent. Until that is known there is no room.
    let mut short = rules("open", half);
    short["claimSeconds"] = json!(1);
    house.rule(MOVED, &short)?;
    wait_for("the absent to be known", PATIENCE, || {
        house.line.is_called(MOVED).ok()?.then_some(())
    })?;
    short["maxActive"] = json!(half + 1);
    house.rule(MOVED, &short)?;
    wait_for("the absent to be parked", PATIENCE, || {
        (house.line.count(MOVED, "waiting").ok()? == 0).then_some(())
    })?;
    let parked = house.line.count(MOVED, "parked")?;
    let bytes = house.line.bytes(MOVED, &PARKED)?;
    house.remove(MOVED)?;
    Ok(vec![
        each("active", inside, half as u64),
        each("parked", bytes, parked),
    ])
}

fn each(state: &str, bytes: u64, count: u64) -> Row {
    let figure = bytes as f64 / (count as f64).max(1.0);
    Row::figure("memory", &format!("each who is {state}"), figure, "bytes")
        .note(format!("MEMORY USAGE with every sample, by {count}"))
}
