//! Owns what operators do to a queue: define, change, remove, and who did what.
//!
//! A change is written only over the version that it was made from, so two operators at the same
//! time never undo each other unseen, and the record says what really followed what.

use chassis::time::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::{Policy, PolicyChange};
use crate::queue::lottery::draw::Seed;
use crate::queue::queues::Queues;
use crate::queue::snapshot::{self, QueueLookup};
use crate::queue::store::keys::Keys;
use crate::queue::store::reply::Reply;
use crate::queue::store::script::{self, Priority};
use crate::queue::{Queue, QueueError, QueueId, Snapshot, StoreError};

/// How often a change is made again because a gateway elsewhere was faster: here they are made one after
/// the other, so each try that is lost is a change that somebody else made.
const TRIES: usize = 100;

/// The outcome of [`Queues::define`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Defined {
    /// It is new.
    Created,
    /// It was there; what an operator changed stays.
    Present,
    /// An operator removed it; it stays so.
    Removed,
}

/// The outcome of [`Queues::change`].
#[derive(Clone)]
pub struct Changed {
    /// The queue, with the new rules in its snapshot.
    pub queue: Queue,
    /// Whether the queue is new.
    pub created: bool,
    /// The rules after it.
    pub rules: Rules,
}

/// The rules of a queue as they are in Redis, and which they are.
#[derive(Debug, Clone, PartialEq)]
pub struct Rules {
    /// The rules.
    pub policy: Policy,
    epoch: u64,
    version: u64,
}

/// Which rules an operator saw, as `If-Match` says it (RFC 9110, section 13.1.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IfMatch {
    /// Any, but there must be some.
    Any,
    /// Those with one of these tags.
    Tags(Vec<String>),
}

/// Which part of the record is asked for.
#[derive(Debug, Clone, Copy)]
pub struct AuditPage {
    /// Only entries behind this one: [`AuditEntry::mark`] of the last entry of the page before.
    pub older_than: Option<(u64, u64)>,
    /// At most so many.
    pub limit: usize,
}

/// One change of the rules.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditEntry {
    /// Counts the changes of one queue.
    pub version: u64,
    /// When, by the clock of Redis.
    pub at: Timestamp,
    /// Who.
    pub by: String,
    /// The rules until then; none when the queue is new, or was lost and put back.
    pub before: Option<Policy>,
    /// The rules from then on; none when the queue was removed.
    pub after: Option<Policy>,
    /// What followed from the rules by itself, where it is no change of them.
    pub effect: Option<Value>,
}

/// An entry as the scripts write it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    version: u64,
    at_us: u64,
    by: String,
    before: Option<Policy>,
    after: Option<Policy>,
    effect: Option<Value>,
}

impl Queues {
    /// Makes the queue if there is none and none was removed: for queues from configuration.
    ///
    /// # Errors
    /// `Refused`, `StoreUnavailable`.
    pub async fn define(
        &self,
        id: &QueueId,
        policy: Policy,
        by: &str,
    ) -> Result<Defined, QueueError> {
        let policy = policy.checked()?;
        for _ in 0..TRIES {
            match self.lookup_or_revive(id).await? {
                QueueLookup::Present(seen) => {
                    self.remember(id, *seen);
                    return Ok(Defined::Present);
                }
                QueueLookup::Removed(_) => return Ok(Defined::Removed),
                QueueLookup::Gone => {}
            }
            if self.write(id, 0, by, None, &policy).await? {
                self.announce(id).await?;
                return Ok(Defined::Created);
            }
        }
        Err(QueueError::Contended)
    }

    /// Changes the rules, or makes the queue from the defaults with this change.
    ///
    /// In force here at once, and at every gateway after its next refresh; the scripts obey it
    /// from this instant on.
    ///
    /// # Errors
    /// `Refused`, `Contended`, `StoreUnavailable`.
    pub async fn change(
        &self,
        id: &QueueId,
        change: &PolicyChange,
        by: &str,
    ) -> Result<Changed, QueueError> {
        self.change_seen(id, change, by, None).await
    }

