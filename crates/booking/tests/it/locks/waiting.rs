//! Two locks in Redis for which their takers wait; the service has neither. One is asked for again and again, the other
//! tells by a message that it is free.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use redis::aio::MultiplexedConnection;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout_at};
use uuid::Uuid;

use crate::seat_lock::plain;

/// How often somebody who spins asks again.
const AGAIN: Duration = Duration::from_millis(5);
/// Who waits for longer gives up, as a request would.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long a lock lives: longer than anybody needs it, for this is about those who wait.
const LIVES_MS: u32 = 60_000;
/// Gives a lock back, and tells those who wait.
const RELEASE: &str = "if redis.call('GET', KEYS[1]) == ARGV[1] then \
    redis.call('DEL', KEYS[1]) redis.call('PUBLISH', KEYS[1], '') end";

/// How somebody waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    Spinning,
    Listening,
}

/// The locks of a sale.
#[derive(Clone)]
pub struct Locks {
    redis: MultiplexedConnection,
    sale: Uuid,
    /// A message wakes one of those who wait here; all share a subscription, so that nobody has a connection of their own.
    freed: Arc<HashMap<String, Notify>>,
    _listener: Arc<JoinSet<()>>,
}

impl Locks {
    pub async fn open(url: &str, sale: Uuid, lots: usize) -> Self {
        let keys = (1..=lots).map(|lot| (key(sale, lot as i32), Notify::new()));
        let freed: Arc<HashMap<_, _>> = Arc::new(keys.collect());
        let client = redis::Client::open(url).unwrap();
        let (mut sink, mut messages) = client.get_async_pubsub().await.unwrap().split();
        sink.psubscribe(key(sale, "*")).await.unwrap();
        let mut listener = JoinSet::new();
        let waiting = Arc::clone(&freed);
        listener.spawn(async move {
            // The subscription lasts as long as its sink.
            let _sink = sink;
            while let Some(message) = messages.next().await {
                if let Some(lot) = waiting.get(message.get_channel_name()) {
                    lot.notify_one();
                }
            }
        });
        Self {
            redis: plain(url).await,
            sale,
            freed,
            _listener: Arc::new(listener),
        }
    }

    /// Waits for the lock of a lot; whether it was had in time.
    pub async fn take(&self, wait: Wait, lot: i32, owner: Uuid) -> bool {
        let key = key(self.sale, lot);
        let end = Instant::now() + PATIENCE;
        let mut again = interval_at(Instant::now() + AGAIN, AGAIN);
        again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if self.try_take(&key, owner).await {
                return true;
            }
            let pause = async {
                match wait {
                    Wait::Spinning => {
                        again.tick().await;
                    }
                    Wait::Listening => self.freed[&key].notified().await,
                }
            };
            if timeout_at(end, pause).await.is_err() || Instant::now() > end {
                return false;
            }
        }
    }

    async fn try_take(&self, key: &str, owner: Uuid) -> bool {
        let mut redis = self.redis.clone();
        let mut set = redis::cmd("SET");
        set.arg(key).arg(owner.as_bytes().as_slice());
        set.arg("NX").arg("PX").arg(LIVES_MS);
        let taken: Option<String> = set.query_async(&mut redis).await.unwrap();
        taken.is_some()
    }

    /// Gives the lock back, and wakes one of those who listen.
    pub async fn release(&self, lot: i32, owner: Uuid) {
        let mut redis = self.redis.clone();
        let mut release = redis::cmd("EVAL");
        release.arg(RELEASE).arg(1).arg(key(self.sale, lot));
        release.arg(owner.as_bytes().as_slice());
        release.exec_async(&mut redis).await.unwrap();
    }
}

fn key(sale: Uuid, lot: impl std::fmt::Display) -> String {
    format!("lot:{sale}:{lot}")
}
