//! The stores of the sale fail in the middle of it: Redis forgets, dies or hangs, MySQL is killed.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use e2e::{Said, Sale, Visitor, ask, reached, tally};
use futures_util::future::join_all;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use testbed::{
    MariaDb, MariaDbOptions, Profile, Program, ProgramOptions, Redis, RedisOptions, Scratch,
    binary, eventually, free_port,
};
use tokio::sync::{Mutex, Semaphore};
use tokio::task::JoinSet;
use uuid::Uuid;

/// Far above what any machine takes, far below what 2,000 would wait who waited for Redis one after the other.
const LATEST: Duration = Duration::from_secs(120);
/// A lock lives for 5 s where nobody releases it.
const LOCK_ENDS: Duration = Duration::from_secs(30);
const BOOKERS: usize = 2_000;
const SEATS: usize = 400;

/// Booking alone, without a gateway whose work would be measured too, and its stores.
struct Till {
    // Dropped in this order: first who serves.
    booking: Program,
    mariadb: MariaDb,
    locks: Redis,
    schedule: String,
    client: Client,
    _scratch: Scratch,
}

const PASS_SECRET: [u8; 32] = *b"a secret of the tests: 32 bytes.";

impl Till {
    async fn open() -> Self {
        let scratch = Scratch::new().unwrap();
        let folder = |name: &str| scratch.path().join(name);
        let locks = Redis::start(&folder("redis"), RedisOptions::default()).unwrap();
        let mariadb = MariaDb::start(&folder("mariadb"), MariaDbOptions::default()).unwrap();
        let port = free_port();
        let environment = [
            ("BOOKING_LISTEN", format!("127.0.0.1:{port}")),
            ("BOOKING_ADMIN_LISTEN", "127.0.0.1:0".to_owned()),
            ("BOOKING_MYSQL_URL", mariadb.create_database()),
            ("BOOKING_REDIS_URL", locks.url()),
            ("BOOKING_PASS_KEY", URL_SAFE_NO_PAD.encode(PASS_SECRET)),
            ("LOG_LEVEL", "warn".to_owned()),
        ];
        let environment = environment.map(|(name, value)| (name.to_owned(), value));
        let options = ProgramOptions {
            binary: binary("booking", Profile::Debug).unwrap(),
            arguments: Vec::new(),
            environment: environment.into(),
            port,
            log: folder("booking.log"),
        };
        let mut booking = Program::start("booking", options).unwrap();
        booking.wait_ready(Duration::from_secs(60)).unwrap();
        let mut till = Self {
            booking,
            mariadb,
            locks,
            schedule: String::new(),
            client: Client::new(),
            _scratch: scratch,
        };
        let concert = json!({ "title": "A night at the tests", "queue": "main" });
        let concert = till.make("/api/v1/admin/concerts", &concert).await;
        let section = json!({ "grade": "ALL", "price": 1_000, "from": 1, "to": SEATS });
        let schedule = json!({ "startsAt": "2099-01-01T20:00:00Z", "sections": [section] });
        let path = format!("/api/v1/admin/concerts/{concert}/schedules");
        till.schedule = till.make(&path, &schedule).await;
        till
    }

    fn request(&self, method: Method, path: &str, sub: &str, level: &str) -> RequestBuilder {
        let exp = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_secs()
            + 30;
        let claims = json!({ "sub": sub, "queue": "main", "level": level, "exp": exp });
        let key = EncodingKey::from_secret(&PASS_SECRET);
        let pass = encode(&Header::new(Algorithm::HS256), &claims, &key).unwrap();
        let url = format!("{}{path}", self.booking.url());
        self.client
            .request(method, url)
            .header("X-Usher-Pass", pass)
    }

    async fn make(&self, path: &str, body: &Value) -> String {
        let said = ask(self
            .request(Method::POST, path, "operator:tests", "operator")
            .json(body))
        .await;
        assert_eq!(said.status, 201, "{said:?}");
        said.body["id"].as_str().unwrap().to_owned()
    }

