//! The lottery: nobody knows a place before the doors open, and anybody can check it afterwards.

use std::time::Duration;

use chassis::time::Clock;
use gateway::merkle::Tree;
use gateway::queue::policy::{Order, PolicyChange, State};
use gateway::queue::{DrawnPage, Lottery, Queue, QueueError, Seed, Standing, Ticket};
use sha2::{Digest as _, Sha256};
use testbed::{Redis, RedisOptions, Scratch};

use crate::fixture::{
    Fixture, RECOVERY, assert_line, crowd, is_active, is_over, places, redis, state, user,
};

pub const HOUR: Duration = Duration::from_secs(3_600);

/// Opens in an hour, by lot.
pub fn lottery(fixture: &Fixture) -> PolicyChange {
    PolicyChange {
        order: Some(Order::Lottery),
        opens_at: Some(Some(fixture.clock.now() + HOUR)),
        ..places(1)
    }
}

fn order(order: Order) -> PolicyChange {
    PolicyChange {
        order: Some(order),
        ..PolicyChange::default()
    }
}

pub async fn public(fixture: &Fixture, queue: &Queue) -> Lottery {
    fixture.queues.refresh().await.unwrap();
    queue.snapshot().lottery().unwrap()
}

/// The key of the draw, which gives the lots.
pub async fn key(fixture: &Fixture, queue: &Queue) -> Seed {
    let drawn = public(fixture, queue).await.drawn;
    drawn.expect("it is settled").key.parse().unwrap()
}

/// Settles the draw, and lets in who may enter then.
pub async fn settle(queue: &Queue) {
    while queue.admit().await.unwrap().more {}
}

/// The tickets in the order that the key gives them.
pub fn by_lot(key: &Seed, tickets: &[Ticket]) -> Vec<Ticket> {
    let mut sorted = tickets.to_vec();
    sorted.sort_by_key(|ticket| key.lot(ticket.number));
    sorted
}

pub fn is_hidden(standing: &Standing) -> bool {
    matches!(standing, Standing::Scheduled { ahead: None, .. })
}

/// Who came first by lot is inside, and all others wait in the order of their lots.
pub async fn assert_drawn(fixture: &Fixture, queue: &Queue, tickets: &[Ticket]) {
    let line = by_lot(&key(fixture, queue).await, tickets);
    assert!(is_active(&queue.touch(&line[0]).await));
    assert_line(queue, &line[1..]).await;
}

#[tokio::test]
async fn before_the_draw_nobody_learns_a_place_in_any_way() {
    let fixture = Fixture::new();
    let stale = fixture.twin();
    let queue = fixture.queue("lottery-secret", places(1)).await;
    let at_stale = stale.open("lottery-secret").await;
    fixture.change("lottery-secret", lottery(&fixture)).await;
    let opens_at = queue.snapshot().policy.opens_at.unwrap();
    let mut tickets = Vec::new();
    for _ in 0..20 {
        // One gateway has not heard of the lottery yet.
        for gateway in [&queue, &at_stale] {
            let joined = gateway.join(user()).await.unwrap();
            assert!(is_hidden(&joined.standing), "{joined:?}");
            assert!(is_hidden(
                &gateway.join(joined.ticket.user).await.unwrap().standing
            ));
            tickets.push(joined.ticket);
        }
    }
    for gateway in [&queue, &at_stale] {
        for ticket in &tickets {
            let ways = [gateway.rank(ticket).await, gateway.touch(ticket).await];
            for told in ways.into_iter().map(Result::unwrap) {
                assert_eq!(
                    told,
                    Standing::Scheduled {
                        ahead: None,
                        opens_at
                    }
                );
            }
        }
        let together = gateway.ranks(&tickets).await.unwrap();
        assert!(together.iter().flatten().all(is_hidden));
        assert_eq!(gateway.present(&tickets).await.unwrap(), 0);
        let page = DrawnPage {
            after_lot: None,
            limit: 100,
        };
        assert!(gateway.drawn(page).await.unwrap().is_empty());
    }
    let recorded: u64 = redis::cmd("EXISTS")
        .arg("q:{lottery-secret}:present")
        .query_async(&mut redis().await)
        .await
        .unwrap();
    assert_eq!(recorded, 0, "who is near is not even recorded");
    assert_eq!(public(&fixture, &queue).await.drawn, None);
}

