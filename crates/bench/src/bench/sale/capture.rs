//! Owns how one transaction of booking is caught: the verb runs once while the server writes down what it is asked.

use std::fs;
use std::io;

use serde_json::{Value, json};
use uuid::Uuid;

use super::log::longest_transaction;
use super::replay::{Recipe, Subject};
use crate::fixture::{Caller, Fixture};

/// Stands for nothing else in any statement.
const SEAT: u16 = 47;
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

/// What was caught, and what there is to say of it.
pub struct Captured {
    pub recipe: Recipe,
    pub note: String,
}

impl Verb {
    /// As a benchmark is called.
    pub fn name(self) -> &'static str {
        match self {
            Verb::Charge => "charge",
            Verb::Reserve => "reserve",
            Verb::Pay => "pay",
        }
    }

    /// Path and body of its request.
    pub fn request(self, subject: &Subject) -> (String, Value) {
        match self {
            Verb::Charge => (
                format!("/api/v1/users/{}/balance/charges", subject.user),
                json!({ "amount": 1 }),
            ),
            Verb::Reserve => (
                "/api/v1/reservations".to_owned(),
                json!({ "scheduleId": subject.date, "seatNumbers": [subject.seat] }),
            ),
            Verb::Pay => (
                "/api/v1/payments".to_owned(),
                json!({ "reservationId": subject.reservation }),
            ),
        }
    }
}

/// Runs a verb once and reads what it was.
pub fn capture(fixture: &mut Fixture, verb: Verb) -> io::Result<Captured> {
    let mut act = Act::new(fixture)?;
    act.prepare(verb)?;
    // With new connections every statement is prepared while the log is on: only then are its values written down.
    fixture.stack.bookings[0].restart()?;
    act.caller = Caller::of(fixture.booking())?;
    let log = fixture.folder().join("general.log");
    let run = |statements: &str| fixture.stack.mariadb().execute(statements);
    run(&format!(
        "SET GLOBAL general_log_file = '{}', log_output = 'FILE', general_log = 1",
        log.display()
    ))?;
    let acted = act.run(verb);
    run("SET GLOBAL general_log = 0")?;
    acted?;
    let told = fs::read(&log)?;
    fs::remove_file(&log)?;
    let transaction = longest_transaction(&told).map_err(io::Error::other)?;
    let (count, closed) = (transaction.sent.len(), transaction.closed);
    Ok(Captured {
        recipe: Recipe::of(transaction.sent, &act.subject),
        note: format!(
            "{count} statements with BEGIN and COMMIT; booking prepares {closed} of them anew each time, the bare client none"
        ),
    })
}

/// Somebody who charges, holds and pays.
struct Act {
    caller: Caller,
    pass: String,
    subject: Subject,
}

impl Act {
    fn new(fixture: &Fixture) -> io::Result<Self> {
        let user = Uuid::new_v4();
        Ok(Self {
            caller: Caller::of(fixture.booking())?,
            pass: fixture.minter().pass(user),
            subject: Subject {
                user,
                date: fixture.date(50)?,
                seat: SEAT,
                reservation: Uuid::nil(),
                key: Uuid::new_v4().to_string(),
            },
        })
    }

    /// What must have been before the verb. A wallet exists before it is charged, as it does where it is measured.
    fn prepare(&mut self, verb: Verb) -> io::Result<()> {
        let path = format!("/api/v1/users/{}/balance/charges", self.subject.user);
        if verb != Verb::Reserve {
            self.ask(&path, &json!({ "amount": ENOUGH }))?;
            self.subject.key = Uuid::new_v4().to_string();
        }
        if verb == Verb::Pay {
            let held = self.run(Verb::Reserve)?;
            let id = held["id"].as_str().unwrap_or_default();
            self.subject.reservation = Uuid::parse_str(id).map_err(io::Error::other)?;
        }
        Ok(())
    }

    fn run(&mut self, verb: Verb) -> io::Result<Value> {
        let (path, body) = verb.request(&self.subject);
        self.ask(&path, &body)
    }

    fn ask(&mut self, path: &str, body: &Value) -> io::Result<Value> {
        let mut headers = vec![("X-Usher-Pass", self.pass.as_str())];
        if path != "/api/v1/reservations" {
            headers.push(("Idempotency-Key", &self.subject.key));
        }
        let said = self.caller.ask("POST", path, &headers, body)?;
        let words = format!("{path} answered {}: {}", said.status, said.body);
        let made = said.status == 201;
        made.then_some(said.body)
            .ok_or_else(|| io::Error::other(words))
    }
}
