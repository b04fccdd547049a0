//! Who is away when their turn comes: holds nobody up, loses nothing, costs little.

use std::time::Duration;

use chassis::time::Clock;
use gateway::queue::policy::{PolicyChange, State};
use gateway::queue::{Queue, QueueError, Standing, Ticket};
use redis::aio::MultiplexedConnection;
use testbed::{Redis, RedisOptions, Scratch};

use crate::fixture::{
    Fixture, crowd, crowd_at_once, is_active, is_over, places, redis, state, user,
};

/// Between two admissions; what is longer than 5 s is a time in which nobody could ask.
const STEP: Duration = Duration::from_secs(4);

fn closed_doors(max_active: i64, per_second: f64) -> PolicyChange {
    PolicyChange {
        state: Some(State::Paused),
        admit_per_second: Some(per_second.into()),
        ..places(max_active)
    }
}

/// Lets two minutes pass in which admission runs and only `there` ask.
async fn two_minutes(fixture: &Fixture, queue: &Queue, there: &[Ticket]) {
    for _ in 0..30 {
        fixture.pass(STEP);
        queue.present(there).await.unwrap();
        queue.admit().await.unwrap();
    }
}

/// Lets admission run so often while nobody asks; how many are then in line, and how many are parked.
async fn nobody_asks(fixture: &Fixture, queue: &Queue, runs: usize) -> (u64, u64) {
    for _ in 0..runs {
        fixture.pass(STEP);
        queue.admit().await.unwrap();
    }
    line(fixture, queue).await
}

/// How many are in line and how many are parked.
async fn line(fixture: &Fixture, queue: &Queue) -> (u64, u64) {
    fixture.queues.refresh().await.unwrap();
    let snapshot = queue.snapshot();
    (snapshot.waiting, snapshot.parked)
}

/// A queue whose one place is taken by the ticket, and in whose line so many may wait.
async fn with_the_place_taken(name: &str, max_waiting: i64) -> (Fixture, Queue, Ticket) {
    let fixture = Fixture::new();
    let rules = PolicyChange {
        max_waiting: Some(max_waiting),
        ..places(1)
    };
    let queue = fixture.queue(name, rules).await;
    let first = queue.join(user()).await.unwrap().ticket;
    assert!(is_active(&queue.touch(&first).await));
    (fixture, queue, first)
}

async fn is_refused(queue: &Queue) -> bool {
    matches!(queue.join(user()).await, Err(QueueError::Full { .. }))
}

/// A queue with one place, whose second visitor was parked.
async fn with_one_parked(name: &str) -> (Fixture, Queue, Vec<Ticket>) {
    let fixture = Fixture::new();
    let queue = fixture.queue(name, places(1)).await;
    let tickets = crowd(&queue, 4).await;
    assert!(is_active(&queue.touch(&tickets[0]).await));
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
    assert_eq!(line(&fixture, &queue).await, (150, 1_350));
    fixture.change("presence-rate", state(State::Open)).await;
    let mut entered = Vec::new();
    for _ in 0..3 {
        let admitted = queue.admit().await.unwrap();
        assert!(admitted.users.len() >= 49 && !admitted.more, "{admitted:?}");
        entered.extend(admitted.users.iter().map(|(_, number)| *number));
        fixture.pass(Duration::from_secs(1));
        queue.present(&there).await.unwrap();
    }
    let live: Vec<_> = there.iter().map(|ticket| ticket.number).collect();
    assert_eq!(entered, live[..entered.len()], "in order, and nobody else");
}

#[tokio::test]
async fn at_most_a_thousand_are_parked_in_one_run() {
    let fixture = Fixture::new();
    let queue = fixture.queue("presence-bound", closed_doors(1, 50.0)).await;
    queue.admit().await.unwrap();
    let tickets = crowd_at_once(&queue, 1_100).await;
    queue.admit().await.unwrap();
    let mut parked = Vec::new();
    for _ in 0..3 {
        fixture.pass(STEP);
        queue.present(&tickets[1_099..]).await.unwrap();
        let admitted = queue.admit().await.unwrap();
        parked.push((admitted.parked, admitted.more));
    }
    assert_eq!(parked, [(0, false), (0, false), (1_000, true)]);
    assert_eq!(queue.admit().await.unwrap().parked, 99);
}

