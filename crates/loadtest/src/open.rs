//! Owns the open loop: requests that are due by the clock, whatever the server does.
//!
//! Latency counts from the instant at which a request was due. When every connection is busy the next request goes
//! out late, and that wait is in its latency, as it is for a person who stands before a page that does not load.
//! Otherwise a server that stops for a second would spoil one figure and not the thousand that it kept waiting.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Builder;
use tokio::sync::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::LocalSet;

use crate::{Arrivals, Connection, Fault, Measured, Target};

/// An open loop.
#[derive(Debug, Clone, Copy)]
pub struct Open {
    /// Most requests that are on their way at the same time.
    pub connections: usize,
    /// How many threads drive them.
    pub threads: usize,
    /// What is due before is sent and not counted.
    pub warm_up: Duration,
    /// For each request, and for what is still waiting when the last one was due.
    pub limit: Duration,
}

impl Open {
    /// So many connections on one thread, no warm-up.
    pub fn new(connections: usize) -> Self {
        Self {
            connections,
            threads: 1,
            warm_up: Duration::ZERO,
            limit: Duration::from_secs(10),
        }
    }

    /// Sends what is due; blocks this thread until all of it is answered or given up. `make` as in
    /// [`Closed::run`](crate::Closed::run).
    ///
    /// # Errors
    /// A thread cannot be started.
    pub fn run<M, W>(&self, target: &Target, arrivals: Arrivals, make: M) -> io::Result<Measured>
    where
        M: Fn(usize) -> W + Sync,
        W: FnMut(&mut Vec<u8>) + 'static,
    {
        let threads = self.threads.clamp(1, self.connections.max(1));
        let length = arrivals.profile().length();
        let (senders, receivers): (Vec<_>, Vec<_>) =
            (0..threads).map(|_| unbounded_channel()).unzip();
        let start = Instant::now();
        let mut all = Measured::default();
        thread::scope(|scope| {
            let mut running = Vec::new();
            for (thread, receiver) in receivers.into_iter().enumerate() {
                let (make, seats) = (&make, (thread, threads));
                running.push(scope.spawn(move || {
                    self.one_thread(target, (start, length), seats, receiver, make)
                }));
            }
            send_when_due(start, arrivals, &senders);
            drop(senders);
            for handle in running {
                let measured = handle
                    .join()
                    .map_err(|_| io::Error::other("a thread of the load panicked"))??;
                all.merge(&measured);
            }
            Ok::<_, io::Error>(())
        })?;
        all.set_elapsed(length.saturating_sub(self.warm_up));
        Ok(all)
    }

    fn one_thread<M, W>(
        &self,
        target: &Target,
        (start, length): (Instant, Duration),
        (thread, threads): (usize, usize),
        due: UnboundedReceiver<Duration>,
        make: &M,
    ) -> io::Result<Measured>
    where
        M: Fn(usize) -> W,
        W: FnMut(&mut Vec<u8>) + 'static,
    {
        let shared = Rc::new(Shared {
            start,
            count_from: self.warm_up,
            give_up: start + length + self.limit,
            due: Mutex::new(due),
            measured: RefCell::default(),
        });
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let tasks = LocalSet::new();
        for number in (thread..self.connections.max(1)).step_by(threads) {
            let connection = {
                let _inside = runtime.enter();
                Connection::new(target.clone(), self.limit)
            };
            tasks.spawn_local(send_what_is_due(
                connection,
                make(number),
                Rc::clone(&shared),
            ));
        }
        runtime.block_on(tasks);
        Ok(shared.measured.take())
    }
}

/// Sends each arrival when it is due, until no receiver is left. A thread of its own sleeps to about 0.1 ms; the timer
/// of an async runtime only to a millisecond, which would be seen in the figures.
fn send_when_due(start: Instant, arrivals: Arrivals, to: &[UnboundedSender<Duration>]) {
    for (number, due) in arrivals.enumerate() {
        let wait = due.saturating_sub(start.elapsed());
        if !wait.is_zero() {
            thread::sleep(wait);
        }
        if to[number % to.len()].send(due).is_err() {
            return;
        }
    }
}

struct Shared {
    start: Instant,
    count_from: Duration,
    give_up: Instant,
    due: Mutex<UnboundedReceiver<Duration>>,
    measured: RefCell<Measured>,
}

async fn send_what_is_due<W: FnMut(&mut Vec<u8>)>(
    mut connection: Connection,
    mut write: W,
    shared: Rc<Shared>,
) {
    let mut request = Vec::new();
    loop {
        // The lock is fair: the connection that has been free for longest takes what is due next.
        let Some(due) = shared.due.lock().await.recv().await else {
            return;
        };
        let at = shared.start + due;
        let late = at.elapsed();
        let outcome = if Instant::now() < shared.give_up {
            request.clear();
            write(&mut request);
            connection.send(&request).await.map(|answer| answer.status)
        } else {
            Err(Fault::Unsent)
        };
        if due >= shared.count_from {
            let mut measured = shared.measured.borrow_mut();
            measured.record(outcome, at.elapsed());
            measured.record_late(late);
        }
    }
}
