//! Owns the closed loop: a fixed number of connections, each asking again as soon as it has its answer.
//!
//! It finds how much a server can do. It says little about waiting: a slow server lowers the load on itself.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep};

use crate::{Connection, Measured, Target};

/// After a fault, so that a server that is away is not asked in a hot loop.
const AFTER_FAULT: Duration = Duration::from_millis(10);

/// A closed loop.
#[derive(Debug, Clone, Copy)]
pub struct Closed {
    /// How many at the same time.
    pub connections: usize,
    /// How many threads drive them; one asks for more than 40,000 a second.
    pub threads: usize,
    /// Runs before anything is counted.
    pub warm_up: Duration,
    /// What is counted.
    pub duration: Duration,
    /// For each request.
    pub limit: Duration,
}

impl Closed {
    /// So many connections on one thread for so long, after a second of warm-up.
    pub fn new(connections: usize, duration: Duration) -> Self {
        Self {
            connections,
            threads: 1,
            warm_up: Duration::from_secs(1),
            duration,
            limit: Duration::from_secs(10),
        }
    }

    /// Runs it; blocks this thread until it is over.
    ///
    /// `make` is called once for each connection with its number. What it returns is called before each request with
    /// an empty buffer, and writes the request into it, as [`Target::request`] does.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub fn run<M, W>(&self, target: &Target, make: M) -> io::Result<Measured>
    where
        M: Fn(usize) -> W + Sync,
        W: FnMut(&mut Vec<u8>) + 'static,
    {
        let threads = self.threads.clamp(1, self.connections.max(1));
        let mut all = Measured::default();
        thread::scope(|scope| {
            let running: Vec<_> = (0..threads)
                .map(|thread| {
                    let make = &make;
                    scope.spawn(move || self.one_thread(target, (thread, threads), make))
                })
                .collect();
            for handle in running {
                let measured = handle
                    .join()
                    .map_err(|_| io::Error::other("a thread of the load panicked"))??;
                all.merge(&measured);
            }
            Ok::<_, io::Error>(())
        })?;
        all.set_elapsed(self.duration);
        Ok(all)
    }

    fn one_thread<M, W>(
        &self,
        target: &Target,
        (thread, threads): (usize, usize),
        make: &M,
    ) -> io::Result<Measured>
    where
        M: Fn(usize) -> W,
        W: FnMut(&mut Vec<u8>) + 'static,
    {
        let measured = Rc::new(RefCell::new(Measured::default()));
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let tasks = LocalSet::new();
        let begin = {
            let _inside = runtime.enter();
            Instant::now() + self.warm_up
        };
        let end = begin + self.duration;
        for number in (thread..self.connections).step_by(threads) {
            let connection = Connection::new(target.clone(), self.limit);
            tasks.spawn_local(ask_again(
                connection,
                make(number),
                (begin, end),
                Rc::clone(&measured),
            ));
        }
        runtime.block_on(tasks);
        Ok(measured.take())
    }
}

async fn ask_again<W: FnMut(&mut Vec<u8>)>(
    mut connection: Connection,
    mut write: W,
    (begin, end): (Instant, Instant),
    measured: Rc<RefCell<Measured>>,
) {
    let mut request = Vec::new();
    let mut now = Instant::now();
    while now < end {
        request.clear();
        write(&mut request);
        let sent = Instant::now();
        let outcome = connection.send(&request).await.map(|answer| answer.status);
        now = Instant::now();
        if (begin..=end).contains(&now) {
            measured.borrow_mut().record(outcome, now - sent);
        }
        if outcome.is_err() {
            sleep(AFTER_FAULT).await;
        }
    }
}
