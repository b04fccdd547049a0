//! `admit`: what it costs Redis to let visitors in, from a short and from a long line.
//!
//! The visitors of these lines are recorded as present, so that all of them are let in and nobody is parked.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use loadtest::machine::Process;

use crate::fixture::{Fixture, rules};
use crate::report::{Row, count};

const FEW: &str = "admit-few";
const MANY: &str = "admit-many";
/// Visitors a second, as the goal says; fewer where the line would not last.
const FAST: usize = 1_000;
/// Enough for all.
const ROOM: usize = 1_000_000;
/// The highest rate there is: only room decides.
const MOST: usize = 100_000;
/// How often a crowd enters in a round.
const OPENINGS: usize = 3;
/// At most one in so many of a line enters in a second, also in the one in which the queue opens.
const SHARE: usize = 10;
/// Scheduler and token bucket work by the second; after this their work is steady.
const STEADY: Duration = Duration::from_millis(1_500);

/// Measures the server process, then the scripts.
pub fn run(fixture: &mut Fixture) -> Result<Vec<Row>> {
    let plan = fixture.plan.clone();
    let time = plan.turn.max(Duration::from_millis(1_000));
    let fast = FAST.min(plan.many / SHARE);
    for queue in [FEW, MANY] {
        fixture.rule(queue, &rules("paused", ROOM, fast))?;
    }
    let seconds = (time + 4 * STEADY).as_secs_f64().ceil() as usize;
    let present = plan.rounds * (fast * seconds + OPENINGS * plan.few);
    fixture.line.append(MANY, plan.many, present)?;
    let mut rows = share(fixture, fast, time)?;
    rows.push(each(fixture)?);
    fixture.remove(FEW)?;
    fixture.remove(MANY)?;
    Ok(rows)
}

/// The share of a core that the server uses beyond what it uses while nobody enters.
fn share(fixture: &mut Fixture, fast: usize, time: Duration) -> Result<Vec<Row>> {
    let redis = Process::of(fixture.stack.redis().pid());
    let (mut shares, mut rates) = (Vec::new(), Vec::new());
    for _ in 0..fixture.plan.rounds {
        fixture.rule(MANY, &rules("paused", ROOM, fast))?;
        thread::sleep(STEADY);
        let idle = redis.share_of_core(time)?;
        fixture.rule(MANY, &rules("open", ROOM, fast))?;
        thread::sleep(STEADY);
        let before = next_admission(fixture, MANY)?;
        let began = Instant::now();
        let busy = redis.share_of_core(time)?;
        let entered = next_admission(fixture, MANY)? - before;
        rates.push(entered as f64 / began.elapsed().as_secs_f64());
        shares.push((busy - idle) * 100.0);
    }
    fixture.rule(MANY, &rules("paused", ROOM, fast))?;
    let many = fixture.plan.many;
    let what = format!("Redis beyond idle, {fast} a second from {many} waiting");
    let cost = Row::of(what, &shares, "% of a core").below(5.0);
    let limits = vec![fast as f64; rates.len()];
    let speed = Row::of("let in", &rates, "/s").against(&rates, &limits);
    let parked = fixture.line.count(MANY, "parked")?;
    Ok(vec![cost, speed.goal("nobody parked", parked == 0)])
}

/// Waits until the scheduler has let somebody in, so that the count begins and ends with a step of it.
fn next_admission(fixture: &mut Fixture, queue: &str) -> Result<u64> {
    let before = fixture.line.count(queue, "active")?;
    let now = |count| count != before;
    fixture.wait_for("somebody to enter", (queue, "active"), now)
}

/// Time inside scripts for each visitor who enters, when a crowd enters at once: one script lets in a whole batch.
fn each(fixture: &mut Fixture) -> Result<Row> {
    let crowd = fixture.plan.few;
    let (mut few, mut many) = (Vec::new(), Vec::new());
    for _ in 0..fixture.plan.rounds {
        for (queue, found) in [(FEW, &mut few), (MANY, &mut many)] {
            let mut sum_us = 0;
            for _ in 0..OPENINGS {
                let missing = crowd.saturating_sub(fixture.line.count(queue, "waiting")? as usize);
                fixture.line.append(queue, missing, missing)?;
                sum_us += open_for(fixture, queue, crowd)?;
            }
            found.push(sum_us as f64 / (OPENINGS * crowd) as f64);
        }
    }
    let (size, crowd) = (count(fixture.plan.many), count(crowd));
    let what = format!("each visitor from {size} waiting, against {crowd}");
    let row = Row::of(what, &many, "µs in scripts").against(&many, &few);
    let is_met = row.times_limit() < 2.0;
    Ok(row.goal("< 2 times", is_met))
}

/// Makes room for exactly so many; returns what scripts ran for until all of them were inside, in µs.
fn open_for(fixture: &mut Fixture, queue: &str, crowd: usize) -> Result<u64> {
    let target = fixture.line.count(queue, "active")? as usize + crowd;
    let before = fixture.line.script_us()?;
    fixture.rule(queue, &rules("open", target, MOST))?;
    fixture.wait_for("a crowd to enter", (queue, "active"), |count| {
        count as usize >= target
    })?;
    let us = fixture.line.script_us()? - before;
    fixture.rule(queue, &rules("paused", ROOM, MOST))?;
    Ok(us)
}
