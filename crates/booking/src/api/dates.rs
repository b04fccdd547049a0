//! Owns the dates of each concert as many visitors read them, with how many seats of each are free.
//!
//! To count all seats of a concert is dear, so it is done once. From then on only those dates are counted whose seats have
//! changed: what this instance sells it is told of, what others do stands in the audit log, of which new rows alone are
//! read, and when a hold ends is known before. A call without a change reads no row of a seat.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use chassis::page::Page;
use chassis::problem::Problem;
use chassis::time::{Clock, Timestamp};
use chrono::TimeDelta;
use uuid::Uuid;

use super::concerts::{Schedule, version_of};
use super::encoded::EncodedBody;
use crate::audit::{self, Touched};
use crate::concert::{self, Free, ScheduleError};
use crate::db::{Db, DbError};
use crate::single_flight::SingleFlightCache;

/// For how long a transaction may stay open after its rows have their numbers: rows that are older are all there.
const LATE_COMMIT: TimeDelta = TimeDelta::seconds(3);
/// Where more dates than these have changed, the concert is counted anew.
const DATES_MOST: usize = 500;

/// The dates of each concert that somebody asked for.
pub struct Dates {
    cache: SingleFlightCache<Uuid, Arc<DateList>, Problem>,
    age: TimeDelta,
    clock: Clock,
    state: Mutex<State>,
    feed: tokio::sync::Mutex<Feed>,
}

#[derive(Default)]
struct State {
    /// What was shown last of each concert.
    shown: HashMap<Uuid, Arc<DateList>>,
    /// The concert of each date that was shown, which never changes.
    concert_of: HashMap<Uuid, Uuid>,
    /// What has changed since, by concert.
    changed: HashMap<Uuid, Changed>,
}

/// What is to be counted again.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Changed {
    Dates(HashSet<Uuid>),
    /// Not only seats: which dates there are, or what they are like.
    Everything,
}

/// How far the audit log was read.
#[derive(Default)]
struct Feed {
    read_at: Option<Timestamp>,
    /// Rows up to here are done with.
    done: Option<i64>,
    /// Rows behind it that were read already.
    seen: BTreeSet<i64>,
}

/// The dates of a concert at an instant, encoded when they are first asked for.
pub(super) struct DateList {
    /// The queue before the concert.
    pub queue: String,
    dates: Vec<concert::Schedule>,
    /// When the next hold of a date ends.
    next_end: HashMap<Uuid, Timestamp>,
    at: Timestamp,
    all: OnceLock<EncodedBody>,
    available: OnceLock<EncodedBody>,
}

impl Dates {
    /// Lists that are cached for `age`.
    pub fn new(age: TimeDelta, clock: Clock) -> Self {
        Self {
            cache: SingleFlightCache::new(age, clock.clone()),
            age,
            clock,
            state: Mutex::default(),
            feed: tokio::sync::Mutex::default(),
        }
    }

    /// The dates of a concert. Five statements the first time; then one, and one more where something has changed.
    pub(super) async fn of(&self, db: &Db, concert_id: Uuid) -> Result<Arc<DateList>, Problem> {
        let load = async || {
            if self.age <= TimeDelta::zero() {
                return self.count_all(db, concert_id).await;
            }
            self.follow(db).await?;
            let (before, changed) = self.take(concert_id);
            let loaded = match (before, &changed) {
                (Some(before), Changed::Dates(dates)) => self.recount(db, before, dates).await,
                _ => self.count_all(db, concert_id).await,
            };
            match &loaded {
                Ok(list) => self.keep(concert_id, list),
                Err(_) => self.mark(concert_id, changed),
            }
            loaded
        };
        Ok(Arc::clone(&*self.cache.get(concert_id, load).await?))
    }

    /// Seats of this date have changed hands. No list has a date that was never shown.
    pub fn changed(&self, schedule_id: Uuid) {
        let concert_id = self.state().concert_of.get(&schedule_id).copied();
        if let Some(concert_id) = concert_id {
            self.mark(concert_id, Changed::Dates(HashSet::from([schedule_id])));
        }
    }

    /// This concert has other dates, or they are other than they were.
    pub fn edited(&self, concert_id: Uuid) {
        self.mark(concert_id, Changed::Everything);
    }

    /// The same of all concerts.
    pub fn all_edited(&self) {
        let all: Vec<Uuid> = self.state().shown.keys().copied().collect();
        all.into_iter()
            .for_each(|concert_id| self.edited(concert_id));
    }

    fn mark(&self, concert_id: Uuid, changed: Changed) {
        let mut state = self.state();
        let known = state.changed.remove(&concert_id);
        state.changed.insert(concert_id, changed.and(known));
        drop(state);
        self.cache.changed(concert_id);
    }

    /// What was shown, and what has changed since. A change that comes after this is for the next load.
    fn take(&self, concert_id: Uuid) -> (Option<Arc<DateList>>, Changed) {
        let mut state = self.state();
        let changed = state.changed.remove(&concert_id);
        let changed = changed.unwrap_or_else(|| Changed::Dates(HashSet::new()));
        (state.shown.get(&concert_id).cloned(), changed)
    }

    fn keep(&self, concert_id: Uuid, list: &Arc<DateList>) {
        let mut state = self.state();
        let dates = list.dates.iter().map(|date| (date.id, concert_id));
        state.concert_of.extend(dates);
        state.shown.insert(concert_id, Arc::clone(list));
    }

