//! Joining: one place each, in the order of arrival.

use std::collections::HashSet;

use chassis::time::Timestamp;
use gateway::queue::policy::PolicyChange;
use gateway::queue::{JoinSecret, QueueError, Standing, UserId};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::fixture::{Fixture, assert_line, crowd, is_active, places, redis, user};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ticket_numbers_follow_arrival_over_two_gateways_without_a_tie() {
    let fixture = Fixture::new();
    let queue = fixture.queue("join-order", places(1)).await;
    crowd(&queue, 1).await;
    let gateways = [queue, fixture.twin().open("join-order").await];
    let mut tasks = JoinSet::new();
    for task in 0..64 {
        let queue = gateways[task % 2].clone();
        let joins = if task < 8 { 79 } else { 78 };
        tasks.spawn(async move { crowd(&queue, joins).await });
    }
    let each = tasks.join_all().await;

    for of_one_task in &each {
        let numbers: Vec<_> = of_one_task.iter().map(|ticket| ticket.number).collect();
        assert!(
            numbers.is_sorted_by(|one, next| one < next),
            "later came earlier"
        );
    }
    let numbers: HashSet<_> = each.iter().flatten().map(|ticket| ticket.number).collect();
    assert_eq!(numbers.len(), 5_000, "two have the same number");
    let line: Vec<(Vec<u8>, u64)> = redis::cmd("ZRANGE")
        .arg("q:{join-order}:waiting")
        .arg(0)
        .arg(-1)
        .arg("WITHSCORES")
        .query_async(&mut redis().await)
        .await
        .unwrap();
    let by_number: HashSet<_> = each
        .iter()
        .flatten()
        .map(|ticket| (ticket.user, ticket.number))
        .collect();
    assert_eq!(line.len(), 5_000);
    assert!(line.is_sorted_by_key(|(_, number)| *number));
    let user = |member: &[u8]| UserId(Uuid::from_slice(member).unwrap());
    assert!(
        line.iter()
            .all(|(member, number)| by_number.contains(&(user(member), *number)))
    );
}

#[tokio::test]
async fn the_position_shown_is_the_place_in_the_order_of_ticket_numbers() {
    let fixture = Fixture::new();
    let queue = fixture.queue("join-rank", places(1)).await;
    let tickets = crowd(&queue, 20).await;
    assert_line(&queue, &tickets[1..]).await;
}

