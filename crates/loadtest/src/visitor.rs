//! Owns one visitor: what they ask, what they make of the answer, and how a careful client behaves.
//!
//! A visitor has a connection of their own, asks as they are told, sends a key with everything that must happen once,
//! and chooses again when another one was faster.

use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::chance::Chance;
use crate::progress::Progress;
use crate::settings::Settings;
use crate::shop::{Items, Seat, Shop};
use crate::{Class, Connection, Recorder, Request, Step};

/// For each call.
pub(crate) const LIMIT: Duration = Duration::from_secs(10);
/// After an error somebody looks at the page for a while before they try again.
const AFTER_ERROR: Duration = Duration::from_secs(1);

/// What a visitor needs to know of the run.
#[derive(Debug)]
pub struct Stage {
    /// What is sold and where.
    pub shop: Shop,
    /// Where figures go.
    pub recorder: Recorder,
    /// How large the run is and how its visitors behave.
    pub settings: Settings,
    /// Who hears how it goes.
    pub progress: Progress,
}

impl Stage {
    /// A stage of these visitors, whose run has not begun.
    pub fn new(settings: &Settings, shop: Shop, progress: Progress) -> Self {
        Self {
            shop,
            recorder: Recorder::default(),
            settings: settings.clone(),
            progress,
        }
    }

    /// Begins the run: figures count from now, and are told as they come.
    pub fn begin(self) -> Rc<Self> {
        let stage = self.aside();
        tokio::task::spawn_local(stage.progress.follow(Rc::clone(&stage)));
        stage
    }

    /// The same stage with new figures, which nothing has counted yet.
    pub fn aside(&self) -> Rc<Self> {
        Rc::new(Self::new(&self.settings, self.shop.clone(), self.progress))
    }
}

/// A connection over which one visitor or many of them ask; what they ask is counted.
#[derive(Debug)]
pub struct Caller {
    stage: Rc<Stage>,
    connection: Connection,
}

/// An answer: its class decides what a visitor does next, its body holds what they need for it.
#[derive(Debug, Clone)]
pub struct Said {
    /// What it counts as; no answer is an error.
    pub class: Class,
    body: Bytes,
}

impl Said {
    /// The body of what was hoped for, if it is of this form.
    pub fn read<T: DeserializeOwned>(&self) -> Option<T> {
        let hoped_for = self.class == Class::Success;
        serde_json::from_slice(hoped_for.then_some(&self.body)?).ok()
    }
}

impl Caller {
    /// The caller of this number; numbers are spread over the gateways.
    pub fn new(stage: &Rc<Stage>, number: usize) -> Self {
        let gateways = &stage.shop.operator.gateways;
        let gateway = gateways[number % gateways.len()];
        Self {
            connection: Connection::new(gateway, LIMIT),
            stage: Rc::clone(stage),
        }
    }

    /// Joins the line; `due` is when they wanted to.
    pub async fn join(&mut self, body: &Value, due: Instant) -> Option<Place> {
        let request = Request::post(&self.stage.shop.tokens(), body);
        self.ask(Step::Join, request, due).await.read()
    }

    /// Asks for the place that a token proves.
    pub async fn poll(&mut self, token: &str, due: Instant) -> Said {
        let path = format!("{}/me", self.stage.shop.tokens());
        self.ask(Step::Poll, Request::get(&path).bearer(token), due)
            .await
    }

    /// Sends a request that was due at `due`, and keeps its figures.
    async fn ask(&mut self, step: Step, request: Request, due: Instant) -> Said {
        let recorder = &self.stage.recorder;
        let answer = self.connection.send(request).await;
        let outcome = answer
            .as_ref()
            .map_or_else(|it| Err(*it), |it| Ok(it.status));
        recorder.record(step, outcome, due);
        let class = Class::of(outcome);
        if class == Class::Error {
            recorder.error(|| match &answer {
                Ok(answer) => {
                    let text = String::from_utf8_lossy(&answer.body);
                    format!("{} answered {}: {text}", step.name(), answer.status)
                }
                Err(fault) => format!("{}: {fault}", step.name()),
            });
        }
        let body = answer.map_or_else(|_| Bytes::new(), |answer| answer.body);
        Said { class, body }
    }
}

/// Somebody who comes.
#[derive(Debug)]
pub struct Visitor {
    caller: Caller,
    /// Who.
    pub user: String,
    /// What proves the place.
    pub token: String,
    /// What they do by chance.
    pub chance: Chance,
}

/// What is read of a place.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    /// `waiting`, `active`, …
    pub state: String,
    /// Ask again after this.
    pub poll_after_ms: u64,
    /// How many stand before.
    pub position: Option<u64>,
    /// On issue only.
    pub token: Option<String>,
    /// The order of joining.
    #[serde(default)]
    pub ticket_number: u64,
}

#[derive(Deserialize)]
struct Date {
    id: String,
}

/// Seats that are held for a visitor.
#[derive(Debug, Deserialize)]
pub struct Held {
    id: String,
    /// In minor units.
    pub amount: u64,
    #[serde(skip)]
    seats: u64,
}

