//! Owns the decision not to ask a store that did not answer a moment ago.
//!
//! Without it, every request waits as long as the first one did, and requests pile up for as long
//! as the store hangs. Here, after a call was not answered and no other was either, all are refused at
//! once, but for one at a time that tries. At most so many calls are in flight at any time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// After a call that was not answered, no call is made for so long.
const PAUSE: Duration = Duration::from_millis(200);

/// A store that answered anybody so short a time ago is there, and only busy.
const SILENCE: Duration = Duration::from_millis(500);

/// Stands before every call to one store.
#[derive(Debug)]
pub struct Breaker {
    most: usize,
    in_flight: AtomicUsize,
    memory: Mutex<Memory>,
}

#[derive(Debug)]
struct Memory {
    state: State,
    answered_at: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// The store answers, as far as is known.
    Closed,
    /// No call is made until then.
    Open(Instant),
    /// One call finds out whether the store is back.
    Trying,
}

/// Why a call was not even tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// An earlier call was not answered.
    #[error("it did not answer a moment ago")]
    Open,
    /// Too many calls are in flight.
    #[error("too many calls are in flight")]
    Busy,
}

/// A call that may be made. Dropped without a verdict, it was given up by the caller, which says
/// nothing of the store.
#[derive(Debug)]
pub struct Call<'a> {
    breaker: &'a Breaker,
    tries: bool,
}

impl Breaker {
    /// Lets `most` calls be in flight at a time.
    pub fn new(most: usize) -> Self {
        Self {
            most,
            in_flight: AtomicUsize::new(0),
            memory: Mutex::new(Memory {
                state: State::Closed,
                answered_at: None,
            }),
        }
    }

    /// Whether a call may be made now.
    ///
    /// # Errors
    /// `Open`, `Busy`.
    pub fn pass(&self) -> Result<Call<'_>, Refused> {
        let mut memory = self.memory();
        let tries = match memory.state {
            State::Closed => false,
            State::Open(until) if Instant::now() >= until => true,
            State::Open(_) | State::Trying => return Err(Refused::Open),
        };
        if self.in_flight.load(Ordering::Relaxed) >= self.most {
            return Err(Refused::Busy);
        }
        if tries {
            memory.state = State::Trying;
        }
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        Ok(Call {
            breaker: self,
            tries,
        })
    }

    /// Whether calls are refused, but for one at a time.
    pub fn is_open(&self) -> bool {
        !matches!(self.memory().state, State::Closed)
    }

    /// How many calls are in flight.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Call<'_> {
    /// The store answered, whatever it said.
    pub fn answered(mut self) {
        self.tries = false;
        let mut memory = self.breaker.memory();
        memory.answered_at = Some(Instant::now());
        if !matches!(memory.state, State::Closed) {
            memory.state = State::Closed;
            log::info!("a store answers again");
        }
    }

    /// The store could not be reached, or said nothing in time. Whether it is taken for away now: it may also
    /// be only busy.
    pub fn unreachable(mut self) -> bool {
        self.tries = false;
        let mut memory = self.breaker.memory();
        if matches!(memory.state, State::Closed) {
            if memory.answered_at.is_some_and(|at| at.elapsed() < SILENCE) {
                return false;
            }
            log::warn!("a store does not answer; calls are refused, but for one at a time");
        }
        memory.state = State::Open(Instant::now() + PAUSE);
        true
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.breaker.in_flight.fetch_sub(1, Ordering::Relaxed);
        if self.tries {
            // The next one may try in its place.
            self.breaker.memory().state = State::Open(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Breaker, PAUSE, Refused, SILENCE};

    #[tokio::test(start_paused = true)]
    async fn after_a_call_without_an_answer_one_at_a_time_tries_until_one_has_it() {
        let breaker = Breaker::new(10);
        breaker.pass().expect("closed").unreachable();
        assert_eq!(breaker.pass().err(), Some(Refused::Open));
        tokio::time::advance(PAUSE).await;
        let trial = breaker.pass().expect("one may try");
        assert!(breaker.is_open());
        assert_eq!(breaker.pass().err(), Some(Refused::Open), "one alone");
        trial.unreachable();
        assert_eq!(breaker.pass().err(), Some(Refused::Open));
        tokio::time::advance(PAUSE).await;
        breaker.pass().expect("the next may try").answered();
        assert!(!breaker.is_open());
        assert!(breaker.pass().is_ok() && breaker.pass().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_answers_others_is_only_busy() {
        let breaker = Breaker::new(10);
        let slow = breaker.pass().expect("closed");
        let slower = breaker.pass().expect("closed");
        breaker.pass().expect("closed").answered();
        assert!(!slow.unreachable());
        assert!(breaker.pass().is_ok(), "somebody was just answered");
        tokio::time::advance(SILENCE).await;
        assert!(slower.unreachable());
        assert_eq!(breaker.pass().err(), Some(Refused::Open), "nobody is");
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_who_gives_up_says_nothing_of_the_store() {
        let breaker = Breaker::new(10);
        drop(breaker.pass().expect("closed"));
        assert!(breaker.pass().is_ok(), "the circuit is closed");
        breaker.pass().expect("closed").unreachable();
        tokio::time::advance(PAUSE).await;
        drop(breaker.pass().expect("one may try"));
        assert!(breaker.pass().is_ok(), "another may try in its place");
    }

    #[test]
    fn only_so_many_calls_are_in_flight() {
        let breaker = Breaker::new(2);
        let (one, two) = (breaker.pass(), breaker.pass());
        assert_eq!(breaker.pass().err(), Some(Refused::Busy));
        drop(one);
        assert!(breaker.pass().is_ok());
        drop(two);
        assert_eq!(breaker.in_flight(), 0);
    }
}