#[tokio::test]
async fn the_seed_is_shown_nowhere_before_the_draw() {
    let fixture = Fixture::new();
    let queue = fixture.queue("lottery-seed", lottery(&fixture)).await;
    crowd(&queue, 3).await;
    let seed: String = redis::cmd("HGET")
        .arg("q:{lottery-seed}:meta")
        .arg("seed")
        .query_async(&mut redis().await)
        .await
        .unwrap();
    let commitment = public(&fixture, &queue).await.commitment;
    let hash = Sha256::digest(&seed);
    assert_eq!(
        commitment,
        hash.iter().map(|b| format!("{b:02x}")).collect::<String>()
    );
    let page = gateway::queue::AuditPage {
        older_than: None,
        limit: 10,
    };
    let audit = fixture.queues.audit(queue.id(), page).await.unwrap();
    let shown = format!("{:?} {audit:?}", queue.snapshot());
    assert!(shown.contains(&commitment) && !shown.contains(&seed));
}

#[tokio::test]
async fn when_the_doors_open_all_stand_in_the_order_of_their_lots_and_anybody_can_check_it() {
    let fixture = Fixture::new();
    let queue = fixture.queue("lottery-draw", lottery(&fixture)).await;
    let commitment = public(&fixture, &queue).await.commitment;
    let early = crowd(&queue, 60).await;
    fixture.pass(HOUR);
    let late = queue.join(user()).await.unwrap().ticket;
    let later = queue.join(user()).await.unwrap().ticket;
    settle(&queue).await;

    let public = public(&fixture, &queue).await;
    let drawn = public.drawn.clone().unwrap();
    let entry = public.entry.clone().unwrap();
    assert_eq!(
        (public.commitment, entry.entrants),
        (commitment.clone(), 60)
    );
    let hash = Sha256::digest(&drawn.seed);
    assert_eq!(
        commitment,
        hash.iter().map(|b| format!("{b:02x}")).collect::<String>()
    );
    assert!(
        early
            .iter()
            .all(|ticket| ticket.number <= entry.last_ticket)
    );
    assert!(late.number > entry.last_ticket);
    let numbers = early.iter().map(|ticket| ticket.number);
    let tree = Tree::new(numbers.collect());
    assert_eq!(entry.root, tree.root(), "exactly those who came before");
    let seed: Seed = drawn.seed.parse().unwrap();
    let key = seed.key(&entry.root, "");
    assert_eq!(drawn.key, key.published());
    let mut line = by_lot(&key, &early);
    assert_ne!(line, early, "one in 60! draws");
    let first = line.remove(0);
    assert!(is_active(&queue.touch(&first).await));
    line.extend([late, later]);
    assert_line(&queue, &line).await;

    let mut listed = Vec::new();
    let mut page = DrawnPage {
        after_lot: None,
        limit: 25,
    };
    loop {
        let places = queue.drawn(page).await.unwrap();
        let Some(last) = places.last() else { break };
        page.after_lot = Some(last.lot);
        listed.extend(places);
    }
    let expected: Vec<_> = line[..59].iter().map(|ticket| ticket.number).collect();
    let numbers: Vec<_> = listed.iter().map(|place| place.ticket).collect();
    assert_eq!(numbers, expected, "no others and all of them");
    assert!(
        listed
            .iter()
            .all(|place| key.lot(place.ticket) == place.lot)
    );

    let mut entered = vec![first];
    for next in &line {
        queue.leave(entered.last().unwrap()).await.unwrap();
        assert!(is_active(&queue.rank(next).await), "{next:?}");
        entered.push(*next);
    }
}

