//! Seven ways to sell a lot to one of many, side by side: is it sold once, and what does that cost?
//!
//! They stand here and not in the service, which does the one that begins with a lock which is tried once. `docs/LOCKS.md` has
//! the figures of a release build.

mod waiting;

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use booking::db::{Db, DbError, DbOptions, Id, Tx};
use booking::seat::SeatNumbers;
use booking::seat_lock::{LockOutcome, SeatLock};
use chassis::time::Clock;
use diesel::deserialize::QueryableByName;
use diesel::sql_types::{Binary, Integer, Text};
use diesel::{RunQueryDsl, sql_query};
use tokio::time::Instant;
use uuid::Uuid;

use crate::fixture::{all_at_once, numbers};
use waiting::{Locks, Wait};

const BUYERS: usize = 1_000;
/// As many as the service has when nothing is said.
const CONNECTIONS: u32 = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Look, then take. Between the two others look as well.
    NoLock,
    /// Look and lock, then take.
    ForUpdate,
    /// Look, then take if the version is the one that was seen.
    Version,
    /// Take if it is free.
    Conditional,
    /// The same, after a lock in Redis that most do not get.
    ConditionalAfterRedis,
    /// The same, after a lock in Redis that all wait for.
    ConditionalUnder(Wait),
}

const WAYS: [(Way, &str); 7] = [
    (Way::NoLock, "no lock"),
    (Way::ForUpdate, "`SELECT … FOR UPDATE`"),
    (Way::Version, "version column"),
    (Way::Conditional, "conditional `UPDATE`"),
    (
        Way::ConditionalAfterRedis,
        "conditional `UPDATE` after a Redis lock",
    ),
    (
        Way::ConditionalUnder(Wait::Spinning),
        "conditional `UPDATE` under a Redis lock, spinning",
    ),
    (
        Way::ConditionalUnder(Wait::Listening),
        "conditional `UPDATE` under a Redis lock, by publish and subscribe",
    ),
];

/// A sale of lots, each by itself.
#[derive(Clone)]
struct Sale {
    db: Db,
    lock: SeatLock,
    waited_for: Locks,
    id: Uuid,
    /// The first two who look without a lock take only when both have looked, so that the defect shows every time.
    both: Arc<Barrier>,
    looked: Arc<AtomicU32>,
    /// Buyers who took a connection to MySQL, and the most at the same time.
    asked: Arc<AtomicUsize>,
    most: Arc<AtomicU32>,
}

#[derive(QueryableByName)]
struct Lot {
    #[diesel(sql_type = Text)]
    state: String,
    #[diesel(sql_type = Integer)]
    version: i32,
}

impl Sale {
    async fn of(lots: usize) -> Self {
        let options = DbOptions {
            pool_size: CONNECTIONS,
            wait: Duration::from_secs(60),
            ..DbOptions::default()
        };
        let db = Db::connect(&testbed::mariadb().create_database(), options).unwrap();
        let tables = [
            "CREATE TABLE lots (id INT PRIMARY KEY, state VARCHAR(16) NOT NULL DEFAULT 'available', owner BINARY(16) NULL, version INT NOT NULL DEFAULT 0)".to_owned(),
            "CREATE TABLE sales (owner BINARY(16) PRIMARY KEY, lot INT NOT NULL)".to_owned(),
            format!("INSERT INTO lots (id) SELECT seq FROM {}", numbers(lots)),
        ];
        for statement in tables {
            let made: Result<usize, DbError> = db
                .read(move |conn| Ok(sql_query(&statement).execute(conn)?))
                .await;
            made.unwrap();
        }
        let (url, id) = (testbed::redis().url(), Uuid::new_v4());
        let redis = chassis::redis::connection(&url.parse().unwrap()).unwrap();
        Self {
            db,
            lock: SeatLock::new(redis, Clock::system()),
            waited_for: Locks::open(&url, id, lots).await,
            id,
            both: Arc::new(Barrier::new(2)),
            looked: Arc::default(),
            asked: Arc::default(),
            most: Arc::default(),
        }
    }

    /// One buyer who wants one lot; whether they got it.
    async fn buy(&self, way: Way, lot: i32) -> bool {
        let buyer = Uuid::new_v4();
        match way {
            Way::ConditionalAfterRedis => self.buy_if_unlocked(way, lot, buyer).await,
            Way::ConditionalUnder(wait) => {
                if !self.waited_for.take(wait, lot, buyer).await {
                    return false;
                }
                let won = self.decide(way, lot, buyer).await;
                self.waited_for.release(lot, buyer).await;
                won
            }
            _ => self.decide(way, lot, buyer).await,
        }
    }

    async fn buy_if_unlocked(&self, way: Way, lot: i32, buyer: Uuid) -> bool {
        let lots = SeatNumbers::parse(&[i64::from(lot)], 1).unwrap();
        let hold = Duration::from_secs(300);
        if let LockOutcome::Contended(_) = self.lock.take(self.id, &lots, buyer, hold).await {
            return false;
        }
        let won = self.decide(way, lot, buyer).await;
        if !won {
            self.lock.release(self.id, lots.as_slice(), buyer).await;
        }
        won
    }

