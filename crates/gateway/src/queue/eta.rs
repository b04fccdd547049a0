//! Owns what a visitor is told about time: how long it may take, and when to ask again.
//!
//! Pure functions of a snapshot. A range and not a number: nobody knows how long others stay.

use chassis::time::Timestamp;

use super::policy::State;
use super::{Snapshot, Standing};
use wait::{Wait, freed_per_second, turn, wait};

mod promises;
mod wait;

/// Shortest pause between two polls.
const POLL_MIN_MS: f64 = 1_000.0;
/// Longest pause between two polls, deep in a line whose speed is known.
const POLL_MAX_MS: f64 = 300_000.0;
/// Longest pause where the speed is not known or the visitor is inside.
const POLL_BLIND_MS: f64 = 30_000.0;
/// Where the speed is not known, a pause grows by so much for each visitor ahead.
const BLIND_MS: f64 = 20.0;
/// Jitter is this part of the pause up or down, so that a crowd that came together spreads.
const JITTER: f64 = 0.2;
/// A pause is this part of what is expected to be left.
const POLL_PART: f64 = 0.075;
/// Who may enter within so many seconds at the best rate that the rules allow is near the head, ...
const HEAD_S: f64 = 120.0;
/// ... and is told no longer pause than this with its jitter, nor one that half a claim would not outlast.
const HEAD_PAUSE_MAX_MS: f64 = 30_000.0;
/// Nothing proves yet that a newcomer stays, so the first pause is short, and each later one half as long
/// as all before together at most, ...
const FIRST_PAUSE_MAX_MS: f64 = 8_000.0;
/// ... for those within so many times the distance that is near.
const YOUNG_REACH: u64 = 4;
/// Silence beyond the pause that was told, at least; a quarter of the pause where that is more.
const ALLOWANCE_LEAST_MS: f64 = 5_000.0;

/// What one visitor is told about time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Forecast {
    /// Seconds until they are let in, at least and at most. `None` while that is not known, or while
    /// nobody is let in.
    pub range: Option<(u32, u32)>,
    pause_ms: f64,
}

impl Forecast {
    /// What a visitor is told now who stands so, with a ticket of this number.
    pub fn of(standing: &Standing, ticket: u64, snapshot: &Snapshot, now: Timestamp) -> Self {
        let wait = match standing {
            Standing::Waiting { ahead } => wait(*ahead, snapshot),
            Standing::Scheduled { .. } | Standing::Active { .. } => None,
        };
        let range = match standing {
            Standing::Waiting { .. } => range(wait, snapshot),
            Standing::Scheduled { .. } | Standing::Active { .. } => None,
        };
        let mut pause_ms = pause_ms(standing, wait, snapshot, now);
        if let Standing::Waiting { ahead } = standing {
            let longest = longest_pause_ms(*ahead, ticket, snapshot, now);
            pause_ms = pause_ms.min(longest / (1.0 + JITTER));
        }
        Self { range, pause_ms }
    }

    /// How many milliseconds the visitor shall wait before asking again; `jitter` is from 0 to 1.
    pub fn pause_ms(&self, jitter: f64) -> u64 {
        let spread = 1.0 + JITTER * (2.0 * jitter.clamp(0.0, 1.0) - 1.0);
        (self.pause_ms.max(POLL_MIN_MS) * spread) as u64
    }
}

/// Made to be kept nine times in ten: it is as wide as what was seen leaves it open. With one place
/// given back in the last minutes it says little; with a thousand that came evenly it is narrow.
fn range(wait: Option<Wait>, snapshot: &Snapshot) -> Option<(u32, u32)> {
    if snapshot.state == State::Bypass {
        return Some((0, 1));
    }
    let Wait { least, most, .. } = wait?;
    let most = whole(most).saturating_add(1);
    Some((whole(least).min(most), most))
}

/// The pause before jitter. It is a part of what is left, so one visitor asks a number of times that
/// grows with the logarithm of the line, and one who is let in ten times sooner than expected still
/// asks before that.
fn pause_ms(standing: &Standing, wait: Option<Wait>, snapshot: &Snapshot, now: Timestamp) -> f64 {
    match standing {
        Standing::Waiting { ahead } => match wait {
            Some(Wait { expected, .. }) => (expected * POLL_PART * 1_000.0).min(POLL_MAX_MS),
            None => blind(*ahead, snapshot),
        },
        Standing::Scheduled { ahead, opens_at } => {
            let left = (*opens_at - now).num_milliseconds() as f64;
            // Before a draw all are told the same, whatever their lot.
            let ahead = ahead.unwrap_or(snapshot.waiting);
            (left / 10.0)
                .max(blind(ahead, snapshot).min(left))
                .min(POLL_MAX_MS)
        }
        Standing::Active { until } => {
            let left = (*until - now).num_milliseconds() as f64;
            (left / 4.0).min(POLL_BLIND_MS)
        }
    }
}

