//! Owns a cache of values that many readers ask for at once: one reader loads a value for all who wait.
//!
//! At most one load of a key runs at a time, so any number of readers takes one connection. A reader who asks after
//! [`SingleFlightCache::changed`] gets no value that was loaded before it, unless the value changes all the time: then it is
//! loaded twice a second, and who asks in between gets one that is not older than its age. A load is given the value before,
//! which it may give back when nothing has changed. A failure is answered to those who waited for it and is not cached.
//! Nothing from here may decide a sale: a value is old by the time it is read.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use chassis::metrics::IntCounter;
use chassis::time::{Clock, Timestamp};
use chrono::TimeDelta;

use crate::patience;

/// How often a value that changes all the time is loaded, in a second.
const LOADS_PER_S: f64 = 2.0;
/// Loads that a quiet while makes room for: the first change shows at once.
const LOADS_AT_ONCE: f64 = 2.0;

chassis::catalogue! {
    /// How often values are read and how often that takes a load; their ratio is the hit rate.
    CacheMetrics;
    /// Reads of a list that many visitors read
    reads: IntCounterVec = "booking_cache_reads_total" by "list" ["seats", "dates"],
    /// Reads of a list for which it was looked up, for all who asked at that moment; the others were hits
    loads: IntCounterVec = "booking_cache_loads_total" by "list" ["seats", "dates"],
}

/// The counters of one cache.
struct Counted {
    reads: IntCounter,
    loads: IntCounter,
}

/// Values of one kind by their keys.
pub struct SingleFlightCache<K, T, E> {
    age: TimeDelta,
    clock: Clock,
    counted: Option<Counted>,
    entries: Mutex<HashMap<K, Arc<Entry<T, E>>>>,
}

/// One key's value.
struct Entry<T, E> {
    /// Held by the reader who loads the value.
    loading: tokio::sync::Mutex<()>,
    cached: RwLock<Option<Cached<T, E>>>,
    /// How often the value has changed at its source.
    changes: AtomicU64,
    /// How many loads have ended.
    loads: AtomicU64,
    /// Loads that may be made because of a change.
    allowance: Mutex<Allowance>,
}

/// A token bucket.
#[derive(Default)]
struct Allowance {
    /// Loads that were made and not yet made up for by time.
    spent: f64,
    at: Option<Timestamp>,
}

impl Allowance {
    /// Whether another load may be made now.
    fn has_some(&mut self, now: Timestamp) -> bool {
        let passed = self
            .at
            .map_or(0.0, |at| (now - at).as_seconds_f64().max(0.0));
        self.at = Some(now);
        self.spent = (self.spent - passed * LOADS_PER_S).max(0.0);
        self.spent <= LOADS_AT_ONCE - 1.0
    }
}

#[derive(Clone)]
struct Cached<T, E> {
    outcome: Result<Arc<T>, E>,
    loaded_at: Timestamp,
    /// The changes that this load could see.
    changes: u64,
    /// The number of this load.
    load_number: u64,
}

impl<K: Eq + Hash + Copy, T, E: Clone> SingleFlightCache<K, T, E> {
    /// A cache whose values live for `age`; with 0 nothing is cached and each reader loads.
    pub fn new(age: TimeDelta, clock: Clock) -> Self {
        Self {
            age,
            clock,
            counted: None,
            entries: Mutex::default(),
        }
    }

    /// The same, counted under this name.
    pub fn counted(mut self, metrics: &CacheMetrics, list: &str) -> Self {
        self.counted = Some(Counted {
            reads: metrics.reads.with_label_values(&[list]),
            loads: metrics.loads.with_label_values(&[list]),
        });
        self
    }

    /// The value of this key, loaded by `load` unless it is cached. The value before is given to `load` while the cache
    /// still has it.
    pub async fn get(
        &self,
        key: K,
        load: impl AsyncFnOnce(Option<Arc<T>>) -> Result<T, E>,
    ) -> Result<Arc<T>, E> {
        self.count(|counted| &counted.reads);
        if self.age <= TimeDelta::zero() {
            self.count(|counted| &counted.loads);
            return load(None).await.map(Arc::new);
        }
        let entry = self.entry(key);
        let (changes, loads) = entry.seen();
        let now = self.clock.now();
        if let Some(cached) = entry.cached().filter(|cached| self.is_young(cached, now))
            && (cached.changes >= changes || !entry.allowance().has_some(now))
        {
            return cached.outcome;
        }
        // Who is first in this line has waited longest, so nobody waits past what is left for their own load.
        let _loading = patience::spend(entry.loading.lock()).await;
        // A value that was loaded while this reader waited will do, however long the load took.
        let loaded =
            |cached: &Cached<T, E>| cached.load_number > loads && cached.changes >= changes;
        if let Some(cached) = entry.cached().filter(loaded) {
            return cached.outcome;
        }
        let (changes, loaded_at) = (entry.seen().0, self.clock.now());
        entry.allowance().spent += 1.0;
        self.count(|counted| &counted.loads);
        let before = entry.cached().and_then(|cached| cached.outcome.ok());
        let outcome = load(before).await.map(Arc::new);
        let load_number = entry.loads.fetch_add(1, Ordering::SeqCst) + 1;
        let cached = Cached {
            outcome: outcome.clone(),
            loaded_at,
            changes,
            load_number,
        };
        *entry.cached.write().unwrap_or_else(PoisonError::into_inner) = Some(cached);
        outcome
    }