#[tokio::test]
async fn after_the_draw_a_position_never_goes_up() {
    let fixture = Fixture::new();
    let queue = fixture.queue("lottery-up", lottery(&fixture)).await;
    let tickets = crowd(&queue, 30).await;
    fixture.pass(HOUR);
    settle(&queue).await;
    let line = by_lot(&key(&fixture, &queue).await, &tickets);
    let mut shown = vec![u64::MAX; 30];
    for round in 0..29 {
        queue.join(user()).await.unwrap();
        for (place, before) in line.iter().zip(&mut shown).skip(round) {
            let ahead = match queue.rank(place).await.unwrap() {
                Standing::Waiting { ahead } => ahead + 1,
                _ => 0,
            };
            assert!(ahead <= *before);
            *before = ahead;
        }
        queue.leave(&line[round]).await.unwrap();
    }
}

#[tokio::test]
async fn who_leaves_and_joins_again_has_another_lot_and_knows_neither() {
    let fixture = Fixture::new();
    let queue = fixture.queue("lottery-again", lottery(&fixture)).await;
    let first = queue.join(user()).await.unwrap().ticket;
    crowd(&queue, 5).await;
    queue.leave(&first).await.unwrap();
    assert!(is_over(&queue.rank(&first).await));
    let again = queue.join(first.user).await.unwrap();
    assert!(again.created && is_hidden(&again.standing));
    assert!(again.ticket.number > first.number);
    assert!(is_over(&queue.rank(&first).await), "one person, one lot");
    fixture.pass(HOUR);
    settle(&queue).await;
    let key = key(&fixture, &queue).await;
    assert_ne!(key.lot(first.number), key.lot(again.ticket.number));
}

#[tokio::test]
async fn without_the_lottery_early_ones_stand_in_the_order_of_arrival() {
    let fixture = Fixture::new();
    let queue = fixture.queue("lottery-off", lottery(&fixture)).await;
    let mut tickets = crowd(&queue, 300).await;
    fixture.change("lottery-off", order(Order::Fifo)).await;
    assert!(
        is_hidden(&queue.touch(&tickets[0]).await.unwrap()),
        "still being sorted"
    );
    settle(&queue).await;
    fixture.queues.refresh().await.unwrap();
    let place = queue.rank(&tickets[299]).await.unwrap();
    assert!(matches!(
        place,
        Standing::Scheduled {
            ahead: Some(299),
            ..
        }
    ));
    tickets.extend(crowd(&queue, 2).await);
    fixture.pass(HOUR);
    queue.admit().await.unwrap();
    fixture.queues.refresh().await.unwrap();
    assert!(is_active(&queue.touch(&tickets[0]).await));
    assert_line(&queue, &tickets[1..]).await;
    assert_eq!(queue.snapshot().lottery(), None);
}

#[tokio::test]
async fn who_was_in_line_before_the_lottery_was_said_is_drawn_too() {
    let fixture = Fixture::new();
    let queue = fixture.queue("lottery-said", state(State::Paused)).await;
    let mut tickets = crowd(&queue, 300).await;
    fixture.change("lottery-said", lottery(&fixture)).await;
    fixture
        .change("lottery-said", state(State::Scheduled))
        .await;
    tickets.extend(crowd(&queue, 300).await);
    // One run is not enough to sort them, so the doors stay shut until all are.
    fixture.pass(HOUR);
    let first = queue.admit().await.unwrap();
    assert!(first.more && first.users.is_empty());
    settle(&queue).await;
    assert_drawn(&fixture, &queue, &tickets).await;
}

