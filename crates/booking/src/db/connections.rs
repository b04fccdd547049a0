//! The pool of connections, and another one in its place when it can no longer be trusted.
//!
//! A network that is cut without a word leaves connections that never speak again, and no client library can be told to give
//! one up. So the whole pool is left to them, with the threads that make connections for it; what was lent out of it is
//! closed when it comes back. Of any number who say so of one pool the first replaces it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use diesel::r2d2::{NopErrorHandler, Pool, State};

use super::session::Sessions;

/// The pool that is in use now.
pub(super) struct Connections {
    sessions: Sessions,
    most: u32,
    connect: Duration,
    current: Mutex<Current>,
}

/// A pool, and how many there were before it.
#[derive(Clone)]
pub(super) struct Current {
    pub(super) pool: Pool<Sessions>,
    number: u64,
}

impl Connections {
    /// At most so many connections, each made within `connect`. None is made before it is needed.
    pub(super) fn new(sessions: Sessions, most: u32, connect: Duration) -> Self {
        let first = Current {
            pool: pool(sessions.clone(), most, connect),
            number: 0,
        };
        Self {
            sessions,
            most,
            connect,
            current: Mutex::new(first),
        }
    }

    /// The pool to take connections from.
    pub(super) fn current(&self) -> Current {
        self.lock().clone()
    }

    /// Leaves this pool to its connections, because one of them did not answer or none could be made.
    pub(super) fn leave(&self, left: &Current) {
        let mut current = self.lock();
        if current.number == left.number {
            *current = Current {
                pool: pool(self.sessions.clone(), self.most, self.connect),
                number: left.number + 1,
            };
        }
    }

    /// How many connections there are.
    pub(super) fn state(&self) -> State {
        self.lock().pool.state()
    }

    /// Hosts that they may lead to.
    pub(super) fn hosts(&self) -> usize {
        self.sessions.hosts()
    }

    fn lock(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn pool(sessions: Sessions, most: u32, connect: Duration) -> Pool<Sessions> {
    Pool::builder()
        .max_size(most)
        .min_idle(Some(0))
        .connection_timeout(connect)
        .test_on_check_out(false)
        // The caller who waits gets the cause; logging each background attempt would flood the log.
        .error_handler(Box::new(NopErrorHandler))
        .build_unchecked(sessions)
}
