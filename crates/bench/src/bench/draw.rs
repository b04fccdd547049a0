//! `draw`: how long it takes from the opening of the doors until the first of a lottery are inside.
//!
//! Between the two a gateway reads who takes part, fixes the root over all tickets, and gives everybody the place of
//! their lot.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::{Value, json};
use testbed::wait_for;

use crate::fixture::{Fixture, rules};
use crate::report::{Row, count};

const QUEUE: &str = "draw";
/// Far longer than a million takes.
const PATIENCE: Duration = Duration::from_secs(300);

/// One draw.
pub fn run(fixture: &mut Fixture) -> Result<Vec<Row>> {
    let many = fixture.plan.many;
    fixture.rule(QUEUE, &lottery("scheduled"))?;
    fixture.line.take_part(QUEUE, many)?;
    let began = Instant::now();
    fixture.rule(QUEUE, &lottery("open"))?;
    wait_for("the first to be inside", PATIENCE, || {
        (fixture.line.count(QUEUE, "active").ok()? > 0).then_some(())
    })?;
    let took = began.elapsed().as_secs_f64();
    fixture.remove(QUEUE)?;
    let what = format!("{} take part, until the first are inside", count(many));
    let row = Row::of("draw", &what, &[took], "s");
    Ok(vec![
        row.note("the root over all tickets, then a place for each"),
    ])
}

fn lottery(state: &str) -> Value {
    let mut rules = rules(state, 100, 100);
    rules["order"] = json!("lottery");
    rules["opensAt"] = json!("2099-01-01T00:00:00Z");
    rules
}
