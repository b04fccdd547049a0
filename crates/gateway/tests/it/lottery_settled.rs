//! How a draw is settled: by everybody who takes part, by a seed that may be kept, once by many gateways.

use std::time::Duration;

use chassis::time::Clock;
use gateway::merkle::Tree;
use gateway::queue::policy::{PolicyChange, State};
use gateway::queue::{RevealError, Revealed, Seed, Standing};

use crate::fixture::{Fixture, RECOVERY, assert_line, crowd, is_active, places, redis, user};
use crate::loss::Store;
use crate::lottery::{HOUR, assert_drawn, by_lot, is_hidden, key, lottery, public, settle};

#[tokio::test]
async fn nobody_who_reads_the_store_before_the_doors_open_can_know_a_lot() {
    let fixture = Fixture::new();
    let queue = fixture.queue("lottery-reader", lottery(&fixture)).await;
    let early = crowd(&queue, 20).await;
    let meta = async |field: &str| {
        let mut read = redis::cmd("HGET");
        let read = read.arg("q:{lottery-reader}:meta").arg(field);
        let value: Option<String> = read.query_async(&mut redis().await).await.unwrap();
        value
    };
    let seed: Seed = meta("seed").await.unwrap().parse().unwrap();
    assert_eq!((meta("key").await, meta("root").await), (None, None));
    // What the reader would compute if nobody came any more.
    let numbers = early.iter().map(|ticket| ticket.number);
    let guessed = seed.key(&Tree::new(numbers.collect()).root(), "");
    let last = queue.join(user()).await.unwrap().ticket;
    fixture.pass(HOUR);
    settle(&queue).await;
    let key = key(&fixture, &queue).await;
    let lots = |key: &Seed| {
        early
            .iter()
            .map(|it| key.lot(it.number))
            .collect::<Vec<_>>()
    };
    assert_ne!(
        lots(&key),
        lots(&guessed),
        "one more ticket changes every lot"
    );
    let tree = queue.entrants().await.unwrap().unwrap();
    assert!(tree.path(last.number).is_some());
}

#[tokio::test]
async fn between_the_opening_of_the_doors_and_the_draw_nobody_learns_a_place() {
    let fixture = Fixture::new();
    let queue = fixture.queue("lottery-gap", lottery(&fixture)).await;
    let tickets = crowd(&queue, 5).await;
    fixture.pass(HOUR);
    // This gateway knows that they are open, and no admission has run since.
    fixture.queues.refresh().await.unwrap();
    assert_eq!(queue.snapshot().state, State::Open);
    for ticket in &tickets {
        let told = [
            queue.rank(ticket).await.unwrap(),
            queue.touch(ticket).await.unwrap(),
            queue.watch(ticket).await.unwrap(),
        ];
        assert!(told.iter().all(is_hidden), "{told:?}");
    }
    let together = queue.ranks(&tickets).await.unwrap();
    assert!(together.iter().flatten().all(is_hidden), "{together:?}");
    assert_eq!(queue.present(&tickets).await.unwrap(), 0);
    settle(&queue).await;
    assert_drawn(&fixture, &queue, &tickets).await;
}

#[tokio::test]
async fn a_no_show_from_before_the_lottery_takes_part_in_it() {
    let fixture = Fixture::new();
    let queue = fixture.queue("lottery-no-show", places(1)).await;
    let no_show = queue.join(user()).await.unwrap().ticket;
    queue.admit().await.unwrap();
    let soon = Duration::from_secs(1);
    let opens_soon = PolicyChange {
        opens_at: Some(Some(fixture.clock.now() + soon)),
        ..lottery(&fixture)
    };
    fixture.change("lottery-no-show", opens_soon).await;
    let others = crowd(&queue, 3).await;
    fixture.pass(soon);
    settle(&queue).await;
    let entry = public(&fixture, &queue).await.entry.unwrap();
    assert_eq!(entry.entrants, 4);
    let tree = queue.entrants().await.unwrap().unwrap();
    assert!(tree.path(no_show.number).is_some());
    // The claim ends, and the visitor is back with a lot that everybody can check.
    fixture.pass(HOUR);
    queue.present(&others).await.unwrap();
    assert_eq!(queue.admit().await.unwrap().no_shows, 1);
    let standing = queue.touch(&no_show).await.unwrap();
    assert!(matches!(standing, Standing::Waiting { .. }), "{standing:?}");
}

#[tokio::test]
async fn several_gateways_that_settle_a_draw_at_once_settle_one() {
    let fixture = Fixture::new();
    let queue = fixture.queue("lottery-twins", lottery(&fixture)).await;
    let twin = fixture.twin();
    let other = twin.open("lottery-twins").await;
    let tickets = crowd(&queue, 700).await;
    fixture.pass(HOUR);
    let leaving = async {
        for ticket in &tickets[..50] {
            queue.leave(ticket).await.unwrap();
        }
    };
    tokio::join!(settle(&queue), settle(&other), leaving);
    settle(&queue).await;
    fixture.queues.refresh().await.unwrap();
    let line = by_lot(&key(&fixture, &queue).await, &tickets[50..]);
    let inside = is_active(&queue.touch(&line[0]).await);
    assert_line(&queue, &line[usize::from(inside)..]).await;
}

