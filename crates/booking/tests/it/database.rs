//! What happens when there is too much to do for MySQL, or no MySQL.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use booking::db::{Conn, Db, DbError, DbOptions};
use diesel::connection::SimpleConnection;
use diesel::sql_types::BigInt;
use diesel::{QueryableByName, RunQueryDsl, sql_query};
use testbed::{MariaDb, MariaDbOptions, Scratch, eventually};

use crate::fixture::{Fixture, all_at_once, options};

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

async fn answers(db: &Db) -> Result<(), DbError> {
    db.transaction(|tx| Ok(sql_query("SELECT 1").execute(tx).map(drop)?))
        .await
}

/// Opens several connections of the pool.
async fn warm_up(db: &Db) {
    let answered = all_at_once((0..8).map(|_| {
        let db = db.clone();
        async move { answers(&db).await }
    }));
    assert!(answered.await.iter().all(Result::is_ok));
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_of_the_server_the_next_request_is_answered() {
    let scratch = Scratch::new().expect("a folder");
    let mut server = MariaDb::start(scratch.path(), MariaDbOptions::default()).expect("a server");
    let db = Db::connect(&server.create_database(), options()).unwrap();
    warm_up(&db).await;

    server.kill();
    assert!(matches!(answers(&db).await, Err(DbError::Unreachable(_))));
    assert!(matches!(db.ping().await, Err(DbError::Unreachable(_))));
    server.restart().expect("a restart");
    answers(&db)
        .await
        .expect("a transaction on a new connection");

    warm_up(&db).await;
    server.kill();
    server.restart().expect("a restart");
    // Every idle connection is dead now, and no caller notices.
    answers(&db).await.expect("a transaction");
    db.ping().await.expect("a read");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_is_unreachable_after_the_deadline_and_not_for_ever() {
    let scratch = Scratch::new().expect("a folder");
    let server = MariaDb::start(scratch.path(), MariaDbOptions::default()).expect("a server");
    let hurried = DbOptions {
        deadline: Duration::from_millis(300),
        wait: Duration::from_millis(300),
        pool_size: 1,
        ..options()
    };
    let db = Db::connect(&server.create_database(), hurried).unwrap();
    answers(&db).await.unwrap();
    server.freeze();
    for _ in 0..3 {
        let told = answers(&db).await;
        assert!(matches!(told, Err(DbError::Unreachable(_))), "{told:?}");
        assert_eq!(db.in_use(), 0, "what hangs keeps nobody out");
    }
    let unreachable = db.metrics().failures.with_label_values(&["unreachable"]);
    assert_eq!(unreachable.get(), 3);
    server.thaw();
    testbed::wait_for("a free connection", Duration::from_secs(10), || {
        (db.in_use() == 0).then_some(())
    })
    .expect("it thaws");
    let again = async || answers(&db).await.ok();
    eventually(Duration::from_secs(30), "an answer", again).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_finds_every_connection_in_use_is_told_so_and_the_others_go_on() {
    let fixture = Fixture::open().await;
    let small = DbOptions {
        pool_size: 1,
        wait: Duration::from_millis(50),
        ..options()
    };
    let db = Db::connect(&fixture.url, small).unwrap();
    let (started, begun) = std::sync::mpsc::channel();
    let (finish, finished) = std::sync::mpsc::channel::<()>();
    let finished = std::sync::Mutex::new(finished);
    let long = db.transaction(move |_| {
        started.send(()).unwrap();
        finished.lock().unwrap().recv().unwrap();
        Ok::<_, DbError>(())
    });
    let short = async {
        tokio::task::spawn_blocking(move || begun.recv())
            .await
            .unwrap()
            .unwrap();
        let refused = answers(&db).await;
        finish.send(()).unwrap();
        refused
    };
    let (long, short) = tokio::join!(long, short);
    assert!(matches!(short, Err(DbError::Busy)));
    assert!(long.is_ok());
    answers(&db).await.expect("a free connection again");
    let metrics = db.metrics();
    let busy = metrics.failures.with_label_values(&["busy"]);
    assert_eq!((busy.get(), metrics.waiting.get()), (1, 0));
    assert_eq!(
        metrics.wait.get_sample_count(),
        3,
        "also a caller who got none"
    );
    let tries = metrics.duration.with_label_values(&["transaction"]);
    assert_eq!(tries.get_sample_count(), 2);
    assert_eq!((db.open(), db.most()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_that_all_wait_do_not_keep_reads_waiting() {
    const POOL: u32 = 4;
    let fixture = Fixture::open().await;
    let small = DbOptions {
        pool_size: POOL,
        wait: Duration::from_millis(50),
        ..options()
    };
    let db = Db::connect(&fixture.url, small).unwrap();
    let go = Arc::new(std::sync::Barrier::new(POOL as usize));
    let waiting: Vec<_> = (1..POOL)
        .map(|_| {
            let (db, go) = (db.clone(), Arc::clone(&go));
            tokio::spawn(async move {
                let held = db.transaction(move |_| {
                    go.wait();
                    Ok::<_, DbError>(())
                });
                held.await
            })
        })
        .collect();
    testbed::wait_for("all who may write", Duration::from_secs(10), || {
        (db.in_use() == POOL - 1).then_some(())
    })
    .expect("they hold connections");
    let one_more = db.transaction(|_| Ok::<_, DbError>(())).await;
    let looked = db.ping().await;
    tokio::task::spawn_blocking(move || go.wait())
        .await
        .unwrap();
    for transaction in waiting {
        transaction.await.unwrap().expect("committed");
    }
    // Asked at the end: until then threads wait, which a test that fails would never let go.
    assert!(matches!(one_more, Err(DbError::Busy)));
    looked.expect("a connection for reads");
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_that_lock_each_other_out_are_run_again_until_both_are_done() {
    let fixture = Fixture::open().await;
    fixture
        .raw("CREATE TABLE things (id INT PRIMARY KEY, n INT NOT NULL)")
        .await
        .unwrap();
    fixture
        .raw("INSERT INTO things VALUES (1, 0), (2, 0)")
        .await
        .unwrap();
    let met = std::sync::Arc::new(std::sync::Barrier::new(2));
    let first_try = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
    let outcomes = all_at_once([(0, 1, 2), (1, 2, 1)].map(|(turn, first, second)| {
        let (fixture, met, first_try) = (fixture.clone(), met.clone(), first_try.clone());
        async move {
            fixture
                .db(turn)
                .transaction(move |tx| {
                    sql_query(format!("UPDATE things SET n = n + 1 WHERE id = {first}"))
                        .execute(tx)?;
                    if first_try.fetch_add(1, std::sync::atomic::Ordering::SeqCst) < 2 {
                        met.wait();
                    }
                    sql_query(format!("UPDATE things SET n = n + 1 WHERE id = {second}"))
                        .execute(tx)?;
                    Ok::<_, DbError>(())
                })
                .await
        }
    }))
    .await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert_eq!(fixture.number("SELECT SUM(n) FROM things").await, 4);
    assert_eq!(fixture.instances.iter().map(Db::deadlocks).sum::<u64>(), 1);
}

#[tokio::test]
async fn a_connection_that_is_killed_in_the_middle_is_not_used_again() {
    let fixture = Fixture::open().await;
    let single = DbOptions {
        pool_size: 1,
        ..options()
    };
    let db = Db::connect(&fixture.url, single).unwrap();
    let killed: Result<(), DbError> = db
        .transaction(|tx| {
            sql_query("UPDATE concerts SET title = 'never'").execute(tx)?;
            let _ = tx.batch_execute("KILL CONNECTION_ID()");
            Ok(sql_query("SELECT 1").execute(tx).map(drop)?)
        })
        .await;
    assert!(matches!(killed, Err(DbError::Unreachable(_))), "{killed:?}");
    answers(&db).await.expect("a new connection");
    assert_eq!(
        fixture
            .number("SELECT COUNT(*) FROM concerts WHERE title = 'never'")
            .await,
        0
    );
}

#[tokio::test]
async fn a_transaction_whose_connection_dies_before_its_commit_is_run_again() {
    let fixture = Fixture::open().await;
    let tries = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&tries);
    let written: Result<(), DbError> = fixture.instances[0]
        .transaction(move |tx| {
            sql_query("UPDATE concerts SET version = version + 1").execute(tx)?;
            if counted.fetch_add(1, Ordering::SeqCst) == 0 {
                let _ = tx.batch_execute("KILL CONNECTION_ID()");
            }
            Ok(sql_query("UPDATE concerts SET title = 'once'")
                .execute(tx)
                .map(drop)?)
        })
        .await;
    written.expect("on another connection");
    assert_eq!(tries.load(Ordering::SeqCst), 2);
    let once = "SELECT COUNT(*) FROM concerts WHERE title = 'once' AND version = 2";
    assert_eq!(fixture.number(once).await, 1);
}

#[tokio::test]
async fn what_a_transaction_did_is_seen_by_others_when_it_has_ended_and_not_before() {
    let fixture = Fixture::open().await;
    let [one, other] = fixture.instances.each_ref().map(Db::clone);
    let titles = |conn: &mut Conn| {
        let seen = sql_query("SELECT COUNT(*) AS number FROM concerts WHERE title = 'seen'");
        Ok::<_, DbError>(seen.get_result::<Number>(conn)?.number)
    };
    let (runtime, before) = (tokio::runtime::Handle::current(), other.clone());
    let seen_inside = one.transaction(move |tx| {
        sql_query("UPDATE concerts SET title = 'seen'").execute(tx)?;
        runtime.block_on(before.read(titles))
    });
    assert_eq!(seen_inside.await.unwrap(), 0);
    assert_eq!(other.read(titles).await.unwrap(), 1);
    let refused: Result<(), DbError> = one
        .transaction(|tx| {
            sql_query("UPDATE concerts SET title = 'never'").execute(tx)?;
            Err(DbError::Busy)
        })
        .await;
    assert!(matches!(refused, Err(DbError::Busy)));
    assert_eq!(other.read(titles).await.unwrap(), 1, "it is undone");
}

#[tokio::test]
async fn a_session_is_strict_and_in_utc() {
    let fixture = Fixture::open().await;
    assert_eq!(fixture.number("SELECT @@innodb_lock_wait_timeout").await, 2);
    assert_eq!(fixture.number("SELECT @@time_zone = '+00:00'").await, 1);
    let isolation = fixture
        .by_server("tx_isolation", "transaction_isolation")
        .await;
    let is_read_committed = format!("SELECT @@{isolation} = 'READ-COMMITTED'");
    assert_eq!(fixture.number(&is_read_committed).await, 1);
    assert!(
        fixture
            .raw("UPDATE concerts SET queue = REPEAT('x', 33)")
            .await
            .is_err(),
        "too long is refused, not cut"
    );
}
