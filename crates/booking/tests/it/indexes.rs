//! Every statement of a hot path finds its rows by an index, also among a million.
//!
//! Each verb runs once while the server writes down what it is asked. Then every statement that it wrote down is
//! explained, and run with and without the index that it uses. `cargo xtask bench indexes` runs this with
//! `USHER_INDEX_ROWS=1000000`, so that the tables are as they are after a million sales, and `--write` puts what it
//! prints into `docs/INDEXES.md`.

mod fill;
mod others;
mod plan;
mod programme;
mod waits;

use std::collections::BTreeSet;
use std::future::Future;

use booking::cancellation;
use booking::concert;
use booking::db::{DbError, Failure, Page, Tx};
use booking::idempotency::{self, Claim, Fingerprint, Undone};
use booking::payment::{self, Extent, Pay, Refund};
use booking::reservation::{self, Best, Limits, Reserve, Wanted};
use booking::seat::SeatNumbers;
use booking::wallet::{self, Amount, Charge};
use booking::{audit, ledger, outbox, seat};
use chassis::time::{Clock, Timestamp};
use chrono::TimeDelta;
use serde_json::json;
use testbed::{MariaDb, MariaDbOptions, Scratch};
use uuid::Uuid;

use crate::fixture::{Fixture, answered, layout, queue};
use plan::Step;

/// An id that the server's log shows as text.
pub fn id(kind: &str, number: u32) -> Uuid {
    let text = format!("{kind:_<8}{number:08}");
    Uuid::from_slice(text.as_bytes()).expect("16 letters")
}

fn rows() -> u32 {
    let asked = std::env::var("USHER_INDEX_ROWS").ok();
    asked.map_or(20_000, |text| text.parse().expect("a number of rows"))
}

/// A full database on a server of its own, whose log no other test writes.
struct Books {
    server: MariaDb,
    fixture: Fixture,
    _scratch: Scratch,
}

/// Late in every order, so that a scan cannot be lucky.
fn number() -> u32 {
    rows() / 5 - 7
}

fn user() -> Uuid {
    id("user", number())
}

const SCHEDULE: u32 = 1;

/// Verbs that read a whole table on purpose: it is small, and seldom read.
const WHOLE: [&str; 1] = ["concerts behind a queue"];

impl Books {
    async fn open() -> Self {
        let scratch = Scratch::new().unwrap();
        let server = MariaDb::start(scratch.path(), MariaDbOptions::default()).unwrap();
        let small = layout([("ALL", 100, 1..=1)]);
        let mut fixture = Fixture::at(server.create_database(), small).await;
        (fixture.concert_id, fixture.schedule_id) = (id("concert", 1), id("schedule", SCHEDULE));
        fill::fill(&server, &fixture, rows());
        Self {
            server,
            fixture,
            _scratch: scratch,
        }
    }

    /// What the server was asked while `act` ran.
    async fn written_down<T>(&self, verb: &'static str, act: impl Future<Output = T>) -> Vec<Step> {
        let run = |statement: &str| self.server.execute(statement).expect("it runs");
        run("TRUNCATE mysql.general_log; SET GLOBAL log_output = 'TABLE', general_log = 1");
        act.await;
        run("SET GLOBAL general_log = 0");
        plan::steps(verb, &run(plan::LOG))
    }

    async fn verb<T, E>(
        &self,
        verb: &'static str,
        act: impl Fn(&mut Tx) -> Result<T, E> + Send + Sync + 'static,
    ) -> Vec<Step>
    where
        T: Send + 'static,
        E: Failure + std::fmt::Debug + Send + 'static,
    {
        let done = async {
            self.fixture.instances[0]
                .transaction(act)
                .await
                .expect(verb)
        };
        self.written_down(verb, done).await
    }

    fn wish(&self, number: u32, seats: Wanted) -> Reserve {
        Reserve {
            id: id("wanted", number),
            user_id: user(),
            newcomer: None,
            schedule_id: self.fixture.schedule_id,
            seats,
            queue: queue("main"),
        }
    }
}

