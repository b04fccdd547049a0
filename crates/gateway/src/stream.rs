//! Owns who watches a place: one hub for each queue, which looks up all that is watched on this
//! gateway together, once a second, and tells each watcher what is new.
//!
//! A watcher has room for one thing only, the latest: however slowly a client reads, nothing
//! grows, and what it reads next is true. Nothing here knows HTTP.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use futures_util::{StreamExt as _, stream};
use tokio::sync::{Notify, watch};

use crate::queue::{Outlook, Queue, QueueError, QueueId, Snapshot, Standing, Ticket, each};

/// Streams of one visit at the same time: a few tabs, and one that died unnoticed.
const MOST_OF_ONE_VISIT: usize = 4;
/// Visits that are asked for one by one at the same time.
const ASKED_AT_ONCE: usize = 32;

/// Everybody who watches a place on this gateway.
pub struct Streams {
    most: usize,
    open: Arc<AtomicUsize>,
    hubs: Mutex<HashMap<QueueId, Hub>>,
}

/// One stream's view of a visit. Dropping it ends the watching.
pub struct Watch {
    update: watch::Receiver<Update>,
    /// Told when a newer stream of the visit takes the place of this one.
    replaced: Arc<Notify>,
    open: Arc<AtomicUsize>,
}

/// The watchers of one queue. All streams of one visit share a sender.
struct Hub {
    queue: Queue,
    visits: HashMap<Ticket, Watched>,
}

/// A visit that is watched, and its streams, the oldest first.
struct Watched {
    sender: watch::Sender<Update>,
    streams: VecDeque<Weak<Notify>>,
}

/// What a watcher sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Update {
    /// The visit goes on.
    Here(View),
    /// The visit is over; nothing follows.
    Closed(Closed),
}

/// A visit that goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// Where it stands.
    pub standing: Standing,
    /// Whether it waits and nobody is let in.
    pub paused: bool,
    /// A word from the operator.
    pub message: Option<Arc<str>>,
    /// Whether something will be left, and about how much is; `None` where nobody knows.
    pub stock: Option<(Outlook, u64)>,
    /// Whether the store does not answer, so that all this is as it was last seen.
    pub is_stale: bool,
}

/// Why there is nothing to see any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// The visit is over.
    Over,
    /// It is over because nothing was asked for too long.
    Idle,
    /// The queue was removed.
    Removed,
}

/// Why nobody more may watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WatchError {
    /// This gateway has as many streams as it may have.
    #[error("too many streams are open")]
    Full,
}

impl Watch {
    /// What is to be seen now.
    pub fn update(&mut self) -> Update {
        self.update.borrow_and_update().clone()
    }

