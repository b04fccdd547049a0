//! Owns how joins travel together: while one call of a queue is in flight in a worker, users who arrive
//! wait for it and go in the next one, in the order in which they arrived.
//!
//! An idle worker adds no delay: the first to arrive goes at once and alone. The script gives tickets in
//! the order of its users, so the order of arrival is the order of places.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chassis::trace::{Kind, Span};
use thread_local::ThreadLocal;
use tokio::sync::oneshot;

use super::reply::Reply;
use super::script::{self, Priority, StoreError};
use super::{JoinSecret, Joined, Queue, QueueError, Standing, Ticket, UserId, active};

/// Users in one call: a call stands in the way of others for a few milliseconds at most.
const MOST: usize = 500;

type Outcome = Result<Joined, QueueError>;

/// Users of one queue who wait, in each worker.
#[derive(Default)]
pub(super) struct Joins(ThreadLocal<Arc<Mutex<Batch>>>);

#[derive(Default)]
struct Batch {
    /// Whether a call is in flight; its task takes the next batch.
    is_in_flight: bool,
    waiting: Vec<(Comer, oneshot::Sender<Outcome>)>,
}

/// Who joins.
struct Comer {
    user: UserId,
    /// Proves later that a place that is new is theirs.
    secret: Option<JoinSecret>,
}

impl Queue {
    /// Takes a place for `user`, or finds the one they have. It proves their presence for ten seconds.
    ///
    /// Who finds room is inside at once and has `claimSeconds` to come again, like everybody else.
    ///
    /// # Errors
    /// `Closed`, `Full`, `Unknown` when the queue was removed, `StoreUnavailable`.
    pub async fn join(&self, user: UserId) -> Result<Joined, QueueError> {
        self.join_with(user, None).await
    }

    /// As [`Queue::join`]; a place that is new can be proven with `secret` later.
    ///
    /// # Errors
    /// As [`Queue::join`].
    pub async fn join_with(
        &self,
        user: UserId,
        secret: Option<JoinSecret>,
    ) -> Result<Joined, QueueError> {
        // The call itself is of many, each of whom waits for it.
        let _waiting = Span::begin(Kind::Client, || "redis join");
        let (sender, outcome) = oneshot::channel();
        let batch = Arc::clone(self.entry.joins.0.get_or_default());
        let is_first = {
            let mut batch = lock(&batch);
            batch.waiting.push((Comer { user, secret }, sender));
            !mem::replace(&mut batch.is_in_flight, true)
        };
        if is_first {
            // A task of its own, so that a caller who gives up does not end the batch of others.
            tokio::spawn(self.unpinned().send_batches(batch));
        }
        let dropped = StoreError::Odd("a batch of joins that was dropped");
        self.in_time(async { outcome.await.map_err(|_| dropped)? })
            .await
    }

    async fn send_batches(self, batch: Arc<Mutex<Batch>>) {
        loop {
            let (comers, senders): (Vec<_>, Vec<_>) = {
                let mut batch = lock(&batch);
                let many = batch.waiting.len().min(MOST);
                if many == 0 {
                    batch.is_in_flight = false;
                    return;
                }
                batch.waiting.drain(..many).unzip()
            };
            match self.join_all(&comers).await {
                Ok(outcomes) => {
                    for (sender, outcome) in senders.into_iter().zip(outcomes) {
                        // Who gave up has a place, and finds it when they join again.
                        let _ = sender.send(outcome);
                    }
                }
                Err(cause) => {
                    for sender in senders {
                        let _ = sender.send(Err(cause.shared()));
                    }
                }
            }
        }
    }

    async fn join_all(&self, comers: &[Comer]) -> Result<Vec<Outcome>, QueueError> {
        let mut reply = self.join_once(comers).await?;
        if reply.verdict() == "gone" {
            self.queues.revive(&self.entry, Priority::Hot).await?;
            reply = self.join_once(comers).await?;
        }
        if reply.verdict() != "joined" {
            return Err(super::refusal(reply.verdict()));
        }
        self.entry.memory.confirm(&reply)?;
        let (epoch, places): (u64, Vec<Reply>) = (reply.get("epoch")?, reply.get("places")?);
        if places.len() != comers.len() {
            return Err(StoreError::Odd("a reply of another length").into());
        }
        let each = comers.iter().zip(&places);
        let mut outcomes: Vec<_> = each
            .map(|(comer, place)| self.joined(comer.user, epoch, place))
            .collect();
        let is_anybody_in_line = places.iter().any(|place| place.verdict() == "waiting");
        if is_anybody_in_line && reply.get("room")? {
            self.let_in(&mut outcomes).await;
        }
        Ok(outcomes)
    }

    fn joined(&self, user: UserId, epoch: u64, place: &Reply) -> Outcome {
        let standing = match place.verdict() {
            "closed" => return Err(QueueError::Closed),
            "full" => {
                let reason: String = place.get("reason")?;
                let refused = &self.queues.metrics().refused;
                refused.with_label_values(&[&reason]).inc();
                let retry_after = self.snapshot().retry_after();
                return Err(QueueError::Full { retry_after });
            }
            _ => self.standing(place)?,
        };
        let number = place.get("ticket")?;
        Ok(Joined {
            ticket: Ticket {
                user,
                number,
                epoch,
            },
            standing,
            created: place.get("created")?,
        })
    }

    /// Where there is room an admission may let in some of those who joined. If it fails, the next one
    /// does.
    async fn let_in(&self, outcomes: &mut [Outcome]) {
        let Ok((admitted, _)) = self.run_admission(Priority::Hot, None).await else {
            return;
        };
        for joined in outcomes.iter_mut().flatten() {
            let is_in_line = !matches!(joined.standing, Standing::Active { .. });
            let entry = (joined.ticket.user, joined.ticket.number);
            if is_in_line && admitted.users.contains(&entry) {
                joined.standing = active(admitted.claim_us);
            }
        }
    }

    async fn join_once(&self, comers: &[Comer]) -> Result<Reply, StoreError> {
        let mut call = self.visitors_call(&script::JOIN);
        call.arg(comers.len());
        for comer in comers {
            call.arg(comer.user.member());
        }
        for (number, comer) in (1_u64..).zip(comers) {
            if let Some(secret) = &comer.secret {
                call.arg(number).arg(self.entry.keys.secret(&comer.user));
                call.arg(secret.kept());
            }
        }
        self.store().run(Priority::Hot, &call).await
    }
}

fn lock(batch: &Mutex<Batch>) -> MutexGuard<'_, Batch> {
    batch.lock().unwrap_or_else(PoisonError::into_inner)
}