    /// A new visitor's wish for this seat, which waits no longer than [`LATEST`].
    fn reserving(&self, seat: usize) -> RequestBuilder {
        let user = Uuid::new_v4().to_string();
        let wish = json!({ "scheduleId": self.schedule, "seatNumbers": [seat] });
        let request = self.request(Method::POST, "/api/v1/reservations", &user, "active");
        request.json(&wish).timeout(LATEST)
    }

    async fn assert_sold_once(&self) {
        let path = "/api/v1/admin/reconciliation";
        let report = ask(self.request(Method::GET, path, "operator:tests", "operator")).await;
        assert_eq!(report.body["clean"], true, "{report:?}");
        let held = "SELECT COUNT(*), (SELECT COUNT(*) FROM test_1.reservations) FROM test_1.seats WHERE state = 'held'";
        let counts = self.mariadb.execute(held).unwrap();
        assert_eq!(counts.trim(), format!("{SEATS}\t{SEATS}"));
    }
}

/// All reserve at once, five for each seat; at an eighth of the answers `fault` happens to the Redis of the locks. Some
/// faults are `felt`: booking then says that the locks are off.
async fn sell_while(what: &str, felt: bool, fault: fn(&mut Redis)) {
    let mut till = Till::open().await;
    let answered = Arc::new(AtomicUsize::new(0));
    let mut bookers = JoinSet::new();
    for number in 0..BOOKERS {
        let (wish, answered) = (till.reserving(number % SEATS + 1), answered.clone());
        bookers.spawn(async move {
            let said = ask(wish).await;
            answered.fetch_add(1, Ordering::SeqCst);
            said
        });
    }
    reached(&answered, BOOKERS / 8).await;
    fault(&mut till.locks);
    let answers = bookers.join_all().await;

    let odd = answers
        .iter()
        .find(|said| ![201, 409, 503].contains(&said.status));
    assert!(odd.is_none(), "Redis {what}: {:?}", tally(&answers));
    let held: Vec<_> = answers.iter().filter(|said| said.status == 201).collect();
    let seats: BTreeSet<_> = held
        .iter()
        .map(|said| said.body["seats"][0]["number"].to_string())
        .collect();
    assert_eq!(seats.len(), held.len(), "a seat was given twice");
    // Who was told that there is too much to do may leave a seat free; it is sold to the next one, at the latest when the
    // lock of that request has ended by itself.
    for seat in 1..=SEATS {
        if !seats.contains(&seat.to_string()) {
            let is_free = format!("seat {seat} for the next one");
            eventually(LOCK_ENDS, &is_free, async || {
                let said = ask(till.reserving(seat)).await;
                (said.status == 201).then_some(())
            })
            .await;
        }
    }
    // One who comes after the fault in any case, however late it came.
    assert_eq!(ask(till.reserving(1)).await.status, 409);
    let log = fs::read_to_string(till.booking.log()).unwrap();
    assert!(!felt || log.contains("seat locks are off"), "{log}");
    till.assert_sold_once().await;
}

/// Makes the server forget everything, many times while the sale goes on.
fn flush(port: u16) {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    for _ in 0..2_000 {
        stream.write_all(b"FLUSHALL\r\n").unwrap();
        let mut told = [0; 5];
        stream.read_exact(&mut told).unwrap();
        assert_eq!(&told, b"+OK\r\n");
    }
}

/// The tests of this binary take turns: a crowd of 2,000 needs the machine.
static TURN: Mutex<()> = Mutex::const_new(());

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_to_the_redis_of_the_locks_no_seat_is_given_twice_and_nobody_waits_for_it()
{
    let _turn = TURN.lock().await;
    sell_while("flushed again and again", false, |redis| {
        flush(redis.port())
    })
    .await;
    sell_while("frozen", true, |redis| redis.freeze()).await;
    sell_while("killed", true, |redis| redis.kill()).await;
    sell_while("killed and empty again", false, |redis| {
        redis.kill();
        redis.restart().unwrap();
    })
    .await;
}

const PAYERS: usize = 500;