    /// Returns when there is something new to see; `false` when nothing new will come.
    pub async fn changed(&mut self) -> bool {
        tokio::select! {
            biased;
            () = self.replaced.notified() => false,
            changed = self.update.changed() => changed.is_ok(),
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl View {
    fn of(standing: Standing, snapshot: &Snapshot, message: Option<Arc<str>>) -> Self {
        Self {
            standing,
            paused: snapshot.paused() && !matches!(standing, Standing::Active { .. }),
            message,
            stock: stock(&standing, snapshot),
            is_stale: false,
        }
    }
}

impl Streams {
    /// Nobody watches yet; `most` may.
    pub fn new(most: usize) -> Self {
        Self {
            most,
            open: Arc::default(),
            hubs: Mutex::default(),
        }
    }

    /// Watches a visit, of which `standing` is known, until the watch is dropped. Where the visit has as
    /// many streams as it may have, the oldest ends: the newest is the tab that somebody looks at. So it needs
    /// no room where there is none.
    ///
    /// # Errors
    /// `Full`.
    pub fn watch(
        &self,
        queue: &Queue,
        ticket: Ticket,
        standing: Standing,
    ) -> Result<Watch, WatchError> {
        let mut hubs = self.hubs();
        let own = hubs.get(queue.id()).and_then(|it| it.visits.get(&ticket));
        let is_replacing = own.is_some_and(|it| it.streams() >= MOST_OF_ONE_VISIT);
        // The one that is replaced counts until it has ended; until then it is the only one beyond the limit.
        if self.open.load(Ordering::Relaxed) >= self.most + usize::from(is_replacing) {
            return Err(WatchError::Full);
        }
        let snapshot = queue.snapshot();
        let view = View::of(standing, &snapshot, message(&snapshot));
        let hub = hubs.entry(queue.id().clone()).or_insert_with(|| Hub {
            queue: queue.unpinned(),
            visits: HashMap::new(),
        });
        // A queue that was removed and made anew has another memory.
        hub.queue = queue.unpinned();
        let watched = hub.visits.entry(ticket).or_insert_with(|| Watched {
            sender: watch::Sender::new(Update::Here(view.clone())),
            streams: VecDeque::new(),
        });
        watched.streams.retain(is_open);
        while watched.streams.len() >= MOST_OF_ONE_VISIT {
            let oldest = watched.streams.pop_front();
            if let Some(oldest) = oldest.and_then(|stream| stream.upgrade()) {
                oldest.notify_one();
            }
        }
        let replaced = Arc::new(Notify::new());
        watched.streams.push_back(Arc::downgrade(&replaced));
        tell(&watched.sender, Update::Here(view));
        self.open.fetch_add(1, Ordering::Relaxed);
        Ok(Watch {
            update: watched.sender.subscribe(),
            replaced,
            open: Arc::clone(&self.open),
        })
    }

    /// Open streams by queue.
    pub fn open(&self) -> Vec<(QueueId, usize)> {
        let hubs = self.hubs();
        hubs.iter()
            .map(|(queue, hub)| (queue.clone(), hub.open()))
            .collect()
    }

    /// Step: looks up everybody who is watched and tells what is new.
    ///
    /// # Errors
    /// `StoreUnavailable`: everybody of a queue that could not be read keeps what they saw last.
    pub async fn look(&self) -> Result<(), QueueError> {
        let watched = self.watched();
        let work = watched.iter().map(|(queue, tickets)| async move {
            let looked = self.look_at(queue, tickets).await;
            if matches!(looked, Err(QueueError::StoreUnavailable(_))) {
                self.tell_stale(queue);
            }
            looked
        });
        each(work.collect()).await
    }

    async fn look_at(&self, queue: &Queue, tickets: &[Ticket]) -> Result<(), QueueError> {
        let standings = queue.ranks(tickets).await?;
        let (mut seen, mut unclear) = (Vec::new(), Vec::new());
        for (ticket, standing) in tickets.iter().zip(standings) {
            match standing {
                Some(standing) => seen.push((*ticket, Ok(standing))),
                None => unclear.push(*ticket),
            }
        }
        self.tell_all(queue, seen);
        let mut asked = stream::iter(unclear)
            .map(|ticket| async move { (ticket, queue.watch(&ticket).await) })
            .buffer_unordered(ASKED_AT_ONCE);
        while let Some((ticket, standing)) = asked.next().await {
            let standing = match standing {
                Ok(standing) => Ok(standing),
                Err(QueueError::Unknown) => Err(Closed::Removed),
                Err(QueueError::Idle) => Err(Closed::Idle),
                Err(cause @ QueueError::StoreUnavailable(_)) => return Err(cause),
                Err(_) => Err(Closed::Over),
            };
            self.tell_all(queue, vec![(ticket, standing)]);
        }
        Ok(())
    }

    fn tell_all(&self, queue: &Queue, seen: Vec<(Ticket, Result<Standing, Closed>)>) {
        let snapshot = queue.snapshot();
        let message = message(&snapshot);
        let mut hubs = self.hubs();
        let Some(hub) = hubs.get_mut(queue.id()) else {
            return;
        };
        for (ticket, standing) in seen {
            match standing {
                Ok(standing) => {
                    let view = View::of(standing, &snapshot, message.clone());
                    if let Some(watched) = hub.visits.get(&ticket) {
                        tell(&watched.sender, Update::Here(view));
                    }
                }
                Err(gone) => {
                    // What was sent last is still received after the sender is gone.
                    if let Some(watched) = hub.visits.remove(&ticket) {
                        tell(&watched.sender, Update::Closed(gone));
                    }
                }
            }
        }
    }

    /// Tells those who watch that the store does not answer.
    fn tell_stale(&self, queue: &Queue) {
        let hubs = self.hubs();
        let Some(hub) = hubs.get(queue.id()) else {
            return;
        };
        for watched in hub.visits.values() {
            watched.sender.send_if_modified(|last| match last {
                Update::Here(view) if !view.is_stale => {
                    view.is_stale = true;
                    true
                }
                Update::Here(_) | Update::Closed(_) => false,
            });
        }
    }

    /// Forgets those who watch no more; who is left, by queue.
    fn watched(&self) -> Vec<(Queue, Vec<Ticket>)> {
        let mut hubs = self.hubs();
        hubs.retain(|_, hub| {
            hub.visits.retain(|_, watched| !watched.sender.is_closed());
            !hub.visits.is_empty()
        });
        hubs.values()
            .map(|hub| (hub.queue.clone(), hub.visits.keys().copied().collect()))
            .collect()
    }

    fn hubs(&self) -> MutexGuard<'_, HashMap<QueueId, Hub>> {
        self.hubs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hub {
    fn open(&self) -> usize {
        self.visits
            .values()
            .map(|watched| watched.sender.receiver_count())
            .sum()
    }
}

impl Watched {
    /// Streams that have not ended.
    fn streams(&self) -> usize {
        self.streams.iter().filter(|it| is_open(it)).count()
    }
}

fn is_open(stream: &Weak<Notify>) -> bool {
    stream.strong_count() > 0
}

fn tell(sender: &watch::Sender<Update>, update: Update) {
    sender.send_if_modified(|last| {
        let is_new = *last != update;
        if is_new {
            *last = update;
        }
        is_new
    });
}

/// With two digits: a crowd is not told of each seat that is sold.
fn stock(standing: &Standing, snapshot: &Snapshot) -> Option<(Outlook, u64)> {
    let (outlook, left) = (Outlook::of(standing, snapshot)?, snapshot.remaining?);
    let unit = 10_u64.pow(left.checked_ilog10().unwrap_or(0).saturating_sub(1));
    Some((outlook, left / unit * unit))
}

fn message(snapshot: &Snapshot) -> Option<Arc<str>> {
    snapshot.word().as_deref().map(Arc::from)
}
