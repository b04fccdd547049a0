//! How much of the price comes back, by the time that is left before the show.

use chassis::time::Timestamp;
use chrono::TimeDelta;

use crate::schema::schedules;

/// The rules of a date: all until one instant, a share until another, then nothing. The default is all until the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RefundRules {
    /// Until so many seconds before the start all comes back.
    pub full_until_s: u32,
    /// From then until so many seconds before the start a share comes back.
    pub share_until_s: u32,
    /// How much that is, in percent.
    pub share_percent: u16,
}

/// The rules do not fit together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the share follows the full refund and is 0 to 100 percent")]
pub struct RulesInvalid;

/// What the rules say at one instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// So many percent of the price come back; at least one.
    Percent(u16),
    /// It is too late for any.
    Nothing,
    /// The show has started.
    Started,
}

impl RefundRules {
    /// Rules that fit together.
    pub fn checked(self) -> Result<Self, RulesInvalid> {
        let sound = self.share_until_s <= self.full_until_s && self.share_percent <= 100;
        if sound { Ok(self) } else { Err(RulesInvalid) }
    }

    /// What comes back at `now` for a show that starts at `starts_at`.
    pub fn share_at(self, starts_at: Timestamp, now: Timestamp) -> Share {
        if starts_at <= now {
            return Share::Started;
        }
        match self.promise(starts_at).percent_at(now) {
            0 => Share::Nothing,
            percent => Share::Percent(percent),
        }
    }

    /// What they say for a show that starts at `starts_at`.
    pub(crate) fn promise(self, starts_at: Timestamp) -> Promise {
        let before = |seconds: u32| starts_at - TimeDelta::seconds(seconds.into());
        Promise {
            full_until: before(self.full_until_s),
            share_until: before(self.share_until_s),
            share_percent: self.share_percent,
        }
    }
}

/// The rules as instants: what is kept of them with a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Promise {
    /// Until then all comes back.
    pub(crate) full_until: Timestamp,
    /// From then until this instant a share comes back.
    pub(crate) share_until: Timestamp,
    /// How much that is, in percent.
    pub(crate) share_percent: u16,
}

impl Promise {
    /// So many percent of the price come back at `now`.
    pub(crate) fn percent_at(self, now: Timestamp) -> u16 {
        if now < self.full_until {
            100
        } else if now < self.share_until {
            self.share_percent
        } else {
            0
        }
    }
}

/// So many percent of a price in whole minor units, rounded in favour of the buyer.
pub(crate) fn percent_of(price: i64, percent: u16) -> i64 {
    // Prices are at most 10^8 and reservations have at most 50 seats, so nothing overflows.
    (price * i64::from(percent) + 99) / 100
}

/// The columns that hold the rules.
pub(super) type Columns = (
    schedules::refund_full_until_s,
    schedules::refund_share_until_s,
    schedules::refund_share_percent,
);

/// The same as values.
pub(crate) fn columns() -> Columns {
    (
        schedules::refund_full_until_s,
        schedules::refund_share_until_s,
        schedules::refund_share_percent,
    )
}

impl From<(u32, u32, u16)> for RefundRules {
    fn from((full_until_s, share_until_s, share_percent): (u32, u32, u16)) -> Self {
        Self {
            full_until_s,
            share_until_s,
            share_percent,
        }
    }
}

#[cfg(test)]
mod tests {
    use chassis::time::Clock;
    use chrono::TimeDelta;

    use super::{RefundRules, Share, percent_of};

    #[test]
    fn all_then_a_share_then_nothing() {
        let rules = RefundRules {
            full_until_s: 100,
            share_until_s: 10,
            share_percent: 50,
        };
        let starts_at = Clock::system().now();
        let share = |left_s| rules.share_at(starts_at, starts_at - TimeDelta::seconds(left_s));
        assert_eq!(share(101), Share::Percent(100));
        assert_eq!(
            (share(100), share(11)),
            (Share::Percent(50), Share::Percent(50))
        );
        assert_eq!((share(10), share(1)), (Share::Nothing, Share::Nothing));
        assert_eq!((share(0), share(-1)), (Share::Started, Share::Started));
        let default = RefundRules::default();
        let last = starts_at - TimeDelta::microseconds(1);
        assert_eq!(default.share_at(starts_at, last), Share::Percent(100));
    }

    #[test]
    fn a_share_is_rounded_in_favour_of_the_buyer() {
        assert_eq!((percent_of(101, 50), percent_of(100, 50)), (51, 50));
        assert_eq!(
            (percent_of(1, 1), percent_of(0, 50), percent_of(7, 100)),
            (1, 0, 7)
        );
    }
}
