//! Owns the rules of a queue: their names, defaults and ranges.
//!
//! A [`Policy`] that was checked is the only kind that reaches Redis, and it is stored as a whole. What a rule may
//! be stands in `plain.rs`, a row each, or in `rate.rs`; `operator.rs` is how rules are changed. `docs/QUEUE.md`
//! lists the places of a new rule.

pub(super) mod operator;
mod plain;
mod rate;
mod written;

use std::borrow::Cow;
use std::str::FromStr;

use chassis::time::{Timestamp, wire_option};
use chrono::SubsecRound;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use rate::{AdmitRate, Auto, SoldOut};
use written::{named, present};

/// `opensAt` lies between the first instants of 2000 and 2200.
const OPENS_AT: (i64, i64) = (946_684_800, 7_258_118_400);

/// Whether visitors may join and enter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = QueueState)]
pub enum State {
    /// Visitors join and are let in by the rules.
    Open,
    /// Visitors join; nobody is let in.
    Paused,
    /// Nobody joins and nobody is let in; who has a place keeps it.
    Closed,
    /// Everybody is let in, whatever `maxActive` and `admitPerSecond` say.
    Bypass,
    /// Visitors join; nobody is let in before `opensAt`, and from then on it is `open`.
    Scheduled,
}

impl State {
    /// The name by which clients and Redis know it.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Open => "open",
            State::Paused => "paused",
            State::Closed => "closed",
            State::Bypass => "bypass",
            State::Scheduled => "scheduled",
        }
    }
}

impl FromStr for State {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "open" => Ok(State::Open),
            "paused" => Ok(State::Paused),
            "closed" => Ok(State::Closed),
            "bypass" => Ok(State::Bypass),
            "scheduled" => Ok(State::Scheduled),
            _ => Err(format!("{name:?} is no state of a queue")),
        }
    }
}

/// In which order visitors enter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = QueueOrder)]
pub enum Order {
    /// First come, first served.
    Fifo,
    /// Drawn by lot among those who came before `opensAt`.
    Lottery,
}

impl Order {
    /// The name by which clients and Redis know it.
    pub fn as_str(self) -> &'static str {
        match self {
            Order::Fifo => "fifo",
            Order::Lottery => "lottery",
        }
    }
}

impl FromStr for Order {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "fifo" => Ok(Order::Fifo),
            "lottery" => Ok(Order::Lottery),
            _ => Err(format!("{name:?} is no order of a queue")),
        }
    }
}

/// The rules of a queue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Policy {
    /// Whether visitors may join and enter, as the operator said.
    pub state: State,
    /// In which order visitors enter.
    pub order: Order,
    /// When a `scheduled` queue opens.
    #[serde(with = "wire_option")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub opens_at: Option<Timestamp>,
    /// Most visitors inside at once.
    pub max_active: u32,
    /// Most visitors let in per second.
    pub admit_per_second: AdmitRate,
    /// Slowest rate that `auto` finds.
    pub auto_min: f64,
    /// Fastest rate that `auto` finds.
    pub auto_max: f64,
    /// The time to the first byte of an answer beyond which `auto` takes the service for too slow, in ms.
    pub target_latency_ms: u32,
    /// How long a visitor who showed up may stay.
    pub lease_seconds: u32,
    /// How long a visitor who was let in has to show up.
    pub claim_seconds: u32,
    /// How long a visit inside may be without a request; `null` for as long as its lease.
    pub idle_seconds: Option<u32>,
    /// Longest line; who comes later is refused.
    pub max_waiting: u32,
    /// What becomes of the queue when nothing is left.
    pub sold_out: SoldOut,
    /// What was left when an operator said it; the service behind may say it anew with every answer.
    pub remaining: Option<u64>,
    /// A word to those who wait.
    pub message: Option<String>,
    /// What is waited for, on the waiting page.
    pub title: Option<String>,
    /// Address of a picture on the waiting page.
    pub logo_url: Option<String>,
    /// Colour of the waiting page.
    pub accent_color: Option<String>,
    /// Where the waiting page leads back to.
    pub home_url: Option<String>,
    /// SHA-256 of the seed that the operator keeps until it is fixed who takes part in the lottery.
    pub seed_commitment: Option<String>,
    /// What public beacon will be added to the seed of the lottery, in words.
    pub beacon: Option<String>,
}

