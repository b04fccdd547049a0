//! Owns what is known of a queue without asking Redis for each visitor.
//!
//! A snapshot is at most about a second old. Nothing is decided by it that two visitors could
//! race for: it only tells numbers and the rules.

use std::collections::HashMap;
use std::time::Duration;

use chassis::time::Timestamp;
use redis::Value;

use super::StoreError;
use super::lottery::draw::{Draw, Lottery};
use super::measure::flow::Flows;
use super::policy::{Policy, SoldOut, State};
use super::store::reply::Reply;

/// What is said where nothing is left and the operator says nothing.
const SOLD_OUT: &str = "Everything is sold.";

/// A queue at one instant.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// When, by the clock of Redis.
    pub at: Timestamp,
    /// The rules.
    pub policy: Policy,
    /// Counts the changes of the rules; also after removal and loss.
    pub version: u64,
    /// The state in force: what follows from the rules at that instant.
    pub state: State,
    /// Whether the queue was lost, is back, and still waits for those who had a place.
    pub recovering: bool,
    /// Visitors in line, with those who returned.
    pub waiting: u64,
    /// Visitors whose turn came while they were away and who are here again: they enter first.
    pub returned: u64,
    /// Visitors whose turn came while they were away; their places are kept for a while.
    pub parked: u64,
    /// Visitors inside whose lease has not ended.
    pub active: u64,
    /// Visitors let in during the last minute.
    pub admitted_last_minute: u64,
    /// By how many per second the line got shorter at its head during the last minute, or the last
    /// quarter of an hour where that is too little to go by: let in, or passed by because they are
    /// absent. `None` when nobody was.
    pub rate: Option<f64>,
    pub(super) flows: Flows,
    /// Most visitors let in per second: the rate in force.
    pub admit_per_second: f64,
    /// Why the rate is what it is, where it is found; otherwise empty.
    pub rate_reason: String,
    /// What is left to sell, as was last heard.
    pub remaining: Option<u64>,
    /// What was left at most.
    pub(super) stock: u64,
    /// Visitors who bought during this life.
    pub bought: u64,
    /// Up to which distance from the head it is recorded who is there.
    pub near: u64,
    /// Of those in line so many have had to say that they are there, and have.
    pub called: u64,
    /// Which life of the queue this is: µs since 1970 at its begin; tokens carry it.
    pub epoch: u64,
    /// The epoch of its first life: tokens from then on are good.
    pub born: u64,
    /// The highest ticket number given out.
    pub last_ticket: u64,
    /// Visitors who joined during this life.
    pub joined: u64,
    /// Visitors let in during this life.
    pub admitted: u64,
    /// Visitors let in during this life who did not show up.
    pub no_shows: u64,
    /// Visitors let in during this life although one who came later had been let in from the same
    /// line before them: it is never more than 0.
    pub inversions: u64,
    /// Polls at this gateway that came before their time.
    pub early_polls: u64,
    /// Whether Redis knows less of the line than this gateway did when it asked.
    pub(super) behind: bool,
    pub(super) draw: Option<Draw>,
}

/// What Redis says about a queue.
#[derive(Debug)]
pub(super) enum QueueLookup {
    /// It is there.
    Present(Box<Snapshot>),
    /// An operator removed it; its last version.
    Removed(u64),
    /// Redis never heard of it, or lost it.
    Gone,
}

impl Snapshot {
    /// When this life of the queue began.
    pub fn begin(&self) -> Timestamp {
        instant(self.epoch)
    }

    /// Whether nobody is let in although visitors wait: their ETA is not known.
    pub fn paused(&self) -> bool {
        matches!(self.state, State::Paused | State::Closed)
    }

    /// Whether nothing was lost between `known` and this.
    pub(super) fn continues(&self, known: &Self) -> bool {
        !self.behind && self.version >= known.version
    }

    /// A full house in which all places have changed hands, and of which only the flow is known.
    #[cfg(test)]
    pub(super) fn of_flow(policy: Policy, flow: super::measure::flow::Flow) -> Self {
        Self {
            at: Timestamp::default(),
            version: 1,
            state: State::Open,
            recovering: false,
            waiting: 1_000,
            returned: 0,
            parked: 0,
            active: u64::from(policy.max_active),
            admitted_last_minute: flow.admitted,
            rate: flow.rate(),
            flows: Flows::new(flow, flow, &[], &[]),
            admit_per_second: policy.admit_per_second.set().unwrap_or(policy.auto_min),
            rate_reason: String::new(),
            remaining: None,
            stock: 0,
            bought: 0,
            near: 4_096,
            called: 4_096,
            epoch: 1,
            born: 1,
            last_ticket: 1,
            joined: 0,
            admitted: 2 * u64::from(policy.max_active),
            no_shows: 0,
            inversions: 0,
            early_polls: 0,
            behind: false,
            draw: None,
            policy,
        }
    }

    /// What everybody may know of the lottery; none when there is none.
    pub fn lottery(&self) -> Option<Lottery> {
        self.draw.as_ref().map(Draw::public)
    }

