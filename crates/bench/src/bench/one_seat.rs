//! `one-seat`: a crowd that wants the same seat at the same moment, through the gateway.

use std::io;

use loadtest::{Class, Measured};
use serde_json::json;

use super::poll::get;
use super::proxy::roomy;
use crate::fixture::{Fixture, QUEUE, Visitor};
use crate::report::{Goal, Row, Spread, count};
use crate::turns;

/// A seat for each round. Connections stand before the moment comes; each buyer has one.
pub fn run(fixture: &mut Fixture) -> io::Result<Vec<Row>> {
    let (rounds, buyers) = (fixture.plan.rounds, fixture.plan.buyers);
    fixture.rule(QUEUE, &roomy())?;
    let crowd = fixture.join(QUEUE, buyers)?;
    let date = fixture.date(rounds.max(50))?;
    let gateway = fixture.gateway();
    let want = |visitor: &Visitor, seat: usize| {
        let body = json!({ "scheduleId": date, "seatNumbers": [seat] }).to_string();
        let (headers, mut request) = ([("Authorization", visitor.bearer.as_str())], Vec::new());
        let path = "/api/v1/reservations";
        gateway.request(&mut request, "POST", path, &headers, body.as_bytes());
        request
    };
    let hello = get(&gateway, "/live", None);
    let measured = (1..=rounds)
        .map(|seat| {
            let wants = crowd.iter().map(|visitor| want(visitor, seat)).collect();
            turns::at_once(&gateway, &hello, wants)
        })
        .collect::<io::Result<Vec<_>>>()?;
    Ok(vec![row(buyers, &measured)])
}

fn row(buyers: usize, rounds: &[Measured]) -> Row {
    let of = |status: u16| {
        rounds
            .iter()
            .map(move |it| it.statuses().get(&status).copied())
    };
    let one = of(201).all(|winners| winners == Some(1));
    let others = of(409).all(|losers| losers == Some(buyers as u64 - 1));
    let errors = rounds.iter().map(|it| it.of(Class::Error)).sum();
    let p95: Vec<_> = rounds.iter().map(|it| it.percentile_ms(95.0)).collect();
    let p95 = Spread::of(&p95);
    Row {
        bench: "one-seat",
        what: format!("{} buyers at once, p95", count(buyers)),
        measured: p95,
        unit: "ms",
        p50_ms: Some(turns::percentile_ms(rounds, 50.0)),
        p95_ms: Some(p95.median),
        p99_ms: Some(turns::percentile_ms(rounds, 99.0)),
        errors,
        ..Row::default()
    }
    .goal(Goal::is("1 × 201", one))
    .goal(Goal::is(&format!("{} × 409", count(buyers - 1)), others))
    .goal(Goal::below("p95", p95.median, 250.0, "ms"))
    .goal(Goal::is("0 errors", errors == 0))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use loadtest::Measured;

    use super::row;

    fn met(statuses: &[(u16, u64)]) -> Vec<bool> {
        let mut measured = Measured::default();
        for (status, count) in statuses {
            for _ in 0..*count {
                measured.record(Ok(*status), Duration::from_millis(1));
            }
        }
        let row = row(10, &[measured]);
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
