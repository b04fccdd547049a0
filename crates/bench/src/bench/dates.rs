//! `dates`: the list of dates of a long run beside the list of seats of one date, while seats are sold.
//!
//! One reader asks for both in turns, so that what disturbs the machine disturbs both alike; first compressed, as browsers
//! ask, then plain, where the length of the list itself is what costs.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use loadtest::{Measured, Request, Target};
use serde_json::json;
use uuid::Uuid;

use crate::fixture::{Caller, Fixture, Minter};
use crate::report::{Row, count, percentiles_ms};
use crate::turns;

const SEATS: usize = 50;
/// Seats that are sold meanwhile, on one date after the other.
const SOLD_EVERY: Duration = Duration::from_millis(20);
/// How much dearer the dates may be than the seats.
const MOST: f64 = 2.0;

/// Both lists, and how they compare.
pub fn run(fixture: &mut Fixture) -> Result<Vec<Row>> {
    let (plan, concert) = (fixture.plan.clone(), fixture.concert()?);
    let dates = (0..plan.dates).map(|_| fixture.date_of(&concert, SEATS));
    let dates = dates.collect::<Result<Vec<_>>>()?;
    let (booking, minter) = (fixture.booking, fixture.minter.clone());
    let paths = [
        format!("/api/v1/schedules/{}/seats", dates[0]),
        format!("/api/v1/concerts/{concert}/schedules"),
    ];
    let asks = [("gzip", true), ("identity", false)];
    let read = |(encoding, _)| {
        let round = |_| read(booking, &minter, (&paths, encoding), plan.whole_turn());
        (0..plan.rounds).map(round).collect::<Result<Vec<_>>>()
    };
    let (measured, sold) = turns::beside(
        |is_over| sell(booking, &minter, &dates, is_over),
        || asks.into_iter().map(read).collect::<Result<Vec<_>>>(),
    )?;
    let note = format!("beside {SEATS} seats of one date, while {sold} seats were sold");
    let rows = asks.into_iter().zip(measured);
    let rows = rows.map(|(ask, rounds)| row(plan.dates, ask, rounds).note(&note));
    Ok(rows.collect())
}

fn row(dates: usize, (encoding, has_goal): (&str, bool), rounds: Vec<[Measured; 2]>) -> Row {
    let (seats, listed): (Vec<_>, Vec<_>) = rounds.into_iter().map(|[a, b]| (a, b)).unzip();
    let [limit, subject] = [&seats, &listed].map(|it| percentiles_ms(it, 50.0));
    let what = format!("{} dates, {encoding}, median", count(dates));
    let mut row = Row::of(what, &subject, "ms")
        .against(&subject, &limit)
        .latencies(&listed);
    row.errors = turns::errors(&listed, 200) + turns::errors(&seats, 200);
    let is_met = row.times_limit() <= MOST;
    match has_goal {
        true => row.goal(format!("≤ {MOST} × seats"), is_met),
        false => row,
    }
}

/// Both lists in turns, for this long.
fn read(
    booking: Target,
    minter: &Minter,
    (paths, encoding): (&[String; 2], &str),
    turn: Duration,
) -> Result<[Measured; 2]> {
    let mut caller = Caller::of(booking)?;
    let ask = |path: &String| {
        let request = Request::get(path).with("accept-encoding", encoding);
        minter.admit(Uuid::new_v4(), request)
    };
    let asks = paths.each_ref().map(ask);
    let (begun, mut measured) = (Instant::now(), [Measured::default(), Measured::default()]);
    while begun.elapsed() < turn {
        for (ask, measured) in asks.iter().zip(&mut measured) {
            let asked = Instant::now();
            let status = caller.send(ask.clone())?.status;
            measured.record(Ok(status), asked.elapsed());
        }
    }
    Ok(measured)
}

/// Holds one seat after the other until it is over; says how many.
fn sell(booking: Target, minter: &Minter, dates: &[Uuid], is_over: &AtomicBool) -> Result<usize> {
    let mut caller = Caller::of(booking)?;
    let begun = Instant::now();
    for sold in 0..dates.len() * SEATS {
        if is_over.load(Ordering::Relaxed) {
            return Ok(sold);
        }
        let (date, seat) = (dates[sold % dates.len()], sold / dates.len() + 1);
        let wish = json!({ "scheduleId": date, "seatNumbers": [seat] });
        let request = Request::post("/api/v1/reservations", &wish);
        caller.make(minter.admit(Uuid::new_v4(), request))?;
        let next = SOLD_EVERY * u32::try_from(sold + 1)?;
        thread::sleep(next.saturating_sub(begun.elapsed()));
    }
    Ok(dates.len() * SEATS)
}
