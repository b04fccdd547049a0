//! `poll`: a place in the line, against the smallest server that asks one ZRANK.

use anyhow::{Result, ensure};
use loadtest::Request;

use crate::fixture::{Fixture, Visitor, full};
use crate::report::{Row, count};
use crate::turns;

const CONNECTIONS: usize = 64;
const FEW: &str = "poll-few";
const MANY: &str = "poll-many";

/// Neither line moves: one visitor is inside and stays.
pub fn run(fixture: &mut Fixture) -> Result<Vec<Row>> {
    let plan = fixture.plan.clone();
    let few = line_up(fixture, FEW)?;
    let many = line_up(fixture, MANY)?;
    let tickets: Vec<_> = many.iter().map(|it| it.ticket_number).collect();
    let missing = plan.many.saturating_sub(many.len());
    fixture.line.spread(MANY, missing, &tickets)?;

    let (gateway, limit) = (fixture.gateway, fixture.limit);
    let ranks = |queue: &str, visitors: &[Visitor]| -> Vec<Request> {
        let path = |it: &Visitor| format!("/rank/{queue}/{}", it.user);
        visitors.iter().map(|it| Request::get(&path(it))).collect()
    };
    let polls = |queue: &str, visitors: &[Visitor]| -> Vec<Request> {
        let path = format!("/api/v1/queues/{queue}/tokens/me");
        let poll = |it: &Visitor| Request::get(&path).bearer(&it.token);
        visitors.iter().map(poll).collect()
    };
    let rounds = turns::rounds(
        &plan,
        CONNECTIONS,
        &[
            (limit, &|| ranks(FEW, &few)),
            (gateway, &|| polls(FEW, &few)),
            (gateway, &|| polls(MANY, &many)),
            (limit, &|| ranks(MANY, &many)),
        ],
    )?;
    fixture.remove(FEW)?;
    fixture.remove(MANY)?;
    let name = |size| format!("{} waiting, {CONNECTIONS} connections", count(size));
    let against = format!("{}, against {}", name(plan.many), count(plan.few));
    let few = turns::row(name(plan.few), 200, &rounds[1], &rounds[0]);
    let many = turns::row(name(plan.many), 200, &rounds[2], &rounds[3]);
    let against = turns::row(against, 200, &rounds[2], &rounds[1]);
    Ok(vec![
        few.share_of_limit(70.0).faster(99, 6.0),
        many.share_of_limit(70.0).faster(99, 6.0),
        against.share_of_limit(90.0),
    ])
}

/// A line of visitors with tokens, behind one who stays inside.
fn line_up(fixture: &mut Fixture, queue: &str) -> Result<Vec<Visitor>> {
    fixture.rule(queue, &full())?;
    let inside = fixture.join(queue, 1)?;
    ensure!(inside[0].state == "active", "nobody is inside");
    let visitors = fixture.join(queue, fixture.plan.few)?;
    let users = visitors.iter().map(|it| *it.user.as_bytes());
    fixture.line.keep(queue, users)?;
    Ok(visitors)
}
