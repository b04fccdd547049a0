//! `availability`: all seats of a date, read by a crowd, new and unchanged.

use anyhow::{Context as _, Result};
use loadtest::Request;

use crate::fixture::{Caller, Fixture, QUEUE, roomy};
use crate::limit::TAG;
use crate::report::Row;
use crate::turns;

const CONNECTIONS: usize = 64;

/// Nothing is sold meanwhile: the cache is looked up again when its age is over, as always.
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
    let row = |what: String, subject: usize, limit: usize, status: u16| {
        let limit = (&rounds[limit][..], status);
        turns::row("availability", &what, (&rounds[subject], status), limit)
    };
    let seats = plan.seats;
    let direct = row(format!("{seats} seats, booking, gzip"), 1, 0, 200);
    let through = format!("{seats} seats, through the gateway, gzip");
    let unchanged = row("unchanged, 304, booking".into(), 4, 3, 304);
    Ok(vec![
        direct.faster(95, 10.0),
        row(through, 2, 0, 200).faster(95, 10.0),
        unchanged.share_of_limit(50.0),
    ])
}
