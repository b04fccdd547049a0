//! A random history over HTTP, on two processes, while servers and processes are killed, frozen and cut off and clocks
//! disagree.
//!
//! Each client knows from its own answers what its money and its reservations must be, and says so of every answer. A
//! request without an answer is repeated with its key until there is one, at either process. Seats are checked afterwards in
//! the audit log, all books by the reconciliation, chains included. Answers that are late are counted, with refusals that
//! have no cause any more. Time is real here; `history` beside it has a counter.
//!
//! `USHER_SIEGE_OPERATIONS` makes it shorter or longer.

mod client;
mod fault;
mod late;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use chassis::time::Clock;
use chrono::TimeDelta;
use jsonwebtoken::Algorithm;
use reqwest::{Client as Http, Method, RequestBuilder};
use serde_json::{Value, json};
use testbed::{MariaDb, MariaDbOptions, Network, Program, Redis, RedisOptions, Scratch};
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::fixture::{Fixture, all_at_once, layout};
use crate::process::Booking;
use crate::seat_owners::{Owners, changes};
use crate::test_app::{PASS_SECRET, signed};
use client::Client;
use late::Answers;

const CLIENTS: usize = 64;
const SEATS: u16 = 150;
/// Short, so that holds end in the middle of everything; longer than clocks differ.
const HOLD_S: i64 = 20;
const EXTENSION_S: i64 = 5;
/// How far the clocks of two instances may be from each other.
const CLOCKS_DIFFER_S: i64 = 10;
const SECRET: &str = "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0";

/// The processes, and what they stand on.
pub struct Servers {
    bookings: Vec<Program>,
    to_mariadb: Network,
    to_redis: Network,
    mariadb: MariaDb,
    redis: Redis,
}

/// Where the processes find what they stand on: behind networks that can be cut.
struct Stores {
    mysql: String,
    redis: String,
}

/// What all clients share.
pub struct World {
    fixture: Fixture,
    servers: Mutex<Servers>,
    stores: Stores,
    answers: Answers,
    urls: [String; 2],
    http: Http,
    /// Acts that have ended.
    done: AtomicUsize,
    /// Refunds of a part, by seats and by money.
    parts: AtomicI64,
    extended: AtomicI64,
    offers: AtomicI64,
    by_provider: AtomicI64,
    scratch: Scratch,
}

impl World {
    /// A request with a pass of the gateway, at one of the two.
    fn request(&self, turn: usize, user: &str, method: Method, path: &str) -> RequestBuilder {
        let is_operator = user.starts_with("operator:");
        let (level, queue) = if is_operator {
            ("operator", "")
        } else {
            ("active", "main")
        };
        let exp = Clock::system().now().timestamp() + 30;
        let claims = json!({ "sub": user, "queue": queue, "level": level, "exp": exp });
        let pass = signed(&claims, Algorithm::HS256, &PASS_SECRET);
        let url = format!("{}{path}", self.urls[turn % 2]);
        self.http.request(method, url).header("X-Usher-Pass", pass)
    }
}

fn operations() -> usize {
    let asked = std::env::var("USHER_SIEGE_OPERATIONS").ok();
    asked.map_or(20_000, |text| text.parse().expect("a number of operations"))
}

/// A booking on these servers, whose clock is so far ahead of the machine's.
fn booking(stores: &Stores, port: u16, scratch: &Scratch, offset_ms: i64) -> Program {
    let more = [
        ("BOOKING_WORKERS", "2".to_owned()),
        ("BOOKING_HOLD_S", HOLD_S.to_string()),
        ("BOOKING_EXTENSION_S", EXTENSION_S.to_string()),
        ("BOOKING_OFFER_HOLD_S", HOLD_S.to_string()),
        ("BOOKING_MAX_UNPAID_HOLDS", "10000".to_owned()),
        ("BOOKING_CHARGES", "provider".to_owned()),
        ("BOOKING_PROVIDER_URL", "http://127.0.0.1:1".to_owned()),
        ("BOOKING_PROVIDER_SECRET", SECRET.to_owned()),
        ("BOOKING_CLOCK_OFFSET_MS", offset_ms.to_string()),
        ("LOG_LEVEL", "error".to_owned()),
    ];
    let booking = Booking {
        port,
        mysql: &stores.mysql,
        redis: stores.redis.clone(),
    };
    booking.start(scratch, &format!("{port}-{offset_ms}"), &more)
}

