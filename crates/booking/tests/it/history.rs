//! A random history of 64 clients over two instances, recorded and held against a model.
//!
//! Each client knows from its own answers what its money and its reservations must be, and says so of every answer. Who
//! had which seat when is checked afterwards, over all clients and in the audit log. Time is a counter that every act
//! moves on, so holds end in the middle of everything.
//!
//! `USHER_HISTORY_OPERATIONS` makes the history longer.

mod client;
mod ledger;
mod owners;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use booking::reservation::Limits;
use booking::seat_lock::SeatLock;
use chassis::time::{Clock, Timestamp};
use chrono::TimeDelta;

use crate::fixture::{Fixture, all_at_once, layout};
use client::Client;

const CLIENTS: usize = 64;
const SEATS: u16 = 120;
/// How far every act moves the time.
const TICK: TimeDelta = TimeDelta::milliseconds(10);
/// So long that a client gets to eight acts or so before its hold ends.
const HOLD: TimeDelta = TimeDelta::seconds(10);
/// A seat lock knows the machine's time only, so it ends early here.
const LOCK: Duration = Duration::from_millis(20);

/// What all clients share.
pub struct World {
    pub fixture: Fixture,
    steps: AtomicI64,
}

/// Where in the history something was: every beginning and every end has a step of its own.
pub type Step = i64;

impl World {
    /// The next step.
    fn step(&self) -> Step {
        self.steps.fetch_add(1, Ordering::SeqCst)
    }

    /// The time of an act that begins at this step.
    fn time(&self, step: Step) -> Timestamp {
        self.fixture.now + TICK * i32::try_from(step).expect("a short history")
    }

    /// The first step at which this instant is reached.
    fn step_of(&self, instant: Timestamp) -> Step {
        (instant - self.fixture.now).num_milliseconds() / TICK.num_milliseconds()
    }
}

fn operations() -> usize {
    let asked = std::env::var("USHER_HISTORY_OPERATIONS").ok();
    asked.map_or(4_000, |text| text.parse().expect("a number of operations"))
}

async fn world() -> World {
    let layout = layout([
        ("DEAR", 900, 1..=40),
        ("CHEAP", 300, 41..=SEATS - 2),
        ("FREE", 0, SEATS - 1..=SEATS),
    ]);
    let mut fixture = Fixture::with(layout).await;
    fixture.limits = Limits {
        hold: HOLD,
        unpaid_holds: u16::MAX,
        ..Limits::default()
    };
    let redis = chassis::redis::connection(&testbed::redis().url().parse().unwrap()).unwrap();
    fixture.lock = SeatLock::new(redis, Clock::system()).living(LOCK);
    World {
        fixture,
        steps: AtomicI64::new(0),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_64_clients_do_each_seat_has_one_owner_and_each_balance_is_the_sum_of_its_entries()
{
    let world = Arc::new(world().await);
    let rounds = operations().div_ceil(CLIENTS);
    let clients = all_at_once((0..CLIENTS).map(|number| {
        let mut client = Client::new(Arc::clone(&world), number);
        async move {
            for _ in 0..rounds {
                client.act().await;
            }
            client
        }
    }))
    .await;

    let (mut bought, mut refusals) = (Vec::new(), Vec::new());
    for client in clients {
        ledger::check(&world.fixture, client.user_id, client.balance).await;
        bought.extend(client.mine);
        refusals.extend(client.refusals);
    }
    owners::never_two_at_once(&bought);
    owners::every_refusal_had_a_reason(&bought, &refusals);
    owners::the_audit_log_agrees(&world, &bought).await;
    world.fixture.reconciled().await;
    let paid = bought.iter().filter(|mine| mine.paid.is_some()).count();
    assert!(paid > 0 && !refusals.is_empty(), "a history worth checking");
}
