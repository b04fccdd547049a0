//! Owns what an operator does at the gateways of one sale: rules of a queue, concerts and dates. Benchmarks do it too.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::{Answer, Connection, Request, Target};

const LIMIT: Duration = Duration::from_secs(60);
/// Rules are in force on every gateway within 2 s; a busy machine may need longer.
const IN_FORCE: Duration = Duration::from_secs(20);
const AGAIN: Duration = Duration::from_millis(100);

/// Something that keeps a run from being what it should be.
pub type Trouble = String;

/// Somebody with an operator's key. Every verb fails when a gateway refuses, or does not answer in time.
#[derive(Debug, Clone)]
pub struct Operator {
    /// Of one sale, one or more. What is made is made at the first.
    pub gateways: Vec<Target>,
    key: String,
}

impl Operator {
    /// With this key.
    pub fn new(gateways: Vec<Target>, key: &str) -> Self {
        Self {
            gateways,
            key: key.to_owned(),
        }
    }

    /// Asks the first gateway for something, and gives the body of what was hoped for.
    pub async fn ask(&self, request: Request) -> Result<Value, Trouble> {
        Ok(ask(self.gateways[0], request.bearer(&self.key))
            .await?
            .json())
    }

    /// Sets the rules of a queue, and waits until every gateway follows them.
    pub async fn rule(&self, queue: &str, policy: &Value) -> Result<(), Trouble> {
        self.change(queue, policy).await?;
        let path = format!("/api/v1/queues/{queue}");
        let deadline = Instant::now() + IN_FORCE;
        for gateway in self.gateways.iter().copied() {
            loop {
                let told = ask(gateway, Request::get(&path)).await;
                if told.is_ok_and(|told| told.json()["state"] == policy["state"]) {
                    break;
                }
                if Instant::now() > deadline {
                    return Err(format!("the queue {queue} is not known at every gateway"));
                }
                sleep(AGAIN).await;
            }
        }
        Ok(())
    }

    /// Changes the rules of a queue, and waits for nothing.
    pub async fn change(&self, queue: &str, policy: &Value) -> Result<(), Trouble> {
        self.on_queue("PUT", queue, policy).await
    }

    /// Ends a queue: its line costs nothing more.
    pub async fn remove(&self, queue: &str) -> Result<(), Trouble> {
        self.on_queue("DELETE", queue, &Value::Null).await
    }

    async fn on_queue(&self, method: &str, queue: &str, body: &Value) -> Result<(), Trouble> {
        let request = Request::of(method, &format!("/api/v1/queues/{queue}"), body);
        self.ask(request).await.map(|_| ())
    }

    /// A new concert behind this queue: its id.
    pub async fn concert(&self, title: &str, queue: &str) -> Result<String, Trouble> {
        let concert = json!({ "title": title, "queue": queue });
        id(&self
            .ask(Request::post("/api/v1/admin/concerts", &concert))
            .await?)
    }

    /// A new date of a concert with this many seats of one price: its id.
    pub async fn date(&self, concert: &str, seats: u32, price: u32) -> Result<String, Trouble> {
        let section = json!({ "grade": "ALL", "price": price, "from": 1, "to": seats });
        let date = json!({ "startsAt": "2099-01-01T20:00:00Z", "sections": [section] });
        let path = format!("/api/v1/admin/concerts/{concert}/schedules");
        id(&self.ask(Request::post(&path, &date)).await?)
    }
}

fn id(made: &Value) -> Result<String, Trouble> {
    let id = made["id"].as_str().map(str::to_owned);
    id.ok_or_else(|| format!("what was made has no id: {made}"))
}

/// One request on a connection of its own.
async fn ask(target: Target, request: Request) -> Result<Answer, Trouble> {
    let what = request.to_string();
    let mut connection = Connection::new(target, LIMIT);
    let answer = connection.send(request).await;
    let at = target.address();
    let answer = answer.map_err(|fault| format!("{at} did not answer {what}: {fault}"))?;
    if (200..300).contains(&answer.status) {
        return Ok(answer);
    }
    let (status, text) = (answer.status, String::from_utf8_lossy(&answer.body));
    Err(format!("{what} answered {status}: {text}"))
}