/// What an operator wants to be different; a field that is not named stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, ToSchema)]
#[serde(remote = "Self")]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PolicyChange {
    /// Whether visitors may join and enter. `open` without `opensAt` opens at once.
    #[serde(deserialize_with = "present")]
    pub state: Option<State>,
    /// In which order visitors enter. `lottery` draws among those who came before `opensAt`.
    #[serde(deserialize_with = "present")]
    pub order: Option<Order>,
    /// When the queue opens; `null` takes it back.
    #[serde(deserialize_with = "named")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub opens_at: Option<Option<Timestamp>>,
    /// Most visitors inside at once, 1 to 1,000,000. Lowering it throws nobody out.
    #[schema(minimum = 1, maximum = 1_000_000)]
    #[serde(deserialize_with = "present")]
    pub max_active: Option<i64>,
    /// Most visitors let in per second, 0.001 to 100,000, or `auto`: as many as the service behind bears.
    #[serde(deserialize_with = "present")]
    pub admit_per_second: Option<AdmitRate>,
    /// Slowest rate that `auto` finds, 0.001 to 100,000.
    #[schema(minimum = 0.001, maximum = 100_000)]
    #[serde(deserialize_with = "present")]
    pub auto_min: Option<f64>,
    /// Fastest rate that `auto` finds, 0.001 to 100,000.
    #[schema(minimum = 0.001, maximum = 100_000)]
    #[serde(deserialize_with = "present")]
    pub auto_max: Option<f64>,
    /// `auto` keeps 95 of 100 answers' first bytes within so many milliseconds, 1 to 60,000.
    #[schema(minimum = 1, maximum = 60_000)]
    #[serde(deserialize_with = "present")]
    pub target_latency_ms: Option<i64>,
    /// How long a visitor who showed up may stay, 1 to 86,400.
    #[schema(minimum = 1, maximum = 86_400)]
    #[serde(deserialize_with = "present")]
    pub lease_seconds: Option<i64>,
    /// How long a visitor who was let in has to show up, 1 to 3,600.
    #[schema(minimum = 1, maximum = 3_600)]
    #[serde(deserialize_with = "present")]
    pub claim_seconds: Option<i64>,
    /// A visit without a request for so long is over, 5 to 86,400; `null`, the default, lets it last
    /// as long as its lease.
    #[serde(deserialize_with = "named")]
    #[schema(value_type = Option<i64>, minimum = 5, maximum = 86_400)]
    pub idle_seconds: Option<Option<i64>>,
    /// Longest line, 1 to 10,000,000.
    #[schema(minimum = 1, maximum = 10_000_000)]
    #[serde(deserialize_with = "present")]
    pub max_waiting: Option<i64>,
    /// What becomes of the queue when nothing is left: `close` it until there is something, or `keep` it.
    #[serde(deserialize_with = "present")]
    pub sold_out: Option<SoldOut>,
    /// What is left to sell, 0 to 1,000,000,000, until the service behind says otherwise; `null` takes it
    /// back.
    #[serde(deserialize_with = "named")]
    #[schema(value_type = Option<i64>, minimum = 0, maximum = 1_000_000_000)]
    pub remaining: Option<Option<i64>>,
    /// A word to those who wait, at most 500 characters; `null` takes it back.
    #[serde(deserialize_with = "named")]
    #[schema(value_type = Option<String>, max_length = 500)]
    pub message: Option<Option<String>>,
    /// What is waited for, on the waiting page, at most 100 characters; `null` takes it back.
    #[serde(deserialize_with = "named")]
    #[schema(value_type = Option<String>, max_length = 100)]
    pub title: Option<Option<String>>,
    /// Address of a picture on the waiting page; `null` takes it back.
    #[serde(deserialize_with = "named")]
    #[schema(value_type = Option<String>, max_length = 500)]
    pub logo_url: Option<Option<String>>,
    /// Colour of the waiting page, such as `#1a7f5a`; `null` takes it back.
    #[serde(deserialize_with = "named")]
    #[schema(value_type = Option<String>, pattern = "^#[0-9a-fA-F]{6}$")]
    pub accent_color: Option<Option<String>>,
    /// Where the waiting page leads back to; `null` takes it back.
    #[serde(deserialize_with = "named")]
    #[schema(value_type = Option<String>, max_length = 500)]
    pub home_url: Option<Option<String>>,
    /// SHA-256 of the 64 hex digits of a seed that the operator keeps until it is fixed who takes part
    /// in the lottery, as 64 hex digits; `null` lets the gateway choose and keep one.
    #[serde(deserialize_with = "named")]
    #[schema(value_type = Option<String>, pattern = "^[0-9a-f]{64}$")]
    pub seed_commitment: Option<Option<String>>,
    /// Which public beacon will be added to the seed, such as a round of drand, at most 200
    /// characters; `null` takes it back.
    #[serde(deserialize_with = "named")]
    #[schema(value_type = Option<String>, max_length = 200)]
    pub beacon: Option<Option<String>>,
}

