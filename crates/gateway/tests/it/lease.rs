//! How long a visitor may stay: first to show up, then to do what they came for.

use std::time::Duration;

use chrono::TimeDelta;
use gateway::queue::Standing;
use gateway::queue::policy::PolicyChange;

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
    for _ in 0..4 {
        fixture.pass(seconds(100));
        assert_eq!(queue.touch(&joined.ticket).await.unwrap(), joined.standing);
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
async fn who_does_not_show_up_gives_the_place_to_the_next() {
    let fixture = Fixture::new();
    let queue = fixture.queue("lease-no-show", rules()).await;
    let tickets = crowd(&queue, 3).await;
    queue.leave(&tickets[0]).await.unwrap();
    fixture.pass(seconds(60));
    let admitted = queue.admit().await.unwrap();
    assert_eq!((admitted.ended, admitted.no_shows), (1, 1));
    assert_eq!(admitted.users, [(tickets[2].user, tickets[2].number)]);
    assert!(is_over(&queue.rank(&tickets[1]).await));
    assert!(is_active(&queue.rank(&tickets[2]).await));
    fixture.queues.refresh().await.unwrap();
    assert_eq!(queue.snapshot().no_shows, 1);
}

#[tokio::test]
async fn a_ring_after_all_leases_ended_fills_all_places() {
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
    fixture.pass(seconds(420));
    let admitted = queue.admit().await.unwrap();
    assert_eq!((admitted.ended, admitted.no_shows), (5, 0));
    let entered: Vec<_> = admitted.users.iter().map(|(_, number)| *number).collect();
    let next: Vec<_> = tickets[5..10].iter().map(|ticket| ticket.number).collect();
    assert_eq!(entered, next);
}
