//! Owns what an operator does for a run: a concert with dates, a queue with rules, and the look at the books at the end.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::{Connection, Target};

const LIMIT: Duration = Duration::from_secs(60);
/// Rules are in force on every gateway within 2 s; a busy machine may need longer.
const IN_FORCE: Duration = Duration::from_secs(20);
const AGAIN: Duration = Duration::from_millis(100);
const PRICE: u32 = 1_000;

/// Something that keeps a run from being what it should be.
pub type Trouble = String;

/// What is on sale, and the line before it.
#[derive(Debug, Clone)]
pub struct Shop {
    /// Where visitors come, one or more.
    pub gateways: Vec<Target>,
    key: String,
    /// The line, made for this run alone.
    pub queue: String,
    /// The concert, when something is sold.
    pub concert: String,
    /// Its dates.
    pub dates: Vec<String>,
}

/// The rules of the line.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Nobody is let in.
    pub paused: bool,
    /// Most visitors inside.
    pub max_active: u32,
    /// Most let in per second.
    pub admit_per_second: f64,
}

/// What the books say.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Books {
    /// Whether nothing differs.
    pub clean: bool,
    /// What differs, as it was answered.
    pub differences: String,
    /// Seats of this run's dates that are sold.
    pub sold: u64,
    /// Seats of this run's dates that are held.
    pub held: u64,
    /// Seats of this run's dates.
    pub seats: u64,
}

/// Seats as they are listed.
#[derive(Debug, Deserialize)]
pub struct Seats {
    /// In the order of their numbers.
    pub items: Vec<Seat>,
}

/// One seat.
#[derive(Debug, Deserialize)]
pub struct Seat {
    /// Within its date.
    pub number: u16,
    /// `available`, `held` or `sold`.
    pub state: String,
}

impl Shop {
    /// Makes a queue with these rules, and waits until every gateway knows it.
    ///
    /// # Errors
    /// A gateway refuses, or does not answer.
    pub async fn open(gateways: Vec<Target>, key: &str, rules: Rules) -> Result<Self, Trouble> {
        let shop = Self {
            gateways,
            key: key.to_owned(),
            queue: format!("load-{}", &Uuid::new_v4().simple().to_string()[..12]),
            concert: String::new(),
            dates: Vec::new(),
        };
        shop.rule(rules).await?;
        let deadline = Instant::now() + IN_FORCE;
        let path = format!("/api/v1/queues/{}", shop.queue);
        for gateway in &shop.gateways {
            while shop.ask_at(gateway, "GET", &path, None).await?.0 != 200 {
                if Instant::now() > deadline {
                    return Err(format!(
                        "the queue {} is not known at every gateway",
                        shop.queue
                    ));
                }
                sleep(AGAIN).await;
            }
        }
        Ok(shop)
    }

    /// Changes the rules.
    ///
    /// # Errors
    /// A gateway refuses, or does not answer.
    pub async fn rule(&self, rules: Rules) -> Result<(), Trouble> {
        let policy = json!({
            "state": if rules.paused { "paused" } else { "open" },
            "maxActive": rules.max_active,
            "admitPerSecond": rules.admit_per_second,
            "maxWaiting": 10_000_000,
        });
        self.make("PUT", &format!("/api/v1/queues/{}", self.queue), &policy)
            .await?;
        Ok(())
    }

    /// Puts `seats` seats on sale, at most `each` on one date.
    ///
    /// # Errors
    /// A gateway refuses, or does not answer.
    pub async fn sell(&mut self, seats: u32, each: u32) -> Result<(), Trouble> {
        let concert = json!({ "title": "A night under load", "queue": self.queue });
        self.concert = id(&self
            .make("POST", "/api/v1/admin/concerts", &concert)
            .await?)?;
        let path = format!("/api/v1/admin/concerts/{}/schedules", self.concert);
        let mut left = seats;
        while left > 0 {
            let here = left.min(each);
            let sections = [json!({ "grade": "ALL", "price": PRICE, "from": 1, "to": here })];
            let date = json!({ "startsAt": "2099-01-01T20:00:00Z", "sections": sections });
            self.dates
                .push(id(&self.make("POST", &path, &date).await?)?);
            left -= here;
        }
        Ok(())
    }

    /// Visitors who wait and who are inside, as the public status says, which is up to a second old.
    ///
    /// # Errors
    /// A gateway refuses, or does not answer.
    pub async fn standing(&self) -> Result<(u64, u64), Trouble> {
        let status = self
            .make(
                "GET",
                &format!("/api/v1/queues/{}", self.queue),
                &Value::Null,
            )
            .await?;
        let count = |name: &str| status[name].as_u64().unwrap_or_default();
        Ok((count("waiting"), count("active")))
    }

    /// Looks whether seats, payments and ledger agree, and counts the seats of this run's dates. It asks as an operator, who
    /// sees the seats as they are; the lists of visitors may be half a second old.
    ///
    /// # Errors
    /// A gateway refuses, or does not answer.
    pub async fn books(&self) -> Result<Books, Trouble> {
        let look = async |path: &str| self.make("GET", path, &Value::Null).await;
        let report = look("/api/v1/admin/reconciliation").await?;
        let mut books = Books {
            clean: report["clean"] == true,
            differences: report["differences"].to_string(),
            ..Books::default()
        };
        for date in &self.dates {
            let seats = look(&format!("/api/v1/admin/schedules/{date}/seats")).await?;
            let seats: Seats = serde_json::from_value(seats)
                .map_err(|cause| format!("the seats of a date could not be read: {cause}"))?;
            let count = |state: &str| {
                let of_state = seats.items.iter().filter(|seat| seat.state == state);
                of_state.count() as u64
            };
            books.sold += count("sold");
            books.held += count("held");
            books.seats += seats.items.len() as u64;
        }
        Ok(books)
    }

    /// Takes the queue away again.
    ///
    /// # Errors
    /// A gateway refuses, or does not answer.
    pub async fn close(&self) -> Result<(), Trouble> {
        self.make(
            "DELETE",
            &format!("/api/v1/queues/{}", self.queue),
            &Value::Null,
        )
        .await?;
        Ok(())
    }

    async fn make(&self, method: &str, path: &str, body: &Value) -> Result<Value, Trouble> {
        let (status, text) = self
            .ask_at(&self.gateways[0], method, path, Some(body))
            .await?;
        if !matches!(status, 200..=204) {
            return Err(format!("{method} {path} answered {status}: {text}"));
        }
        Ok(serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    async fn ask_at(
        &self,
        gateway: &Target,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(u16, String), Trouble> {
        let bearer = format!("Bearer {}", self.key);
        let body = body
            .filter(|it| !it.is_null())
            .map(Value::to_string)
            .unwrap_or_default();
        let mut request = Vec::new();
        gateway.request(
            &mut request,
            method,
            path,
            &[("Authorization", &bearer)],
            body.as_bytes(),
        );
        let mut connection = Connection::new(gateway.clone(), LIMIT);
        let answer = connection.send(&request).await;
        let answer = answer.map_err(|fault| {
            format!(
                "{} did not answer {method} {path}: {fault}",
                gateway.address()
            )
        })?;
        Ok((
            answer.status,
            String::from_utf8_lossy(answer.body).into_owned(),
        ))
    }
}

fn id(made: &Value) -> Result<String, Trouble> {
    let id = made["id"].as_str().map(str::to_owned);
    id.ok_or_else(|| format!("what was made has no id: {made}"))
}
