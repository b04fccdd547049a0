//! The process ends, as with kill -9, at each named point of a charge, a refund, a cancellation, a hold that is extended, a date
//! that is cancelled, and of publishing; another one goes on, and nothing is lost or done twice.

use std::time::Duration;

use chassis::time::Clock;
use jsonwebtoken::Algorithm;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use testbed::{Program, Scratch, crash_points};
use uuid::Uuid;

use crate::fixture::Fixture;
use crate::process::Booking;
use crate::publish_post::{Post, TOPIC};
use crate::test_app::{PASS_SECRET, signed};

const SOON: Duration = Duration::from_secs(60);

struct Process {
    program: Program,
    base: String,
    http: Client,
}

impl Process {
    /// A booking that ends at this point; at none if it is empty.
    fn start(url: &str, brokers: Option<&str>, scratch: &Scratch, point: &str) -> Self {
        let booking = Booking::free(url);
        let port = booking.port;
        let mut more = vec![
            ("BOOKING_DB_POOL", "4".to_owned()),
            ("BOOKING_WORKERS", "1".to_owned()),
            ("BOOKING_CRASH_AT", point.to_owned()),
        ];
        more.extend(brokers.map(|it| ("BOOKING_KAFKA_BROKERS", it.to_owned())));
        Self {
            program: booking.start(scratch, &port.to_string(), &more),
            base: format!("http://127.0.0.1:{port}"),
            http: Client::new(),
        }
    }

    fn ready(mut self) -> Self {
        self.program.wait_ready(SOON).expect("ready");
        self
    }

    /// What it answers, 0 for nothing.
    async fn ask(&self, user: Uuid, act: &Act) -> (u16, Value) {
        let exp = Clock::system().now().timestamp() + 30;
        let claims = match act.by_operator {
            true => {
                json!({ "sub": "operator:tests", "queue": "", "level": "operator", "exp": exp })
            }
            false => json!({ "sub": user, "queue": "main", "level": "active", "exp": exp }),
        };
        let pass = signed(&claims, Algorithm::HS256, &PASS_SECRET);
        let request = self
            .http
            .request(act.method.clone(), format!("{}{}", self.base, act.path));
        let request = request
            .header("X-Usher-Pass", pass)
            .header("Idempotency-Key", "once");
        let Ok(answer) = request.json(&act.body).send().await else {
            return (0, Value::Null);
        };
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap_or(Value::Null))
    }

    fn ends(&mut self, point: &str) {
        let ended = testbed::wait_for("the process to end", SOON, || self.program.ended());
        assert_ne!(ended.expect(point), 0, "{point}");
    }
}

/// A request that has an effect once, however often it is made.
struct Act {
    method: Method,
    path: String,
    body: Value,
    by_operator: bool,
}

/// What is done at points of this name, by somebody who has paid seat 1 and holds seat 2; and what it comes to.
fn act_at(
    point: &str,
    user: Uuid,
    payment: Uuid,
    held: Uuid,
    date: Uuid,
) -> (Act, i64, &'static str) {
    let post = |path: String, body| Act {
        method: Method::POST,
        path,
        body,
        by_operator: false,
    };
    let verb = point.split('.').next().unwrap();
    match verb {
        "charge" => (
            post(
                format!("/api/v1/users/{user}/balance/charges"),
                json!({ "amount": 5 }),
            ),
            5,
            "SELECT COUNT(*) = 2 FROM ledger_entries WHERE cause = 'charged'",
        ),
        "refund" => (
            post(format!("/api/v1/payments/{payment}/refunds"), json!({})),
            150_000,
            "SELECT COUNT(*) = 1 FROM refunds",
        ),
        "extend" => (
            post(format!("/api/v1/reservations/{held}/extensions"), json!({})),
            0,
            "SELECT COUNT(*) = 1 FROM outbox WHERE type = 'reservation.extended'",
        ),
        "cancel" => (
            Act {
                method: Method::DELETE,
                ..post(format!("/api/v1/reservations/{held}"), json!({}))
            },
            0,
            "SELECT COUNT(*) = 1 FROM reservations WHERE state = 'cancelled'",
        ),
        "cancellation" => (
            Act {
                by_operator: true,
                ..post(
                    format!("/api/v1/admin/schedules/{date}/cancellation"),
                    json!({ "reason": "Storm" }),
                )
            },
            150_000,
            "SELECT COUNT(*) = 1 FROM schedule_cancellations WHERE finished_at IS NOT NULL",
        ),
        other => panic!("nobody knows what is done at {other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_cut_off_at_a_point_is_done_once_when_it_is_asked_for_again() {
    let scratch = Scratch::new().unwrap();
    let all = ["charge.", "refund.", "extend.", "cancel.", "cancellation."];
    let all = all.map(|verb| crash_points(verb).unwrap());
    assert!(all.iter().all(|of_verb| !of_verb.is_empty()), "{all:?}");
    for point in all.concat() {
        let fixture = Fixture::open().await;
        let (bought, payment) = fixture.paid(&[1]).await;
        let user = bought.user_id;
        let known = format!(
            "INSERT INTO subjects (person, subject, created_at) VALUES (x'{0}', x'{0}', NOW(6))",
            user.simple()
        );
        fixture.raw(&known).await.unwrap();
        let held = fixture.reserve(user, &[2]).await;
        let before = fixture.balance(user).await;
        let (act, more, is_done) = act_at(&point, user, payment.id, held.id, fixture.schedule_id);

        let mut killed = Process::start(&fixture.url, None, &scratch, &point).ready();
        let (status, _) = killed.ask(user, &act).await;
        assert!(status == 0 || act.by_operator, "{point}: {status}");
        killed.ends(&point);
        fixture.reconciled().await;

        let next = Process::start(&fixture.url, None, &scratch, "").ready();
        for _ in 0..2 {
            let (status, body) = next.ask(user, &act).await;
            let again = body["code"] == "ALREADY_EXTENDED";
            assert!(
                (200..300).contains(&status) || again,
                "{point}: {status} {body}"
            );
        }
        testbed::eventually(SOON, &point, async || {
            (fixture.number(is_done).await == 1).then_some(())
        })
        .await;
        assert_eq!(fixture.balance(user).await, before + more, "{point}");
        fixture.reconciled().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_whose_publisher_ends_at_a_point_arrives_and_is_written_once() {
    let scratch = Scratch::new().unwrap();
    let all = crash_points("publish.").unwrap();
    assert!(all.len() >= 3, "{all:?}");
    for point in all {
        let post = Post::open().await;
        post.record(Uuid::new_v4(), 0..3).await;
        let brokers = post.broker.bootstrap_servers();
        let url = post.fixture.url.clone();
        Process::start(&url, Some(&brokers), &scratch, &point).ends(&point);
        let _next = Process::start(&url, Some(&brokers), &scratch, "").ready();
        let delivered = "SELECT COUNT(*) FROM outbox WHERE state = 'delivered'";
        testbed::eventually(SOON, &point, async || {
            (post.fixture.number(delivered).await == 3).then_some(())
        })
        .await;
        let mut ids: Vec<_> = post
            .everything(TOPIC)
            .await
            .iter()
            .map(|it| it.id().to_owned())
            .collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 3, "{point}: the same events, some twice");
    }
}
