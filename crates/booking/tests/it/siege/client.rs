//! One client: acts at random, and knows what each answer must be.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use booking::signed::Secrets;
use chassis::time::{Clock, Timestamp};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{CLOCKS_DIFFER_S, HOLD_S, SEATS, SECRET, World};

/// How long a client repeats a request. All faults together take less.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two tries.
const PACE: Duration = Duration::from_millis(20);

/// What came back, and whether it was asked more than once.
#[derive(Debug)]
pub struct Said {
    pub status: u16,
    pub body: Value,
    pub repeated: bool,
}

impl Said {
    fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }
}

/// Asks until there is an answer that says what became of it, now at the one process, now at the other.
pub async fn persist(world: &World, first: usize, ask: impl Fn(usize) -> RequestBuilder) -> Said {
    let answered = async {
        let mut pace = tokio::time::interval(PACE);
        let mut turn = first;
        loop {
            pace.tick().await;
            if let Some((status, body)) = answer_to(world, ask(turn)).await
                && status < 500
                && body["code"] != "IDEMPOTENCY_IN_PROGRESS"
            {
                let repeated = turn > first;
                return Said {
                    status,
                    body,
                    repeated,
                };
            }
            turn += 1;
        }
    };
    testbed::within(PATIENCE, "an answer", answered).await
}

async fn answer_to(world: &World, request: RequestBuilder) -> Option<(u16, Value)> {
    let sent = Instant::now();
    let response = request.send().await;
    if response.as_ref().is_err_and(reqwest::Error::is_timeout) {
        world.answers.count_none();
    }
    let response = response.ok()?;
    let status = response.status().as_u16();
    let bytes = response.bytes().await.ok()?;
    world.answers.count(sent, status);
    Some((
        status,
        serde_json::from_slice(&bytes).unwrap_or(Value::Null),
    ))
}

/// How long ago it was made, by the clock of the machine.
fn age_of(body: &Value) -> Option<Duration> {
    let made = body["createdAt"].as_str()?.parse::<Timestamp>().ok()?;
    (Clock::system().now() - made).to_std().ok()
}

/// A reservation and what its client did with it.
#[derive(Debug)]
struct Mine {
    id: String,
    /// What each seat costs that it still has.
    seats: Vec<(u64, i64)>,
    /// When it was made, as far as clocks can tell.
    held: Instant,
    extended: bool,
    /// Whether a request that was given up may have extended it after all.
    unsure: bool,
    payment: Option<String>,
    /// What came back without a seat.
    given: i64,
    over: bool,
}

impl Mine {
    fn of(body: &Value) -> Self {
        let seats = body["seats"].as_array().expect("seats").iter();
        let seat = |it: &Value| {
            (
                it["number"].as_u64().unwrap(),
                it["price"].as_i64().unwrap(),
            )
        };
        Self {
            id: body["id"].as_str().expect("an id").to_owned(),
            seats: seats.map(seat).collect(),
            held: age_of(body).map_or_else(Instant::now, |age| Instant::now() - age),
            extended: false,
            unsure: false,
            payment: None,
            given: 0,
            over: false,
        }
    }

    /// What its seats cost.
    fn price(&self) -> i64 {
        self.seats.iter().map(|(_, price)| price).sum()
    }

    /// What is left to give back of it.
    fn left(&self) -> i64 {
        (self.price() - self.given).max(0)
    }

    fn may_have_expired(&self) -> bool {
        let least = HOLD_S - CLOCKS_DIFFER_S;
        self.held.elapsed() >= Duration::from_secs(least.unsigned_abs())
    }
}

pub struct Client {
    pub world: Arc<World>,
    number: usize,
    random: StdRng,
    user: String,
    /// What the answers so far make of the wallet.
    balance: i64,
    mine: Vec<Mine>,
    keys: u32,
    /// Charges that the provider has not spoken of.
    ordered: Vec<(String, i64)>,
}

impl Client {
    pub fn new(world: Arc<World>, number: usize, user: Uuid) -> Self {
        Self {
            world,
            number,
            random: StdRng::seed_from_u64(number as u64),
            user: user.to_string(),
            balance: 0,
            mine: Vec::new(),
            keys: 0,
            ordered: Vec::new(),
        }
    }

