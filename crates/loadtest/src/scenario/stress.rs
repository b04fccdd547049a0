//! The story without pauses, at a rate that grows step by step until an objective breaks. What counts is the last step
//! that was good.

use std::cell::Cell;
use std::rc::Rc;

use crate::check::{self, Check, Kind};
use crate::operator::Trouble;
use crate::run::Outcome;
use crate::scenario::story::sale;
use crate::settings::Settings;
use crate::visitor::Stage;
use crate::{Class, Measured, Profile};

const GROWTH: f64 = 1.5;
const STEPS: u32 = 12;

/// One step that is over.
#[derive(Debug)]
struct Rung {
    rate: f64,
    measured: Measured,
    good: bool,
}

impl Rung {
    fn line(&self) -> String {
        format!(
            "{:7.1} visitors/s: {:8.1} calls/s, p99 {:7.1} ms, {} errors: {}",
            self.rate,
            self.measured.throughput(),
            self.measured.percentile_ms(99.0),
            self.measured.of(Class::Error),
            if self.good { "good" } else { "broken" },
        )
    }
}

/// Runs it.
pub(crate) async fn run(stage: Rc<Stage>) -> Result<Outcome, Trouble> {
    let (settings, stop) = (&stage.settings, Cell::new(false));
    // The figures of the last step are taken when its time is over, also when its visitors were faster.
    let (endings, rungs) =
        tokio::join!(sale(&stage, profile(settings), &stop), climb(&stage, &stop));
    let record = stage.recorder.finish();

    let books = stage.shop.books().await?;
    let good = rungs.iter().take_while(|rung| rung.good).last();
    let good = good.map(|rung| format!("{:.1} visitors/s", rung.rate));
    let last_good = Check {
        kind: Kind::Fast,
        what: "the last good step".to_owned(),
        wanted: format!("≥ {} visitors/s", settings.rate),
        kept: good.is_some(),
        found: good.unwrap_or("none".to_owned()),
    };
    let mut notes: Vec<_> = rungs.iter().map(Rung::line).collect();
    notes.push(endings.line());
    Ok(Outcome {
        settings: settings.clone(),
        record,
        // Beyond the last good step the answer to a payment may be lost, so seats are not counted; the books must agree.
        checks: vec![check::agree(&books), last_good],
        notes,
    })
}

fn rate(settings: &Settings, step: u32) -> f64 {
    settings.rate * GROWTH.powi(i32::try_from(step).unwrap_or(i32::MAX))
}

fn profile(settings: &Settings) -> Profile {
    (0..STEPS).fold(Profile::default(), |profile, step| {
        let rate = rate(settings, step);
        profile.then(rate, rate, settings.duration)
    })
}

/// Looks at each step when its time is over, and stops at the first that broke.
async fn climb(stage: &Stage, stop: &Cell<bool>) -> Vec<Rung> {
    let (settings, mut rungs) = (&stage.settings, Vec::new());
    let mut before = stage.recorder.all();
    let mut next = tokio::time::Instant::now();
    for step in 0..STEPS {
        next += settings.duration;
        tokio::time::sleep_until(next).await;
        let now = stage.recorder.all();
        let measured = now.since(&before, settings.duration);
        before = now;
        let rung = Rung {
            rate: rate(settings, step),
            good: is_good(settings, &measured),
            measured,
        };
        stage.progress.say(&rung.line());
        stop.set(!rung.good);
        rungs.push(rung);
        if stop.get() {
            break;
        }
    }
    rungs
}

fn is_good(settings: &Settings, measured: &Measured) -> bool {
    let is_fast = check::speed(settings, "a step", measured)
        .iter()
        .all(|it| it.kept);
    measured.count() > 0 && measured.of(Class::Error) <= settings.errors && is_fast
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{Scenario, Size};

    #[test]
    fn a_step_is_good_while_it_keeps_the_objective() {
        let settings = Scenario::Stress.defaults(Size::Small);
        for (ms, status, good) in [
            (100, 200, true),
            (100, 409, true),
            (300, 200, false),
            (100, 503, false),
        ] {
            let one = [(Ok(status), Duration::from_millis(ms))];
            let measured: Measured = one.into_iter().collect();
            assert_eq!(is_good(&settings, &measured), good, "{status} in {ms} ms");
        }
        let nothing = is_good(&settings, &Measured::default());
        assert!(!nothing, "a server that answers nobody");
    }

    #[test]
    fn steps_grow_by_half() {
        let settings = Settings {
            rate: 8.0,
            ..Scenario::Stress.defaults(Size::Small)
        };
        let rates = [0, 1, 2].map(|step| rate(&settings, step));
        assert_eq!(rates, [8.0, 12.0, 18.0]);
        assert_eq!(profile(&settings).length(), settings.duration * STEPS);
    }
}
