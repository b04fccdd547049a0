//! What a verb costs in Redis, counted by Redis itself. The page of the architecture shows the same numbers.

use std::collections::BTreeMap;
use std::pin::Pin;

use chassis::time::Clock;
use gateway::queue::Queue;
use testbed::{Redis, RedisOptions, Scratch};

use crate::fixture::{Fixture, crowd, is_active, places, user};

/// What connections say for themselves, and the call of a script.
const ASIDE: [&str; 9] = [
    "evalsha",
    "eval",
    "info",
    "client|setinfo",
    "hello",
    "ping",
    "script|load",
    "config|resetstat",
    "unwatch",
];

struct Meter {
    redis: redis::aio::MultiplexedConnection,
    _server: Redis,
    _scratch: Scratch,
}

impl Meter {
    async fn open() -> (Self, Fixture) {
        let scratch = Scratch::new().unwrap();
        let server = Redis::start(scratch.path(), RedisOptions::default()).unwrap();
        let redis = crate::fixture::plain(&server.url()).await;
        let fixture = Fixture::at(&server.url(), Clock::system());
        let meter = Self {
            redis,
            _server: server,
            _scratch: scratch,
        };
        (meter, fixture)
    }

    /// The commands that `act` needs. Boxed, because all of them together are more than a stack holds.
    async fn count<T>(&mut self, verb: &str, act: Pin<Box<impl Future<Output = T>>>) -> (u64, T) {
        let reset = redis::cmd("CONFIG").arg("RESETSTAT").to_owned();
        reset.exec_async(&mut self.redis).await.unwrap();
        let done = act.await;
        let mut asked = redis::cmd("INFO");
        let asked = asked.arg("commandstats").query_async(&mut self.redis);
        let stats: String = asked.await.unwrap();
        let calls: BTreeMap<_, u64> = stats.lines().filter_map(calls).collect();
        assert!(!calls.is_empty(), "{verb}: Redis was asked for nothing");
        (calls.values().sum(), done)
    }
}

/// `cmdstat_zrank:calls=7,usec=…` as a name and a number.
fn calls(line: &str) -> Option<(String, u64)> {
    let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
    let calls = rest.split(',').next()?.parse().ok()?;
    (!ASIDE.contains(&name)).then(|| (name.to_owned(), calls))
}

async fn admit(queue: &Queue) -> usize {
    queue.admit().await.unwrap().users.len()
}

#[tokio::test]
async fn a_verb_costs_as_many_commands_as_the_page_says() {
    let (mut meter, fixture) = Meter::open().await;
    let queue = fixture.queue("main", places(1)).await;
    let inside = queue.join(user()).await.unwrap().ticket;
    let line = crowd(&queue, 5_000).await;
    fixture.queues.refresh().await.unwrap();
    admit(&queue).await;

    let (deep, _) = meter
        .count("poll deep in the line", Box::pin(queue.poll(&line[4_999])))
        .await;
    assert_eq!(deep, 2);
    let (near, _) = meter
        .count("poll near the head", Box::pin(queue.poll(&line[0])))
        .await;
    let (again, _) = meter
        .count("the same again", Box::pin(queue.poll(&line[0])))
        .await;
    assert_eq!(again, 2, "it is known that they are there");
    let (poll, standing) = meter
        .count("poll inside", Box::pin(queue.poll(&inside)))
        .await;
    assert!(is_active(&standing.map(|(standing, _)| standing)));
    let (touch, _) = meter
        .count("request inside", Box::pin(queue.touch(&inside)))
        .await;
    let (join, joined) = meter.count("join", Box::pin(queue.join(user()))).await;
    let joined = joined.unwrap().ticket;
    let (second, _) = meter
        .count("join again", Box::pin(queue.join(joined.user)))
        .await;
    let (leave, _) = meter
        .count("leave the line", Box::pin(queue.leave(&joined)))
        .await;
    let (idle, admitted) = meter
        .count("admit, full house", Box::pin(admit(&queue)))
        .await;
    assert_eq!(admitted, 0);
    let (swap, left) = meter
        .count(
            "leave inside, the next enters",
            Box::pin(queue.leave(&inside)),
        )
        .await;
    assert!(left.unwrap().freed);
    let (snapshot, _) = meter
        .count("refresh", Box::pin(fixture.queues.refresh()))
        .await;
    fixture.change("main", places(101)).await;
    let (many, admitted) = meter
        .count("admit a hundred", Box::pin(admit(&queue)))
        .await;
    assert_eq!(admitted, 100);
    let (ranks, _) = meter
        .count("ranks of 200", Box::pin(queue.ranks(&line[200..400])))
        .await;
    let counted = [
        near, poll, touch, join, second, leave, idle, swap, snapshot, many, ranks,
    ];
    assert!(counted.iter().all(|it| *it > 0), "{counted:?}");
    assert_eq!(
        [near, poll, touch, join, second, leave],
        [10, 9, 4, 12, 11, 5]
    );
    assert!(
        many <= idle + 20,
        "one entering or a hundred: the same commands"
    );
}
