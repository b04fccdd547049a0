//! A gateway with a service behind it, and browsers that come to it.

use reqwest::{Client, Method, Response};
use serde_json::{Value, json};
use testbed::{Program, Scratch, Stack, StackOptions, eventually};
use uuid::Uuid;

use crate::driver::{Browser, Drivers, PATIENCE};

/// True where seats are chosen.
pub const SEATS: &str = "document.querySelector('#legend')?.children.length > 4";
/// True in front of the shop, as soon as one can go in.
const FRONT: &str = "document.querySelector('#go') && !document.querySelector('#go').hidden";
/// True on the waiting page of a line that moves.
pub const LINE: &str = "document.documentElement.dataset.state === 'line'";
/// True at an order whose seats are held.
pub const HELD: &str = "document.documentElement.dataset.state === 'held'";
/// True at such an order when the money for it is missing.
pub const UNPAID: &str = "document.documentElement.dataset.state === 'held' && !document.querySelector('#charge').hidden";
/// True at a ticket.
pub const PAID: &str = "document.documentElement.dataset.state === 'confirmed'";
/// True in what only those who are inside see.
pub const INSIDE: &str = "document.body.innerText.includes('\"items\"')";

/// The processes.
pub struct Site {
    pub stack: Stack,
    /// The path that only those who are inside see.
    pub gated: String,
    /// Under which path the gateway's own routes stand.
    base: String,
    /// Which gateway the tests themselves speak to.
    number: usize,
    /// Whether the gateway makes the ids of users.
    is_anonymous: bool,
    /// The key of an operator who may do everything.
    key: String,
    drivers: Drivers,
    client: Client,
    _scratch: Scratch,
}

impl Site {
    /// With the default rules.
    pub async fn open() -> Self {
        Self::with(&[]).await
    }

    /// With the demo shop before it, and a date with 50 seats.
    pub async fn shop() -> Self {
        Self::shop_with(Value::Null).await
    }

    /// With the demo shop before it, and a date with these sections.
    pub async fn shop_with(sections: Value) -> Self {
        Self::selling(&[], &[], sections).await
    }

    /// With the demo shop, and more variables of the gateway and of what sells.
    pub async fn shop_with_rules(gateway: &[(&str, &str)], booking: &[(&str, &str)]) -> Self {
        Self::selling(gateway, booking, Value::Null).await
    }

    /// With the demo shop, at gateways whose own routes stand under this path.
    pub async fn shop_under(base: &str) -> Self {
        Self::selling(&[("GATEWAY_BASE_PATH", base)], &[], Value::Null).await
    }

    async fn selling(gateway: &[(&str, &str)], booking: &[(&str, &str)], sections: Value) -> Self {
        let site = Self::start(gateway, booking, true, 1).await;
        let id = site.gated.split('/').nth(4).unwrap().to_owned();
        let mut date = json!({ "startsAt": "2099-01-01T20:00:00Z" });
        if sections.is_array() {
            date["sections"] = sections;
        }
        let path = format!("/api/v1/admin/concerts/{id}/schedules");
        site.operate(Method::POST, &path, &date).await;
        site
    }

    /// With more variables of the gateway.
    pub async fn with(variables: &[(&str, &str)]) -> Self {
        Self::start(variables, &[], false, 1).await
    }

    /// With two gateways.
    pub async fn of_two_gateways() -> Self {
        Self::start(&[], &[], false, 2).await
    }

    async fn start(
        variables: &[(&str, &str)],
        booking: &[(&str, &str)],
        has_shop: bool,
        gateways: u16,
    ) -> Self {
        let scratch = Scratch::new().unwrap();
        let mut options = StackOptions::new(scratch.path());
        options.gateways = gateways;
        options.shop = has_shop;
        let variable = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let base = variables.iter().find(|it| it.0 == "GATEWAY_BASE_PATH");
        options.gateway_environment = variables.iter().map(variable).collect();
        options.booking_environment = booking.iter().map(variable).collect();
        let keys = variables.iter().find(|it| it.0 == "GATEWAY_OPERATOR_KEYS");
        let first = keys.and_then(|it| it.1.split([':', ',']).nth(1));
        let stack = Stack::start(options).unwrap();
        let mut site = Self {
            key: first.unwrap_or_else(|| stack.operator_key()).to_owned(),
            stack,
            gated: String::new(),
            base: base.map_or("", |it| it.1).to_owned(),
            number: 0,
            is_anonymous: variables.contains(&("GATEWAY_IDENTITY", "anonymous")),
            drivers: Drivers::new(scratch.path().join("driver")),
            client: Client::new(),
            _scratch: scratch,
        };
        let concert = json!({ "title": "A night at the tests", "queue": "main" });
        let made = site
            .operate(Method::POST, "/api/v1/admin/concerts", &concert)
            .await;
        let id = made["id"].as_str().unwrap();
        site.gated = format!("/api/v1/concerts/{id}/schedules");
        site
    }