fn page() -> Page {
    Page {
        limit: 50,
        after: Some(id("zzzzzzzz", 0)),
    }
}

/// What visitors read.
async fn reads(books: &Books) -> Vec<Step> {
    let (fixture, user, now) = (&books.fixture, user(), books.fixture.now);
    let (concert_id, schedule_id) = (fixture.concert_id, fixture.schedule_id);
    let held = id("reserved", number());
    [
        books
            .verb("list concerts", move |tx| concert::list(tx, page()))
            .await,
        books
            .verb("show concert", move |tx| concert::find(tx, concert_id))
            .await,
        books
            .verb("list dates", move |tx| {
                concert::schedules(tx, concert_id, true, now)
            })
            .await,
        books
            .verb("queue of a date", move |tx| {
                concert::queue_of(tx, schedule_id)
            })
            .await,
        books
            .verb("list seats", move |tx| seat::list(tx, schedule_id, now))
            .await,
        books
            .verb("list reservations", move |tx| {
                reservation::list(tx, user, page(), now)
            })
            .await,
        books
            .verb("show reservation", move |tx| {
                reservation::find(tx, user, held, now)
            })
            .await,
        books
            .verb("show payment", move |tx| {
                payment::find(tx, user, id("payment", number()))
            })
            .await,
        books
            .verb("balance", move |tx| wallet::balance(tx, user))
            .await,
        books
            .verb("list ledger", move |tx| ledger::entries(tx, user, page()))
            .await,
    ]
    .concat()
}

/// What lists for visitors are renewed from.
async fn looks(books: &Books) -> Vec<Step> {
    let (fixture, now) = (&books.fixture, books.fixture.now);
    let (concert_id, schedule_id) = (fixture.concert_id, fixture.schedule_id);
    [
        books
            .verb("when holds of a concert end", move |tx| {
                concert::next_ends(tx, concert_id, now)
            })
            .await,
        books
            .verb("count the free seats of a date", move |tx| {
                concert::count_free(tx, &[schedule_id], now)
            })
            .await,
        books
            .verb("concerts behind a queue", |tx| concert::behind(tx, "main"))
            .await,
        books.written_down("what has changed", follow(books)).await,
    ]
    .concat()
}

/// The end of the log, as an instance follows it that has lists to renew.
async fn follow(books: &Books) {
    let tail = audit::Tail::new(TimeDelta::zero(), Clock::stopped_at(books.fixture.now));
    let read = tail.follow(&books.fixture.instances[0], |_| ());
    read.await.expect("the log");
}

/// What visitors do.
async fn sales(books: &Books) -> Vec<Step> {
    let (limits, now, user_id) = (
        Limits {
            seats_per_user: 10,
            ..Limits::default()
        },
        books.fixture.now,
        user(),
    );
    let numbers = SeatNumbers::parse(&[fill::free_seat()], 4).unwrap();
    let named = books.wish(1, Wanted::Numbers(numbers));
    let best = books.wish(2, Wanted::Best(Best::parse(2, None, 4).unwrap()));
    let pay = Pay {
        payment_id: id("zpaid", 1),
        user_id,
        reservation_id: named.id,
    };
    let refund = |number, extent| Refund {
        refund_id: id("refund", number),
        user_id,
        payment_id: pay.payment_id,
        extent,
    };
    let (part, rest) = (refund(1, Extent::Amount(10)), refund(2, Extent::Rest));
    let extended = named.id;
    let cancelled = best.id;
    let charge = Charge {
        request_id: id("request", 1),
        user_id,
        amount: Amount::try_from(1_000).unwrap(),
    };
    let clock = Clock::stopped_at(now);
    let reserve = |wish: Reserve| {
        let clock = clock.clone();
        move |tx: &mut Tx| reservation::reserve(tx, &wish, &limits, &clock)
    };
    let [extending, paying, giving, refunding, cancelling] = [(); 5].map(|()| clock.clone());
    [
        books
            .verb("charge", move |tx| wallet::charge(tx, &charge, now))
            .await,
        books.verb("reserve", reserve(named)).await,
        books.verb("reserve the best", reserve(best)).await,
        books
            .verb("extend", move |tx| {
                reservation::extend(tx, user_id, extended, &limits, &extending)
            })
            .await,
        books
            .verb("pay", move |tx| payment::pay(tx, &pay, &paying))
            .await,
        books
            .verb("refund a part", move |tx| {
                payment::refund(tx, &part, &giving)
            })
            .await,
        books
            .verb("refund", move |tx| payment::refund(tx, &rest, &refunding))
            .await,
        books
            .verb("cancel", move |tx| {
                cancellation::cancel(tx, user_id, cancelled, &cancelling)
            })
            .await,
    ]
    .concat()
}

