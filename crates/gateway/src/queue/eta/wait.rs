//! Owns how long it may take until somebody in line is let in: what a snapshot says of the speed, and how
//! far that can be trusted. Pure arithmetic in seconds; what is told of it is in `eta.rs`.

use crate::queue::Snapshot;
use crate::queue::measure::flow::Flow;
use crate::queue::policy::State;

/// Nine of ten outcomes of a normal distribution lie within so many standard deviations.
const NINE_IN_TEN: f64 = 1.645;
/// Stays change while one waits: a standard deviation that no count can tell, as a part.
const DRIFT: f64 = 0.14;
/// Until every place inside has changed hands once, those who stay long have not been seen: another
/// such deviation, as its square, when none has.
const YOUNG: f64 = 0.15;
/// The door is exact but for the seconds in which it is run.
const DOOR_DRIFT: f64 = 0.1;
/// Rules and stays change while one waits: the farther away, the later it may be, up to this part of it ...
const LATER: f64 = 1.0;
/// ... of which half is added at so many seconds.
const FAR_S: f64 = 60.0;
/// Where places come back in bunches, so many of them may be missed.
const BUNCHES: f64 = 2.0;
/// Beyond this variance a distribution says nothing.
const VARIANCE_MOST: f64 = 2.0;
/// Before anybody was called it is as if of three two had been there.
const PRIOR: (f64, f64) = (2.0, 1.0);

/// How long until somebody is let in.
#[derive(Clone, Copy)]
pub struct Wait {
    pub expected: f64,
    /// In nine cases of ten it takes no less and no more.
    pub least: f64,
    pub most: f64,
}

/// How many will enter before and with somebody: as is expected, and the variance as the square of a part.
struct Entrants {
    expected: f64,
    variance: f64,
    most: f64,
}

/// `None` while nobody is let in, or while it is not known how fast places are given back.
pub fn wait(ahead: u64, snapshot: &Snapshot) -> Option<Wait> {
    if snapshot.state != State::Open {
        return None;
    }
    let turn = turn(ahead, snapshot);
    let entrants = Entrants::until(turn, snapshot);
    let flows = &snapshot.flows;
    let expected = entrants.wait(flows.best(), snapshot)?.expected;
    // The speed changes: what each of them says is possible.
    let waits = flows
        .each()
        .filter_map(|flow| entrants.wait(flow, snapshot));
    let (least, most) = waits.fold((f64::INFINITY, 0.0_f64), |(least, most), it| {
        (least.min(it.least), most.max(it.most))
    });
    let latest = latest(turn, snapshot);
    Some(Wait {
        expected,
        least: least.min(latest),
        most: most.min(latest),
    })
}

/// At the latest every place inside changes hands once per lease.
fn latest(turn: f64, snapshot: &Snapshot) -> f64 {
    let policy = &snapshot.policy;
    let lease = f64::from(policy.lease_seconds.max(policy.claim_seconds));
    let rounds = (turn / f64::from(policy.max_active)).ceil();
    rounds * lease + turn / snapshot.admit_per_second
}

/// Counted from 1, with those who returned: they enter first without being ahead in the line.
pub fn turn(ahead: u64, snapshot: &Snapshot) -> f64 {
    ahead as f64 + snapshot.returned as f64 + 1.0
}

/// Places that a full house gives back per second; `None` before the first was given back.
///
/// Counted by the time that visitors spent inside, since fewer can leave while the house fills. The
/// first to leave is quicker than most. So it is as if one more had left, after half a lease: with the
/// first this says a lot, with a hundred nothing.
pub fn freed_per_second(flow: &Flow, snapshot: &Snapshot) -> Option<f64> {
    let policy = &snapshot.policy;
    let (seconds, active) = (flow.seconds as f64, snapshot.active as f64);
    let came = flow.admitted.saturating_sub(flow.freed) as f64;
    let filling = (came / snapshot.admit_per_second).min(seconds);
    let stayed = (active * seconds - came * filling / 2.0).max(0.0);
    let half_a_lease = f64::from(policy.lease_seconds) / 2.0;
    let by_each = (flow.freed as f64 + 1.0) / (stayed + half_a_lease);
    (flow.freed > 0).then(|| by_each * f64::from(policy.max_active))
}

/// The part of the places inside that have not changed hands yet.
fn unseen(snapshot: &Snapshot) -> f64 {
    let freed = snapshot.admitted.saturating_sub(snapshot.active) as f64;
    (1.0 - freed / f64::from(snapshot.policy.max_active)).max(0.0)
}

impl Entrants {
    /// Who was called and stands in line is there. Of the others as many are as of those who were called
    /// during the last quarter of an hour; that has a beta distribution.
    fn until(turn: f64, snapshot: &Snapshot) -> Self {
        let (quarter, called) = (&snapshot.flows.quarter, snapshot.called as f64);
        let proven = turn.min(called + snapshot.returned as f64);
        let unproven = turn - proven;
        let absent = quarter.passed.saturating_sub(quarter.admitted) as f64 + PRIOR.1;
        let there = quarter.admitted as f64 + called + PRIOR.0;
        let all = there + absent;
        let share = there / all;
        let expected = (proven + unproven * share).max(1.0);
        let of_share = unproven.powi(2) * share * (1.0 - share) / (all + 1.0);
        let of_each = unproven * share * (1.0 - share);
        let variance = (of_share + of_each) / expected.powi(2);
        Self {
            expected,
            variance,
            most: turn.min(expected * (1.0 + NINE_IN_TEN * variance.sqrt())),
        }
    }

    /// At the speed of this flow.
    fn wait(&self, flow: &Flow, snapshot: &Snapshot) -> Option<Wait> {
        let policy = &snapshot.policy;
        // Below nothing when the rules were changed and more are inside than may be.
        let free = f64::from(policy.max_active) - snapshot.active as f64;
        let by_door = self.expected / snapshot.admit_per_second;
        let door = Wait::around(by_door, self.variance + DOOR_DRIFT.powi(2));
        if self.most <= free {
            return Some(door);
        }
        let rate = freed_per_second(flow, snapshot)?;
        let for_places = self.expected - free;
        let at_most = (self.most - free) / rate;
        if for_places / rate <= by_door {
            let most = door.most.max(at_most);
            return Some(Wait { most, ..door });
        }
        let seen = 1.0 / for_places.max(1.0) + 1.0 / flow.freed.max(1) as f64;
        let variance = self.variance + DRIFT.powi(2) + seen + YOUNG * unseen(snapshot);
        let stays = Wait::around(for_places / rate, variance);
        // Between two bunches nothing comes.
        let apart = BUNCHES * (flow.bunch - 1.0) / rate;
        Some(Wait {
            least: (stays.least - apart).max(0.0),
            most: stays.most.max(at_most) + apart,
            ..stays
        })
    }
}

impl Wait {
    /// The sum of so many waits has a gamma distribution; these are its quantiles by Wilson and Hilferty.
    fn around(expected: f64, variance: f64) -> Self {
        let variance = variance.min(VARIANCE_MOST);
        let quantile = |deviations: f64| {
            let root = 1.0 - variance / 9.0 + deviations * variance.sqrt() / 3.0;
            expected * root.max(0.0).powi(3)
        };
        let later = 1.0 + LATER * expected / (expected + FAR_S);
        Self {
            expected,
            least: quantile(-NINE_IN_TEN),
            most: quantile(NINE_IN_TEN) * later,
        }
    }
}
