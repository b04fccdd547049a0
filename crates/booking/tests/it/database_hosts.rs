//! Several hosts of one database, servers that take no writes, and connections that are encrypted or none.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use booking::db::{Db, DbError, DbOptions};
use diesel::sql_types::BigInt;
use diesel::{QueryableByName, RunQueryDsl as _, sql_query};
use testbed::{GaleraCluster, MariaDb, MariaDbOptions, Scratch, eventually};

use crate::fixture::{all_at_once, options};

/// The application's own user: unlike root it may not write where nobody may.
const USER: &str = "CREATE DATABASE shop; CREATE USER app@'127.0.0.1' IDENTIFIED BY 'hunter2'; \
    GRANT ALL ON shop.* TO app@'127.0.0.1'; CREATE TABLE shop.sales (id INT PRIMARY KEY)";

#[derive(QueryableByName)]
struct Port {
    #[diesel(sql_type = BigInt)]
    port: i64,
}

fn server(scratch: &Scratch, arguments: &[String]) -> MariaDb {
    let options = MariaDbOptions {
        arguments: arguments.to_vec(),
        ..MariaDbOptions::default()
    };
    let server = MariaDb::start(scratch.path(), options).expect("a server");
    server.execute(USER).expect("a user");
    server
}

fn url(ports: &[u16], query: &str) -> String {
    let hosts: Vec<_> = ports
        .iter()
        .map(|port| format!("127.0.0.1:{port}"))
        .collect();
    format!("mysql://app:hunter2@{}/shop{query}", hosts.join(","))
}