    /// Does anything.
    pub async fn act(&mut self) {
        match self.random.random_range(0..100) {
            0..10 => self.order().await,
            10..20 => self.collect().await,
            20..42 => self.reserve().await,
            42..47 => self.extend().await,
            47..63 => self.pay().await,
            63..69 => self.pay_by_provider().await,
            69..76 => self.cancel().await,
            76..86 => self.refund_part().await,
            86..90 => self.wait().await,
            90..95 => self.look().await,
            _ => assert_eq!(self.balance_said().await, self.balance),
        }
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
        key: Option<&str>,
    ) -> Said {
        persist(&self.world, self.number, |turn| {
            let mut request = self.world.request(turn, &self.user, method.clone(), path);
            if let Some(key) = key {
                request = request.header("Idempotency-Key", key);
            }
            match &body {
                Some(body) => request.json(body),
                None => request,
            }
        })
        .await
    }

    async fn post_once(&mut self, path: &str, body: Value) -> Said {
        self.keys += 1;
        let key = format!("k{}", self.keys);
        self.ask(Method::POST, path, Some(body), Some(&key)).await
    }

    async fn balance_said(&self) -> i64 {
        let path = format!("/api/v1/users/{}/balance", self.user);
        let said = self.ask(Method::GET, &path, None, None).await;
        said.body["balance"].as_i64().expect("a balance")
    }

    async fn order(&mut self) {
        let amount = self.random.random_range(1..=3_000);
        let path = format!("/api/v1/users/{}/balance/charges", self.user);
        let said = self.post_once(&path, json!({ "amount": amount })).await;
        assert_eq!(said.status, 202, "{said:?}");
        let id = said.body["chargeId"].as_str().expect("an order").to_owned();
        self.ordered.push((id, amount));
    }

    /// The provider speaks of an order: late, sometimes twice, sometimes of a failure first.
    async fn collect(&mut self) {
        if self.ordered.is_empty() {
            return;
        }
        let index = self.random.random_range(0..self.ordered.len());
        let (id, amount) = self.ordered.swap_remove(index);
        if self.random.random_range(0..4) == 0 {
            self.say("order.failed", &id, amount).await;
        }
        for _ in 0..self.random.random_range(1..=2) {
            self.say("order.captured", &id, amount).await;
        }
        self.balance += amount;
        self.say("order.failed", &id, amount).await;
    }

    async fn say(&self, event: &str, order: &str, amount: i64) {
        let body = json!({ "type": event, "timestamp": "2026-05-01T10:00:00Z",
            "data": { "orderId": order, "amount": amount } });
        let (body, secrets) = (
            body.to_string(),
            SECRET.parse::<Secrets>().expect("a secret"),
        );
        let (id, unix_s) = (
            Uuid::new_v4().to_string(),
            Clock::system().now().timestamp(),
        );
        let said = persist(&self.world, self.number, |turn| {
            let url = format!("{}/api/v1/provider/events", self.world.urls[turn % 2]);
            self.world
                .http
                .post(url)
                .header("content-type", "application/json")
                .header("webhook-id", &id)
                .header("webhook-timestamp", unix_s)
                .header("webhook-signature", secrets.sign(&id, unix_s, &body))
                .body(body.clone())
        });
        let said = said.await;
        assert_eq!(said.status, 204, "{said:?}");
    }

    async fn reserve(&mut self) {
        let date = self.world.fixture.schedule_id;
        let body = if self.random.random_bool(0.5) {
            json!({ "scheduleId": date, "count": self.random.random_range(1..=2) })
        } else {
            let seat = self.random.random_range(1..SEATS);
            json!({ "scheduleId": date, "seatNumbers": [seat, seat + 1] })
        };
        let said = self.post_once("/api/v1/reservations", body).await;
        match (said.status, said.code()) {
            (201, _) => self.mine.push(Mine::of(&said.body)),
            (409, "SEAT_TAKEN" | "SOLD_OUT" | "WAITLIST_FIRST") | (422, "TOO_MANY_SEATS") => {}
            _ => panic!("not an answer to a wish: {said:?}"),
        }
    }

    /// One of this client's reservations, mostly a late one.
    fn one_of_mine(&mut self) -> Option<usize> {
        let first = self.mine.len().checked_sub(1)?.saturating_sub(3);
        Some(self.random.random_range(first..self.mine.len()))
    }

