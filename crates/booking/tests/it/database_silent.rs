//! Connections on which nothing is said for a while: what the server undoes, and what nobody notices.

use std::sync::Arc;
use std::time::Duration;

use booking::concert::default_layout;
use booking::db::{Conn, Db, DbError, DbOptions};
use diesel::sql_types::{Integer, Unsigned};
use diesel::{QueryableByName, RunQueryDsl as _, sql_query};
use testbed::{MariaDb, MariaDbOptions, Network, Scratch, eventually};
use tokio::runtime::Handle;

use crate::fixture::{Fixture, all_at_once, options};

#[derive(QueryableByName)]
struct Version {
    #[diesel(sql_type = Unsigned<Integer>)]
    #[expect(dead_code, reason = "rows are counted")]
    version: u32,
}

/// The port of `mysql://user@127.0.0.1:port/database`.
fn port_of(url: &str) -> u16 {
    let behind_host = url.rsplit(':').next().expect("a port");
    let port = behind_host.split('/').next().expect("a database");
    port.parse().expect("a number")
}

async fn change(db: &Db) -> Result<(), DbError> {
    let change = "UPDATE concerts SET version = version + 1";
    let changed = db.transaction(move |tx| Ok::<_, DbError>(sql_query(change).execute(tx)?));
    changed.await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rows_of_a_client_that_is_cut_off_are_free_again_soon() {
    let fixture = Fixture::open().await;
    let port = port_of(&fixture.url);
    let network = Arc::new(Network::to(port).expect("a network"));
    let (direct, through) = (format!(":{port}/"), format!(":{}/", network.port()));
    let hurried = DbOptions {
        deadline: Duration::from_secs(1),
        ..options()
    };
    let cut_off = Db::connect(&fixture.url.replace(&direct, &through), hurried).expect("a URL");
    change(&cut_off).await.expect("the network is whole");
    // Only the test owns the network: when it drops that, the thread that hangs in it ends.
    let cut = Arc::downgrade(&network);
    let (others, runtime) = (fixture.instances[0].clone(), Handle::current());
    let lost: Result<(), DbError> = cut_off
        .transaction(move |tx| {
            sql_query("UPDATE concerts SET title = 'lost'").execute(tx)?;
            let free = |conn: &mut Conn| {
                let free = sql_query("SELECT version FROM concerts FOR UPDATE SKIP LOCKED");
                Ok::<_, DbError>(free.load::<Version>(conn)?.len())
            };
            assert_eq!(runtime.block_on(others.read(free))?, 0, "the row is locked");
            cut.upgrade().expect("a network").cut();
            Ok(sql_query("SELECT 1").execute(tx).map(drop)?)
        })
        .await;
    assert!(matches!(lost, Err(DbError::Unreachable(_))), "{lost:?}");
    // The keepalive of TCP would take hours.
    let free = async || change(&fixture.instances[0]).await.ok();
    eventually(Duration::from_secs(60), "the row to be free", free).await;
    let lost = "SELECT COUNT(*) FROM concerts WHERE title = 'lost'";
    assert_eq!(fixture.number(lost).await, 0, "it is undone");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_notices_that_the_server_closed_every_connection_that_was_idle() {
    const AT_ONCE: usize = 8;
    let scratch = Scratch::new().expect("a folder");
    let impatient = MariaDbOptions {
        arguments: vec!["--wait-timeout=1".to_owned()],
        ..MariaDbOptions::default()
    };
    let server = MariaDb::start(scratch.path(), impatient).expect("a server");
    let fixture = Fixture::at(server.create_database(), default_layout()).await;
    let db = &fixture.instances[0];
    let all = async || {
        let asked = (0..AT_ONCE).map(|number| {
            let db = db.clone();
            async move {
                match number % 2 {
                    0 => change(&db).await,
                    _ => db.ping().await,
                }
            }
        });
        all_at_once(asked).await
    };
    for _ in 0..2 {
        let done = all().await;
        assert!(done.iter().all(Result::is_ok), "{done:?}");
        let open = "SELECT COUNT(*) FROM information_schema.processlist WHERE db IS NOT NULL";
        eventually(
            Duration::from_secs(30),
            "idle connections to end",
            async || {
                let open = server.execute(open).expect("a count");
                (open.lines().last() == Some("0")).then_some(())
            },
        )
        .await;
    }
    let done = all().await;
    assert!(done.iter().all(Result::is_ok), "{done:?}");
    for reason in ["busy", "unreachable", "other"] {
        let failures = db.metrics().failures.with_label_values(&[reason]);
        assert_eq!(failures.get(), 0, "{reason}");
    }
}
