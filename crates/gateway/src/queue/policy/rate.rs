//! How fast a queue lets in, and what becomes of it when there is nothing left: what an operator may say.

use std::fmt;

use serde::de::{Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use super::{Policy, PolicyChange, PolicyError, ensure};

/// Slowest and fastest admission. The scripts count in thousandths, exactly, within these.
const PER_SECOND: (f64, f64) = (0.001, 100_000.0);
/// More than any sale has.
const MOST_REMAINING: u64 = 1_000_000_000;

/// How many visitors are let in per second at most: a number, or `auto`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
#[serde(untagged)]
pub enum AdmitRate {
    /// So many; kept to three decimals.
    Set(f64),
    /// As many as the service behind can bear, found by its answers.
    Found(Auto),
}

/// The word for a rate that is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Auto {
    /// It is found.
    Auto,
}

/// What becomes of a queue when nothing is left to sell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SoldOut {
    /// It is closed until there is something again.
    Close,
    /// It goes on.
    #[default]
    Keep,
}

impl AdmitRate {
    /// A rate that is found.
    pub const AUTO: Self = Self::Found(Auto::Auto);

    /// Whether it is found.
    pub fn is_found(self) -> bool {
        self == Self::AUTO
    }

    /// What was set.
    pub fn set(self) -> Option<f64> {
        match self {
            Self::Set(per_second) => Some(per_second),
            Self::Found(_) => None,
        }
    }
}

impl Policy {
    /// The best rate that the rules allow, in visitors per second.
    pub(in crate::queue) fn best_per_second(&self) -> f64 {
        self.admit_per_second.set().unwrap_or(self.auto_max)
    }
}

impl From<f64> for AdmitRate {
    fn from(per_second: f64) -> Self {
        Self::Set(per_second)
    }
}

impl<'de> Deserialize<'de> for AdmitRate {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either;

        impl Visitor<'_> for Either {
            type Value = AdmitRate;

            fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
                to.write_str("a number, or \"auto\"")
            }

            fn visit_f64<E>(self, number: f64) -> Result<AdmitRate, E> {
                Ok(AdmitRate::Set(number))
            }

            fn visit_u64<E>(self, number: u64) -> Result<AdmitRate, E> {
                Ok(AdmitRate::Set(number as f64))
            }

            fn visit_i64<E>(self, number: i64) -> Result<AdmitRate, E> {
                Ok(AdmitRate::Set(number as f64))
            }

            fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<AdmitRate, E> {
                match word {
                    "auto" => Ok(AdmitRate::AUTO),
                    _ => Err(E::invalid_value(Unexpected::Str(word), &self)),
                }
            }
        }

        from.deserialize_any(Either)
    }
}

/// Puts what was named in place.
pub(super) fn change(policy: &mut Policy, change: &PolicyChange) {
    policy.admit_per_second = change.admit_per_second.unwrap_or(policy.admit_per_second);
    policy.auto_min = change.auto_min.unwrap_or(policy.auto_min);
    policy.auto_max = change.auto_max.unwrap_or(policy.auto_max);
    policy.sold_out = change.sold_out.unwrap_or(policy.sold_out);
    if let Some(remaining) = change.remaining {
        policy.remaining = remaining.map(|it| u64::try_from(it).unwrap_or(u64::MAX));
    }
}

/// Whether all of it holds; rates are cut to three decimals.
pub(super) fn check(policy: &mut Policy) -> Result<(), PolicyError> {
    let (slowest, fastest) = PER_SECOND;
    let cut = |rate: f64, field: &'static str| {
        let must = "is a number from 0.001 to 100000";
        ensure((slowest..=fastest).contains(&rate), field, must)?;
        Ok(milli(rate) as f64 / 1_000.0)
    };
    if let AdmitRate::Set(rate) = policy.admit_per_second {
        let rate = cut(rate, "admitPerSecond")?;
        policy.admit_per_second = AdmitRate::Set(rate);
    }
    policy.auto_min = cut(policy.auto_min, "autoMin")?;
    policy.auto_max = cut(policy.auto_max, "autoMax")?;
    let is_range = policy.auto_min <= policy.auto_max;
    ensure(is_range, "autoMin", "is not more than autoMax")?;
    let is_count = policy.remaining.is_none_or(|it| it <= MOST_REMAINING);
    ensure(
        is_count,
        "remaining",
        "is a whole number from 0 to 1000000000",
    )
}

/// What scripts decide by.
pub(super) fn script_fields(policy: &Policy) -> Vec<(&'static str, String)> {
    let mut fields = Vec::new();
    let per_second = policy.admit_per_second.set();
    let at_least = per_second.unwrap_or(policy.auto_min);
    fields.push(("admit_milli", milli(at_least).to_string()));
    if per_second.is_none() {
        fields.push(("auto_min_milli", milli(policy.auto_min).to_string()));
        fields.push(("auto_max_milli", milli(policy.auto_max).to_string()));
    }
    if policy.sold_out == SoldOut::Close {
        fields.push(("sold_out", "close".to_owned()));
    }
    if let Some(remaining) = policy.remaining {
        fields.push(("remaining", remaining.to_string()));
    }
    fields
}

/// A rate in whole thousandths, never more than was asked for.
fn milli(per_second: f64) -> u64 {
    // A thousandth such as 0.29 is not exact in binary: the hair's breadth keeps it 290.
    (per_second * 1_000.0 + 1e-6) as u64
}
