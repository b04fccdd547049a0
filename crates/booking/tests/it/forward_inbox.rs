//! A receiver that answers as a test wants, and a deliverer for it.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use actix_web::http::StatusCode;
use actix_web::http::header::{HttpDate, RETRY_AFTER};
use actix_web::web::{Bytes, Data};
use actix_web::{HttpRequest, HttpResponse};
use booking::forwarder::{Deliverer, Delivery, DeliveryOptions, Outcome, Webhook};
use booking::kafka::{Message, Producer};
use booking::signed::{ID, SIGNATURE, Secrets, TIMESTAMP};
use chassis::time::Clock;
use chrono::TimeDelta;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::publish_post::Office;
use crate::test_app::serve;

pub const SECRET: &str = "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0";
pub const RECEIVER: &str = "data-platform";

#[derive(Clone)]
pub struct Inbox {
    pub url: String,
    shelf: Data<Shelf>,
}

struct Shelf {
    taken: Mutex<Vec<Posted>>,
    /// What to answer next; 204 when there is nothing.
    answers: Mutex<VecDeque<u16>>,
    /// Events whose number is here are always answered so.
    poison: Mutex<Vec<(i64, u16)>>,
    /// For how long a 503 says that it is away; as an instant when there is one, else 7 seconds.
    away_for: Mutex<Option<TimeDelta>>,
    /// Each answer takes one of these and gives it back.
    answering: Semaphore,
}

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Posted {
    pub id: String,
    pub number: i64,
    pub subject: String,
    pub body: Value,
    pub verified: bool,
    pub traceparent: Option<String>,
    pub answered: u16,
}

impl Inbox {
    pub fn open() -> Self {
        let inbox = Self::silent();
        inbox.speak();
        inbox
    }

    /// Takes requests and answers none until [`Inbox::speak`].
    pub fn silent() -> Self {
        let shelf = Data::new(Shelf {
            taken: Mutex::default(),
            answers: Mutex::default(),
            poison: Mutex::default(),
            away_for: Mutex::default(),
            answering: Semaphore::new(0),
        });
        let url = format!("{}/events", serve(shelf.clone(), take));
        Self { url, shelf }
    }

    pub fn speak(&self) {
        self.shelf.answering.add_permits(1_000);
    }

    /// Answers the next requests so.
    pub fn answer(&self, statuses: &[u16]) {
        self.shelf.answers.lock().unwrap().extend(statuses);
    }

    /// Answers every event with this number so.
    pub fn poison(&self, number: i64, status: u16) {
        self.shelf.poison.lock().unwrap().push((number, status));
    }

    /// Says with each 503 until when it is away, as a date.
    pub fn away_for(&self, away: TimeDelta) {
        *self.shelf.away_for.lock().unwrap() = Some(away);
    }

    pub fn posted(&self) -> Vec<Posted> {
        self.shelf.taken.lock().unwrap().clone()
    }

    /// The numbers of the events that were taken, in the order in which they came.
    pub fn numbers(&self) -> Vec<i64> {
        let posted = self.posted();
        let taken = posted.iter().filter(|it| it.answered < 300);
        taken.map(|it| it.number).collect()
    }
}

async fn take(shelf: Data<Shelf>, request: HttpRequest, body: Bytes) -> HttpResponse {
    let header = |name: &str| {
        let value = request.headers().get(name).expect(name);
        value.to_str().expect("ASCII").to_owned()
    };
    let traceparent = request.headers().get("traceparent");
    let traceparent = traceparent.map(|value| value.to_str().expect("ASCII").to_owned());
    let text = std::str::from_utf8(&body).expect("text");
    let secrets: Secrets = SECRET.parse().expect("a secret");
    let now = Clock::system().now();
    let id = header(ID);
    let verified = secrets.verify(&id, &header(TIMESTAMP), text, &header(SIGNATURE), now);
    let body: Value = serde_json::from_str(text).expect("JSON");
    let number = body["data"]["number"].as_i64().unwrap_or(-1);
    let is_poison = |it: &&(i64, u16)| it.0 == number;
    let poison = shelf.poison.lock().unwrap().iter().find(is_poison).copied();
    let answered = match poison {
        Some((_, status)) => status,
        None => shelf.answers.lock().unwrap().pop_front().unwrap_or(204),
    };
    shelf.taken.lock().unwrap().push(Posted {
        id,
        number,
        subject: body["subject"].as_str().unwrap_or_default().to_owned(),
        verified: verified && header("content-type") == "application/json",
        body,
        traceparent,
        answered,
    });
    let _answering = shelf.answering.acquire().await.expect("open");
    let status = StatusCode::from_u16(answered).expect("a status");
    let mut answer = HttpResponse::build(status);
    if answered == 503 {
        let away = *shelf.away_for.lock().unwrap();
        let until = away.map(|away| HttpDate::from(SystemTime::from(now + away)).to_string());
        answer.insert_header((RETRY_AFTER, until.unwrap_or_else(|| "7".to_owned())));
    }
    if answered == 302 {
        answer.insert_header(("location", "/elsewhere"));
    }
    answer.finish()
}

/// A deliverer between the office and the inbox.
pub fn deliverer(post: &Office, turn: usize, url: &str, refusals: u32) -> Deliverer {
    let timeout = Duration::from_secs(5);
    let webhook = Webhook::new(url.parse().unwrap(), SECRET.parse().unwrap(), timeout);
    let producer = Producer::new(post.cluster("")).expect("a producer");
    let options = DeliveryOptions {
        receiver: RECEIVER.to_owned(),
        refusals,
        timeout,
    };
    let webhook = webhook.expect("a client");
    Deliverer::new(
        post.db(turn),
        post.clock.clone(),
        webhook,
        producer,
        options,
    )
}

/// An event as it comes from the topic.
pub fn message(id: Uuid, number: i64) -> Message {
    let headers = [
        ("ce_id", id.to_string()),
        ("ce_type", "reservation.held".to_owned()),
        ("ce_time", "2026-05-01T10:00:00.000Z".to_owned()),
        ("ce_subject", "reservation/1".to_owned()),
        ("ce_sequence", format!("{number:020}")),
    ];
    Message {
        key: "1".to_owned(),
        headers: headers.map(|(name, value)| (name.to_owned(), value)).into(),
        payload: json!({ "number": number }).to_string().into_bytes(),
    }
}

/// Tries again, without waiting, until it is done; how often it had to be tried.
pub async fn deliver(deliverer: &Deliverer, message: Message) -> (Outcome, u32) {
    let mut delivery = Delivery::new(message);
    for tries in 1..1_000 {
        match deliverer.attempt(&mut delivery).await {
            Outcome::Later(_) | Outcome::Held(_) => {}
            done => return (done, tries),
        }
    }
    panic!("never done");
}
