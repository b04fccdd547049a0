//! A whole gateway over HTTP in front of a small upstream that tells what it was sent.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use chassis::env::Configuration as _;
use chassis::server::Running;
use chassis::time::Clock;
use gateway::config::Config;
use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use testbed::{Redis, RedisOptions, Scratch, eventually};
use tokio::sync::Notify;
use uuid::Uuid;

pub const OPERATOR_KEY: &str = "an-operator-key-for-tests";
pub const SECRET: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY";
pub const OLD_SECRET: &str = "ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA";
pub const PASS_SECRET: &str = "YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXphYmNkZWY";

/// Far longer than anything here takes.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A gateway with a Redis of its own, so that its clock moves nobody else's line.
pub struct TestApp {
    gateway: TestGateway,
    pub redis: Redis,
    /// Told when a request for `/api/v1/never` reached the upstream.
    pub arrived: Arc<Notify>,
    upstream: ServerHandle,
    environment: BTreeMap<&'static str, String>,
    _scratch: Scratch,
}

/// One gateway.
pub struct TestGateway {
    pub url: String,
    pub admin_url: String,
    pub clock: Clock,
    pub client: Client,
    running: Running,
}

impl Deref for TestApp {
    type Target = TestGateway;

    fn deref(&self) -> &TestGateway {
        &self.gateway
    }
}

/// A status and what was said.
pub type Said = (StatusCode, Value);

impl TestApp {
    /// With the default configuration.
    pub async fn open() -> Self {
        Self::with(&[]).await
    }