    /// A browser that nobody used before.
    pub async fn browser(&self) -> Browser {
        Browser::open(&self.drivers.url()).await
    }

    /// The address of a path.
    pub fn at(&self, path: &str) -> String {
        format!("{}{path}", self.stack.gateway_urls()[self.number])
    }

    /// The address of a route of the gateway's own.
    pub fn own(&self, path: &str) -> String {
        self.at(&format!("{}{path}", self.base))
    }

    /// From now on the tests speak to another gateway.
    pub fn goes_on_at(&mut self, number: usize) {
        self.number = number;
    }

    /// A browser that came to the gated page.
    pub async fn visitor(&self) -> Browser {
        let browser = self.browser().await;
        browser.go(&self.at(&self.gated)).await;
        browser
    }

    /// A browser in front of the shop.
    pub async fn customer(&self) -> Browser {
        let browser = self.browser().await;
        self.front(&browser).await;
        browser
    }

    /// The front of the shop, in a browser that is there.
    pub async fn front(&self, browser: &Browser) {
        browser.go(&self.at("/")).await;
        browser.sees(FRONT).await;
    }

    /// A browser at the console, with an operator's key.
    pub async fn operator(&self) -> Browser {
        let operator = self.browser().await;
        operator.size(1280, 1400, false).await;
        operator.go(&self.own("/console/")).await;
        operator
            .sees("document.querySelector('[data-queue=main]')")
            .await;
        operator.write("#key", self.key()).await;
        operator.press("#key-go").await;
        operator.sees("document.querySelector('[name=maxActive]').value && !document.querySelector('[name=maxActive]').disabled").await;
        operator
    }

    /// Sets the rules of the queue.
    pub async fn rule(&self, policy: Value) {
        let path = format!("{}/api/v1/queues/main", self.base);
        self.operate(Method::PUT, &path, &policy).await;
    }

    /// The rules of the queue, as they are written.
    pub async fn policy(&self) -> Value {
        let path = self.own("/api/v1/queues/main/policy");
        let read = self.client.get(path).bearer_auth(self.key());
        read.send().await.unwrap().json().await.unwrap()
    }

    /// The key of an operator who may do everything: the first of those that the gateway was given, else that of the stack.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// An operator asks for this, and it is done.
    pub async fn operate(&self, method: Method, path: &str, body: &Value) -> Value {
        self.send(method, path, self.key(), body).await
    }

    /// One act, which is done; asked for again while the store is away.
    async fn send(&self, method: Method, path: &str, bearer: &str, body: &Value) -> Value {
        let what = format!("an answer to {method} {path}");
        let act = Uuid::new_v4().to_string();
        // On a machine that has much else to do the store may be away for a moment.
        let answer = eventually(PATIENCE, &what, async || {
            let request = self.client.request(method.clone(), self.at(path));
            let request = request.header("idempotency-key", act.as_str());
            let request = request.bearer_auth(bearer).json(body);
            let answer = request.send().await.unwrap();
            (answer.status() != 503).then_some(answer)
        })
        .await;
        let status = answer.status();
        let said = answer.text().await.unwrap();
        assert!(status.is_success(), "{said}");
        match said.as_str() {
            "" => Value::Null,
            said => serde_json::from_str(said).unwrap(),
        }
    }

    /// A stream of somebody's place, for as long as it is kept.
    pub async fn stream(&self, token: &str) -> Response {
        let request = self
            .client
            .get(self.own("/api/v1/queues/main/tokens/me/events"));
        let stream = request.bearer_auth(token).send().await.unwrap();
        assert_eq!(stream.status(), 200);
        stream
    }

    /// Waits until so many are in line, as everybody sees it.
    pub async fn has_waiting(&self, count: u64) {
        let what = format!("{count} in line");
        eventually(PATIENCE, &what, async || {
            let request = self.client.get(self.own("/api/v1/queues/main"));
            let status: Value = request.send().await.ok()?.json().await.ok()?;
            (status["waiting"] == count).then_some(())
        })
        .await;
    }

    /// Somebody without a browser joins; their token.
    pub async fn join(&self) -> String {
        let request = self.client.post(self.own("/api/v1/queues/main/tokens"));
        let request = match self.is_anonymous {
            true => request.json(&json!({})),
            false => request.json(&json!({ "userId": Uuid::new_v4() })),
        };
        let place: Value = request.send().await.unwrap().json().await.unwrap();
        place["token"].as_str().unwrap().to_owned()
    }

