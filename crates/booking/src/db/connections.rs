//! The pools of connections, one for transactions and one for what is a single statement, and others in their place when they can
//! no longer be trusted.
//!
//! A network that is cut without a word leaves connections that never speak again, and no client library can be told to give
//! one up. So both pools are left to them, with the threads that make connections for them; what was lent out of them is
//! closed when it comes back. Of any number who say so of one pair the first replaces it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use diesel::r2d2::{NopErrorHandler, Pool};

use super::Use;
use super::session::Sessions;

/// The pools that are in use now.
pub(super) struct Connections {
    sessions: Sessions,
    most: u32,
    connect: Duration,
    current: Mutex<Current>,
}

/// A pair of pools, and how many there were before it.
#[derive(Clone)]
pub(super) struct Current {
    transacting: Pool<Sessions>,
    single: Pool<Sessions>,
    number: u64,
}

impl Current {
    /// The pool for this.
    pub(super) fn pool(&self, wanted: Use) -> &Pool<Sessions> {
        match wanted {
            Use::Transaction => &self.transacting,
            Use::Read | Use::Write => &self.single,
        }
    }
}

impl Connections {
    /// At most so many connections in each pool, each made within `connect`. None is made before it is needed.
    pub(super) fn new(sessions: Sessions, most: u32, connect: Duration) -> Self {
        let first = pools(&sessions, (most, connect), 0);
        Self {
            sessions,
            most,
            connect,
            current: Mutex::new(first),
        }
    }

    /// The pools to take connections from.
    pub(super) fn current(&self) -> Current {
        self.lock().clone()
    }

    /// Leaves these pools to their connections, because one of them did not answer or none could be made.
    pub(super) fn leave(&self, left: &Current) {
        let mut current = self.lock();
        if current.number == left.number {
            *current = pools(&self.sessions, (self.most, self.connect), left.number + 1);
        }
    }

    /// How many connections there are.
    pub(super) fn open(&self) -> u32 {
        let current = self.lock();
        let both = [&current.transacting, &current.single];
        both.map(|pool| pool.state().connections).iter().sum()
    }

    /// Hosts that they may lead to.
    pub(super) fn hosts(&self) -> usize {
        self.sessions.hosts()
    }

    fn lock(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn pools(sessions: &Sessions, (most, connect): (u32, Duration), number: u64) -> Current {
    Current {
        transacting: pool(sessions.for_transactions(), most, connect),
        single: pool(sessions.clone(), most, connect),
        number,
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
