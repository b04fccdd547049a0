use booking::db::{Db, DbError};
use diesel::connection::SimpleConnection;

use crate::fixture::{Fixture, all_at_once, options};

#[tokio::test(flavor = "multi_thread")]
async fn four_instances_that_start_at_once_on_an_empty_database_all_find_the_schema() {
    let url = testbed::mariadb().create_database();
    let started = all_at_once((0..4).map(|_| {
        let url = url.clone();
        async move { Db::migrate(&url).await }
    }))
    .await;
    for outcome in started {
        outcome.expect("a schema");
    }
    let db = Db::connect(&url, options()).unwrap();
    Db::migrate(&url).await.expect("again is fine");
    let concerts = db
        .read(|conn| {
            booking::concert::list(
                conn,
                booking::db::Page {
                    limit: 1,
                    after: None,
                },
            )
        })
        .await;
    assert_eq!(concerts.unwrap(), []);
}

#[tokio::test]
async fn each_migration_can_be_taken_back() {
    let fixture = Fixture::open().await;
    let folder = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations"));
    let mut steps: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    steps.sort();
    for step in steps.into_iter().rev() {
        let down = std::fs::read_to_string(step.join("down.sql")).unwrap();
        let taken_back: Result<(), DbError> = fixture.instances[0]
            .read(move |conn| Ok(conn.batch_execute(&down)?))
            .await;
        taken_back.expect("a way back");
    }
    let left = "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name <> '__diesel_schema_migrations'";
    assert_eq!(fixture.number(left).await, 0);
}

#[tokio::test]
async fn a_url_that_is_not_one_is_refused_and_not_shown() {
    for odd in [
        "",
        "postgres://secret@host/db",
        "mysql://secret@host",
        "mysql://secret@host/",
    ] {
        let refused = Db::connect(odd, options()).err().expect(odd);
        assert!(!refused.to_string().contains("secret"));
    }
}
