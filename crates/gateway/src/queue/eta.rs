//! Owns what a visitor is told about time: how long it may take, and when to ask again.
//!
//! Pure functions of a snapshot. A range and not a number: nobody knows how long others stay.

use chassis::time::Timestamp;

use super::policy::State;
use super::{Snapshot, Standing};

/// Shortest pause between two polls.
const POLL_MIN_MS: f64 = 1_000.0;
/// Longest pause between two polls, deep in a line whose speed is known.
const POLL_MAX_MS: f64 = 300_000.0;
/// Longest pause where the speed is not known or the visitor is inside.
const POLL_BLIND_MS: f64 = 30_000.0;
/// Jitter is this part of the pause up or down, so that a crowd that came together spreads.
const JITTER: f64 = 0.2;
/// The observed rate may be off by so much either way.
const SOONER: f64 = 0.75;
/// See [`SOONER`].
const LATER: f64 = 1.4;

/// How many seconds until somebody with `ahead` visitors before them is let in, at least and at
/// most. `None` while that is not known, or while nobody is let in.
pub fn range(ahead: u64, snapshot: &Snapshot) -> Option<(u32, u32)> {
    if snapshot.state == State::Bypass {
        return Some((0, 1));
    }
    if snapshot.state != State::Open {
        return None;
    }
    let turn = ahead as f64 + 1.0;
    let free = u64::from(snapshot.policy.max_active).saturating_sub(snapshot.active);
    let fastest = turn / snapshot.policy.admit_per_second;
    if ahead < free {
        // Only the speed of the door counts; it is known exactly.
        return Some((
            whole(fastest * SOONER),
            whole(fastest * LATER).saturating_add(1),
        ));
    }
    let expected = turn / snapshot.rate?;
    // At the latest every place inside changes hands once per lease.
    let lease = f64::from(
        snapshot
            .policy
            .lease_seconds
            .max(snapshot.policy.claim_seconds),
    );
    let rounds = (turn / f64::from(snapshot.policy.max_active)).ceil();
    let least = whole((expected * SOONER).max(fastest));
    let most = whole((expected * LATER).min(rounds * lease + fastest)).saturating_add(1);
    Some((least.min(most), most))
}

/// How many milliseconds a visitor shall wait before asking again; `jitter` is from 0 to 1.
///
/// A pause is a tenth of what is left at least, so one visitor asks a number of times that grows
/// with the logarithm of the line, and one who is let in ten times sooner than expected still
/// asks before that.
pub fn poll_after_ms(standing: &Standing, snapshot: &Snapshot, now: Timestamp, jitter: f64) -> u64 {
    let pause = match standing {
        Standing::Waiting { ahead } => match range(*ahead, snapshot) {
            Some((least, _)) => (f64::from(least) * 100.0).min(POLL_MAX_MS),
            None => blind(*ahead, snapshot),
        },
        Standing::Scheduled { ahead, opens_at } => {
            let left = (*opens_at - now).num_milliseconds() as f64;
            (left / 10.0)
                .max(blind(*ahead, snapshot).min(left))
                .min(POLL_MAX_MS)
        }
        Standing::Active { until } => {
            let left = (*until - now).num_milliseconds() as f64;
            (left / 4.0).min(POLL_BLIND_MS)
        }
    };
    let spread = 1.0 + JITTER * (2.0 * jitter.clamp(0.0, 1.0) - 1.0);
    (pause.max(POLL_MIN_MS) * spread) as u64
}

/// A pause by the length of the line alone. Short enough to show up in time when let in.
fn blind(ahead: u64, snapshot: &Snapshot) -> f64 {
    let in_time = f64::from(snapshot.policy.claim_seconds) * 1_000.0 / 3.0;
    let by_length = POLL_MIN_MS + ahead as f64 * 20.0;
    by_length.min(in_time).min(POLL_BLIND_MS)
}

/// Whole seconds, rounded down; what does not fit is the largest there is.
fn whole(seconds: f64) -> u32 {
    seconds as u32
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chassis::time::Timestamp;

    use super::{poll_after_ms, range};
    use crate::queue::policy::{Policy, State};
    use crate::queue::{Snapshot, Standing};

    /// A full house that lets in as many per second as `rate` says.
    fn busy(rate: Option<f64>) -> Snapshot {
        Snapshot {
            at: Timestamp::default(),
            policy: Policy::default(),
            version: 1,
            state: State::Open,
            recovering: false,
            waiting: 1_000,
            active: 100,
            admitted_last_minute: 0,
            rate,
            epoch: 1,
            born: 1,
            last_ticket: 1,
            joined: 0,
            admitted: 0,
            no_shows: 0,
        }
    }

    fn pause(standing: Standing, snapshot: &Snapshot, jitter: f64) -> u64 {
        poll_after_ms(&standing, snapshot, Timestamp::default(), jitter)
    }

    #[test]
    fn the_range_is_around_what_the_observed_rate_says() {
        assert_eq!(range(99, &busy(Some(1.0))), Some((75, 141)));
        assert_eq!(range(0, &busy(Some(100.0))), Some((0, 1)));
    }

    #[test]
    fn no_range_is_later_than_leases_make_it_or_sooner_than_the_door_allows() {
        let slow = range(99, &busy(Some(0.01))).expect("a rate is known");
        assert_eq!(
            slow.1, 423,
            "all hundred places change hands within one lease"
        );
        let fast = range(5_000, &busy(Some(1e6))).expect("a rate is known");
        assert!(fast.0 <= fast.1);
        assert!(range(u64::MAX, &busy(Some(1e-9))).is_some_and(|(least, most)| least <= most));
    }

    #[test]
    fn nobody_is_told_a_time_while_it_is_not_known() {
        assert_eq!(range(5, &busy(None)), None);
        for state in [State::Paused, State::Closed, State::Scheduled] {
            let snapshot = Snapshot {
                state,
                ..busy(Some(1.0))
            };
            assert_eq!(range(5, &snapshot), None);
        }
    }

    #[test]
    fn with_free_places_only_the_door_counts() {
        let snapshot = Snapshot {
            active: 0,
            ..busy(None)
        };
        assert_eq!(range(99, &snapshot), Some((1, 3)));
    }

    #[test]
    fn the_pause_grows_with_the_distance_and_is_never_short() {
        let snapshot = busy(Some(1.0));
        let pauses: Vec<_> = [0, 40, 400, 4_000, 400_000]
            .map(|ahead| pause(Standing::Waiting { ahead }, &snapshot, 0.5))
            .into();
        assert!(pauses.is_sorted() && pauses[0] == 1_000, "{pauses:?}");
        assert!(pauses[4] <= 300_000);
        assert!(pause(Standing::Waiting { ahead: 0 }, &snapshot, 0.0) >= 800);
    }

    #[test]
    fn jitter_spreads_a_crowd_by_a_fifth_either_way() {
        let snapshot = busy(Some(1.0));
        let standing = Standing::Waiting { ahead: 4_000 };
        let middle = pause(standing, &snapshot, 0.5);
        assert_eq!(pause(standing, &snapshot, 0.0), middle * 4 / 5);
        assert_eq!(pause(standing, &snapshot, 1.0), middle * 6 / 5);
    }

    #[test]
    fn where_no_time_is_known_nobody_sleeps_past_their_claim() {
        let standing = Standing::Waiting { ahead: 1_000_000 };
        assert!(pause(standing, &busy(None), 1.0) < 60_000 / 2);
        let standing = Standing::Active {
            until: Timestamp::default() + Duration::from_secs(8),
        };
        assert_eq!(pause(standing, &busy(None), 0.5), 2_000);
    }
}