/// Replayed from its beginning.
async fn the_audit_log_makes_sense(world: &World) {
    let extension = TimeDelta::seconds(EXTENSION_S);
    let mut owners = Owners::nobody(TimeDelta::seconds(HOLD_S), extension);
    for change in changes(&world.fixture.instances[0]).await {
        owners.replay(&change);
    }
}

async fn world() -> World {
    let scratch = Scratch::new().expect("a folder");
    let mariadb = MariaDb::start(&scratch.path().join("mariadb"), MariaDbOptions::default());
    let mariadb = mariadb.expect("a database");
    let redis = Redis::start(&scratch.path().join("redis"), RedisOptions::default());
    let redis = redis.expect("a store");
    let layout = layout([
        ("DEAR", 900, 1..=50),
        ("CHEAP", 300, 51..=SEATS - 2),
        ("FREE", 0, SEATS - 1..=SEATS),
    ]);
    let url = mariadb.create_database();
    let fixture = Fixture::at(url.clone(), layout).await;
    let ports = [(); 2].map(|()| testbed::free_port());
    let [to_mariadb, to_redis] =
        [mariadb.port(), redis.port()].map(|port| Network::to(port).expect("a network"));
    let through = |url: &str, port: u16, network: &Network| {
        url.replace(&format!(":{port}/"), &format!(":{}/", network.port()))
    };
    let stores = Stores {
        mysql: through(&url, mariadb.port(), &to_mariadb),
        redis: through(&redis.url(), redis.port(), &to_redis),
    };
    let mut bookings = Vec::new();
    for port in ports {
        let mut program = booking(&stores, port, &scratch, 0);
        program.wait_ready(Duration::from_secs(60)).expect("ready");
        bookings.push(program);
    }
    let http = Http::builder().timeout(Duration::from_secs(10));
    World {
        fixture,
        servers: Mutex::new(Servers {
            bookings,
            to_mariadb,
            to_redis,
            mariadb,
            redis,
        }),
        stores,
        answers: Answers::default(),
        urls: ports.map(|port| format!("http://127.0.0.1:{port}")),
        http: http.build().expect("a client"),
        done: AtomicUsize::new(0),
        parts: AtomicI64::new(0),
        extended: AtomicI64::new(0),
        offers: AtomicI64::new(0),
        by_provider: AtomicI64::new(0),
        scratch,
    }
}

/// The date is cancelled while a process dies in the middle of it, and everybody has everything back in the end.
async fn call_off(world: &World) -> Value {
    let path = format!(
        "/api/v1/admin/schedules/{}/cancellation",
        world.fixture.schedule_id
    );
    let operator = "operator:siege";
    let body = json!({ "reason": "Siege" });
    let asked = client::persist(world, 0, |turn| {
        world
            .request(turn, operator, Method::POST, &path)
            .json(&body)
    });
    assert_eq!(asked.await.status, 202);
    {
        let mut servers = world.servers.lock().await;
        servers.bookings[0].kill();
        servers.bookings[0].restart().expect("started again");
    }
    testbed::eventually(
        Duration::from_secs(120),
        "the end of the cancellation",
        async || {
            let seen = client::persist(world, 1, |turn| {
                world.request(turn, operator, Method::GET, &path)
            });
            let seen = seen.await.body;
            seen["finishedAt"].is_string().then_some(seen)
        },
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_killed_nobody_loses_a_seat_or_a_won() {
    let world = Arc::new(world().await);
    let operations = operations();
    let rounds = operations.div_ceil(CLIENTS);
    let clients = all_at_once((0..CLIENTS).map(|number| {
        let mut client = Client::new(Arc::clone(&world), number, Uuid::new_v4());
        async move {
            for _ in 0..rounds {
                client.act().await;
                client.world.done.fetch_add(1, Ordering::SeqCst);
            }
            client
        }
    }));
    let (clients, ()) = tokio::join!(clients, fault::inject(&world, operations));
    for client in &clients {
        client.check_everything().await;
    }
    let is_in_time = world.answers.report();
    assert!(
        is_in_time || !testbed::judges_time(),
        "an objective is missed, see target/usher/siege.md"
    );
    the_audit_log_makes_sense(&world).await;
    world.fixture.reconciled().await;
    for (what, counter) in [
        ("parts of refunds", &world.parts),
        ("extensions", &world.extended),
        ("offers of the waiting list", &world.offers),
        ("payments by the provider", &world.by_provider),
    ] {
        assert!(
            counter.load(Ordering::SeqCst) > 0,
            "a history without {what}"
        );
    }
    call_off(&world).await;
    for client in &clients {
        client.check_called_off().await;
    }
    the_audit_log_makes_sense(&world).await;
    world.fixture.reconciled().await;
}
