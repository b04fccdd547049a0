//! Owns the dates of each concert as many visitors read them, with how many seats of each are free.
//!
//! To count all seats of a concert is dear, so it is done once. From then on only those dates are counted whose seats have
//! changed, or of which a hold has ended.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use chassis::page::Page;
use chassis::problem::Problem;
use chassis::time::{Clock, Timestamp, whole_seconds};
use chrono::TimeDelta;
use uuid::Uuid;

use super::concerts::{Schedule, version_of};
use super::encoded::EncodedBody;
use crate::audit::Touched;
use crate::concert::{self, Free, ScheduleError};
use crate::db::{Db, DbError};
use crate::single_flight::{CacheMetrics, SingleFlightCache};

/// Where more dates than these have changed, the concert is counted anew.
const DATES_MOST: usize = 500;

/// The dates of each concert that somebody asked for.
pub struct Dates {
    cache: SingleFlightCache<Uuid, Arc<DateList>, Problem>,
    age: TimeDelta,
    clock: Clock,
    state: Mutex<State>,
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
    pub fn new(age: TimeDelta, clock: Clock, metrics: &CacheMetrics) -> Self {
        Self {
            cache: SingleFlightCache::new(age, clock.clone()).counted(metrics, "dates"),
            age,
            clock,
            state: Mutex::default(),
        }
    }

    /// The dates of a concert. Four statements the first time; later one where something has changed, and none where
    /// nothing has, besides those of `follow`.
    pub(super) async fn of(
        &self,
        db: &Db,
        concert_id: Uuid,
        follow: impl AsyncFnOnce() -> Result<(), DbError>,
    ) -> Result<Arc<DateList>, Problem> {
        let load = async |_| {
            if self.age <= TimeDelta::zero() {
                return self.count_all(db, concert_id).await;
            }
            follow().await?;
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
            self.cache.changed(concert_id);
        }
    }

    /// This concert has other dates, or they are other than they were.
    pub fn edited(&self, concert_id: Uuid) {
        self.mark(concert_id, Changed::Everything);
        self.cache.changed(concert_id);
    }

    /// The same of all concerts.
    pub fn all_edited(&self) {
        let all = self.concerts().into_iter();
        all.for_each(|concert_id| self.edited(concert_id));
    }

    /// Another instance has changed something, up to now; who looks next sees it.
    pub(super) fn touch(&self, touched: Touched) {
        let concert_of = |id| self.state().concert_of.get(&id).copied();
        let (concert_id, changed) = match touched {
            Touched::Seats(id) => (concert_of(id), Changed::Dates(HashSet::from([id]))),
            Touched::Date(id) => (concert_of(id), Changed::Everything),
            Touched::Concert(id) => (Some(id), Changed::Everything),
        };
        match (concert_id, touched) {
            (Some(concert_id), _) => self.mark(concert_id, changed),
            // A new one, of whichever concert.
            (None, Touched::Date(_)) => self
                .concerts()
                .into_iter()
                .for_each(|id| self.mark(id, Changed::Everything)),
            (None, _) => {}
        }
    }

    fn concerts(&self) -> Vec<Uuid> {
        self.state().shown.keys().copied().collect()
    }

    fn mark(&self, concert_id: Uuid, changed: Changed) {
        let mut state = self.state();
        let known = state.changed.remove(&concert_id);
        state.changed.insert(concert_id, changed.and(known));
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

    /// The same later. What can be booked also depends on when sales open and close, and a date that is not open yet says in
    /// how many seconds it is. A list without such a date stays the same one, with the same `ETag`.
    fn at(self: Arc<Self>, now: Timestamp) -> Arc<Self> {
        let since = self.at;
        let between = |at: Timestamp| (since < at && at <= now) || (now < at && at <= since);
        let opens_in_s = |date: &concert::Schedule, at| whole_seconds(date.sales_open_at - at);
        // The seconds are 0 from the opening on, so they tell of that too.
        let differs = |date: &concert::Schedule| {
            between(date.sales_close_at) || opens_in_s(date, since) != opens_in_s(date, now)
        };
        if !self.dates.iter().any(differs) {
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

    /// Seats of all of them that can be reserved.
    pub(super) fn left(&self, now: Timestamp) -> i64 {
        let bookable = self.dates.iter().filter(|date| date.is_bookable(now));
        bookable.map(|date| i64::from(date.seats_available)).sum()
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
