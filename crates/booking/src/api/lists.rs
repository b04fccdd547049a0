//! Owns the two lists that many visitors read again and again: the seats of a date, and the dates of a concert.
//!
//! Both are looked up once for all who ask, and again only where something has changed: what this instance sells it is told
//! of, what others do stands in the audit log, and when a hold ends is known before. A call without a change reads no row
//! of a seat. A list is as old as its age at most. Lists are for eyes only: whether a seat can be had is decided by a
//! conditional update, whatever was shown.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use chassis::problem::Problem;
use chassis::time::{Clock, Timestamp};
use chrono::TimeDelta;
use uuid::Uuid;

use super::concerts::Seats;
use super::dates::{DateList, Dates};
use super::encoded::EncodedBody;
use crate::audit::{Tail, Touched};
use crate::concert;
use crate::db::{Db, DbError};
use crate::reservation::ReserveError;
use crate::seat::{self, Listed, SeatState};
use crate::single_flight::{CacheMetrics, SingleFlightCache};

/// This part of its age a list may be old when it is looked up, so that one reading of the log serves many lists.
const SHARED_PART: i32 = 10;

/// Both lists.
pub struct Lists {
    seats: SingleFlightCache<Uuid, Arc<SeatList>, Problem>,
    stale: Mutex<Stale>,
    dates: Dates,
    tail: Tail,
    age: TimeDelta,
    clock: Clock,
    metrics: CacheMetrics,
}

/// Which lists of seats are not as they were when they were looked up.
#[derive(Default)]
struct Stale {
    dates: HashSet<Uuid>,
    /// How often any list may have changed.
    all: u64,
}

/// The seats of a date, encoded when they are first asked for.
pub(super) struct SeatList {
    /// The queue before the concert.
    pub queue: String,
    listed: Listed,
    all_stale: u64,
    all: OnceLock<EncodedBody>,
    available: OnceLock<EncodedBody>,
}

impl Lists {
    /// Lists that are at most `age` old; with 0 they are looked up for each reader.
    pub fn new(age: TimeDelta, clock: Clock) -> Self {
        let (shared, metrics) = (age / SHARED_PART, CacheMetrics::new());
        let cached = SingleFlightCache::new(age - shared, clock.clone());
        Self {
            seats: cached.counted(&metrics, "seats"),
            stale: Mutex::default(),
            dates: Dates::new(age - shared, clock.clone(), &metrics),
            tail: Tail::new(shared, clock.clone()),
            age,
            clock,
            metrics,
        }
    }

    /// How often they are read and looked up.
    pub fn metrics(&self) -> &CacheMetrics {
        &self.metrics
    }

    /// The seats of a date. At most three statements, for all who ask at once; one where nothing has changed.
    pub(super) async fn seats(&self, db: &Db, schedule_id: Uuid) -> Result<Arc<SeatList>, Problem> {
        let look = async |before: Option<Arc<Arc<SeatList>>>| {
            self.follow(db).await?;
            let (is_stale, all_stale) = self.take_stale(schedule_id);
            let now = self.clock.now();
            let holds = |before: &Arc<Arc<SeatList>>| !is_stale && before.holds(now, all_stale);
            if let Some(before) = before.filter(holds) {
                return Ok(Arc::clone(&*before));
            }
            let found = db.read(move |conn| {
                let Some(queue) = concert::queue_of(conn, schedule_id)? else {
                    return Ok::<_, DbError>(None);
                };
                Ok(Some((queue, seat::list(conn, schedule_id, now)?)))
            });
            let found = found.await.inspect_err(|_| {
                self.stale().dates.insert(schedule_id);
            });
            let (queue, listed) = found?.ok_or(ReserveError::ScheduleNotFound)?;
            Ok(Arc::new(SeatList {
                queue,
                listed,
                all_stale,
                all: OnceLock::new(),
                available: OnceLock::new(),
            }))
        };
        Ok(Arc::clone(&*self.seats.get(schedule_id, look).await?))
    }

    /// Hears of what other instances have changed.
    async fn follow(&self, db: &Db) -> Result<(), DbError> {
        if self.age <= TimeDelta::zero() {
            return Ok(());
        }
        let touch = |touched| {
            match touched {
                Touched::Seats(id) | Touched::Date(id) => {
                    self.stale().dates.insert(id);
                }
                Touched::Concert(_) => self.stale().all += 1,
            }
            self.dates.touch(touched);
        };
        self.tail.follow(db, touch).await
    }

    /// Whether the seats of this date have changed, which the caller then looks up. A change that comes after this is for
    /// the next who looks.
    fn take_stale(&self, schedule_id: Uuid) -> (bool, u64) {
        let mut stale = self.stale();
        (stale.dates.remove(&schedule_id), stale.all)
    }

    fn stale(&self) -> MutexGuard<'_, Stale> {
        self.stale.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The dates of a concert.
    pub(super) async fn dates(&self, db: &Db, concert_id: Uuid) -> Result<Arc<DateList>, Problem> {
        self.dates
            .of(db, concert_id, async || self.follow(db).await)
            .await
    }

    /// Seats of this date have changed hands.
    pub fn changed(&self, schedule_id: Uuid) {
        self.changed_seats(schedule_id);
        self.dates.changed(schedule_id);
    }

    /// This concert has another date.
    pub fn added(&self, concert_id: Uuid) {
        self.dates.edited(concert_id);
    }

    /// An operator changed this date.
    pub fn edited_date(&self, concert_id: Uuid, schedule_id: Uuid) {
        self.changed_seats(schedule_id);
        self.dates.edited(concert_id);
    }

    /// An operator changed more than one date.
    pub fn edited(&self) {
        self.stale().all += 1;
        self.seats.all_changed();
        self.dates.all_edited();
    }

    fn changed_seats(&self, schedule_id: Uuid) {
        self.stale().dates.insert(schedule_id);
        self.seats.changed(schedule_id);
    }
}

impl SeatList {
    /// Whether it is still so at this instant, as far as the clock and the changes of all lists go.
    fn holds(&self, now: Timestamp, all_stale: u64) -> bool {
        self.all_stale == all_stale && self.listed.next_end.is_none_or(|end| end > now)
    }

    /// All of them, or those that are available.
    pub fn encoded(&self, available: bool) -> &EncodedBody {
        let encoded = if available {
            &self.available
        } else {
            &self.all
        };
        encoded.get_or_init(|| {
            let shown = |seat: &&seat::Seat| !available || seat.state == SeatState::Available;
            Seats::of(self.listed.seats.iter().filter(shown).cloned()).encoded()
        })
    }
}
