//! Who is away when their turn comes: holds nobody up, loses nothing, costs little.

use std::time::Duration;

use chassis::time::Clock;
use gateway::queue::policy::{Order, PolicyChange, State};
use gateway::queue::{Queue, Standing, Ticket};
use redis::aio::MultiplexedConnection;
use testbed::{Redis, RedisOptions, Scratch};

use crate::fixture::{Fixture, crowd, is_active, is_over, places, redis, user};

/// Between two admissions; what is longer than 5 s is a time in which nobody could ask.
const STEP: Duration = Duration::from_secs(4);

fn closed_doors(max_active: i64, per_second: f64) -> PolicyChange {
    PolicyChange {
        state: Some(State::Paused),
        admit_per_second: Some(per_second),
        ..places(max_active)
    }
}

fn open() -> PolicyChange {
    PolicyChange {
        state: Some(State::Open),
        ..PolicyChange::default()
    }
}

/// Lets two minutes pass in which admission runs and only `there` ask now and then.
async fn two_minutes(fixture: &Fixture, queue: &Queue, there: &[Ticket]) {
    for step in 0..30 {
        fixture.pass(STEP);
        if step % 5 == 0 {
            queue.present(there).await.unwrap();
        }
        queue.admit().await.unwrap();
    }
    queue.present(there).await.unwrap();
}

/// A queue with one place, whose second visitor was parked.
async fn with_one_parked(name: &str) -> (Fixture, Queue, Vec<Ticket>) {
    let fixture = Fixture::new();
    let queue = fixture.queue(name, places(1)).await;
    let tickets = crowd(&queue, 4).await;
    let there = [tickets[0], tickets[2], tickets[3]];
    two_minutes(&fixture, &queue, &there).await;
    queue.leave(&tickets[0]).await.unwrap();
    assert!(
        is_active(&queue.rank(&tickets[2]).await),
        "nobody was held up"
    );
    (fixture, queue, tickets)
}

#[tokio::test]
async fn with_ninety_percent_ghosts_at_the_head_admission_keeps_its_full_rate() {
    let fixture = Fixture::new();
    let queue = fixture
        .queue("presence-rate", closed_doors(1_000, 50.0))
        .await;
    let tickets = crowd(&queue, 1_500).await;
    let there: Vec<_> = tickets.iter().copied().skip(9).step_by(10).collect();
    two_minutes(&fixture, &queue, &there).await;
    fixture.change("presence-rate", open()).await;
    let (mut entered, mut parked) = (Vec::new(), 0);
    for _ in 0..3 {
        let admitted = queue.admit().await.unwrap();
        assert!(admitted.users.len() >= 49 && !admitted.more, "{admitted:?}");
        entered.extend(admitted.users.iter().map(|(_, number)| *number));
        parked += admitted.parked;
        fixture.pass(Duration::from_secs(1));
        queue.present(&there).await.unwrap();
    }
    let live: Vec<_> = there.iter().map(|ticket| ticket.number).collect();
    assert_eq!(entered, live[..entered.len()], "in order, and nobody else");
    assert!(parked >= 9 * 147);
    fixture.queues.refresh().await.unwrap();
    assert_eq!(queue.snapshot().parked, parked);
}

#[tokio::test]
async fn a_thousand_ghosts_are_passed_in_one_run_and_no_more() {
    let fixture = Fixture::new();
    let queue = fixture.queue("presence-bound", closed_doors(1, 50.0)).await;
    let tickets = crowd(&queue, 1_100).await;
    let there = [tickets[1_099]];
    two_minutes(&fixture, &queue, &there).await;
    fixture.change("presence-bound", open()).await;
    let first = queue.admit().await.unwrap();
    assert_eq!(
        (first.parked, first.users.len(), first.more),
        (1_000, 0, true)
    );
    let second = queue.admit().await.unwrap();
    assert_eq!(
        (second.parked, second.users.len(), second.more),
        (99, 1, false)
    );
}

#[tokio::test]
async fn who_returns_enters_before_all_who_came_later() {
    let (fixture, queue, tickets) = with_one_parked("presence-return").await;
    let place = queue.rank(&tickets[1]).await.unwrap();
    assert_eq!(place, Standing::Waiting { ahead: 0 });
    queue.leave(&tickets[2]).await.unwrap();
    assert!(is_active(&queue.rank(&tickets[1]).await));
    assert!(!is_active(&queue.rank(&tickets[3]).await));
    fixture.queues.refresh().await.unwrap();
    assert_eq!(queue.snapshot().inversions, 0, "a return is none");
}

#[tokio::test]
async fn who_returns_while_there_is_room_is_inside_with_the_same_answer() {
    let (fixture, queue, tickets) = with_one_parked("presence-room").await;
    fixture.change("presence-room", places(2)).await;
    assert!(is_active(&queue.rank(&tickets[1]).await));
}

