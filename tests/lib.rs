//! A sale on real processes, and the visitors who come to it. Speaks HTTP only.
//!
//! A visitor does what a careful client does: it repeats what may not have arrived, with the same
//! `Idempotency-Key`, and joins again when its visit is over.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::iter;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use testbed::{Brokers, Scratch, Stack, StackOptions, eventually, within};
use tokio::time::timeout;
use uuid::Uuid;

/// How many come in at the same time.
const AT_A_TIME: usize = 64;
/// No story of a test takes longer.
const PATIENCE: Duration = Duration::from_secs(120);

/// What was answered: status 0 stands for no answer at all.
#[derive(Debug, Clone)]
pub struct Said {
    /// The status.
    pub status: u16,
    /// The body, `null` where there is none.
    pub body: Value,
}

impl Said {
    /// The code of a problem.
    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }
}

/// A concert on sale behind gateways.
pub struct Sale {
    /// The processes.
    pub stack: Stack,
    /// Shared connections.
    pub client: Client,
    /// The concert.
    pub concert: String,
    /// The date that is sold.
    pub schedule: String,
    _scratch: Scratch,
}

impl Sale {
    /// Starts the processes and puts `seats` seats on sale at 1,000 each.
    ///
    /// # Panics
    /// When something does not start; the message shows the end of its log.
    pub async fn open(gateways: u16, seats: u16) -> Self {
        Self::with(gateways, seats, Brokers::None).await
    }

    /// The same, with events that are published to these brokers.
    pub async fn with(gateways: u16, seats: u16, brokers: Brokers) -> Self {
        Self::on(seats, |options| {
            options.gateways = gateways;
            options.brokers = brokers;
        })
        .await
    }

    /// The same, on a stack of any shape.
    pub async fn on(seats: u16, shape: impl FnOnce(&mut StackOptions)) -> Self {
        let scratch = Scratch::new().expect("a folder");
        let mut options = StackOptions::new(scratch.path());
        shape(&mut options);
        let stack = Stack::start(options).expect("the whole stack");
        let mut sale = Self {
            client: Client::new(),
            concert: String::new(),
            schedule: String::new(),
            stack,
            _scratch: scratch,
        };
        let concert = json!({ "title": "A night at the tests", "queue": "main" });
        sale.concert = sale.make("/api/v1/admin/concerts", &concert).await;
        let section = json!({ "grade": "ALL", "price": 1_000, "from": 1, "to": seats });
        let schedule = json!({ "startsAt": "2099-01-01T20:00:00Z", "sections": [section] });
        let path = format!("/api/v1/admin/concerts/{}/schedules", sale.concert);
        sale.schedule = sale.make(&path, &schedule).await;
        sale
    }

    async fn make(&self, path: &str, body: &Value) -> String {
        let said = self.operate(Method::POST, path, Some(body)).await;
        assert_eq!(said.status, 201, "{}", said.body);
        said.body["id"].as_str().expect("an id").to_owned()
    }

    /// As the operator, through the first gateway.
    pub async fn operate(&self, method: Method, path: &str, body: Option<&Value>) -> Said {
        let url = format!("{}{path}", self.stack.gateway_urls()[0]);
        let request = self.client.request(method, url);
        let request = request.bearer_auth(self.stack.operator_key());
        ask(match body {
            Some(body) => request.json(body),
            None => request,
        })
        .await
    }

    /// Sets the rules of the queue.
    pub async fn rule(&self, policy: Value) {
        let said = self
            .operate(Method::PUT, "/api/v1/queues/main", Some(&policy))
            .await;
        assert_eq!(said.status, 200, "{}", said.body);
    }

    /// Somebody who comes to the gateway of this number, counted round.
    pub fn visitor(&self, number: usize) -> Visitor {
        let mut gateways = self.stack.gateway_urls();
        let first = number % gateways.len();
        gateways.rotate_left(first);
        Visitor {
            user: Uuid::new_v4(),
            token: String::new(),
            schedule: self.schedule.clone(),
            client: self.client.clone(),
            gateways,
        }
    }

    /// So many visitors who are all inside, spread over the gateways.
    pub async fn inside(&self, count: usize) -> Vec<Visitor> {
        self.rule(json!({ "maxActive": 100_000, "admitPerSecond": 100_000 }))
            .await;
        let enter = |number| {
            let mut visitor = self.visitor(number);
            async move {
                visitor.enter().await;
                visitor
            }
        };
        let entering = iter(0..count).map(enter).buffer_unordered(AT_A_TIME);
        entering.collect().await
    }

