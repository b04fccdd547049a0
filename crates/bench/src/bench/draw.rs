//! `draw`: how long a lottery takes from the opening of the doors, and for how long it keeps others waiting at Redis.
//!
//! When the doors open the gateways read who takes part, fix the root over all tickets, and give everybody the place of
//! their lot. Those who take part are written to Redis directly; the gateways draw as always. Meanwhile a client
//! pings Redis each millisecond: as long as it waits, every other client waits.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use loadtest::Measured;
use serde_json::{Value, json};
use testbed::wait_for;

use crate::fixture::{Fixture, rules};
use crate::line::Line;
use crate::report::{Row, count};
use crate::turns;

const QUEUE: &str = "draw";
/// Far longer than ten million take.
const PATIENCE: Duration = Duration::from_secs(600);
const PING_EACH: Duration = Duration::from_millis(1);

/// One draw.
pub fn run(fixture: &mut Fixture) -> Result<Vec<Row>> {
    let entrants = fixture.plan.entrants;
    fixture.rule(QUEUE, &lottery())?;
    fixture.line.take_part(QUEUE, entrants)?;
    let asking = Line::open(&fixture.stack.redis_url())?;
    let ([fixed, placed, inside], pings) =
        turns::beside(|is_over| ping(asking, is_over), || draw(fixture))?;
    fixture.remove(QUEUE)?;
    let took = |what: &str, seconds| {
        let what = format!("{} take part, until {what}", count(entrants));
        Row::of(what, &[seconds], "s")
    };
    Ok(vec![
        took("it is fixed who does", fixed).note("read, and a root over all tickets"),
        took("everybody has a place", placed).note("the lots, 500 in a script"),
        took("the first are inside", inside),
        Row::of("longest PING beside it", &[pings.max_ms()], "ms")
            .latencies(&[pings])
            .note("for so long Redis served nobody else"),
    ])
}

/// Opens the doors: after how many seconds it was fixed who takes part, all had a place, the first were inside.
fn draw(fixture: &mut Fixture) -> Result<[f64; 3]> {
    let began = Instant::now();
    // With an instant to come it would stay scheduled.
    fixture.change(QUEUE, &json!({ "state": "open" }))?;
    let line = &mut fixture.line;
    let mut until = |what: &str, is_so: &mut dyn FnMut(&mut Line) -> Result<bool>| {
        wait_for(what, PATIENCE, || is_so(line).ok()?.then_some(()))?;
        anyhow::Ok(began.elapsed().as_secs_f64())
    };
    let has = |line: &mut Line, field| line.has_field(QUEUE, "meta", field);
    Ok([
        until("the root", &mut |line| has(line, "root"))?,
        until("a place for each", &mut |line| {
            Ok(has(line, "key")? && !has(line, "unsorted")?)
        })?,
        until("the first inside", &mut |line| {
            Ok(line.count(QUEUE, "active")? > 0)
        })?,
    ])
}

fn lottery() -> Value {
    let mut rules = rules("scheduled", 100, 100);
    rules["order"] = json!("lottery");
    rules["opensAt"] = json!("2099-01-01T00:00:00Z");
    rules
}

/// Pings Redis until it is over.
fn ping(mut line: Line, is_over: &AtomicBool) -> Result<Measured> {
    let mut measured = Measured::default();
    while !is_over.load(Ordering::Relaxed) {
        let began = Instant::now();
        line.ping()?;
        measured.record(Ok(200), began.elapsed());
        thread::sleep(PING_EACH);
    }
    Ok(measured)
}
