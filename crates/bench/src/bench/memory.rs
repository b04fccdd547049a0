//! `memory`: what a visitor costs in Redis, wherever they stand.
//!
//! Those who wait are written directly; those inside or parked were moved there by the gateway.

use anyhow::Result;
use serde_json::json;
use testbed::wait_for;

use crate::fixture::{self, Fixture, rules};
use crate::report::{Row, count};

const WAITING: &str = "memory-waiting";
const MOVED: &str = "memory-moved";
const INSIDE: [&str; 3] = ["active", "unclaimed", "tickets"];
const PARKED: [&str; 2] = ["parked", "parked_before"];
const MIB: f64 = 1_048_576.0;
/// The highest rate there is: only room decides.
const MOST: usize = 100_000;

/// A long line, then a shorter one that is let in by half and parked.
pub fn run(fixture: &mut Fixture) -> Result<Vec<Row>> {
    let many = fixture.plan.many;
    fixture.rule(WAITING, &rules("paused", 1, MOST))?;
    let before = fixture.line.used_memory()?;
    fixture.line.append(WAITING, many, 0)?;
    let used = (fixture.line.used_memory()? - before) as f64;
    let key = fixture.line.bytes(WAITING, &["waiting"])?;
    fixture.remove(WAITING)?;
    let what = format!("{} waiting", count(many));
    let all = Row::of(what, &[used / MIB], "MiB")
        .goal("< 150 MB", used / 1e6 < 150.0)
        .note("the difference of used_memory");
    let mut rows = vec![all, each("waiting", key, many as u64)];
    rows.extend(moved(fixture)?);
    Ok(rows)
}

fn moved(fixture: &mut Fixture) -> Result<Vec<Row>> {
    let half = fixture.plan.many / 50;
    fixture.rule(MOVED, &rules("paused", half, MOST))?;
    fixture.line.append(MOVED, 2 * half, 0)?;
    fixture.rule(MOVED, &rules("open", half, MOST))?;
    let all = half as u64;
    fixture.wait_for("all to enter", (MOVED, "active"), |inside| inside == all)?;
    let inside = fixture.line.bytes(MOVED, &INSIDE)?;
    // Nobody of these ever polls, so a short silence makes them absent. Until that is known there is no room.
    let mut short = rules("open", half, MOST);
    short["claimSeconds"] = json!(1);
    fixture.rule(MOVED, &short)?;
    wait_for("the absent to be known", fixture::MOVED, || {
        fixture.line.is_called(MOVED).ok()?.then_some(())
    })?;
    short["maxActive"] = json!(half + 1);
    fixture.rule(MOVED, &short)?;
    fixture.wait_for("the absent to be parked", (MOVED, "waiting"), |left| {
        left == 0
    })?;
    let parked = fixture.line.count(MOVED, "parked")?;
    let bytes = fixture.line.bytes(MOVED, &PARKED)?;
    fixture.remove(MOVED)?;
    Ok(vec![
        each("active", inside, all),
        each("parked", bytes, parked),
    ])
}

fn each(state: &str, bytes: u64, count: u64) -> Row {
    let figure = bytes as f64 / (count as f64).max(1.0);
    let row = Row::of(format!("each who is {state}"), &[figure], "bytes");
    row.note(format!("MEMORY USAGE with every sample, by {count}"))
}
