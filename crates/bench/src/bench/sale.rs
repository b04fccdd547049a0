//! `charge`, `reserve`, `pay`: direct to booking, against the same SQL from a bare client.
//!
//! Limit and subject have connections of the same number, the same isolation and the same server. Each acts on dates
//! and wallets of its own that are alike.

mod capture;
mod log;
mod replay;
mod venue;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use diesel::result::QueryResult;
use loadtest::{Fault, Measured};
use uuid::Uuid;

use crate::fixture::{Fixture, Minter};
use crate::plan::Plan;
use crate::report::Row;
use crate::turns;
use capture::{Captured, Verb};
use replay::{Bare, Recipe, Subject};
use venue::Venue;

const CONNECTIONS: usize = 32;
/// Whose wallets are charged.
const WALLETS: usize = 10_000;

/// Whom each transaction is for, one after the other, on whatever thread asks.
type Subjects = Arc<dyn Fn() -> Option<Subject> + Send + Sync>;

/// Charges of wallets that exist, each with a key of its own.
pub fn charge(fixture: &mut Fixture) -> io::Result<Vec<Row>> {
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
pub fn reserve(fixture: &mut Fixture) -> io::Result<Vec<Row>> {
    measure(fixture, Verb::Reserve, &mut |fixture, venue| {
        let seats = venue.provide(fixture)?;
        Ok(Arc::new(move || {
            let (date, seat) = seats.next()?;
            let user = subject(Uuid::new_v4());
            Some(Subject { date, seat, ..user })
        }))
    })
}

/// A reservation of its own for each user, who has the money.
pub fn pay(fixture: &mut Fixture) -> io::Result<Vec<Row>> {
    measure(fixture, Verb::Pay, &mut |fixture, venue| {
        let held = venue.provide_held(fixture)?;
        Ok(Arc::new(move || held.next()))
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
    provide: &mut dyn FnMut(&Fixture, &Venue) -> io::Result<Subjects>,
) -> io::Result<Vec<Row>> {
    let Captured { recipe, note } = capture::capture(fixture, verb)?;
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
                turns::closed(&plan, CONNECTIONS).run(&booking, |_| {
                    let (subjects, minter) = (Arc::clone(&subjects), fixture.minter());
                    let booking = booking.clone();
                    move |buffer: &mut Vec<u8>| {
                        // When all are gone this is refused, and told as an error.
                        let subject = subjects().unwrap_or_else(|| subject(Uuid::nil()));
                        post(&booking, buffer, &minter, verb, &subject);
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
    let [p50, p99] = [50.0, 99.0].map(|percent| turns::percentile_ms(&rounds[0], percent));
    let own = format!("bare client: p50 {p50:.2} ms, p99 {p99:.2} ms");
    Ok(vec![row.note(note).note(own)])
}

/// A request of the verb for a subject, as it goes over the wire.
fn post(
    booking: &loadtest::Target,
    buffer: &mut Vec<u8>,
    minter: &Minter,
    verb: Verb,
    subject: &Subject,
) {
    let pass = minter.pass(subject.user);
    let headers = [
        ("X-Usher-Pass", pass.as_str()),
        ("Idempotency-Key", subject.key.as_str()),
    ];
    let (path, body) = verb.request(subject);
    // A reservation needs no key.
    let headers = match verb {
        Verb::Reserve => &headers[..1],
        Verb::Charge | Verb::Pay => &headers,
    };
    booking.request(buffer, "POST", &path, headers, body.to_string().as_bytes());
}

/// A thread and a connection for each; a transaction that fails counts as 500, one that is done as 201.
fn bare(plan: &Plan, url: &str, recipe: &Recipe, subjects: &Subjects) -> io::Result<Measured> {
    let clients = (0..CONNECTIONS)
        .map(|_| Bare::open(url))
        .collect::<io::Result<Vec<_>>>()?;
    let start = Instant::now() + plan.warm_up;
    let end = start + plan.turn;
    let act = |mut bare: Bare| {
        let mut measured = Measured::default();
        let mut now = Instant::now();
        while now < end {
            let sent = now;
            let done: QueryResult<()> = match subjects() {
                Some(subject) => bare.send(recipe, &subject),
                None => Err(diesel::NotFound),
            };
            now = Instant::now();
            if now >= start && now <= end {
                let status = done.map_or(500, |()| 201);
                measured.record(Ok::<_, Fault>(status), now - sent);
            }
        }
        measured
    };
    let mut all = Measured::default();
    thread::scope(|scope| {
        let running: Vec<_> = clients
            .into_iter()
            .map(|bare| scope.spawn(|| act(bare)))
            .collect();
        for thread in running {
            let measured = thread.join();
            all.merge(&measured.map_err(|_| io::Error::other("a client panicked"))?);
        }
        Ok::<_, io::Error>(())
    })?;
    all.set_elapsed(plan.turn);
    Ok(all)
}
