//! `poll`: a place in the line, against the smallest server that asks one ZRANK.

use std::io;
use std::sync::Arc;

use loadtest::Target;
use serde_json::json;

use crate::fixture::{Fixture, Visitor};
use crate::report::{Goal, Row, count};
use crate::turns;

const CONNECTIONS: usize = 64;
const FEW: &str = "poll-few";
const MANY: &str = "poll-many";

/// Both lines stand still: one visitor is inside and stays.
pub fn run(fixture: &mut Fixture) -> io::Result<Vec<Row>> {
    let plan = fixture.plan.clone();
    let few = line_up(fixture, FEW)?;
    let many = line_up(fixture, MANY)?;
    let tickets: Vec<_> = many.iter().map(|it| it.ticket).collect();
    fixture
        .line
        .spread(MANY, plan.many.saturating_sub(many.len()), &tickets)?;

    let (gateway, limit) = (fixture.gateway(), fixture.limit());
    let rank = |queue: &str, visitor: &Visitor| format!("/rank/{queue}/{}", visitor.user);
    let ranks: Vec<_> = few
        .iter()
        .map(|it| get(&limit, &rank(FEW, it), None))
        .collect();
    let many_ranks: Vec<_> = many
        .iter()
        .map(|it| get(&limit, &rank(MANY, it), None))
        .collect();
    let (ranks, many_ranks) = (Arc::new(ranks), Arc::new(many_ranks));
    let (few, many) = (polls(&gateway, FEW, &few), polls(&gateway, MANY, &many));
    let rounds = turns::take(
        plan.rounds,
        &mut [
            &mut || turns::repeat(&plan, CONNECTIONS, &limit, &ranks),
            &mut || turns::repeat(&plan, CONNECTIONS, &gateway, &few),
            &mut || turns::repeat(&plan, CONNECTIONS, &gateway, &many),
            &mut || turns::repeat(&plan, CONNECTIONS, &limit, &many_ranks),
        ],
    )?;
    fixture.remove(FEW)?;
    fixture.remove(MANY)?;
    let name = |size| format!("{} waiting, {CONNECTIONS} connections", count(size));
    let few = turns::row(
        "poll",
        &name(plan.few),
        (&rounds[1], 200),
        Some((&rounds[0], 200)),
    );
    let against = turns::row(
        "poll",
        &format!("{}, against {}", name(plan.many), count(plan.few)),
        (&rounds[2], 200),
        Some((&rounds[1], 200)),
    );
    let many = turns::row(
        "poll",
        &name(plan.many),
        (&rounds[2], 200),
        Some((&rounds[3], 200)),
    );
    Ok(vec![
        with_goals(few),
        with_goals(many),
        against.share_of_limit(90.0),
    ])
}

fn with_goals(row: Row) -> Row {
    let p99 = row.p99_ms.unwrap_or(f64::INFINITY);
    row.share_of_limit(70.0)
        .goal(Goal::below("p99", p99, 6.0, "ms"))
}

/// A line of true visitors behind one who stays inside.
fn line_up(fixture: &Fixture, queue: &str) -> io::Result<Vec<Visitor>> {
    fixture.rule(queue, &full())?;
    let inside = fixture.join(queue, 1)?;
    if inside[0].state != "active" {
        return Err(io::Error::other("nobody is inside"));
    }
    fixture.join(queue, fixture.plan.few)
}

/// The rules of a queue in which one visitor fills all the room for as long as there is.
pub fn full() -> serde_json::Value {
    json!({
        "state": "open", "maxActive": 1, "leaseSeconds": 86_400, "claimSeconds": 60,
        "maxWaiting": 10_000_000,
    })
}

fn polls(gateway: &Target, queue: &str, visitors: &[Visitor]) -> Arc<Vec<Vec<u8>>> {
    let path = format!("/api/v1/queues/{queue}/tokens/me");
    let poll = |it: &Visitor| get(gateway, &path, Some(&it.bearer));
    Arc::new(visitors.iter().map(poll).collect())
}

/// A GET as it goes over the wire.
pub fn get(target: &Target, path: &str, bearer: Option<&str>) -> Vec<u8> {
    let headers: Vec<_> = bearer.map(|it| ("Authorization", it)).into_iter().collect();
    let mut request = Vec::new();
    target.request(&mut request, "GET", path, &headers, b"");
    request
}