    /// Which public beacon is added to the draw, by the name that counts.
    pub fn beacon(&self) -> Option<&str> {
        let draw = self.draw.as_ref()?;
        draw.beacon_of(&self.policy)
    }

    /// A word to those who wait: the operator's, or that nothing is left.
    pub fn word(&self) -> Option<String> {
        let own = self.policy.message.clone();
        own.or_else(|| (self.remaining == Some(0)).then(|| SOLD_OUT.to_owned()))
    }

    /// Whether the queue is closed because nothing is left.
    pub fn is_sold_out(&self) -> bool {
        self.policy.sold_out == SoldOut::Close && self.remaining == Some(0)
    }

    /// When somebody whom a full line refused may try again: one second to a minute.
    pub fn retry_after(&self) -> Duration {
        let seconds = self.rate.map_or(30.0, |rate| (1.0 / rate).clamp(1.0, 60.0));
        Duration::from_secs_f64(seconds.ceil())
    }
}

impl redis::FromRedisValue for QueueLookup {
    fn from_redis_value(value: Value) -> Result<Self, redis::ParsingError> {
        let reply: Reply = redis::from_redis_value(value)?;
        let lookup = match reply.verdict() {
            "removed" => reply.get("version").map(QueueLookup::Removed),
            "gone" => Ok(QueueLookup::Gone),
            _ => present(&reply).map(|it| QueueLookup::Present(Box::new(it))),
        };
        Ok(lookup.map_err(|cause| cause.to_string())?)
    }
}

fn present(reply: &Reply) -> Result<Snapshot, StoreError> {
    let flows = Flows::read(reply)?;
    let now_us: u64 = reply.get("now_us")?;
    let state: String = reply.get("state")?;
    Ok(Snapshot {
        at: instant(now_us),
        policy: policy(reply.get("policy")?)?,
        version: reply.get("version")?,
        state: state.parse().map_err(|_| StoreError::Odd("state"))?,
        recovering: now_us < reply.get("recovers_at")?,
        waiting: reply.get("waiting")?,
        returned: reply.get("returned")?,
        parked: reply.get("parked")?,
        active: reply.get("active")?,
        admitted_last_minute: flows.minute.admitted,
        rate: flows.best().rate(),
        flows,
        admit_per_second: reply.get::<u64>("admit_milli")? as f64 / 1_000.0,
        rate_reason: reply.get("rate_reason")?,
        remaining: reply.get::<String>("remaining")?.parse().ok(),
        stock: reply.get("stock")?,
        bought: reply.get("bought")?,
        near: reply.get("near")?,
        called: reply.get("called")?,
        epoch: reply.get("epoch")?,
        born: reply.get("born")?,
        last_ticket: reply.get("last")?,
        joined: reply.get("joined")?,
        admitted: reply.get("admitted")?,
        no_shows: reply.get("no_shows")?,
        inversions: reply.get("inversions")?,
        early_polls: 0,
        behind: reply.get("behind")?,
        draw: Draw::read(reply)?,
    })
}

/// The policy as it was stored; by an older gateway only in single fields.
fn policy(fields: HashMap<String, String>) -> Result<Policy, StoreError> {
    let odd = |_| StoreError::Odd("a policy that is not ours");
    if let Some(json) = fields.get("json") {
        return serde_json::from_str(json)
            .map_err(|_| StoreError::Odd("a policy that is not ours"));
    }
    let number = |name: &str| fields.get(name).and_then(|it| it.parse::<u32>().ok());
    let opens_at = fields.get("opens_at_us").and_then(|it| it.parse().ok());
    let kept = Policy::default();
    Ok(Policy {
        state: fields
            .get("state")
            .map_or(Ok(kept.state), |it| it.parse().map_err(odd))?,
        order: fields
            .get("order")
            .map_or(Ok(kept.order), |it| it.parse().map_err(odd))?,
        opens_at: opens_at.and_then(Timestamp::from_timestamp_micros),
        max_active: number("max_active").unwrap_or(kept.max_active),
        admit_per_second: number("admit_milli").map_or(kept.admit_per_second, |milli| {
            (f64::from(milli) / 1_000.0).into()
        }),
        lease_seconds: number("lease_seconds").unwrap_or(kept.lease_seconds),
        claim_seconds: number("claim_seconds").unwrap_or(kept.claim_seconds),
        max_waiting: number("max_waiting").unwrap_or(kept.max_waiting),
        message: fields.get("message").cloned(),
        ..kept
    })
}

/// The policy as scripts store it: all of it as JSON, then the fields and values that they read.
pub(super) fn stored(policy: &Policy) -> Result<Vec<String>, StoreError> {
    let json = serde_json::to_string(policy);
    let json = json.map_err(|_| StoreError::Odd("rules that are no JSON"))?;
    let fields = policy.script_fields().into_iter();
    let fields = fields.flat_map(|(name, value)| [name.to_owned(), value]);
    Ok(std::iter::once(json).chain(fields).collect())
}

/// The instant that a script told in µs.
pub(super) fn instant(us: u64) -> Timestamp {
    i64::try_from(us)
        .ok()
        .and_then(Timestamp::from_timestamp_micros)
        .unwrap_or_default()
}
