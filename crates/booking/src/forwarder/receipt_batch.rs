//! Owns how lanes ask for receipts: what they ask within a moment is one transaction.
//!
//! A lane that asks waits until it is written, and for others only while others are at work. An event is in one lane's hands,
//! because events with one key share a lane; a forwarder that asks for an event that it has claimed gets it again.

use std::collections::{BTreeSet, HashMap};
use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chassis::time::Clock;
use chrono::TimeDelta;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use super::receipt::{self, Claimed};
use crate::db::{Db, DbError};

/// At most one transaction in this time, unless many wait.
const GATHER: Duration = Duration::from_millis(20);
/// So many do not wait for others: half of the lanes.
const MANY: usize = 16;

/// What is asked for an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ask {
    /// Whether it may be tried.
    Claim,
    /// That it is written that the receiver has it.
    Deliver,
}

type Outcome = Result<Claimed, Arc<DbError>>;

/// Somebody who waits.
struct Asker {
    event_id: Uuid,
    ask: Ask,
    told: oneshot::Sender<Outcome>,
}

/// The receipts of one receiver, as one forwarder writes them.
pub(super) struct ReceiptBatch {
    db: Db,
    clock: Clock,
    receiver: String,
    owner: Uuid,
    /// How long a claim lasts.
    claim: TimeDelta,
    /// Lanes that have an event in hand.
    working: AtomicUsize,
    askers: Mutex<Vec<Asker>>,
    many: Notify,
    /// When somebody was last served. The task that holds it serves all who wait.
    serving: tokio::sync::Mutex<Option<Instant>>,
}

/// Somebody has an event in hand.
pub(super) struct Working<'a>(&'a AtomicUsize);

impl Drop for Working<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl ReceiptBatch {
    /// A batch that nobody has asked for anything.
    pub(super) fn new(
        db: Db,
        clock: Clock,
        receiver: String,
        owner: Uuid,
        claim: TimeDelta,
    ) -> Self {
        Self {
            db,
            clock,
            receiver,
            owner,
            claim,
            working: AtomicUsize::new(0),
            askers: Mutex::default(),
            many: Notify::new(),
            serving: tokio::sync::Mutex::default(),
        }
    }

    /// Somebody has an event in hand, for as long as this lives.
    pub(super) fn work(&self) -> Working<'_> {
        self.working.fetch_add(1, Ordering::Relaxed);
        Working(&self.working)
    }

    /// Asks for an event.
    pub(super) async fn claim(&self, event_id: Uuid) -> Outcome {
        self.ask(event_id, Ask::Claim).await
    }

    /// Writes that the receiver has it.
    pub(super) async fn deliver(&self, event_id: Uuid) -> Result<(), Arc<DbError>> {
        self.ask(event_id, Ask::Deliver).await.map(|_| ())
    }

    async fn ask(&self, event_id: Uuid, ask: Ask) -> Outcome {
        loop {
            let (told, mut answer) = oneshot::channel();
            self.enter(Asker {
                event_id,
                ask,
                told,
            });
            let mut served_at = self.serving.lock().await;
            // Somebody else may have served this one while it waited for its turn to serve.
            if let Ok(outcome) = answer.try_recv() {
                return outcome;
            }
            self.gather(*served_at).await;
            *served_at = Some(Instant::now());
            let askers = mem::take(&mut *self.askers());
            self.serve(askers).await;
            if let Ok(outcome) = answer.try_recv() {
                return outcome;
            }
            // The task that had this one in hand was dropped on the way; it asks again.
        }
    }

    fn enter(&self, asker: Asker) {
        let mut askers = self.askers();
        askers.push(asker);
        if askers.len() >= MANY {
            self.many.notify_one();
        }
    }

    /// Waits until it is long enough since somebody was served, or many wait. Where nobody else works nobody will come.
    async fn gather(&self, served_at: Option<Instant>) {
        let Some(until) = served_at.map(|at| at + GATHER) else {
            return;
        };
        if self.working.load(Ordering::Relaxed) <= 1 {
            return;
        }
        while self.askers().len() < MANY {
            if timeout_at(until, self.many.notified()).await.is_err() {
                return;
            }
        }
    }

    /// Writes what all of these ask for, and tells them. Of several who claim the same event the first may have it.
    async fn serve(&self, askers: Vec<Asker>) {
        let of = |ask: Ask| {
            let these = askers.iter().filter(move |asker| asker.ask == ask);
            let these: BTreeSet<Uuid> = these.map(|asker| asker.event_id).collect();
            // In their order, so that two forwarders do not wait for each other.
            Arc::<[Uuid]>::from_iter(these)
        };
        let (claims, delivered) = (of(Ask::Claim), of(Ask::Deliver));
        let (now, wanted) = (self.clock.now(), Arc::clone(&claims));
        let (receiver, owner, until) = (self.receiver.clone(), self.owner, now + self.claim);
        let written = self.db.transaction(move |tx| {
            if !delivered.is_empty() {
                receipt::delivered_all(tx, &receiver, &delivered, now)?;
            }
            match wanted.is_empty() {
                true => Ok(Vec::new()),
                false => receipt::claim_all(tx, (&receiver, owner), &wanted, now, until),
            }
        });
        let written = written.await.map_err(Arc::new);
        let mut claimed: HashMap<Uuid, Claimed> = match &written {
            Ok(claimed) => claims
                .iter()
                .copied()
                .zip(claimed.iter().copied())
                .collect(),
            Err(_) => HashMap::new(),
        };
        for asker in askers {
            let outcome = match (&written, asker.ask) {
                (Err(cause), _) => Err(Arc::clone(cause)),
                (Ok(_), Ask::Deliver) => Ok(Claimed::Done),
                (Ok(_), Ask::Claim) => {
                    let mine = claimed.remove(&asker.event_id);
                    Ok(mine.unwrap_or(Claimed::Others { until }))
                }
            };
            // The asking task may be gone.
            let _ = asker.told.send(outcome);
        }
    }

    fn askers(&self) -> MutexGuard<'_, Vec<Asker>> {
        self.askers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
