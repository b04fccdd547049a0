//! Owns which queues there are and what this gateway remembers of them.
//!
//! All visitors share one snapshot per queue, refreshed once a second. What is remembered is also
//! what puts a queue back when Redis lost it.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use chassis::metrics::Histogram;
use chassis::redis::{Connection, Pool};
use chassis::time::Clock;
use futures_util::{StreamExt as _, stream};
use tokio::time::{Instant, timeout_at};

use super::lottery::entrants::Reading;
use super::measure::rate::Measured;
use super::measure::stock::Heard;
use super::measure::sums::Counted;
use super::recovery::loss::{Ends, Memory};
use super::snapshot::QueueLookup;
use super::store::clock::SkewTold;
use super::store::deadline::{ANSWER_WITHIN, LastAnswer};
use super::store::keys::{Keys, NAMES};
use super::store::script::{self, Priority, Store};
use super::visit::joins::Joins;
use super::visit::present::PollTimes;
use super::{Queue, QueueError, QueueId, Snapshot, StoreError};
use crate::merkle::Tree;
use crate::metrics::StoreMetrics;

/// Names without a queue that are remembered until the next refresh. More are asked for anew.
const MISSING_AT_MOST: usize = 10_000;
/// Queues that the scheduler works for at the same time.
const AT_ONCE: usize = 32;

/// All queues of this gateway. Cheap to clone.
#[derive(Clone)]
pub struct Queues(Arc<Inner>);

struct Inner {
    store: Store,
    metrics: StoreMetrics,
    recovery: Duration,
    entries: RwLock<HashMap<QueueId, Arc<QueueEntry>>>,
    missing: Mutex<HashSet<QueueId>>,
    lookup: tokio::sync::Mutex<()>,
    /// Changes of rules by this gateway, one after the other.
    changing: tokio::sync::Mutex<()>,
    /// When visitors were told to ask again.
    next_polls: PollTimes,
    /// Until when it is known that visitors are recorded.
    recorded: PollTimes,
    ends: Ends,
    skew_told: SkewTold,
}

/// What is remembered of one queue.
pub(super) struct QueueEntry {
    pub id: QueueId,
    pub keys: Keys,
    /// Polls at this gateway that came before their time.
    pub early_polls: AtomicU64,
    /// How long those whom this gateway let in had waited, in seconds.
    pub admission_wait: Histogram,
    /// When an admission of this gateway was last answered, in ms since 1970.
    pub admission_ran_at_ms: AtomicU64,
    /// What is measured of the service behind.
    pub measured: Measured,
    /// What is counted of each minute.
    pub counted: Counted,
    /// What the service behind said of its stock.
    pub heard: Heard,
    /// Users who wait to join, in each worker.
    pub joins: Joins,
    pub memory: Memory,
    pub last_answer: LastAnswer,
    snapshot: RwLock<Arc<Snapshot>>,
    /// Who takes part in a draw, while it is being read.
    pub reading: tokio::sync::Mutex<Reading>,
    /// Of the draw that was last asked for.
    tree: Mutex<Option<Arc<Tree>>>,
}

impl QueueEntry {
    /// The tree with this root, if it is at hand.
    pub fn tree(&self, root: &str) -> Option<Arc<Tree>> {
        let tree = self.tree.lock().unwrap_or_else(PoisonError::into_inner);
        tree.clone().filter(|tree| tree.root() == root)
    }

    pub fn keep_tree(&self, tree: Arc<Tree>) {
        *self.tree.lock().unwrap_or_else(PoisonError::into_inner) = Some(tree);
    }

    pub fn snapshot(&self) -> Arc<Snapshot> {
        let snapshot = self.snapshot.read();
        Arc::clone(&snapshot.unwrap_or_else(PoisonError::into_inner))
    }

    pub fn show(&self, mut seen: Snapshot) {
        self.memory.learn(&seen);
        seen.early_polls = self.early_polls.load(Ordering::Relaxed);
        let mut snapshot = self
            .snapshot
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        // Of two that were read at the same time the older one may come last.
        if (seen.epoch, seen.version) >= (snapshot.epoch, snapshot.version) {
            *snapshot = Arc::new(seen);
        }
    }
}

