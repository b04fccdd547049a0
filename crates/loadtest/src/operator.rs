//! Owns what an operator does at the gateways of one sale: rules of a queue, concerts and dates. Benchmarks do it too.

use std::time::Duration;

use serde_json::{Value, json};

use crate::patience::{Patience, ask_again};
use crate::{Answer, Connection, Request, Target};

const LIMIT: Duration = Duration::from_secs(60);
/// Rules are in force on every gateway within 2 s; a busy machine may need longer.
const IN_FORCE: Patience = (Duration::from_secs(20), Duration::from_millis(100));
/// After a crowd the service may be busy for a while.
const CALM: Patience = (Duration::from_secs(60), Duration::from_millis(500));

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
        let request = request.bearer(&self.key);
        hoped_for(&request, send(self.gateways[0], &request).await)
    }

    /// What an operator is shown there. A busy service is asked again, until it is calm; one that refuses is not.
    pub async fn look(&self, path: &str) -> Result<Value, Trouble> {
        let request = Request::get(path).bearer(&self.key);
        let ask = async || send(self.gateways[0], &request).await;
        hoped_for(&request, ask_again(CALM, ask, is_final).await)
    }

    /// Sets the rules of a queue, and waits until every gateway follows them.
    pub async fn rule(&self, queue: &str, policy: &Value) -> Result<(), Trouble> {
        self.change(queue, policy).await?;
        let status = Request::get(&format!("/api/v1/queues/{queue}"));
        for gateway in self.gateways.iter().copied() {
            let ask = async || {
                let told = hoped_for(&status, send(gateway, &status).await);
                told.is_ok_and(|told| told["state"] == policy["state"])
            };
            if !ask_again(IN_FORCE, ask, |is_followed| *is_followed).await {
                return Err(format!("the queue {queue} is not known at every gateway"));
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
        let request = Request::post("/api/v1/admin/concerts", &concert);
        id(&self.ask(request).await?)
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
async fn send(target: Target, request: &Request) -> Result<Answer, Trouble> {
    let answer = Connection::new(target, LIMIT).send(request.clone()).await;
    let at = target.address();
    answer.map_err(|fault| format!("{at} did not answer {request}: {fault}"))
}

/// Whether time changes nothing: a server that is busy does not answer, or says 429 or that it failed.
fn is_final(answer: &Result<Answer, Trouble>) -> bool {
    let status = answer.as_ref().map(|it| it.status);
    status.is_ok_and(|status| status != 429 && status < 500)
}

/// The body of what was hoped for.
fn hoped_for(request: &Request, answer: Result<Answer, Trouble>) -> Result<Value, Trouble> {
    let answer = answer?;
    if (200..300).contains(&answer.status) {
        return Ok(answer.json());
    }
    let (status, text) = (answer.status, String::from_utf8_lossy(&answer.body));
    Err(format!("{request} answered {status}: {text}"))
}
