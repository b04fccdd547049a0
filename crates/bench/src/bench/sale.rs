//! `charge`, `reserve`, `pay`: direct to booking, against the same SQL from a bare client.
//!
//! Limit and subject have connections of the same number, the same isolation and the same server. Each acts on dates
//! and wallets of its own that are alike.

mod capture;
mod log;
mod replay;
mod venue;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use anyhow::{Result, anyhow};
use loadtest::{Measured, Request};
use uuid::Uuid;

use crate::fixture::{Fixture, Minter};
use crate::plan::Plan;
use crate::report::{Row, percentile_ms};
use crate::turns;
use capture::Verb;
use replay::{Bare, Recipe, Subject};
use venue::Venue;

const CONNECTIONS: usize = 32;
/// Whose wallets are charged.
const WALLETS: usize = 10_000;

/// Whom each transaction is for, one after the other, on whatever thread asks.
type Subjects = Arc<dyn Fn() -> Option<Subject> + Send + Sync>;

/// Charges of wallets that exist, each with a key of its own.
pub fn charge(fixture: &mut Fixture) -> Result<Vec<Row>> {
    let wallets = Arc::new(venue::wallets(fixture, WALLETS)?);
    measure(fixture, Verb::Charge, &mut |_, _| {
        let (wallets, next) = (Arc::clone(&wallets), AtomicUsize::new(0));
        Ok(Arc::new(move || {
            let next = next.fetch_add(1, Ordering::Relaxed);
            Some(subject(wallets[next % wallets.len()]))
        }))
    })
}

/// A seat of its own for each new user.
pub fn reserve(fixture: &mut Fixture) -> Result<Vec<Row>> {
    measure(fixture, Verb::Reserve, &mut |fixture, venue| {
        let seats = venue.provide(fixture, Fixture::date)?;
        Ok(Arc::new(move || {
            let (date, seat) = seats.next()?;
            let user = subject(Uuid::new_v4());
            Some(Subject { date, seat, ..user })
        }))
    })
}

/// A reservation of its own for each user, who has the money.
pub fn pay(fixture: &mut Fixture) -> Result<Vec<Row>> {
    measure(fixture, Verb::Pay, &mut |fixture, venue| {
        let held = venue.provide(fixture, venue::held_date)?;
        Ok(Arc::new(move || held.next().map(venue::holder)))
    })
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
fn measure(
    fixture: &mut Fixture,
    verb: Verb,
    provide: &mut dyn FnMut(&Fixture, &Venue) -> Result<Subjects>,
) -> Result<Vec<Row>> {
    let (recipe, note) = capture::capture(fixture, verb)?;
    let (plan, booking) = (fixture.plan.clone(), fixture.booking());
    let url = fixture.stack.mysql_url();
    let mut venues = [Venue::default(), Venue::default()];
    let mut rounds = [Vec::new(), Vec::new()];
    for round in 0..plan.rounds {
        for side in if round % 2 == 0 { [0, 1] } else { [1, 0] } {
            let subjects = provide(fixture, &venues[side])?;
            let measured = if side == 0 {
                bare(&plan, &url, &recipe, &subjects)?
            } else {
                turns::closed(&plan, CONNECTIONS, &booking, |_| {
                    let (subjects, minter) = (Arc::clone(&subjects), fixture.minter());
                    move || {
                        // When all are gone this is refused, and told as an error.
                        let subject = subjects().unwrap_or_else(|| subject(Uuid::nil()));
                        post(&minter, verb, &subject)
                    }
                })?
            };
            venues[side].learn(turns::rate(&measured, 201));
            rounds[side].push(measured);
        }
    }
    let what = format!("direct to booking, {CONNECTIONS} connections");
    let (limit, subject) = ((&rounds[0][..], 201), (&rounds[1][..], 201));
    let row = turns::row(verb.name(), &what, subject, Some(limit)).share_of_limit(60.0);
    let [p50, p99] = [50.0, 99.0].map(|percent| percentile_ms(&rounds[0], percent));
    let own = format!("bare client: p50 {p50:.2} ms, p99 {p99:.2} ms");
    Ok(vec![row.note(note).note(own)])
}

/// A request of the verb for a subject.
fn post(minter: &Minter, verb: Verb, subject: &Subject) -> Request {
    let (path, body) = verb.request(subject);
    let request = minter.admit(subject.user, Request::post(&path, &body));
    match verb {
        // It needs no key.
        Verb::Reserve => request,
        Verb::Charge | Verb::Pay => request.with("idempotency-key", &subject.key),
    }
}

/// A thread and a connection for each; a transaction that fails counts as 500, one that is done as 201.
fn bare(plan: &Plan, url: &str, recipe: &Recipe, subjects: &Subjects) -> Result<Measured> {
    let clients = (0..CONNECTIONS).map(|_| Bare::open(url));
    let clients = clients.collect::<Result<Vec<_>>>()?;
    let start = Instant::now() + plan.warm_up;
    let end = start + plan.turn;
    let act = |mut bare: Bare| {
        let mut measured = Measured::default();
        let mut now = Instant::now();
        while now < end {
            let sent = now;
            let subject = subjects().ok_or(diesel::NotFound);
            let done = subject.and_then(|subject| bare.send(recipe, &subject));
            now = Instant::now();
            if (start..=end).contains(&now) {
                measured.record(Ok(done.map_or(500, |()| 201)), now - sent);
            }
        }
        measured
    };
    let mut all = Measured::default();
    thread::scope(|scope| {
        let running = clients.into_iter().map(|bare| scope.spawn(|| act(bare)));
        for thread in running.collect::<Vec<_>>() {
            let measured = thread.join();
            all.merge(&measured.map_err(|_| anyhow!("a client panicked"))?);
        }
        Ok::<_, anyhow::Error>(())
    })?;
    all.set_elapsed(plan.turn);
    Ok(all)
}
