//! Owns the two lists that many visitors read again and again: the seats of a date, and the dates of a concert.
//!
//! Both are loaded once for all who ask and cached for a moment; what this instance sells shows at once. They are for
//! eyes only: whether a seat can be had is decided by a conditional update, whatever was shown.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use chassis::page::Page;
use chassis::problem::Problem;
use chassis::time::{Clock, Timestamp};
use chrono::TimeDelta;
use uuid::Uuid;

use super::concerts::{Schedule, Seats, version_of};
use super::encoded::EncodedBody;
use crate::concert::{self, ScheduleError};
use crate::db::{Db, DbError};
use crate::reservation::ReserveError;
use crate::seat::{self, SeatState};
use crate::single_flight::SingleFlightCache;

/// Both lists.
pub struct Lists {
    seats: SingleFlightCache<Uuid, SeatList, Problem>,
    dates: SingleFlightCache<Uuid, DateList, Problem>,
    /// The concert of each date that was shown, which never changes.
    concert_of: RwLock<HashMap<Uuid, Uuid>>,
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

/// The dates of a concert, encoded when they are first asked for.
pub(super) struct DateList {
    /// The queue before the concert.
    pub queue: String,
    dates: Vec<concert::Schedule>,
    at: Timestamp,
    all: OnceLock<EncodedBody>,
    available: OnceLock<EncodedBody>,
}

impl Lists {
    /// Lists that are cached for `age`.
    pub fn new(age: TimeDelta, clock: Clock) -> Self {
        Self {
            seats: SingleFlightCache::new(age, clock.clone()),
            dates: SingleFlightCache::new(age, clock.clone()),
            concert_of: RwLock::default(),
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

    /// The dates of a concert. Three statements, for all who ask at once.
    pub(super) async fn dates(&self, db: &Db, concert_id: Uuid) -> Result<Arc<DateList>, Problem> {
        let look = async || {
            let at = self.clock.now();
            let found = db.read(move |conn| {
                let concert =
                    concert::find(conn, concert_id)?.ok_or(ScheduleError::ConcertNotFound)?;
                let dates = concert::schedules(conn, concert_id, false, at)?;
                Ok::<_, ScheduleError>((concert.queue, dates))
            });
            let (queue, dates) = found.await?;
            self.remember(concert_id, &dates);
            Ok(DateList {
                queue,
                dates,
                at,
                all: OnceLock::new(),
                available: OnceLock::new(),
            })
        };
        self.dates.get(concert_id, look).await
    }

    /// Seats of this date have changed hands.
    pub fn changed(&self, schedule_id: Uuid) {
        self.seats.changed(schedule_id);
        let concert_of = self.concert_of.read();
        let concert_of = concert_of.unwrap_or_else(PoisonError::into_inner);
        match concert_of.get(&schedule_id) {
            Some(concert_id) => self.dates.changed(*concert_id),
            None => self.dates.all_changed(),
        }
    }

    /// This concert has another date.
    pub fn added(&self, concert_id: Uuid) {
        self.dates.changed(concert_id);
    }

    /// An operator changed this date.
    pub fn edited_date(&self, concert_id: Uuid, schedule_id: Uuid) {
        self.seats.changed(schedule_id);
        self.dates.changed(concert_id);
    }

    /// An operator changed more than one date.
    pub fn edited(&self) {
        self.seats.all_changed();
        self.dates.all_changed();
    }

    fn remember(&self, concert_id: Uuid, dates: &[concert::Schedule]) {
        let concert_of = self.concert_of.write();
        let mut concert_of = concert_of.unwrap_or_else(PoisonError::into_inner);
        concert_of.extend(dates.iter().map(|date| (date.id, concert_id)));
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

impl DateList {
    /// All of them, or those of which a seat can be reserved.
    pub fn encoded(&self, available: bool) -> &EncodedBody {
        let encoded = if available {
            &self.available
        } else {
            &self.all
        };
        encoded.get_or_init(|| {
            let shown = |date: &&concert::Schedule| !available || date.is_bookable(self.at);
            let dates = self.dates.iter().filter(shown).cloned();
            let page = Page::whole(dates.map(Schedule::from).collect());
            let body = serde_json::to_vec(&page).expect("dates are JSON");
            EncodedBody::new(&version_of(&page), body)
        })
    }
}
