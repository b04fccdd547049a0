//! Every change that other systems hear of triggers the publisher at once, after its commit. No line of a schedule triggers
//! here before the next first of January, so an event is found only if its own change triggered it.

use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::web::Data;
use actix_web::{App, HttpServer};
use booking::Booking;
use booking::api::{self, Lists, Remaining, SeatFeed};
use booking::db::DbError;
use booking::metrics::Metrics;
use booking::reconciliation::checks::Checks;
use booking::sale::Sale;
use booking::scheduler;
use booking::seat_lock::SeatLock;
use booking::subject::Subjects;
use booking::venue::VenueMetrics;
use chassis::schedule::{RunningSchedule, Schedule, Trigger};
use chassis::time::Clock;
use chrono::TimeDelta;
use diesel::{RunQueryDsl as _, sql_query};
use prometheus::Registry;
use reqwest::Client;
use serde_json::json;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;

use crate::fixture::Fixture;
use crate::test_app::{Caller, TestApp, config};

const DEADLINE: Duration = Duration::from_secs(60);
const ONLY_ON_NEW_YEARS_DAY: &str = "0 0 0 1 1 *";
/// Takes what is pending; its row count says how much that is.
const TAKE: &str =
    "UPDATE outbox SET state = 'delivered', delivered_at = NOW(6) WHERE state = 'pending'";

/// The routes of booking without its schedule.
struct Quiet {
    app: TestApp,
    booking: Data<Booking>,
    /// After each run, how many events were found.
    found: UnboundedReceiver<usize>,
    schedule: RunningSchedule,
    server: ServerHandle,
}

impl Quiet {
    async fn open() -> Self {
        let (fixture, clock) = (Fixture::open().await, Clock::system());
        let booking = Data::new(booking_of(&fixture, &clock));
        let (tell, found) = unbounded_channel();
        let db = booking.db.clone();
        let step = move || {
            let (db, tell) = (db.clone(), tell.clone());
            async move {
                let taken = db
                    .transaction(|tx| Ok::<_, DbError>(sql_query(TAKE).execute(tx)?))
                    .await?;
                tell.send(taken).expect("a listener");
                Ok::<_, DbError>(())
            }
        };
        let schedule = Schedule::new(&Registry::new()).await.unwrap();
        let schedule =
            schedule.trigger_with("tests", ONLY_ON_NEW_YEARS_DAY, booking.events.clone(), step);
        let schedule = schedule.await.unwrap().start().await.unwrap();
        let shared = booking.clone();
        let routes = move || {
            App::new()
                .app_data(shared.clone())
                .configure(chassis::json::configure)
                .configure(api::routes)
        };
        let server = HttpServer::new(routes).workers(1).disable_signals();
        let server = server.bind(("127.0.0.1", 0)).unwrap();
        let base = format!("http://{}", server.addrs()[0]);
        let running = server.run();
        let handle = running.handle();
        tokio::spawn(running);
        Self {
            app: TestApp {
                fixture,
                clock,
                admin_base: base.clone(),
                base,
                client: Client::new(),
                running: None,
            },
            booking,
            found,
            schedule,
            server: handle,
        }
    }

    fn visitor(&self, sub: &str) -> Caller<'_> {
        Caller {
            sub: sub.to_owned(),
            ..self.app.visitor()
        }
    }

    /// One event was committed before the publisher was triggered.
    async fn one_event(&mut self, change: &str) {
        let found = timeout(DEADLINE, self.found.recv()).await;
        let found = found.unwrap_or_else(|_| panic!("{change} did not trigger"));
        assert_eq!(found, Some(1), "{change}");
    }

    async fn close(self) {
        self.server.stop(true).await;
        self.schedule.stop().await;
    }
}

fn booking_of(fixture: &Fixture, clock: &Clock) -> Booking {
    let config = config(&fixture.url, &[]);
    let redis = chassis::redis::connection(&testbed::redis().url().parse().unwrap()).unwrap();
    Booking {
        sale: Sale {
            seat_lock: SeatLock::new(redis, clock.clone()),
            clock: clock.clone(),
            ..fixture.sale(0, fixture.now)
        },
        db: fixture.db(0).clone(),
        clock: clock.clone(),
        pass_keys: config.pass_keys,
        sweep_batch: 10,
        publisher: None,
        events: Trigger::default(),
        provider: None,
        instructions: Trigger::default(),
        cancellations: Trigger::default(),
        offer_hold: TimeDelta::minutes(10),
        outbox_keep: TimeDelta::days(7),
        lists: Arc::new(Lists::new(config.cache_age, clock.clone())),
        subjects: Subjects::new(fixture.db(0).clone(), clock.clone()),
        checks: Checks::default(),
        remaining: Remaining::new(clock.clone()),
        seat_feed: SeatFeed::new(clock.clone()),
        metrics: Metrics::register(&Registry::new()),
        venue: VenueMetrics::register(&Registry::new()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_that_makes_an_event_triggers_the_publisher_after_its_commit() {
    let mut quiet = Quiet::open().await;
    let sub = quiet.app.visitor().sub;
    quiet.visitor(&sub).charge(1_000_000).await;
    quiet.one_event("a charge").await;
    let held = quiet.visitor(&sub).hold(&[1]).await;
    quiet.one_event("a reservation").await;
    let paid = quiet.visitor(&sub).pay(&held, "first").await.id();
    quiet.one_event("a payment").await;
    let refunds = format!("/api/v1/payments/{paid}/refunds");
    let refunded = quiet
        .visitor(&sub)
        .post_once(&refunds, "back", &json!({}))
        .await;
    assert_eq!(refunded.status, 201, "{refunded:?}");
    quiet.one_event("a refund").await;

    let best = json!({ "scheduleId": quiet.app.fixture.schedule_id, "count": 2 });
    let held = quiet
        .visitor(&sub)
        .post("/api/v1/reservations", &best)
        .await
        .id();
    quiet.one_event("a reservation of the best seats").await;
    let given_back = quiet
        .visitor(&sub)
        .delete(&format!("/api/v1/reservations/{held}"))
        .await;
    assert_eq!(given_back.status, 204, "{given_back:?}");
    quiet.one_event("a hold that is given back").await;

    let held = quiet.visitor(&sub).hold(&[2]).await;
    quiet.one_event("a reservation").await;
    quiet.visitor(&sub).pay(&held, "second").await;
    quiet.one_event("a payment").await;
    quiet
        .visitor(&sub)
        .delete(&format!("/api/v1/reservations/{held}"))
        .await;
    quiet
        .one_event("a paid reservation that is cancelled")
        .await;

    let gone =
        "UPDATE outbox SET state = 'dead', delivered_at = NULL WHERE type = 'wallet.charged'";
    quiet.app.fixture.raw(gone).await.unwrap();
    let letters = quiet.app.operator().get("/api/v1/admin/outbox").await;
    let id = letters.body["items"][0]["id"].as_str().unwrap().to_owned();
    let again = format!("/api/v1/admin/outbox/{id}/redeliveries");
    let again = quiet.app.operator().post(&again, &json!({})).await;
    assert_eq!(again.status, 202, "{again:?}");
    quiet.one_event("a dead letter that is sent again").await;

    quiet.visitor(&sub).hold(&[3]).await;
    quiet.one_event("a reservation").await;
    quiet.app.clock.advance(Duration::from_secs(301));
    scheduler::sweep(quiet.booking.clone().into_inner())
        .await
        .unwrap();
    quiet.one_event("a hold that is over").await;
    quiet.close().await;
}
