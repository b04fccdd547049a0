//! Owns the line: who waits, who is inside, and the verbs that change it.
//!
//! Every verb is one atomic script, or one pipeline that only reads, so any number of gateways on
//! one Redis give the same answers. Redis is the only clock. Order is by ticket number, strictly, or
//! by lot for those who came before a lottery. A visitor who is away when their turn comes holds
//! nobody up and keeps their place. Nothing here knows HTTP.
//!
//! Each folder is one idea, with its scripts: `store` reaches Redis, `policy` has the rules and who changes them,
//! `visit` the verbs of visitors, `lottery` the draw, `recovery` what a loss leaves, `measure` what is counted, `eta`
//! what is told about time.

mod error;
pub mod eta;
mod id;
mod lottery;
mod measure;
pub mod policy;
mod queues;
mod recovery;
mod snapshot;
mod store;
mod visit;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chassis::time::Timestamp;
use tokio::time::Instant;

pub use error::QueueError;
use error::refusal;
pub use eta::Forecast;
pub use id::{QueueId, QueueIdInvalid, Ticket, UserId};
use lottery::draw;
pub use lottery::draw::{Drawn, DrawnPage, DrawnPlace, Entry, Lottery, Seed, SeedInvalid};
pub use lottery::settle::{RevealError, Revealed};
pub use measure::buckets::Buckets;
pub use measure::minutes::{MOST_MINUTES, Minute, last_minutes};
pub use measure::rate::Step;
pub use measure::stock::Outlook;
pub use measure::sums::Sums;
use policy::State;
pub use policy::operator::{AuditEntry, AuditPage, Changed, Defined, IfMatch, Rules};
use queues::QueueEntry;
pub use queues::Queues;
pub(crate) use queues::each;
pub use recovery::loss::LOSSES;
pub use snapshot::Snapshot;
pub use store::ready::writable;
use store::reply::Reply;
use store::script::{self, Priority, Store, Verb};
pub use store::script::{StoreError, VERBS};
pub use visit::secret::{JoinSecret, JoinSecretInvalid};

/// One queue, as this gateway sees it. Cheap to clone.
#[derive(Clone)]
pub struct Queue {
    queues: Queues,
    entry: Arc<QueueEntry>,
    /// The snapshot of one request, see [`Queue::pinned`].
    pinned: Option<Arc<Snapshot>>,
    /// When that request began, see `store/deadline.rs`.
    begun: Option<Instant>,
}

/// Where a visit stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// In line.
    Waiting {
        /// Visitors in the line with an earlier place. It never grows. Those whose turn came while they
        /// were away are not counted: they enter first too when they are here again.
        ahead: u64,
    },
    /// In line before the queue opens.
    Scheduled {
        /// Visitors who enter first; `None` before a lottery is drawn.
        ahead: Option<u64>,
        /// When the queue opens.
        opens_at: Timestamp,
    },
    /// Inside.
    Active {
        /// When the lease ends; from that instant on the visit is over.
        until: Timestamp,
    },
}

/// The answer to [`Queue::join`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Joined {
    /// The visit; a token for it proves the place.
    pub ticket: Ticket,
    /// Where it stands.
    pub standing: Standing,
    /// Whether the place is new, or the one that the user had already.
    pub created: bool,
}

/// The answer to [`Queue::leave`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    /// Whether a place inside became free by it.
    pub freed: bool,
}

/// What one [`Queue::admit`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admitted {
    /// When, by the clock of Redis.
    pub at: Timestamp,
    /// Who was let in, with the ticket numbers, in order.
    pub users: Vec<(UserId, u64)>,
    /// Visits whose lease had ended.
    pub ended: u64,
    /// Those of them who never showed up.
    pub no_shows: u64,
    /// Visitors who were passed by because they are absent; their places are kept.
    pub parked: u64,
    /// When the claims of those who were let in end, in µs.
    claim_us: u64,
    /// Whether a draw has to be settled before anybody may enter.
    pub unsettled: bool,
    /// Whether the batch was full: run again at once.
    pub more: bool,
}

impl Queue {
    /// Its name.
    pub fn id(&self) -> &QueueId {
        &self.entry.id
    }

