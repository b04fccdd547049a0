//! Owns how one transaction of booking is recorded: the verb runs once while the server logs its statements.

use std::fs;

use anyhow::{Error, Result};
use loadtest::Request;
use serde_json::{Value, json};
use uuid::Uuid;

use super::log::longest_transaction;
use super::replay::{Recipe, Subject};
use super::{subject, venue};
use crate::fixture::{Caller, Fixture, Minter};

/// A number that no statement has for anything else.
const SEAT: u16 = 47;
/// For a seat.
const ENOUGH: u32 = 1_000;

/// A verb of the sale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Money comes in.
    Charge,
    /// A seat is held.
    Reserve,
    /// A hold is paid.
    Pay,
}

impl Verb {
    /// Its request for a subject.
    pub fn request(self, minter: &Minter, subject: &Subject) -> Request {
        let charges = format!("/api/v1/users/{}/balance/charges", subject.user);
        let (path, body) = match self {
            Verb::Charge => (charges.as_str(), json!({ "amount": ENOUGH })),
            Verb::Reserve => (
                "/api/v1/reservations",
                json!({ "scheduleId": subject.date, "seatNumbers": [subject.seat] }),
            ),
            Verb::Pay => (
                "/api/v1/payments",
                json!({ "reservationId": subject.reservation }),
            ),
        };
        let request = minter.admit(subject.user, Request::post(path, &body));
        match self {
            // It needs no key.
            Verb::Reserve => request,
            Verb::Charge | Verb::Pay => request.with("idempotency-key", &subject.key),
        }
    }
}

/// Runs a verb once: its transaction, and a note on it.
pub fn capture(fixture: &mut Fixture, verb: Verb) -> Result<(Recipe, String)> {
    let subject = prepare(fixture, verb)?;
    // With new connections every statement is prepared while the log is on: only then are its values written down.
    fixture.stack.bookings[0].restart()?;
    let log = fixture.folder().join("general.log");
    let run = |statements: &str| fixture.stack.mariadb().execute(statements);
    run(&format!(
        "SET GLOBAL general_log_file = '{}', log_output = 'FILE', general_log = 1",
        log.display()
    ))?;
    let acted = act(fixture, verb, &subject);
    run("SET GLOBAL general_log = 0")?;
    acted?;
    let told = fs::read(&log)?;
    fs::remove_file(&log)?;
    let transaction = longest_transaction(&told).map_err(Error::msg)?;
    let (count, closed) = (transaction.sent.len(), transaction.closed);
    let note = format!(
        "{count} statements with COMMIT; booking prepares {closed} of them anew each time, the bare client none"
    );
    Ok((Recipe::of(transaction.sent, &subject), note))
}

/// Somebody for whom everything has been that must be before the verb. A wallet exists before it is charged, and who reserves
/// is new to the books, as where it is measured.
fn prepare(fixture: &Fixture, verb: Verb) -> Result<Subject> {
    let mut subject = Subject {
        date: fixture.date(50)?,
        seat: SEAT,
        ..subject(Uuid::new_v4())
    };
    if verb != Verb::Reserve {
        venue::know(fixture, subject.user)?;
        act(fixture, Verb::Charge, &subject)?;
        subject.key = Uuid::new_v4().to_string();
    }
    if verb == Verb::Pay {
        let held = act(fixture, Verb::Reserve, &subject)?;
        subject.reservation = Uuid::parse_str(held["id"].as_str().unwrap_or_default())?;
    }
    Ok(subject)
}

fn act(fixture: &Fixture, verb: Verb, subject: &Subject) -> Result<Value> {
    let request = verb.request(&fixture.minter, subject);
    Caller::of(fixture.booking)?.make(request)
}
