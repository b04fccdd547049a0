//! Booking ends, as with kill -9, between each pair of steps of a reservation and of a payment.
//!
//! The points are those in the sources: `crash::point("…")`. A debug build ends at the one that `BOOKING_CRASH_AT` names.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::path::PathBuf;
use std::time::Duration;

use e2e::{Sale, Visitor, ask};
use reqwest::{Method, RequestBuilder};
use testbed::{Profile, Program, ProgramOptions, Scratch, binary, crash_points, wait_for};

/// Somebody whose booking ends at a point.
struct Story {
    point: String,
    seat: u16,
    visitor: Visitor,
    /// What they pay for; none while they still reserve.
    reservation: Option<String>,
}

impl Story {
    /// The request in the middle of which the process ends, the same every time.
    fn wish(&self, visitor: &Visitor) -> RequestBuilder {
        match &self.reservation {
            None => visitor.reserving(&[self.seat], "hold"),
            Some(reservation) => visitor.paying(reservation, "pay"),
        }
    }
}

struct Fixture {
    sale: Sale,
    scratch: Scratch,
    starts: u32,
}

impl Fixture {
    /// Another booking in place of the one that runs, which ends at this point; at none if it is empty.
    fn start_booking(&mut self, point: &str) {
        self.starts += 1;
        let stack = &mut self.sale.stack;
        stack.bookings[0].kill();
        let port = stack.bookings[0].port();
        let environment = [
            ("BOOKING_LISTEN", format!("127.0.0.1:{port}")),
            ("BOOKING_ADMIN_LISTEN", "127.0.0.1:0".to_owned()),
            ("BOOKING_MYSQL_URL", stack.mysql_url()),
            ("BOOKING_REDIS_URL", stack.redis_url()),
            ("BOOKING_PASS_KEY", stack.pass_key().to_owned()),
            ("BOOKING_CRASH_AT", point.to_owned()),
        ];
        let log: PathBuf = self.scratch.path().join(format!("{}.log", self.starts));
        let options = ProgramOptions {
            binary: binary("booking", Profile::Debug).unwrap(),
            arguments: Vec::new(),
            environment: environment
                .map(|(name, value)| (name.to_owned(), value))
                .into(),
            port,
            log,
        };
        stack.bookings[0] = Program::start("booking", options).unwrap();
        stack.bookings[0]
            .wait_ready(Duration::from_secs(60))
            .unwrap();
    }

    async fn totals(&self) -> serde_json::Value {
        let path = "/api/v1/admin/reconciliation";
        self.sale.operate(Method::GET, path, None).await.body["totals"].clone()
    }
}

/// One story for each point, ready to run into it.
async fn stories(sale: &Sale) -> Vec<Story> {
    let points = |verb| crash_points(verb).unwrap();
    let reserving = [points("reserve."), points("once.")].concat();
    let paying = [points("pay."), points("once.")].concat();
    assert!(
        reserving.len() >= 9 && paying.len() >= 9,
        "points were lost"
    );
    let reserves = reserving.len();
    let mut stories = Vec::new();
    for (number, point) in reserving.into_iter().chain(paying).enumerate() {
        let mut visitor = sale.visitor(0);
        visitor.enter().await;
        assert_eq!(visitor.charge(1_000, "charge").await.status, 201);
        let seat = number as u16 + 1;
        let mut reservation = None;
        if number >= reserves {
            let held = visitor.reserve(&[seat], "hold").await;
            assert_eq!(held.status, 201, "{held:?}");
            reservation = Some(held.body["id"].as_str().unwrap().to_owned());
        }
        stories.push(Story {
            point,
            seat,
            visitor,
            reservation,
        });
    }
    stories
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_ends_between_any_two_steps_loses_nothing_and_does_nothing_twice() {
    let mut fixture = Fixture {
        sale: Sale::open(1, 60).await,
        scratch: Scratch::new().unwrap(),
        starts: 0,
    };
    let mut stories = stories(&fixture.sale).await;
    let count = stories.len() as i64;
    for story in &stories {
        fixture.start_booking(&story.point);
        fixture.sale.assert_books_agree().await;
        let said = ask(story.wish(&story.visitor)).await;
        assert!(
            said.status == 0 || said.status >= 500,
            "{}: {said:?}",
            story.point
        );
        let booking = &mut fixture.sale.stack.bookings[0];
        let ended = wait_for("the process to end", Duration::from_secs(30), || {
            booking.ended()
        });
        assert_ne!(ended.unwrap(), 0, "{}", story.point);
    }

    fixture.start_booking("");
    fixture.sale.assert_books_agree().await;
    for story in &mut stories {
        let mut visitor = story.visitor.clone();
        let said = visitor.persist(|it| story.wish(it)).await;
        assert_eq!(said.status, 201, "{}: {said:?}", story.point);
        visitor.enter().await;
        let again = ask(story.wish(&visitor)).await;
        assert_eq!(
            again.body, said.body,
            "{}: the same key, the same answer",
            story.point
        );
        if story.reservation.is_none() {
            let reservation = said.body["id"].as_str().unwrap().to_owned();
            let paid = visitor.persist(|it| it.paying(&reservation, "pay")).await;
            assert_eq!(paid.status, 201, "{}: {paid:?}", story.point);
        }
        visitor.enter().await;
        let balance = visitor
            .get(&format!("/api/v1/users/{}/balance", visitor.user))
            .await;
        assert_eq!(balance.body["balance"], 0, "{}", story.point);
        let mine = visitor.get("/api/v1/reservations").await;
        let mine = mine.body["items"].as_array().unwrap().clone();
        assert_eq!(mine.len(), 1, "{}: {mine:?}", story.point);
        assert_eq!(mine[0]["state"], "confirmed", "{}", story.point);
    }
    fixture.sale.assert_books_agree().await;
    let totals = fixture.totals().await;
    assert_eq!(totals["seatsSold"], count, "{totals}");
    assert_eq!(totals["ledgerCaptured"], count * 1_000, "{totals}");
}