    /// With more variables; they win over those that are set here.
    pub async fn with(variables: &[(&'static str, &str)]) -> Self {
        let scratch = Scratch::new().unwrap();
        let redis = Redis::start(scratch.path(), RedisOptions::default()).unwrap();
        let arrived = Arc::new(Notify::new());
        let (upstream, port) = upstream(arrived.clone());
        let mut environment = BTreeMap::from([
            ("GATEWAY_LISTEN", "127.0.0.1:0".to_owned()),
            ("GATEWAY_ADMIN_LISTEN", "127.0.0.1:0".to_owned()),
            ("GATEWAY_REDIS_URL", redis.url()),
            ("GATEWAY_UPSTREAM", format!("http://127.0.0.1:{port}")),
            ("GATEWAY_TOKEN_KEYS", format!("k1:{SECRET},k0:{OLD_SECRET}")),
            ("GATEWAY_PASS_KEY", PASS_SECRET.to_owned()),
            ("GATEWAY_OPERATOR_KEYS", format!("ann:{OPERATOR_KEY}")),
            ("GATEWAY_IDENTITY", "open".to_owned()),
            ("GATEWAY_WORKERS", "2".to_owned()),
            ("GATEWAY_GRACE_S", "1".to_owned()),
        ]);
        environment.extend(
            variables
                .iter()
                .map(|(name, value)| (*name, (*value).to_owned())),
        );
        Self {
            gateway: TestGateway::open(&environment, Clock::system()).await,
            redis,
            arrived,
            upstream,
            environment,
            _scratch: scratch,
        }
    }

    /// Another gateway at the same Redis, whose clock moves with this one's.
    pub async fn twin(&self) -> TestGateway {
        TestGateway::open(&self.environment, self.clock.clone()).await
    }

    /// Another gateway at the same Redis, on a machine with this clock.
    pub async fn twin_at(&self, clock: Clock) -> TestGateway {
        TestGateway::open(&self.environment, clock).await
    }

    /// Another gateway at the same Redis with other variables.
    pub async fn twin_with(&self, variables: &[(&'static str, &str)]) -> TestGateway {
        let own = |(name, value): &(&'static str, &str)| (*name, (*value).to_owned());
        let mut environment = self.environment.clone();
        environment.extend(variables.iter().map(own));
        TestGateway::open(&environment, self.clock.clone()).await
    }

    /// Stops in order.
    pub async fn close(self) {
        self.gateway.close().await;
        self.upstream.stop(false).await;
    }
}

impl TestGateway {
    async fn open(environment: &BTreeMap<&'static str, String>, clock: Clock) -> Self {
        let lookup = |name: &str| environment.get(name).cloned();
        let config = Config::found(&lookup).unwrap();
        let running = gateway::start(config, clock.clone()).await;
        let running = running.unwrap();
        Self {
            url: format!("http://{}", running.address),
            admin_url: format!("http://{}", running.admin_address),
            clock,
            client: Client::new(),
            running,
        }
    }

    /// What the operator's listener shows.
    pub async fn metrics(&self) -> String {
        let answer = self.client.get(format!("{}/metrics", self.admin_url));
        answer.send().await.unwrap().text().await.unwrap()
    }

    /// The value of one metric, named with its labels.
    pub async fn metric(&self, name: &str) -> Option<f64> {
        let metrics = self.metrics().await;
        let value = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok();
        metrics.lines().find_map(value)
    }

    pub fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("{}{path}", self.url))
    }

    pub fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(format!("{}{path}", self.url))
    }

    pub fn delete(&self, path: &str) -> RequestBuilder {
        self.client.delete(format!("{}{path}", self.url))
    }

    /// As the operator.
    pub fn put(&self, path: &str, body: &Value) -> RequestBuilder {
        let request = self.client.put(format!("{}{path}", self.url));
        request.bearer_auth(OPERATOR_KEY).json(body)
    }

    /// Sets the rules of `main`.
    pub async fn rule(&self, body: Value) {
        let (status, said) = said(self.put("/api/v1/queues/main", &body)).await;
        assert_eq!(status, 200, "{said}");
    }

    /// A new visitor's place in `main`.
    pub async fn join(&self) -> Value {
        let body = json!({ "userId": Uuid::new_v4() });
        let (status, place) = said(self.post("/api/v1/queues/main/tokens").json(&body)).await;
        assert_eq!(status, 201, "{place}");
        place
    }

    /// Where a visitor of `main` stands.
    pub async fn poll(&self, place: &Value) -> Said {
        said(
            self.get("/api/v1/queues/main/tokens/me")
                .bearer_auth(token(place)),
        )
        .await
    }

    /// Leaves `main`, as soon as the store can be reached.
    pub async fn persist_leave(&self, place: &Value) {
        eventually(PATIENCE, "the store", async || {
            let request = self.delete("/api/v1/queues/main/tokens/me");
            (said(request.bearer_auth(token(place))).await.0 == 204).then_some(())
        })
        .await;
    }

    /// Asks the upstream for something as this visitor.
    pub async fn visit(&self, place: &Value, path: &str) -> Said {
        said(self.get(path).bearer_auth(token(place))).await
    }

    /// Stops in order.
    pub async fn close(self) {
        self.running.stop().await;
    }
}

pub fn token(place: &Value) -> &str {
    place["token"].as_str().unwrap()
}

/// Sends a request. An answer without a body is `null`.
pub async fn said(request: RequestBuilder) -> Said {
    let answer = request.send().await.unwrap();
    let status = answer.status();
    let text = answer.text().await.unwrap();
    let value = if text.is_empty() {
        Value::Null
    } else {
        serde_json::from_str(&text).unwrap_or(Value::String(text))
    };
    (status, value)
}

/// What a JWT says; its signature is not looked at.
pub fn payload(jwt: &str) -> Value {
    let payload = jwt.split('.').nth(1).unwrap();
    let json = BASE64_URL_SAFE_NO_PAD.decode(payload).unwrap();
    serde_json::from_slice(&json).unwrap()
}

/// Asks again until the answer is yes.
pub async fn until(mut ask: impl AsyncFnMut() -> bool) {
    let yes = async || ask().await.then_some(());
    eventually(PATIENCE, "what is waited for", yes).await;
}

/// A refusal as its status and code.
pub async fn refused(request: RequestBuilder) -> (u16, String) {
    let (status, said) = said(request).await;
    let code = said["code"].as_str().unwrap_or_default();
    (status.as_u16(), code.to_owned())
}

fn upstream(arrived: Arc<Notify>) -> (ServerHandle, u16) {
    let arrived = web::Data::from(arrived);
    let server = HttpServer::new(move || {
        App::new()
            .app_data(arrived.clone())
            .route("/api/v1/sold", web::post().to(sold))
            .route("/api/v1/payments/sold", web::post().to(sold))
            .route("/api/v1/sold/before", web::post().to(sold_before))
            .route("/api/v1/kept", web::get().to(kept))
            .route("/api/v1/never", web::get().to(never))
            .route("/api/v1/long", web::get().to(long))
            .default_service(web::to(echo))
    })
    .workers(1)
    .disable_signals()
    .bind("127.0.0.1:0")
    .unwrap();
    let port = server.addrs()[0].port();
    let server = server.run();
    let handle = server.handle();
    actix_web::rt::spawn(server);
    (handle, port)
}

/// Tells what arrived.
async fn echo(request: HttpRequest, body: web::Bytes) -> HttpResponse {
    let mut headers = BTreeMap::<String, Vec<String>>::new();
    for (name, value) in request.headers() {
        let value = value.to_str().unwrap_or("?").to_owned();
        headers.entry(name.to_string()).or_default().push(value);
    }
    HttpResponse::Ok()
        .insert_header(("X-Own", "kept"))
        .json(json!({
            "method": request.method().as_str(),
            "path": request.path(),
            "query": request.query_string(),
            "headers": headers,
            "bytes": body.len(),
        }))
}

async fn never(arrived: web::Data<Notify>) -> HttpResponse {
    arrived.notify_one();
    std::future::pending().await
}

/// The visit is over with this answer.
async fn sold() -> HttpResponse {
    HttpResponse::Created()
        .insert_header(("X-Admission", "release"))
        .finish()
}

/// What was answered before, with what it said then.
async fn sold_before() -> HttpResponse {
    HttpResponse::Created()
        .insert_header(("X-Admission", "release"))
        .insert_header(("Idempotent-Replayed", "true"))
        .finish()
}

async fn kept() -> HttpResponse {
    HttpResponse::NotModified()
        .insert_header(("ETag", "\"1\""))
        .finish()
}

/// A body of a megabyte that comes in pieces.
async fn long() -> HttpResponse {
    let piece = || Ok::<_, actix_web::Error>(web::Bytes::from(vec![b'x'; 1024]));
    let pieces = futures_util::stream::iter((0..1024).map(move |_| piece()));
    HttpResponse::Ok().streaming(pieces)
}
