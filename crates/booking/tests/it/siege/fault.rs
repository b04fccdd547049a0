//! What is done to servers and processes in the middle of the history.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{CLIENTS, Servers, World, booking};

const PATIENCE: Duration = Duration::from_secs(600);

/// One after the other, spread over the history.
const FAULTS: [Fault; 12] = [
    Fault::BookingKilled(0),
    Fault::RedisFlushed,
    Fault::MysqlKilled,
    Fault::Clock(0, 5_000),
    Fault::MysqlFrozen,
    Fault::BookingKilled(1),
    Fault::MysqlCutOff,
    Fault::Clock(1, -5_000),
    Fault::RedisFrozen,
    Fault::MysqlCutOff,
    Fault::RedisKilled,
    Fault::RedisCutOff,
];

#[derive(Clone, Copy)]
enum Fault {
    BookingKilled(usize),
    /// Started anew, its clock so many milliseconds from that of the machine.
    Clock(usize, i64),
    RedisFlushed,
    RedisKilled,
    RedisFrozen,
    /// Bytes are swallowed and nothing is closed.
    RedisCutOff,
    MysqlKilled,
    MysqlFrozen,
    MysqlCutOff,
}

/// One fault after another, spread over so many acts.
pub async fn inject(world: &World, operations: usize) {
    for (number, fault) in FAULTS.into_iter().enumerate() {
        let at = operations * (number + 1) / (FAULTS.len() + 1);
        testbed::eventually(PATIENCE, "the middle of the history", async || {
            (world.done.load(Ordering::SeqCst) >= at).then_some(())
        })
        .await;
        let mut servers = world.servers.lock().await;
        world.answers.outage_begins();
        happen(world, &mut servers, fault).await;
        world.answers.outage_ends();
    }
}

/// Returns when it is over.
async fn happen(world: &World, servers: &mut Servers, fault: Fault) {
    match fault {
        Fault::BookingKilled(number) => {
            let booking = &mut servers.bookings[number];
            booking.kill();
            booking.restart().expect("booking");
        }
        Fault::Clock(number, offset_ms) => with_clock(world, servers, number, offset_ms),
        Fault::RedisFlushed => {
            servers.redis.ask("FLUSHALL").expect("flushed");
        }
        Fault::RedisKilled => {
            servers.redis.kill();
            while_they_go_on(world).await;
            servers.redis.restart().expect("the store");
        }
        Fault::RedisFrozen => {
            servers.redis.freeze();
            while_they_go_on(world).await;
            servers.redis.thaw();
        }
        Fault::RedisCutOff => {
            servers.to_redis.cut();
            while_they_go_on(world).await;
            servers.to_redis.heal();
        }
        Fault::MysqlKilled => {
            servers.mariadb.kill();
            until_all_felt_it(world).await;
            servers.mariadb.restart().expect("the database");
        }
        Fault::MysqlFrozen => {
            servers.mariadb.freeze();
            until_all_felt_it(world).await;
            servers.mariadb.thaw();
        }
        Fault::MysqlCutOff => {
            servers.to_mariadb.cut();
            until_all_felt_it(world).await;
            servers.to_mariadb.heal();
        }
    }
}

/// Nothing can be sold without MySQL, so the outage is over when there were as many refusals as clients.
async fn until_all_felt_it(world: &World) {
    let felt = world.answers.so_far().1 + CLIENTS;
    testbed::eventually(PATIENCE, "refusals", async || {
        (world.answers.so_far().1 >= felt).then_some(())
    })
    .await;
}

/// Without Redis they go on.
async fn while_they_go_on(world: &World) {
    let later = world.answers.so_far().0 + 4 * CLIENTS;
    testbed::eventually(PATIENCE, "answers", async || {
        (world.answers.so_far().0 >= later).then_some(())
    })
    .await;
}

/// Starts one of the two anew with another clock.
fn with_clock(world: &World, servers: &mut Servers, number: usize, offset_ms: i64) {
    let port = servers.bookings[number].port();
    servers.bookings[number].kill();
    servers.bookings[number] = booking(&world.stores, port, &world.scratch, offset_ms);
    let ready = servers.bookings[number].wait_ready(Duration::from_secs(60));
    ready.expect("ready with another clock");
}
