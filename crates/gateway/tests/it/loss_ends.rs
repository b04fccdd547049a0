//! A visit that was over before a loss stays over after it.

use std::time::Duration;

use chassis::time::Clock;
use gateway::queue::Standing;
use gateway::queue::policy::PolicyChange;

use crate::fixture::{RECOVERY, crowd, is_active, is_over, places, user};
use crate::loss::Store;
use crate::loss_older::paused;

#[tokio::test]
async fn an_end_that_one_gateway_saw_holds_at_another_after_a_loss() {
    let (store, clock) = (Store::start(), Clock::system());
    let (fixture, other) = (store.fixture(&clock), store.fixture(&clock));
    let queue = fixture.queue("main", places(1)).await;
    let at_other = other.open("main").await;
    let tickets = crowd(&queue, 4).await;
    assert!(is_active(&queue.touch(&tickets[0]).await));
    // One leaves, one has the whole lease, one leaves the line.
    queue.leave(&tickets[0]).await.unwrap();
    assert!(is_active(&queue.touch(&tickets[1]).await));
    fixture.pass(Duration::from_secs(421));
    queue.admit().await.unwrap();
    queue.leave(&tickets[3]).await.unwrap();
    store.flush().await;

    fixture.queues.refresh().await.unwrap();
    for index in [0, 1, 3] {
        assert!(is_over(&at_other.rank(&tickets[index]).await), "{index}");
    }
    let place = at_other.rank(&tickets[2]).await.unwrap();
    assert_eq!(place, Standing::Waiting { ahead: 0 });
}

#[tokio::test]
async fn a_visit_that_idleness_ended_and_one_whose_end_a_join_found_stay_over() {
    let (store, clock) = (Store::start(), Clock::system());
    let (fixture, other) = (store.fixture(&clock), store.fixture(&clock));
    let rules = PolicyChange {
        idle_seconds: Some(Some(5)),
        lease_seconds: Some(20),
        ..places(3)
    };
    let queue = fixture.queue("main", rules).await;
    let at_other = other.open("main").await;
    let tickets = crowd(&queue, 4).await;
    let [idle, rejoins_idle, rejoins_late, waits] = tickets[..] else {
        panic!("four");
    };
    for ticket in [&idle, &rejoins_idle, &rejoins_late] {
        assert!(is_active(&queue.touch(ticket).await));
    }
    for _ in 0..5 {
        fixture.pass(Duration::from_secs(4));
        let _ = queue.touch(&rejoins_late).await;
    }
    // Nobody swept them: one idled, the other had the whole lease.
    for ticket in [&rejoins_idle, &rejoins_late] {
        assert!(queue.join(ticket.user).await.unwrap().created);
    }
    queue.admit().await.unwrap();
    assert!(is_active(&queue.rank(&waits).await));
    store.flush().await;

    fixture.queues.refresh().await.unwrap();
    for ticket in [&idle, &rejoins_idle, &rejoins_late] {
        assert!(is_over(&at_other.rank(ticket).await), "{ticket:?}");
    }
    let place = at_other.rank(&waits).await.unwrap();
    assert_eq!(place, Standing::Waiting { ahead: 0 });
}

#[tokio::test]
async fn who_was_brought_back_by_a_gateway_that_did_not_know_goes_before_anybody_enters() {
    let (store, clock) = (Store::start(), Clock::system());
    let (fixture, other) = (store.fixture(&clock), store.fixture(&clock));
    let queue = fixture.queue("main", places(1)).await;
    let at_other = other.open("main").await;
    let tickets = crowd(&queue, 2).await;
    queue.leave(&tickets[0]).await.unwrap();
    store.flush().await;

    // The other one is faster than the one that saw the end.
    let place = at_other.rank(&tickets[0]).await.unwrap();
    assert_eq!(place, Standing::Waiting { ahead: 0 });
    fixture.queues.refresh().await.unwrap();
    assert!(is_over(&at_other.rank(&tickets[0]).await));
    at_other.rank(&tickets[1]).await.unwrap();
    fixture.pass(RECOVERY);
    at_other.admit().await.unwrap();
    assert!(is_active(&at_other.rank(&tickets[1]).await));
}

#[tokio::test]
async fn a_gateway_tells_what_it_saw_before_it_brings_anybody_back() {
    let (store, clock) = (Store::start(), Clock::system());
    let fixture = store.fixture(&clock);
    let queue = fixture.queue("main", places(1)).await;
    let tickets = crowd(&queue, 2).await;
    queue.leave(&tickets[1]).await.unwrap();
    store.flush().await;
    // No refresh between: the first to ask is the one who left.
    assert!(is_over(&queue.rank(&tickets[1]).await));
    let place = queue.rank(&tickets[0]).await.unwrap();
    assert_eq!(place, Standing::Waiting { ahead: 0 });
}

#[tokio::test]
async fn of_two_tokens_of_one_user_the_new_one_is_good_after_a_loss_whichever_comes_first() {
    for old_comes_first in [true, false] {
        let (store, clock) = (Store::start(), Clock::system());
        let (fixture, other) = (store.fixture(&clock), store.fixture(&clock));
        let queue = fixture.queue("main", paused()).await;
        let at_other = other.open("main").await;
        let first = queue.join(user()).await.unwrap().ticket;
        let between = crowd(&queue, 1).await[0];
        queue.leave(&first).await.unwrap();
        let again = queue.join(first.user).await.unwrap().ticket;
        assert!(again.number > between.number);
        store.flush().await;

        // This gateway saw nothing end.
        other.queues.refresh().await.unwrap();
        fixture.queues.refresh().await.unwrap();
        if old_comes_first {
            let _ = at_other.rank(&first).await;
        }
        let place = at_other.rank(&again).await.unwrap();
        at_other.rank(&between).await.unwrap();
        assert!(matches!(place, Standing::Waiting { .. }));
        assert!(is_over(&at_other.rank(&first).await));
        let place = at_other.rank(&again).await.unwrap();
        assert_eq!(place, Standing::Waiting { ahead: 1 });
    }
}

#[tokio::test]
async fn also_where_nobody_saw_the_first_visit_end_the_second_one_takes_its_place() {
    let (store, clock) = (Store::start(), Clock::system());
    let (fixture, other) = (store.fixture(&clock), store.fixture(&clock));
    let queue = fixture.queue("main", paused()).await;
    let at_other = other.open("main").await;
    let first = queue.join(user()).await.unwrap().ticket;
    queue.leave(&first).await.unwrap();
    let again = queue.join(first.user).await.unwrap().ticket;
    // Whoever saw it is gone.
    drop((queue, fixture));
    store.flush().await;
    assert!(at_other.rank(&first).await.is_ok());
    assert!(at_other.rank(&again).await.is_ok());
    assert!(is_over(&at_other.rank(&first).await));
    assert!(at_other.rank(&again).await.is_ok());
}
