//! `join`: new places, against the smallest server that does one ZADD.

use anyhow::Result;
use loadtest::{Request, closed};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::fixture::{Fixture, full};
use crate::report::Row;
use crate::turns;

const CONNECTIONS: usize = 64;
const QUEUE: &str = "join";
const LIMIT_QUEUE: &str = "join-limit";

/// Nobody leaves and nobody enters: both lines grow by what is measured.
pub fn run(fixture: &mut Fixture) -> Result<Vec<Row>> {
    let plan = fixture.plan.clone();
    fixture.rule(QUEUE, &full())?;
    fixture.join(QUEUE, 1)?;
    let (gateway, limit) = (fixture.gateway, fixture.limit);
    let add = |_| {
        || {
            let path = format!("/join/{LIMIT_QUEUE}/{}", Uuid::new_v4());
            Request::post(&path, &Value::Null)
        }
    };
    let join = |_| {
        let path = format!("/api/v1/queues/{QUEUE}/tokens");
        move || Request::post(&path, &json!({ "userId": Uuid::new_v4() }))
    };
    let rounds = turns::take(
        plan.rounds,
        &mut [
            &mut || Ok(closed((limit, CONNECTIONS), plan.span(), add)?),
            &mut || Ok(closed((gateway, CONNECTIONS), plan.span(), join)?),
        ],
    )?;
    let joined = fixture.line.count(QUEUE, "waiting")?;
    fixture.remove(QUEUE)?;
    let what = format!("new visitors, {CONNECTIONS} connections");
    let row = turns::row(what, 201, &rounds[1], &rounds[0]);
    let row = row.share_of_limit(80.0).faster(99, 7.5);
    Ok(vec![row.note(format!("{joined} waited at the end"))])
}