    async fn decide(&self, way: Way, lot: i32, buyer: Uuid) -> bool {
        let sale = self.clone();
        let outcome: Result<bool, DbError> = self
            .db
            .transaction(move |tx| {
                sale.asked.fetch_add(1, Ordering::Relaxed);
                sale.most.fetch_max(sale.db.in_use(), Ordering::Relaxed);
                let won = sale.take(tx, way, lot, buyer)?;
                if won {
                    sql_query("INSERT INTO sales (owner, lot) VALUES (?, ?)")
                        .bind::<Binary, _>(Id(buyer))
                        .bind::<Integer, _>(lot)
                        .execute(tx)?;
                }
                Ok(won)
            })
            .await;
        outcome.expect("won or lost")
    }

    fn take(&self, tx: &mut Tx, way: Way, lot: i32, buyer: Uuid) -> Result<bool, DbError> {
        let condition = match way {
            Way::NoLock => {
                if look(tx, lot, "")?.state != "available" {
                    return Ok(false);
                }
                if self.looked.fetch_add(1, Ordering::SeqCst) < 2 {
                    self.both.wait();
                }
                String::new()
            }
            Way::ForUpdate => {
                if look(tx, lot, " FOR UPDATE")?.state != "available" {
                    return Ok(false);
                }
                String::new()
            }
            Way::Version => {
                let seen = look(tx, lot, "")?;
                if seen.state != "available" {
                    return Ok(false);
                }
                format!(" AND version = {}", seen.version)
            }
            Way::Conditional | Way::ConditionalAfterRedis | Way::ConditionalUnder(_) => {
                " AND state = 'available'".to_owned()
            }
        };
        let update =
            "UPDATE lots SET state = 'sold', owner = ?, version = version + 1 WHERE id = ?";
        let taken = sql_query(format!("{update}{condition}"))
            .bind::<Binary, _>(Id(buyer))
            .bind::<Integer, _>(lot)
            .execute(tx)?;
        Ok(taken == 1)
    }

    async fn number(&self, statement: &'static str) -> i64 {
        #[derive(QueryableByName)]
        struct Number {
            #[diesel(sql_type = diesel::sql_types::BigInt)]
            number: i64,
        }
        let found: Result<Number, DbError> = self
            .db
            .read(move |conn| Ok(sql_query(statement).get_result(conn)?))
            .await;
        found.unwrap().number
    }
}

fn look(tx: &mut Tx, lot: i32, locking: &str) -> Result<Lot, DbError> {
    let lot = sql_query(format!(
        "SELECT state, version FROM lots WHERE id = ?{locking}"
    ))
    .bind::<Integer, _>(lot)
    .get_result(tx)?;
    Ok(lot)
}

/// A thousand buyers at once over so many lots; returns how often a lot was sold once too often, and a row of the table.
async fn measure(way: Way, name: &str, lots: usize) -> (i64, String) {
    let sale = Sale::of(lots).await;
    // Every connection is made before the clock starts.
    all_at_once((0..CONNECTIONS).map(|_| {
        let db = sale.db.clone();
        async move { db.ping().await.expect("a connection") }
    }))
    .await;
    let began = Instant::now();
    let outcomes = all_at_once((0..BUYERS).map(|buyer| {
        let sale = sale.clone();
        let lot = (buyer % lots) as i32 + 1;
        async move {
            let won = sale.buy(way, lot).await;
            (won, began.elapsed())
        }
    }))
    .await;
    let took = began.elapsed();
    let told = outcomes.iter().filter(|(won, _)| *won).count() as i64;
    let sold = sale.number("SELECT COUNT(*) AS number FROM sales").await;
    let gone = "SELECT COUNT(*) AS number FROM lots WHERE state = 'sold'";
    let gone = sale.number(gone).await;
    assert_eq!(told, sold, "who was told so has bought");
    let mut waits: Vec<_> = outcomes.into_iter().map(|(_, wait)| wait).collect();
    waits.sort_unstable();
    let most = sale.most.load(Ordering::Relaxed);
    assert!(most <= CONNECTIONS, "{name}: {most} connections");
    // Who waits for a lock may give up; with any other way every lot has a buyer.
    if !matches!(way, Way::ConditionalUnder(_)) {
        assert_eq!(gone, lots as i64, "{name}: lots that nobody got");
    }
    let row = format!(
        "| {name} | {lots} | {sold} of {gone} | {:.0} | {:.0} | {:.0} ms | {} | {} |",
        sold as f64 / took.as_secs_f64(),
        BUYERS as f64 / took.as_secs_f64(),
        waits[BUYERS * 95 / 100].as_secs_f64() * 1e3,
        sale.asked.load(Ordering::Relaxed),
        most,
    );
    (sold - gone, row)
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_lock_a_lot_is_sold_twice_and_with_any_of_the_others_once() {
    let mut table = vec![
        "| way | lots | sold | sales/s | answers/s | p95 | took a connection | at once |"
            .to_owned(),
        "|---|---|---|---|---|---|---|---|".to_owned(),
    ];
    for lots in [1, 1_000] {
        for (way, name) in WAYS {
            let (too_often, row) = measure(way, name, lots).await;
            table.push(row);
            // With a lot for each buyer none meets another, so only many buyers of one lot show the defect.
            let defect = way == Way::NoLock && lots == 1;
            assert_eq!(too_often > 0, defect, "{name}: {too_often} too often");
        }
    }
    testbed::report("locks.md", &(table.join("\n") + "\n")).unwrap();
}
