//! What is done to servers and processes in the middle of the history.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{World, booking};

const PATIENCE: Duration = Duration::from_secs(600);

/// One fault after another, spread over so many acts.
pub async fn inject(world: &World, operations: usize) {
    let faults = 8;
    for fault in 0..faults {
        let at = operations * (fault + 1) / (faults + 1);
        testbed::eventually(PATIENCE, "the middle of the history", async || {
            (world.done.load(Ordering::SeqCst) >= at).then_some(())
        })
        .await;
        let mut servers = world.servers.lock().await;
        match fault {
            0 | 4 => {
                let booking = &mut servers.bookings[fault / 4];
                booking.kill();
                booking.restart().expect("booking");
            }
            1 => {
                servers.redis.ask("FLUSHALL").expect("flushed");
            }
            2 | 6 => {
                servers.mariadb.kill();
                servers.mariadb.restart().expect("the database");
            }
            3 | 5 => with_clock(
                world,
                &mut servers,
                fault / 5,
                if fault == 3 { 5_000 } else { -5_000 },
            ),
            _ => {
                servers.redis.kill();
                servers.redis.restart().expect("the store");
            }
        }
    }
}

/// Starts one of the two anew with another clock.
fn with_clock(world: &World, servers: &mut super::Servers, number: usize, offset_ms: i64) {
    let port = servers.bookings[number].port();
    servers.bookings[number].kill();
    let redis = servers.redis.url();
    let stores = (world.fixture.url.as_str(), redis.as_str());
    servers.bookings[number] = booking(stores, port, &world.scratch, offset_ms);
    let ready = servers.bookings[number].wait_ready(Duration::from_secs(60));
    ready.expect("ready with another clock");
}
