//! The service as its clients meet it: started in this process, on a database of its own, with a clock that tests move.

use std::time::Duration;

use actix_web::web::{Data, to};
use actix_web::{App, FromRequest, Handler, HttpResponse, HttpServer};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use booking::config::Config;
use chassis::env::Configuration as _;
use chassis::server::Running;
use chassis::time::Clock;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use reqwest::header::HeaderMap;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::fixture::Fixture;

pub const PASS_SECRET: [u8; 32] = *b"a secret of the tests: 32 bytes.";

pub struct TestApp {
    pub fixture: Fixture,
    pub clock: Clock,
    pub base: String,
    pub admin_base: String,
    pub client: Client,
    pub running: Option<Running>,
}

/// Someone with a pass.
#[derive(Clone)]
pub struct Caller<'a> {
    pub app: &'a TestApp,
    pub sub: String,
    pub queue: &'static str,
    pub level: &'static str,
    /// Of an operator's key; all of them when not said.
    pub rights: Option<&'static [&'static str]>,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Value,
}

impl TestApp {
    pub async fn open() -> Self {
        Self::with(&[]).await
    }

    /// With these variables in place of the defaults.
    pub async fn with(variables: &[(&str, &str)]) -> Self {
        Self::on(Fixture::open().await, variables).await
    }

    /// One more instance on the database of this fixture.
    pub async fn on(fixture: Fixture, variables: &[(&str, &str)]) -> Self {
        let clock = Clock::system();
        let config = config(&fixture.url, variables);
        let running = booking::start(config, clock.clone())
            .await
            .expect("started");
        Self {
            fixture,
            clock,
            base: format!("http://{}", running.address),
            admin_base: format!("http://{}", running.admin_address),
            client: Client::builder()
                .timeout(Duration::from_secs(60))
                .build()
                .expect("a client"),
            running: Some(running),
        }
    }

    /// A new visitor whose turn it is.
    pub fn visitor(&self) -> Caller<'_> {
        Caller {
            app: self,
            sub: Uuid::new_v4().to_string(),
            queue: "main",
            level: "active",
            rights: None,
        }
    }

    pub fn operator(&self) -> Caller<'_> {
        Caller {
            app: self,
            sub: "operator:tests".into(),
            queue: "",
            level: "operator",
            rights: None,
        }
    }

    /// An operator whose key has these rights alone.
    pub fn clerk(&self, rights: &'static [&'static str]) -> Caller<'_> {
        Caller {
            sub: "operator:clerk".into(),
            rights: Some(rights),
            ..self.operator()
        }
    }

    /// Without a pass.
    pub async fn get(&self, path: &str) -> Answer {
        answer(self.client.get(format!("{}{path}", self.base))).await
    }

    /// How often the service has read the database outside of transactions.
    pub async fn reads(&self) -> u64 {
        let metrics = self.client.get(format!("{}/metrics", self.admin_base));
        let metrics = metrics.send().await.expect("metrics");
        let text = metrics.text().await.expect("text");
        let counted = "booking_db_duration_seconds_count{kind=\"read\"} ";
        let count = text.lines().find_map(|line| line.strip_prefix(counted));
        count.map_or(0, |count| count.parse().expect("a number"))
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base))
    }

    pub fn seats_path(&self) -> String {
        format!("/api/v1/schedules/{}/seats", self.fixture.schedule_id)
    }

    pub fn wish(&self, seats: &[i64]) -> Value {
        json!({ "scheduleId": self.fixture.schedule_id, "seatNumbers": seats })
    }
}

