//! Owns the one door to MySQL: the pool, the bounded wait in front of it, transactions and their retries.
//!
//! [`Db::transaction`] and [`Db::read`] are the only places where this service blocks a thread. A semaphore of the
//! pool's size stands in front, so overload is an immediate [`DbError::Busy`] and not a thousand parked threads.
//! A connection is not pinged before use: one that died is noticed by its first statement, dropped and replaced.
//! Must not know what is sold here, nor any HTTP.

mod address;
mod columns;
mod connections;
mod error;
mod kept;
mod metrics;
mod migration;
mod prepared;
mod session;

use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chassis::metrics::IntGauge;
use chassis::trace::{self, Kind, Span, TraceContext};
use diesel::mysql::MysqlConnection;
use rand::Rng;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout, timeout_at};

pub use address::check as check_url;
pub(crate) use columns::stored_as_text;
pub use columns::{At, Id, Page, new_id};
use connections::{Connections, Current};
pub(crate) use error::fails_with_db;
pub use error::{DbError, Failure, UrlInvalid};
use kept::Words;
pub(crate) use kept::{Kept, kept, padded, times};
pub use metrics::DbMetrics;
pub(crate) use prepared::{insert_rows, one_of, update, upsert};
use session::{Reached, Session, Sessions};

use crate::patience;

/// A connection that is inside a transaction: a function that takes one may write.
pub type Tx = MysqlConnection;
/// A connection that only reads, statement by statement.
pub type Conn = MysqlConnection;

/// How often a transaction that lost to another is run again. In a cluster it may lose as late as its COMMIT, to each of
/// those who want the same row.
const DEADLOCK_RETRIES: u32 = 10;
/// The longest pause before the first of these retries, in milliseconds; it doubles with each, up to the longest.
const DEADLOCK_PAUSE_MS: u64 = 10;
const DEADLOCK_PAUSE_MOST_MS: u64 = 200;

/// How a [`Db`] behaves when there is too much to do or the server is away.
#[derive(Debug, Clone)]
pub struct DbOptions {
    /// Connections, and therefore statements at the same time. Default 16.
    pub pool_size: u32,
    /// How long a caller waits for a free connection before it is [`DbError::Busy`]. Default 2.5 s: a thousand at
    /// once are served within it, and an answer still comes within 3 s.
    pub wait: Duration,
    /// How long a new connection may take. Default 1.5 s.
    pub connect: Duration,
    /// How long a whole transaction or read may take, waiting and retries included; a server that hangs is then
    /// unreachable. Default 2.9 s; within a request also no longer than it has [`patience`] left.
    pub deadline: Duration,
}

impl Default for DbOptions {
    fn default() -> Self {
        Self {
            pool_size: 16,
            wait: Duration::from_millis(2_500),
            connect: Duration::from_millis(1_500),
            deadline: Duration::from_millis(2_900),
        }
    }
}

/// One connection in so many is for reads alone.
const FOR_READS: usize = 4;

/// The door to MySQL. Clones share the pool.
#[derive(Clone)]
pub struct Db {
    connections: Arc<Connections>,
    permits: Arc<Semaphore>,
    /// Of these, those that transactions may have.
    writing: Arc<Semaphore>,
    options: DbOptions,
    metrics: Arc<DbMetrics>,
}

impl Db {
    /// A door to `mysql://user:password@host:port/database`, or to several hosts of which the first that takes writes is
    /// used. Connections are made when they are needed, so this succeeds while the server is away; [`Db::ping`] tells.
    pub fn connect(url: &str, options: DbOptions) -> Result<Self, UrlInvalid> {
        let sessions = Sessions::new(url)?;
        let size = options.pool_size.max(1);
        // Room for twice as many: what is closed after a failure is not gone at once.
        let connections = Connections::new(sessions, 2 * size, options.connect);
        let size = size as usize;
        Ok(Self {
            connections: Arc::new(connections),
            permits: Arc::new(Semaphore::new(size)),
            writing: Arc::new(Semaphore::new(size - size / FOR_READS)),
            options,
            metrics: Arc::new(DbMetrics::new()),
        })
    }

