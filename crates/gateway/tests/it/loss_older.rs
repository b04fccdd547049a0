//! Redis comes back older than gateways know it, or with the line of somebody else; nobody loses their place.

use std::time::Duration;

use chassis::time::Clock;
use gateway::queue::policy::{PolicyChange, State};
use gateway::queue::{Queue, Standing, Ticket};
use rand::seq::SliceRandom as _;
use testbed::eventually;

use crate::fixture::{
    Fixture, RECOVERY, assert_line, crowd, is_active, is_over, places, state, user,
};
use crate::loss::Store;
use crate::store::until_answered;
use crate::test_app::PATIENCE;

/// Nobody enters until a test opens it.
pub fn paused() -> PolicyChange {
    PolicyChange {
        state: Some(State::Paused),
        ..places(1_000)
    }
}

/// Redis is killed, and comes back with what it held when it was saved.
async fn restart_from_dump(store: &mut Store) {
    store.redis.kill();
    store.redis.restart().unwrap();
}

/// Visitors poll at these gateways in turn, in an order that has nothing to do with their places.
async fn all_poll(gateways: &[Queue], tickets: &[Ticket]) {
    let mut returning = tickets.to_vec();
    returning.shuffle(&mut rand::rng());
    for (index, ticket) in returning.iter().enumerate() {
        let queue = &gateways[index % gateways.len()];
        until_answered(|| queue.rank(ticket)).await;
    }
}

/// Who enters when everybody may, in that order.
async fn enter_all(fixture: &Fixture, queue: &Queue) -> Vec<u64> {
    fixture.pass(RECOVERY);
    fixture.change("main", state(State::Open)).await;
    let admitted = queue.admit().await.unwrap();
    admitted.users.iter().map(|(_, number)| *number).collect()
}

fn numbers(tickets: &[Ticket]) -> Vec<u64> {
    tickets.iter().map(|ticket| ticket.number).collect()
}

#[tokio::test]
async fn from_an_old_dump_everybody_comes_back_in_the_old_order_and_newcomers_stand_behind() {
    let (mut store, clock) = (Store::start(), Clock::system());
    let (fixture, other) = (store.fixture(&clock), store.fixture(&clock));
    let queue = fixture.queue("main", paused()).await;
    let gateways = [queue.clone(), other.open("main").await];
    let mut tickets = crowd(&queue, 60).await;
    store.redis.ask("SAVE").unwrap();
    for queue in &gateways {
        tickets.extend(crowd(queue, 15).await);
    }
    restart_from_dump(&mut store).await;

    let newcomer = user();
    let newcomer = until_answered(|| queue.join(newcomer)).await.ticket;
    assert!(newcomer.epoch > tickets[0].epoch, "it is a new life");
    all_poll(&gateways, &tickets[60..]).await;
    all_poll(&gateways, &tickets).await;
    tickets.push(newcomer);
    assert_line(&gateways[1], &tickets).await;
    assert!(queue.snapshot().recovering);
    other.queues.refresh().await.unwrap();
    assert_eq!(gateways[1].snapshot().epoch, newcomer.epoch, "one new life");
    assert_eq!(enter_all(&fixture, &queue).await, numbers(&tickets));
}

#[tokio::test]
async fn nobody_is_let_in_from_an_old_dump_before_all_may_come_back() {
    let (mut store, clock) = (Store::start(), Clock::system());
    let fixture = store.fixture(&clock);
    let queue = fixture.queue("main", places(1)).await;
    let tickets = crowd(&queue, 3).await;
    assert!(is_active(&queue.touch(&tickets[0]).await));
    store.redis.ask("SAVE").unwrap();
    queue.leave(&tickets[0]).await.unwrap();
    assert!(is_active(&queue.touch(&tickets[1]).await));
    queue.leave(&tickets[1]).await.unwrap();
    assert!(is_active(&queue.touch(&tickets[2]).await));
    restart_from_dump(&mut store).await;

    let admitted = until_answered(|| queue.admit()).await;
    assert!(admitted.users.is_empty(), "{admitted:?}");
    assert!(queue.snapshot().recovering);
    let place = until_answered(|| queue.rank(&tickets[2])).await;
    assert_eq!(place, Standing::Waiting { ahead: 0 });
    // Who left has left, also where the dump says that they are inside or in line.
    for ticket in &tickets[..2] {
        let place = queue.rank(ticket).await;
        assert!(is_over(&place), "{place:?}");
    }
    fixture.pass(RECOVERY);
    queue.admit().await.unwrap();
    assert!(is_active(&queue.rank(&tickets[2]).await));
}