#[tokio::test]
async fn behind_a_full_house_who_never_came_back_is_parked_and_newcomers_find_room() {
    let (fixture, queue, _) = with_the_place_taken("presence-full", 500).await;
    for parked in 1..=4 {
        crowd_at_once(&queue, 500).await;
        assert!(is_refused(&queue).await, "the line is full");
        let after = nobody_asks(&fixture, &queue, 3).await;
        assert_eq!(after, (0, parked * 500), "nobody waits");
    }
    assert!(is_refused(&queue).await, "bounded");
    let refused = |reason| {
        let counter = &fixture.queues.metrics().refused;
        counter.with_label_values(&[reason]).get()
    };
    assert_eq!((refused("line"), refused("parked")), (4, 1));
}

#[tokio::test]
async fn never_are_more_parked_than_four_for_each_who_may_wait() {
    let (fixture, queue, first) = with_the_place_taken("presence-most", 50).await;
    let mut away = Vec::new();
    for (size, parked) in [(50, 50), (50, 100), (50, 150), (49, 199)] {
        away.extend(crowd(&queue, size).await);
        assert_eq!(nobody_asks(&fixture, &queue, 3).await, (0, parked));
    }
    // All who wait may be parked yet, and there is room for one.
    crowd(&queue, 1).await;
    assert!(is_refused(&queue).await, "a whole line does not fit");
    // Who is inside and does not show up is parked too, and nobody counted on it.
    queue.leave(&first).await.unwrap();
    crowd(&queue, 1).await;
    assert!(is_refused(&queue).await);
    assert_eq!(nobody_asks(&fixture, &queue, 20).await, (0, 200));
    assert_eq!(queue.snapshot().no_shows, 1);
    assert!(is_over(&queue.rank(&away[0]).await), "away for longest");
    assert!(is_active(&queue.rank(&away[1]).await), "the next is not");
}

#[tokio::test]
async fn twenty_live_visitors_behind_ghosts_are_inside_within_fifty_seconds() {
    for (name, ghosts) in [("presence-900", 900), ("presence-9000", 9_000)] {
        let fixture = Fixture::new();
        let rules = PolicyChange {
            claim_seconds: Some(30),
            admit_per_second: Some(2.0.into()),
            ..places(100)
        };
        let queue = fixture.queue(name, rules).await;
        queue.admit().await.unwrap();
        // They come in batches of 450, and never again.
        for _ in 0..ghosts / 450 {
            crowd_at_once(&queue, 450).await;
            queue.admit().await.unwrap();
        }
        let live = crowd(&queue, 20).await;
        // They ask when they are told to, a second later at most.
        let mut due = vec![0; live.len()];
        let mut seconds = 0;
        loop {
            let mut inside = 0;
            for (ticket, due) in live.iter().zip(&mut due) {
                if *due > seconds {
                    continue;
                }
                let (standing, forecast) = queue.poll(ticket).await.unwrap();
                inside += usize::from(matches!(standing, Standing::Active { .. }));
                let pause_s = forecast.pause_ms(1.0).div_ceil(1_000);
                *due = match standing {
                    Standing::Active { .. } => seconds,
                    _ => seconds + pause_s,
                };
            }
            if inside == live.len() {
                break;
            }
            fixture.pass(Duration::from_secs(1));
            seconds += 1;
            assert!(seconds <= 50, "{inside} inside, {due:?}");
            while queue.admit().await.unwrap().more {}
            fixture.queues.refresh().await.unwrap();
        }
    }
}