#[tokio::test]
async fn a_seed_that_the_operator_keeps_draws_nothing_until_it_is_revealed() {
    let fixture = Fixture::new();
    let seed = Seed::random();
    let rules = PolicyChange {
        seed_commitment: Some(Some(seed.commitment())),
        beacon: Some(Some("drand, round 7".to_owned())),
        ..lottery(&fixture)
    };
    let queue = fixture.queue("lottery-kept", rules).await;
    let tickets = crowd(&queue, 20).await;
    let reveal = async |seed: Option<&Seed>, beacon: Option<&str>| {
        let revealed = Revealed {
            seed: seed.cloned(),
            beacon: beacon.map(str::to_owned),
        };
        fixture.queues.reveal(queue.id(), revealed).await
    };
    let early = reveal(Some(&seed), Some("r7")).await;
    assert!(matches!(early, Err(RevealError::TooEarly)), "{early:?}");
    fixture.pass(HOUR);
    settle(&queue).await;
    let known = public(&fixture, &queue).await;
    assert_eq!(known.commitment, seed.commitment());
    assert!(known.entry.is_some() && known.drawn.is_none());
    assert!(is_hidden(&queue.touch(&tickets[0]).await.unwrap()));
    let other = reveal(Some(&Seed::random()), Some("r7")).await;
    assert!(matches!(other, Err(RevealError::OtherSeed)), "{other:?}");
    for (seed, beacon) in [(Some(&seed), None), (None, Some("r7"))] {
        let half = reveal(seed, beacon).await;
        assert!(matches!(half, Err(RevealError::Missing(_))), "{half:?}");
    }
    reveal(Some(&seed), Some("r7")).await.unwrap();
    settle(&queue).await;
    let drawn = public(&fixture, &queue).await.drawn.unwrap();
    let root = known.entry.unwrap().root;
    assert_eq!(
        (drawn.beacon.as_str(), &drawn.key),
        ("r7", &seed.key(&root, "r7").published())
    );
    assert_drawn(&fixture, &queue, &tickets).await;
    let again = reveal(Some(&seed), Some("r7")).await;
    assert!(matches!(again, Err(RevealError::TooLate)), "{again:?}");
}

#[tokio::test]
async fn another_beacon_that_is_named_after_the_doors_opened_changes_nothing_of_this_draw() {
    let (store, clock) = (Store::start(), Clock::system());
    let fixture = store.fixture(&clock);
    let named = |beacon: Option<&str>| PolicyChange {
        beacon: Some(beacon.map(str::to_owned)),
        ..PolicyChange::default()
    };
    let rules = PolicyChange {
        beacon: named(Some("drand, round 7")).beacon,
        ..lottery(&fixture)
    };
    let queue = fixture.queue("main", rules).await;
    let tickets = crowd(&queue, 8).await;
    fixture.change("main", named(Some("drand, round 8"))).await;
    assert_eq!(queue.snapshot().beacon(), Some("drand, round 8"), "before");
    fixture.pass(HOUR);
    // The change itself finds that the doors are open: also what nobody noticed yet is fixed.
    fixture.change("main", named(Some("drand, round 9"))).await;
    settle(&queue).await;
    for beacon in [None, Some("drand, round 10")] {
        fixture.change("main", named(beacon)).await;
        settle(&queue).await;
        assert!(public(&fixture, &queue).await.drawn.is_none(), "{beacon:?}");
        assert_eq!(queue.snapshot().beacon(), Some("drand, round 8"));
        assert_eq!(queue.awaited_beacon().as_deref(), Some("drand, round 8"));
    }
    // Nor does a loss.
    store.flush().await;
    fixture.queues.refresh().await.unwrap();
    fixture.pass(RECOVERY);
    assert_eq!(queue.snapshot().beacon(), Some("drand, round 8"));
    for ticket in &tickets {
        assert!(is_hidden(&queue.rank(ticket).await.unwrap()));
    }
    settle(&queue).await;
    let revealed = Revealed::beacon("r8".to_owned()).unwrap();
    fixture.queues.reveal(queue.id(), revealed).await.unwrap();
    settle(&queue).await;
    assert_eq!(public(&fixture, &queue).await.drawn.unwrap().beacon, "r8");
}

#[tokio::test]
async fn the_next_lottery_has_the_beacon_that_is_named_for_it() {
    let fixture = Fixture::new();
    let rules = |beacon: Option<&str>| PolicyChange {
        beacon: Some(beacon.map(str::to_owned)),
        ..lottery(&fixture)
    };
    let queue = fixture.queue("lottery-next-beacon", rules(None)).await;
    fixture.pass(HOUR);
    settle(&queue).await;
    assert!(
        public(&fixture, &queue).await.drawn.is_some(),
        "none was named"
    );
    fixture
        .change("lottery-next-beacon", rules(Some("round 7")))
        .await;
    assert_eq!(queue.snapshot().beacon(), Some("round 7"));
    fixture.pass(HOUR);
    settle(&queue).await;
    assert!(public(&fixture, &queue).await.entry.is_some());
    assert_eq!(queue.awaited_beacon().as_deref(), Some("round 7"));
}

#[tokio::test]
async fn a_seed_that_is_chosen_again_is_counted_where_everybody_sees_it() {
    let fixture = Fixture::new();
    let rules = |seed: &Seed| PolicyChange {
        seed_commitment: Some(Some(seed.commitment())),
        ..lottery(&fixture)
    };
    let (first, second) = (Seed::random(), Seed::random());
    let queue = fixture.queue("lottery-reroll", rules(&first)).await;
    assert_eq!(public(&fixture, &queue).await.seeds, 1);
    fixture.change("lottery-reroll", rules(&first)).await;
    assert_eq!(public(&fixture, &queue).await.seeds, 1);
    fixture.change("lottery-reroll", rules(&second)).await;
    let known = public(&fixture, &queue).await;
    assert_eq!((known.seeds, known.commitment), (2, second.commitment()));
}
