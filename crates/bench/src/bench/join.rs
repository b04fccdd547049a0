//! `join`: new places, against the smallest server that does one ZADD.

use std::io;

use loadtest::Target;
use serde_json::json;
use uuid::Uuid;

use super::poll::full;
use crate::fixture::Fixture;
use crate::report::{Goal, Row};
use crate::turns;

const CONNECTIONS: usize = 64;
const QUEUE: &str = "join";
const LIMIT_QUEUE: &str = "join-limit";

/// Nobody leaves and nobody enters: both lines grow by what is measured.
pub fn run(fixture: &mut Fixture) -> io::Result<Vec<Row>> {
    let plan = fixture.plan.clone();
    fixture.rule(QUEUE, &full())?;
    fixture.join(QUEUE, 1)?;
    let (gateway, limit) = (fixture.gateway(), fixture.limit());
    let closed = turns::closed(&plan, CONNECTIONS);
    let rounds = turns::take(
        plan.rounds,
        &mut [&mut || closed.run(&limit, |_| add(&limit)), &mut || {
            closed.run(&gateway, |_| join(&gateway))
        }],
    )?;
    let joined = fixture.line.count(QUEUE, "waiting")?;
    fixture.remove(QUEUE)?;
    let what = format!("new visitors, {CONNECTIONS} connections");
    let row = turns::row("join", &what, (&rounds[1], 201), Some((&rounds[0], 201)));
    let p99 = row.p99_ms.unwrap_or(f64::INFINITY);
    Ok(vec![
        row.share_of_limit(60.0)
            .goal(Goal::below("p99", p99, 7.5, "ms"))
            .note(format!("{joined} waited at the end")),
    ])
}

fn add(limit: &Target) -> impl FnMut(&mut Vec<u8>) + 'static {
    let limit = limit.clone();
    move |buffer| {
        let path = format!("/join/{LIMIT_QUEUE}/{}", Uuid::new_v4());
        limit.request(buffer, "POST", &path, &[], b"");
    }
}

fn join(gateway: &Target) -> impl FnMut(&mut Vec<u8>) + 'static {
    let (gateway, path) = (gateway.clone(), format!("/api/v1/queues/{QUEUE}/tokens"));
    move |buffer| {
        let body = json!({ "userId": Uuid::new_v4() }).to_string();
        gateway.request(buffer, "POST", &path, &[], body.as_bytes());
    }
}