    /// As [`Queues::change`], if the rules are still those that the operator saw. The version that is
    /// compared here is the one that is written over, so nobody can come between.
    ///
    /// # Errors
    /// As [`Queues::change`]; `Changed` when they are not.
    pub async fn change_seen(
        &self,
        id: &QueueId,
        change: &PolicyChange,
        by: &str,
        if_match: Option<&IfMatch>,
    ) -> Result<Changed, QueueError> {
        let _alone = self.changing().lock().await;
        for _ in 0..TRIES {
            let (before, version) = match self.lookup_or_revive(id).await? {
                QueueLookup::Present(seen) => (Some(Rules::of(&seen)), seen.version),
                QueueLookup::Removed(version) => (None, version),
                QueueLookup::Gone => (None, 0),
            };
            if if_match.is_some_and(|seen| !seen.holds(before.as_ref())) {
                return Err(QueueError::Changed);
            }
            let before = before.map(|it| it.policy);
            let after = before.clone().unwrap_or_default().changed(change)?;
            let is_same = before.as_ref() == Some(&after);
            if is_same || self.write(id, version, by, before.as_ref(), &after).await? {
                let queue = self.announce(id).await?;
                let rules = Rules::of(&queue.snapshot());
                let created = before.is_none();
                return Ok(Changed {
                    queue,
                    created,
                    rules,
                });
            }
        }
        Err(QueueError::Contended)
    }

    /// The rules as they are in Redis now.
    ///
    /// # Errors
    /// `Unknown`, `StoreUnavailable`.
    pub async fn rules(&self, id: &QueueId) -> Result<Rules, QueueError> {
        match self.lookup_or_revive(id).await? {
            QueueLookup::Present(seen) => Ok(Rules::of(&seen)),
            QueueLookup::Removed(_) | QueueLookup::Gone => Err(QueueError::Unknown),
        }
    }

    /// Ends the queue and every visit in it. What was changed and by whom is kept.
    ///
    /// # Errors
    /// `Unknown` when there is none, `StoreUnavailable`.
    pub async fn remove(&self, id: &QueueId, by: &str) -> Result<(), QueueError> {
        for _ in 0..TRIES {
            let QueueLookup::Present(seen) = self.lookup_or_revive(id).await? else {
                self.forget(id);
                return Err(QueueError::Unknown);
            };
            let mut call = self.store().call(&script::REMOVE, &Keys::of(id));
            call.arg(seen.version)
                .arg(quoted(by))
                .arg(json(&seen.policy)?);
            let reply: Reply = self.store().run(Priority::Background, &call).await?;
            if reply.verdict() == "done" {
                self.forget(id);
                self.name(id, false).await?;
                return Ok(());
            }
        }
        Err(QueueError::Contended)
    }

    /// Records that somebody's key lacked a right, where there is such a queue. One script.
    ///
    /// # Errors
    /// `StoreUnavailable`.
    pub async fn refuse(&self, id: &QueueId, by: &str, right: &str) -> Result<(), QueueError> {
        let mut call = self.store().call(&script::REFUSE, &Keys::of(id));
        call.arg(quoted(by)).arg(right);
        let _: Reply = self.store().run(Priority::Background, &call).await?;
        Ok(())
    }

    /// The changes of the rules, newest first; also of a queue that was removed.
    ///
    /// # Errors
    /// `Unknown` when there never was such a queue, `StoreUnavailable`.
    pub async fn audit(
        &self,
        id: &QueueId,
        page: AuditPage,
    ) -> Result<Vec<AuditEntry>, QueueError> {
        let mut read = redis::cmd("LRANGE");
        read.arg(&Keys::of(id).audit).arg(0).arg(-1);
        let entries: Vec<String> = self.store().command(&read).await?;
        if entries.is_empty() && self.remembered(id).is_none() {
            return Err(QueueError::Unknown);
        }
        let entries = entries.iter().map(|entry| AuditEntry::read(entry));
        let mut entries = entries.collect::<Result<Vec<_>, _>>()?;
        if let Some(last) = page.older_than {
            let at = entries.iter().position(|it| it.mark() == last);
            // One that is kept no more was older than all that are.
            entries.drain(..at.map_or(entries.len(), |at| at + 1));
        }
        entries.truncate(page.limit);
        Ok(entries)
    }