#[tokio::test]
async fn the_instant_may_move_and_the_order_may_turn_twice_and_the_seed_stays() {
    let fixture = Fixture::new();
    let queue = fixture.queue("lottery-moved", lottery(&fixture)).await;
    let commitment = public(&fixture, &queue).await.commitment;
    let tickets = crowd(&queue, 20).await;
    let later = PolicyChange {
        opens_at: Some(Some(fixture.clock.now() + 2 * HOUR)),
        ..PolicyChange::default()
    };
    fixture.change("lottery-moved", later).await;
    fixture.pass(HOUR + HOUR / 2);
    queue.admit().await.unwrap();
    assert!(is_hidden(&queue.rank(&tickets[0]).await.unwrap()));
    fixture.change("lottery-moved", order(Order::Fifo)).await;
    queue.admit().await.unwrap();
    fixture.change("lottery-moved", order(Order::Lottery)).await;
    queue.admit().await.unwrap();
    assert!(is_hidden(&queue.rank(&tickets[0]).await.unwrap()));
    assert_eq!(public(&fixture, &queue).await.commitment, commitment);
    let sooner = PolicyChange {
        opens_at: Some(Some(fixture.clock.now() + HOUR / 4)),
        ..PolicyChange::default()
    };
    fixture.change("lottery-moved", sooner).await;
    fixture.pass(HOUR / 4);
    settle(&queue).await;
    assert_eq!(public(&fixture, &queue).await.commitment, commitment);
    assert_drawn(&fixture, &queue, &tickets).await;
}

#[tokio::test]
async fn an_operator_who_opens_early_draws_early_and_a_pause_draws_nothing() {
    let fixture = Fixture::new();
    let queue = fixture.queue("lottery-early", lottery(&fixture)).await;
    let tickets = crowd(&queue, 20).await;
    fixture.change("lottery-early", state(State::Paused)).await;
    fixture.pass(2 * HOUR);
    queue.admit().await.unwrap();
    assert!(is_hidden(&queue.rank(&tickets[0]).await.unwrap()));
    assert_eq!(public(&fixture, &queue).await.drawn, None);
    fixture.change("lottery-early", state(State::Open)).await;
    settle(&queue).await;
    assert_drawn(&fixture, &queue, &tickets).await;
    let late = queue.join(user()).await.unwrap().ticket;
    assert_eq!(
        queue.rank(&late).await.unwrap(),
        Standing::Waiting { ahead: 19 }
    );
}

#[tokio::test]
async fn a_draw_is_final_and_the_next_one_begins_when_nobody_of_it_is_in_line() {
    let fixture = Fixture::new();
    let queue = fixture.queue("lottery-next", lottery(&fixture)).await;
    let tickets = crowd(&queue, 5).await;
    fixture.pass(HOUR);
    settle(&queue).await;
    let first = public(&fixture, &queue).await;
    let line = by_lot(&key(&fixture, &queue).await, &tickets);
    fixture.change("lottery-next", lottery(&fixture)).await;
    let behind = queue.join(user()).await.unwrap();
    assert!(matches!(
        behind.standing,
        Standing::Scheduled { ahead: Some(4), .. }
    ));
    assert_eq!(public(&fixture, &queue).await, first);
    for ticket in &line {
        queue.leave(ticket).await.unwrap();
    }
    fixture.change("lottery-next", order(Order::Fifo)).await;
    fixture.change("lottery-next", lottery(&fixture)).await;
    let second = public(&fixture, &queue).await;
    assert!(second.commitment != first.commitment && second.drawn.is_none());
    settle(&queue).await;
    let mut tickets = crowd(&queue, 5).await;
    tickets.push(behind.ticket);
    fixture.pass(HOUR);
    settle(&queue).await;
    assert_drawn(&fixture, &queue, &tickets).await;
}

