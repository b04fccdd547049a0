//! Owns how calls of visitors travel together: while one is in flight in a worker, those who arrive wait for it
//! and go in the next one, in the order in which they arrived.
//!
//! An idle worker adds no delay: the first to arrive goes at once and alone. What is asked it does not know.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use thread_local::ThreadLocal;
use tokio::sync::oneshot;

/// Calls of one kind of one queue that wait, in each worker.
pub(in crate::queue) struct Together<I: Send, O: Send>(ThreadLocal<Flight<I, O>>);

/// Those of one worker. The task that has it sends them, and tells each what came of it.
pub(in crate::queue) struct Flight<I, O>(Arc<Mutex<Batch<I, O>>>);

/// What goes together, and who waits for what comes of each.
pub(in crate::queue) type Batched<I, O> = (Vec<I>, Vec<oneshot::Sender<O>>);

struct Batch<I, O> {
    /// Whether a call is in flight; its task takes the next batch.
    is_in_flight: bool,
    waiting: Vec<(I, oneshot::Sender<O>)>,
}

impl<I: Send, O: Send> Default for Together<I, O> {
    fn default() -> Self {
        Self(ThreadLocal::new())
    }
}

impl<I, O> Default for Flight<I, O> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Batch {
            is_in_flight: false,
            waiting: Vec::new(),
        })))
    }
}

impl<I: Send, O: Send> Together<I, O> {
    /// Adds one who asks: what will come of it, and, where none is in flight, the flight that is to be sent. That needs
    /// a task of its own, so that a caller who gives up does not end the batch of others.
    pub fn add(&self, item: I) -> (oneshot::Receiver<O>, Option<Flight<I, O>>) {
        let (sender, outcome) = oneshot::channel();
        let flight = self.0.get_or_default();
        let mut batch = flight.batch();
        batch.waiting.push((item, sender));
        let is_first = !mem::replace(&mut batch.is_in_flight, true);
        drop(batch);
        (outcome, is_first.then(|| Flight(Arc::clone(&flight.0))))
    }
}

impl<I, O> Flight<I, O> {
    /// The next to be sent, at most so many; `None` when nobody waits any more, and the flight is over.
    pub fn next(&self, most: usize) -> Option<Batched<I, O>> {
        let mut batch = self.batch();
        let many = batch.waiting.len().min(most);
        if many == 0 {
            batch.is_in_flight = false;
            return None;
        }
        Some(batch.waiting.drain(..many).unzip())
    }

    fn batch(&self) -> MutexGuard<'_, Batch<I, O>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::Together;

    #[test]
    fn who_comes_while_one_is_in_flight_goes_in_the_next_in_the_order_of_arrival() {
        let together = Together::<u8, u8>::default();
        let (_one, flight) = together.add(1);
        let flight = flight.expect("the first is sent at once");
        let (first, _) = flight.next(9).expect("one waits");
        assert_eq!(first, [1]);
        let receivers: Vec<_> = [2, 3, 4].map(|item| together.add(item)).into();
        assert!(receivers.iter().all(|(_, flight)| flight.is_none()));
        let (next, senders) = flight.next(2).expect("three wait");
        assert_eq!(next, [2, 3]);
        for (sender, said) in senders.into_iter().zip([20, 30]) {
            sender.send(said).expect("somebody waits");
        }
        let said = receivers.into_iter().map(|(mut it, _)| it.try_recv().ok());
        assert_eq!(said.collect::<Vec<_>>(), [Some(20), Some(30), None]);
        assert_eq!(flight.next(9).map(|(items, _)| items), Some(vec![4]));
        assert!(flight.next(9).is_none());
        assert!(together.add(5).1.is_some(), "nothing is in flight");
    }
}
