//! A sale is announced: many join within seconds, most of them at the start. Nobody is let in, so that the line can be
//! counted.

use std::rc::Rc;
use std::time::{Duration, Instant};

use serde_json::json;
use uuid::Uuid;

use crate::Profile;
use crate::check::{Check, Kind};
use crate::operator::Trouble;
use crate::pacer::{self, Due};
use crate::patience::{Patience, ask_again};
use crate::recorder::Step;
use crate::run::Outcome;
use crate::visitor::{Caller, LIMIT, Stage};
use crate::visitors::connections;

/// The public counts are up to a second old, so they are read again until all are counted, for this long at most.
const COUNTED: Patience = (Duration::from_secs(10), Duration::from_millis(200));

/// A join that was answered.
#[derive(Debug, Clone, Copy)]
struct Joined {
    asked: Instant,
    answered: Instant,
    ticket: u64,
}

/// Runs it.
pub(crate) async fn run(stage: Rc<Stage>) -> Result<Outcome, Trouble> {
    let settings = &stage.settings;
    let start = Instant::now();
    let arrivals = Profile::burst(settings.users, settings.duration).even();
    let calls = pacer::at_rate(start, arrivals, 1, settings.seed);
    let due = Rc::new(Due::new(start, settings.duration + LIMIT, calls));
    let joined = connections(settings, |number| {
        join_what_is_due(Rc::clone(&stage), number, Rc::clone(&due))
    });
    let joined: Vec<_> = joined.await.into_iter().flatten().collect();
    let record = stage.recorder.finish();

    let count = joined.len() as u64;
    let line = async || stage.shop.visitors().await;
    let is_counted = |line: &Result<u64, Trouble>| line.is_err() || *line == Ok(count);
    let line = ask_again(COUNTED, line, is_counted).await?;
    let early = inversions(joined);
    let checks = vec![
        Check::same("visitors in the line", count, line),
        Check::at_most(Kind::Correct, "who came later and stands before", 0, early),
    ];
    let what = ("joins, from when they were due", Some(Step::Join));
    let peak = 2.0 * settings.users as f64 / settings.duration.as_secs_f64().max(f64::MIN_POSITIVE);
    let note = format!("{count} joined; the highest rate was {peak:.0}/s");
    Ok(Outcome::judged(settings, record, checks, what, vec![note]))
}

async fn join_what_is_due(stage: Rc<Stage>, number: usize, due: Rc<Due>) -> Vec<Joined> {
    let (mut caller, mut joined) = (Caller::new(&stage, number), Vec::new());
    while let Some((_, due)) = due.next(&stage.recorder, Step::Join).await {
        let asked = Instant::now();
        let body = json!({ "userId": Uuid::new_v4() });
        joined.extend(caller.join(&body, due).await.map(|place| Joined {
            asked,
            answered: Instant::now(),
            ticket: place.ticket_number,
        }));
    }
    joined
}

/// How many have a smaller number than somebody whose answer had come before they asked.
fn inversions(mut joined: Vec<Joined>) -> u64 {
    let mut answered: Vec<_> = joined.iter().map(|it| (it.answered, it.ticket)).collect();
    answered.sort_unstable();
    joined.sort_unstable_by_key(|it| it.asked);
    let (mut next, mut highest, mut found) = (0, 0, 0);
    for it in &joined {
        while answered.get(next).is_some_and(|(at, _)| *at < it.asked) {
            highest = highest.max(answered[next].1);
            next += 1;
        }
        found += u64::from(it.ticket <= highest);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_asked_after_an_answer_can_be_out_of_order() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let joined = |asked, answered, ticket| Joined {
            asked: at(asked),
            answered: at(answered),
            ticket,
        };
        assert_eq!(inversions(vec![]), 0);
        assert_eq!(inversions(vec![joined(0, 1, 10), joined(2, 3, 11)]), 0);
        assert_eq!(inversions(vec![joined(2, 3, 10), joined(0, 1, 11)]), 1);
        assert_eq!(
            inversions(vec![joined(0, 1, 10), joined(2, 3, 10)]),
            1,
            "a tie is no order"
        );
        // Both were on their way at the same time: either may be first.
        assert_eq!(inversions(vec![joined(0, 5, 11), joined(1, 4, 10)]), 0);
    }
}