/// Pays, once and then as long as it takes; the first answer and the last.
async fn pay(
    mut visitor: Visitor,
    reservation: String,
    answered: Arc<AtomicUsize>,
    turns: Arc<Semaphore>,
) -> (Said, Said, Visitor) {
    let first = {
        // Not all at the same instant, so that the database is killed among them.
        let _turn = turns.acquire().await.unwrap();
        visitor.pay(&reservation, "pay").await
    };
    answered.fetch_add(1, Ordering::SeqCst);
    let last = match first.status {
        201 => first.clone(),
        _ => visitor.persist(|it| it.paying(&reservation, "pay")).await,
    };
    // The visit ended with the payment; the same key tells the same in the next one.
    visitor.enter().await;
    let again = visitor.persist(|it| it.paying(&reservation, "pay")).await;
    assert_eq!((again.status, &again.body), (last.status, &last.body));
    (first, last, visitor)
}

/// Visitors with money who hold a seat each, and their reservations.
async fn holding(sale: &Sale) -> Vec<(Visitor, String)> {
    let visitors = sale.inside(PAYERS).await;
    let mut ready = Vec::new();
    for some in visitors.chunks(50) {
        let preparing = some.iter().enumerate().map(|(index, visitor)| {
            let seat = (ready.len() + index) as u16 + 1;
            async move {
                assert_eq!(visitor.charge(1_000, "charge").await.status, 201);
                let held = visitor.reserve(&[seat], "hold").await;
                assert_eq!(held.status, 201, "{held:?}");
                held.body["id"].as_str().unwrap().to_owned()
            }
        });
        let reservations = join_all(preparing).await;
        ready.extend(some.iter().cloned().zip(reservations));
    }
    ready
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_killed_among_500_payments_keeps_every_one_and_doubles_none() {
    let _turn = TURN.lock().await;
    let mut sale = Sale::open(1, PAYERS as u16).await;
    let ready = holding(&sale).await;
    let answered = Arc::new(AtomicUsize::new(0));
    let turns = Arc::new(Semaphore::new(64));
    let mut payers = JoinSet::new();
    for (visitor, reservation) in ready {
        payers.spawn(pay(visitor, reservation, answered.clone(), turns.clone()));
    }
    reached(&answered, PAYERS / 10).await;
    sale.stack.mariadb_mut().kill();
    // The outage lasts until many have felt it.
    let felt = answered.load(Ordering::SeqCst) + PAYERS / 5;
    reached(&answered, felt).await;
    sale.stack.mariadb_mut().restart().unwrap();
    let outcomes = payers.join_all().await;

    let firsts: Vec<Said> = outcomes.iter().map(|(first, ..)| first.clone()).collect();
    let odd = firsts
        .iter()
        .find(|said| ![201, 503].contains(&said.status));
    assert!(odd.is_none(), "{:?}", tally(&firsts));
    assert!(
        firsts.iter().any(|said| said.status == 503),
        "nobody felt it"
    );
    assert!(outcomes.iter().all(|(_, last, _)| last.status == 201));
    let ids: BTreeSet<String> = outcomes
        .iter()
        .map(|(_, last, _)| last.body["id"].to_string())
        .collect();
    assert_eq!(ids.len(), PAYERS);
    for (_, _, visitor) in outcomes.iter().step_by(50) {
        let mut visitor = visitor.clone();
        visitor.enter().await;
        let balance = visitor
            .get(&format!("/api/v1/users/{}/balance", visitor.user))
            .await;
        assert_eq!(balance.body["balance"], 0, "{balance:?}");
    }
    sale.assert_books_agree().await;
    let report = sale
        .operate(Method::GET, "/api/v1/admin/reconciliation", None)
        .await;
    let totals = &report.body["totals"];
    let expected: Value = json!([PAYERS, PAYERS * 1_000, PAYERS * 1_000, 0]);
    let found = [
        "seatsSold",
        "paymentsCaptured",
        "ledgerCaptured",
        "walletsBalance",
    ]
    .map(|it| &totals[it]);
    assert_eq!(json!(found), expected, "{totals}");
}
