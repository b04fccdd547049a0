//! `charge`, `reserve`, `pay`: direct to booking, against the same SQL from a bare client.
//!
//! Limit and subject have connections of the same number, the same isolation and the same server. Each acts on dates
//! and wallets of its own that are alike.

mod bare;
mod statements;
mod venue;

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use diesel::result::QueryResult;
use loadtest::{Fault, Measured};
use serde_json::json;
use uuid::Uuid;

use crate::fixture::{Fixture, Minter};
use crate::plan::Plan;
use crate::report::{Goal, Row};
use crate::turns;
use bare::Bare;
use statements::Verb;
use venue::{Held, Venue};

const CONNECTIONS: usize = 32;
/// Whose wallets are charged.
const WALLETS: usize = 10_000;

/// Charges of wallets that exist, each with a key of its own.
pub fn charge(fixture: &mut Fixture) -> io::Result<Vec<Row>> {
    let sent = statements::check(fixture, Verb::Charge)?;
    let (plan, booking) = (fixture.plan.clone(), fixture.booking());
    let wallets = Arc::new(venue::wallets(fixture, WALLETS)?);
    let url = fixture.stack.mysql_url().to_owned();
    let rounds = turns::take(
        plan.rounds,
        &mut [
            &mut || {
                bare(&plan, &url, |number| {
                    let mut next = begin(number, wallets.len());
                    let wallets = Arc::clone(&wallets);
                    move |bare: &mut Bare| bare.charge(wallets[next(CONNECTIONS)])
                })
            },
            &mut || {
                turns::closed(&plan, CONNECTIONS).run(&booking, |number| {
                    let mut next = begin(number, wallets.len());
                    let (wallets, minter) = (Arc::clone(&wallets), fixture.minter());
                    let booking = booking.clone();
                    move |buffer: &mut Vec<u8>| {
                        let user = wallets[next(CONNECTIONS)];
                        let path = format!("/api/v1/users/{user}/balance/charges");
                        let body = json!({ "amount": 1 });
                        post(&booking, buffer, &minter, user, (&path, &body));
                    }
                })
            },
        ],
    )?;
    Ok(vec![row("charge", &rounds, sent)])
}

/// A seat of its own for each new user.
pub fn reserve(fixture: &mut Fixture) -> io::Result<Vec<Row>> {
    let sent = statements::check(fixture, Verb::Reserve)?;
    let (plan, booking) = (fixture.plan.clone(), fixture.booking());
    let url = fixture.stack.mysql_url().to_owned();
    let mut venues = [Venue::default(), Venue::default()];
    let mut rounds = vec![Vec::new(), Vec::new()];
    for round in 0..plan.rounds {
        for side in if round % 2 == 0 { [0, 1] } else { [1, 0] } {
            let venue = Arc::new(venues[side].provide(fixture)?);
            let measured = if side == 0 {
                bare(&plan, &url, |_| {
                    let venue = Arc::clone(&venue);
                    move |bare: &mut Bare| match venue.next() {
                        Some((date, seat)) => bare.reserve(date, seat),
                        None => Err(diesel::NotFound),
                    }
                })?
            } else {
                turns::closed(&plan, CONNECTIONS).run(&booking, |_| {
                    let (venue, minter) = (Arc::clone(&venue), fixture.minter());
                    let booking = booking.clone();
                    move |buffer: &mut Vec<u8>| {
                        // When all are gone this is refused, and told as an error.
                        let (date, seat) = venue.next().unwrap_or((Uuid::nil(), 1));
                        let body = json!({ "scheduleId": date, "seatNumbers": [seat] });
                        let target = ("/api/v1/reservations", &body);
                        post(&booking, buffer, &minter, Uuid::new_v4(), target);
                    }
                })?
            };
            venues[side].learn(turns::rate(&measured, 201));
            rounds[side].push(measured);
        }
    }
    Ok(vec![row("reserve", &rounds, sent)])
}