    /// Who is inside asks for the seats, and by the answer the line hears that so much is left.
    pub async fn hears_of_left(&self, token: &str, left: u64) {
        let what = format!("{left} to be left");
        let seats = format!("/api/v1/schedules/{}/seats", self.date(token).await);
        eventually(PATIENCE, &what, async || {
            assert!(self.ask(token, &seats).await["items"].is_array());
            let request = self.client.get(self.own("/api/v1/queues/main"));
            let status: Value = request.send().await.ok()?.json().await.ok()?;
            (status["remaining"] == left).then_some(())
        })
        .await;
    }

    async fn ask(&self, token: &str, path: &str) -> Value {
        let answer = self.client.get(self.at(path)).bearer_auth(token);
        answer.send().await.unwrap().json().await.unwrap()
    }

    /// The first date, as somebody inside sees it.
    async fn date(&self, token: &str) -> String {
        let dates = self.ask(token, &self.gated).await;
        dates["items"][0]["id"].as_str().unwrap().to_owned()
    }

    /// An operator takes seats off sale; who is inside knows the date.
    pub async fn blocks(&self, token: &str, seats: &[u32]) {
        let date = self.date(token).await;
        let path = format!("/api/v1/admin/schedules/{date}/seats/blocks");
        let block = json!({ "seatNumbers": seats, "reason": "Camera stands" });
        self.operate(Method::POST, &path, &block).await;
    }

    /// Who is inside holds a seat of the first date.
    pub async fn holds(&self, token: &str) {
        let wanted = json!({ "scheduleId": self.date(token).await, "count": 1 });
        let request = self.client.post(self.at("/api/v1/reservations"));
        let request = request.header("idempotency-key", Uuid::new_v4().to_string());
        let held = request.bearer_auth(token).json(&wanted).send().await;
        assert_eq!(held.unwrap().status(), 201);
    }

    /// Somebody joins and buys these seats of the first date; their payment.
    pub async fn buys(&self, seats: &[u32]) -> Value {
        let token = self.join().await;
        let wanted = json!({ "scheduleId": self.date(&token).await, "seatNumbers": seats });
        let reservations = "/api/v1/reservations";
        let held = self.send(Method::POST, reservations, &token, &wanted).await;
        let user = held["userId"].as_str().unwrap();
        let charges = format!("/api/v1/users/{user}/balance/charges");
        let money = json!({ "amount": held["amount"] });
        self.send(Method::POST, &charges, &token, &money).await;
        let payment = json!({ "reservationId": held["id"] });
        self.send(Method::POST, "/api/v1/payments", &token, &payment)
            .await
    }

    /// They leave.
    pub async fn leave(&self, token: &str) {
        let request = self
            .client
            .delete(self.own("/api/v1/queues/main/tokens/me"));
        let answer = request.bearer_auth(token).send().await.unwrap();
        assert_eq!(answer.status(), 204);
    }
}

impl Drop for Site {
    /// Nobody asks anything any more, and a stop in order looks but once a second whether all connections are closed.
    fn drop(&mut self) {
        let stack = &mut self.stack;
        let services = stack.gateways.iter_mut().chain(&mut stack.bookings);
        services.chain(&mut stack.shop).for_each(Program::kill);
    }
}

/// From the front of the shop to the seats, as far as one gets: `then` is what is seen.
pub async fn go_in(visitor: &Browser, then: &str) {
    visitor.press("#go").await;
    visitor.sees(then).await;
}

/// From the seats to an order of those that are best together.
pub async fn holds_best(visitor: &Browser) {
    visitor.press("#best").await;
    visitor.sees(UNPAID).await;
}

/// From an order to its ticket: the money first.
pub async fn pays(visitor: &Browser) {
    visitor
        .sees("!document.querySelector('#charge').hidden")
        .await;
    visitor.press("#charge").await;
    visitor
        .sees("!document.querySelector('#pay').disabled")
        .await;
    visitor.press("#pay").await;
    visitor.sees(PAID).await;
}

/// The part of the console about what is sold, with books that agree and the concert.
pub async fn looks_at_sale(operator: &Browser) {
    operator.press("[data-part=sale]").await;
    operator
        .sees("document.querySelector('#books').innerText.includes('yes')")
        .await;
    operator
        .sees("document.querySelector('#concerts').innerText.includes('A night at the tests')")
        .await;
}

/// From a place in line out of it, and back into it.
pub async fn leaves_and_comes_back(visitor: &Browser) {
    leaves(visitor).await;
    visitor.press("[data-usher=again] button").await;
    visitor.waits_as("line").await;
}

/// From a place in line out of it.
pub async fn leaves(visitor: &Browser) {
    // The script has come when it has taken the button of the switch away; before, one leaves unasked.
    visitor
        .sees("document.querySelector('[data-usher=language] button').hidden")
        .await;
    visitor.press("[data-usher=leave] button").await;
    visitor.press("dialog [value=leave]").await;
    visitor.waits_as("left").await;
}
