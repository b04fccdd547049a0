//! Owns the two lists that many visitors read again and again: the seats of a date, and the dates of a concert.
//!
//! Both are loaded once for all who ask and cached for a moment; what this instance sells shows at once. They are for
//! eyes only: whether a seat can be had is decided by a conditional update, whatever was shown.

use std::sync::{Arc, OnceLock};

use chassis::problem::Problem;
use chassis::time::Clock;
use chrono::TimeDelta;
use uuid::Uuid;

use super::concerts::Seats;
use super::dates::{DateList, Dates};
use super::encoded::EncodedBody;
use crate::concert;
use crate::db::{Db, DbError};
use crate::reservation::ReserveError;
use crate::seat::{self, SeatState};
use crate::single_flight::SingleFlightCache;

/// Both lists.
pub struct Lists {
    seats: SingleFlightCache<Uuid, SeatList, Problem>,
    dates: Dates,
    clock: Clock,
}

/// The seats of a date, encoded when they are first asked for.
pub(super) struct SeatList {
    /// The queue before the concert.
    pub queue: String,
    seats: Vec<seat::Seat>,
    all: OnceLock<EncodedBody>,
    available: OnceLock<EncodedBody>,
}

impl Lists {
    /// Lists that are cached for `age`.
    pub fn new(age: TimeDelta, clock: Clock) -> Self {
        Self {
            seats: SingleFlightCache::new(age, clock.clone()),
            dates: Dates::new(age, clock.clone()),
            clock,
        }
    }

    /// The seats of a date. Two statements, for all who ask at once.
    pub(super) async fn seats(&self, db: &Db, schedule_id: Uuid) -> Result<Arc<SeatList>, Problem> {
        let look = async || {
            let now = self.clock.now();
            let found = db.read(move |conn| {
                let Some(queue) = concert::queue_of(conn, schedule_id)? else {
                    return Ok::<_, DbError>(None);
                };
                Ok(Some((queue, seat::list(conn, schedule_id, now)?)))
            });
            let (queue, seats) = found.await?.ok_or(ReserveError::ScheduleNotFound)?;
            Ok(SeatList {
                queue,
                seats,
                all: OnceLock::new(),
                available: OnceLock::new(),
            })
        };
        self.seats.get(schedule_id, look).await
    }

    /// The dates of a concert.
    pub(super) async fn dates(&self, db: &Db, concert_id: Uuid) -> Result<Arc<DateList>, Problem> {
        self.dates.of(db, concert_id).await
    }

    /// Seats of this date have changed hands.
    pub fn changed(&self, schedule_id: Uuid) {
        self.seats.changed(schedule_id);
        self.dates.changed(schedule_id);
    }

    /// This concert has another date.
    pub fn added(&self, concert_id: Uuid) {
        self.dates.edited(concert_id);
    }

    /// An operator changed this date.
    pub fn edited_date(&self, concert_id: Uuid, schedule_id: Uuid) {
        self.seats.changed(schedule_id);
        self.dates.edited(concert_id);
    }

    /// An operator changed more than one date.
    pub fn edited(&self) {
        self.seats.all_changed();
        self.dates.all_edited();
    }
}

impl SeatList {
    /// All of them, or those that are available.
    pub fn encoded(&self, available: bool) -> &EncodedBody {
        let encoded = if available {
            &self.available
        } else {
            &self.all
        };
        encoded.get_or_init(|| {
            let shown = |seat: &&seat::Seat| !available || seat.state == SeatState::Available;
            Seats::of(self.seats.iter().filter(shown).cloned()).encoded()
        })
    }
}