impl Queues {
    /// Queues in the Redis behind `hot` (visitors) and `pool` (scheduler and operators).
    ///
    /// Of `clock` only the offset counts; the time is that of Redis. For `recovery` after a loss
    /// nobody is let in, so that all who had a place can come back to it.
    pub fn new(hot: Connection, pool: Pool, clock: Clock, recovery: Duration) -> Self {
        let metrics = StoreMetrics::new();
        Self(Arc::new(Inner {
            store: Store::new(hot, pool, clock, &metrics),
            metrics,
            recovery,
            entries: RwLock::default(),
            missing: Mutex::default(),
            lookup: tokio::sync::Mutex::default(),
            changing: tokio::sync::Mutex::default(),
            next_polls: PollTimes::default(),
            recorded: PollTimes::default(),
            ends: Ends::default(),
            skew_told: SkewTold::default(),
        }))
    }

    /// The queue of this name.
    ///
    /// A name that is not remembered is looked up in Redis, once for all who ask; that there is
    /// none is remembered until the next refresh.
    ///
    /// # Errors
    /// `Unknown`, `StoreUnavailable`.
    pub async fn open(&self, id: &QueueId) -> Result<Queue, QueueError> {
        self.open_by(id, Instant::now() + ANSWER_WITHIN).await
    }

    /// As [`Queues::open`], for a request that began then: it sees one snapshot, and all that it asks has one deadline.
    ///
    /// # Errors
    /// As [`Queues::open`].
    pub async fn open_for(&self, id: &QueueId, begun: Instant) -> Result<Queue, QueueError> {
        let queue = self.open_by(id, begun + ANSWER_WITHIN).await?;
        Ok(queue.pinned().begun(begun))
    }

    async fn open_by(&self, id: &QueueId, deadline: Instant) -> Result<Queue, QueueError> {
        if let Some(queue) = self.remembered(id) {
            return Ok(queue);
        }
        if self.is_missing(id) {
            return Err(QueueError::Unknown);
        }
        // Boxed, as all that is rare, so that the hot future stays small.
        let looking = timeout_at(deadline, Box::pin(self.look_up(id)));
        looking.await.map_err(|_| StoreError::Late)?
    }

    /// The queues that are remembered, by name.
    pub fn list(&self) -> Vec<Queue> {
        let entries = self
            .0
            .entries
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let mut queues: Vec<_> = entries.values().map(|entry| self.queue(entry)).collect();
        drop(entries);
        queues.sort_by(|one, other| one.id().cmp(other.id()));
        queues
    }

    /// Reads every queue again, puts back what Redis lost, forgets what an operator removed.
    ///
    /// The step that the scheduler triggers once a second.
    ///
    /// # Errors
    /// `StoreUnavailable`: what is remembered of a queue that could not be read stays as it was.
    pub async fn refresh(&self) -> Result<(), QueueError> {
        self.missing().clear();
        // Where Redis does not answer, the last offset counts, and the next call says what is wrong.
        let _ = self.follow_clock().await;
        let named = self.named().await;
        let mut all: BTreeSet<_> = self.list().iter().map(|queue| queue.id().clone()).collect();
        all.extend(named.iter().flatten().cloned());
        // On a cluster the names may be away while the queues are not.
        let is_named = |id| named.as_ref().ok().map(|named| named.contains(id));
        let work = all.iter().map(|id| self.refresh_one(id, is_named(id)));
        let refreshed = each(work.collect()).await;
        named?;
        refreshed
    }

    async fn named(&self) -> Result<BTreeSet<QueueId>, StoreError> {
        let read = redis::cmd("SMEMBERS").arg(NAMES).take();
        let named: Vec<String> = self.0.store.command(&read).await?;
        Ok(named.into_iter().flat_map(QueueId::try_from).collect())
    }

    /// What is counted and timed here.
    pub fn metrics(&self) -> &StoreMetrics {
        &self.0.metrics
    }

    pub(super) fn changing(&self) -> &tokio::sync::Mutex<()> {
        &self.0.changing
    }

    pub(super) fn store(&self) -> &Store {
        &self.0.store
    }

    pub(super) fn next_polls(&self) -> &PollTimes {
        &self.0.next_polls
    }

    pub(super) fn recorded(&self) -> &PollTimes {
        &self.0.recorded
    }

    pub(super) fn ends(&self) -> &Ends {
        &self.0.ends
    }

    pub(super) fn skew_told(&self) -> &SkewTold {
        &self.0.skew_told
    }

    pub(super) fn recovery(&self) -> Duration {
        self.0.recovery
    }