    /// What this gateway knows of it, about a second old at most.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        match &self.pinned {
            Some(snapshot) => Arc::clone(snapshot),
            None => self.entry.snapshot(),
        }
    }

    /// The same queue for one request, which sees one snapshot from its begin to its answer.
    pub fn pinned(&self) -> Self {
        let pinned = Some(self.entry.snapshot());
        Self {
            pinned,
            ..self.clone()
        }
    }

    /// The same queue for what outlives a request, which sees every snapshot.
    pub fn unpinned(&self) -> Self {
        Self {
            pinned: None,
            begun: None,
            ..self.clone()
        }
    }

    /// For how long no admission of this gateway was answered: it let nobody in since.
    pub fn admission_lag(&self) -> Duration {
        let admission_ran_at_ms = self.entry.admission_ran_at_ms.load(Ordering::Relaxed);
        Duration::from_millis(self.store().now_ms().saturating_sub(admission_ran_at_ms))
    }

    /// The poll: as [`Queue::rank`], with what the visitor is told about time by it. Counts if it came
    /// before the time that was told with the one before.
    ///
    /// # Errors
    /// As [`Queue::rank`].
    pub async fn poll(&self, ticket: &Ticket) -> Result<(Standing, Forecast), QueueError> {
        let standing = self.rank(ticket).await?;
        let forecast = Forecast::of(
            &standing,
            ticket.number,
            &self.snapshot(),
            self.store().now(),
        );
        self.count_early_poll(ticket, forecast.pause_ms(0.0));
        Ok((standing, forecast))
    }

    /// Where a visit stands. A visitor who waits is there by it, and returns if they were away.
    ///
    /// One round trip for a visitor who waits, and one more near the head. Only when the line
    /// does not hold this very ticket a script runs, as in [`Queue::show_up`].
    ///
    /// # Errors
    /// `Over`, `Unknown` when the queue was removed, `StoreUnavailable`.
    pub async fn rank(&self, ticket: &Ticket) -> Result<Standing, QueueError> {
        self.in_time(self.read_standing(ticket)).await
    }

    async fn read_standing(&self, ticket: &Ticket) -> Result<Standing, QueueError> {
        let (line, member) = (&self.entry.keys.waiting, ticket.user.member());
        let mut pipe = redis::Pipeline::with_capacity(2);
        pipe.cmd("ZRANK").arg(line).arg(member);
        pipe.cmd("ZSCORE").arg(line).arg(member);
        let (ahead, key): (Option<u64>, Option<i64>) = self.store().ask(&pipe).await?;
        let seen = ahead.zip(key);
        let Some(standing) = seen.and_then(|(ahead, key)| self.standing_of(ticket, ahead, key))
        else {
            // Boxed, as all that is rare, so that the hot future stays small.
            return Box::pin(self.contact(ticket, "poll")).await;
        };
        // Before a draw nobody is near: how long an answer takes must not depend on a lot.
        if let Standing::Waiting { ahead }
        | Standing::Scheduled {
            ahead: Some(ahead), ..
        } = standing
        {
            self.note(ticket, ahead).await?;
        }
        Ok(standing)
    }

    /// Where a visit stands, asked by somebody who is probably inside.
    ///
    /// One round trip of plain commands for a visitor who has shown up already; for all others
    /// [`Queue::show_up`].
    ///
    /// # Errors
    /// As [`Queue::show_up`].
    pub async fn touch(&self, ticket: &Ticket) -> Result<Standing, QueueError> {
        self.in_time(async {
            match self.seen_inside(ticket).await? {
                Some(until_us) => Ok(active(until_us)),
                None => Box::pin(self.contact(ticket, "poll")).await,
            }
        })
        .await
    }

    /// The end of the lease in µs of a visit that is inside, has shown up, and needs not be kept from
    /// idling now.
    ///
    /// A change between two of the commands lets nobody pass: the ticket is read after the lease, so the
    /// lease is that of this visit, or of one before it of the same user. A visitor who entered since has
    /// not shown up, and is told by the script.
    async fn seen_inside(&self, ticket: &Ticket) -> Result<Option<u64>, StoreError> {
        let (keys, member) = (&self.entry.keys, ticket.user.member());
        let mut pipe = redis::Pipeline::with_capacity(4);
        pipe.cmd("ZSCORE").arg(&keys.active).arg(member);
        pipe.cmd("HGET").arg(&keys.tickets).arg(member);
        pipe.cmd("SISMEMBER").arg(&keys.unclaimed).arg(member);
        pipe.cmd("TIME");
        type Seen = (Option<u64>, Option<String>, bool, (u64, u64));
        let (ends_us, inside, is_unclaimed, (seconds, micros)): Seen =
            self.store().ask(&pipe).await?;
        let (Some(ends_us), Some(inside), false) = (ends_us, inside, is_unclaimed) else {
            return Ok(None);
        };
        let now_us = self.store().shifted(seconds * 1_000_000 + micros);
        // As `lanes.lua` writes it: the ticket, and the end of the lease where one may idle.
        let (own, lease_end) = inside.split_once(':').unwrap_or((&inside, ""));
        let lease_end = lease_end.parse().unwrap_or(ends_us);
        let is_this = own.parse() == Ok(ticket.number) && ends_us > now_us;
        let idle_us = self.snapshot().policy.idle_seconds.unwrap_or(0);
        let is_renewed = ends_us >= (now_us + u64::from(idle_us) * 1_000_000).min(lease_end);
        Ok((is_this && is_renewed).then_some(lease_end))
    }

    /// Where a visit stands. A visitor who is inside shows up by it, and the claim lease becomes the
    /// full lease, once. Brings back a visit that Redis lost, and one that
    /// was parked; if there is room it enters at once.
    ///
    /// # Errors
    /// `Over`, `Unknown` when the queue was removed, `StoreUnavailable`.
    pub async fn show_up(&self, ticket: &Ticket) -> Result<Standing, QueueError> {
        self.in_time(Box::pin(self.contact(ticket, "poll"))).await
    }

    /// As [`Queue::rank`] for who is watched by an open stream, which claims nothing: it may have been
    /// opened long ago.
    ///
    /// # Errors
    /// As [`Queue::show_up`].
    pub async fn watch(&self, ticket: &Ticket) -> Result<Standing, QueueError> {
        self.in_time(Box::pin(self.contact(ticket, "watch"))).await
    }

    async fn contact(&self, ticket: &Ticket, proof: &'static str) -> Result<Standing, QueueError> {
        let mut reply = self.ask(&script::TOUCH, ticket, proof).await?;
        if reply.verdict() == "gone" {
            Box::pin(self.queues.revive(&self.entry, Priority::Hot)).await?;
            reply = self.ask(&script::TOUCH, ticket, proof).await?;
        }
        if reply.verdict() == "lost" {
            // Who left or paid before the loss must not be brought back, here or by another token.
            let epoch = reply.get("epoch")?;
            let telling = self.queues.tell_ends(&self.entry, epoch, Priority::Hot);
            Box::pin(telling).await?;
            reply = self.ask(&script::RESTORE, ticket, proof).await?;
            self.note_over(&reply)?;
        }
        let is_poll = proof == "poll";
        let standing = self.standing(&reply)?;
        // Where no place is told yet nobody is let in by asking.
        let is_hidden = matches!(standing, Standing::Scheduled { ahead: None, .. });
        let may_enter = is_poll && !is_hidden;
        if may_enter && reply.get_or_default::<bool>("room")? {
            return Ok(self.admit_if_room(standing, ticket.user).await);
        }
        Ok(standing)
    }

    /// Ends a visit; the second time it changes nothing. A place that is freed is filled at once.
    ///
    /// # Errors
    /// `Unknown` when the queue was removed, `StoreUnavailable`.
    pub async fn leave(&self, ticket: &Ticket) -> Result<Left, QueueError> {
        let left = self.in_time(Box::pin(self.end(ticket))).await?;
        if left.freed {
            // The visitor has left; if this admission fails or is late, the next one lets in.
            let filling = Box::pin(self.run_admission(Priority::Hot, None));
            let _ = self.in_time(filling).await;
        }
        Ok(left)
    }

    async fn end(&self, ticket: &Ticket) -> Result<Left, QueueError> {
        let mut call = self.store().call_knowing(&script::LEAVE, &self.entry);
        call.arg(ticket.user.member()).arg(ticket.number);
        let reply: Reply = self.store().run(Priority::Hot, &call).await?;
        match reply.verdict() {
            "left" => self.note_end(ticket),
            "never" => {}
            // Nobody is in a queue that Redis lost, and this visit shall not come back when it is put back.
            "gone" => {
                self.note_end(ticket);
                return Ok(Left { freed: false });
            }
            other => return Err(refusal(other)),
        }
        let freed = reply.get_or_default("freed")?;
        Ok(Left { freed })
    }

    /// A visit ended here that Redis may not have heard of.
    pub fn note_end(&self, ticket: &Ticket) {
        self.queues.note_end(self.id(), ticket);
    }

    /// Drops leases that ended and lets in as many as may enter now, in ticket order.
    ///
    /// # Errors
    /// `Unknown` when the queue was removed, `StoreUnavailable`.
    pub async fn admit(&self) -> Result<Admitted, QueueError> {
        let mut admitted = self.run_admission(Priority::Background, None).await?.0;
        if admitted.unsettled {
            // As all that is rare.
            admitted.more |= Box::pin(self.settle()).await?;
        }
        Ok(admitted)
    }

    async fn run_admission(
        &self,
        priority: Priority,
        asking: Option<UserId>,
    ) -> Result<(Admitted, Option<Standing>), QueueError> {
        let mut call = self.visitors_call(&script::ADMIT);
        call.arg(asking.as_ref().map_or(&[][..], UserId::member));
        let mut reply: Reply = self.store().run(priority, &call).await?;
        if reply.verdict() == "gone" {
            Box::pin(self.queues.revive(&self.entry, priority)).await?;
            reply = self.store().run(priority, &call).await?;
        }
        if reply.verdict() != "done" {
            return Err(refusal(reply.verdict()));
        }
        self.entry.memory.confirm(&reply)?;
        let asking: Reply = reply.get("asking")?;
        let standing = match asking.verdict() {
            "none" => None,
            _ => Some(self.standing(&asking)?),
        };
        let at_us = reply.get("now_us")?;
        let entered: Vec<(Vec<u8>, u64)> = reply.get("entered")?;
        self.note_admission(at_us, &entered);
        self.note_over(&reply)?;
        let user = |(member, number): (Vec<u8>, u64)| Some((UserId::from_member(&member)?, number));
        let users: Option<Vec<_>> = entered.into_iter().map(user).collect();
        let admitted = Admitted {
            at: snapshot::instant(at_us),
            users: users.ok_or(StoreError::Odd("a visitor who is not a user"))?,
            ended: reply.get("ended")?,
            no_shows: reply.get("no_shows")?,
            parked: reply.get("parked")?,
            claim_us: reply.get("claim_us")?,
            unsettled: reply.get("unsettled")?,
            more: reply.get("more")?,
        };
        Ok((admitted, standing))
    }

    async fn ask(
        &self,
        verb: &'static Verb,
        ticket: &Ticket,
        proof: &'static str,
    ) -> Result<Reply, StoreError> {
        let mut call = self.visitors_call(verb);
        call.arg(proof);
        call.arg(ticket.user.member())
            .arg(ticket.number)
            .arg(ticket.epoch);
        self.store().run(Priority::Hot, &call).await
    }

    /// Where there is room an admission may let in a visitor whose turn has come.
    async fn admit_if_room(&self, standing: Standing, user: UserId) -> Standing {
        match Box::pin(self.run_admission(Priority::Hot, Some(user))).await {
            Ok((_, Some(standing))) => standing,
            // The place is taken; the next admission lets them in.
            Ok((_, None)) | Err(_) => standing,
        }
    }

    fn standing(&self, reply: &Reply) -> Result<Standing, QueueError> {
        match reply.verdict() {
            "waiting" => Ok(self.in_line(reply.get("ahead")?)),
            "undrawn" => Ok(Standing::Scheduled {
                ahead: None,
                opens_at: snapshot::instant(reply.get("opens_at_us")?),
            }),
            "active" => Ok(active(reply.get("until_us")?)),
            other => Err(refusal(other)),
        }
    }

    /// The standing that follows from rank and key in the line, if that is this very ticket's place
    /// and this gateway knows for certain that it may be seen.
    fn standing_of(&self, ticket: &Ticket, ahead: u64, key: i64) -> Option<Standing> {
        let snapshot = self.snapshot();
        let draw = snapshot.draw.as_ref();
        let is_secret = draw.is_some_and(|draw| draw.is_secret(snapshot.policy.order));
        if let Ok(number) = u64::try_from(key) {
            return (number == ticket.number && !is_secret).then(|| self.in_line(ahead));
        }
        let draw = draw.filter(|draw| draw.ticket_at(key) == Some(ticket.number))?;
        if draw.is_held() {
            // A key without a lot is of a draw that was declared since: the script knows.
            return draw::has_lot(key).then(|| self.in_line(ahead));
        }
        let opens_at = snapshot.policy.opens_at.filter(|_| is_secret)?;
        Some(Standing::Scheduled {
            ahead: None,
            opens_at,
        })
    }

    fn in_line(&self, ahead: u64) -> Standing {
        let snapshot = self.snapshot();
        match (snapshot.state, snapshot.policy.opens_at) {
            (State::Scheduled, Some(opens_at)) => Standing::Scheduled {
                ahead: Some(ahead),
                opens_at,
            },
            _ => Standing::Waiting { ahead },
        }
    }

    fn store(&self) -> &Store {
        self.queues.store()
    }
}

fn active(until_us: u64) -> Standing {
    Standing::Active {
        until: snapshot::instant(until_us),
    }
}