impl Caller<'_> {
    /// The same one, still in the line.
    pub fn waiting(&self) -> Self {
        Self {
            level: "token",
            ..self.clone()
        }
    }

    /// The same one, come through another queue.
    pub fn through(&self, queue: &'static str) -> Self {
        Self {
            queue,
            ..self.clone()
        }
    }

    pub fn claims(&self) -> Value {
        let exp = self.app.clock.now().timestamp() + 30;
        let mut claims =
            json!({ "sub": self.sub, "queue": self.queue, "level": self.level, "exp": exp });
        if let Some(rights) = self.rights {
            claims["rights"] = json!(rights);
        }
        claims
    }

    pub fn pass(&self) -> String {
        signed(&self.claims(), Algorithm::HS256, &PASS_SECRET)
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.app
            .request(method, path)
            .header("X-Usher-Pass", self.pass())
    }

    pub async fn get(&self, path: &str) -> Answer {
        answer(self.request(Method::GET, path)).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        answer(self.request(Method::DELETE, path)).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        answer(self.request(Method::POST, path).json(body)).await
    }

    /// With an `Idempotency-Key`.
    pub async fn post_once(&self, path: &str, key: &str, body: &Value) -> Answer {
        answer(
            self.request(Method::POST, path)
                .header("Idempotency-Key", key)
                .json(body),
        )
        .await
    }

    pub fn charges_path(&self) -> String {
        format!("/api/v1/users/{}/balance/charges", self.sub)
    }

    /// Puts money into the wallet, which must succeed.
    pub async fn charge(&self, amount: i64) -> Answer {
        let key = Uuid::new_v4().to_string();
        let charged = self
            .post_once(&self.charges_path(), &key, &json!({ "amount": amount }))
            .await;
        assert_eq!(charged.status, 201, "{charged:?}");
        charged
    }

    pub async fn balance(&self) -> i64 {
        let balance = self
            .get(&format!("/api/v1/users/{}/balance", self.sub))
            .await;
        balance.body["balance"].as_i64().expect("a balance")
    }

    pub async fn reserve(&self, seats: &[i64]) -> Answer {
        self.post("/api/v1/reservations", &self.app.wish(seats))
            .await
    }

    /// Holds seats, which must succeed; the reservation's id.
    pub async fn hold(&self, seats: &[i64]) -> String {
        let held = self.reserve(seats).await;
        assert_eq!(held.status, 201, "{held:?}");
        held.id()
    }

    pub async fn pay(&self, reservation_id: &str, key: &str) -> Answer {
        self.post_once(
            "/api/v1/payments",
            key,
            &json!({ "reservationId": reservation_id }),
        )
        .await
    }

    /// Charges, holds and pays, all of which must succeed; the payment's id.
    pub async fn buy(&self, seats: &[i64]) -> String {
        self.charge(1_000_000).await;
        let paid = self.pay(&self.hold(seats).await, "buy").await;
        assert_eq!(paid.status, 201, "{paid:?}");
        paid.id()
    }

    /// The reservation that a payment paid.
    pub async fn reservation_of(&self, payment: &str) -> String {
        let payment = self.get(&format!("/api/v1/payments/{payment}")).await;
        let id = payment.body["reservationId"].as_str();
        id.expect("a reservation").to_owned()
    }
}

impl Answer {
    pub fn id(&self) -> String {
        self.body["id"].as_str().expect("an id").to_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .get(name)
            .map(|value| value.to_str().expect("ASCII"))
    }

    /// Status and code of a refusal, which must have the form of one.
    pub fn refusal(&self) -> (u16, &str) {
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{self:?}"
        );
        assert_eq!(self.body["status"], self.status, "{self:?}");
        for member in ["type", "title", "detail", "instance", "requestId"] {
            assert!(self.body[member].is_string(), "{member}: {self:?}");
        }
        assert!(self.body["retryable"].is_boolean(), "{self:?}");
        (self.status, self.body["code"].as_str().expect("a code"))
    }
}

pub fn config(mysql_url: &str, variables: &[(&str, &str)]) -> Config {
    let lookup = |name: &str| {
        let chosen = variables.iter().find(|(variable, _)| *variable == name);
        let value = match (chosen, name) {
            (Some((_, value)), _) => (*value).to_owned(),
            (None, "BOOKING_LISTEN" | "BOOKING_ADMIN_LISTEN") => "127.0.0.1:0".to_owned(),
            (None, "BOOKING_MYSQL_URL") => mysql_url.to_owned(),
            (None, "BOOKING_REDIS_URL") => testbed::redis().url(),
            (None, "BOOKING_PASS_KEY") => URL_SAFE_NO_PAD.encode(PASS_SECRET),
            (None, "BOOKING_WORKERS") => "2".to_owned(),
            (None, "BOOKING_DB_POOL") => "8".to_owned(),
            (None, _) => return None,
        };
        Some(value)
    };
    Config::found(&lookup).expect("a configuration")
}

pub fn signed(claims: &Value, algorithm: Algorithm, secret: &[u8]) -> String {
    encode(
        &Header::new(algorithm),
        claims,
        &EncodingKey::from_secret(secret),
    )
    .expect("signed")
}

/// The base of a server beside the service that gives every request this answer, until the test ends.
pub fn serve<S, F, Args>(shared: Data<S>, answer: F) -> String
where
    S: Send + Sync + 'static,
    F: Handler<Args, Output = HttpResponse> + Send,
    Args: FromRequest + 'static,
{
    let server = HttpServer::new(move || {
        let app = App::new().app_data(shared.clone());
        app.default_service(to(answer.clone()))
    });
    let server = server.workers(1).disable_signals();
    let server = server.bind("127.0.0.1:0").expect("a port");
    let base = format!("http://{}", server.addrs()[0]);
    tokio::spawn(server.run());
    base
}

pub async fn answer(request: RequestBuilder) -> Answer {
    let response = request.send().await.expect("an answer");
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let bytes = response.bytes().await.expect("a whole answer");
    let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    Answer {
        status,
        headers,
        body,
    }
}
