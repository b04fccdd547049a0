//! `one-seat`: a crowd that wants the same seat at the same moment, through the gateway. It is the scenario of that name
//! of the load tool, in which all are inside and connected before.

use anyhow::{Error, Result};
use loadtest::settings::Settings;
use loadtest::{Class, Measured, Progress, Scenario, Size, Step};

use crate::fixture::Fixture;
use crate::report::{Row, count, percentiles_ms};

/// A seat and a crowd for each round.
pub fn run(fixture: &mut Fixture) -> Result<Vec<Row>> {
    let settings = Settings {
        users: fixture.plan.buyers as u64,
        ..Scenario::OneSeat.defaults(Size::Small)
    };
    let key = fixture.stack.operator_key();
    let round = |_| {
        let outcome = loadtest::run(&settings, vec![fixture.gateway], key, Progress::Silent);
        Ok(outcome.map_err(Error::msg)?.record.step(Step::Reserve))
    };
    let rounds = (0..fixture.plan.rounds)
        .map(round)
        .collect::<Result<Vec<_>>>()?;
    Ok(vec![row(fixture.plan.buyers, &rounds)])
}

fn row(buyers: usize, rounds: &[Measured]) -> Row {
    let all = |status: u16, wanted: usize| {
        let mut counts = rounds.iter().map(|it| it.with(Ok(status)));
        counts.all(|count| count == wanted as u64)
    };
    let (one, others) = (all(201, 1), all(409, buyers - 1));
    let errors = rounds.iter().map(|it| it.of(Class::Error)).sum();
    let p95 = percentiles_ms(rounds, 95.0);
    let what = format!("{} buyers at once, p95", count(buyers));
    let mut row = Row::of(what, &p95, "ms").latencies(rounds);
    row.errors = errors;
    row.goal("1 × 201", one)
        .goal(format!("{} × 409", count(buyers - 1)), others)
        .faster(95, 250.0)
        .goal("0 errors", errors == 0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::row;

    fn met(statuses: &[(u16, usize)]) -> Vec<bool> {
        let all = statuses
            .iter()
            .flat_map(|(status, count)| vec![*status; *count]);
        let all = all.map(|status| (Ok(status), Duration::from_millis(1)));
        let row = row(10, &[all.collect()]);
        row.goals.iter().map(|goal| goal.met).collect()
    }

    #[test]
    fn exactly_one_wins_and_all_others_are_told_so() {
        assert_eq!(met(&[(201, 1), (409, 9)]), [true, true, true, true]);
        assert_eq!(met(&[(201, 2), (409, 8)]), [false, false, true, true]);
        assert_eq!(
            met(&[(201, 1), (409, 8), (503, 1)]),
            [true, false, true, false]
        );
    }
}
