//! Owns how limit and subject are measured against each other: in turns, with the same client, on the same machine.
//!
//! What disturbs the machine for seconds then disturbs both. Which of them begins changes from round to round.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;

use anyhow::{Result, anyhow};
use loadtest::{Measured, Request, Target};

use crate::plan::Plan;
use crate::report::Row;

/// One of those who take turns.
pub type Turn<'a> = &'a mut dyn FnMut() -> Result<Measured>;

/// Lets all of them run once in each round; returns the rounds of each.
pub fn take(rounds: usize, turns: &mut [Turn<'_>]) -> Result<Vec<Vec<Measured>>> {
    let mut all: Vec<Vec<Measured>> = turns.iter().map(|_| Vec::new()).collect();
    for round in 0..rounds {
        for place in 0..turns.len() {
            let index = (round + place) % turns.len();
            all[index].push(turns[index]()?);
        }
    }
    Ok(all)
}

/// A closed loop of this many connections, whose requests `make` gives as [`loadtest::closed()`] says.
pub fn closed<W: FnMut() -> Request + 'static>(
    plan: &Plan,
    connections: usize,
    target: Target,
    make: impl Fn(usize) -> W,
) -> Result<Measured> {
    let span = (plan.warm_up, plan.turn);
    Ok(loadtest::closed((target, connections), span, make)?)
}

/// Whom to ask, and for what, round and round; made anew for each turn.
pub type Side<'a> = (Target, &'a dyn Fn() -> Vec<Request>);

/// Lets all sides run once in each round, each over so many connections; returns the rounds of each.
pub fn rounds(plan: &Plan, connections: usize, sides: &[Side<'_>]) -> Result<Vec<Vec<Measured>>> {
    let turn = |(target, make): &Side<'_>| repeat(plan, connections, *target, make());
    let mut all: Vec<_> = sides.iter().map(|side| move || turn(side)).collect();
    let mut all: Vec<_> = all.iter_mut().map(|it| it as Turn<'_>).collect();
    take(plan.rounds, &mut all)
}

/// Each connection begins at another request.
fn repeat(
    plan: &Plan,
    connections: usize,
    target: Target,
    requests: Vec<Request>,
) -> Result<Measured> {
    let requests = Arc::new(requests);
    closed(plan, connections, target, |number| {
        let (requests, mut next) = (Arc::clone(&requests), number);
        move || {
            let request = requests[next % requests.len()].clone();
            next += connections;
            request
        }
    })
}

/// What `act` makes of each of these, all at once, each on a thread of its own.
pub fn side_by_side<I: Send, T: Send>(
    all: Vec<I>,
    act: impl Fn(I) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    thread::scope(|scope| {
        let run = |it| scope.spawn(|| act(it));
        let running: Vec<_> = all.into_iter().map(run).collect();
        let ended = running.into_iter().map(|it| it.join());
        ended
            .map(|it| it.map_err(|_| anyhow!("a thread panicked"))?)
            .collect()
    })
}

/// How many a second had the status that they should have.
pub fn rate(measured: &Measured, expected: u16) -> f64 {
    let seconds = measured.elapsed().as_secs_f64();
    measured.with(Ok(expected)) as f64 / seconds.max(f64::MIN_POSITIVE)
}

/// Answers without the status that they should have.
pub fn errors(rounds: &[Measured], expected: u16) -> u64 {
    let wrong = |it: &Measured| it.count() - it.with(Ok(expected));
    rounds.iter().map(wrong).sum()
}

/// A row about answers per second, with the limit and what either should answer.
pub fn row(
    bench: &'static str,
    what: &str,
    (subject, expected): (&[Measured], u16),
    limit: Option<(&[Measured], u16)>,
) -> Row {
    let rates = |rounds: &[Measured], expected| -> Vec<f64> {
        rounds.iter().map(|it| rate(it, expected)).collect()
    };
    let measured = rates(subject, expected);
    let mut row = Row::of(bench, what, &measured, "/s");
    row.errors = errors(subject, expected);
    row.notes.extend(wrong("wrong", subject, expected));
    if let Some((rounds, expected)) = limit {
        row = row.against(&measured, &rates(rounds, expected));
        row.errors += errors(rounds, expected);
        row.notes
            .extend(wrong("wrong of the limit", rounds, expected));
    }
    row.latencies(subject)
}

/// What came in place of the expected status, and how often.
fn wrong(of: &str, rounds: &[Measured], expected: u16) -> Option<String> {
    let mut counts = BTreeMap::new();
    let all = rounds.iter().flat_map(Measured::outcomes);
    for (outcome, count) in all.filter(|(outcome, _)| *outcome != Ok(expected)) {
        let name = outcome.map_or_else(|fault| fault.to_string(), |status| status.to_string());
        *counts.entry(name).or_insert(0) += count;
    }
    let words: Vec<_> = counts
        .iter()
        .map(|(name, count)| format!("{count} × {name}"))
        .collect();
    (!words.is_empty()).then(|| format!("{of}: {}", words.join(", ")))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use loadtest::Measured;

    use super::{errors, rate, row, take};

    fn round(good: usize, bad: usize) -> Measured {
        let all = [vec![200; good], vec![503; bad]].concat();
        let all = all
            .into_iter()
            .map(|status| (Ok(status), Duration::from_millis(1)));
        let mut measured: Measured = all.collect();
        measured.set_elapsed(Duration::from_secs(2));
        measured
    }

    #[test]
    fn whoever_begins_changes_from_round_to_round() {
        let order = std::cell::RefCell::new(String::new());
        let turn = |name: char| {
            order.borrow_mut().push(name);
            Ok(Measured::default())
        };
        let (mut limit, mut subject) = (|| turn('l'), || turn('s'));
        let all = take(3, &mut [&mut limit, &mut subject]).unwrap_or_default();
        assert_eq!(order.borrow().as_str(), "lssl ls".replace(' ', ""));
        assert_eq!((all.len(), all[0].len(), all[1].len()), (2, 3, 3));
    }

    #[test]
    fn only_the_expected_answer_counts() {
        assert_eq!(rate(&round(10, 4), 200), 5.0);
        assert_eq!(errors(&[round(10, 4), round(1, 1)], 200), 5);
        assert_eq!(errors(&[round(10, 0)], 201), 10);
    }

    #[test]
    fn a_row_has_the_ratio_of_each_round() {
        let (subject, limit) = ([round(8, 0), round(4, 1)], [round(10, 0), round(10, 0)]);
        let row = row("poll", "x", (&subject, 200), Some((&limit, 200)));
        assert_eq!(row.measured.median, 3.0);
        assert_eq!(row.ratio.map(|it| (it.least, it.most)), Some((0.4, 0.8)));
        assert_eq!(row.errors, 1);
    }
}
