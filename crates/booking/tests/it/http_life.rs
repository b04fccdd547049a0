//! How the process lives: ready when its database answers, and it finishes what runs before it ends.

use std::time::Duration;

use booking::db::DbError;
use chassis::time::Clock;
use diesel::{RunQueryDsl, sql_query};
use reqwest::Client;
use testbed::{MariaDb, MariaDbOptions, Scratch, eventually};

use crate::test_app::{TestApp, answer, config};

const DEADLINE: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn it_is_ready_when_its_database_answers_and_shows_its_metrics_to_operators() {
    let app = TestApp::open().await;
    for base in [&app.base, &app.admin_base] {
        for path in ["/live", "/ready"] {
            assert_eq!(
                answer(app.client.get(format!("{base}{path}"))).await.status,
                200,
                "{path}"
            );
        }
    }
    let buyer = app.visitor();
    buyer.buy(&[1]).await;
    app.visitor().reserve(&[1]).await;
    let given_back = app.visitor();
    given_back.buy(&[2]).await;
    let own = given_back.get("/api/v1/reservations").await;
    let path = format!(
        "/api/v1/reservations/{}",
        own.body["items"][0]["id"].as_str().unwrap()
    );
    for _ in 0..2 {
        assert_eq!(given_back.delete(&path).await.status, 204);
    }
    app.visitor().get(&app.seats_path()).await;
    let metrics = app
        .client
        .get(format!("{}/metrics", app.admin_base))
        .send()
        .await
        .unwrap();
    let metrics = metrics.text().await.unwrap();
    for line in [
        "booking_holds_total 2",
        r#"booking_conflicts_total{judge="database"} 1"#,
        r#"booking_conflicts_total{judge="lock"} 0"#,
        "booking_payments_total 2",
        "booking_seats_sold_total 2",
        "booking_captured_won_total 300000",
        "booking_cancellations_total 1",
        "booking_refunds_total 1",
        "booking_refunded_won_total 150000",
        "booking_charges_total 2",
        "booking_charged_won_total 2000000",
        r#"booking_seat_locks_total{outcome="passed"}"#,
        r#"booking_seat_locks_total{outcome="unthinned"} 0"#,
        r#"booking_seat_lock_duration_seconds_count{verb="take"} 3"#,
        "booking_seat_locks_off 0",
        "booking_db_connections_in_use",
        "booking_db_connections_max",
        r#"booking_db_failures_total{reason="busy"} 0"#,
        r#"cron_step_skips_total{step="sweep"} 0"#,
        r#"build_info{program="booking""#,
        r#"route="/api/v1/schedules/{scheduleId}/seats",status="200""#,
        r#"route="/api/v1/payments",status="201""#,
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    assert_eq!(app.get("/metrics").await.status, 404, "only for operators");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_is_finished_before_the_process_ends() {
    let mut app = TestApp::open().await;
    let lock = app.fixture.begin(0, |tx| {
        let one = sql_query("SELECT number FROM seats WHERE number = 1 FOR UPDATE");
        Ok::<_, DbError>(one.execute(tx)?)
    });
    let lock = lock.await;

    let running = app.running.take().expect("it runs");
    let (visitor, fixture) = (app.visitor(), app.fixture.clone());
    let request = visitor
        .request(reqwest::Method::POST, "/api/v1/reservations")
        .json(&app.wish(&[1]));
    let runs = tokio::spawn(answer(request));
    eventually(DEADLINE, "a wait for the row", async || {
        assert!(!runs.is_finished(), "it did not wait for the row");
        fixture.is_at("UPDATE `seats`").await.then_some(())
    })
    .await;
    let stop = tokio::spawn(running.stop());
    let admin = format!("{}/ready", app.admin_base);
    eventually(DEADLINE, "a stop", async || {
        (answer(app.client.get(&admin)).await.status != 200).then_some(())
    })
    .await;
    lock.commit().await;
    let answer = runs.await.unwrap();
    assert_eq!(answer.status, 201, "{answer:?}");
    stop.await.unwrap();
    let client = Client::new();
    assert!(
        client
            .get(format!("{}/live", app.base))
            .send()
            .await
            .is_err(),
        "no listener is left"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn while_its_database_is_away_it_says_so_and_afterwards_it_goes_on_by_itself() {
    let scratch = Scratch::new().unwrap();
    let mut mariadb = MariaDb::start(scratch.path(), MariaDbOptions::default()).unwrap();
    let url = mariadb.ensure_database("usher").unwrap();
    let running = booking::start(config(&url, &[]), Clock::system())
        .await
        .unwrap();
    let base = format!("http://{}", running.address);
    let ask = async |path: &str| answer(Client::new().get(format!("{base}{path}"))).await;
    assert_eq!(ask("/ready").await.status, 200);
    mariadb.kill();
    assert_eq!(ask("/ready").await.refusal(), (503, "NOT_READY"));
    let refused = ask("/api/v1/concerts").await;
    assert_eq!(
        (refused.refusal(), &refused.body["retryable"]),
        ((503, "DATABASE_BUSY"), &true.into())
    );
    let soon = [Some("1"), Some("2")];
    assert!(soon.contains(&refused.header("retry-after")));
    assert_eq!(ask("/live").await.status, 200);
    mariadb.restart().unwrap();
    assert_eq!(ask("/ready").await.status, 200);
    assert_eq!(ask("/api/v1/concerts").await.status, 200);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_never_answers_ends_the_start_with_a_clear_word() {
    let config = config(
        "mysql://root:hunter2@127.0.0.1:1/usher",
        &[("BOOKING_START_WAIT_S", "0")],
    );
    let refused = booking::start(config, Clock::system())
        .await
        .err()
        .expect("no other user of the port");
    let told = refused.to_string();
    assert!(
        told.contains("MySQL") && !told.contains("hunter2"),
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn several_instances_start_together_on_one_empty_database() {
    let url = testbed::mariadb().create_database();
    let starts = (0..3).map(|_| booking::start(config(&url, &[]), Clock::system()));
    for started in futures_util::future::join_all(starts).await {
        let running = started.expect("started");
        tokio::time::timeout(Duration::from_secs(30), running.stop())
            .await
            .expect("stopped");
    }
}
