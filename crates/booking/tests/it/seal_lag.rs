//! The chain over all rows is at most 5 s behind the sale, whichever of two processes seals, and whatever becomes of one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use testbed::{Program, Scratch};
use uuid::Uuid;

use crate::fixture::{Fixture, all_at_once};
use crate::process::Booking;

/// What is promised of the chain.
const BEHIND_AT_MOST: Duration = Duration::from_secs(5);
const READY: Duration = Duration::from_secs(60);
/// Who write all the time, each so often.
const WRITERS: usize = 4;
const PACE: Duration = Duration::from_millis(20);

fn booking(fixture: &Fixture, scratch: &Scratch) -> Program {
    let booking = Booking::free(&fixture.url);
    let log = booking.port.to_string();
    let mut program = booking.start(scratch, &log, &[("BOOKING_DB_POOL", "4".to_owned())]);
    program.wait_ready(READY).expect("ready");
    program
}

/// Every row that is there now has its seal in time, whatever comes after it.
async fn sealed_in_time(fixture: &Fixture) {
    let newest = "SELECT COALESCE(MAX(seq), 0) FROM audit_log";
    let newest = fixture.number(newest).await;
    // The entries of the ledger that are there now have an older id than any that is made from here on.
    let entries = "SELECT COUNT(*) FROM ledger_entries";
    let entries = fixture.number(entries).await;
    let open = format!("SELECT COUNT(*) FROM audit_log WHERE seq <= {newest} AND seal IS NULL");
    let sealed = "SELECT COUNT(*) FROM ledger_entries WHERE seal IS NOT NULL";
    testbed::eventually(BEHIND_AT_MOST, "seals over all that is there", async || {
        let is_sealed = fixture.number(&open).await == 0 && fixture.number(sealed).await >= entries;
        is_sealed.then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn under_load_the_chain_is_at_most_5_s_behind_also_when_one_of_two_sealers_dies_or_hangs() {
    let (fixture, scratch) = (Fixture::open().await, Scratch::new().unwrap());
    let mut bookings = [(); 2].map(|()| booking(&fixture, &scratch));
    let is_over = Arc::new(AtomicBool::new(false));
    let (till, told) = (fixture.clone(), Arc::clone(&is_over));
    let writers = tokio::spawn(all_at_once((0..WRITERS).map(move |turn| {
        let (fixture, is_over) = (till.clone(), Arc::clone(&told));
        async move {
            let (user, mut pace) = (Uuid::new_v4(), tokio::time::interval(PACE));
            while !is_over.load(Ordering::SeqCst) {
                pace.tick().await;
                fixture.charge(turn, user, 1).await.expect("a charge");
            }
        }
    })));
    sealed_in_time(&fixture).await;
    bookings[0].kill();
    for _ in 0..3 {
        sealed_in_time(&fixture).await;
    }
    bookings[0].restart().expect("started again");
    bookings[0].wait_ready(READY).expect("ready again");
    bookings[1].freeze();
    for _ in 0..3 {
        sealed_in_time(&fixture).await;
    }
    bookings[1].thaw();
    is_over.store(true, Ordering::SeqCst);
    writers.await.expect("writers");
    sealed_in_time(&fixture).await;
    let unsealed = "SELECT (SELECT COUNT(*) FROM audit_log WHERE seal IS NULL) + (SELECT COUNT(*) FROM ledger_entries WHERE seal IS NULL)";
    assert_eq!(fixture.number(unsealed).await, 0);
    fixture.reconciled().await;
}
