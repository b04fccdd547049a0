//! A cancellation whose process ends between any two of its steps, as with kill -9, is finished by the next process.

use std::time::Duration;

use booking::concert::Title;
use booking::programme;
use testbed::{Program, Scratch};

use crate::fixture::{Fixture, PLENTY};
use crate::process::Booking;

const SOON: Duration = Duration::from_secs(60);

/// A booking that ends at this point; at none if it is empty.
fn start(fixture: &Fixture, scratch: &Scratch, point: &str) -> Program {
    let booking = Booking::free(&fixture.url);
    let log = booking.port.to_string();
    let more = [
        ("BOOKING_DB_POOL", "4".to_owned()),
        ("BOOKING_CRASH_AT", point.to_owned()),
    ];
    booking.start(scratch, &log, &more)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancellation_that_is_killed_between_any_two_steps_refunds_everybody_once() {
    let (fixture, scratch) = (Fixture::open().await, Scratch::new().unwrap());
    let mut buyers = Vec::new();
    for seat in 1..=12 {
        buyers.push(fixture.paid(&[seat]).await.0.user_id);
    }
    fixture.reserve(uuid::Uuid::new_v4(), &[20]).await;
    let (id, now) = (fixture.schedule_id, fixture.now);
    let reason = Title::try_from("Storm".to_owned()).unwrap();
    let act = move |tx: &mut _| programme::cancel_date(tx, id, &reason, "operator:tests", now);
    fixture.instances[0].transaction(act).await.expect("an act");
    for point in ["cancellation.step", "cancellation.counted"] {
        let mut booking = start(&fixture, &scratch, point);
        let ended = testbed::wait_for("the process to end", SOON, || booking.ended());
        assert_ne!(ended.unwrap(), 0, "{point}");
        fixture.reconciled().await;
    }
    let mut booking = start(&fixture, &scratch, "");
    testbed::eventually(SOON, "the end of the cancellation", async || {
        let finished = "SELECT COUNT(*) FROM schedule_cancellations WHERE finished_at IS NOT NULL";
        (fixture.number(finished).await == 1).then_some(())
    })
    .await;
    booking.kill();
    for user in buyers {
        assert_eq!(fixture.balance(user).await, PLENTY);
    }
    let done = fixture.instances[0]
        .read(move |conn| programme::cancellation(conn, id))
        .await
        .expect("a cancellation");
    assert_eq!((done.holds_ended, done.payments_refunded), (1, 12));
    fixture.reconciled().await;
}
