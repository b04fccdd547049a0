//! `charge`, `reserve`, `pay`: direct to booking, against the same SQL from a bare client.
//!
//! Limit and subject use the same number of connections, the same isolation and the same server. Each acts on dates
//! and wallets of its own, which are alike.

mod capture;
mod log;
mod replay;
mod venue;

use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use loadtest::{Measured, closed};
use uuid::Uuid;

use crate::fixture::Fixture;
use crate::report::{Row, percentile_ms};
use crate::turns::{self, side_by_side};
use capture::Verb;
use replay::{Recipe, Subject};
use venue::{Make, Subjects, Venue};

const CONNECTIONS: usize = 32;

/// Charges of wallets that exist, each with a key of its own.
pub fn charge(fixture: &mut Fixture) -> Result<Vec<Row>> {
    measure(fixture, Verb::Charge, venue::wallets)
}

/// A seat of its own for each new user.
pub fn reserve(fixture: &mut Fixture) -> Result<Vec<Row>> {
    measure(fixture, Verb::Reserve, venue::seats)
}

/// A reservation of its own for each user, who has the money.
pub fn pay(fixture: &mut Fixture) -> Result<Vec<Row>> {
    measure(fixture, Verb::Pay, venue::held_seats)
}

/// Somebody with a new key.
fn subject(user: Uuid) -> Subject {
    Subject {
        user,
        date: Uuid::nil(),
        seat: 0,
        reservation: Uuid::nil(),
        key: Uuid::new_v4().to_string(),
    }
}

/// Limit and subject in turns, each with subjects of its own.
fn measure(fixture: &mut Fixture, verb: Verb, make: Make) -> Result<Vec<Row>> {
    let (recipe, note) = capture::capture(fixture, verb)?;
    let fixture = &*fixture;
    let (plan, booking) = (&fixture.plan, fixture.booking);
    let [mut of_limit, mut of_booking] = [Venue::default(), Venue::default()];
    let rounds = turns::take(
        plan.rounds,
        &mut [
            &mut || {
                let subjects = of_limit.provide(fixture, make)?;
                let measured = bare(fixture, &recipe, &subjects)?;
                Ok(of_limit.learn(measured))
            },
            &mut || {
                let subjects = of_booking.provide(fixture, make)?;
                let measured = closed((booking, CONNECTIONS), plan.span(), |_| {
                    let (subjects, minter) = (Arc::clone(&subjects), fixture.minter.clone());
                    move || {
                        // When all subjects are used up, booking refuses this one, which counts as an error.
                        let subject = next(&subjects).unwrap_or_else(|| subject(Uuid::nil()));
                        verb.request(&minter, &subject)
                    }
                })?;
                Ok(of_booking.learn(measured))
            },
        ],
    )?;
    let what = format!("direct to booking, {CONNECTIONS} connections");
    let row = turns::row(what, 201, &rounds[1], &rounds[0]).share_of_limit(60.0);
    let [p50, p99] = [50.0, 99.0].map(|percent| percentile_ms(&rounds[0], percent));
    let own = format!("bare client: p50 {p50:.2} ms, p99 {p99:.2} ms");
    Ok(vec![row.note(note).note(own)])
}

fn next(subjects: &Subjects) -> Option<Subject> {
    subjects.lock().ok()?.next()
}

/// A thread and a connection for each; a transaction that fails counts as 500, one that is done as 201.
fn bare(fixture: &Fixture, recipe: &Recipe, subjects: &Subjects) -> Result<Measured> {
    let (plan, url) = (&fixture.plan, fixture.stack.mysql_url());
    let clients = (0..CONNECTIONS).map(|_| replay::connect(&url));
    let clients = clients.collect::<Result<Vec<_>>>()?;
    let start = Instant::now() + plan.warm_up;
    let end = start + plan.turn;
    let rounds = side_by_side(clients, |mut mysql| {
        let mut measured = Measured::default();
        let mut now = Instant::now();
        while now < end {
            let sent = now;
            let subject = next(subjects).ok_or(diesel::NotFound);
            let done = subject.and_then(|it| replay::send(&mut mysql, recipe, &it));
            now = Instant::now();
            if (start..=end).contains(&now) {
                measured.record(Ok(done.map_or(500, |()| 201)), now - sent);
            }
        }
        Ok(measured)
    })?;
    let mut all = Measured::together(&rounds);
    all.set_elapsed(plan.turn);
    Ok(all)
}
