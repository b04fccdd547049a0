//! Those who wait: a line of any length, whose visitors ask for their place as they are told or at a fixed rate.
//!
//! Nobody is let in. A poller is a token and the position that it heard last; connections are shared, since a thousand
//! idle ones of each would measure the kernel.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::json;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::check::{self, Check, Kind};
use crate::pacer::{self, Call, Due};
use crate::progress::Progress;
use crate::recorder::Step;
use crate::run::Findings;
use crate::settings::Settings;
use crate::shop::{Shop, Trouble};
use crate::visitor::Stage;
use crate::{Connection, Profile};

const LIMIT: Duration = Duration::from_secs(10);
/// Tokens that are kept, 400 bytes each; of a longer line every n-th visitor polls.
const MOST_POLLERS: u64 = 100_000;
/// A long filling says how far it is.
const TOLD_EACH: u64 = 100_000;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Place {
    position: Option<u64>,
    poll_after_ms: u64,
    token: Option<String>,
}

/// Somebody who waits and asks.
#[derive(Debug)]
struct Poller {
    bearer: String,
    position: u64,
    pause: Duration,
}

/// What the connections share.
struct Shared {
    pollers: RefCell<Vec<Poller>>,
    due: Due,
    /// Where the next call of a poller is told; none at a fixed rate.
    next: Option<Sender<Call>>,
    went_up: Cell<u64>,
}

/// Runs it.
pub(crate) async fn run(
    settings: &Settings,
    shop: Shop,
    progress: Progress,
) -> Result<Findings, Trouble> {
    let began = Instant::now();
    let pollers = fill(&shop, settings, progress).await?;
    let filled = began.elapsed();
    let (polling, seconds) = (pollers.len(), filled.as_secs_f64());
    progress.say(&format!(
        "{} wait after {seconds:.1} s; {polling} of them poll",
        settings.waiting
    ));

    let stage = Stage::new(settings, shop);
    let follow = tokio::task::spawn_local(progress.follow(Rc::clone(&stage)));
    stage.recorder.visitors.set(polling as u64);
    let shared = Shared::begin(settings, pollers);
    let mut connections = JoinSet::new();
    for number in 0..settings.connections {
        let (stage, shared) = (Rc::clone(&stage), Rc::clone(&shared));
        connections.spawn_local(poll_what_is_due(stage, number, shared));
    }
    connections.join_all().await;
    let record = stage.recorder.finish();
    follow.abort();

    let poll = record.step(Step::Poll);
    let went_up = shared.went_up.get();
    let mut checks = vec![
        Check::at_most(Kind::Correct, "positions that went up", 0, went_up),
        check::errors(&settings.objective, &record),
    ];
    let what = "polls, from when they were due";
    checks.extend(check::speed(&settings.objective, what, &poll));
    let late = poll.late_percentile_ms(99.0);
    let rate = settings.waiting as f64 / seconds;
    Ok(Findings {
        record,
        checks,
        notes: vec![
            format!("the line was filled at {rate:.0} joins/s"),
            format!("99 of 100 were sent within {late:.1} ms of when they were due"),
        ],
    })
}

/// A line that is being filled.
struct Filling {
    shop: Shop,
    all: u64,
    /// How many shall still join.
    left: Cell<u64>,
    /// Each of so many is kept as a poller.
    every: u64,
    progress: Progress,
    pollers: RefCell<Vec<Poller>>,
}

/// Lets all join, as fast as the connections can.
async fn fill(
    shop: &Shop,
    settings: &Settings,
    progress: Progress,
) -> Result<Vec<Poller>, Trouble> {
    let filling = Rc::new(Filling {
        shop: shop.clone(),
        all: settings.waiting,
        left: Cell::new(settings.waiting),
        every: settings.waiting.div_ceil(MOST_POLLERS),
        progress,
        pollers: RefCell::default(),
    });
    let mut connections = JoinSet::new();
    for number in 0..settings.connections {
        connections.spawn_local(join_those_left(Rc::clone(&filling), number));
    }
    while let Some(ended) = connections.join_next().await {
        ended.unwrap_or_else(|_| Err("a connection panicked".to_owned()))?;
    }
    Ok(filling.pollers.take())
}

