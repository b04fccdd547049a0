//! Owns what many ask for at once: it is made by one for all who wait, and kept for a short while.
//!
//! For each thing at most one making runs at a time, so a crowd of readers takes one connection and not all of them. Who
//! asks after [`Shelf::changed`] never gets what was looked up before it. A failure is told to those who waited for it and
//! is not kept. Nothing from here may decide anything: it is old by the time it is read.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use chassis::time::{Clock, Timestamp};
use chrono::TimeDelta;

/// Things of one kind by their keys.
pub struct Shelf<K, T, E> {
    age: TimeDelta,
    clock: Clock,
    places: Mutex<HashMap<K, Arc<Place<T, E>>>>,
}

/// Where one thing stands.
struct Place<T, E> {
    /// Held by the one who makes the thing.
    making: tokio::sync::Mutex<()>,
    kept: RwLock<Option<Kept<T, E>>>,
    /// How often the thing has changed.
    changes: AtomicU64,
    /// How often its making has ended.
    makings: AtomicU64,
}

#[derive(Clone)]
struct Kept<T, E> {
    outcome: Result<Arc<T>, E>,
    made_at: Timestamp,
    /// The changes that the maker could see.
    changes: u64,
    /// The number of this making.
    making: u64,
}

impl<K: Eq + Hash + Copy, T, E: Clone> Shelf<K, T, E> {
    /// A shelf whose things are kept for `age`; with 0 nothing is kept and everybody makes their own.
    pub fn new(age: TimeDelta, clock: Clock) -> Self {
        Self {
            age,
            clock,
            places: Mutex::default(),
        }
    }

    /// The thing of this key, made by `make` unless it is there.
    pub async fn get(&self, key: K, make: impl AsyncFnOnce() -> Result<T, E>) -> Result<Arc<T>, E> {
        if self.age <= TimeDelta::zero() {
            return make().await.map(Arc::new);
        }
        let place = self.place(key);
        let (changes, makings) = place.seen();
        let now = self.clock.now();
        if let Some(kept) = place
            .kept()
            .filter(|kept| self.is_fresh(kept, changes, now))
        {
            return kept.outcome;
        }
        let _making = place.making.lock().await;
        // What was made while this one waited will do, however long that took.
        let made = |kept: &Kept<T, E>| kept.making > makings && kept.changes >= changes;
        if let Some(kept) = place.kept().filter(made) {
            return kept.outcome;
        }
        let (changes, made_at) = (place.seen().0, self.clock.now());
        let outcome = make().await.map(Arc::new);
        let making = place.makings.fetch_add(1, Ordering::SeqCst) + 1;
        let kept = Kept {
            outcome: outcome.clone(),
            made_at,
            changes,
            making,
        };
        *place.kept.write().unwrap_or_else(PoisonError::into_inner) = Some(kept);
        outcome
    }

