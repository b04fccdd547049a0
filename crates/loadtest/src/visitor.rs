//! Owns one visitor: what they ask, what they make of the answer, and how a careful client behaves.
//!
//! A visitor has a connection of their own, asks as they are told, sends a key with everything that must happen once,
//! and chooses again when somebody was faster.

use std::rc::Rc;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use uuid::Uuid;

use crate::chance::Chance;
use crate::shop::{Seats, Shop};
use crate::{Class, Connection, Recorder, Step};

const LIMIT: Duration = Duration::from_secs(10);
/// After an error somebody looks at the page for a while before they try again.
const AFTER_ERROR: Duration = Duration::from_secs(1);

/// What a visitor needs to know of the run.
#[derive(Debug)]
pub struct Stage {
    /// What is sold and where.
    pub shop: Shop,
    /// Where figures go.
    pub recorder: Recorder,
    /// The median pause of a person who thinks.
    pub think: Duration,
    /// Of everything that is left to chance.
    pub seed: u64,
}

/// Somebody who comes.
#[derive(Debug)]
pub struct Visitor {
    stage: Rc<Stage>,
    connection: Connection,
    request: Vec<u8>,
    /// Who.
    pub user: String,
    /// What proves the place.
    pub token: String,
    /// What they do by chance.
    pub chance: Chance,
}

/// What was said: the class decides what comes next, the body what with.
#[derive(Debug, Clone, Default)]
pub struct Said {
    /// What it counts as; none when there was no answer.
    pub class: Option<Class>,
    body: Vec<u8>,
}

impl Said {
    /// Whether it is what was hoped for.
    pub fn is_success(&self) -> bool {
        self.class == Some(Class::Success)
    }

    /// The body of what was hoped for, if it is of this form.
    pub fn read<T: DeserializeOwned>(&self) -> Option<T> {
        let body = self.is_success().then_some(&self.body)?;
        serde_json::from_slice(body).ok()
    }
}

/// What a visitor reads of their place.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    /// `waiting`, `active`, …
    pub state: String,
    /// Ask again after this.
    pub poll_after_ms: u64,
    /// On issue only.
    pub token: Option<String>,
}

#[derive(Deserialize)]
struct Dates {
    items: Vec<Date>,
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
    /// The visitor of this number; they are spread over the gateways.
    pub fn new(stage: &Rc<Stage>, number: usize) -> Self {
        let gateways = &stage.shop.gateways;
        let gateway = gateways[number % gateways.len()].clone();
        Self {
            connection: Connection::new(gateway, LIMIT),
            request: Vec::with_capacity(1024),
            user: Uuid::new_v4().to_string(),
            token: String::new(),
            chance: Chance::of(stage.seed, number),
            stage: Rc::clone(stage),
        }
    }

    /// Joins the line; `due` is when they wanted to.
    pub async fn join(&mut self, due: Instant) -> Option<Place> {
        let path = format!("/api/v1/queues/{}/tokens", self.stage.shop.queue);
        // With a secret the place is given again when the first answer was lost.
        let body = json!({ "userId": self.user, "secret": self.user }).to_string();
        let said = self
            .ask(Step::Join, ("POST", &path), None, &body, due)
            .await;
        let place: Place = said.read()?;
        place
            .token
            .as_deref()
            .unwrap_or_default()
            .clone_into(&mut self.token);
        Some(place)
    }