/// The longest pause in ms, with its jitter, that somebody in line may be told, whatever is expected.
fn longest_pause_ms(ahead: u64, ticket: u64, snapshot: &Snapshot, now: Timestamp) -> f64 {
    let turn = turn(ahead, snapshot);
    let mut longest = POLL_MAX_MS * (1.0 + JITTER);
    if turn <= head(snapshot) {
        longest = head_pause_max_ms(snapshot);
    }
    if turn <= snapshot.near.saturating_mul(YOUNG_REACH) as f64 {
        // A ticket number is the instant of joining.
        let age_ms = (now.timestamp_micros() as f64 - ticket as f64) / 1_000.0;
        longest = longest.min((age_ms / 2.0).max(FIRST_PAUSE_MAX_MS));
    }
    longest
}

/// Up to which turn visitors are near the head.
fn head(snapshot: &Snapshot) -> f64 {
    match snapshot.state {
        State::Bypass => f64::INFINITY,
        // A rate that is found may rise before the next poll.
        _ => (snapshot.policy.best_per_second() * HEAD_S).ceil(),
    }
}

fn head_pause_max_ms(snapshot: &Snapshot) -> f64 {
    let half_a_claim = f64::from(snapshot.policy.claim_seconds) * 500.0;
    half_a_claim.clamp(POLL_MIN_MS * (1.0 + JITTER), HEAD_PAUSE_MAX_MS)
}

/// What scripts need to know of the pauses that are told, in the order in which they take it: near, pace,
/// head, cap, see `lanes.lua`.
pub fn told(snapshot: &Snapshot) -> [u64; 4] {
    let head = head(snapshot).min(1e15) as u64;
    let cap_us = (head_pause_max_ms(snapshot) * 1_000.0) as u64;
    [snapshot.near, pace_us(snapshot), head, cap_us]
}

/// Until when, in ms from now, a visitor is present who asks now: the longest pause that they may be
/// told, and an allowance for what a network loses. As `proven_until` in `lanes.lua`, which records half
/// an allowance more.
pub(super) fn proven_ms(
    ahead: u64,
    ticket: u64,
    snapshot: &Snapshot,
    now: Timestamp,
) -> (u64, u64) {
    let by_pace = pace_us(snapshot) as f64 * turn(ahead, snapshot) / 1_000.0;
    let pause_ms = by_pace.min(longest_pause_ms(ahead, ticket, snapshot, now));
    let allowance_ms = (pause_ms / 4.0).max(ALLOWANCE_LEAST_MS);
    let proven = pause_ms + allowance_ms;
    (proven as u64, (proven + allowance_ms / 2.0) as u64)
}

/// The longest pause in µs that [`Forecast::pause_ms`] tells for each visitor ahead, where no limit is
/// shorter.
fn pace_us(snapshot: &Snapshot) -> u64 {
    let door = 1.0 / snapshot.admit_per_second;
    let stay = freed_per_second(snapshot.flows.best(), snapshot).map_or(0.0, |rate| 1.0 / rate);
    let expected_s = stay.max(door);
    let pause_s = (expected_s * POLL_PART).max(BLIND_MS / 1_000.0) * (1.0 + JITTER);
    (pause_s * 1e6) as u64
}

/// A pause by the length of the line alone. Short enough to show up in time when let in.
fn blind(ahead: u64, snapshot: &Snapshot) -> f64 {
    let in_time = f64::from(snapshot.policy.claim_seconds) * 1_000.0 / 3.0;
    let by_length = POLL_MIN_MS + ahead as f64 * BLIND_MS;
    by_length.min(in_time).min(POLL_BLIND_MS)
}

/// Whole seconds, rounded down; what does not fit is the largest there is.
fn whole(seconds: f64) -> u32 {
    seconds as u32
}