    /// The thing is not what it was: who asks from now on gets a new one.
    pub fn changed(&self, key: K) {
        if let Some(place) = self.places().get(&key) {
            place.changes.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// The same for all of them.
    pub fn all_changed(&self) {
        for place in self.places().values() {
            place.changes.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// A new place makes room: things that are too old and that nobody waits for go.
    fn place(&self, key: K) -> Arc<Place<T, E>> {
        let mut places = self.places();
        if let Some(place) = places.get(&key) {
            return Arc::clone(place);
        }
        let now = self.clock.now();
        places.retain(|_, place| {
            let fresh = |kept| self.is_fresh(&kept, place.seen().0, now);
            Arc::strong_count(place) > 1 || place.kept().is_some_and(fresh)
        });
        let place = Arc::new(Place::default());
        places.insert(key, Arc::clone(&place));
        place
    }

    fn places(&self) -> std::sync::MutexGuard<'_, HashMap<K, Arc<Place<T, E>>>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_fresh(&self, kept: &Kept<T, E>, changes: u64, now: Timestamp) -> bool {
        let age = now - kept.made_at;
        kept.outcome.is_ok()
            && kept.changes >= changes
            && (TimeDelta::zero()..self.age).contains(&age)
    }
}

impl<T, E: Clone> Place<T, E> {
    fn seen(&self) -> (u64, u64) {
        let read = |count: &AtomicU64| count.load(Ordering::SeqCst);
        (read(&self.changes), read(&self.makings))
    }

    fn kept(&self) -> Option<Kept<T, E>> {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        kept.as_ref().map(|kept| Kept {
            outcome: kept.outcome.clone(),
            ..*kept
        })
    }
}

impl<T, E> Default for Place<T, E> {
    fn default() -> Self {
        Self {
            making: tokio::sync::Mutex::default(),
            kept: RwLock::default(),
            changes: AtomicU64::default(),
            makings: AtomicU64::default(),
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

    use super::Shelf;

    const AGE: TimeDelta = TimeDelta::milliseconds(500);

    struct Kitchen {
        clock: Clock,
        shelf: Shelf<u8, u32, &'static str>,
        made: AtomicU32,
    }

    impl Kitchen {
        fn open(age: TimeDelta) -> Self {
            let clock = Clock::system();
            // The machine's own time must not count.
            let age = age * 1_000;
            Self {
                shelf: Shelf::new(age, clock.clone()),
                clock,
                made: AtomicU32::new(0),
            }
        }

        async fn number(&self, key: u8) -> u32 {
            let make = async || Ok(self.made.fetch_add(1, Ordering::SeqCst) + 1);
            *self.shelf.get(key, make).await.expect("made")
        }
    }

    #[tokio::test]
    async fn a_thing_is_kept_until_it_is_too_old_or_has_changed() {
        let kitchen = Kitchen::open(AGE);
        assert_eq!(kitchen.number(1).await, 1);
        assert_eq!(kitchen.number(1).await, 1);
        assert_eq!(kitchen.number(2).await, 2, "another one");
        kitchen.shelf.changed(1);
        assert_eq!((kitchen.number(1).await, kitchen.number(2).await), (3, 2));
        kitchen.shelf.all_changed();
        assert_eq!((kitchen.number(1).await, kitchen.number(2).await), (4, 5));
        kitchen.clock.advance(Duration::from_secs(500));
        assert_eq!(kitchen.number(1).await, 6);
    }

    #[tokio::test]
    async fn with_age_0_everybody_makes_their_own() {
        let kitchen = Kitchen::open(TimeDelta::zero());
        assert_eq!((kitchen.number(1).await, kitchen.number(1).await), (1, 2));
    }

    #[tokio::test]
    async fn a_thousand_who_ask_at_once_wait_for_one() {
        let kitchen = Kitchen::open(AGE);
        let (made, done) = (AtomicU32::new(0), Notify::new());
        let ask = || {
            kitchen.shelf.get(1, async || {
                done.notified().await;
                Ok(made.fetch_add(1, Ordering::SeqCst))
            })
        };
        let (answers, ()) = join(join_all((0..1_000).map(|_| ask())), async {
            // A making that takes longer than things are kept is made once all the same.
            kitchen.clock.advance(Duration::from_secs(600));
            done.notify_one();
        })
        .await;
        assert!(answers.iter().all(|answer| *answer == Ok(Arc::new(0))));
        assert_eq!(made.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_failure_is_told_to_all_who_waited_and_is_not_kept() {
        let kitchen = Kitchen::open(AGE);
        let done = Notify::new();
        let ask = || {
            kitchen.shelf.get(1, async || {
                done.notified().await;
                Err("burnt")
            })
        };
        let (answers, ()) = join(join_all((0..10).map(|_| ask())), async {
            done.notify_one();
        })
        .await;
        assert!(answers.iter().all(|answer| *answer == Err("burnt")));
        assert_eq!(kitchen.number(1).await, 1);
    }

    #[tokio::test]
    async fn who_asks_after_a_change_never_gets_what_was_begun_before_it() {
        let kitchen = Kitchen::open(AGE);
        let (begun, done) = (Notify::new(), Notify::new());
        let early = kitchen.shelf.get(1, async || {
            begun.notify_one();
            done.notified().await;
            Ok(0)
        });
        let late = async {
            begun.notified().await;
            kitchen.shelf.changed(1);
            let (number, ()) = join(kitchen.number(1), async { done.notify_one() }).await;
            number
        };
        let (early, late) = join(early, late).await;
        assert_eq!((early, late), (Ok(Arc::new(0)), 1));
        assert_eq!(kitchen.number(1).await, 1, "and the new one stays");
    }

    #[tokio::test]
    async fn what_nobody_asks_for_any_more_makes_room() {
        let kitchen = Kitchen::open(AGE);
        for key in 0..100 {
            kitchen.number(key).await;
        }
        kitchen.clock.advance(Duration::from_secs(500));
        kitchen.number(100).await;
        assert_eq!(kitchen.shelf.places().len(), 1);
    }
}