/// A rule that is out of its range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} {must}")]
pub struct PolicyError {
    /// The field as clients name it.
    pub field: &'static str,
    /// What must hold, as the rest of a sentence.
    pub must: Cow<'static, str>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            state: State::Open,
            order: Order::Fifo,
            opens_at: None,
            max_active: 100,
            admit_per_second: AdmitRate::Set(50.0),
            auto_min: 1.0,
            auto_max: 1_000.0,
            target_latency_ms: 500,
            lease_seconds: 420,
            claim_seconds: 60,
            idle_seconds: None,
            max_waiting: 1_000_000,
            sold_out: SoldOut::Keep,
            remaining: None,
            message: None,
            title: None,
            logo_url: None,
            accent_color: None,
            home_url: None,
            seed_commitment: None,
            beacon: None,
        }
    }
}

impl Policy {
    /// The rules after `change`, all checked.
    ///
    /// `open` together with `opensAt` means `scheduled`: after that instant the two are the same.
    pub fn changed(&self, change: &PolicyChange) -> Result<Self, PolicyError> {
        let mut next = self.clone();
        next.change_opening(change);
        next.order = change.order.unwrap_or(next.order);
        next.lottery_has_an_instant(change)?;
        plain::change(&mut next, change);
        rate::change(&mut next, change);
        if let Some(commitment) = &change.seed_commitment {
            next.seed_commitment.clone_from(commitment);
        }
        next.checked()
    }

    /// These rules if all hold, with rates cut to three decimals.
    pub fn checked(mut self) -> Result<Self, PolicyError> {
        rate::check(&mut self)?;
        plain::check_numbers(&self)?;
        ensure(
            self.state != State::Scheduled || self.opens_at.is_some(),
            "opensAt",
            "must be set when state is scheduled",
        )?;
        let (first, last) = OPENS_AT;
        ensure(
            self.opens_at
                .is_none_or(|at| (first..last).contains(&at.timestamp())),
            "opensAt",
            "is an instant between the years 2000 and 2200",
        )?;
        // Instants are shown with milliseconds, and what is shown can be set again.
        self.opens_at = self.opens_at.map(|at| at.trunc_subsecs(3));
        plain::check_texts(&self)?;
        self.lottery_can_be_checked()?;
        Ok(self)
    }

    fn lottery_can_be_checked(&self) -> Result<(), PolicyError> {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let commitment = self.seed_commitment.as_deref();
        ensure(
            commitment.is_none_or(|it| it.len() == 64 && it.bytes().all(is_digit)),
            "seedCommitment",
            "is 64 hex digits in lower case",
        )
    }

    /// What scripts decide by: fields and values of the policy's hash, see `prelude.lua`.
    pub(super) fn script_fields(&self) -> Vec<(&'static str, String)> {
        let opens_at_us = self.opens_at.map(|at| at.timestamp_micros());
        let mut fields = vec![
            ("state", self.state.as_str().to_owned()),
            ("order", self.order.as_str().to_owned()),
            ("opens_at_us", opens_at_us.unwrap_or(0).to_string()),
        ];
        fields.extend(plain::script_fields(self));
        fields.extend(rate::script_fields(self));
        fields
    }

    /// A lottery whose doors were opened early was held then: only who asks for one, or takes the
    /// instant back from one that is to come, must name one.
    fn lottery_has_an_instant(&self, change: &PolicyChange) -> Result<(), PolicyError> {
        let is_open = matches!(self.state, State::Open | State::Bypass);
        let takes_back = change.opens_at == Some(None) && !is_open;
        let is_asked = change.order == Some(Order::Lottery) || takes_back;
        ensure(
            self.order == Order::Fifo || self.opens_at.is_some() || !is_asked,
            "opensAt",
            "must be set when order is lottery",
        )
    }

    fn change_opening(&mut self, change: &PolicyChange) {
        self.state = change.state.unwrap_or(self.state);
        match change.opens_at {
            Some(opens_at) => {
                self.opens_at = opens_at;
                if self.state == State::Open && opens_at.is_some() {
                    self.state = State::Scheduled;
                }
            }
            None if change.state == Some(State::Open) => self.opens_at = None,
            None => {}
        }
    }
}

fn ensure(holds: bool, field: &'static str, must: &'static str) -> Result<(), PolicyError> {
    if holds {
        return Ok(());
    }
    let must = must.into();
    Err(PolicyError { field, must })
}
