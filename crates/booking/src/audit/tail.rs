//! The end of the log, followed by an instance that wants to hear of what others have changed.
//!
//! Each change leaves a row here, in its transaction. So a reader of all rows knows every change, without asking for
//! the things themselves; where nothing has happened no row is read.

use std::collections::BTreeMap;
use std::time::Duration;

use chassis::time::{Clock, Timestamp};
use chrono::TimeDelta;
use diesel::prelude::*;
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::timeout;
use uuid::Uuid;

use super::{Action, Entity};
use crate::db::{Conn, Db, DbError, Id};
use crate::patience;
use crate::schema::audit_log;

/// For how long a row may be missing that has a lower number than one that is there: longer than any transaction lasts.
const LATE_COMMIT: TimeDelta = TimeDelta::seconds(3);
/// How far back the log is read the first time: more rows than are written in that time.
const LOOK_BACK: i64 = 2_000;
/// How long to wait for others who read the log: each of them may wait for a database that does not answer.
const TURN: Duration = Duration::from_millis(2_500);
/// Rows that are read at once.
const ROWS_MOST: i64 = 10_000;

/// What a row says about lists of seats and dates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Touched {
    /// Seats of this date changed hands.
    Seats(Uuid),
    /// This date is other than it was.
    Date(Uuid),
    /// This concert is.
    Concert(Uuid),
}

/// How far the log was read.
pub struct Tail {
    clock: Clock,
    /// For how long what was read will do.
    age: TimeDelta,
    read: Mutex<Read>,
}

#[derive(Default)]
struct Read {
    at: Option<Timestamp>,
    /// No row up to here is new, or ever will be.
    done: i64,
    /// The rows behind it that were read, and when.
    seen: BTreeMap<i64, Timestamp>,
}

impl Tail {
    /// A tail that is read when somebody asks, unless that was done less than `age` ago.
    pub fn new(age: TimeDelta, clock: Clock) -> Self {
        Self {
            clock,
            age,
            read: Mutex::default(),
        }
    }

    /// Tells what the rows say that were not read before. When this returns, everything was told that had happened `age`
    /// before it was called; also to who asks at the same time. What was there the first time is not told. One statement,
    /// one more the first time.
    pub async fn follow(&self, db: &Db, tell: impl Fn(Touched)) -> Result<(), DbError> {
        let turn = timeout(patience::at_most(TURN), self.read.lock());
        let Ok(mut read) = patience::spend(turn).await else {
            return Err(DbError::Busy);
        };
        let now = self.clock.now();
        let is_recent = |at: Timestamp| (TimeDelta::zero()..self.age).contains(&(now - at));
        if read.at.is_some_and(is_recent) {
            return Ok(());
        }
        let is_first = read.at.is_none();
        if is_first {
            read.done = db.read(last).await? - LOOK_BACK;
        }
        let done = read.done;
        let rows = db.read(move |conn| since(conn, done)).await?;
        for (seq, touched) in rows {
            let is_new = read.see(seq, now);
            if let Some(touched) = touched.filter(|_| is_new && !is_first) {
                tell(touched);
            }
        }
        read.settle(now);
        read.at = Some(now);
        Ok(())
    }
}

impl Read {
    fn see(&mut self, seq: i64, now: Timestamp) -> bool {
        let mut is_new = false;
        self.seen.entry(seq).or_insert_with(|| {
            is_new = true;
            now
        });
        is_new
    }

    /// Numbers are given in order: nothing comes between two that follow each other, and nothing comes into a gap before
    /// a row that was seen long ago.
    fn settle(&mut self, now: Timestamp) {
        while let Some((&seq, &seen_at)) = self.seen.first_key_value() {
            if seq != self.done + 1 && now - seen_at < LATE_COMMIT {
                return;
            }
            self.done = seq;
            self.seen.remove(&seq);
        }
    }
}

/// The number of the last row; 0 when there is none.
fn last(conn: &mut Conn) -> Result<i64, DbError> {
    let last: Option<i64> = audit_log::table
        .select(diesel::dsl::max(audit_log::seq))
        .first(conn)?;
    Ok(last.unwrap_or_default())
}

