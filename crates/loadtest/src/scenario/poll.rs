//! A line of any length, whose visitors ask for their place as they are told or at a fixed rate.
//!
//! Nobody is let in. A poller is a token and the position that it heard last. Pollers share connections: with one each,
//! most would be idle, and the kernel would be measured.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use serde_json::json;
use uuid::Uuid;

use crate::Profile;
use crate::check::{Check, Kind};
use crate::operator::Trouble;
use crate::pacer::{self, Call, Due};
use crate::patience::{Patience, ask_again};
use crate::recorder::Step;
use crate::run::Outcome;
use crate::settings::Settings;
use crate::visitor::{Caller, LIMIT, Place, Stage};
use crate::visitors::connections;

/// Tokens that are kept, 400 bytes each; of a longer line every n-th visitor polls.
const MOST_POLLERS: u64 = 100_000;
/// Every connection joins as fast as it can, so a join may be refused; a moment later another visitor tries.
const JOINED: Patience = (Duration::from_secs(10), Duration::from_secs(1));
/// After each so many joins the filling says how far it is.
const TOLD_EACH: u64 = 100_000;

/// Somebody who waits and asks.
#[derive(Debug)]
struct Poller {
    token: String,
    position: u64,
    pause: Duration,
}

impl Poller {
    /// From the answer to a join.
    fn of(place: Place) -> Option<Self> {
        Some(Self {
            token: place.token?,
            position: place.position.unwrap_or(u64::MAX),
            pause: Duration::from_millis(place.poll_after_ms),
        })
    }
}

/// What the connections share.
struct Shared {
    pollers: RefCell<Vec<Poller>>,
    due: Due,
    /// Takes the next call of a poller; none at a fixed rate.
    next: Option<Sender<Call>>,
    went_up: Cell<u64>,
}

/// Runs it.
pub(crate) async fn run(stage: Stage) -> Result<Outcome, Trouble> {
    let settings = &stage.settings.clone();
    let began = Instant::now();
    let pollers = fill(&stage).await?;
    let filled = began.elapsed();
    let (polling, seconds) = (pollers.len(), filled.as_secs_f64());
    stage.progress.say(&format!(
        "{} wait after {seconds:.1} s; {polling} of them poll",
        settings.waiting
    ));

    let stage = stage.begin();
    stage.recorder.visitors.set(polling as u64);
    let shared = Shared::begin(settings, pollers);
    connections(settings, |number| {
        poll_what_is_due(Rc::clone(&stage), number, Rc::clone(&shared))
    })
    .await;
    let record = stage.recorder.finish();

    let went_up = shared.went_up.get();
    let order = Check::at_most(Kind::Correct, "positions that went up", 0, went_up);
    let what = ("polls, from when they were due", Some(Step::Poll));
    let rate = settings.waiting as f64 / seconds;
    let notes = vec![format!("the line was filled at {rate:.0} joins/s")];
    Ok(Outcome::judged(settings, record, vec![order], what, notes))
}

/// Lets all join, as fast as the connections can, and returns those who poll. These calls are in no figures.
async fn fill(stage: &Stage) -> Result<Vec<Poller>, Trouble> {
    let aside = stage.aside();
    let pollers = connections(&stage.settings, |number| {
        join_one_after_another(Rc::clone(&aside), number)
    });
    let pollers = pollers.await.into_iter().collect::<Result<Vec<_>, _>>()?;
    Ok(pollers.into_iter().flatten().collect())
}

async fn join_one_after_another(stage: Rc<Stage>, first: usize) -> Result<Vec<Poller>, Trouble> {
    let all = stage.settings.waiting;
    let every = all.div_ceil(MOST_POLLERS);
    let (mut caller, mut pollers) = (Caller::new(&stage, first), Vec::new());
    for number in (first as u64..all).step_by(stage.settings.connections) {
        let join = async || {
            let body = json!({ "userId": Uuid::new_v4() });
            let place = caller.join(&body, Instant::now()).await;
            place.and_then(Poller::of)
        };
        let Some(poller) = ask_again(JOINED, join, Option::is_some).await else {
            let errors = stage.recorder.finish().errors;
            return Err(format!("a join was refused; {}", errors.join("; ")));
        };
        if number.is_multiple_of(every) {
            pollers.push(poller);
        }
        if number > 0 && number.is_multiple_of(TOLD_EACH) {
            stage.progress.say(&format!("{number} of {all} joined"));
        }
    }
    Ok(pollers)
}

async fn poll_what_is_due(stage: Rc<Stage>, number: usize, shared: Rc<Shared>) {
    let mut caller = Caller::new(&stage, number);
    while let Some((who, due)) = shared.due.next(&stage.recorder, Step::Poll).await {
        let token = shared.pollers.borrow()[who].token.clone();
        let said = caller.poll(&token, due).await;
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
            due: Due::new(start, length + LIMIT, due),
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