    /// What Redis says of a queue.
    pub(super) async fn lookup(
        &self,
        keys: &Keys,
        priority: Priority,
    ) -> Result<QueueLookup, StoreError> {
        let store = self.store();
        store
            .run(priority, &store.call(&script::SNAPSHOT, keys))
            .await
    }

    /// Adds the name to the set of names, or takes it out.
    pub(super) async fn name(&self, id: &QueueId, is_there: bool) -> Result<(), StoreError> {
        let mut command = redis::cmd(if is_there { "SADD" } else { "SREM" });
        let command = command.arg(NAMES).arg(id.as_str());
        self.store().command(command).await
    }

    /// From now on this gateway knows the queue.
    pub(super) fn remember(&self, id: &QueueId, seen: Snapshot) -> Queue {
        let mut entries = self
            .0
            .entries
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let entry = entries.entry(id.clone()).or_insert_with(|| {
            Arc::new(QueueEntry {
                id: id.clone(),
                keys: Keys::of(id),
                early_polls: AtomicU64::new(0),
                admission_wait: self.0.metrics.admission_wait(id),
                admission_ran_at_ms: AtomicU64::new(self.store().now_ms()),
                measured: Measured::default(),
                counted: Counted::default(),
                heard: Heard::default(),
                joins: Joins::default(),
                memory: Memory::default(),
                last_answer: LastAnswer::default(),
                snapshot: RwLock::new(Arc::new(seen.clone())),
                reading: tokio::sync::Mutex::default(),
                tree: Mutex::default(),
            })
        });
        entry.show(seen);
        let queue = self.queue(entry);
        drop(entries);
        self.missing().remove(id);
        queue
    }

    /// From now on this gateway does not know the queue.
    pub(super) fn forget(&self, id: &QueueId) {
        let mut entries = self
            .0
            .entries
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if entries.remove(id).is_some() {
            self.0.metrics.forget(id);
        }
    }

    /// The queue, if this gateway knows it.
    pub fn remembered(&self, id: &QueueId) -> Option<Queue> {
        let entries = self
            .0
            .entries
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        entries.get(id).map(|entry| self.queue(entry))
    }

    async fn refresh_one(&self, id: &QueueId, is_named: Option<bool>) -> Result<(), QueueError> {
        let is_there = match self.remembered(id) {
            Some(queue) => match self.revive(&queue.entry, Priority::Background).await {
                Ok(()) => true,
                Err(QueueError::Unknown) => false,
                Err(cause) => return Err(cause),
            },
            None => match self.lookup(&Keys::of(id), Priority::Background).await? {
                QueueLookup::Present(seen) => {
                    self.remember(id, *seen);
                    true
                }
                QueueLookup::Removed(_) | QueueLookup::Gone => false,
            },
        };
        if is_named.is_some_and(|is_named| is_named != is_there) {
            self.name(id, is_there).await?;
        }
        Ok(())
    }

    async fn look_up(&self, id: &QueueId) -> Result<Queue, QueueError> {
        let _alone = self.0.lookup.lock().await;
        if let Some(queue) = self.remembered(id) {
            return Ok(queue);
        }
        if self.is_missing(id) {
            return Err(QueueError::Unknown);
        }
        if let QueueLookup::Present(seen) = self.lookup(&Keys::of(id), Priority::Hot).await? {
            return Ok(self.remember(id, *seen));
        }
        let mut missing = self.missing();
        if missing.len() < MISSING_AT_MOST {
            missing.insert(id.clone());
        }
        Err(QueueError::Unknown)
    }

    fn queue(&self, entry: &Arc<QueueEntry>) -> Queue {
        Queue {
            queues: self.clone(),
            entry: Arc::clone(entry),
            pinned: None,
            begun: None,
        }
    }

    fn is_missing(&self, id: &QueueId) -> bool {
        self.missing().contains(id)
    }

    fn missing(&self) -> MutexGuard<'_, HashSet<QueueId>> {
        self.0
            .missing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Does the same work for many queues, some at a time, and all of it, also where some fails: on a
/// cluster a queue whose master is away holds up no other.
///
/// # Errors
/// The first that came.
pub(crate) async fn each<F>(work: Vec<F>) -> Result<(), QueueError>
where
    F: Future<Output = Result<(), QueueError>>,
{
    let mut running = stream::iter(work).buffer_unordered(AT_ONCE);
    let mut outcome = Ok(());
    while let Some(done) = running.next().await {
        outcome = outcome.and(done);
    }
    outcome
}