    /// Joins, and asks as told until inside. False when that did not come to be before `until`.
    pub async fn enter(&mut self, due: Instant, until: Instant) -> bool {
        let path = format!("/api/v1/queues/{}/tokens/me", self.stage.shop.queue);
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
                let said = self.ask(Step::Poll, ("GET", &path), None, "", due).await;
                if said.class == Some(Class::Refusal) {
                    self.token.clear();
                }
                said.read()
            };
        }
    }

    /// Gives the place up.
    pub async fn leave(&mut self) {
        let path = format!("/api/v1/queues/{}/tokens/me", self.stage.shop.queue);
        self.ask(Step::Leave, ("DELETE", &path), None, "", Instant::now())
            .await;
    }

    /// The dates that can still be booked; none when that could not be found out.
    pub async fn dates(&mut self) -> Option<Vec<String>> {
        let path = format!(
            "/api/v1/concerts/{}/schedules?available=true&limit=200",
            self.stage.shop.concert
        );
        let said = self
            .ask(Step::Dates, ("GET", &path), None, "", Instant::now())
            .await;
        let dates: Dates = said.read()?;
        Some(dates.items.into_iter().map(|date| date.id).collect())
    }

    /// The numbers of a date's free seats.
    pub async fn free_seats(&mut self, date: &str) -> Option<Vec<u16>> {
        let path = format!("/api/v1/schedules/{date}/seats?state=available");
        let said = self
            .ask(Step::Seats, ("GET", &path), None, "", Instant::now())
            .await;
        let seats: Seats = said.read()?;
        Some(seats.items.into_iter().map(|seat| seat.number).collect())
    }

    /// Wants these seats; `try_number` makes the wish a new one.
    pub async fn reserve(
        &mut self,
        date: &str,
        seats: &[u16],
        try_number: usize,
        due: Instant,
    ) -> (Said, Option<Held>) {
        let body = json!({ "scheduleId": date, "seatNumbers": seats }).to_string();
        let key = format!("reserve-{try_number}");
        let said = self
            .ask(
                Step::Reserve,
                ("POST", "/api/v1/reservations"),
                Some(&key),
                &body,
                due,
            )
            .await;
        let held: Option<Held> = said.read();
        let held = held.map(|held| Held {
            seats: seats.len() as u64,
            ..held
        });
        (said, held)
    }

    /// Charges what is needed, and pays.
    pub async fn pay(&mut self, held: &Held) -> Ending {
        let path = format!("/api/v1/users/{}/balance/charges", self.user);
        let body = json!({ "amount": held.amount }).to_string();
        if !self
            .persist(Step::Charge, &path, "charge", &body)
            .await
            .is_success()
        {
            return Ending::Failed;
        }
        self.pause().await;
        let body = json!({ "reservationId": held.id }).to_string();
        let said = self
            .persist(Step::Pay, "/api/v1/payments", "pay", &body)
            .await;
        match said.class {
            Some(Class::Success) => {
                let sold = &self.stage.recorder.sold;
                sold.set(sold.get() + held.seats);
                Ending::Bought(held.seats)
            }
            Some(Class::Refusal) => Ending::Refused,
            _ => Ending::Failed,
        }
    }

    /// Thinks.
    pub async fn pause(&mut self) {
        let pause = self.chance.think(self.stage.think);
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
    }

    /// Sends the same again with the same key when there was no answer or the server could not say; each try counts.
    async fn persist(&mut self, step: Step, path: &str, key: &str, body: &str) -> Said {
        const TRIES: usize = 3;
        let mut said = Said::default();
        for _ in 0..TRIES {
            said = self
                .ask(step, ("POST", path), Some(key), body, Instant::now())
                .await;
            if said.class.is_some_and(|class| class != Class::Error) {
                break;
            }
            tokio::time::sleep(AFTER_ERROR).await;
        }
        said
    }

    async fn ask(
        &mut self,
        step: Step,
        (method, path): (&str, &str),
        key: Option<&str>,
        body: &str,
        due: Instant,
    ) -> Said {
        let bearer = format!("Bearer {}", self.token);
        let mut headers = [("Authorization", bearer.as_str()), ("", "")];
        let mut count = usize::from(!self.token.is_empty());
        if let Some(key) = key {
            headers[count] = ("Idempotency-Key", key);
            count += 1;
        }
        self.request.clear();
        let target = self.connection.target().clone();
        target.request(
            &mut self.request,
            method,
            path,
            &headers[..count],
            body.as_bytes(),
        );
        self.stage
            .send(&mut self.connection, &self.request, step, due)
            .await
    }
}

impl Stage {
    /// Sends a request that was due at `due`, and keeps its figures.
    pub async fn send(
        &self,
        connection: &mut Connection,
        request: &[u8],
        step: Step,
        due: Instant,
    ) -> Said {
        let recorder = &self.recorder;
        match connection.send(request).await {
            Ok(answer) => {
                let class = Class::of(answer.status);
                recorder.record(step, class, Ok(answer.status), due);
                if class == Class::Error {
                    let text = String::from_utf8_lossy(answer.body);
                    recorder
                        .error(|| format!("{} answered {}: {text}", step.name(), answer.status));
                }
                Said {
                    class: Some(class),
                    body: answer.body.to_vec(),
                }
            }
            Err(fault) => {
                recorder.record(step, Class::Error, Err(fault), due);
                recorder.error(|| format!("{}: {fault}", step.name()));
                Said::default()
            }
        }
    }
}
