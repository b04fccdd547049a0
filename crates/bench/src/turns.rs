//! Owns how limit and subject are measured against each other: in turns, with the same client, on the same machine.
//!
//! What disturbs the machine for seconds then disturbs both. Which of them begins changes from round to round.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use loadtest::{Closed, Connection, Measured, Target};
use tokio::runtime::Builder;
use tokio::sync::Barrier;
use tokio::task::LocalSet;
use tokio::time::Instant;

use crate::plan::Plan;
use crate::report::{Row, Spread, ratios};

/// Longer than any answer that counts as one.
const LIMIT: Duration = Duration::from_secs(10);
/// Threads of the client: one asks for more than any server here answers on the cores that are left.
pub const CLIENT_THREADS: usize = 1;

/// One of those who take turns.
pub type Turn<'a> = &'a mut dyn FnMut() -> io::Result<Measured>;

/// Lets all of them run once in each round; returns the rounds of each.
pub fn take(rounds: usize, turns: &mut [Turn<'_>]) -> io::Result<Vec<Vec<Measured>>> {
    let mut all: Vec<Vec<Measured>> = turns.iter().map(|_| Vec::new()).collect();
    for round in 0..rounds {
        for place in 0..turns.len() {
            let index = (round + place) % turns.len();
            all[index].push(turns[index]()?);
        }
    }
    Ok(all)
}

/// A closed loop of this many connections.
pub fn closed(plan: &Plan, connections: usize) -> Closed {
    Closed {
        connections,
        threads: CLIENT_THREADS,
        warm_up: plan.warm_up,
        duration: plan.turn,
        limit: LIMIT,
    }
}

/// Sends these requests round and round; each connection begins at another one.
pub fn repeat(
    plan: &Plan,
    connections: usize,
    target: &Target,
    requests: &Arc<Vec<Vec<u8>>>,
) -> io::Result<Measured> {
    closed(plan, connections).run(target, |number| {
        let (requests, mut next) = (Arc::clone(requests), number);
        move |buffer: &mut Vec<u8>| {
            buffer.extend_from_slice(&requests[next % requests.len()]);
            next += connections;
        }
    })
}

/// Opens a connection for each request and sends all of them at the same moment.
pub fn at_once(target: &Target, hello: &[u8], requests: Vec<Vec<u8>>) -> io::Result<Measured> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let (tasks, barrier) = (LocalSet::new(), Arc::new(Barrier::new(requests.len())));
    let began = Instant::now();
    let buyers: Vec<_> = requests
        .into_iter()
        .map(|request| {
            let mut connection = Connection::new(target.clone(), LIMIT);
            let (barrier, hello) = (Arc::clone(&barrier), hello.to_vec());
            tasks.spawn_local(async move {
                // Whether this one succeeds will be seen by the next.
                let _ = connection.send(&hello).await;
                barrier.wait().await;
                let sent = Instant::now();
                let outcome = connection.send(&request).await.map(|it| it.status);
                (outcome, sent.elapsed())
            })
        })
        .collect();
    tasks.block_on(&runtime, async {
        let mut measured = Measured::default();
        for buyer in buyers {
            let (outcome, latency) = buyer.await.map_err(io::Error::other)?;
            measured.record(outcome, latency);
        }
        measured.set_elapsed(began.elapsed());
        Ok(measured)
    })
}

/// How many a second had the status that they should have.
pub fn rate(measured: &Measured, expected: u16) -> f64 {
    let good = measured.statuses().get(&expected).copied().unwrap_or(0);
    good as f64 / measured.elapsed().as_secs_f64().max(f64::MIN_POSITIVE)
}

/// The rates of all rounds.
pub fn rates(rounds: &[Measured], expected: u16) -> Vec<f64> {
    rounds.iter().map(|it| rate(it, expected)).collect()
}

/// A percentile: the median of those of the rounds.
pub fn percentile_ms(rounds: &[Measured], percent: f64) -> f64 {
    let each: Vec<_> = rounds.iter().map(|it| it.percentile_ms(percent)).collect();
    Spread::of(&each).median
}

/// Answers without the status that they should have.
pub fn errors(rounds: &[Measured], expected: u16) -> u64 {
    let good = |it: &Measured| it.statuses().get(&expected).copied().unwrap_or(0);
    rounds.iter().map(|it| it.count() - good(it)).sum()
}

/// A row about answers per second, with the limit and what either should answer.
pub fn row(
    bench: &'static str,
    what: &str,
    (subject, expected): (&[Measured], u16),
    limit: Option<(&[Measured], u16)>,
) -> Row {
    let measured = rates(subject, expected);
    let limits = limit.map(|(rounds, expected)| rates(rounds, expected));
    let limit_errors = limit.map_or(0, |(rounds, expected)| errors(rounds, expected));
    Row {
        bench,
        what: what.to_owned(),
        measured: Spread::of(&measured),
        unit: "/s",
        ratio: limits.as_ref().map(|limits| ratios(&measured, limits)),
        limit: limits.map(|limits| Spread::of(&limits)),
        p50_ms: Some(percentile_ms(subject, 50.0)),
        p95_ms: Some(percentile_ms(subject, 95.0)),
        p99_ms: Some(percentile_ms(subject, 99.0)),
        errors: errors(subject, expected) + limit_errors,
        ..Row::default()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use loadtest::Measured;

    use super::{errors, rate, row, take};

    fn round(good: u64, bad: u64) -> Measured {
        let mut measured = Measured::default();
        for _ in 0..good {
            measured.record(Ok(200), Duration::from_millis(2));
        }
        for _ in 0..bad {
            measured.record(Ok(503), Duration::from_millis(1));
        }
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
