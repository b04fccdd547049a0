//! Owns how limit and subject are measured against each other: in turns, with the same client, on the same machine.
//!
//! What disturbs the machine for seconds then disturbs both. Which of them begins changes from round to round.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Result, anyhow};
use loadtest::{Measured, Request, Target, closed};

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

/// Whom to ask, and for what, round and round; made anew for each turn.
pub type Side<'a> = (Target, &'a dyn Fn() -> Vec<Request>);

/// Lets all sides run once in each round, each over so many connections; returns the rounds of each.
pub fn rounds(plan: &Plan, connections: usize, sides: &[Side<'_>]) -> Result<Vec<Vec<Measured>>> {
    let repeat = |(target, make): &Side<'_>| {
        let requests = Arc::new(make());
        let each = |number| {
            // Each connection begins at another request.
            let (requests, mut next) = (Arc::clone(&requests), number);
            move || {
                let request = Request::clone(&requests[next % requests.len()]);
                next += connections;
                request
            }
        };
        Ok(closed((*target, connections), plan.span(), each)?)
    };
    let mut all: Vec<_> = sides.iter().map(|side| move || repeat(side)).collect();
    let mut all: Vec<_> = all.iter_mut().map(|it| it as Turn<'_>).collect();
    take(plan.rounds, &mut all)
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

/// Does `act`, and meanwhile `beside` on another thread, which ends when its flag is set.
pub fn beside<T, B: Send>(
    beside: impl FnOnce(&AtomicBool) -> Result<B> + Send,
    act: impl FnOnce() -> Result<T>,
) -> Result<(T, B)> {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let running = scope.spawn(|| beside(&is_over));
        let done = act();
        is_over.store(true, Ordering::Relaxed);
        let ended = running.join().map_err(|_| anyhow!("a thread panicked"))?;
        Ok((done?, ended?))
    })
}

/// How many a second had the status that they should have.
pub fn rate(measured: &Measured, expected: u16) -> f64 {
    let seconds = measured.elapsed().as_secs_f64();
    measured.with(Ok(expected)) as f64 / seconds.max(f64::MIN_POSITIVE)
}

/// Answers without the status that they should have.
pub fn errors(rounds: &[Measured], expected: u16) -> u64 {
    let all = Measured::together(rounds);
    all.count() - all.with(Ok(expected))
}

/// A row about answers per second, against the limit; all of both should have this status.
pub fn row(
    what: impl Into<String>,
    expected: u16,
    subject: &[Measured],
    limit: &[Measured],
) -> Row {
    let rates =
        |rounds: &[Measured]| -> Vec<f64> { rounds.iter().map(|it| rate(it, expected)).collect() };
    let measured = rates(subject);
    let mut row = Row::of(what, &measured, "/s").against(&measured, &rates(limit));
    for (of, rounds) in [("wrong", subject), ("wrong of the limit", limit)] {
        let wrong = Measured::together(rounds).answers(|it| it != Ok(expected));
        row.errors += errors(rounds, expected);
        row.notes
            .extend((!wrong.is_empty()).then(|| format!("{of}: {wrong}")));
    }
    row.latencies(subject)
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
    fn another_one_begins_in_each_round() {
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
        let row = row("x", 200, &subject, &limit);
        assert_eq!(row.measured.median, 3.0);
        assert_eq!(row.ratio.map(|it| (it.least, it.most)), Some((0.4, 0.8)));
        assert_eq!(row.errors, 1);
    }
}
