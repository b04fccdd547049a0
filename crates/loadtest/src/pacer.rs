//! Owns when each of many pollers asks again: at a rate for all, or each as it was told.
//!
//! A thread of its own keeps the time. A poller that was told a pause is put into a heap by its next instant, so a call
//! does not become later because answers before it were slow.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::chance::Chance;
use crate::{Arrivals, Fault, Recorder, Step};

/// A call that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Call {
    /// After the start.
    pub due: Duration,
    /// Whose it is.
    pub who: usize,
}

/// Calls that are due, for connections that take one after the other.
pub(crate) struct Due {
    pub start: Instant,
    /// What is due and not sent by then is given up.
    give_up: Instant,
    calls: Mutex<UnboundedReceiver<Call>>,
}

impl Due {
    /// Those of a run from `start` on; what is left after `time` is given up.
    pub fn new(start: Instant, time: Duration, calls: UnboundedReceiver<Call>) -> Self {
        Self {
            start,
            give_up: start + time,
            calls: Mutex::new(calls),
        }
    }

    /// The next one that is not given up: whose it is, and when it was due. None when the run is over.
    pub async fn next(&self, recorder: &Recorder, step: Step) -> Option<(usize, Instant)> {
        loop {
            // The lock is fair: the connection that has been free for longest takes what is due next.
            let call = self.calls.lock().await.recv().await?;
            let (due, now) = (self.start + call.due, Instant::now());
            recorder.late(step, now.duration_since(due));
            if now <= self.give_up {
                return Some((call.who, due));
            }
            recorder.record(step, Err(Fault::Unsent), due);
        }
    }
}

/// Sends a call at each arrival, for any one of so many pollers.
pub(crate) fn at_rate(
    start: Instant,
    arrivals: Arrivals,
    pollers: usize,
    seed: u64,
) -> UnboundedReceiver<Call> {
    let (sender, calls) = unbounded_channel();
    let mut chance = Chance::of(seed, 0);
    thread::spawn(move || {
        for due in arrivals {
            let who = chance.index(pollers);
            thread::sleep(due.saturating_sub(start.elapsed()));
            if sender.send(Call { due, who }).is_err() {
                return;
            }
        }
    });
    calls
}

/// Calls each poller after its pause and then as the sender says, until `length` is over. The first call
/// of each comes at any instant within its pause, as if all had waited for long.
pub(crate) fn as_told(
    start: Instant,
    length: Duration,
    pauses: Vec<Duration>,
    seed: u64,
) -> (UnboundedReceiver<Call>, Sender<Call>) {
    let ((sender, calls), (next, told)) = (unbounded_channel(), channel());
    let mut chance = Chance::of(seed, 0);
    let heap = pauses.into_iter().enumerate().map(|(who, pause)| {
        let due = pause.mul_f64(chance.part());
        Reverse(Call { due, who })
    });
    let heap = heap.collect();
    thread::spawn(move || send_as_told(start, length, heap, &told, &sender));
    (calls, next)
}

fn send_as_told(
    start: Instant,
    length: Duration,
    mut heap: BinaryHeap<Reverse<Call>>,
    told: &Receiver<Call>,
    sender: &UnboundedSender<Call>,
) {
    loop {
        let now = start.elapsed();
        if now >= length {
            return;
        }
        while let Some(Reverse(call)) = heap.peek().copied().filter(|it| it.0.due <= now) {
            heap.pop();
            if sender.send(call).is_err() {
                return;
            }
        }
        let next = heap.peek().map_or(length, |it| it.0.due.min(length));
        match told.recv_timeout(next.saturating_sub(start.elapsed())) {
            Ok(call) => heap.push(Reverse(call)),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Profile;

    #[test]
    fn each_is_called_as_it_was_told_in_the_order_of_time() {
        let pauses = vec![Duration::from_millis(20); 50];
        let length = Duration::from_millis(60);
        let (mut calls, next) = as_told(Instant::now(), length, pauses, 1);
        let (mut count, mut last) = ([0; 50], Duration::ZERO);
        while let Some(call) = calls.blocking_recv() {
            count[call.who] += 1;
            if count[call.who] == 1 {
                assert!(call.due >= last, "the first calls come in their order");
                last = call.due;
                // Far beyond the end the others are never called again.
                let pause = if call.who == 0 { 0 } else { 1_000 };
                let due = call.due + pause * length;
                let _ = next.send(Call { due, who: call.who });
            }
        }
        assert_eq!(count[0], 2);
        assert!(count[1..].iter().all(|count| *count == 1), "{count:?}");
    }

    #[test]
    fn a_rate_calls_all_of_them() {
        let arrivals = Profile::steady(10_000.0, Duration::from_millis(100)).even();
        let mut calls = at_rate(Instant::now(), arrivals, 4, 1);
        let mut count = [0; 4];
        while let Some(call) = calls.blocking_recv() {
            count[call.who] += 1;
        }
        assert_eq!(count.iter().sum::<i32>(), 1_000);
        assert!(count.iter().all(|count| *count > 150), "{count:?}");
    }

    #[tokio::test]
    async fn what_waited_counts_from_when_it_was_due_and_what_waited_too_long_was_never_sent() {
        let (sender, calls) = unbounded_channel();
        for due in [Duration::ZERO, Duration::from_millis(1)] {
            sender.send(Call { due, who: 7 }).expect("a receiver");
        }
        drop(sender);
        let recorder = Recorder::default();
        let begun = Instant::now();
        let patient = Due::new(begun, Duration::from_secs(60), calls);
        assert_eq!(patient.next(&recorder, Step::Poll).await, Some((7, begun)));
        let over = Due {
            give_up: begun,
            ..patient
        };
        assert_eq!(over.next(&recorder, Step::Poll).await, None);
        assert_eq!(recorder.finish().all.with(Err(Fault::Unsent)), 1);
    }
}