async fn join_those_left(filling: Rc<Filling>, number: usize) -> Result<(), Trouble> {
    let gateways = &filling.shop.gateways;
    let target = gateways[number % gateways.len()].clone();
    let path = format!("/api/v1/queues/{}/tokens", filling.shop.queue);
    let (mut connection, mut request) = (Connection::new(target.clone(), LIMIT), Vec::new());
    while let Some(left) = filling.left.get().checked_sub(1) {
        filling.left.set(left);
        request.clear();
        let body = json!({ "userId": Uuid::new_v4() }).to_string();
        target.request(&mut request, "POST", &path, &[], body.as_bytes());
        let answer = connection.send(&request).await;
        let answer = answer.map_err(|fault| format!("join: {fault}"))?;
        let place: Option<Place> = serde_json::from_slice(answer.body).ok();
        let refused = || format!("join answered {}", answer.status);
        let place = place.ok_or_else(refused)?;
        let token = place.token.as_ref().ok_or_else(refused)?;
        if left.is_multiple_of(filling.every) {
            filling.pollers.borrow_mut().push(Poller {
                bearer: format!("Bearer {token}"),
                position: place.position.unwrap_or(u64::MAX),
                pause: Duration::from_millis(place.poll_after_ms),
            });
        }
        if left > 0 && left.is_multiple_of(TOLD_EACH) {
            let joined = filling.all - left;
            filling
                .progress
                .say(&format!("{joined} of {} joined", filling.all));
        }
    }
    Ok(())
}

async fn poll_what_is_due(stage: Rc<Stage>, number: usize, shared: Rc<Shared>) {
    let gateways = &stage.shop.gateways;
    let target = gateways[number % gateways.len()].clone();
    let path = format!("/api/v1/queues/{}/tokens/me", stage.shop.queue);
    let (mut connection, mut request) = (Connection::new(target.clone(), LIMIT), Vec::new());
    while let Some((who, due)) = shared.due.next(&stage.recorder, Step::Poll).await {
        request.clear();
        {
            let pollers = shared.pollers.borrow();
            let headers = [("Authorization", pollers[who].bearer.as_str())];
            target.request(&mut request, "GET", &path, &headers, b"");
        }
        let said = stage.send(&mut connection, &request, Step::Poll, due).await;
        let mut pause = Duration::from_secs(1);
        if let Some(place) = said.read::<Place>() {
            pause = Duration::from_millis(place.poll_after_ms);
            shared.heard(who, place.position);
        }
        if let Some(next) = &shared.next {
            let due = shared.due.start.elapsed() + pause;
            // The pacer is gone when the time is over.
            let _ = next.send(Call { due, who });
        }
    }
}

impl Shared {
    /// Lets the pacer begin.
    fn begin(settings: &Settings, pollers: Vec<Poller>) -> Rc<Self> {
        let start = Instant::now();
        let (length, seed) = (settings.duration, settings.seed);
        let (due, next) = if settings.rate > 0.0 {
            let arrivals = Profile::steady(settings.rate, length).random(seed);
            (pacer::at_rate(start, arrivals, pollers.len(), seed), None)
        } else {
            let pauses = pollers.iter().map(|it| it.pause).collect();
            let (due, next) = pacer::as_told(start, length, pauses, seed);
            (due, Some(next))
        };
        Rc::new(Self {
            pollers: RefCell::new(pollers),
            due: Due::new(start, (length, LIMIT), due),
            next,
            went_up: Cell::new(0),
        })
    }

    fn heard(&self, who: usize, position: Option<u64>) {
        let mut pollers = self.pollers.borrow_mut();
        let (last, now) = (pollers[who].position, position.unwrap_or(0));
        if now > last {
            self.went_up.set(self.went_up.get() + 1);
        }
        pollers[who].position = now;
    }
}
