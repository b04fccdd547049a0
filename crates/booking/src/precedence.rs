//! Owns who comes first to the free seats of a date: those who wait for them in its list, before anybody new.
//!
//! Stands below `reservation`, which asks it before it takes seats, and below `waitlist`, which keeps the list; neither of
//! them is known here. Reads without a lock: what the answer is worth depends on what its caller has locked.

use std::collections::HashMap;

use chassis::time::Timestamp;
use diesel::dsl::count_star;
use diesel::prelude::*;
use uuid::Uuid;

use crate::db::{Conn, DbError, Id, stored_as_text};
use crate::schema::{seats, waitlist_entries};
use crate::seat;

stored_as_text! {
    /// What has become of an entry of a waiting list.
    pub enum EntryState {
        /// Not offered anything yet.
        Waiting = "waiting",
        /// Seats are held for the user.
        Offered = "offered",
        /// The offer was paid.
        Taken = "taken",
        /// The offer ended unpaid.
        Lapsed = "lapsed",
        /// The user went away.
        Left = "left",
        /// Sales ended, or the user may have no more seats.
        Expired = "expired",
    }
}

/// Whether somebody else in the list could be served now with seats that this user wants, of these grades or of any. What the
/// user has taken in this transaction, a seat of each of the grades in `taken`, counts as free. One statement when nothing is
/// free, else two and one for each grade; asked only where somebody waits at all.
pub(crate) fn comes_first(
    conn: &mut Conn,
    (schedule_id, user_id): (Uuid, Uuid),
    grades: &[String],
    taken: &[String],
    now: Timestamp,
) -> Result<bool, DbError> {
    let mut free = Free::count(conn, schedule_id, now)?;
    free.put_back(taken);
    let mut wanted = if grades.is_empty() {
        free.grades()
    } else {
        grades.iter().map(String::as_str).collect()
    };
    wanted.sort_unstable();
    wanted.dedup();
    for grade in [None].into_iter().chain(wanted.into_iter().map(Some)) {
        let seats = free.of_grade(grade);
        if seats > 0 && is_served(conn, (schedule_id, user_id), grade, seats)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether so many seats of this grade serve somebody else who waits for it. The first who is found ends the search.
fn is_served(
    conn: &mut Conn,
    (schedule_id, user_id): (Uuid, Uuid),
    grade: Option<&str>,
    seats: i64,
) -> Result<bool, DbError> {
    let seats = u16::try_from(seats).unwrap_or(u16::MAX);
    let served = waitlist_entries::table
        .filter(waitlist_entries::schedule_id.eq(Id(schedule_id)))
        .filter(waitlist_entries::state.eq(EntryState::Waiting))
        .filter(waitlist_entries::user_id.ne(Id(user_id)))
        .filter(waitlist_entries::seat_count.le(seats))
        .select(waitlist_entries::seq)
        .into_boxed();
    let served = match grade {
        Some(grade) => served.filter(waitlist_entries::grade.eq(grade.to_owned())),
        None => served.filter(waitlist_entries::grade.is_null()),
    };
    let found: Option<i64> = served.first(conn).optional()?;
    Ok(found.is_some())
}

/// Free seats of a date by their grade.
pub(crate) struct Free(HashMap<String, i64>);

impl Free {
    /// As they are at `now`. One statement.
    pub(crate) fn count(
        conn: &mut Conn,
        schedule_id: Uuid,
        now: Timestamp,
    ) -> Result<Self, DbError> {
        let counted: Vec<(String, i64)> = seats::table
            .filter(seats::schedule_id.eq(Id(schedule_id)))
            .filter(seat::is_free(now))
            .group_by(seats::grade)
            .select((seats::grade, count_star()))
            .load(conn)?;
        Ok(Self(counted.into_iter().collect()))
    }

    /// A seat of each of these grades is not free any more.
    pub(crate) fn take<'a>(&mut self, grades: impl IntoIterator<Item = &'a str>) {
        for grade in grades {
            *self.0.entry(grade.to_owned()).or_default() -= 1;
        }
    }

    /// A seat of each of these grades counts as free.
    fn put_back(&mut self, grades: &[String]) {
        for grade in grades {
            *self.0.entry(grade.clone()).or_default() += 1;
        }
    }

    /// Those of this grade, or of any.
    pub(crate) fn of_grade(&self, grade: Option<&str>) -> i64 {
        match grade {
            Some(grade) => self.0.get(grade).copied().unwrap_or(0),
            None => self.0.values().sum(),
        }
    }

    /// The grades of which some are free.
    pub(crate) fn grades(&self) -> Vec<&str> {
        let some = self.0.iter().filter(|(_, free)| **free > 0);
        some.map(|(grade, _)| grade.as_str()).collect()
    }

    /// The most that are free of one grade.
    pub(crate) fn most(&self) -> i64 {
        self.0.values().copied().max().unwrap_or(0)
    }
}