/// A reservation of its own for each user, who has the money.
pub fn pay(fixture: &mut Fixture) -> io::Result<Vec<Row>> {
    let sent = statements::check(fixture, Verb::Pay)?;
    let (plan, booking) = (fixture.plan.clone(), fixture.booking());
    let url = fixture.stack.mysql_url().to_owned();
    let mut venues = [Venue::default(), Venue::default()];
    let mut rounds = vec![Vec::new(), Vec::new()];
    for round in 0..plan.rounds {
        for side in if round % 2 == 0 { [0, 1] } else { [1, 0] } {
            let held = Arc::new(venues[side].provide_held(fixture)?);
            let measured = if side == 0 {
                bare(&plan, &url, |_| {
                    let held = Arc::clone(&held);
                    move |bare: &mut Bare| match held.next() {
                        Some(held) => bare.pay(held),
                        None => Err(diesel::NotFound),
                    }
                })?
            } else {
                turns::closed(&plan, CONNECTIONS).run(&booking, |_| {
                    let (held, minter) = (Arc::clone(&held), fixture.minter());
                    let booking = booking.clone();
                    move |buffer: &mut Vec<u8>| {
                        let nothing = Held::default();
                        let Held {
                            reservation, user, ..
                        } = held.next().unwrap_or(nothing);
                        let body = json!({ "reservationId": reservation });
                        post(&booking, buffer, &minter, user, ("/api/v1/payments", &body));
                    }
                })?
            };
            venues[side].learn(turns::rate(&measured, 201));
            rounds[side].push(measured);
        }
    }
    Ok(vec![row("pay", &rounds, sent)])
}

/// Goes round, each connection from another place.
fn begin(number: usize, count: usize) -> impl FnMut(usize) -> usize + 'static {
    let mut next = number;
    move |step| {
        let now = next % count;
        next += step;
        now
    }
}

fn post(
    booking: &loadtest::Target,
    buffer: &mut Vec<u8>,
    minter: &Minter,
    user: Uuid,
    (path, body): (&str, &serde_json::Value),
) {
    let (pass, key) = (minter.pass(user), Uuid::new_v4().to_string());
    let mut headers = vec![("X-Usher-Pass", pass.as_str())];
    // A reservation needs none.
    if path != "/api/v1/reservations" {
        headers.push(("Idempotency-Key", &key));
    }
    booking.request(buffer, "POST", path, &headers, body.to_string().as_bytes());
}

fn row(verb: &'static str, rounds: &[Vec<Measured>], sent: Vec<String>) -> Row {
    let what = format!("direct to booking, {CONNECTIONS} connections");
    let mut row = turns::row(verb, &what, (&rounds[1], 201), Some((&rounds[0], 201)));
    row.notes = sent;
    row.notes.push(format!(
        "bare client: p50 {:.2} ms, p99 {:.2} ms",
        turns::percentile_ms(&rounds[0], 50.0),
        turns::percentile_ms(&rounds[0], 99.0)
    ));
    let share = row.ratio.map(|ratio| Goal::share(&ratio, 60.0));
    share.into_iter().fold(row, Row::goal)
}

/// A thread and a connection for each; a transaction that fails counts as 500, one that is done as 201.
fn bare<W>(plan: &Plan, url: &str, make: impl Fn(usize) -> W) -> io::Result<Measured>
where
    W: FnMut(&mut Bare) -> QueryResult<()> + Send,
{
    let clients = (0..CONNECTIONS)
        .map(|number| Ok((Bare::open(url)?, make(number))))
        .collect::<io::Result<Vec<_>>>()?;
    let start = Instant::now() + plan.warm_up;
    let end = start + plan.turn;
    let mut all = Measured::default();
    thread::scope(|scope| {
        let running: Vec<_> = clients
            .into_iter()
            .map(|(mut bare, mut act)| {
                scope.spawn(move || {
                    let mut measured = Measured::default();
                    let mut now = Instant::now();
                    while now < end {
                        let sent = now;
                        let outcome = act(&mut bare).map_or(500, |()| 201);
                        now = Instant::now();
                        if now >= start && now <= end {
                            measured.record(Ok::<_, Fault>(outcome), now - sent);
                        }
                    }
                    measured
                })
            })
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
