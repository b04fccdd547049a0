//! Owns the closed loop: a fixed number of connections, each asking again as soon as it has its answer.
//!
//! It finds how much a server can do. It says little about waiting: a slow server lowers the load on itself. What is
//! due by the clock, whatever the server does, is sent by the scenarios.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::runtime::Builder;
use tokio::task::LocalSet;
use tokio::time::sleep;

use crate::{Connection, Measured, Request, Target};

/// For each request; longer than any answer that counts as one.
const LIMIT: Duration = Duration::from_secs(10);
/// After a fault, so that a server that is away is not asked in a hot loop.
const AFTER_FAULT: Duration = Duration::from_millis(10);

/// Runs so many connections for so long, after a warm-up that is not counted; blocks this thread until it is over. This
/// one thread asks for more than a server on the other cores can answer.
///
/// `make` is called once for each connection with its number; what it returns gives one request after the other.
///
/// # Errors
/// There is no runtime.
pub fn closed<W: FnMut() -> Request + 'static>(
    (target, connections): (Target, usize),
    (warm_up, duration): (Duration, Duration),
    make: impl Fn(usize) -> W,
) -> io::Result<Measured> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let (tasks, measured) = (LocalSet::new(), Rc::default());
    let begin = Instant::now() + warm_up;
    for number in 0..connections {
        let connection = Connection::new(target, LIMIT);
        let (next, span) = (make(number), (begin, begin + duration));
        tasks.spawn_local(ask_again(connection, next, span, Rc::clone(&measured)));
    }
    runtime.block_on(tasks);
    let mut measured: Measured = measured.take();
    measured.set_elapsed(duration);
    Ok(measured)
}

async fn ask_again(
    mut connection: Connection,
    mut next: impl FnMut() -> Request,
    (begin, end): (Instant, Instant),
    measured: Rc<RefCell<Measured>>,
) {
    let mut now = Instant::now();
    while now < end {
        let request = next();
        let sent = Instant::now();
        let outcome = connection.send(request).await.map(|answer| answer.status);
        now = Instant::now();
        if (begin..=end).contains(&now) {
            measured.borrow_mut().record(outcome, now - sent);
        }
        if outcome.is_err() {
            sleep(AFTER_FAULT).await;
        }
    }
}