#[tokio::test]
async fn a_return_moves_up_nobodys_number() {
    let fixture = Fixture::new();
    let queue = fixture.queue("presence-shown", places(1)).await;
    let tickets = crowd(&queue, 40).await;
    let there: Vec<_> = [tickets[0]]
        .into_iter()
        .chain(tickets[20..].to_vec())
        .collect();
    two_minutes(&fixture, &queue, &there).await;
    let mut shown = [u64::MAX; 40];
    let mut look = async |of: usize| {
        let ahead = match queue.rank(&tickets[of]).await {
            Ok(Standing::Waiting { ahead }) => ahead + 1,
            _ => 0,
        };
        assert!(ahead <= shown[of], "{ahead} after {}", shown[of]);
        shown[of] = ahead;
    };
    for of in 1..40 {
        look(of).await;
    }
    // All who were away are passed by, and come back in the reverse of their order.
    two_minutes(&fixture, &queue, &there).await;
    queue.leave(&tickets[0]).await.unwrap();
    for of in (1..40).rev() {
        look(of).await;
    }
    for of in (1..40).rev() {
        look(of).await;
    }
    queue.leave(&tickets[20]).await.unwrap();
    for next in (1..20).chain(21..40) {
        assert!(is_active(&queue.rank(&tickets[next]).await), "{next}");
        look(next).await;
        queue.leave(&tickets[next]).await.unwrap();
    }
}

#[tokio::test]
async fn who_was_parked_and_joins_again_has_the_same_place() {
    let (_fixture, queue, tickets) = with_one_parked("presence-join").await;
    let again = queue.join(tickets[1].user).await.unwrap();
    assert_eq!((again.ticket, again.created), (tickets[1], false));
    assert_eq!(again.standing, Standing::Waiting { ahead: 0 });
}

#[tokio::test]
async fn who_was_parked_and_leaves_does_not_return() {
    let (_fixture, queue, tickets) = with_one_parked("presence-leave").await;
    assert!(!queue.leave(&tickets[1]).await.unwrap().freed);
    assert!(is_over(&queue.rank(&tickets[1]).await));
    assert!(queue.join(tickets[1].user).await.unwrap().created);
    assert!(is_over(&queue.rank(&tickets[1]).await), "the old ticket");
}

#[tokio::test]
async fn a_place_is_kept_for_half_an_hour_and_not_for_ever() {
    let (fixture, queue, tickets) = with_one_parked("presence-kept").await;
    fixture.pass(Duration::from_secs(29 * 60));
    queue.admit().await.unwrap();
    let again = queue.join(tickets[1].user).await.unwrap();
    assert_eq!(again.ticket, tickets[1], "after 29 minutes");

    let (fixture, queue, tickets) = with_one_parked("presence-aged").await;
    for _ in 0..2 {
        fixture.pass(Duration::from_secs(30 * 60));
        queue.admit().await.unwrap();
    }
    fixture.queues.refresh().await.unwrap();
    assert_eq!(queue.snapshot().parked, 0, "after an hour");
    assert!(is_over(&queue.rank(&tickets[1]).await));
}

#[tokio::test]
async fn nobody_is_absent_after_a_time_in_which_nobody_could_ask() {
    let fixture = Fixture::new();
    let queue = fixture.queue("presence-gap", closed_doors(10, 50.0)).await;
    let tickets = crowd(&queue, 3).await;
    two_minutes(&fixture, &queue, &[]).await;
    fixture.pass(Duration::from_secs(6));
    fixture.change("presence-gap", open()).await;
    let admitted = queue.admit().await.unwrap();
    assert_eq!((admitted.users.len(), admitted.parked), (3, 0));
    assert!(is_active(&queue.rank(&tickets[0]).await));
}

#[tokio::test]
async fn after_the_order_turned_everybody_has_the_time_to_ask_again() {
    let fixture = Fixture::new();
    let closed = closed_doors(10, 50.0);
    let queue = fixture.queue("presence-turned", closed).await;
    crowd(&queue, 5).await;
    two_minutes(&fixture, &queue, &[]).await;
    let lottery = PolicyChange {
        order: Some(Order::Lottery),
        state: Some(State::Scheduled),
        opens_at: Some(Some(fixture.clock.now() + Duration::from_secs(60))),
        ..PolicyChange::default()
    };
    fixture.change("presence-turned", lottery).await;
    fixture.change("presence-turned", open()).await;
    let admitted = queue.admit().await.unwrap();
    assert_eq!((admitted.users.len(), admitted.parked), (5, 0));
}

#[tokio::test]
async fn a_newcomer_has_a_minute_before_they_can_be_absent() {
    let fixture = Fixture::new();
    let queue = fixture.queue("presence-new", closed_doors(10, 50.0)).await;
    two_minutes(&fixture, &queue, &[]).await;
    crowd(&queue, 3).await;
    for _ in 0..14 {
        fixture.pass(STEP);
        queue.admit().await.unwrap();
    }
    fixture.change("presence-new", open()).await;
    let admitted = queue.admit().await.unwrap();
    assert_eq!((admitted.users.len(), admitted.parked), (3, 0));
}