async fn port_of_a_write(db: &Db, id: i32) -> Result<i64, DbError> {
    db.transaction(move |tx| {
        sql_query(format!("INSERT INTO sales VALUES ({id})")).execute(tx)?;
        let row: Port = sql_query("SELECT CAST(@@port AS SIGNED) AS port").get_result(tx)?;
        Ok::<_, DbError>(row.port)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_host_that_takes_writes_is_used_and_another_when_it_no_longer_does() {
    let scratch = [Scratch::new().unwrap(), Scratch::new().unwrap()];
    let mut servers = scratch.each_ref().map(|folder| server(folder, &[]));
    let ports = servers.each_ref().map(|server| server.port());
    let db = Db::connect(&url(&ports, ""), options()).unwrap();
    let [first, second] = ports.map(i64::from);
    assert_eq!(port_of_a_write(&db, 1).await.unwrap(), first);
    servers[0].execute("SET GLOBAL read_only = 1").unwrap();
    assert_eq!(
        port_of_a_write(&db, 2).await.unwrap(),
        second,
        "nobody notices"
    );
    servers[0].execute("SET GLOBAL read_only = 0").unwrap();
    assert_eq!(
        port_of_a_write(&db, 3).await.unwrap(),
        second,
        "and it stays"
    );
    servers[1].kill();
    let write = async || port_of_a_write(&db, 4).await.ok();
    let written = eventually(Duration::from_secs(60), "a write", write).await;
    assert_eq!(written, first);
    db.ping().await.expect("ready");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_host_takes_writes_reads_go_on_and_writes_are_refused_for_now() {
    let scratch = Scratch::new().unwrap();
    let server = server(&scratch, &[]);
    let db = Db::connect(&url(&[server.port()], ""), options()).unwrap();
    server.execute("SET GLOBAL read_only = 1").unwrap();
    let refused = port_of_a_write(&db, 1).await;
    assert!(
        matches!(refused, Err(DbError::Unwritable(_))),
        "{refused:?}"
    );
    db.ping().await.expect("it can be read");
    server.execute("SET GLOBAL read_only = 0").unwrap();
    port_of_a_write(&db, 1).await.expect("written");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_the_server_closed_while_it_was_idle_is_replaced() {
    let scratch = Scratch::new().unwrap();
    let server = server(&scratch, &[]);
    let db = Db::connect(&url(&[server.port()], ""), options()).unwrap();
    port_of_a_write(&db, 1).await.unwrap();
    let kill = "SELECT GROUP_CONCAT('KILL ', id SEPARATOR '; ') FROM information_schema.processlist WHERE user = 'app'";
    let kill = server.execute(kill).unwrap();
    server.execute(kill.lines().last().unwrap()).unwrap();
    port_of_a_write(&db, 2)
        .await
        .expect("on another connection");
}

/// A certificate of its own for this name, made by the system's openssl.
fn certificate(folder: &Path, name: &str, names: &str) -> [String; 2] {
    let [certificate, key] = ["pem", "key"].map(|end| folder.join(format!("{name}.{end}")));
    let [certificate, key] = [certificate, key].map(|it| it.to_string_lossy().into_owned());
    let made = Command::new("openssl")
        .args([
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
        ])
        .args(["-subj", &format!("/CN={name}"), "-addext", names])
        .args(["-out", &certificate, "-keyout", &key])
        .output()
        .expect("openssl");
    assert!(made.status.success(), "{made:?}");
    [certificate, key]
}

async fn reaches(port: u16, query: &str) -> Result<i64, DbError> {
    let hurried = DbOptions {
        connect: Duration::from_secs(5),
        ..options()
    };
    let db = Db::connect(&url(&[port], query), hurried).unwrap();
    db.read(|conn| {
        let ciphers = "SELECT COUNT(*) AS port FROM information_schema.session_status \
            WHERE variable_name = 'SSL_CIPHER' AND variable_value <> ''";
        let row: Port = sql_query(ciphers).get_result(conn)?;
        Ok::<_, DbError>(row.port)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_with_the_server_that_was_meant_or_there_is_no_connection() {
    let (keys, scratch) = (
        Scratch::new().unwrap(),
        [(); 3].map(|()| Scratch::new().unwrap()),
    );
    let [own, own_key] = certificate(keys.path(), "own", "subjectAltName=IP:127.0.0.1");
    let [other, other_key] = certificate(keys.path(), "other", "subjectAltName=DNS:db.example");
    let with = |certificate: &str, key: &str| {
        vec![
            format!("--ssl-cert={certificate}"),
            format!("--ssl-key={key}"),
        ]
    };
    let right = server(&scratch[0], &with(&own, &own_key));
    let misnamed = server(&scratch[1], &with(&other, &other_key));
    let without = server(&scratch[2], &["--skip-ssl".to_owned()]);
    let asked = |ca: &str| format!("?ssl_mode=verify_identity&ssl_ca={ca}");
    assert_eq!(reaches(right.port(), &asked(&own)).await.unwrap(), 1);
    assert_eq!(
        reaches(right.port(), &format!("?ssl_ca={own}"))
            .await
            .unwrap(),
        1
    );
    assert_eq!(
        reaches(right.port(), "?ssl_mode=disabled").await.unwrap(),
        0
    );
    for (what, port, ca) in [
        ("another authority", right.port(), &other),
        ("another name", misnamed.port(), &other),
        ("no TLS at all", without.port(), &own),
    ] {
        let refused = reaches(port, &asked(ca)).await;
        assert!(
            matches!(refused, Err(DbError::Unreachable(_))),
            "{what}: {refused:?}"
        );
    }
}

/// Adds one to the only row, and gives back how often that was done.
async fn add_one(db: Db) -> Result<(), DbError> {
    db.transaction(|tx| {
        sql_query("UPDATE counter SET n = n + 1 WHERE id = 1").execute(tx)?;
        Ok::<_, DbError>(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_cluster_migrations_run_once_conflicts_run_again_and_a_lost_majority_is_told() {
    let scratch = Scratch::new().unwrap();
    let options_of_nodes = MariaDbOptions::default();
    let mut cluster = GaleraCluster::start(scratch.path(), &options_of_nodes).expect("a cluster");
    cluster.nodes[0].ensure_database("shop").unwrap();
    let urls = [0, 1].map(|first| cluster.url(first, "shop"));
    let migrated = all_at_once(
        urls.iter()
            .cycle()
            .take(4)
            .cloned()
            .map(|url| async move { Db::migrate(&url).await }),
    )
    .await;
    for outcome in migrated {
        outcome.expect("migrated once, by one of them");
    }
    let counter = "CREATE TABLE shop.counter (id INT PRIMARY KEY, n INT NOT NULL); INSERT INTO shop.counter VALUES (1, 0)";
    cluster.nodes[0].execute(counter).unwrap();
    let dbs = urls
        .each_ref()
        .map(|url| Db::connect(url, options()).unwrap());
    let added = all_at_once(dbs.iter().cycle().take(60).cloned().map(add_one)).await;
    let done = added.iter().filter(|it| it.is_ok()).count();
    let counted = cluster.nodes[2]
        .execute("SELECT n FROM shop.counter")
        .unwrap();
    assert!(
        counted.trim().ends_with(&done.to_string()),
        "{done} of {counted}"
    );
    assert_eq!(done, 60, "each conflict at COMMIT was run again: {added:?}");

    cluster.nodes[1].kill();
    cluster.nodes[2].kill();
    let refusal = async || dbs[0].ping().await.err();
    let told = Err(eventually(Duration::from_secs(60), "a refusal", refusal).await);
    let refused = add_one(dbs[0].clone()).await;
    let waits = |it: &Result<(), DbError>| {
        matches!(it, Err(DbError::Unwritable(_) | DbError::Unreachable(_)))
    };
    assert!(waits(&told) && waits(&refused), "{told:?} {refused:?}");
}