/// A request with a key, and the same again.
async fn keys(books: &Books) -> Vec<Step> {
    let (now, user_id) = (books.fixture.now, user());
    let claim = Claim {
        user_id,
        route: "POST /api/v1/payments",
        key: idempotency::IdempotencyKey::try_from("key-1".to_owned()).unwrap(),
        fingerprint: Fingerprint::of(&json!(1)),
    };
    let once = move |tx: &mut Tx| {
        let act = |_: &mut Tx| Ok::<_, DbError>(());
        match idempotency::once(tx, &claim, now, |()| answered("{}"), act) {
            Ok(_) | Err(Undone::Replayed(_)) => Ok(()),
            Err(other) => Err(other),
        }
    };
    [
        books.verb("claim a key", once.clone()).await,
        books.verb("repeat a key", once).await,
    ]
    .concat()
}

/// What runs in the background.
async fn steps(books: &Books) -> Vec<Step> {
    let now: Timestamp = books.fixture.now;
    let long_ago = fill::long_ago(now);
    let owner = id("owner", 1);
    [
        books
            .verb("sweep", move |tx| reservation::expire(tx, now, 100))
            .await,
        books
            .verb("forget keys", move |tx| {
                idempotency::forget(tx, long_ago, 1_000)
            })
            .await,
        books
            .verb("claim events", move |tx| {
                outbox::claim(tx, owner, now, now + TimeDelta::seconds(30), 100)
            })
            .await,
        books.verb("count events", outbox::backlog).await,
        books
            .verb("forget events", move |tx| {
                outbox::forget(tx, long_ago, 1_000)
            })
            .await,
    ]
    .concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_statement_of_a_hot_path_finds_its_rows_by_an_index() {
    let books = Books::open().await;
    let database = books.fixture.url.rsplit('/').next().unwrap().to_owned();
    let all = [
        reads(&books).await,
        looks(&books).await,
        sales(&books).await,
        keys(&books).await,
        steps(&books).await,
        others::events(&books).await,
        others::dead_letters(&books).await,
        others::people(&books).await,
        others::desk(&books).await,
        others::steps(&books).await,
        waits::provider(&books).await,
        waits::lists(&books).await,
        programme::edits(&books).await,
        programme::cancellation(&books).await,
    ]
    .concat();
    assert!(
        all.len() > 150,
        "only {} statements were written down",
        all.len()
    );
    let mut table = vec![plan::HEAD.to_owned()];
    let (mut without, mut seen) = (Vec::new(), BTreeSet::new());
    for step in &all {
        if !seen.insert(plan::shape(&step.statement)) {
            continue;
        }
        let accesses = plan::explain(&books.server, &database, step);
        assert!(!accesses.is_empty(), "looks for nothing: {step:?}");
        for access in accesses {
            if access.key.is_none() && !WHOLE.contains(&step.verb) {
                without.push(format!("{}: {}", step.verb, step.statement));
            }
            table.push(plan::row(&books.server, &database, step, &access));
        }
    }
    // For `cargo xtask bench indexes`, which shows it.
    if let Ok(path) = std::env::var("USHER_INDEX_TABLE") {
        std::fs::write(path, table.join("\n")).unwrap();
    }
    assert!(
        without.is_empty(),
        "without an index:\n{}",
        without.join("\n")
    );
}