    /// Runs the migrations that are missing, on a connection of its own. Several instances may do so at once: a lock lines
    /// them up.
    pub async fn migrate(url: &str) -> Result<(), DbError> {
        let sessions = Sessions::new(url).map_err(|cause| DbError::Migration(cause.to_string()))?;
        joined(spawn_blocking(move || migration::run(&sessions)).await)?
    }

    /// Runs `act` inside one transaction: committed when it returns `Ok`, rolled back otherwise.
    ///
    /// A transaction that loses to another, also at its COMMIT, runs again as a whole, up to ten times while there is time
    /// left; so `act` must do nothing but
    /// talk to the database. So does one whose connection is lost before its COMMIT was sent, on another connection; one that
    /// is lost later is [`DbError::Unreachable`], and only then it is unknown whether the transaction was committed.
    pub async fn transaction<T, E, F>(&self, act: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: Failure + Send + 'static,
        F: Fn(&mut Tx) -> Result<T, E> + Send + Sync + 'static,
    {
        patience::spend(self.transact(Arc::new(act))).await
    }

    async fn transact<T, E, F>(&self, act: Arc<F>) -> Result<T, E>
    where
        T: Send + 'static,
        E: Failure + Send + 'static,
        F: Fn(&mut Tx) -> Result<T, E> + Send + Sync + 'static,
    {
        let until = self.until();
        let mut retries = 0;
        loop {
            let act = Arc::clone(&act);
            let outcome = self.on_session(Use::Transaction, until, move |session| {
                begin(session, &*act)
            });
            match outcome.await.map_err(Failure::into_db) {
                Ok(done) => return Ok(done),
                Err(Err(refusal)) => return Err(refusal),
                Err(Ok(DbError::Deadlock))
                    if retries < DEADLOCK_RETRIES && Instant::now() < until =>
                {
                    retries += 1;
                }
                Err(Ok(cause)) => {
                    self.metrics.failed(&cause);
                    return Err(cause.into());
                }
            }
            self.metrics.deadlocks.inc();
            let most_ms = (DEADLOCK_PAUSE_MS << (retries - 1)).min(DEADLOCK_PAUSE_MOST_MS);
            let pause_ms = rand::rng().random_range(1..=most_ms);
            sleep(Duration::from_millis(pause_ms)).await;
        }
    }

    /// Runs `look` outside a transaction; each statement sees what is committed when it starts.
    pub async fn read<T, E, F>(&self, look: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: Failure + Send + 'static,
        F: Fn(&mut Conn) -> Result<T, E> + Send + Sync + 'static,
    {
        self.bare(Use::Read, self.until(), look).await
    }

    /// The same for what reads whole tables, and takes its time; nobody waits for an answer to a request meanwhile.
    pub async fn read_for<T, E, F>(&self, most: Duration, look: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: Failure + Send + 'static,
        F: Fn(&mut Conn) -> Result<T, E> + Send + Sync + 'static,
    {
        self.bare(Use::Read, Instant::now() + most, look).await
    }

    /// Runs statements of which one writes and is a transaction by itself. They run again on another connection when the first
    /// is lost, whatever became of them there; so the one must be such that a second time changes nothing.
    pub(crate) async fn write_once<T, E, F>(&self, write: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: Failure + Send + 'static,
        F: Fn(&mut Conn) -> Result<T, E> + Send + Sync + 'static,
    {
        self.bare(Use::Write, self.until(), write).await
    }

    /// Runs `act` without a transaction around it.
    async fn bare<T, E, F>(&self, wanted: Use, until: Instant, act: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: Failure + Send + 'static,
        F: Fn(&mut Conn) -> Result<T, E> + Send + Sync + 'static,
    {
        let done = self.on_session(
            wanted,
            until,
            move |session| match act(&mut session.mysql) {
                Ok(done) => Attempt::Done(Ok(done)),
                Err(error) => Attempt::of(error, Reached::Nothing),
            },
        );
        patience::spend(done)
            .await
            .map_err(|error: E| match error.into_db() {
                Ok(cause) => {
                    self.metrics.failed(&cause);
                    cause.into()
                }
                Err(refusal) => refusal,
            })
    }

    /// Until when a transaction or read that begins now may take.
    fn until(&self) -> Instant {
        Instant::now() + patience::at_most(self.options.deadline)
    }

    /// Whether the server answers.
    pub async fn ping(&self) -> Result<(), DbError> {
        self.read(session::ping).await
    }

    /// Transactions that were run again after a deadlock, since the start.
    pub fn deadlocks(&self) -> u64 {
        self.metrics.deadlocks.get()
    }

    /// What is counted and timed here.
    pub fn metrics(&self) -> &DbMetrics {
        &self.metrics
    }

    /// Connections that are in use at this moment, of [`DbOptions::pool_size`].
    pub fn in_use(&self) -> u32 {
        self.most() - self.permits.available_permits() as u32
    }

    /// Connections that there are, in use or idle.
    pub fn open(&self) -> u32 {
        self.connections.open()
    }

    /// Connections that may be in use.
    pub fn most(&self) -> u32 {
        self.options.pool_size.max(1)
    }

    /// Permits for a connection, once one is free. A part of them is for reads alone: transactions that wait for rows,
    /// however many, do not keep reads waiting.
    async fn permits_for(&self, wanted: Use) -> Result<Permits, AcquireError> {
        let writing = match wanted {
            Use::Transaction | Use::Write => Some(Arc::clone(&self.writing).acquire_owned().await?),
            Use::Read => None,
        };
        Ok((writing, Arc::clone(&self.permits).acquire_owned().await?))
    }

    /// Runs `act` on a connection of the pool, on another one when the first turns out to have died while idle, or its
    /// server takes no writes.
    async fn on_session<T, E, F>(&self, wanted: Use, until: Instant, act: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: Failure + Send + 'static,
        F: Fn(&mut Session) -> Attempt<T, E> + Send + 'static,
    {
        let asked = Instant::now();
        let mut span = Span::begin(Kind::Client, || wanted.label());
        span.say("db.system.name", || "mysql");
        let wait = self
            .options
            .wait
            .min(until.saturating_duration_since(asked));
        let waiter = Waiter::of(&self.metrics.waiting);
        let free = timeout(wait, self.permits_for(wanted)).await;
        drop(waiter);
        let begun = Instant::now();
        span.say("wait_us", || (begun - asked).as_micros() as i64);
        self.metrics.wait.observe((begun - asked).as_secs_f64());
        let Ok(Ok(permits)) = free else {
            span.failed(&DbError::Busy);
            return Err(DbError::Busy.into());
        };
        let trace = span.context().or_else(trace::current);
        let done = self.in_time((trace, permits), (wanted, until), act);
        let done = done.await;
        let duration = self.metrics.duration.with_label_values(&[wanted.label()]);
        duration.observe(begun.elapsed().as_secs_f64());
        done.map_err(|error: E| match error.into_db() {
            Ok(cause) => {
                span.failed(&cause);
                cause.into()
            }
            Err(refusal) => refusal,
        })
    }

    /// Runs `act` on a thread, and gives up a connection on which it hangs: also when nobody waits any more for what it
    /// does, because who asked has gone away.
    async fn in_time<T, E, F>(
        &self,
        (trace, permits): (Option<TraceContext>, Permits),
        (wanted, until): (Use, Instant),
        act: F,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: Failure + Send + 'static,
        F: Fn(&mut Session) -> Attempt<T, E> + Send + 'static,
    {
        let connections = Arc::clone(&self.connections);
        let current = connections.current();
        // The thread gives them back when it is done, or who watches it does when it is given up.
        let permits = Arc::new(Mutex::new(Some(permits)));
        let (held, pools, lent) = (
            Arc::clone(&permits),
            Arc::clone(&connections),
            current.clone(),
        );
        let on_pool = move || {
            // Declared first, so it goes back last: after the connection.
            let _held = held;
            on_pool(&pools, (&lent, wanted, until), act)
        };
        let work = spawn_blocking(move || trace::within(trace, on_pool));
        let watched = tokio::spawn(async move {
            let done = timeout_at(until.into(), work).await;
            if done.is_err() {
                // With a cut network all others hang too: others are made from here on.
                connections.leave(&current);
                permits
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .take();
            }
            done
        });
        match joined(watched.await)? {
            Ok(outcome) => joined(outcome)?,
            Err(_) => Err(DbError::Unreachable(TOO_LATE.to_owned()).into()),
        }
    }
}

fn on_pool<T, E: Failure>(
    connections: &Connections,
    (lent, wanted, until): (&Current, Use, Instant),
    act: impl Fn(&mut Session) -> Attempt<T, E>,
) -> Result<T, E> {
    let (pool, mut refusals) = (lent.pool(wanted), 0);
    // After a restart of the server every idle connection may be dead, but never more than all.
    for _ in 0..=pool.max_size() {
        let mut session = pool.get().map_err(|cause| {
            // Those who make connections may hang as well.
            connections.leave(lent);
            DbError::Unreachable(cause.to_string())
        })?;
        // Who was told that nothing happened must be right, so nothing begins after the deadline.
        if Instant::now() >= until {
            return Err(DbError::Unreachable(TOO_LATE.to_owned()).into());
        }
        match act(&mut session) {
            Attempt::Done(outcome) => return outcome,
            Attempt::Lost(error) => {
                session.lost = true;
                return Err(error);
            }
            Attempt::Undone => session.lost = true,
            Attempt::Refused(error) => {
                session.lost = true;
                refusals += 1;
                if refusals > connections.hosts() {
                    return Err(error);
                }
            }
        }
    }
    Err(DbError::Unreachable("every connection was lost".into()).into())
}

/// What a connection is wanted for.
#[derive(Clone, Copy)]
enum Use {
    Transaction,
    /// One statement that is a transaction by itself.
    Write,
    Read,
}

impl Use {
    fn label(self) -> &'static str {
        match self {
            Self::Transaction | Self::Write => "transaction",
            Self::Read => "read",
        }
    }
}

/// Permits that are given back together.
type Permits = (Option<OwnedSemaphorePermit>, OwnedSemaphorePermit);

/// A caller who waits for a connection, also one who gives up before there is one.
struct Waiter<'a>(&'a IntGauge);

impl<'a> Waiter<'a> {
    fn of(waiting: &'a IntGauge) -> Self {
        waiting.inc();
        Self(waiting)
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// What is said of a server that hangs.
const TOO_LATE: &str = "no answer before the deadline";
/// What is said of such a node. Its own words are those of a lock.
const BEHIND: &str = "the node cannot catch up with its cluster";

/// How one use of a connection went.
enum Attempt<T, E> {
    /// With an outcome; the connection is sound.
    Done(Result<T, E>),
    /// The connection broke after something may have been committed.
    Lost(E),
    /// The connection broke, and nothing that counts has happened: it can be done again.
    Undone,
    /// The server takes no writes. Nothing was written, also in a transaction: it ends with the connection.
    Refused(E),
}

impl<T, E: Failure> Attempt<T, E> {
    fn of(error: E, reached: Reached) -> Self {
        match error.into_db() {
            Ok(cause @ DbError::Unreachable(_)) if reached == Reached::Commit => {
                Self::Lost(cause.into())
            }
            Ok(DbError::Unreachable(_)) => Self::Undone,
            Ok(cause @ DbError::Unwritable(_)) => Self::Refused(cause.into()),
            // Neither a plain SELECT nor BEGIN waits for a row: a node of a cluster waits for what the others committed.
            Ok(DbError::LockWait) if reached == Reached::Nothing => {
                Self::Refused(DbError::Unwritable(BEHIND.to_owned()).into())
            }
            Ok(cause) => Self::Done(Err(cause.into())),
            Err(refusal) => Self::Done(Err(refusal)),
        }
    }
}

fn begin<T, E: Failure>(
    session: &mut Session,
    act: &impl Fn(&mut Tx) -> Result<T, E>,
) -> Attempt<T, E> {
    let (outcome, reached) = session.transact(act);
    match outcome {
        Ok(done) => Attempt::Done(Ok(done)),
        Err(error) => Attempt::of(error, reached),
    }
}

/// A panic goes on in the caller; a runtime that shuts down looks like a server that is away.
fn joined<T>(outcome: Result<T, tokio::task::JoinError>) -> Result<T, DbError> {
    outcome.map_err(|ended| match ended.try_into_panic() {
        Ok(panic) => resume_unwind(panic),
        Err(_) => DbError::Unreachable("shutting down".into()),
    })
}