    /// What Redis says, after a queue that this gateway remembers was put back if it was lost.
    async fn lookup_or_revive(&self, id: &QueueId) -> Result<QueueLookup, QueueError> {
        let Some(queue) = self.remembered(id) else {
            return Ok(self.lookup(&Keys::of(id), Priority::Background).await?);
        };
        let seen = self
            .lookup_known(&queue.entry, Priority::Background)
            .await?;
        let is_lost = match &seen {
            QueueLookup::Present(seen) => seen.behind,
            QueueLookup::Gone => true,
            QueueLookup::Removed(_) => false,
        };
        if !is_lost {
            return Ok(seen);
        }
        self.revive(&queue.entry, Priority::Background).await?;
        Ok(self
            .lookup_known(&queue.entry, Priority::Background)
            .await?)
    }

    /// Whether nobody else was faster.
    async fn write(
        &self,
        id: &QueueId,
        version: u64,
        by: &str,
        before: Option<&Policy>,
        after: &Policy,
    ) -> Result<bool, QueueError> {
        let before = before.map_or_else(|| Ok("null".to_owned()), json)?;
        let mut call = self.store().call(&script::CHANGE, &Keys::of(id));
        call.arg(version).arg(quoted(by)).arg(before);
        let draw = match &after.seed_commitment {
            Some(commitment) => commitment.clone(),
            None => Seed::random().promised(),
        };
        call.arg(draw).arg(snapshot::stored(after)?);
        let reply: Reply = self.store().run(Priority::Background, &call).await?;
        Ok(reply.verdict() != "stale")
    }

    /// Makes a queue that was just written known here and to the other gateways.
    async fn announce(&self, id: &QueueId) -> Result<Queue, QueueError> {
        self.name(id, true).await?;
        match self.lookup(&Keys::of(id), Priority::Background).await? {
            QueueLookup::Present(seen) => Ok(self.remember(id, *seen)),
            QueueLookup::Removed(_) | QueueLookup::Gone => Err(QueueError::Unknown),
        }
    }
}

impl Rules {
    fn of(seen: &Snapshot) -> Self {
        Self {
            policy: seen.policy.clone(),
            epoch: seen.epoch,
            version: seen.version,
        }
    }

    /// A strong entity tag: other rules, or the same in another life of the queue, have another.
    pub fn tag(&self) -> String {
        format!("\"{:x}.{}\"", self.epoch, self.version)
    }
}

impl IfMatch {
    /// From the value of the header. Weak tags match nothing.
    pub fn of(value: &str) -> Self {
        match value.trim() {
            "*" => Self::Any,
            tags => Self::Tags(tags.split(',').map(|tag| tag.trim().to_owned()).collect()),
        }
    }

    fn holds(&self, rules: Option<&Rules>) -> bool {
        match (self, rules) {
            (_, None) => false,
            (Self::Any, Some(_)) => true,
            (Self::Tags(tags), Some(rules)) => tags.contains(&rules.tag()),
        }
    }
}

impl AuditEntry {
    fn read(entry: &str) -> Result<Self, QueueError> {
        let entry: Entry = serde_json::from_str(entry)
            .map_err(|_| StoreError::Odd("an entry of the audit list that is not ours"))?;
        Ok(Self {
            version: entry.version,
            at: snapshot::instant(entry.at_us),
            by: entry.by,
            before: entry.before,
            after: entry.after,
            effect: entry.effect,
        })
    }

    /// Which entry it is: its version and its instant in µs.
    pub fn mark(&self) -> (u64, u64) {
        let at_us = u64::try_from(self.at.timestamp_micros()).unwrap_or(0);
        (self.version, at_us)
    }
}

/// The rules as the record keeps them.
fn json(policy: &Policy) -> Result<String, StoreError> {
    serde_json::to_string(policy).map_err(|_| StoreError::Odd("rules that are no JSON"))
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
