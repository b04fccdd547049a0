//! What the state of a queue allows.

use std::time::Duration;

use chrono::SubsecRound as _;
use gateway::queue::policy::{PolicyChange, State};
use gateway::queue::{QueueError, Standing};

use crate::fixture::{Fixture, crowd, id, is_active, places, state, user};

#[tokio::test]
async fn a_paused_queue_takes_newcomers_and_lets_nobody_in() {
    let fixture = Fixture::new();
    let queue = fixture.queue("state-paused", places(2)).await;
    let inside = crowd(&queue, 1).await[0];
    fixture.change("state-paused", state(State::Paused)).await;
    let next = queue.join(user()).await.unwrap();
    assert_eq!(next.standing, Standing::Waiting { ahead: 0 });
    assert!(queue.admit().await.unwrap().users.is_empty());
    assert!(
        is_active(&queue.touch(&inside).await),
        "who is inside stays"
    );
    assert!(queue.snapshot().paused());
    fixture.change("state-paused", state(State::Open)).await;
    assert_eq!(queue.admit().await.unwrap().users.len(), 1);
}

#[tokio::test]
async fn a_closed_queue_refuses_newcomers_lets_nobody_in_and_takes_no_place_away() {
    let fixture = Fixture::new();
    let queue = fixture.queue("state-closed", places(1)).await;
    let tickets = crowd(&queue, 2).await;
    fixture.change("state-closed", state(State::Closed)).await;
    assert!(matches!(queue.join(user()).await, Err(QueueError::Closed)));
    for ticket in &tickets {
        assert_eq!(queue.join(ticket.user).await.unwrap().ticket, *ticket);
    }
    queue.leave(&tickets[0]).await.unwrap();
    let place = queue.rank(&tickets[1]).await.unwrap();
    assert_eq!(place, Standing::Waiting { ahead: 0 });
}

#[tokio::test]
async fn bypass_lets_everybody_in_and_open_again_throws_nobody_out() {
    let fixture = Fixture::new();
    let rules = PolicyChange {
        admit_per_second: Some(1.0.into()),
        ..places(1)
    };
    let queue = fixture.queue("state-bypass", rules).await;
    let tickets = crowd(&queue, 30).await;
    fixture.change("state-bypass", state(State::Bypass)).await;
    assert_eq!(queue.admit().await.unwrap().users.len(), 29);
    let late = queue.join(user()).await.unwrap();
    assert!(matches!(late.standing, Standing::Active { .. }));
    fixture.change("state-bypass", state(State::Open)).await;
    queue.admit().await.unwrap();
    for ticket in &tickets {
        assert!(is_active(&queue.touch(ticket).await));
    }
    let next = queue.join(user()).await.unwrap();
    assert_eq!(next.standing, Standing::Waiting { ahead: 0 });
}

#[tokio::test]
async fn bypass_moves_a_long_line_in_batches_and_says_when_to_ring_again() {
    let fixture = Fixture::new();
    let queue = fixture.queue("state-batches", state(State::Paused)).await;
    crowd(&queue, 1_001).await;
    fixture.change("state-batches", state(State::Bypass)).await;
    let first = queue.admit().await.unwrap();
    assert_eq!((first.users.len(), first.more), (1_000, true));
    let second = queue.admit().await.unwrap();
    assert_eq!((second.users.len(), second.more), (1, false));
}

#[tokio::test]
async fn a_scheduled_queue_opens_by_itself_at_its_instant() {
    let fixture = Fixture::new();
    let opens_at = fixture.clock.now().trunc_subsecs(3) + Duration::from_secs(3_600);
    let rules = PolicyChange {
        opens_at: Some(Some(opens_at)),
        ..places(1)
    };
    let queue = fixture.queue("state-scheduled", rules).await;
    assert_eq!(queue.snapshot().state, State::Scheduled);
    let tickets = crowd(&queue, 2).await;
    let place = queue.rank(&tickets[1]).await.unwrap();
    assert_eq!(
        place,
        Standing::Scheduled {
            ahead: Some(1),
            opens_at
        }
    );
    fixture.pass(Duration::from_secs(3_590));
    assert!(queue.admit().await.unwrap().users.is_empty());
    fixture.pass(Duration::from_secs(11));
    let admitted = queue.admit().await.unwrap();
    assert_eq!(admitted.users, [(tickets[0].user, tickets[0].number)]);
    fixture.queues.refresh().await.unwrap();
    assert_eq!(queue.snapshot().state, State::Open);
    let place = queue.rank(&tickets[1]).await.unwrap();
    assert_eq!(place, Standing::Waiting { ahead: 0 });
}

#[tokio::test]
async fn an_operator_can_open_a_scheduled_queue_early() {
    let fixture = Fixture::new();
    let opens_at = fixture.clock.now() + Duration::from_secs(3_600);
    let rules = PolicyChange {
        state: Some(State::Scheduled),
        opens_at: Some(Some(opens_at)),
        ..PolicyChange::default()
    };
    let queue = fixture.queue("state-early", rules).await;
    fixture.change("state-early", state(State::Open)).await;
    assert_eq!(queue.snapshot().policy.opens_at, None);
    let joined = queue.join(user()).await.unwrap();
    assert!(matches!(joined.standing, Standing::Active { .. }));
}

#[tokio::test]
async fn lowering_max_active_throws_nobody_out_and_lets_nobody_in_until_it_fits() {
    let fixture = Fixture::new();
    let queue = fixture.queue("state-lower", places(4)).await;
    let tickets = crowd(&queue, 6).await;
    fixture.change("state-lower", places(2)).await;
    queue.admit().await.unwrap();
    for ticket in &tickets[..4] {
        assert!(is_active(&queue.touch(ticket).await));
    }
    queue.leave(&tickets[0]).await.unwrap();
    queue.leave(&tickets[1]).await.unwrap();
    assert!(!is_active(&queue.rank(&tickets[4]).await));
    queue.leave(&tickets[2]).await.unwrap();
    assert!(is_active(&queue.rank(&tickets[4]).await));
    assert!(!is_active(&queue.rank(&tickets[5]).await));
}

#[tokio::test]
async fn a_removed_queue_is_unknown_everywhere_and_begins_anew_when_it_is_made_again() {
    let fixture = Fixture::new();
    let queue = fixture.queue("state-removed", places(1)).await;
    let twin = fixture.twin();
    let at_twin = twin.open("state-removed").await;
    let tickets = crowd(&queue, 2).await;
    fixture
        .queues
        .remove(&id("state-removed"), "a test")
        .await
        .unwrap();
    assert!(matches!(
        at_twin.rank(&tickets[1]).await,
        Err(QueueError::Unknown)
    ));
    assert!(matches!(
        at_twin.join(user()).await,
        Err(QueueError::Unknown)
    ));
    twin.queues.refresh().await.unwrap();
    let gone = twin.queues.open(&id("state-removed")).await;
    assert!(matches!(gone, Err(QueueError::Unknown)));

    let again = fixture.queue("state-removed", places(1)).await;
    assert!(again.snapshot().epoch > tickets[0].epoch);
    for ticket in &tickets {
        assert!(matches!(again.rank(ticket).await, Err(QueueError::Over)));
    }
    assert!(again.join(tickets[1].user).await.unwrap().created);
}