#[tokio::test]
async fn who_watches_is_there_without_asking() {
    let fixture = Fixture::new();
    let queue = fixture
        .queue("presence-watch", closed_doors(10, 50.0))
        .await;
    let tickets = crowd(&queue, 4).await;
    for _ in 0..30 {
        fixture.pass(STEP);
        let seen = queue.ranks(&tickets[..2]).await.unwrap();
        assert_eq!(seen[1], Some(Standing::Waiting { ahead: 1 }));
        assert_eq!(queue.present(&tickets[2..3]).await.unwrap(), 1);
        queue.admit().await.unwrap();
    }
    fixture.change("presence-watch", open()).await;
    let admitted = queue.admit().await.unwrap();
    assert_eq!((admitted.users.len(), admitted.parked), (3, 1));
}

#[tokio::test]
async fn who_returned_and_is_away_again_is_passed_by_again() {
    let (fixture, queue, tickets) = with_one_parked("presence-again").await;
    queue.rank(&tickets[1]).await.unwrap();
    two_minutes(&fixture, &queue, &tickets[2..]).await;
    queue.leave(&tickets[2]).await.unwrap();
    assert!(is_active(&queue.rank(&tickets[3]).await));
    assert!(!is_active(&queue.rank(&tickets[1]).await), "back once more");
    queue.leave(&tickets[3]).await.unwrap();
    assert!(is_active(&queue.rank(&tickets[1]).await));
}

#[tokio::test]
async fn only_those_near_the_head_are_recorded() {
    let fixture = Fixture::new();
    let queue = fixture.queue("presence-near", closed_doors(10, 1.0)).await;
    let mut fill = redis::cmd("ZADD");
    fill.arg("q:{presence-near}:waiting");
    for number in 1..=5_000 {
        fill.arg(number).arg(user().0.as_bytes());
    }
    fill.exec_async(&mut redis().await).await.unwrap();
    let deep = queue.join(user()).await.unwrap();
    assert_eq!(deep.standing, Standing::Waiting { ahead: 5_000 });
    queue.rank(&deep.ticket).await.unwrap();
    assert_eq!(queue.present(&[deep.ticket]).await.unwrap(), 0);
    let recorded: u64 = redis::cmd("ZCARD")
        .arg("q:{presence-near}:present")
        .query_async(&mut redis().await)
        .await
        .unwrap();
    assert_eq!(recorded, 0);
    assert_eq!(queue.snapshot().near, 4_096);
}

/// How often scripts ran in this Redis.
async fn scripts_run(redis: &mut MultiplexedConnection) -> u64 {
    let section: String = redis::cmd("INFO")
        .arg("commandstats")
        .query_async(redis)
        .await
        .unwrap();
    let scripts = section
        .lines()
        .find_map(|line| line.strip_prefix("cmdstat_evalsha:calls="));
    let calls = scripts.and_then(|rest| rest.split(',').next());
    calls.map_or(0, |calls| calls.parse().unwrap())
}

#[tokio::test]
async fn who_polls_often_near_the_head_is_recorded_now_and_then() {
    let scratch = Scratch::new().unwrap();
    let server = Redis::start(scratch.path(), RedisOptions::default()).unwrap();
    let fixture = Fixture::at(&server.url(), Clock::system());
    let queue = fixture.queue("main", closed_doors(10, 50.0)).await;
    let ticket = crowd(&queue, 3).await[2];
    let mut redis = crate::fixture::plain(&server.url()).await;
    queue.rank(&ticket).await.unwrap();
    let before = scripts_run(&mut redis).await;
    for _ in 0..19 {
        fixture.pass(Duration::from_secs(1));
        queue.rank(&ticket).await.unwrap();
    }
    assert_eq!(scripts_run(&mut redis).await, before, "known to be there");
    fixture.pass(Duration::from_secs(1));
    queue.rank(&ticket).await.unwrap();
    assert_eq!(scripts_run(&mut redis).await, before + 1);
}

#[tokio::test]
async fn a_poll_before_its_time_is_answered_and_counted() {
    let fixture = Fixture::new();
    let queue = fixture.queue("presence-early", closed_doors(10, 1.0)).await;
    let ticket = crowd(&queue, 200).await[199];
    for _ in 0..3 {
        let (place, _) = queue.poll(&ticket).await.unwrap();
        assert_eq!(place, Standing::Waiting { ahead: 199 });
    }
    fixture.pass(Duration::from_secs(30));
    queue.poll(&ticket).await.unwrap();
    fixture.queues.refresh().await.unwrap();
    assert_eq!(queue.snapshot().early_polls, 2);
}
