//! Owns what a run has at the servers: a queue of its own, a concert with dates, and the books, read at the end.

use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::Request;
use crate::operator::{Operator, Trouble};

const PRICE: u32 = 1_000;

/// What is on sale, and the line before it.
#[derive(Debug, Clone)]
pub struct Shop {
    /// Who made it, and where visitors come.
    pub operator: Operator,
    /// The line, made for this run alone.
    pub queue: String,
    /// The concert, when something is sold.
    pub concert: String,
    /// Its dates.
    pub dates: Vec<String>,
}

/// The rules of the line: `open` or `paused`, most visitors inside, most let in per second.
pub fn rules(state: &str, max_active: u32, admit_per_second: f64) -> Value {
    json!({
        "state": state, "maxActive": max_active, "admitPerSecond": admit_per_second,
        "maxWaiting": 10_000_000,
    })
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

/// A list as it is answered.
#[derive(Debug, Deserialize)]
pub struct Items<T> {
    /// In its order.
    pub items: Vec<T>,
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
    /// A gateway refuses, or does not answer; so for all below.
    pub async fn open(operator: Operator, rules: &Value) -> Result<Self, Trouble> {
        let queue = format!("load-{}", &Uuid::new_v4().simple().to_string()[..12]);
        operator.rule(&queue, rules).await?;
        Ok(Self {
            operator,
            queue,
            concert: String::new(),
            dates: Vec::new(),
        })
    }

    /// Puts `seats` seats on sale, at most `each` on one date.
    pub async fn sell(&mut self, seats: u32, each: u32) -> Result<(), Trouble> {
        let title = "A night under load";
        self.concert = self.operator.concert(title, &self.queue).await?;
        let mut left = seats;
        while left > 0 {
            let here = left.min(each);
            let date = self.operator.date(&self.concert, here, PRICE).await?;
            self.dates.push(date);
            left -= here;
        }
        Ok(())
    }

    /// Where visitors join; where they ask for their place is `/me` below.
    pub fn tokens(&self) -> String {
        format!("/api/v1/queues/{}/tokens", self.queue)
    }

    /// Visitors who wait, are parked or are inside, by public counts that are up to a second old. Parked ones count too: who
    /// joins and never asks is parked within seconds.
    pub async fn visitors(&self) -> Result<u64, Trouble> {
        let path = format!("/api/v1/queues/{}", self.queue);
        let status = self.operator.ask(Request::get(&path)).await?;
        let fairness = format!("{path}/fairness");
        let fairness = self.operator.ask(Request::get(&fairness)).await?;
        let count = |it: &Value, name: &str| it[name].as_u64().unwrap_or_default();
        Ok(count(&status, "waiting") + count(&status, "active") + count(&fairness, "parked"))
    }

    /// Looks whether seats, payments and ledger agree, and counts the seats of this run's dates. It asks as an operator, who
    /// sees the seats as they are; the lists of visitors may be half a second old.
    pub async fn books(&self) -> Result<Books, Trouble> {
        let report = self.operator.look("/api/v1/admin/reconciliation").await?;
        let mut seats = Vec::new();
        for date in &self.dates {
            let path = format!("/api/v1/admin/schedules/{date}/seats");
            let shown = self.operator.look(&path).await?;
            let of_date: Items<Seat> = serde_json::from_value(shown)
                .map_err(|cause| format!("the seats of a date could not be read: {cause}"))?;
            seats.extend(of_date.items);
        }
        let count = |state: &str| seats.iter().filter(|seat| seat.state == state).count() as u64;
        Ok(Books {
            clean: report["clean"] == true,
            differences: report["differences"].to_string(),
            sold: count("sold"),
            held: count("held"),
            seats: seats.len() as u64,
        })
    }
}
