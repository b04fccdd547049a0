//! Watching many places on one gateway, without HTTP.

use futures_util::FutureExt as _;
use gateway::queue::Standing;
use gateway::stream::{Streams, Update, Watch, WatchError};

use crate::fixture::{Fixture, crowd, is_active, places};

fn ahead(watch: &mut Watch) -> Option<u64> {
    match watch.update() {
        Update::Here(view) => match view.standing {
            Standing::Waiting { ahead } => Some(ahead),
            _ => None,
        },
        Update::Closed(_) => None,
    }
}

#[tokio::test]
async fn who_reads_slowly_is_told_the_latest_and_not_all_that_was_before() {
    let fixture = Fixture::new();
    let queue = fixture.queue("watch-slow", places(1)).await;
    let tickets = crowd(&queue, 6).await;
    let streams = Streams::new(10);
    let standing = queue.rank(&tickets[5]).await.unwrap();
    let mut watch = streams.watch(&queue, tickets[5], standing).unwrap();
    assert_eq!(ahead(&mut watch), Some(4));
    for gone in [1, 2, 3] {
        queue.leave(&tickets[gone]).await.unwrap();
        streams.look().await.unwrap();
    }
    assert!(watch.changed().await);
    assert_eq!(ahead(&mut watch), Some(1));
    assert!(
        watch.changed().now_or_never().is_none(),
        "one thing, not three"
    );
    streams.look().await.unwrap();
    assert!(watch.changed().now_or_never().is_none(), "nothing is new");
}

#[tokio::test]
async fn watching_changes_nothing_and_shows_nobody_up() {
    let fixture = Fixture::new();
    let queue = fixture.queue("watch-claim", places(1)).await;
    let tickets = crowd(&queue, 2).await;
    let streams = Streams::new(10);
    let standing = queue.rank(&tickets[1]).await.unwrap();
    let mut watch = streams.watch(&queue, tickets[1], standing).unwrap();
    queue.leave(&tickets[0]).await.unwrap();
    streams.look().await.unwrap();
    let Update::Here(view) = watch.update() else {
        panic!("inside");
    };
    let Standing::Active { until } = view.standing else {
        panic!("let in");
    };
    let left = until - fixture.clock.now();
    assert!(left.num_seconds() <= 60, "the claim, not the lease: {left}");
    fixture.pass(std::time::Duration::from_secs(61));
    streams.look().await.unwrap();
    // A stream alone claims nothing, and brings nobody back who did not show up.
    assert_eq!(ahead(&mut watch), Some(0));
    queue.admit().await.unwrap();
    streams.look().await.unwrap();
    assert!(watch.changed().now_or_never().is_none(), "parked");
    assert!(is_active(&queue.rank(&tickets[1]).await), "by asking");
}

#[tokio::test]
async fn a_watch_that_is_dropped_makes_room_for_another() {
    let fixture = Fixture::new();
    let queue = fixture.queue("watch-room", places(1)).await;
    let tickets = crowd(&queue, 2).await;
    let streams = Streams::new(1);
    let standing = queue.rank(&tickets[1]).await.unwrap();
    let watch = streams.watch(&queue, tickets[1], standing);
    assert!(matches!(
        streams.watch(&queue, tickets[0], standing),
        Err(WatchError::Full)
    ));
    assert_eq!(streams.open()[0].1, 1);
    drop(watch);
    streams.look().await.unwrap();
    assert!(streams.open().is_empty());
    assert!(streams.watch(&queue, tickets[0], standing).is_ok());
}

#[tokio::test]
async fn a_listener_comes_back_to_their_place_after_a_loss_without_asking() {
    let scratch = testbed::Scratch::new().unwrap();
    let redis = testbed::Redis::start(scratch.path(), Default::default()).unwrap();
    let fixture = Fixture::at(&redis.url(), chassis::time::Clock::system());
    let queue = fixture.queue("main", places(1)).await;
    let tickets = crowd(&queue, 300).await;
    let streams = Streams::new(1_000);
    let mut watches = Vec::new();
    for ticket in &tickets {
        let standing = queue.rank(ticket).await.unwrap();
        watches.push(streams.watch(&queue, *ticket, standing).unwrap());
    }
    let mut connection = crate::fixture::plain(&redis.url()).await;
    let flush = redis::cmd("FLUSHALL").exec_async(&mut connection).await;
    flush.unwrap();
    streams.look().await.unwrap();
    streams.look().await.unwrap();
    for (watch, turn) in watches.iter_mut().zip(0..) {
        assert_eq!(ahead(watch), Some(turn), "who was inside is first");
    }
}
