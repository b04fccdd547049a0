//! How long a visitor may stay: first to show up, then to do what they came for.

use std::time::Duration;

use chrono::TimeDelta;
use gateway::queue::policy::PolicyChange;
use gateway::queue::{QueueError, Standing};

use crate::fixture::{Fixture, crowd, is_active, is_over, places, user};

fn rules() -> PolicyChange {
    PolicyChange {
        lease_seconds: Some(420),
        claim_seconds: Some(60),
        ..places(1)
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[tokio::test]
async fn a_lease_ends_on_time_also_when_nobody_swept_it() {
    let fixture = Fixture::new();
    let queue = fixture.queue("lease-end", rules()).await;
    let joined = queue.join(user()).await.unwrap();
    assert!(is_active(&queue.rank(&joined.ticket).await));
    fixture.pass(seconds(400));
    assert!(is_active(&queue.rank(&joined.ticket).await));
    fixture.pass(seconds(20));
    assert!(is_over(&queue.rank(&joined.ticket).await));
    assert!(is_over(&queue.touch(&joined.ticket).await));
    fixture.queues.refresh().await.unwrap();
    assert_eq!(queue.snapshot().active, 0);
    let again = queue.join(joined.ticket.user).await.unwrap();
    assert!(again.created && again.ticket.number > joined.ticket.number);
    assert!(matches!(again.standing, Standing::Active { .. }));
}

#[tokio::test]
async fn a_lease_is_fixed_however_often_the_visitor_comes_by() {
    let fixture = Fixture::new();
    let queue = fixture.queue("lease-fixed", rules()).await;
    let joined = queue.join(user()).await.unwrap();
    let claimed = queue.touch(&joined.ticket).await.unwrap();
    for _ in 0..4 {
        fixture.pass(seconds(100));
        assert_eq!(queue.touch(&joined.ticket).await.unwrap(), claimed);
    }
    fixture.pass(seconds(20));
    assert!(is_over(&queue.touch(&joined.ticket).await));
}

#[tokio::test]
async fn who_is_let_in_has_a_minute_to_show_up_and_then_the_full_lease() {
    let fixture = Fixture::new();
    let queue = fixture.queue("lease-claim", rules()).await;
    let tickets = crowd(&queue, 2).await;
    queue.leave(&tickets[0]).await.unwrap();
    fixture.pass(seconds(59));
    let Standing::Active { until } = queue.rank(&tickets[1]).await.unwrap() else {
        panic!("not inside");
    };
    let admitted = queue.admit().await.unwrap();
    let left = until - admitted.at;
    assert!(
        left > TimeDelta::seconds(400) && left <= TimeDelta::seconds(420),
        "{left}"
    );
    assert_eq!((admitted.ended, admitted.no_shows), (0, 0));
}

#[tokio::test]
async fn who_does_not_show_up_gives_the_place_to_the_next_and_keeps_the_ticket() {
    let fixture = Fixture::new();
    let queue = fixture.queue("lease-no-show", rules()).await;
    let tickets = crowd(&queue, 3).await;
    queue.leave(&tickets[0]).await.unwrap();
    fixture.pass(seconds(60));
    let admitted = queue.admit().await.unwrap();
    assert_eq!((admitted.ended, admitted.no_shows), (1, 1));
    assert_eq!(admitted.users, [(tickets[2].user, tickets[2].number)]);
    assert!(is_active(&queue.rank(&tickets[2]).await));
    fixture.queues.refresh().await.unwrap();
    let snapshot = queue.snapshot();
    assert_eq!((snapshot.no_shows, snapshot.parked), (1, 1));
    let back = queue.rank(&tickets[1]).await.unwrap();
    assert_eq!(back, Standing::Waiting { ahead: 0 });
    queue.leave(&tickets[2]).await.unwrap();
    assert!(is_active(&queue.rank(&tickets[1]).await), "the same ticket");
}

#[tokio::test]
async fn a_run_after_all_leases_ended_fills_all_places() {
    let fixture = Fixture::new();
    let queue = fixture
        .queue(
            "lease-all",
            PolicyChange {
                max_active: Some(5),
                ..rules()
            },
        )
        .await;
    let tickets = crowd(&queue, 12).await;
    for ticket in &tickets[..5] {
        assert!(is_active(&queue.touch(ticket).await));
    }
    fixture.pass(seconds(420));
    let admitted = queue.admit().await.unwrap();
    assert_eq!((admitted.ended, admitted.no_shows), (5, 0));
    let entered: Vec<_> = admitted.users.iter().map(|(_, number)| *number).collect();
    let next: Vec<_> = tickets[5..10].iter().map(|ticket| ticket.number).collect();
    assert_eq!(entered, next);
}

#[tokio::test]
async fn ids_that_join_and_never_come_back_cost_one_claim_each_and_no_more() {
    let fixture = Fixture::new();
    let rules = PolicyChange {
        max_active: Some(100),
        ..rules()
    };
    let queue = fixture.queue("lease-bots", rules).await;
    let bots = crowd(&queue, 100).await;
    for bot in &bots {
        queue.join(bot.user).await.unwrap();
    }
    let people = crowd(&queue, 40).await;
    for _ in 0..16 {
        fixture.pass(seconds(4));
        queue.present(&people).await.unwrap();
        queue.admit().await.unwrap();
    }
    for ticket in &people {
        assert!(is_active(&queue.rank(ticket).await));
    }
    for _ in 0..20 {
        fixture.pass(seconds(4));
        assert_eq!(
            queue.admit().await.unwrap().users,
            [],
            "no bot enters again"
        );
    }
}

#[tokio::test]
async fn a_visit_without_a_request_for_idle_seconds_is_over_and_is_told_why() {
    let fixture = Fixture::new();
    let rules = PolicyChange {
        idle_seconds: Some(Some(30)),
        ..rules()
    };
    let queue = fixture.queue("lease-idle", rules).await;
    let ticket = queue.join(user()).await.unwrap().ticket;
    let claimed = queue.touch(&ticket).await.unwrap();
    for _ in 0..4 {
        fixture.pass(seconds(29));
        assert_eq!(queue.touch(&ticket).await.unwrap(), claimed, "not idle");
    }
    let next = queue.join(user()).await.unwrap().ticket;
    fixture.pass(seconds(32));
    let told = queue.touch(&ticket).await;
    assert!(matches!(told, Err(QueueError::Idle)), "unswept: {told:?}");
    queue.admit().await.unwrap();
    assert!(is_active(&queue.rank(&next).await));
    let told = queue.rank(&ticket).await;
    assert!(matches!(told, Err(QueueError::Idle)), "swept: {told:?}");
    fixture.pass(seconds(420));
    queue.admit().await.unwrap();
    assert!(is_over(&queue.rank(&ticket).await), "after the lease");
}
