//! Redis and MySQL are flushed, killed, frozen and cut off under a crowd at two gateways before two bookings.
//!
//! Nobody waits longer than 3 s for an answer, whatever it is: late ones are counted over all outages, and the objective,
//! which `cargo xtask test --long` asks for, is 0. Each visitor knows from the answers what the own wallet must hold in the end.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use e2e::{Sale, Visitor, reached};
use futures_util::future::join_all;
use reqwest::{Method, RequestBuilder};
use testbed::{MariaDb, MariaDbOptions, Network, Redis, RedisOptions, Scratch};
use tokio::time::interval;

/// Nobody waits longer.
const LATE: Duration = Duration::from_secs(3);
/// When a visitor gives up: later than late.
const GIVES_UP: Duration = Duration::from_secs(10);
const VISITORS: usize = 16;
/// Between two requests of a visitor.
const PACE: Duration = Duration::from_millis(25);

/// What the services stand on, behind networks that can be cut. The first two are dropped last.
struct Stores {
    to_mariadb: Network,
    to_redis: Network,
    mariadb: MariaDb,
    redis: Redis,
}

impl Stores {
    fn start(scratch: &Scratch) -> Self {
        let mariadb = MariaDb::start(&scratch.path().join("mariadb"), MariaDbOptions::default());
        let mariadb = mariadb.expect("a database");
        let redis = Redis::start(&scratch.path().join("redis"), RedisOptions::default());
        let redis = redis.expect("a store");
        let [to_mariadb, to_redis] =
            [mariadb.port(), redis.port()].map(|port| Network::to(port).expect("a network"));
        Self {
            to_mariadb,
            to_redis,
            mariadb,
            redis,
        }
    }

    /// Two gateways and two bookings on them.
    async fn sale(&self) -> Sale {
        let through = |url: &str, port: u16, network: &Network| {
            url.replace(&format!(":{port}/"), &format!(":{}/", network.port()))
        };
        let mysql = self.mariadb.create_database();
        let mysql = through(&mysql, self.mariadb.port(), &self.to_mariadb);
        let redis = through(&self.redis.url(), self.redis.port(), &self.to_redis);
        Sale::on(50, |options| {
            (options.gateways, options.bookings) = (2, 2);
            options.gateway_environment = vec![("GATEWAY_REDIS_URL".to_owned(), redis.clone())];
            options.booking_environment = vec![
                ("BOOKING_MYSQL_URL".to_owned(), mysql),
                ("BOOKING_REDIS_URL".to_owned(), redis),
            ];
        })
        .await
    }
}

/// What all visitors were answered.
#[derive(Default)]
struct Answers {
    all: AtomicUsize,
    /// Refused because something is away.
    refused: AtomicUsize,
    late: AtomicUsize,
    is_over: AtomicBool,
}

impl Answers {
    /// Sends a request and counts its answer, or that there was none in time. The status, 0 for none.
    async fn to(&self, request: RequestBuilder) -> u16 {
        let sent = Instant::now();
        let answer = request.timeout(GIVES_UP).send().await;
        let status = answer.as_ref().map_or(0, |answer| answer.status().as_u16());
        if let Ok(answer) = answer {
            // Also its end may be late.
            let _ = answer.bytes().await;
        }
        self.all.fetch_add(1, Ordering::SeqCst);
        let is_late = usize::from(sent.elapsed() > LATE);
        self.late.fetch_add(is_late, Ordering::SeqCst);
        let is_refused = usize::from(status == 0 || status >= 500);
        self.refused.fetch_add(is_refused, Ordering::SeqCst);
        status
    }

    /// Nothing is sold without MySQL, so it was long enough when there were as many refusals as visitors.
    async fn until_all_felt_it(&self) {
        let felt = self.refused.load(Ordering::SeqCst) + VISITORS;
        reached(&self.refused, felt).await;
    }

    /// Without Redis those who are inside go on.
    async fn while_they_go_on(&self) {
        let later = self.all.load(Ordering::SeqCst) + 4 * VISITORS;
        reached(&self.all, later).await;
    }
}

/// Looks and charges one won at a time, again with the same key until it is there. The last key.
async fn visit(visitor: &Visitor, answers: &Answers) -> u32 {
    let (mut pace, mut key) = (interval(PACE), 1);
    let looks = [
        "/api/v1/queues/main/tokens/me".to_owned(),
        format!("/api/v1/schedules/{}/seats", visitor.schedule()),
        format!("/api/v1/users/{}/balance", visitor.user),
    ];
    while !answers.is_over.load(Ordering::SeqCst) {
        for path in &looks {
            pace.tick().await;
            answers.to(visitor.request(Method::GET, path)).await;
        }
        let charged = answers.to(visitor.charging(1, &key.to_string())).await;
        key += u32::from(charged == 201);
    }
    key
}

/// One outage after another, each with some time of peace behind it.
async fn inject(stores: &mut Stores, answers: &Answers) {
    answers.while_they_go_on().await;
    stores.redis.ask("FLUSHALL").expect("flushed");
    answers.while_they_go_on().await;
    stores.redis.kill();
    answers.while_they_go_on().await;
    stores.redis.restart().expect("the store");
    answers.while_they_go_on().await;
    stores.redis.freeze();
    answers.while_they_go_on().await;
    stores.redis.thaw();
    answers.while_they_go_on().await;
    stores.to_redis.cut();
    answers.while_they_go_on().await;
    stores.to_redis.heal();
    answers.while_they_go_on().await;

    stores.mariadb.kill();
    answers.until_all_felt_it().await;
    stores.mariadb.restart().expect("the database");
    answers.while_they_go_on().await;
    stores.mariadb.freeze();
    answers.until_all_felt_it().await;
    stores.mariadb.thaw();
    answers.while_they_go_on().await;
    stores.to_mariadb.cut();
    answers.until_all_felt_it().await;
    stores.to_mariadb.heal();
    answers.while_they_go_on().await;
    answers.is_over.store(true, Ordering::SeqCst);
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_away_nobody_at_a_gateway_waits_longer_than_three_seconds() {
    let scratch = Scratch::new().expect("a folder");
    let mut stores = Stores::start(&scratch);
    let sale = stores.sale().await;
    let visitors = sale.inside(VISITORS).await;
    let answers = Answers::default();
    let visits = join_all(visitors.iter().map(|visitor| visit(visitor, &answers)));
    let (keys, ()) = tokio::join!(visits, inject(&mut stores, &answers));
    for (mut visitor, key) in visitors.into_iter().zip(keys) {
        let last = key.to_string();
        let charged = visitor.persist(|it| it.charging(1, &last)).await;
        assert_eq!(charged.status, 201, "{charged:?}");
        let path = format!("/api/v1/users/{}/balance", visitor.user);
        let told = visitor.persist(|it| it.request(Method::GET, &path)).await;
        assert_eq!(told.body["balance"], key, "each key once");
    }
    sale.assert_books_agree().await;
    let [all, late] = [&answers.all, &answers.late].map(|count| count.load(Ordering::SeqCst));
    if testbed::judges_time() {
        assert_eq!(late, 0, "answers later than 3 s, of {all}");
    }
}
