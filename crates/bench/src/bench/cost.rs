//! `cost`: what one sale costs MySQL, by the server's own counters: charge, hold and payment, the way of their events to
//! the data platform included.
//!
//! A stack of its own has a broker and a forwarder. Visitors buy at a steady rate; when the last event has arrived, the
//! counters are read again. What the services do by themselves in that time is in the figures.

use std::collections::HashMap;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use loadtest::{Request, Target};
use serde_json::{Value, json};
use testbed::Brokers;
use uuid::Uuid;

use crate::fixture::{Caller, Fixture, Minter};
use crate::report::Row;
use crate::turns::side_by_side;

/// Who buy side by side.
const BUYERS: u32 = 8;
/// Sales a second of a quiet shop.
const FEW_PER_S: u32 = 4;
const EVENTS_PER_SALE: f64 = 3.0;
const PASSED: &str = "booking_forward_passed_total ";
const ARRIVED: Duration = Duration::from_secs(60);
const COMMITS_MOST: f64 = 4.5;
const ROUND_TRIPS_MOST: f64 = 30.0;

/// Commits and round trips, in a crowd and in a quiet shop.
pub fn run(fixture: &mut Fixture) -> Result<Vec<Row>> {
    let own = Fixture::with(fixture.plan.clone(), Brokers::StandIn)?;
    let many_per_s = own.plan.sales_per_s;
    // Statements that are prepared once for all are prepared here, before the counting begins.
    sales(&own, many_per_s)?;
    let crowd = measure(&own, many_per_s, true)?;
    let quiet = measure(&own, FEW_PER_S, false)?;
    Ok([crowd, quiet].concat())
}

fn measure(own: &Fixture, per_s: u32, is_crowd: bool) -> Result<[Row; 2]> {
    let before = counters(own)?;
    let sales = sales(own, per_s)?;
    let after = counters(own)?;
    let each = |name: &str| (after[name] - before[name]) / f64::from(sales);
    // Each statement is one round trip, and each that is prepared one more, which `Questions` does not count.
    let (statements, prepared) = (each("Questions"), each("Com_stmt_prepare"));
    let row = |what: &str, figure: f64, most: f64| {
        let what = format!("{what} of one sale at {per_s} a second");
        let row = Row::of(what, &[figure], "");
        match is_crowd {
            true => row.goal(format!("≤ {most}"), figure <= most),
            false => row,
        }
    };
    let note = format!(
        "{sales} sales; {statements:.1} statements and {prepared:.1} prepared anew for each"
    );
    Ok([
        row("commits", each("Com_commit"), COMMITS_MOST),
        row("round trips", statements + prepared, ROUND_TRIPS_MOST).note(note),
    ])
}

/// Sells for as long as a turn takes, and waits until all events have arrived. Says how many sales there were.
fn sales(own: &Fixture, per_s: u32) -> Result<u32> {
    let seconds = own.plan.whole_turn().as_secs_f64();
    let sales = (f64::from(per_s) * seconds) as u32;
    let sales = sales.clamp(BUYERS, own.plan.venue as u32);
    let all = arrived(own)? + EVENTS_PER_SALE * f64::from(sales);
    let date = own.date(sales as usize)?;
    let (booking, minter) = (own.booking, &own.minter);
    let every = Duration::from_secs(1) / per_s;
    let begun = Instant::now();
    side_by_side((0..BUYERS).collect(), |first| {
        let mut buyer = Caller::of(booking)?;
        for number in (first..sales).step_by(BUYERS as usize) {
            thread::sleep((every * number).saturating_sub(begun.elapsed()));
            buy(&mut buyer, minter, date, number + 1)?;
        }
        Ok(())
    })?;
    testbed::wait_for("the last event", ARRIVED, || {
        (arrived(own).ok()? >= all).then_some(())
    })?;
    Ok(sales)
}

/// Charges, holds and pays, as somebody new.
fn buy(buyer: &mut Caller, minter: &Minter, date: Uuid, seat: u32) -> Result<()> {
    let user = Uuid::new_v4();
    let mut post = |path: &str, body: Value| {
        let request = Request::post(path, &body).with("idempotency-key", &user.to_string());
        buyer.make(minter.admit(user, request))
    };
    let charges = format!("/api/v1/users/{user}/balance/charges");
    post(&charges, json!({ "amount": 1_000 }))?;
    let wish = json!({ "scheduleId": date, "seatNumbers": [seat] });
    let held = post("/api/v1/reservations", wish)?;
    post("/api/v1/payments", json!({ "reservationId": held["id"] }))?;
    Ok(())
}

/// Events that the data platform has.
fn arrived(own: &Fixture) -> Result<f64> {
    let forwarder = own.stack.events.as_ref().map(|it| &it.forwarders[0]);
    let forwarder = forwarder.context("no forwarder")?;
    let mut caller = Caller::of(Target::local(forwarder.port()))?;
    let answer = caller.send(Request::get("/metrics"))?;
    let metrics = String::from_utf8_lossy(&answer.body);
    let counted = metrics.lines().find_map(|it| it.strip_prefix(PASSED));
    Ok(counted.and_then(|it| it.parse().ok()).unwrap_or(0.0))
}

/// What the server has counted since it started, by name.
fn counters(own: &Fixture) -> Result<HashMap<String, f64>> {
    let told = own.stack.mariadb().execute("SHOW GLOBAL STATUS")?;
    let counter = |line: &str| {
        let (name, value) = line.split_once('\t')?;
        Some((name.to_owned(), value.parse().ok()?))
    };
    Ok(told.lines().filter_map(counter).collect())
}