    /// The value has changed at its source: readers who ask from now on get a new one.
    pub fn changed(&self, key: K) {
        if let Some(entry) = self.entries().get(&key) {
            entry.changes.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// The same for all keys.
    pub fn all_changed(&self) {
        for entry in self.entries().values() {
            entry.changes.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn count(&self, which: impl Fn(&Counted) -> &IntCounter) {
        if let Some(counted) = &self.counted {
            which(counted).inc();
        }
    }

    /// A new entry makes room: entries that are too old and have no waiting reader go.
    fn entry(&self, key: K) -> Arc<Entry<T, E>> {
        let mut entries = self.entries();
        if let Some(entry) = entries.get(&key) {
            return Arc::clone(entry);
        }
        let now = self.clock.now();
        entries.retain(|_, entry| {
            let fresh = |cached| self.is_fresh(&cached, entry.seen().0, now);
            Arc::strong_count(entry) > 1 || entry.cached().is_some_and(fresh)
        });
        let entry = Arc::new(Entry::default());
        entries.insert(key, Arc::clone(&entry));
        entry
    }

    fn entries(&self) -> std::sync::MutexGuard<'_, HashMap<K, Arc<Entry<T, E>>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_fresh(&self, cached: &Cached<T, E>, changes: u64, now: Timestamp) -> bool {
        cached.changes >= changes && self.is_young(cached, now)
    }

    fn is_young(&self, cached: &Cached<T, E>, now: Timestamp) -> bool {
        let age = now - cached.loaded_at;
        cached.outcome.is_ok() && (TimeDelta::zero()..self.age).contains(&age)
    }
}

impl<T, E: Clone> Entry<T, E> {
    fn seen(&self) -> (u64, u64) {
        let read = |count: &AtomicU64| count.load(Ordering::SeqCst);
        (read(&self.changes), read(&self.loads))
    }

    fn allowance(&self) -> MutexGuard<'_, Allowance> {
        self.allowance
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn cached(&self) -> Option<Cached<T, E>> {
        let cached = self.cached.read().unwrap_or_else(PoisonError::into_inner);
        cached.as_ref().map(|cached| Cached {
            outcome: cached.outcome.clone(),
            ..*cached
        })
    }
}

impl<T, E> Default for Entry<T, E> {
    fn default() -> Self {
        Self {
            loading: tokio::sync::Mutex::default(),
            cached: RwLock::default(),
            changes: AtomicU64::default(),
            loads: AtomicU64::default(),
            allowance: Mutex::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use chassis::time::Clock;
    use chrono::TimeDelta;
    use futures_util::future::{join, join_all};
    use tokio::sync::Notify;

    use super::SingleFlightCache;

    const AGE: TimeDelta = TimeDelta::milliseconds(500);

    struct Source {
        clock: Clock,
        cache: SingleFlightCache<u8, u32, &'static str>,
        made: AtomicU32,
    }

    impl Source {
        fn open(age: TimeDelta) -> Self {
            let clock = Clock::system();
            // The machine's own time must not count.
            let age = age * 1_000;
            Self {
                cache: SingleFlightCache::new(age, clock.clone()),
                clock,
                made: AtomicU32::new(0),
            }
        }

        async fn number(&self, key: u8) -> u32 {
            let load = async |_| Ok(self.made.fetch_add(1, Ordering::SeqCst) + 1);
            *self.cache.get(key, load).await.expect("made")
        }
    }

    #[tokio::test]
    async fn a_value_is_cached_until_it_is_too_old_or_has_changed() {
        let source = Source::open(AGE);
        assert_eq!(source.number(1).await, 1);
        assert_eq!(source.number(1).await, 1);
        assert_eq!(source.number(2).await, 2, "another one");
        source.cache.changed(1);
        assert_eq!((source.number(1).await, source.number(2).await), (3, 2));
        source.clock.advance(Duration::from_secs(1));
        source.cache.all_changed();
        assert_eq!((source.number(1).await, source.number(2).await), (4, 5));
        source.clock.advance(Duration::from_secs(500));
        assert_eq!(source.number(1).await, 6);
    }

    #[tokio::test]
    async fn a_load_is_given_the_value_before() {
        let source = Source::open(AGE);
        let add = async |before: Option<Arc<u32>>| Ok(before.map_or(1, |it| *it * 10));
        assert_eq!(source.cache.get(1, add).await, Ok(Arc::new(1)));
        source.clock.advance(Duration::from_secs(500));
        assert_eq!(source.cache.get(1, add).await, Ok(Arc::new(10)));
        assert_eq!(source.cache.get(2, add).await, Ok(Arc::new(1)), "another");
    }

    #[tokio::test]
    async fn reads_and_loads_are_counted() {
        let (metrics, clock) = (super::CacheMetrics::new(), Clock::system());
        let cache = SingleFlightCache::new(AGE * 1_000, clock).counted(&metrics, "dates");
        for _ in 0..5 {
            let got: Result<Arc<u8>, ()> = cache.get(1, async |_| Ok(7)).await;
            assert_eq!(got, Ok(Arc::new(7)));
        }
        let of = |counter: &chassis::metrics::IntCounterVec, list| {
            counter.with_label_values(&[list]).get()
        };
        assert_eq!(of(&metrics.reads, "dates"), 5);
        assert_eq!(of(&metrics.loads, "dates"), 1);
        assert_eq!(of(&metrics.reads, "seats"), 0);
    }

    #[tokio::test]
    async fn with_age_0_each_reader_loads() {
        let source = Source::open(TimeDelta::zero());
        assert_eq!((source.number(1).await, source.number(1).await), (1, 2));
    }

    #[tokio::test]
    async fn a_thousand_who_ask_at_once_wait_for_one() {
        let source = Source::open(AGE);
        let (made, done) = (AtomicU32::new(0), Notify::new());
        let ask = || {
            source.cache.get(1, async |_| {
                done.notified().await;
                Ok(made.fetch_add(1, Ordering::SeqCst))
            })
        };
        let (answers, ()) = join(join_all((0..1_000).map(|_| ask())), async {
            // A load that takes longer than values live runs once all the same.
            source.clock.advance(Duration::from_secs(600));
            done.notify_one();
        })
        .await;
        assert!(answers.iter().all(|answer| *answer == Ok(Arc::new(0))));
        assert_eq!(made.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_failure_is_answered_to_all_who_waited_and_is_not_cached() {
        let source = Source::open(AGE);
        let done = Notify::new();
        let ask = || {
            source.cache.get(1, async |_| {
                done.notified().await;
                Err("burnt")
            })
        };
        let (answers, ()) = join(join_all((0..10).map(|_| ask())), async {
            done.notify_one();
        })
        .await;
        assert!(answers.iter().all(|answer| *answer == Err("burnt")));
        assert_eq!(source.number(1).await, 1);
    }

    #[tokio::test]
    async fn a_reader_after_a_change_never_gets_a_load_that_began_before_it() {
        let source = Source::open(AGE);
        let (begun, done) = (Notify::new(), Notify::new());
        let early = source.cache.get(1, async |_| {
            begun.notify_one();
            done.notified().await;
            Ok(0)
        });
        let late = async {
            begun.notified().await;
            source.cache.changed(1);
            let (number, ()) = join(source.number(1), async { done.notify_one() }).await;
            number
        };
        let (early, late) = join(early, late).await;
        assert_eq!((early, late), (Ok(Arc::new(0)), 1));
        assert_eq!(source.number(1).await, 1, "and the new one stays");
    }

    #[tokio::test]
    async fn entries_without_readers_make_room() {
        let source = Source::open(AGE);
        for key in 0..100 {
            source.number(key).await;
        }
        source.clock.advance(Duration::from_secs(500));
        source.number(100).await;
        assert_eq!(source.cache.entries().len(), 1);
    }

    #[tokio::test]
    async fn a_value_that_changes_all_the_time_is_loaded_twice_a_second_and_nobody_waits_in_between()
     {
        let source = Source::open(AGE);
        source.number(1).await;
        for _ in 0..100 {
            source.cache.changed(1);
            source.number(1).await;
        }
        let burst = source.made.load(Ordering::SeqCst);
        assert!((2..=4).contains(&burst), "{burst} loads at once");
        for _ in 0..100 {
            source.clock.advance(Duration::from_millis(20));
            source.cache.changed(1);
            source.number(1).await;
        }
        let more = source.made.load(Ordering::SeqCst) - burst;
        assert!((4..=6).contains(&more), "{more} loads of two seconds");
    }
}