#[tokio::test]
async fn a_lottery_without_an_instant_is_refused() {
    let fixture = Fixture::new();
    let queue = fixture.queue("lottery-refused", places(1)).await;
    let at_once = fixture
        .queues
        .change(queue.id(), &order(Order::Lottery), "a test")
        .await;
    assert!(matches!(at_once, Err(QueueError::Refused(cause)) if cause.field == "opensAt"));
    fixture.change("lottery-refused", lottery(&fixture)).await;
    let taken_back = PolicyChange {
        opens_at: Some(None),
        ..state(State::Paused)
    };
    let refused = fixture
        .queues
        .change(queue.id(), &taken_back, "a test")
        .await;
    assert!(matches!(refused, Err(QueueError::Refused(cause)) if cause.field == "opensAt"));
}

/// A Redis of its own, because all that it holds will be thrown away.
async fn lossy(redis: &Redis) -> (Fixture, Fixture, Queue) {
    let clock = Clock::system();
    let fixture = Fixture::at(&redis.url(), clock.clone());
    let other = Fixture::at(&redis.url(), clock);
    let queue = fixture.queue("main", lottery(&fixture)).await;
    other.open("main").await;
    (fixture, other, queue)
}

async fn flush(redis: &Redis) {
    let mut redis = crate::fixture::plain(&redis.url()).await;
    redis::cmd("FLUSHALL").exec_async(&mut redis).await.unwrap();
}

#[tokio::test]
async fn a_store_that_is_lost_before_the_draw_draws_what_it_would_have_drawn() {
    let scratch = Scratch::new().unwrap();
    let redis = Redis::start(scratch.path(), RedisOptions::default()).unwrap();
    let (fixture, other, queue) = lossy(&redis).await;
    let commitment = public(&fixture, &queue).await.commitment;
    let tickets = crowd(&queue, 30).await;
    flush(&redis).await;
    other.queues.refresh().await.unwrap();
    for ticket in &tickets {
        assert!(is_hidden(&queue.rank(ticket).await.unwrap()));
    }
    assert_eq!(public(&fixture, &queue).await.commitment, commitment);
    fixture.pass(HOUR);
    settle(&queue).await;
    assert_drawn(&fixture, &queue, &tickets).await;
}

#[tokio::test]
async fn a_store_that_is_lost_after_the_draw_gives_everybody_the_place_that_they_were_drawn() {
    let scratch = Scratch::new().unwrap();
    let redis = Redis::start(scratch.path(), RedisOptions::default()).unwrap();
    let (fixture, other, queue) = lossy(&redis).await;
    let early = crowd(&queue, 30).await;
    fixture.pass(HOUR);
    settle(&queue).await;
    let late = crowd(&queue, 3).await;
    let before = public(&fixture, &queue).await;
    let mut line = by_lot(&key(&fixture, &queue).await, &early);
    line.extend(&late);
    other.queues.refresh().await.unwrap();
    flush(&redis).await;
    other.queues.refresh().await.unwrap();
    assert_eq!(public(&fixture, &queue).await, before);
    for ticket in early.iter().chain(late.iter().rev()).skip(1) {
        queue.rank(ticket).await.unwrap();
    }
    fixture.pass(RECOVERY);
    settle(&queue).await;
    // One comes back when the pause is over: they enter at their turn, and no number grows.
    let absent = line.iter().position(|ticket| *ticket == early[0]).unwrap();
    let last = queue.rank(&late[2]).await.unwrap();
    queue.rank(&early[0]).await.unwrap();
    assert_eq!(queue.rank(&late[2]).await.unwrap(), last);
    let mut entered = Vec::new();
    while entered.len() < line.len() {
        queue.admit().await.unwrap();
        let mut inside = None;
        for ticket in &line {
            if !entered.contains(ticket) && is_active(&queue.touch(ticket).await) {
                inside = Some(*ticket);
            }
        }
        let inside = inside.expect("somebody is let in");
        entered.push(inside);
        queue.leave(&inside).await.unwrap();
    }
    let first = entered.remove(0);
    assert_eq!(
        first,
        line[usize::from(absent == 0)],
        "who was there when the pause ended"
    );
    line.retain(|ticket| *ticket != first);
    assert_eq!(entered, line);
}