#[tokio::test]
async fn who_finds_room_is_inside_at_once_and_has_a_claim_like_everybody_else() {
    let fixture = Fixture::new();
    let queue = fixture.queue("join-first", places(1)).await;
    let joined = queue.join(user()).await.unwrap();
    let Standing::Active { until } = joined.standing else {
        panic!("not inside: {joined:?}");
    };
    assert!(joined.created);
    let since_join =
        |until: Timestamp| until.timestamp_micros() - i64::try_from(joined.ticket.number).unwrap();
    let claim = since_join(until);
    assert!((60_000_000..70_000_000).contains(&claim), "{claim}");
    let again = queue.join(joined.ticket.user).await.unwrap();
    assert_eq!(again.standing, joined.standing, "a join claims nothing");
    let Standing::Active { until } = queue.rank(&joined.ticket).await.unwrap() else {
        panic!("not inside");
    };
    let lease = since_join(until);
    assert!((420_000_000..480_000_000).contains(&lease), "{lease}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_user_who_joins_a_hundred_times_at_once_has_one_place() {
    let fixture = Fixture::new();
    let queue = fixture.queue("join-once", places(1)).await;
    crowd(&queue, 1).await;
    let gateways = [queue.clone(), fixture.twin().open("join-once").await];
    let user = user();
    let mut tasks = JoinSet::new();
    for task in 0..100 {
        let queue = gateways[task % 2].clone();
        tasks.spawn(async move { queue.join(user).await.unwrap() });
    }
    let joined = tasks.join_all().await;
    assert_eq!(joined.iter().filter(|joined| joined.created).count(), 1);
    let tickets: HashSet<_> = joined.iter().map(|joined| joined.ticket).collect();
    assert_eq!(tickets.len(), 1);
    fixture.queues.refresh().await.unwrap();
    assert_eq!(queue.snapshot().waiting, 1);
}

#[tokio::test]
async fn who_is_inside_and_joins_again_gets_the_same_place() {
    let fixture = Fixture::new();
    let queue = fixture.queue("join-again", places(1)).await;
    let first = queue.join(user()).await.unwrap();
    let again = queue.join(first.ticket.user).await.unwrap();
    assert!(!again.created);
    assert_eq!(
        (again.ticket, again.standing),
        (first.ticket, first.standing)
    );
}

#[tokio::test]
async fn a_full_line_refuses_newcomers_and_nobody_who_has_a_place() {
    let fixture = Fixture::new();
    let rules = PolicyChange {
        max_waiting: Some(2),
        ..places(1)
    };
    let queue = fixture.queue("join-full", rules).await;
    let tickets = crowd(&queue, 3).await;
    let refused = queue.join(user()).await;
    let Err(QueueError::Full { retry_after }) = refused else {
        panic!("not refused: {refused:?}");
    };
    assert!((1..=60).contains(&retry_after.as_secs()));
    for ticket in &tickets {
        assert_eq!(queue.join(ticket.user).await.unwrap().ticket, *ticket);
    }
    queue.leave(&tickets[2]).await.unwrap();
    assert!(queue.join(user()).await.unwrap().created);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_of_ten_never_holds_more_than_ten_however_many_come_at_once() {
    let fixture = Fixture::new();
    let rules = PolicyChange {
        max_waiting: Some(10),
        ..places(1)
    };
    let queue = fixture.queue("join-ten", rules).await;
    crowd(&queue, 1).await;
    let mut tasks = JoinSet::new();
    for _ in 0..200 {
        let queue = queue.clone();
        tasks.spawn(async move { queue.join(user()).await.is_ok() });
    }
    let joined = tasks.join_all().await.into_iter().filter(|joined| *joined);
    assert_eq!(joined.count(), 10);
}

#[tokio::test]
async fn a_crowd_that_fits_is_inside_without_anybody_ringing() {
    let fixture = Fixture::new();
    let queue = fixture.queue("join-fits", places(50)).await;
    for ticket in crowd(&queue, 50).await {
        assert!(is_active(&queue.rank(&ticket).await));
    }
    let next = queue.join(user()).await.unwrap();
    assert_eq!(next.standing, Standing::Waiting { ahead: 0 });
}

#[tokio::test]
async fn a_place_is_never_there_without_the_secret_that_came_with_its_join() {
    let fixture = Fixture::new();
    let queue = fixture.queue("join-secret", places(1)).await;
    let secret = |text: &str| JoinSecret::try_from(text.to_owned()).unwrap();
    let [own, other] = ["s3cret-of-one", "s3cret-of-two"].map(secret);
    // In one step of one call, whatever becomes of the gateway before it answers.
    let users = [user(), user(), user()];
    let (one, two, again, none) = tokio::join!(
        queue.join_with(users[0], Some(own.clone())),
        queue.join_with(users[1], Some(other.clone())),
        queue.join_with(users[0], Some(other.clone())),
        queue.join_with(users[2], None),
    );
    let [one, two, again, none] = [one, two, again, none].map(Result::unwrap);
    assert_eq!((again.ticket, again.created), (one.ticket, false));
    let twin = fixture.twin();
    let seen = twin.open("join-secret").await;
    for (joined, secret, is_own) in [
        (&one, &own, true),
        (&one, &other, false),
        (&two, &other, true),
        (&two, &own, false),
        (&none, &own, false),
    ] {
        assert_eq!(
            seen.is_secret(&joined.ticket, secret).await.unwrap(),
            is_own
        );
    }
    queue.leave(&one.ticket).await.unwrap();
    let later = queue.join(users[0]).await.unwrap().ticket;
    assert!(
        !seen.is_secret(&later, &own).await.unwrap(),
        "it was for one ticket"
    );
}