/// The rows after this one, in their order.
fn since(conn: &mut Conn, after: i64) -> Result<Vec<(i64, Option<Touched>)>, DbError> {
    let rows: Vec<(i64, String, String, Id, String)> = audit_log::table
        .filter(audit_log::seq.gt(after))
        .order(audit_log::seq)
        .limit(ROWS_MOST)
        .select((
            audit_log::seq,
            audit_log::entity,
            audit_log::action,
            audit_log::entity_id,
            audit_log::detail,
        ))
        .load(conn)?;
    let rows = rows.into_iter();
    let read = rows.map(|(seq, entity, action, Id(id), detail)| {
        let about = touched((entity.as_str(), action.as_str()), id, &detail);
        (seq, about)
    });
    Ok(read.collect())
}

/// What a row says about lists. Its words are compared and not parsed: another instance may be newer and write words that
/// this one does not know, and they are about none of these lists.
fn touched((entity, action): (&str, &str), id: Uuid, detail: &str) -> Option<Touched> {
    let is = |known: Entity| entity == known.as_str();
    // No list shows who waits.
    let of_waitlist = [Action::WaitlistJoined, Action::WaitlistLeft];
    if is(Entity::Reservation) {
        date_of(detail).map(Touched::Seats)
    } else if is(Entity::Concert) {
        Some(Touched::Concert(id))
    } else if is(Entity::Schedule) && of_waitlist.iter().all(|it| it.as_str() != action) {
        Some(Touched::Date(id))
    } else {
        None
    }
}

fn date_of(detail: &str) -> Option<Uuid> {
    let detail: Value = serde_json::from_str(detail).ok()?;
    detail["scheduleId"].as_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use chassis::time::{Clock, Timestamp};
    use chrono::TimeDelta;

    use uuid::Uuid;

    use super::{Read, Touched, touched};

    fn read(rows: &[(i64, TimeDelta)], now: Timestamp) -> Read {
        let mut read = Read::default();
        for (seq, ago) in rows {
            assert!(read.see(*seq, now - *ago));
            assert!(!read.see(*seq, now), "seen before");
        }
        read.settle(now);
        read
    }

    #[test]
    fn a_row_names_the_list_that_it_is_about_and_words_of_newer_instances_name_none() {
        let (id, date) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let detail = format!("{{\"scheduleId\":\"{date}\"}}");
        let said = |entity, action| touched((entity, action), id, &detail);
        assert_eq!(said("reservation", "held"), Some(Touched::Seats(date)));
        assert_eq!(said("schedule", "edited"), Some(Touched::Date(id)));
        assert_eq!(said("schedule", "a new word"), Some(Touched::Date(id)));
        assert_eq!(said("concert", "edited"), Some(Touched::Concert(id)));
        for (entity, action) in [
            ("schedule", "waitlist_joined"),
            ("schedule", "waitlist_left"),
            ("wallet", "charged"),
            ("a new word", "created"),
        ] {
            assert_eq!(said(entity, action), None, "{entity} {action}");
        }
    }

    #[test]
    fn rows_without_a_gap_are_done_with_at_once() {
        let now = Clock::system().now();
        let read = read(&[1, 2, 3].map(|seq| (seq, TimeDelta::zero())), now);
        assert_eq!((read.done, read.seen.len()), (3, 0));
    }

    #[test]
    fn a_gap_stays_open_for_as_long_as_a_transaction_may_last() {
        let (now, young, old) = (
            Clock::system().now(),
            TimeDelta::milliseconds(2_999),
            TimeDelta::seconds(3),
        );
        let read_young = read(&[(1, young), (3, young), (4, young)], now);
        assert_eq!((read_young.done, read_young.seen.len()), (1, 2));
        let read_old = read(&[(1, young), (3, old), (4, young)], now);
        assert_eq!((read_old.done, read_old.seen.len()), (4, 0));
    }
}
