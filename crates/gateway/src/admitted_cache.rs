//! Owns what this gateway remembers of those who are inside, for when Redis cannot be asked.
//!
//! While Redis answers, only Redis decides, and nothing of this is looked at. While it does not,
//! a visitor whom this gateway has seen inside may go on until the lease ends that it saw. Whose
//! visit ended here meanwhile does not pass, and Redis hears of it as soon as it can. Bounded:
//! a visitor who finds no room in this memory is treated like a stranger.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chassis::time::Timestamp;

use crate::queue::{Queue, QueueError, QueueId, Standing, Ticket};

/// About 10 MB.
const MOST_SEEN: usize = 100_000;
/// Visits that ended while Redis was away; those beyond wait for the end of their lease.
const MOST_ENDED: usize = 10_000;

type Visit = (QueueId, Ticket);

/// Who was seen inside. Empty at first.
#[derive(Default)]
pub struct AdmittedCache {
    seen: Mutex<HashMap<Visit, Timestamp>>,
    ended: Mutex<HashMap<Visit, Queue>>,
}

impl AdmittedCache {
    /// Remembers what the queue `said` of a visit, and passes it on.
    ///
    /// # Errors
    /// What the queue said; `Over` for a visit that ended here and Redis has not heard of it.
    pub fn record(
        &self,
        queue: &Queue,
        ticket: &Ticket,
        said: Result<Standing, QueueError>,
        now: Timestamp,
    ) -> Result<Standing, QueueError> {
        let visit = (queue.id().clone(), *ticket);
        let ended = lock(&self.ended);
        if !ended.is_empty() && ended.contains_key(&visit) {
            return Err(QueueError::Over);
        }
        drop(ended);
        let mut seen = lock(&self.seen);
        match said {
            Ok(Standing::Active { until }) => {
                remember(&mut seen, visit, until, now);
                Ok(Standing::Active { until })
            }
            Err(QueueError::StoreUnavailable(_)) => said,
            other => {
                if !seen.is_empty() {
                    seen.remove(&visit);
                }
                other
            }
        }
    }

    /// Until when a visit may go on while the queue cannot speak.
    pub fn get(&self, queue: &Queue, ticket: &Ticket, now: Timestamp) -> Option<Standing> {
        let seen = lock(&self.seen);
        let until = *seen.get(&(queue.id().clone(), *ticket))?;
        (until > now).then_some(Standing::Active { until })
    }

    /// Ends a visit here and in the queue.
    ///
    /// # Errors
    /// Those of [`Queue::leave`]; the visit has ended here all the same.
    pub async fn leave(&self, queue: &Queue, ticket: &Ticket) -> Result<(), QueueError> {
        let visit = (queue.id().clone(), *ticket);
        lock(&self.seen).remove(&visit);
        queue.leave(ticket).await?;
        lock(&self.ended).remove(&visit);
        Ok(())
    }

    /// Ends a visit whose visitor will not ask twice. If Redis cannot hear of it now it will later.
    pub async fn release(&self, queue: &Queue, ticket: &Ticket) {
        let Err(cause) = self.leave(queue, ticket).await else {
            return;
        };
        log::warn!("a place of {} is freed later: {cause}", queue.id());
        queue.note_end(ticket);
        let mut ended = lock(&self.ended);
        if ended.len() < MOST_ENDED {
            ended.insert((queue.id().clone(), *ticket), queue.unpinned());
        }
    }

    /// Step: tells Redis of the visits that ended while it was away.
    ///
    /// # Errors
    /// `StoreUnavailable`: what could not be told is told at the next trigger.
    pub async fn settle(&self) -> Result<(), QueueError> {
        let ended: Vec<_> = lock(&self.ended).clone().into_iter().collect();
        let mut outcome = Ok(());
        for ((_, ticket), queue) in ended {
            match self.leave(&queue, &ticket).await {
                Ok(()) => {}
                // On a cluster others may be told all the same; where nobody can, all but one are refused at once.
                Err(cause @ QueueError::StoreUnavailable(_)) => outcome = Err(cause),
                // The queue is gone, and its places with it.
                Err(_) => {
                    lock(&self.ended).remove(&(queue.id().clone(), ticket));
                }
            }
        }
        outcome
    }
}

fn remember(seen: &mut HashMap<Visit, Timestamp>, visit: Visit, until: Timestamp, now: Timestamp) {
    if seen.len() >= MOST_SEEN && !seen.contains_key(&visit) {
        seen.retain(|_, until| *until > now);
    }
    if seen.len() < MOST_SEEN || seen.contains_key(&visit) {
        seen.insert(visit, until);
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