    /// Seats, payments and ledger agree, to the unit.
    ///
    /// # Panics
    /// When they do not; the message names the differences.
    pub async fn assert_books_agree(&self) {
        let path = "/api/v1/admin/reconciliation";
        let said = self.operate(Method::GET, path, None).await;
        assert_eq!(said.status, 200, "{}", said.body);
        assert_eq!(said.body["clean"], true, "{}", said.body);
    }
}

/// Somebody who wants seats.
#[derive(Clone)]
pub struct Visitor {
    /// Who.
    pub user: Uuid,
    /// The token of the last join.
    pub token: String,
    schedule: String,
    client: Client,
    gateways: Vec<String>,
}

impl Visitor {
    /// A request of this visitor to the gateway.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}{path}", self.gateways[0]);
        self.client.request(method, url).bearer_auth(&self.token)
    }

    /// Turns to the next gateway.
    fn turn(&mut self) {
        self.gateways.rotate_left(1);
    }

    /// The date that is on sale.
    pub fn schedule(&self) -> &str {
        &self.schedule
    }

    /// Joins the line; keeps the token.
    pub async fn join(&mut self) -> Said {
        // With a secret the place is given again when the first answer was lost.
        let body = json!({ "userId": self.user, "secret": self.user });
        let said = ask(self
            .request(Method::POST, "/api/v1/queues/main/tokens")
            .json(&body))
        .await;
        if let Some(token) = said.body["token"].as_str() {
            token.clone_into(&mut self.token);
        }
        said
    }

    /// Looks at one's place.
    pub async fn poll(&self) -> Said {
        ask(self.request(Method::GET, "/api/v1/queues/main/tokens/me")).await
    }

    /// Gives the place up.
    pub async fn leave(&self) -> Said {
        ask(self.request(Method::DELETE, "/api/v1/queues/main/tokens/me")).await
    }

    /// Asks for a page behind the gateway.
    pub async fn get(&self, path: &str) -> Said {
        ask(self.request(Method::GET, path)).await
    }

    /// A wish for these seats.
    pub fn reserving(&self, seats: &[u16], key: &str) -> RequestBuilder {
        let body = json!({ "scheduleId": self.schedule, "seatNumbers": seats });
        let request = self.request(Method::POST, "/api/v1/reservations");
        request.header("Idempotency-Key", key).json(&body)
    }

    /// Wants these seats.
    pub async fn reserve(&self, seats: &[u16], key: &str) -> Said {
        ask(self.reserving(seats, key)).await
    }

    /// A wish to charge the own wallet.
    pub fn charging(&self, amount: u32, key: &str) -> RequestBuilder {
        let path = format!("/api/v1/users/{}/balance/charges", self.user);
        let request = self
            .request(Method::POST, &path)
            .header("Idempotency-Key", key);
        request.json(&json!({ "amount": amount }))
    }

    /// Charges the own wallet.
    pub async fn charge(&self, amount: u32, key: &str) -> Said {
        ask(self.charging(amount, key)).await
    }

    /// A wish to pay for a reservation.
    pub fn paying(&self, reservation: &str, key: &str) -> RequestBuilder {
        let request = self.request(Method::POST, "/api/v1/payments");
        let request = request.header("Idempotency-Key", key);
        request.json(&json!({ "reservationId": reservation }))
    }

    /// Pays for a reservation.
    pub async fn pay(&self, reservation: &str, key: &str) -> Said {
        ask(self.paying(reservation, key)).await
    }

    /// Charges, holds and pays one seat; the reservation.
    ///
    /// # Panics
    /// When any of it is refused.
    pub async fn buy(&mut self, seat: u16) -> String {
        self.enter().await;
        let charged = self.persist(|it| it.charging(5_000, "charge")).await;
        assert_eq!(charged.status, 201, "{charged:?}");
        let held = self.persist(|it| it.reserving(&[seat], "hold")).await;
        assert_eq!(held.status, 201, "{held:?}");
        let reservation = held.body["id"].as_str().expect("an id").to_owned();
        let paid = self.persist(|it| it.paying(&reservation, "pay")).await;
        assert_eq!(paid.status, 201, "{paid:?}");
        reservation
    }

    /// Joins, again where needed, until inside.
    ///
    /// # Panics
    /// When that takes longer than any test's patience; the message shows what was answered last.
    pub async fn enter(&mut self) {
        let (user, mut last) = (self.user, None);
        let inside = async {
            let mut said = self.join().await;
            while said.body["state"] != "active" {
                let again = matches!(said.status, 200 | 201);
                last = Some(said);
                said = if again {
                    self.poll().await
                } else {
                    // The visit is over, or there was no answer: join at the next gateway.
                    self.turn();
                    self.join().await
                };
            }
        };
        let entered = timeout(PATIENCE, inside).await;
        assert!(entered.is_ok(), "{user} is not inside: {last:?}");
    }

    /// Asks again until it has a final answer, entering again where the visit is over.
    ///
    /// # Panics
    /// When that takes longer than any test's patience.
    pub async fn persist(&mut self, wish: impl Fn(&Self) -> RequestBuilder) -> Said {
        let answered = async {
            loop {
                let said = ask(wish(self)).await;
                let again = match said.status {
                    0 | 408 | 500.. => true,
                    _ if said.code() == "IDEMPOTENCY_IN_PROGRESS" => true,
                    401 | 403 => true,
                    410 => said.code() == "TOKEN_EXPIRED",
                    _ => false,
                };
                if !again {
                    return said;
                }
                self.turn();
                self.enter().await;
            }
        };
        within(PATIENCE, "a final answer", answered).await
    }
}

