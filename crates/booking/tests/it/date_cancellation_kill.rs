//! A cancellation whose process ends between any two of its steps, as with kill -9, is finished by the next process.

use std::time::Duration;

use booking::concert::Title;
use booking::programme;
use testbed::{Program, Scratch};

use crate::fixture::{Fixture, PLENTY, layout};
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

/// More than two batches of a step.
const BUYERS: u16 = 120;
/// Reservations of one step.
const BATCH: i64 = 50;
const PRICE: i64 = 100;

async fn venue() -> Fixture {
    Fixture::with(layout([("ALL", PRICE, 1..=BUYERS + 1)])).await
}

/// What the row of progress says: holds that were ended, payments, and what they came to.
async fn progress(fixture: &Fixture) -> [i64; 3] {
    let of = async |column: &str| {
        let statement = format!("SELECT {column} FROM schedule_cancellations");
        fixture.number(&statement).await
    };
    [
        of("holds_ended").await,
        of("payments_refunded").await,
        of("amount_refunded").await,
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancellation_that_is_killed_between_any_two_steps_refunds_everybody_once() {
    let (fixture, scratch) = (venue().await, Scratch::new().unwrap());
    let mut buyers = Vec::new();
    for seat in 1..=BUYERS {
        buyers.push(fixture.paid(&[seat.into()]).await.0.user_id);
    }
    let seat = i64::from(BUYERS) + 1;
    fixture.reserve(uuid::Uuid::new_v4(), &[seat]).await;
    let (id, now) = (fixture.schedule_id, fixture.now);
    let reason = Title::try_from("Storm".to_owned()).unwrap();
    let act = move |tx: &mut _| programme::cancel_date(tx, id, &reason, "operator:tests", now);
    fixture.instances[0].transaction(act).await.expect("an act");
    // Killed in a batch, at its end, and twice between two batches; so many reservations are done with after each.
    for (point, done) in [
        ("cancellation.step", 0),
        ("cancellation.counted", 0),
        ("cancellation.committed", BATCH),
        ("cancellation.step", BATCH),
        ("cancellation.committed", 2 * BATCH),
        ("cancellation.counted", 2 * BATCH),
    ] {
        let mut booking = start(&fixture, &scratch, point);
        let ended = testbed::wait_for("the process to end", SOON, || booking.ended());
        assert_ne!(ended.unwrap(), 0, "{point}");
        let [holds, payments, amount] = progress(&fixture).await;
        assert_eq!(
            (holds + payments, amount),
            (done, payments * PRICE),
            "{point}"
        );
        let refunds = "SELECT COUNT(*) FROM refunds";
        assert_eq!(fixture.number(refunds).await, payments, "{point}");
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
    let all = i64::from(BUYERS);
    assert_eq!(progress(&fixture).await, [1, all, all * PRICE]);
    fixture.reconciled().await;
}
