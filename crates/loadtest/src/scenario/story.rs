//! The whole way of a visitor: join, wait as told, look at dates and seats, think, hold, charge, pay.
//!
//! `story` and `soak` let them come at a rate, `spike` at ten times the rate for a while. In `sell-out` many more
//! visitors come than there are seats: every seat is bought, and the others find that nothing is left.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::check::{self, Check, Kind};
use crate::operator::Trouble;
use crate::run::Outcome;
use crate::settings::Settings;
use crate::shop::Books;
use crate::visitor::{Ending, Stage, Visitor};
use crate::visitors::{self, Endings};
use crate::{Class, Profile, Scenario};

/// After the last has come, all others have this long to end their visits.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often a visitor chooses again when others were faster.
const TRIES: usize = 20;
const SPIKE: f64 = 10.0;

/// Runs it.
pub(crate) async fn run(stage: Rc<Stage>) -> Result<Outcome, Trouble> {
    let settings = &stage.settings;
    let endings = sale(&stage, profile(settings), &Cell::new(false)).await;
    let record = stage.recorder.finish();

    let books = stage.shop.books().await?;
    let mut checks = visit_checks(&endings, &books);
    if settings.scenario == Scenario::SellOut {
        let seats = u64::from(settings.seats);
        checks.push(Check::same("seats paid for", seats, endings.seats));
        checks.push(Check::same("seats of the house", seats, books.seats));
    }
    if settings.scenario == Scenario::Soak {
        let skip = settings.ramp.as_secs() as usize;
        checks.push(check::drift(settings, &record, skip));
    }
    let (all, notes) = (("all calls", None), vec![endings.line()]);
    Ok(Outcome::judged(settings, record, checks, all, notes))
}

/// Arrivals over time.
fn profile(settings: &Settings) -> Profile {
    if settings.scenario == Scenario::SellOut {
        return Profile::burst(settings.users, settings.ramp);
    }
    let (rate, ramp) = (settings.rate, settings.ramp.min(settings.duration));
    let up = Profile::default().then(0.0, rate, ramp);
    let rest = settings.duration - ramp;
    if settings.scenario != Scenario::Spike {
        return up.then(rate, rate, rest);
    }
    let peak = (settings.duration / 6).min(rest);
    let before = (rest - peak) / 3;
    up.then(rate, rate, before)
        .then(rate * SPIKE, rate * SPIKE, peak)
        .then(rate, rate, rest - peak - before)
}

/// Lets visitors come who buy if they can, until all visits have ended or the time for them is over.
pub(crate) async fn sale(stage: &Rc<Stage>, profile: Profile, stop: &Cell<bool>) -> Endings {
    let until = Instant::now() + profile.length() + PATIENCE;
    let arrivals = match stage.settings.scenario {
        Scenario::SellOut => profile.even(),
        _ => profile.random(stage.settings.seed),
    };
    let live = |number, due| visit(Rc::clone(stage), number, due, until);
    visitors::run(stage, arrivals, PATIENCE, stop, live).await
}

/// One visitor, from the wish to the seat.
async fn visit(stage: Rc<Stage>, number: usize, due: Instant, until: Instant) -> Ending {
    let mut visitor = Visitor::new(&stage, number);
    if !visitor.enter(due, until).await {
        return Ending::Failed;
    }
    let ending = shop_around(&mut visitor).await;
    // A payment ends the visit by itself.
    if matches!(ending, Ending::SoldOut | Ending::Refused) {
        visitor.leave().await;
    }
    ending
}

async fn shop_around(visitor: &mut Visitor) -> Ending {
    for try_number in 0..TRIES {
        let Some(dates) = visitor.dates().await else {
            return Ending::Failed;
        };
        if dates.is_empty() {
            return Ending::SoldOut;
        }
        let date = &dates[visitor.chance.index(dates.len())];
        let Some(free) = visitor.free_seats(date).await else {
            return Ending::Failed;
        };
        visitor.pause().await;
        if free.is_empty() {
            continue;
        }
        let wish = visitor.chance.wish();
        let seats = visitor.chance.choose(&free, wish);
        let now = Instant::now();
        match visitor.reserve(date, &seats, try_number, now).await {
            Ok(held) => {
                visitor.pause().await;
                return visitor.pay(&held).await;
            }
            Err(Class::Refusal) => {}
            Err(_) => return Ending::Failed,
        }
    }
    Ending::Refused
}

/// Every visit came to an end, everybody who paid has their seats, and nobody else has any.
fn visit_checks(endings: &Endings, books: &Books) -> Vec<Check> {
    let mut checks = check::books(books, endings.seats);
    checks.push(Check::same("seats held and not paid for", 0, books.held));
    let what = "visits that failed";
    checks.push(Check::at_most(Kind::Correct, what, 0, endings.failed));
    checks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Size;

    /// How long it is, and how many come, at two a second.
    fn two_a_second(scenario: Scenario, duration_s: u64, ramp_s: u64) -> (u64, u64) {
        let profile = profile(&Settings {
            rate: 2.0,
            duration: Duration::from_secs(duration_s),
            ramp: Duration::from_secs(ramp_s),
            ..scenario.defaults(Size::Small)
        });
        (profile.length().as_secs(), profile.total())
    }

    #[test]
    fn a_spike_is_ten_times_as_high_for_a_sixth_of_the_time() {
        let all = 2 * 50 + 20 * 10;
        assert_eq!(two_a_second(Scenario::Spike, 60, 0), (60, all));
    }

    #[test]
    fn a_ramp_longer_than_the_run_is_the_run() {
        for scenario in [Scenario::Story, Scenario::Spike] {
            assert_eq!(two_a_second(scenario, 10, 60), (10, 10));
        }
    }
}