/// How a visit ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// With so many seats.
    Bought(u64),
    /// All was sold.
    SoldOut,
    /// Others were always faster, or the visit was over.
    Refused,
    /// Something was wrong.
    Failed,
}

impl Visitor {
    /// The visitor of this number.
    pub fn new(stage: &Rc<Stage>, number: usize) -> Self {
        Self {
            caller: Caller::new(stage, number),
            user: Uuid::new_v4().to_string(),
            token: String::new(),
            chance: Chance::of(stage.settings.seed, number),
        }
    }

    async fn join(&mut self, due: Instant) -> Option<Place> {
        // With a secret the place is given again when the first answer was lost.
        let body = json!({ "userId": self.user, "secret": self.user });
        let place = self.caller.join(&body, due).await?;
        self.token = place.token.clone().unwrap_or_default();
        Some(place)
    }

    /// Joins, and asks as told until inside. False when they are not inside by `until`.
    pub async fn enter(&mut self, due: Instant, until: Instant) -> bool {
        let (mut place, mut due) = (self.join(due).await, due);
        loop {
            let pause = match &place {
                Some(place) if place.state == "active" => return true,
                Some(place) => Duration::from_millis(place.poll_after_ms),
                None => AFTER_ERROR,
            };
            due = Instant::now().max(due) + pause;
            if due > until {
                return false;
            }
            tokio::time::sleep_until(due.into()).await;
            // The timer is up to a millisecond late, which is not the server's doing.
            due = Instant::now();
            place = if self.token.is_empty() {
                self.join(due).await
            } else {
                let said = self.caller.poll(&self.token, due).await;
                if said.class == Class::Refusal {
                    self.token.clear();
                }
                said.read()
            };
        }
    }

    /// Gives the place up.
    pub async fn leave(&mut self) {
        let path = format!("{}/me", self.caller.stage.shop.tokens());
        self.ask(Step::Leave, Request::of("DELETE", &path, &Value::Null))
            .await;
    }

    /// The dates that can still be booked; none when that could not be found out.
    pub async fn dates(&mut self) -> Option<Vec<String>> {
        let concert = &self.caller.stage.shop.concert;
        let path = format!("/api/v1/concerts/{concert}/schedules?available=true&limit=200");
        let dates: Items<Date> = self.ask(Step::Dates, Request::get(&path)).await.read()?;
        Some(dates.items.into_iter().map(|date| date.id).collect())
    }

    /// The numbers of a date's free seats.
    pub async fn free_seats(&mut self, date: &str) -> Option<Vec<u16>> {
        let path = format!("/api/v1/schedules/{date}/seats?state=available");
        let seats: Items<Seat> = self.ask(Step::Seats, Request::get(&path)).await.read()?;
        Some(seats.items.into_iter().map(|seat| seat.number).collect())
    }

    /// Wants these seats since `due`; `try_number` makes the wish a new one. Fails with what the answer counts as.
    pub async fn reserve(
        &mut self,
        date: &str,
        seats: &[u16],
        try_number: usize,
        due: Instant,
    ) -> Result<Held, Class> {
        let body = json!({ "scheduleId": date, "seatNumbers": seats });
        let request = Request::post("/api/v1/reservations", &body);
        let request = request.with("idempotency-key", &format!("reserve-{try_number}"));
        let request = request.bearer(&self.token);
        let said = self.caller.ask(Step::Reserve, request, due).await;
        let held: Held = said.read().ok_or(said.class)?;
        let seats = seats.len() as u64;
        Ok(Held { seats, ..held })
    }

    /// Charges what is needed, and pays.
    pub async fn pay(&mut self, held: &Held) -> Ending {
        let path = format!("/api/v1/users/{}/balance/charges", self.user);
        let charge = Request::post(&path, &json!({ "amount": held.amount }));
        let charge = charge.with("idempotency-key", "charge");
        if self.persist(Step::Charge, charge).await.class != Class::Success {
            return Ending::Failed;
        }
        self.pause().await;
        let pay = Request::post("/api/v1/payments", &json!({ "reservationId": held.id }));
        let pay = pay.with("idempotency-key", "pay");
        let said = self.persist(Step::Pay, pay).await;
        match said.class {
            Class::Success => {
                let sold = &self.caller.stage.recorder.sold;
                sold.set(sold.get() + held.seats);
                Ending::Bought(held.seats)
            }
            Class::Refusal => Ending::Refused,
            Class::Error => Ending::Failed,
        }
    }

    /// Thinks.
    pub async fn pause(&mut self) {
        let pause = self.chance.think(self.caller.stage.settings.think);
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
    }

    /// Sends the same again with the same key when there was no answer or the server could not say; each try counts.
    async fn persist(&mut self, step: Step, request: Request) -> Said {
        const TRIES: usize = 3;
        let mut said = self.ask(step, request.clone()).await;
        for _ in 1..TRIES {
            if said.class != Class::Error {
                break;
            }
            tokio::time::sleep(AFTER_ERROR).await;
            said = self.ask(step, request.clone()).await;
        }
        said
    }

    /// Asks for what is due now, as who they are.
    async fn ask(&mut self, step: Step, request: Request) -> Said {
        let request = request.bearer(&self.token);
        self.caller.ask(step, request, Instant::now()).await
    }
}
