//! `proxy`: a small GET of somebody inside, through the gateway, against asking directly and against nginx, which
//! asks nobody whether it may.

use std::io;
use std::path::Path;

use anyhow::{Result, bail};
use loadtest::{Measured, Request, Target};
use testbed::{Neighbour, NeighbourKind};

use crate::fixture::{Fixture, QUEUE, Visitor, roomy};
use crate::report::{Row, Spread, percentiles_ms};
use crate::turns::{self, Side};

const CONNECTIONS: usize = 64;
/// So few that no request waits for a core.
const CALM: usize = 2;
/// The user's own list, which is empty.
const OWN: &str = "/api/v1/reservations";

/// The service behind the gateway is first a server that costs next to nothing, then booking.
pub fn run(fixture: &mut Fixture) -> Result<Vec<Row>> {
    let plan = fixture.plan.clone();
    fixture.rule(QUEUE, &roomy())?;
    let visitors = fixture.join(QUEUE, CONNECTIONS)?;
    let outside = visitors.iter().find(|it| it.state != "active");
    if let Some(visitor) = outside {
        bail!("{} is not inside", visitor.user);
    }
    let asks = |path: &str| -> Vec<Request> {
        let ask = |it: &Visitor| Request::get(path).bearer(&it.token);
        visitors.iter().map(ask).collect()
    };
    let with_passes = || -> Vec<Request> {
        let ask = |it: &Visitor| fixture.minter.admit(it.user, Request::get(OWN));
        visitors.iter().map(ask).collect()
    };
    let tiny = || asks("/tiny");
    let measure = |connections, limit: Target| {
        let sides: [Side<'_>; 2] = [(limit, &tiny), (fixture.front, &tiny)];
        turns::rounds(&plan, connections, &sides)
    };
    let crowd = measure(CONNECTIONS, fixture.limit)?;
    let calm = measure(CALM, fixture.limit)?;
    let nginx = nginx(fixture)?;
    let against = |it: &Neighbour| measure(CONNECTIONS, Target::local(it.port()));
    let against = nginx.as_ref().map(against).transpose()?;
    // A pass lives for thirty seconds, so each turn has its own.
    let own = turns::rounds(
        &plan,
        CONNECTIONS,
        &[
            (fixture.booking, &with_passes),
            (fixture.gateway, &|| asks(OWN)),
        ],
    )?;
    let crowd_row = row("a small answer", CONNECTIONS, &crowd);
    let mut rows = vec![crowd_row.share_of_limit(40.0)];
    if let Some(rounds) = against {
        let what = "a small answer, against nginx proxy_pass";
        rows.push(row(what, CONNECTIONS, &rounds).share_of_limit(80.0));
    }
    rows.push(added(&calm));
    rows.push(row("booking's list of reservations", CONNECTIONS, &own));
    Ok(rows)
}

/// nginx's `proxy_pass` before the same smallest server, where nginx is installed.
fn nginx(fixture: &Fixture) -> Result<Option<Neighbour>> {
    let template = Path::new(env!("CARGO_MANIFEST_DIR")).join("nginx.conf");
    let folder = fixture.folder().join("nginx");
    let behind = fixture.limit.address().to_string();
    let replacements = [("127.0.0.1:3000", behind.as_str())];
    match Neighbour::start(NeighbourKind::Nginx, &folder, &template, &replacements) {
        Ok(nginx) => Ok(Some(nginx)),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(cause.into()),
    }
}

fn row(what: &str, connections: usize, rounds: &[Vec<Measured>]) -> Row {
    let what = format!("{what}, {connections} connections");
    turns::row(what, 200, &rounds[1], &rounds[0])
}

/// What the gateway adds to the median, round by round.
fn added(rounds: &[Vec<Measured>]) -> Row {
    let [limit, subject] = [&rounds[0], &rounds[1]].map(|it| percentiles_ms(it, 50.0));
    let rounds_of_both = subject.iter().zip(&limit);
    let added: Vec<_> = rounds_of_both.map(|(it, limit)| it - limit).collect();
    let what = format!("added to the median of a small answer, {CALM} connections");
    let mut row = Row::of(what, &added, "ms").latencies(&rounds[1]);
    row.limit = Some(Spread::of(&[Spread::of(&limit).median]));
    row.errors = rounds.iter().map(|it| turns::errors(it, 200)).sum();
    row.below(0.3)
        .note("the limit is the median of the direct answer")
}
