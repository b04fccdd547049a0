//! What lists cost the database, by the counters of a server of their own.

use std::time::Duration;

use testbed::{MariaDb, MariaDbOptions, Scratch};

use crate::fixture::Fixture;
use crate::test_app::TestApp;

/// So many dates of the concert, with 50 seats each.
const DATES: usize = 5;
const HALF_A_SECOND: Duration = Duration::from_millis(500);

struct Watched {
    app: TestApp,
    server: MariaDb,
    _scratch: Scratch,
}

impl Watched {
    async fn open() -> Self {
        let scratch = Scratch::new().unwrap();
        let options = MariaDbOptions {
            arguments: vec!["--userstat=1".into()],
            ..MariaDbOptions::default()
        };
        let server = MariaDb::start(scratch.path(), options).unwrap();
        let layout = booking::concert::default_layout();
        let fixture = Fixture::at(server.create_database(), layout).await;
        for _ in 1..DATES {
            fixture.another_schedule().await;
        }
        Self {
            app: TestApp::on(fixture, &[]).await,
            server,
            _scratch: scratch,
        }
    }

    /// Rows that the server has read of this table.
    fn read_of(&self, table: &str) -> u64 {
        let counted = format!(
            "SELECT COALESCE(SUM(ROWS_READ), 0) FROM information_schema.TABLE_STATISTICS WHERE TABLE_NAME = '{table}'"
        );
        let told = self.server.execute(&counted).unwrap();
        told.trim().parse().unwrap()
    }

    async fn dates(&self) -> usize {
        let fixture = &self.app.fixture;
        let path = format!("/api/v1/concerts/{}/schedules", fixture.concert_id);
        let dates = self.app.visitor().get(&path).await;
        dates.body["items"].as_array().unwrap().len()
    }

    async fn seats(&self) -> usize {
        let seats = self.app.visitor().get(&self.app.seats_path()).await;
        seats.body["items"].as_array().unwrap().len()
    }

    /// Loads of the list of dates.
    async fn loads(&self) -> f64 {
        let metrics = format!("{}/metrics", self.app.admin_base);
        let told = self.app.client.get(metrics).send().await.unwrap();
        let (told, counter) = (
            told.text().await.unwrap(),
            "booking_cache_loads_total{list=\"dates\"} ",
        );
        let count = told.lines().find_map(|line| line.strip_prefix(counter));
        count.unwrap().parse().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_has_not_changed_reads_no_row_of_a_seat_or_of_the_log() {
    let watched = Watched::open().await;
    // Until the rows of the log are as old as a transaction may be, and nobody reads them to seal them.
    for _ in 0..3 {
        assert_eq!((watched.dates().await, watched.seats().await), (DATES, 50));
        watched.app.clock.advance(4 * HALF_A_SECOND);
    }
    testbed::eventually(Duration::from_secs(30), "the seal", async || {
        let open = "SELECT COUNT(*) FROM audit_log WHERE seal IS NULL";
        (watched.app.fixture.number(open).await == 0).then_some(())
    })
    .await;
    let read = || ["seats", "audit_log"].map(|table| watched.read_of(table));
    let before = read();
    for _ in 0..20 {
        assert_eq!((watched.dates().await, watched.seats().await), (DATES, 50));
        watched.app.clock.advance(HALF_A_SECOND);
    }
    assert_eq!(read(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_makes_its_own_date_be_counted_again_and_no_other() {
    let watched = Watched::open().await;
    assert_eq!((watched.dates().await, watched.seats().await), (DATES, 50));
    watched.app.clock.advance(4 * HALF_A_SECOND);
    watched.app.visitor().hold(&[1]).await;
    let before = watched.read_of("seats");
    watched.dates().await;
    assert_eq!(watched.read_of("seats") - before, 50);
    watched.seats().await;
    assert_eq!(watched.read_of("seats") - before, 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_date_that_changes_all_the_time_is_counted_twice_a_second() {
    let watched = Watched::open().await;
    // Before the first load, from which on there is room for the next ones.
    let begun = watched.app.clock.now();
    watched.dates().await;
    let before = watched.loads().await;
    for number in 1..=40 {
        watched.app.visitor().hold(&[number]).await;
        watched.dates().await;
        watched.app.clock.advance(HALF_A_SECOND / 10);
    }
    let passed_s = (watched.app.clock.now() - begun).as_seconds_f64();
    let loads = watched.loads().await - before;
    // What was quiet before makes room for one more at once.
    assert!(loads <= 2.0 * passed_s + 1.0, "{loads} in {passed_s} s");
}