/// An event as the receiver has printed it.
#[derive(Debug)]
pub struct Received {
    /// Such as `payment.captured`.
    pub event_type: String,
    /// Of what, such as `reservation/ID`.
    pub subject: String,
    /// Of the event.
    pub id: String,
}

impl Sale {
    /// Every event that has arrived, in the order in which it did.
    ///
    /// # Panics
    /// When there is no receiver.
    pub fn received(&self) -> Vec<Received> {
        let events = self.stack.events.as_ref().expect("the way of events");
        let text = std::fs::read_to_string(events.receiver.log()).expect("a log");
        let event = |line: &str| {
            let mut words = line.split(' ').skip(1).map(str::to_owned);
            Some(Received {
                event_type: words.next()?,
                subject: words.next()?,
                id: words.next()?,
            })
        };
        text.lines().filter_map(event).collect()
    }

    /// Waits until so many have arrived.
    ///
    /// # Panics
    /// When that takes longer than any test's patience.
    pub async fn until_received(&self, count: usize) -> Vec<Received> {
        eventually(PATIENCE, "events to arrive", async || {
            let received = self.received();
            (received.len() >= count).then_some(received)
        })
        .await
    }

    /// Waits until so many different events have arrived, and gives each at its first arrival: a forwarder that is killed
    /// between a delivery and its commit delivers again, by the same id.
    ///
    /// # Panics
    /// When that takes longer than any test's patience.
    pub async fn until_told(&self, count: usize) -> Vec<Received> {
        eventually(PATIENCE, "different events to arrive", async || {
            let mut ids = BTreeSet::new();
            let mut received = self.received();
            received.retain(|it| ids.insert(it.id.clone()));
            (received.len() >= count).then_some(received)
        })
        .await
    }

    /// Every event arrived once, and those of a sale in their order.
    ///
    /// # Panics
    /// When they did not.
    pub fn assert_told(received: &[Received], reservations: &[String]) {
        let ids: BTreeSet<_> = received.iter().map(|it| &it.id).collect();
        assert_eq!(ids.len(), received.len(), "an event arrived twice");
        for reservation in reservations {
            let subject = format!("reservation/{reservation}");
            let types = received.iter().filter(|it| it.subject == subject);
            let types: Vec<_> = types.map(|it| it.event_type.as_str()).collect();
            assert_eq!(types, ["reservation.held", "payment.captured"], "{subject}");
        }
    }
}

/// Sends a request.
pub async fn ask(request: RequestBuilder) -> Said {
    let Ok(answer) = request.send().await else {
        return Said {
            status: 0,
            body: Value::Null,
        };
    };
    let status = answer.status().as_u16();
    let text = answer.text().await.unwrap_or_default();
    Said {
        status,
        body: serde_json::from_str(&text).unwrap_or(Value::Null),
    }
}

/// How many were told what: the status, and the code of a problem.
pub fn tally(answers: &[Said]) -> BTreeMap<String, usize> {
    let mut tally = BTreeMap::new();
    for said in answers {
        let what = format!("{} {}", said.status, said.code());
        *tally.entry(what.trim_end().to_owned()).or_default() += 1;
    }
    tally
}

/// Waits until the counter has reached `count`.
///
/// # Panics
/// When that takes longer than any test's patience.
pub async fn reached(counter: &AtomicUsize, count: usize) {
    eventually(PATIENCE, "enough of them", async || {
        (counter.load(Ordering::SeqCst) >= count).then_some(())
    })
    .await;
}
