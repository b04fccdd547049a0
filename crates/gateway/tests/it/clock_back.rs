//! The clock of Redis goes back; admission goes on.

use std::time::Duration;

use chrono::TimeDelta;
use gateway::queue::Standing;
use gateway::queue::policy::{AdmitRate, PolicyChange};

use crate::fixture::{Fixture, RECOVERY, crowd, crowd_at_once, is_active, places, redis, user};

/// Far more than anything here takes.
const BACK: TimeDelta = TimeDelta::seconds(25);
const FAR_BACK: TimeDelta = TimeDelta::hours(1);

#[tokio::test]
async fn visitors_are_let_in_at_once_by_the_new_time() {
    let fixture = Fixture::new();
    let slow = PolicyChange {
        admit_per_second: Some(AdmitRate::Set(1.0)),
        ..places(1_000)
    };
    let queue = fixture.queue("clock-back", slow).await;
    let tickets = crowd(&queue, 6).await;
    queue.admit().await.unwrap();
    let before = inside("clock-back").await;

    fixture.clock.shift(-BACK);
    assert!(queue.admit().await.unwrap().users.len() <= 1);
    fixture.pass(Duration::from_secs(2));
    let admitted = queue.admit().await.unwrap();
    assert_eq!(
        admitted.users.len(),
        1,
        "what two seconds brought, and the bucket holds"
    );
    let first = admitted.users[0].1;
    assert!(tickets.iter().any(|ticket| ticket.number == first));
    assert!(inside("clock-back").await > before);
    let newcomer = queue.join(user()).await.unwrap();
    assert!(
        newcomer.ticket.number > tickets[5].number,
        "the order stays"
    );
}

#[tokio::test]
async fn who_does_not_show_up_holds_a_place_no_longer_than_before() {
    let fixture = Fixture::new();
    let queue = fixture.queue("clock-back-claim", places(1)).await;
    let tickets = crowd(&queue, 2).await;
    let claim_s = queue.snapshot().policy.claim_seconds;
    fixture.clock.shift(-FAR_BACK);
    queue.admit().await.unwrap();
    fixture.pass(Duration::from_secs(u64::from(claim_s) + 1));
    queue.rank(&tickets[1]).await.unwrap();
    let admitted = queue.admit().await.unwrap();
    assert_eq!(admitted.users, [(tickets[1].user, tickets[1].number)]);
}

#[tokio::test]
async fn a_visit_that_was_claimed_ends_as_soon_by_the_new_time_as_it_did_by_the_old_one() {
    for (name, idle_seconds) in [("clock-back-lease", None), ("clock-back-idle", Some(300))] {
        let fixture = Fixture::new();
        let rules = PolicyChange {
            lease_seconds: Some(420),
            idle_seconds: Some(idle_seconds),
            ..places(1)
        };
        let queue = fixture.queue(name, rules).await;
        let tickets = crowd(&queue, 2).await;
        let until = async || match queue.touch(&tickets[0]).await.unwrap() {
            Standing::Active { until } => until,
            other => panic!("{other:?}"),
        };
        until().await;
        fixture.pass(Duration::from_secs(250));
        let before = until().await;
        queue.admit().await.unwrap();
        fixture.clock.shift(-BACK);
        assert!(!queue.admit().await.unwrap().more);
        let shorter = before - until().await;
        assert!((shorter - BACK).abs() < TimeDelta::seconds(2), "{shorter}");
        fixture.pass(Duration::from_secs(165));
        until().await;
        assert_eq!(queue.admit().await.unwrap().ended, 0);
        fixture.pass(Duration::from_secs(6));
        assert_eq!(queue.admit().await.unwrap().ended, 1);
        assert!(is_active(&queue.rank(&tickets[1]).await), "{name}");
    }
}

#[tokio::test]
async fn also_in_a_large_house_a_bounded_batch_at_a_time() {
    let fixture = Fixture::new();
    let queue = fixture.queue("clock-back-house", places(1_300)).await;
    let tickets = crowd_at_once(&queue, 1_300).await;
    while queue.admit().await.unwrap().more {}
    let claims = tickets.iter().map(|ticket| queue.touch(ticket));
    let claims = futures_util::future::join_all(claims).await;
    assert!(claims.iter().all(is_active));
    queue.admit().await.unwrap();
    fixture.clock.shift(-BACK);
    assert!(queue.admit().await.unwrap().more, "a thousand of them");
    assert!(!queue.admit().await.unwrap().more, "and the rest");
    let lease_s = u64::from(queue.snapshot().policy.lease_seconds);
    fixture.pass(Duration::from_secs(lease_s - 20));
    assert_eq!(queue.admit().await.unwrap().ended, 0);
    fixture.pass(Duration::from_secs(21));
    let ended = [queue.admit().await, queue.admit().await].map(|it| it.unwrap().ended);
    assert_eq!(ended, [1_000, 300]);
}

#[tokio::test]
async fn a_recovery_pause_lasts_no_longer_than_it_should() {
    let store = crate::loss::Store::start();
    let fixture = store.fixture(&chassis::time::Clock::system());
    let queue = fixture.queue("main", places(1)).await;
    let ticket = crowd(&queue, 1).await[0];
    store.flush().await;
    queue.rank(&ticket).await.unwrap();
    fixture.clock.shift(-FAR_BACK);
    assert!(queue.admit().await.unwrap().users.is_empty());
    fixture.pass(RECOVERY);
    assert_eq!(queue.admit().await.unwrap().users.len(), 1);
}

/// How many are inside, whatever the clock says.
async fn inside(name: &str) -> u64 {
    let mut count = redis::cmd("ZCARD");
    count.arg(format!("q:{{{name}}}:active"));
    count.query_async(&mut redis().await).await.unwrap()
}
