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
        return Some((whole(fastest * SOONER), whole(fastest * LATER) + 1));
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
    let most = whole((expected * LATER).min(rounds * lease + fastest)) + 1;
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