    /// Watermarks what the audit log says since it was last read, which is at most once in the age of a list.
    async fn follow(&self, db: &Db) -> Result<(), DbError> {
        let mut feed = self.feed.lock().await;
        let now = self.clock.now();
        let is_recent = |at: Timestamp| (TimeDelta::zero()..self.age).contains(&(now - at));
        if feed.read_at.is_some_and(is_recent) {
            return Ok(());
        }
        let done = feed.done;
        let rows = db
            .read(move |conn| audit::touched_since(conn, done))
            .await?;
        for row in &rows {
            // What was there before anything was counted is counted.
            if feed.seen.insert(row.seq) && done.is_some() {
                self.touch(row.touched);
            }
        }
        let late = now - LATE_COMMIT;
        let settled = rows.iter().filter(|row| row.at <= late).map(|row| row.seq);
        let settled = settled.max().or(done).unwrap_or_default();
        feed.done = Some(settled);
        feed.seen = feed.seen.split_off(&(settled + 1));
        feed.read_at = Some(now);
        Ok(())
    }

    fn touch(&self, touched: Touched) {
        match touched {
            Touched::Seats(schedule_id) => self.changed(schedule_id),
            Touched::Concert(concert_id) => self.edited(concert_id),
            Touched::Date(schedule_id) => {
                let concert_id = self.state().concert_of.get(&schedule_id).copied();
                match concert_id {
                    Some(concert_id) => self.edited(concert_id),
                    // A new one, of whichever concert.
                    None => self.all_edited(),
                }
            }
        }
    }

    async fn count_all(&self, db: &Db, concert_id: Uuid) -> Result<Arc<DateList>, Problem> {
        let at = self.clock.now();
        let found = db.read(move |conn| {
            let concert = concert::find(conn, concert_id)?.ok_or(ScheduleError::ConcertNotFound)?;
            let dates = concert::schedules(conn, concert_id, false, at)?;
            let ends = concert::next_ends(conn, concert_id, at)?;
            Ok::<_, ScheduleError>((concert.queue, dates, ends))
        });
        let (queue, dates, next_end) = found.await?;
        Ok(Arc::new(DateList::new(queue, dates, next_end, at)))
    }

    /// The list with these dates, and those of which a hold has ended, counted again; the same list where there is none.
    async fn recount(
        &self,
        db: &Db,
        before: Arc<DateList>,
        changed: &HashSet<Uuid>,
    ) -> Result<Arc<DateList>, Problem> {
        let now = self.clock.now();
        let ended = before.next_end.iter().filter(|(_, end)| **end <= now);
        let mut ids: HashSet<Uuid> = ended.map(|(id, _)| *id).collect();
        ids.extend(changed);
        if ids.is_empty() {
            return Ok(before.at(now));
        }
        if ids.len() > DATES_MOST {
            return match before.dates.first() {
                Some(date) => self.count_all(db, date.concert_id).await,
                None => Ok(before),
            };
        }
        let ids: Vec<Uuid> = ids.into_iter().collect();
        let counted = db
            .read(move |conn| concert::count_free(conn, &ids, now))
            .await?;
        Ok(Arc::new(before.counted(&counted, now)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Changed {
    fn and(self, other: Option<Self>) -> Self {
        match (self, other) {
            (Self::Dates(mut dates), Some(Self::Dates(more))) => {
                dates.extend(more);
                Self::Dates(dates)
            }
            (changed, None) => changed,
            (Self::Everything, _) | (_, Some(Self::Everything)) => Self::Everything,
        }
    }
}

impl DateList {
    fn new(
        queue: String,
        dates: Vec<concert::Schedule>,
        next_end: HashMap<Uuid, Timestamp>,
        at: Timestamp,
    ) -> Self {
        Self {
            queue,
            dates,
            next_end,
            at,
            all: OnceLock::new(),
            available: OnceLock::new(),
        }
    }

    /// The same later. What can be booked also depends on when sales open and close.
    fn at(self: Arc<Self>, now: Timestamp) -> Arc<Self> {
        let since = self.at;
        let between = |at: Timestamp| (since < at && at <= now) || (now < at && at <= since);
        let turns =
            |date: &concert::Schedule| between(date.sales_open_at) || between(date.sales_close_at);
        if !self.dates.iter().any(turns) {
            return self;
        }
        let (queue, dates) = (self.queue.clone(), self.dates.clone());
        Arc::new(Self::new(queue, dates, self.next_end.clone(), now))
    }

    fn counted(&self, counted: &HashMap<Uuid, Free>, now: Timestamp) -> Self {
        let (mut dates, mut next_end) = (self.dates.clone(), self.next_end.clone());
        for date in &mut dates {
            let Some(free) = counted.get(&date.id) else {
                continue;
            };
            date.seats_available = free.seats;
            match free.next_end {
                Some(end) => next_end.insert(date.id, end),
                None => next_end.remove(&date.id),
            };
        }
        Self::new(self.queue.clone(), dates, next_end, now)
    }

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
            let page = Page::whole(dates.map(|date| Schedule::at(self.at, date)).collect());
            let body = serde_json::to_vec(&page).expect("dates are JSON");
            EncodedBody::new(&version_of(&page), body)
        })
    }
}
