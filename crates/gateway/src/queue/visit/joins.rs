//! Owns how joins travel together: users who wait for each other go in one call of the script, which gives tickets in
//! the order of its users. So the order of arrival is the order of places.

use chassis::trace::{Kind, Span};
use redis::{FromRedisValue, ParsingError, Value, from_redis_value};

use super::together::{Flight, Together};
use crate::queue::store::reply::Reply;
use crate::queue::store::script::{self, Priority, StoreError};
use crate::queue::{
    JoinSecret, Joined, Queue, QueueError, Standing, Ticket, UserId, active, refusal,
};

/// Users in one call: a call stands in the way of others for a few milliseconds at most.
const MOST: usize = 500;

pub(in crate::queue) type Outcome = Result<Joined, QueueError>;

/// Users of one queue who join.
pub(in crate::queue) type Joins = Together<Comer, Outcome>;

/// Who joins.
pub(in crate::queue) struct Comer {
    user: UserId,
    /// Proves later that a place that is new is theirs.
    secret: Option<JoinSecret>,
}

/// What the script says of one of those who came.
enum Place {
    /// They took a place behind so many, with this ticket.
    Taken(u64, u64),
    Told(Reply),
}

impl FromRedisValue for Place {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let pair = match &value {
            Value::Array(items) => <&[Value; 2]>::try_from(&items[..]).ok(),
            _ => None,
        };
        if let Some([Value::Int(ahead), Value::Int(ticket)]) = pair {
            let whole = |it: &i64| u64::try_from(*it).map_err(|_| "a place below 0");
            return Ok(Self::Taken(whole(ahead)?, whole(ticket)?));
        }
        from_redis_value(value).map(Self::Told)
    }
}

impl Place {
    fn is_in_line(&self) -> bool {
        match self {
            Self::Taken(..) => true,
            Self::Told(reply) => reply.verdict() == "waiting",
        }
    }
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
        let (outcome, flight) = self.entry.joins.add(Comer { user, secret });
        if let Some(flight) = flight {
            tokio::spawn(self.unpinned().send_joins(flight));
        }
        let dropped = StoreError::Odd("a batch of joins that was dropped");
        self.in_time(async { outcome.await.map_err(|_| dropped)? })
            .await
    }

    async fn send_joins(self, flight: Flight<Comer, Outcome>) {
        while let Some((comers, senders)) = flight.next(MOST) {
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
            return Err(refusal(reply.verdict()));
        }
        self.entry.memory.confirm(&reply)?;
        self.note_over(&reply)?;
        let (epoch, places): (u64, Vec<Place>) = (reply.get("epoch")?, reply.take("places")?);
        if places.len() != comers.len() {
            return Err(StoreError::Odd("a reply of another length").into());
        }
        let each = comers.iter().zip(&places);
        let mut outcomes: Vec<_> = each
            .map(|(comer, place)| self.joined(comer.user, epoch, place))
            .collect();
        let is_anybody_in_line = places.iter().any(Place::is_in_line);
        if is_anybody_in_line && reply.get("room")? {
            self.let_in(&mut outcomes).await;
        }
        Ok(outcomes)
    }

    fn joined(&self, user: UserId, epoch: u64, place: &Place) -> Outcome {
        let ticket = |number| Ticket {
            user,
            number,
            epoch,
        };
        match place {
            Place::Taken(ahead, number) => Ok(Joined {
                ticket: ticket(*number),
                standing: self.in_line(*ahead),
                created: true,
            }),
            Place::Told(reply) => {
                let standing = self.standing_after_join(reply)?;
                Ok(Joined {
                    ticket: ticket(reply.get("ticket")?),
                    standing,
                    created: reply.get("created")?,
                })
            }
        }
    }

    fn standing_after_join(&self, reply: &Reply) -> Result<Standing, QueueError> {
        match reply.verdict() {
            "closed" => Err(QueueError::Closed),
            "full" => {
                let reason: String = reply.get("reason")?;
                let refused = &self.queues.metrics().refused;
                refused.with_label_values(&[&reason]).inc();
                let retry_after = self.snapshot().retry_after();
                Err(QueueError::Full { retry_after })
            }
            _ => self.standing(reply),
        }
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
