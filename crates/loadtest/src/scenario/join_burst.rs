//! The instant at which a sale is announced: many join within seconds, most of them at the start. Nobody is let in, so
//! that the line can be counted.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::json;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::check::{self, Check, Kind};
use crate::pacer::{self, Due};
use crate::progress::Progress;
use crate::recorder::Step;
use crate::run::Findings;
use crate::settings::Settings;
use crate::shop::{Shop, Trouble};
use crate::visitor::Stage;
use crate::{Connection, Profile};

const LIMIT: Duration = Duration::from_secs(10);
/// The public status is up to a second old.
const COUNTED: Duration = Duration::from_secs(10);
const AGAIN: Duration = Duration::from_millis(200);

/// A join that was answered.
#[derive(Debug, Clone, Copy)]
struct Joined {
    asked: Instant,
    answered: Instant,
    ticket: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Place {
    ticket_number: u64,
}

/// What the connections share.
struct Shared {
    due: Due,
    joined: RefCell<Vec<Joined>>,
}

/// Runs it.
pub(crate) async fn run(
    settings: &Settings,
    shop: Shop,
    progress: Progress,
) -> Result<Findings, Trouble> {
    let stage = Stage::new(settings, shop);
    let follow = tokio::task::spawn_local(progress.follow(Rc::clone(&stage)));
    let start = Instant::now();
    let arrivals = Profile::burst(settings.users, settings.duration).even();
    let calls = pacer::at_rate(start, arrivals, 1, settings.seed);
    let shared = Rc::new(Shared {
        due: Due::new(start, (settings.duration, LIMIT), calls),
        joined: RefCell::default(),
    });
    let mut connections = JoinSet::new();
    for number in 0..settings.connections {
        connections.spawn_local(join_what_is_due(
            Rc::clone(&stage),
            number,
            Rc::clone(&shared),
        ));
    }
    connections.join_all().await;
    let record = stage.recorder.finish();
    follow.abort();

    let joined = shared.joined.take();
    let count = joined.len() as u64;
    let mut checks = vec![
        Check::same(
            "visitors in the line",
            count,
            line_of(&stage.shop, count).await?,
        ),
        Check::at_most(
            Kind::Correct,
            "who came later and stands before",
            0,
            inversions(joined),
        ),
        check::errors(&settings.objective, &record),
    ];
    let join = record.step(Step::Join);
    checks.extend(check::speed(
        &settings.objective,
        "joins, from when they were due",
        &join,
    ));
    let late = join.late_percentile_ms(99.0);
    Ok(Findings {
        record,
        checks,
        notes: vec![
            format!(
                "{count} joined; the highest rate was {:.0}/s",
                peak(settings)
            ),
            format!("99 of 100 were sent within {late:.1} ms of when they were due"),
        ],
    })
}

fn peak(settings: &Settings) -> f64 {
    2.0 * settings.users as f64 / settings.duration.as_secs_f64().max(f64::MIN_POSITIVE)
}

async fn join_what_is_due(stage: Rc<Stage>, number: usize, shared: Rc<Shared>) {
    let gateways = &stage.shop.gateways;
    let target = gateways[number % gateways.len()].clone();
    let path = format!("/api/v1/queues/{}/tokens", stage.shop.queue);
    let mut connection = Connection::new(target.clone(), LIMIT);
    let mut request = Vec::new();
    while let Some((_, due)) = shared.due.next(&stage.recorder, Step::Join).await {
        let asked = Instant::now();
        request.clear();
        let body = json!({ "userId": Uuid::new_v4() }).to_string();
        target.request(&mut request, "POST", &path, &[], body.as_bytes());
        let said = stage.send(&mut connection, &request, Step::Join, due).await;
        let joined = said.read::<Place>().map(|place| Joined {
            asked,
            answered: Instant::now(),
            ticket: place.ticket_number,
        });
        shared.joined.borrow_mut().extend(joined);
    }
}

/// The length of the line, asked until it is what it should be or the answer cannot be old any more.
async fn line_of(shop: &Shop, wanted: u64) -> Result<u64, Trouble> {
    let deadline = Instant::now() + COUNTED;
    loop {
        let (waiting, active) = shop.standing().await?;
        if waiting + active == wanted || Instant::now() > deadline {
            return Ok(waiting + active);
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// How many have a smaller number than somebody who had the answer before they asked.
fn inversions(mut joined: Vec<Joined>) -> u64 {
    let mut answered: Vec<_> = joined.iter().map(|it| (it.answered, it.ticket)).collect();
    answered.sort_unstable();
    joined.sort_unstable_by_key(|it| it.asked);
    let (mut next, mut highest, mut found) = (0, 0, 0);
    for it in &joined {
        while answered.get(next).is_some_and(|(at, _)| *at < it.asked) {
            highest = highest.max(answered[next].1);
            next += 1;
        }
        found += u64::from(it.ticket <= highest);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_asked_after_an_answer_can_be_out_of_order() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let joined = |asked, answered, ticket| Joined {
            asked: at(asked),
            answered: at(answered),
            ticket,
        };
        assert_eq!(inversions(vec![]), 0);
        assert_eq!(inversions(vec![joined(0, 1, 10), joined(2, 3, 11)]), 0);
        assert_eq!(inversions(vec![joined(2, 3, 10), joined(0, 1, 11)]), 1);
        assert_eq!(
            inversions(vec![joined(0, 1, 10), joined(2, 3, 10)]),
            1,
            "a tie is no order"
        );
        // Both were on their way at the same time: either may be first.
        assert_eq!(inversions(vec![joined(0, 5, 11), joined(1, 4, 10)]), 0);
    }
}
