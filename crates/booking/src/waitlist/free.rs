//! Free seats of a date by grade: whom in the waiting list they would serve.

use std::collections::HashMap;

use chassis::time::Timestamp;
use diesel::dsl::count_star;
use diesel::prelude::*;
use uuid::Uuid;

use super::Entry;
use crate::db::{Conn, DbError, Id};
use crate::reservation::{Reservation, ReservedSeat};
use crate::schema::seats;
use crate::seat;

/// Free seats by their grade.
pub(super) struct Free(HashMap<String, i64>);

impl Free {
    /// As they are at `now`. One statement.
    pub(super) fn count(
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

    /// Those that would serve the entry.
    pub(super) fn of(&self, entry: &Entry) -> i64 {
        self.of_grade(entry.grade.as_deref())
    }

    /// These are not free any more.
    pub(super) fn take(&mut self, held: &Reservation) {
        for seat in &held.seats {
            *self.0.entry(seat.grade.clone()).or_default() -= 1;
        }
    }

    /// These count as free.
    pub(super) fn put_back(&mut self, taken: &[ReservedSeat]) {
        for seat in taken {
            *self.0.entry(seat.grade.clone()).or_default() += 1;
        }
    }

    /// Those of this grade, or of any.
    pub(super) fn of_grade(&self, grade: Option<&str>) -> i64 {
        match grade {
            Some(grade) => self.0.get(grade).copied().unwrap_or(0),
            None => self.0.values().sum(),
        }
    }

    /// The grades of which some are free.
    pub(super) fn grades(&self) -> Vec<&str> {
        let some = self.0.iter().filter(|(_, free)| **free > 0);
        some.map(|(grade, _)| grade.as_str()).collect()
    }

    /// The most that are free of one grade.
    pub(super) fn most(&self) -> i64 {
        self.0.values().copied().max().unwrap_or(0)
    }
}