#[cfg(test)]
#[path = "../../tests/eta/simulation.rs"]
mod simulation;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chassis::time::Timestamp;

    use super::Forecast;
    use crate::queue::measure::flow::Flow;
    use crate::queue::policy::{Policy, State};
    use crate::queue::{Snapshot, Standing};

    /// A full house of a hundred in which so many places were given back within a minute.
    fn busy(freed: u64) -> Snapshot {
        Snapshot::of_flow(Policy::default(), Flow::new(freed, freed, freed, 60))
    }

    fn range(ahead: u64, snapshot: &Snapshot) -> Option<(u32, u32)> {
        Forecast::of(
            &Standing::Waiting { ahead },
            0,
            snapshot,
            Timestamp::default(),
        )
        .range
    }

    /// To somebody who joined an hour ago.
    fn pause(standing: Standing, snapshot: &Snapshot, jitter: f64) -> u64 {
        let now = Timestamp::default() + Duration::from_secs(3_600);
        Forecast::of(&standing, 0, snapshot, now).pause_ms(jitter)
    }

    #[test]
    fn the_range_is_around_what_the_observed_rate_says() {
        assert_eq!(range(99, &busy(60)), Some((68, 229)));
        assert_eq!(range(0, &busy(6_000)), Some((0, 1)));
    }

    #[test]
    fn the_range_is_narrow_where_much_was_seen_and_wide_where_little_was() {
        let width = |freed, ahead| {
            let policy = Policy {
                lease_seconds: 86_400,
                ..Policy::default()
            };
            let flow = Flow::new(freed, freed, freed, 60);
            let snapshot = Snapshot::of_flow(policy, flow);
            let (least, most) = range(ahead, &snapshot).expect("a rate is known");
            f64::from(most) / f64::from(least)
        };
        assert!(width(1, 40) > 1.5 * width(10, 400), "{}", width(1, 40));
        assert!(width(10, 400) > 1.5 * width(1_000, 40_000));
    }

    #[test]
    fn ghosts_ahead_do_not_count() {
        let flow = Flow::new(60, 600, 60, 60);
        let mut ghosts = Snapshot::of_flow(Policy::default(), flow);
        // So far from the head nobody is known to be there.
        ghosts.called = 0;
        let (least, most) = range(999, &ghosts).expect("a rate is known");
        assert!(
            least > 50 && most < 260,
            "{least} to {most} for a hundred who are there"
        );
    }

    #[test]
    fn no_range_is_later_than_leases_make_it() {
        let slow = range(99, &busy(1)).expect("a rate is known");
        assert_eq!(
            slow.1, 423,
            "all hundred places change hands within one lease"
        );
        assert!(slow.0 <= slow.1);
        assert!(range(u64::MAX, &busy(1)).is_some_and(|(least, most)| least <= most));
    }

    #[test]
    fn nobody_is_told_a_time_while_it_is_not_known() {
        assert_eq!(range(5, &busy(0)), None);
        for state in [State::Paused, State::Closed, State::Scheduled] {
            let snapshot = Snapshot { state, ..busy(60) };
            assert_eq!(range(5, &snapshot), None);
        }
    }

    #[test]
    fn with_free_places_only_the_door_counts() {
        let snapshot = Snapshot {
            active: 0,
            ..busy(0)
        };
        assert_eq!(range(99, &snapshot), Some((1, 3)));
    }

    #[test]
    fn a_house_that_is_too_full_empties_first() {
        let told = |active| range(0, &Snapshot { active, ..busy(60) }).expect("a rate is known");
        assert!(told(100).1 < 30, "the next place is theirs");
        assert!(told(200).0 > 30, "a hundred leave before");
    }

    #[test]
    fn the_first_to_leave_says_little_of_the_others() {
        let alone = Policy {
            max_active: 1,
            ..Policy::default()
        };
        let told = |freed, seconds| {
            let flow = Flow::new(freed + 1, freed + 1, freed, seconds);
            range(4, &Snapshot::of_flow(alone.clone(), flow)).expect("a rate is known")
        };
        assert!(told(1, 10).1 > 600, "{:?}", told(1, 10));
        assert!(told(40, 400).1 < 240, "{:?}", told(40, 400));
    }

    #[test]
    fn a_house_that_fills_is_not_taken_for_one_that_nobody_leaves() {
        let policy = Policy {
            max_active: 2_000,
            lease_seconds: 86_400,
            ..Policy::default()
        };
        // 50 came in each second, and stay for a minute: nobody is to be blamed for who has just come.
        let flow = Flow::new(2_050, 2_050, 450, 41);
        let filling = Snapshot {
            active: 1_600,
            ..Snapshot::of_flow(policy, flow)
        };
        let (least, most) = range(2_000, &filling).expect("a rate is known");
        assert!(least < 120 && most > 50, "{least} to {most}");
    }

    #[test]
    fn the_pause_grows_with_the_distance_and_is_never_short() {
        let snapshot = busy(60);
        let pauses: Vec<_> = [0, 40, 400, 4_000, 400_000]
            .map(|ahead| pause(Standing::Waiting { ahead }, &snapshot, 0.5))
            .into();
        assert!(pauses.is_sorted() && pauses[0] == 1_000, "{pauses:?}");
        assert!(pauses[4] <= 300_000);
        assert!(pause(Standing::Waiting { ahead: 0 }, &snapshot, 0.0) >= 800);
    }

    #[test]
    fn jitter_spreads_a_crowd_by_a_fifth_either_way() {
        let snapshot = busy(60);
        let standing = Standing::Waiting { ahead: 4_000 };
        let middle = pause(standing, &snapshot, 0.5);
        assert_eq!(pause(standing, &snapshot, 0.0), middle * 4 / 5);
        assert_eq!(pause(standing, &snapshot, 1.0), middle * 6 / 5);
    }

    #[test]
    fn where_no_time_is_known_nobody_sleeps_past_their_claim() {
        let standing = Standing::Waiting { ahead: 1_000_000 };
        assert!(pause(standing, &busy(0), 1.0) < 60_000 / 2);
        let standing = Standing::Active {
            until: Timestamp::default() + Duration::from_secs(3_608),
        };
        assert_eq!(pause(standing, &busy(0), 0.5), 2_000);
    }
}
