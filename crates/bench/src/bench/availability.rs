//! `availability`: all seats of a date, read by a crowd, new and unchanged.

use anyhow::{Context as _, Result};
use loadtest::Request;

use crate::fixture::{Caller, Fixture, QUEUE, roomy};
use crate::limit::TAG;
use crate::report::Row;
use crate::turns;

const CONNECTIONS: usize = 64;

/// Nothing is sold meanwhile. The cache is renewed when its age is over, as always.
pub fn run(fixture: &mut Fixture) -> Result<Vec<Row>> {
    let plan = fixture.plan.clone();
    fixture.rule(QUEUE, &roomy())?;
    let path = format!("/api/v1/schedules/{}/seats", fixture.date(plan.seats)?);
    let (booking, gateway, limit) = (fixture.booking, fixture.gateway, fixture.limit);
    let inside = fixture.join(QUEUE, 1)?;
    let list = || Request::get(&path).with("accept-encoding", "gzip");
    let direct = || fixture.minter.clone().admit(inside[0].user, list());
    let said = Caller::of(booking)?.send(direct())?;
    let tag = said.header("etag").context("seats without ETag")?;
    let rounds = turns::rounds(
        &plan,
        CONNECTIONS,
        &[
            (limit, &|| vec![Request::get("/tiny")]),
            // A pass lives for thirty seconds, so each turn has its own.
            (booking, &|| vec![direct()]),
            (gateway, &|| vec![list().bearer(&inside[0].token)]),
            (limit, &|| {
                vec![Request::get("/known").with("if-none-match", TAG)]
            }),
            (booking, &|| vec![direct().with("if-none-match", tag)]),
        ],
    )?;
    let seats = plan.seats;
    let direct = format!("{seats} seats, booking, gzip");
    let through = format!("{seats} seats, through the gateway, gzip");
    let unchanged = "unchanged, 304, booking";
    Ok(vec![
        turns::row(direct, 200, &rounds[1], &rounds[0]).faster(95, 10.0),
        turns::row(through, 200, &rounds[2], &rounds[0]).faster(95, 10.0),
        turns::row(unchanged, 304, &rounds[4], &rounds[3]).share_of_limit(50.0),
    ])
}
