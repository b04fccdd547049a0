//! Owns the one way from a request to the verbs of a visitor: a permit, the verb, and the memory of who
//! is inside, together.
//!
//! No handler takes one of them without the others. While Redis answers, only Redis decides; what is
//! remembered is looked at only after a call failed.

use chassis::time::Clock;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::admitted_cache::AdmittedCache;
use crate::queue::{Forecast, JoinSecret, Queue, QueueError, Standing, Ticket, UserId};

/// Requests that ask Redis at the same time. More would not be answered sooner, and the time that an
/// answer may take would run while they wait for each other.
const PERMITS: usize = 256;

/// A visit as one request sees it.
#[derive(Clone)]
pub struct Visit {
    /// The queue, with the snapshot of this request.
    pub queue: Queue,
    /// What the token proves.
    pub ticket: Ticket,
    /// Where it stands.
    pub standing: Standing,
    /// What the visitor is told about time.
    pub forecast: Forecast,
}

/// The answer to [`Visits::join`].
pub struct JoinedVisit {
    /// The visit.
    pub visit: Visit,
    /// Whether the place is new, or the one that the user had already.
    pub created: bool,
    /// As this request asks it.
    queue: Queue,
}

impl JoinedVisit {
    /// Whether the place was joined with this secret.
    ///
    /// # Errors
    /// `StoreUnavailable`.
    pub async fn is_of(&self, secret: &JoinSecret) -> Result<bool, QueueError> {
        self.queue.is_secret(&self.visit.ticket, secret).await
    }
}

/// Visitors' verbs for all handlers.
pub struct Visits {
    permits: Semaphore,
    admitted: AdmittedCache,
    clock: Clock,
}

impl Visits {
    /// Nobody was seen inside yet.
    pub fn new(clock: Clock) -> Self {
        Self {
            permits: Semaphore::new(PERMITS),
            admitted: AdmittedCache::default(),
            clock,
        }
    }

    /// Takes a place, or finds the one that the user has; `secret` proves later that a new one is theirs.
    ///
    /// `ticket` is one that the user proved: where Redis lost it, it is brought back before. Without one
    /// that is no round trip more.
    ///
    /// # Errors
    /// Those of [`Queue::join`]; `Over` for a visit that ended here and Redis has not heard of it.
    pub async fn join(
        &self,
        queue: &Queue,
        user: UserId,
        ticket: Option<Ticket>,
        secret: Option<JoinSecret>,
    ) -> Result<JoinedVisit, QueueError> {
        let (_permit, queue) = self.turn(queue).await;
        if let Some(ticket) = ticket {
            // A new place would be behind all others, and the end of the old one.
            Box::pin(bring_back(&queue, &ticket)).await?;
        }
        let joined = queue.join_with(user, secret).await?;
        let standing = self.record(&queue, &joined.ticket, Ok(joined.standing))?;
        Ok(JoinedVisit {
            visit: self.visit(&queue, joined.ticket, standing),
            created: joined.created,
            queue,
        })
    }

    /// The poll of one's own place.
    ///
    /// # Errors
    /// As [`Visits::rank`].
    pub async fn poll(&self, queue: &Queue, ticket: Ticket) -> Result<Visit, QueueError> {
        let (_permit, queue) = self.turn(queue).await;
        let (said, forecast) = match queue.poll(&ticket).await {
            Ok((standing, forecast)) => (Ok(standing), Some(forecast)),
            Err(cause) => (Err(cause), None),
        };
        let standing = self.record(&queue, &ticket, said)?;
        Ok(match forecast {
            Some(forecast) => Visit {
                queue: queue.answered(),
                ticket,
                standing,
                forecast,
            },
            None => self.visit(&queue, ticket, standing),
        })
    }

    /// Where a visit stands, by a request that is no poll.
    ///
    /// # Errors
    /// Those of [`Queue::rank`]; `Over` for a visit that ended here and Redis has not heard of it.
    pub async fn rank(&self, queue: &Queue, ticket: Ticket) -> Result<Visit, QueueError> {
        let (_permit, queue) = self.turn(queue).await;
        let said = queue.rank(&ticket).await;
        let standing = self.record(&queue, &ticket, said)?;
        Ok(self.visit(&queue, ticket, standing))
    }

    /// As [`Visits::rank`], for a request that passes to the upstream: while Redis does not answer, who
    /// was seen inside goes on until the lease ends that was seen.
    ///
    /// # Errors
    /// As [`Visits::rank`].
    pub async fn pass(
        &self,
        queue: &Queue,
        ticket: Ticket,
        is_for_active: bool,
    ) -> Result<Visit, QueueError> {
        let (permit, queue) = self.turn(queue).await;
        let said = if is_for_active {
            queue.touch(&ticket).await
        } else {
            queue.rank(&ticket).await
        };
        drop(permit);
        let standing = match self.record(&queue, &ticket, said) {
            Err(QueueError::StoreUnavailable(cause)) => self
                .admitted
                .get(&queue, &ticket, self.clock.now())
                .ok_or(QueueError::StoreUnavailable(cause))?,
            said => said?,
        };
        Ok(self.visit(&queue, ticket, standing))
    }

    /// Ends a visit.
    ///
    /// # Errors
    /// Those of [`Queue::leave`]; the visit has ended here all the same.
    pub async fn leave(&self, queue: &Queue, ticket: &Ticket) -> Result<(), QueueError> {
        let (_permit, queue) = self.turn(queue).await;
        self.admitted.leave(&queue, ticket).await
    }

    /// Ends a visit whose visitor will not ask twice. If Redis cannot hear of it now it will later.
    pub async fn release(&self, queue: &Queue, ticket: &Ticket) {
        self.admitted.release(queue, ticket).await;
    }

    /// Step: tells Redis of the visits that ended while it was away.
    ///
    /// # Errors
    /// `StoreUnavailable`: what could not be told is told at the next trigger.
    pub async fn settle(&self) -> Result<(), QueueError> {
        self.admitted.settle().await
    }

    /// Requests that have a permit.
    pub fn permits_in_use(&self) -> usize {
        PERMITS - self.permits.available_permits()
    }

    /// A permit, in the order of arrival, and the queue with the deadline that follows from the wait.
    async fn turn(&self, queue: &Queue) -> (Option<SemaphorePermit<'_>>, Queue) {
        match self.permits.try_acquire() {
            Ok(permit) => (Some(permit), queue.clone()),
            Err(_) => {
                // It is never closed.
                let permit = self.permits.acquire().await.ok();
                (permit, queue.after_turn())
            }
        }
    }

    fn record(
        &self,
        queue: &Queue,
        ticket: &Ticket,
        said: Result<Standing, QueueError>,
    ) -> Result<Standing, QueueError> {
        self.admitted.record(queue, ticket, said, self.clock.now())
    }

    /// A visit that stands so.
    pub fn visit(&self, queue: &Queue, ticket: Ticket, standing: Standing) -> Visit {
        let forecast = Forecast::of(
            &standing,
            ticket.number,
            &queue.snapshot(),
            self.clock.now(),
        );
        Visit {
            queue: queue.answered(),
            ticket,
            standing,
            forecast,
        }
    }
}

/// Brings back what Redis lost of a visit. Like a join it claims nothing.
///
/// # Errors
/// Those of [`Queue::watch`], but for a visit that is over.
async fn bring_back(queue: &Queue, ticket: &Ticket) -> Result<(), QueueError> {
    match queue.watch(ticket).await {
        Ok(_) | Err(QueueError::Over | QueueError::Idle) => Ok(()),
        Err(other) => Err(other),
    }
}