    async fn extend(&mut self) {
        let Some(index) = self.one_of_mine() else {
            return;
        };
        let path = format!("/api/v1/reservations/{}/extensions", self.mine[index].id);
        let said = self.ask(Method::POST, &path, Some(json!({})), None).await;
        let mine = &mut self.mine[index];
        match (said.status, said.code()) {
            (200 | 201, _) => {
                assert!(
                    !mine.extended && !mine.over && mine.payment.is_none(),
                    "{mine:?}"
                );
                mine.extended = true;
                self.world.extended.fetch_add(1, Ordering::SeqCst);
            }
            (409, "ALREADY_EXTENDED") => assert!(mine.extended || mine.unsure || said.repeated),
            (409, "EXTENSION_REFUSED") => mine.unsure |= said.repeated,
            (409, "ALREADY_PAID") => assert!(mine.payment.is_some(), "{mine:?}"),
            (409, "RESERVATION_CANCELLED") => assert!(mine.over, "{mine:?}"),
            (410, "HOLD_EXPIRED") => assert!(mine.over || mine.may_have_expired(), "{mine:?}"),
            _ => panic!("not an answer to an extension: {said:?}"),
        }
    }

    async fn pay(&mut self) {
        let Some(index) = self.one_of_mine() else {
            return;
        };
        let body = json!({ "reservationId": self.mine[index].id });
        let said = self.post_once("/api/v1/payments", body).await;
        let mine = &mut self.mine[index];
        match (said.status, said.code()) {
            (201, _) => {
                assert!(mine.payment.is_none() && !mine.over, "{mine:?}");
                assert_eq!(said.body["amount"], mine.price());
                self.balance -= mine.price();
                assert!(self.balance >= 0, "paid with money that was not there");
                mine.payment = said.body["id"].as_str().map(str::to_owned);
            }
            (409, "BALANCE_SHORT") => assert_eq!(said.body["missing"], mine.price() - self.balance),
            (409, "ALREADY_PAID") => assert!(mine.payment.is_some(), "{mine:?}"),
            (409, "RESERVATION_CANCELLED") => assert!(mine.over, "{mine:?}"),
            (410, "HOLD_EXPIRED") => assert!(mine.over || mine.may_have_expired(), "{mine:?}"),
            _ => panic!("not an answer to a payment: {said:?}"),
        }
    }

    /// The provider holds the money, and the seats are sold or the money goes back.
    async fn pay_by_provider(&mut self) {
        let Some(index) = self.one_of_mine() else {
            return;
        };
        let body = json!({ "reservationId": self.mine[index].id, "with": "provider" });
        let said = self.post_once("/api/v1/payments", body).await;
        if said.status != 202 {
            assert!(matches!(said.status, 409 | 410 | 422), "{said:?}");
            return;
        }
        let id = said.body["id"].as_str().expect("an order").to_owned();
        let amount = said.body["amount"].as_i64().expect("an amount");
        for _ in 0..self.random.random_range(1..=2) {
            self.say("order.authorised", &id, amount).await;
        }
        let path = format!("/api/v1/payments/{id}");
        let seen = self.ask(Method::GET, &path, None, None).await;
        let mine = &mut self.mine[index];
        match seen.body["state"].as_str() {
            Some("captured") => {
                assert!(mine.payment.is_none() && !mine.over, "{mine:?}");
                assert_eq!(amount, mine.price());
                mine.payment = Some(id);
                self.world.by_provider.fetch_add(1, Ordering::SeqCst);
            }
            Some("voided") => assert!(mine.may_have_expired(), "{mine:?}"),
            _ => panic!("not what becomes of an order: {seen:?}"),
        }
    }

    async fn cancel(&mut self) {
        let Some(index) = self.one_of_mine() else {
            return;
        };
        let path = format!("/api/v1/reservations/{}", self.mine[index].id);
        let said = self.ask(Method::DELETE, &path, None, None).await;
        assert_eq!(said.status, 204, "{said:?}");
        let mine = &mut self.mine[index];
        if mine.payment.is_some() && !mine.over {
            self.balance += mine.left();
        }
        mine.over = true;
        assert_eq!(self.balance_said().await, self.balance);
    }

