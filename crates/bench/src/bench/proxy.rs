//! `proxy`: a small GET of somebody inside, through the gateway, against asking directly.

use std::io;
use std::sync::Arc;

use loadtest::{Measured, Target};
use serde_json::json;
use uuid::Uuid;

use super::poll::get;
use crate::fixture::{Fixture, QUEUE};
use crate::plan::Plan;
use crate::report::{Goal, Row, Spread};
use crate::turns;

const CONNECTIONS: usize = 64;
/// So few that nobody waits for a core.
const CALM: usize = 2;
/// A list that is empty, for this user.
const OWN: &str = "/api/v1/reservations";

/// Behind the gateway is once a server that costs next to nothing, and once booking.
pub fn run(fixture: &mut Fixture) -> io::Result<Vec<Row>> {
    let plan = fixture.plan.clone();
    fixture.rule(QUEUE, &roomy())?;
    let visitors = fixture.join(QUEUE, CONNECTIONS)?;
    let outside = visitors.iter().find(|it| it.state != "active");
    if let Some(visitor) = outside {
        return Err(io::Error::other(format!("{} is not inside", visitor.user)));
    }
    let bearer = |target: &Target, path: &str| {
        let each = visitors
            .iter()
            .map(|it| get(target, path, Some(&it.bearer)));
        Arc::new(each.collect::<Vec<_>>())
    };
    let (limit, front) = (fixture.limit(), fixture.front());
    let (direct, through) = (bearer(&limit, "/tiny"), bearer(&front, "/tiny"));
    let crowd = measure(&plan, CONNECTIONS, (&limit, &direct), (&front, &through))?;
    let calm = measure(&plan, CALM, (&limit, &direct), (&front, &through))?;
    let (booking, gateway) = (fixture.booking(), fixture.gateway());
    let through = bearer(&gateway, OWN);
    let own = turns::take(
        plan.rounds,
        &mut [
            // A pass lives for thirty seconds, so each turn has its own.
            &mut || {
                turns::repeat(
                    &plan,
                    CONNECTIONS,
                    &booking,
                    &with_passes(fixture, &booking),
                )
            },
            &mut || turns::repeat(&plan, CONNECTIONS, &gateway, &through),
        ],
    )?;
    let crowd_row = row("a small answer", CONNECTIONS, &crowd);
    Ok(vec![
        crowd_row.share_of_limit(40.0),
        added(&calm),
        row("booking's list of reservations", CONNECTIONS, &own),
    ])
}

/// Lets everybody in at once.
pub fn roomy() -> serde_json::Value {
    json!({
        "state": "open", "maxActive": 1_000_000, "admitPerSecond": 100_000,
        "leaseSeconds": 86_400, "claimSeconds": 3_600,
    })
}

type Side<'a> = (&'a Target, &'a Arc<Vec<Vec<u8>>>);

fn measure(
    plan: &Plan,
    connections: usize,
    limit: Side<'_>,
    subject: Side<'_>,
) -> io::Result<Vec<Vec<Measured>>> {
    turns::take(
        plan.rounds,
        &mut [
            &mut || turns::repeat(plan, connections, limit.0, limit.1),
            &mut || turns::repeat(plan, connections, subject.0, subject.1),
        ],
    )
}

fn row(what: &str, connections: usize, rounds: &[Vec<Measured>]) -> Row {
    let what = format!("{what}, {connections} connections");
    turns::row("proxy", &what, (&rounds[1], 200), Some((&rounds[0], 200)))
}

/// What the gateway adds to the median, round by round.
fn added(rounds: &[Vec<Measured>]) -> Row {
    let pairs = rounds[1].iter().zip(&rounds[0]);
    let added: Vec<_> = pairs
        .map(|(subject, limit)| subject.percentile_ms(50.0) - limit.percentile_ms(50.0))
        .collect();
    let added = Spread::of(&added);
    let row = row("added to the median of a small answer", CALM, rounds);
    Row {
        measured: added,
        limit: Some(Spread::of(&[turns::percentile_ms(&rounds[0], 50.0)])),
        ratio: None,
        unit: "ms",
        ..row
    }
    .goal(Goal::below("", added.median, 0.3, "ms"))
    .note("the limit is the median of the direct answer")
}

fn with_passes(fixture: &Fixture, booking: &Target) -> Arc<Vec<Vec<u8>>> {
    let minter = fixture.minter();
    let ask = |_| {
        let (pass, mut request) = (minter.pass(Uuid::new_v4()), Vec::new());
        booking.request(&mut request, "GET", OWN, &[("X-Usher-Pass", &pass)], b"");
        request
    };
    Arc::new((0..CONNECTIONS).map(ask).collect())
}