#[tokio::test]
async fn who_was_silent_at_the_head_has_the_same_ticket_and_enters_next() {
    let fixture = Fixture::new();
    let rules = PolicyChange {
        claim_seconds: Some(8),
        ..places(1)
    };
    let queue = fixture.queue("presence-silent", rules).await;
    let tickets = crowd(&queue, 4).await;
    assert!(is_active(&queue.touch(&tickets[0]).await));
    for second in 0..23 {
        fixture.pass(Duration::from_secs(1));
        queue.present(&[tickets[1], tickets[3]]).await.unwrap();
        queue.admit().await.unwrap();
        // The place becomes free while the third is silent.
        if second == 5 {
            queue.leave(&tickets[0]).await.unwrap();
            assert!(is_active(&queue.touch(&tickets[1]).await));
            queue.leave(&tickets[1]).await.unwrap();
        }
    }
    let again = queue.join(tickets[2].user).await.unwrap();
    assert_eq!((again.ticket, again.created), (tickets[2], false));
    let _ = queue.touch(&tickets[3]).await;
    queue.leave(&tickets[3]).await.unwrap();
    assert!(is_active(&queue.rank(&tickets[2]).await));
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
    assert!(is_active(&queue.touch(&tickets[0]).await));
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
    queue.leave(&tickets[3]).await.unwrap();
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
    queue.admit().await.unwrap();
    let tickets = crowd(&queue, 3).await;
    fixture.pass(Duration::from_secs(60));
    fixture.change("presence-gap", state(State::Open)).await;
    let admitted = queue.admit().await.unwrap();
    assert_eq!((admitted.users.len(), admitted.parked), (3, 0));
    assert!(is_active(&queue.rank(&tickets[0]).await));
}

#[tokio::test]
async fn a_join_counts_for_ten_seconds_and_no_longer() {
    let fixture = Fixture::new();
    let queue = fixture.queue("presence-new", closed_doors(10, 50.0)).await;
    queue.admit().await.unwrap();
    let tickets = crowd(&queue, 3).await;
    let mut waiting = Vec::new();
    for _ in 0..3 {
        fixture.pass(STEP);
        queue.admit().await.unwrap();
        queue.present(&tickets[..1]).await.unwrap();
        waiting.push(line(&fixture, &queue).await.0);
    }
    assert_eq!(waiting, [3, 3, 1]);
}

#[tokio::test]
async fn who_watches_is_there_without_asking() {
    let fixture = Fixture::new();
    let queue = fixture
        .queue("presence-watch", closed_doors(10, 50.0))
        .await;
    queue.admit().await.unwrap();
    let tickets = crowd(&queue, 4).await;
    for _ in 0..30 {
        fixture.pass(STEP);
        let seen = queue.ranks(&tickets[..2]).await.unwrap();
        assert_eq!(seen[1], Some(Standing::Waiting { ahead: 1 }));
        assert_eq!(queue.present(&tickets[2..3]).await.unwrap(), 1);
        queue.admit().await.unwrap();
    }
    fixture.change("presence-watch", state(State::Open)).await;
    let admitted = queue.admit().await.unwrap();
    assert_eq!((admitted.users.len(), admitted.parked), (3, 0));
    assert_eq!(line(&fixture, &queue).await, (0, 1));
}

#[tokio::test]
async fn a_stream_that_ended_counts_for_ten_seconds_and_no_longer() {
    let fixture = Fixture::new();
    let queue = fixture
        .queue("presence-ended", closed_doors(10, 50.0))
        .await;
    queue.admit().await.unwrap();
    let tickets = crowd(&queue, 3).await;
    let mut waiting = Vec::new();
    // All are watched for longer than their joins prove, then the first alone.
    for watched in [3, 3, 3, 3, 1, 1, 1] {
        fixture.pass(STEP);
        queue.admit().await.unwrap();
        queue.ranks(&tickets[..watched]).await.unwrap();
        waiting.push(line(&fixture, &queue).await.0);
    }
    assert_eq!(waiting, [3, 3, 3, 3, 3, 3, 1]);
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
    for _ in 0..10 {
        fixture.pass(Duration::from_secs(1));
        queue.rank(&ticket).await.unwrap();
    }
    let more = scripts_run(&mut redis).await - before;
    assert!((2..=5).contains(&more), "{more} of 10 polls were recorded");
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