    /// One seat, some money, or all that is left.
    async fn refund_part(&mut self) {
        let Some(index) = self.one_of_mine() else {
            return;
        };
        let Some(payment) = self.mine[index].payment.clone() else {
            return;
        };
        let mine = &self.mine[index];
        let seat = mine.seats.first().map(|(number, _)| *number);
        let money = self.random.random_range(1..=400);
        let body = match (self.random.random_range(0..3), seat) {
            (0, Some(seat)) => json!({ "seatNumbers": [seat] }),
            (1, _) => json!({ "amount": money }),
            _ => json!({}),
        };
        let path = format!("/api/v1/payments/{payment}/refunds");
        let said = self.post_once(&path, body.clone()).await;
        let mine = &mut self.mine[index];
        match (said.status, said.code()) {
            (201, _) => {
                assert!(!mine.over, "{mine:?}");
                let amount = said.body["amount"].as_i64().expect("an amount");
                let freed = said.body["seatNumbers"].as_array().expect("seats");
                let is_free = |number: &u64| freed.iter().any(|it| it.as_u64() == Some(*number));
                let before = mine.left();
                let price: i64 = mine
                    .seats
                    .iter()
                    .filter(|it| is_free(&it.0))
                    .map(|it| it.1)
                    .sum();
                mine.seats.retain(|(number, _)| !is_free(number));
                match body.get("amount") {
                    Some(asked) => assert_eq!(amount, *asked),
                    None => assert_eq!(amount, price.min(before), "{mine:?}"),
                }
                if freed.is_empty() {
                    mine.given += amount;
                }
                mine.over = said.body["state"] == "refunded";
                assert_eq!(mine.over, mine.seats.is_empty(), "{mine:?}");
                self.balance += amount;
                self.world
                    .parts
                    .fetch_add(i64::from(!mine.over), Ordering::SeqCst);
            }
            (409, "ALREADY_REFUNDED") => assert!(mine.over, "{mine:?}"),
            (_, "REFUND_TOO_LARGE") => assert!(mine.left() < money, "{mine:?}"),
            _ => panic!("not an answer to a refund: {said:?} of {mine:?}"),
        }
    }

    async fn wait(&mut self) {
        let path = format!(
            "/api/v1/schedules/{}/waitlist",
            self.world.fixture.schedule_id
        );
        let said = self
            .ask(Method::POST, &path, Some(json!({ "count": 2 })), None)
            .await;
        match (said.status, said.code()) {
            (200 | 201, _) | (409, "SEATS_AVAILABLE") | (422, "TOO_MANY_SEATS") => {}
            _ => panic!("not an answer to who waits: {said:?}"),
        }
    }

    /// What is this client's by the service is so by its own reckoning; what was offered is new to it.
    async fn look(&mut self) {
        let said = self
            .ask(Method::GET, "/api/v1/reservations?limit=200", None, None)
            .await;
        for item in said.body["items"].as_array().expect("items") {
            let known = self.mine.iter().find(|mine| item["id"] == mine.id.as_str());
            let Some(mine) = known else {
                self.world.offers.fetch_add(1, Ordering::SeqCst);
                let mut offered = Mine::of(item);
                offered.over = matches!(item["state"].as_str(), Some("expired" | "cancelled"));
                self.mine.push(offered);
                continue;
            };
            let fits = match item["state"].as_str() {
                Some("held") => mine.payment.is_none() && !mine.over,
                Some("confirmed") => mine.payment.is_some() && !mine.over,
                Some("refunded") => mine.payment.is_some() && mine.over,
                Some("cancelled" | "expired") => mine.payment.is_none(),
                _ => false,
            };
            assert!(fits, "{item} is not {mine:?}");
        }
    }

    /// Everything that this client knows.
    pub async fn check_everything(&self) {
        assert_eq!(self.balance_said().await, self.balance, "of {}", self.user);
        for mine in self.mine.iter().filter(|mine| mine.payment.is_some()) {
            let path = format!("/api/v1/reservations/{}", mine.id);
            let said = self.ask(Method::GET, &path, None, None).await;
            let state = if mine.over { "refunded" } else { "confirmed" };
            assert_eq!(said.body["state"], state, "{mine:?}");
            if !mine.over {
                assert_eq!(said.body["amount"], mine.price(), "{mine:?}");
            }
        }
    }

    /// The same when the date was cancelled since: what was left of each payment is back.
    pub async fn check_called_off(&self) {
        let paid = self
            .mine
            .iter()
            .filter(|mine| mine.payment.is_some() && !mine.over);
        let back: i64 = paid.map(Mine::left).sum();
        assert_eq!(
            self.balance_said().await,
            self.balance + back,
            "of {}",
            self.user
        );
    }
}