#[tokio::test]
async fn a_refresh_alone_notices_an_old_dump() {
    let (mut store, clock) = (Store::start(), Clock::system());
    let fixture = store.fixture(&clock);
    let queue = fixture.queue("main", paused()).await;
    let tickets = crowd(&queue, 2).await;
    store.redis.ask("SAVE").unwrap();
    // Nobody joins; that time passed is what the dump does not know.
    queue.admit().await.unwrap();
    restart_from_dump(&mut store).await;
    until_answered(|| fixture.queues.refresh()).await;
    assert!(queue.snapshot().epoch > tickets[0].epoch);
    let losses = fixture
        .queues
        .metrics()
        .losses
        .with_label_values(&["older"]);
    assert_eq!(losses.get(), 1);
    fixture.queues.refresh().await.unwrap();
    assert_eq!(losses.get(), 1, "one loss is one new life");
}

#[tokio::test]
async fn a_restart_that_loses_nothing_is_no_loss() {
    let (mut store, clock) = (Store::start(), Clock::system());
    let (fixture, other) = (store.fixture(&clock), store.fixture(&clock));
    let queue = fixture.queue("main", places(1)).await;
    let at_other = other.open("main").await;
    let tickets = crowd(&queue, 3).await;
    at_other.admit().await.unwrap();
    store.redis.ask("SAVE").unwrap();
    restart_from_dump(&mut store).await;
    for queue in [&queue, &at_other] {
        let place = until_answered(|| queue.rank(&tickets[1])).await;
        assert_eq!(place, Standing::Waiting { ahead: 0 });
    }
    fixture.queues.refresh().await.unwrap();
    other.queues.refresh().await.unwrap();
    assert_eq!(queue.snapshot().epoch, tickets[0].epoch);
    assert!(!queue.snapshot().recovering);
}

#[tokio::test]
async fn who_was_through_long_ago_does_not_come_back_when_only_the_last_moments_were_lost() {
    let (mut store, clock) = (Store::start(), Clock::system());
    let fixture = store.fixture(&clock);
    let queue = fixture.queue("main", places(1)).await;
    let early = crowd(&queue, 2).await;
    queue.leave(&early[0]).await.unwrap();
    queue.leave(&early[1]).await.unwrap();
    // Longer ago than gateways remember ends.
    fixture.pass(Duration::from_secs(700));
    let tickets = crowd(&queue, 2).await;
    store.redis.ask("SAVE").unwrap();
    let late = crowd(&queue, 1).await[0];
    restart_from_dump(&mut store).await;
    let place = until_answered(|| queue.rank(&late)).await;
    assert_eq!(place, Standing::Waiting { ahead: 1 });
    for ticket in &early {
        assert!(is_over(&queue.rank(ticket).await));
    }
    assert!(
        is_active(&queue.rank(&tickets[0]).await),
        "the dump knows the lease"
    );
}

#[tokio::test]
async fn the_line_of_another_installation_is_noticed_and_ours_comes_back() {
    let (store, foreign) = (Store::start(), Store::start());
    let clock = Clock::system();
    // Theirs began before ours, and had a loss since, so it is younger and older than ours.
    let theirs = foreign.fixture(&clock);
    let their_queue = theirs.queue("main", paused()).await;
    theirs
        .change(
            "main",
            PolicyChange {
                max_active: Some(7),
                ..PolicyChange::default()
            },
        )
        .await;
    let fixture = store.fixture(&clock);
    let queue = fixture.queue("main", paused()).await;
    let tickets = crowd(&queue, 3).await;
    foreign.flush().await;
    theirs.queues.refresh().await.unwrap();
    assert!(their_queue.snapshot().epoch > tickets[0].epoch);
    assert!(their_queue.snapshot().born < tickets[0].epoch);
    let stranger = their_queue.join(user()).await.unwrap().ticket;

    copy(&foreign, &store).await;
    all_poll(std::slice::from_ref(&queue), &tickets).await;
    assert_line(&queue, &tickets).await;
    let losses = &fixture.queues.metrics().losses;
    assert_eq!(losses.with_label_values(&["another"]).get(), 1);
    assert!(queue.snapshot().epoch > stranger.epoch);
    assert_eq!(queue.snapshot().policy.max_active, 1_000, "our rules");
    // Another gateway of ours, and theirs, go on in the same line.
    for it in [&fixture, &theirs] {
        it.queues.refresh().await.unwrap();
        it.queues.refresh().await.unwrap();
    }
    assert_eq!(losses.with_label_values(&["another"]).get(), 1);
}

/// All that one Redis holds replaces what the other holds.
async fn copy(from: &Store, to: &Store) {
    let (port, host) = (from.redis.port(), "127.0.0.1");
    to.redis.ask(&format!("REPLICAOF {host} {port}")).unwrap();
    eventually(PATIENCE, "a copy", async || {
        let said = to.redis.ask("INFO replication").ok()?;
        said.contains("master_link_status:up").then_some(())
    })
    .await;
    to.redis.ask("REPLICAOF NO ONE").unwrap();
}
