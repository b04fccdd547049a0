//! `availability`: all seats of a date, read by a crowd, new and unchanged.

use std::io;
use std::sync::Arc;

use loadtest::Target;
use serde_json::Value;

use super::poll::get;
use super::proxy::roomy;
use crate::fixture::{Caller, Fixture, QUEUE};
use crate::limit::TAG;
use crate::report::{Goal, Row};
use crate::turns;

const CONNECTIONS: usize = 64;

/// Nothing is sold meanwhile: the cache is looked up again when its age is over, as always.
pub fn run(fixture: &mut Fixture) -> io::Result<Vec<Row>> {
    let plan = fixture.plan.clone();
    fixture.rule(QUEUE, &roomy())?;
    let path = format!("/api/v1/schedules/{}/seats", fixture.date(plan.seats)?);
    let (booking, gateway, limit) = (fixture.booking(), fixture.gateway(), fixture.limit());
    let inside = fixture.join(QUEUE, 1)?;
    let pass = || fixture.minter().pass(inside[0].user);
    let said = Caller::of(booking.clone())?.ask(
        "GET",
        &path,
        &[("X-Usher-Pass", &pass()), ZIPPED],
        &Value::Null,
    )?;
    let tag = said
        .tag
        .ok_or_else(|| io::Error::other("seats without ETag"))?;
    let bearer = inside[0].bearer.as_str();
    let known = one(&limit, "/known", &[("If-None-Match", TAG)]);
    let tiny = Arc::new(vec![get(&limit, "/tiny", None)]);
    let through = one(&gateway, &path, &[("Authorization", bearer), ZIPPED]);
    let rounds = turns::take(
        plan.rounds,
        &mut [
            &mut || turns::repeat(&plan, CONNECTIONS, &limit, &tiny),
            &mut || {
                let asks = one(&booking, &path, &[("X-Usher-Pass", &pass()), ZIPPED]);
                turns::repeat(&plan, CONNECTIONS, &booking, &asks)
            },
            &mut || turns::repeat(&plan, CONNECTIONS, &gateway, &through),
            &mut || turns::repeat(&plan, CONNECTIONS, &limit, &known),
            &mut || {
                let headers = [("X-Usher-Pass", &*pass()), ZIPPED, ("If-None-Match", &*tag)];
                let asks = one(&booking, &path, &headers);
                turns::repeat(&plan, CONNECTIONS, &booking, &asks)
            },
        ],
    )?;
    let row = |what: String, subject: usize, limit: usize, status: u16| {
        let expected = if status == 304 { 304 } else { 200 };
        let limit = Some((&rounds[limit][..], expected));
        turns::row("availability", &what, (&rounds[subject], status), limit)
    };
    let fast = |row: Row| {
        let p95 = row.p95_ms.unwrap_or(f64::INFINITY);
        row.goal(Goal::below("p95", p95, 10.0, "ms"))
    };
    let seats = plan.seats;
    let unchanged = row("unchanged, 304, booking".into(), 4, 3, 304);
    Ok(vec![
        fast(row(format!("{seats} seats, booking, gzip"), 1, 0, 200)),
        fast(row(
            format!("{seats} seats, through the gateway, gzip"),
            2,
            0,
            200,
        )),
        unchanged.share_of_limit(50.0),
    ])
}

const ZIPPED: (&str, &str) = ("Accept-Encoding", "gzip");

fn one(target: &Target, path: &str, headers: &[(&str, &str)]) -> Arc<Vec<Vec<u8>>> {
    let mut request = Vec::new();
    target.request(&mut request, "GET", path, headers, b"");
    Arc::new(vec![request])
}
