//! Owns what is sold: dates with free seats, dates with held seats, wallets with money.
//!
//! Seats and wallets are written with statements of many rows: through the API it would take longer than what is
//! measured.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use anyhow::Result;
use uuid::Uuid;

use super::{Subject, subject};
use crate::fixture::Fixture;

/// Seats a second that nobody sells here, before anything is known.
const FIRST_GUESS: f64 = 6_000.0;
/// How much more than at the last turn may be sold.
const RESERVE: f64 = 1.6;

/// Counts what was written, so that ids never meet.
static BATCH: AtomicU32 = AtomicU32::new(0);

/// How much one side sells.
#[derive(Default)]
pub struct Venue {
    per_s: Option<f64>,
}

/// The seats of dates, each of which is given out once.
pub struct Seats<D> {
    dates: Vec<D>,
    each: usize,
    next: AtomicUsize,
}

impl Venue {
    /// Remembers how fast it went.
    pub fn learn(&mut self, per_s: f64) {
        self.per_s = Some(per_s);
    }

    /// Enough seats for a turn, of dates that `date` makes of their size.
    pub fn provide<D>(
        &self,
        fixture: &Fixture,
        date: impl Fn(&Fixture, usize) -> Result<D>,
    ) -> Result<Seats<D>> {
        let each = fixture.plan.venue;
        let per_s = self.per_s.unwrap_or(FIRST_GUESS) * RESERVE;
        let seats = per_s * fixture.plan.whole_turn().as_secs_f64();
        let count = (seats / each as f64).ceil().max(1.0) as usize;
        let dates = (0..count).map(|_| date(fixture, each));
        Ok(Seats {
            dates: dates.collect::<Result<_>>()?,
            each,
            next: AtomicUsize::new(0),
        })
    }
}

impl<D: Copy> Seats<D> {
    /// The next one: its date and its number.
    pub fn next(&self) -> Option<(D, u16)> {
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        let date = self.dates.get(next / self.each)?;
        Some((*date, u16::try_from(next % self.each + 1).ok()?))
    }
}

/// Who holds a seat of a [`held_date`], and can pay for it.
pub fn holder(((date, batch), seat): (Held, u16)) -> Subject {
    Subject {
        date,
        seat,
        reservation: id('r', batch, seat.into()),
        ..subject(id('u', batch, seat.into()))
    }
}

/// Users with an empty wallet.
pub fn wallets(fixture: &Fixture, count: usize) -> Result<Vec<Uuid>> {
    let batch = BATCH.fetch_add(1, Ordering::Relaxed);
    let user = sql_id('w', batch, "seq");
    let all = format!("SELECT {user}, 0, UTC_TIMESTAMP(6) FROM seq_1_to_{count}");
    let statements = [
        known(&user, &format!("seq_1_to_{count}")),
        format!("INSERT INTO wallets (user_id, balance, created_at) {all}"),
    ];
    run(fixture, &statements.join("; "))?;
    let numbers = 1..=u32::try_from(count)?;
    Ok(numbers.map(|number| id('w', batch, number)).collect())
}

/// A date and the number in the ids of its holders.
type Held = (Uuid, u32);

/// A date of which each seat is held by a user of its own who can pay for it.
pub fn held_date(fixture: &Fixture, seats: usize) -> Result<Held> {
    let (date, batch) = (fixture.date(seats)?, BATCH.fetch_add(1, Ordering::Relaxed));
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
    Ok((date, batch))
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use uuid::Uuid;

    use super::{Seats, holder, id};

    #[test]
    fn seats_are_given_out_once_date_by_date() {
        let next = AtomicUsize::new(0);
        let seats = Seats {
            dates: vec!["a", "b"],
            each: 2,
            next,
        };
        let all: Vec<_> = std::iter::from_fn(|| seats.next()).collect();
        assert_eq!(all, [("a", 1), ("a", 2), ("b", 1), ("b", 2)]);
        assert_eq!(seats.next(), None);
    }

    #[test]
    fn who_pays_is_the_user_of_the_seat() {
        let held = holder(((Uuid::nil(), 7), 4));
        assert_eq!(held.reservation.as_bytes(), b"r000000700000004");
        assert_eq!((held.user, held.seat), (id('u', 7, 4), 4));
    }
}
