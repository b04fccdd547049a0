//! Owns whom a verb is measured with: free seats, held seats with wallets that can pay, empty wallets.
//!
//! Seats and wallets are written with statements of many rows: through the API it would take longer than what is
//! measured.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::vec;

use anyhow::Result;
use loadtest::Measured;
use uuid::Uuid;

use super::{Subject, subject};
use crate::fixture::Fixture;
use crate::turns;

/// Transactions a second before any were measured: more than there will be.
const FIRST_GUESS: f64 = 6_000.0;
/// How many times as many as in the last turn are provided for.
const RESERVE: f64 = 1.6;

/// Counts what was written, so that ids never meet.
static BATCH: AtomicU32 = AtomicU32::new(0);

/// How fast one side is.
#[derive(Default)]
pub struct Venue {
    per_s: Option<f64>,
}

impl Venue {
    /// Remembers how fast it went.
    pub fn learn(&mut self, measured: Measured) -> Measured {
        self.per_s = Some(turns::rate(&measured, 201));
        measured
    }

    /// Enough for a turn of what `make` makes: so many at a time.
    pub fn provide(&self, fixture: &Fixture, make: Make) -> Result<Subjects> {
        let each = fixture.plan.venue;
        let per_s = self.per_s.unwrap_or(FIRST_GUESS) * RESERVE;
        let wanted = per_s * fixture.plan.whole_turn().as_secs_f64();
        let mut all = make(fixture, each)?;
        while (all.len() as f64) < wanted {
            all.extend(make(fixture, each)?);
        }
        Ok(Arc::new(Mutex::new(all.into_iter())))
    }
}

/// Makes so many subjects of a verb.
pub type Make = fn(&Fixture, usize) -> Result<Vec<Subject>>;

/// Whom each transaction is for, one after the other, on whatever thread asks.
pub type Subjects = Arc<Mutex<vec::IntoIter<Subject>>>;

/// Users with an empty wallet.
pub fn wallets(fixture: &Fixture, count: usize) -> Result<Vec<Subject>> {
    let batch = BATCH.fetch_add(1, Ordering::Relaxed);
    let user = sql_id('w', batch, "seq");
    let all = format!("SELECT {user}, 0, UTC_TIMESTAMP(6) FROM seq_1_to_{count}");
    let statements = [
        known(&user, &format!("seq_1_to_{count}")),
        format!("INSERT INTO wallets (user_id, balance, created_at) {all}"),
    ];
    run(fixture, &statements.join("; "))?;
    let numbers = 1..=u32::try_from(count)?;
    Ok(numbers
        .map(|number| subject(id('w', batch, number)))
        .collect())
}

/// The free seats of a date, each for a new user.
pub fn seats(fixture: &Fixture, count: usize) -> Result<Vec<Subject>> {
    let (date, seats) = (fixture.date(count)?, 1..=u16::try_from(count)?);
    let free = |seat| Subject {
        date,
        seat,
        ..subject(Uuid::new_v4())
    };
    Ok(seats.map(free).collect())
}

/// The seats of a date, each held by a user of its own who can pay for it.
pub fn held_seats(fixture: &Fixture, count: usize) -> Result<Vec<Subject>> {
    let (date, batch) = (fixture.date(count)?, BATCH.fetch_add(1, Ordering::Relaxed));
    let (reservation, user) = (sql_id('r', batch, "number"), sql_id('u', batch, "number"));
    let of_date = format!("schedule_id = UNHEX('{}')", date.simple());
    let end = "UTC_TIMESTAMP(6) + INTERVAL 1 HOUR";
    let statements = [
        format!(
            "UPDATE seats SET state = 'held', reservation_id = {reservation}, holder_id = {user}, \
             hold_expires_at = {end} WHERE {of_date}"
        ),
        format!(
            "INSERT INTO reservations (id, schedule_id, user_id, state, seat_count, amount, \
             hold_expires_at, created_at) SELECT {reservation}, schedule_id, {user}, 'held', 1, price, \
             hold_expires_at, UTC_TIMESTAMP(6) FROM seats WHERE {of_date}"
        ),
        format!(
            "INSERT INTO reservation_seats (reservation_id, seat_number, schedule_id, grade, price) \
             SELECT {reservation}, number, schedule_id, grade, price FROM seats WHERE {of_date}"
        ),
        known(&user, &format!("seats WHERE {of_date}")),
        format!(
            "INSERT INTO wallets (user_id, balance, created_at) \
             SELECT {user}, 1000000, UTC_TIMESTAMP(6) FROM seats WHERE {of_date}"
        ),
    ];
    run(fixture, &statements.join("; "))?;
    let held = |seat: u16| Subject {
        date,
        seat,
        reservation: id('r', batch, seat.into()),
        ..subject(id('u', batch, seat.into()))
    };
    Ok((1..=u16::try_from(count)?).map(held).collect())
}

/// A user who is in the books under the own id, so that statements name the user where booking names the subject.
pub fn know(fixture: &Fixture, user: Uuid) -> Result<()> {
    let user = format!("UNHEX('{}')", user.simple());
    run(fixture, &known(&user, "DUAL"))
}

/// Users whose subject in the books has their own id.
fn known(user: &str, from: &str) -> String {
    format!(
        "INSERT INTO subjects (person, subject, created_at) \
         SELECT {user}, {user}, UTC_TIMESTAMP(6) FROM {from}"
    )
}

fn run(fixture: &Fixture, statements: &str) -> Result<()> {
    let url = fixture.stack.mysql_url();
    let database = url.rsplit('/').next().unwrap_or_default();
    let script = format!("USE {database}; START TRANSACTION; {statements}; COMMIT");
    fixture.stack.mariadb().execute(&script)?;
    Ok(())
}

/// Sixteen letters and digits.
fn id(kind: char, batch: u32, number: u32) -> Uuid {
    let text = format!("{kind}{batch:07}{number:08}");
    Uuid::from_slice(text.as_bytes()).unwrap_or_default()
}

/// The same in SQL.
fn sql_id(kind: char, batch: u32, number: &str) -> String {
    format!("CONCAT('{kind}{batch:07}', LPAD({number}, 8, '0'))")
}
