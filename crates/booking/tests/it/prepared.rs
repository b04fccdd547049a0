//! What each verb asks MySQL to prepare: everything the first time on a connection, and then nothing more.
//!
//! There are two connections: one for transactions, one for single statements.

use std::future::Future;

use booking::db::{Conn, Db, DbError, DbOptions};
use booking::forwarder;
use booking::idempotency::{Claim, Fingerprint, IdempotencyKey, Outcome};
use booking::outbox::{self, Ended, Ending};
use booking::reservation::{Best, Reserve, Wanted};
use booking::wallet::{Amount, Charge};
use chrono::TimeDelta;
use diesel::deserialize::QueryableByName;
use diesel::sql_types::Text;
use diesel::{RunQueryDsl, sql_query};
use serde_json::json;
use uuid::Uuid;

use crate::fixture::{Fixture, answered, keyed, options};

#[derive(QueryableByName)]
struct Status {
    #[diesel(sql_type = Text, column_name = "Value")]
    value: String,
}

fn prepared(conn: &mut Conn) -> Result<usize, DbError> {
    let status: Status =
        sql_query("SHOW SESSION STATUS LIKE 'Com_stmt_prepare'").get_result(conn)?;
    Ok(status.value.parse().expect("a number"))
}

/// A service behind one connection of each kind, and what each verb has prepared on them.
struct Watched {
    fixture: Fixture,
    prepared: Vec<(&'static str, usize)>,
}

impl Watched {
    async fn open() -> Self {
        let fixture = Fixture::open().await;
        let single = DbOptions {
            pool_size: 1,
            ..options()
        };
        let single = Db::connect(&fixture.url, single).expect("a URL");
        Self {
            fixture: Fixture {
                instances: [single.clone(), single],
                ..fixture
            },
            prepared: Vec::new(),
        }
    }

    /// Statements that the connections have prepared, these two included.
    async fn so_far(&self) -> usize {
        let db = &self.fixture.instances[0];
        let seen = [db.transaction(prepared).await, db.read(prepared).await];
        seen.map(|it| it.expect("a number")).iter().sum()
    }

    async fn watch<T>(&mut self, verb: &'static str, act: impl Future<Output = T>) -> T {
        let before = self.so_far().await;
        let done = act.await;
        self.prepared.push((verb, self.so_far().await - before - 2));
        done
    }

    /// All verbs for so many seats. Afterwards the seats are free again.
    async fn all(&mut self, count: i64) {
        let fixture = self.fixture.clone();
        let user = self.watch("charge", fixture.rich()).await;
        self.watch("charge once", charge_once(&fixture, user)).await;
        let seats: Vec<_> = (1..=count).collect();
        let held = self.watch("reserve", fixture.reserve(user, &seats)).await;
        let paid = self
            .watch("pay", fixture.try_pay(0, &held, fixture.now))
            .await;
        let refund = fixture.refund(0, paid.as_ref().unwrap(), fixture.now);
        self.watch("refund", refund).await.unwrap();
        let best = Reserve {
            seats: Wanted::Best(Best::parse(count, None, 4).unwrap()),
            ..fixture.wish(user, &[1])
        };
        let best = fixture.try_reserve(0, best, fixture.now);
        let held = self.watch("reserve the best", best).await.unwrap();
        let cancel = fixture.cancel(0, &held, fixture.now);
        self.watch("cancel", cancel).await.unwrap();
        let held = fixture.reserve(user, &seats).await;
        fixture.try_pay(0, &held, fixture.now).await.unwrap();
        let cancel = fixture.cancel(0, &held, fixture.now);
        self.watch("cancel what is paid", cancel).await.unwrap();
        self.watch("pass on", pass_on(&fixture, count)).await;
    }
}

/// Takes so many events, writes that they are published, and that their receiver has them.
async fn pass_on(fixture: &Fixture, count: i64) {
    let (owner, now) = (Uuid::new_v4(), fixture.now);
    let until = now + TimeDelta::seconds(10);
    let passed = fixture.instances[0].transaction(move |tx| {
        let taken = outbox::claim(tx, owner, now, until, u32::try_from(count).unwrap())?;
        let seqs: Vec<_> = taken.iter().map(|event| event.seq).collect();
        outbox::renew(tx, owner, &seqs, until)?;
        let ended = seqs.iter().map(|seq| Ended {
            seq: *seq,
            ending: Ending::Delivered,
        });
        outbox::write_endings(tx, owner, &ended.collect::<Vec<_>>(), now)?;
        let ids: Vec<_> = taken.iter().map(|event| event.id).collect();
        // Once more they are not new.
        for _ in 0..2 {
            forwarder::claim_all(tx, ("receiver", owner), &ids, now, until)?;
        }
        forwarder::delivered_all(tx, "receiver", &ids, now)?;
        Ok::<_, DbError>(ids.len())
    });
    assert_eq!(passed.await.unwrap(), usize::try_from(count).unwrap());
}

async fn charge_once(fixture: &Fixture, user_id: Uuid) {
    let claim = Claim {
        user_id,
        route: "POST /charges",
        key: IdempotencyKey::try_from(Uuid::new_v4().to_string()).unwrap(),
        fingerprint: Fingerprint::of(&json!({})),
    };
    let request = keyed(claim, |_| answered("{}"));
    let charge = Charge {
        request_id: request.id(),
        user_id,
        amount: Amount::try_from(1).unwrap(),
    };
    let sale = fixture.sale(0, fixture.now);
    let outcome = sale.charge(charge, request).await;
    assert!(matches!(outcome, Ok(Outcome::Fresh(..))), "{outcome:?}");
}

#[tokio::test]
async fn a_verb_that_has_run_on_a_connection_prepares_nothing_anew() {
    let mut watched = Watched::open().await;
    for count in 1..=4 {
        watched.all(count).await;
    }
    let first = std::mem::take(&mut watched.prepared);
    // With COMMIT, where the server prepares it.
    assert!([4, 5].contains(&first[0].1), "{first:?}");
    for count in 1..=4 {
        watched.all(count).await;
    }
    watched.prepared.retain(|(_, anew)| *anew > 0);
    assert_eq!(watched.prepared, []);
}
