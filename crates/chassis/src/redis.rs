//! Owns how the services reach Redis: a single one, a cluster, or one behind sentinels.
//!
//! Two ways: a multiplexed connection that reconnects by itself, for the hot path, and a pool, for
//! work that is rare. Both have timeouts, so that a Redis that hangs never hangs a request. On the
//! hot path a breaker stands before each call to each server, so that requests never pile up either,
//! and a master of a cluster that hangs is nobody's trouble but of those whose keys it has.

mod cluster;
mod node;
mod script;
mod sentinel;
mod slot;
mod url;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use deadpool_redis::{Manager, PoolConfig, PoolError, Runtime, Timeouts};
use redis::aio::ConnectionLike;
use redis::{Cmd, Pipeline, RedisFuture, RedisResult, Value};

use self::cluster::Cluster;
use self::node::{Asked, Node};
use self::sentinel::Sentinel;
use self::url::Place;

pub use self::script::{Call, Script};
pub use self::url::{Authorities, AuthoritiesInvalid, RedisUrl, RedisUrlInvalid};

/// No answer within this time is an error; a poll must be answered within a second.
const RESPONSE_TIMEOUT: Duration = Duration::from_millis(800);
/// Also where a connection has to be made first.
const CALL_TIMEOUT: Duration = Duration::from_millis(850);
/// A new connection must stand within this time.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
/// Whoever knows where a master is must say so within this time.
const LOOK_TIMEOUT: Duration = Duration::from_millis(500);
/// Where a master is away, it is asked again who took its place after this time at the earliest.
const LOOK_PAUSE: Duration = Duration::from_millis(100);

/// A multiplexed connection that connects at first use and again after each loss, and that finds the
/// new master after a failover.
///
/// Clones share the connection and its breakers; every command of every clone travels on it without
/// waiting for the answers of others. On a cluster a command goes to the master of its first key, and a
/// pipeline to that of its first command: keys that are used together must share a hash tag. A
/// command without a key goes to any master.
#[derive(Clone)]
pub struct Connection(Arc<Way>);

enum Way {
    Single(Node),
    Cluster(Cluster),
    Sentinel(Sentinel),
}

/// The connection of the hot path.
///
/// # Errors
/// When the settings do not hold together; nobody is asked before the first use.
pub fn connection(url: &RedisUrl) -> RedisResult<Connection> {
    let way = match &url.place {
        Place::Single(info) => Way::Single(Node::new(info.clone())?),
        Place::Cluster(seeds) => Way::Cluster(Cluster::new(seeds)?),
        Place::Sentinel(named) => Way::Sentinel(Sentinel::new(named.clone())),
    };
    Ok(Connection(Arc::new(way)))
}

impl Connection {
    /// Commands that have no answer yet.
    pub fn under_way(&self) -> usize {
        match &*self.0 {
            Way::Single(node) => node.under_way(),
            Way::Cluster(cluster) => cluster.under_way(),
            Way::Sentinel(sentinel) => sentinel.under_way(),
        }
    }

    async fn ask(&self, asked: Asked<'_>) -> RedisResult<Vec<Value>> {
        match &*self.0 {
            Way::Single(node) => node.ask(asked).await.into(),
            Way::Cluster(cluster) => cluster.ask(asked).await,
            Way::Sentinel(sentinel) => sentinel.ask(asked).await,
        }
    }
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move {
            let mut answers = self.ask(Asked::Command(command)).await?;
            let none = || io::Error::other("a command without an answer");
            Ok(answers.pop().ok_or_else(none)?)
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(self.ask(Asked::Pipeline(pipeline, offset, count)))
    }

    fn get_db(&self) -> i64 {
        match &*self.0 {
            Way::Single(node) => node.db(),
            // A cluster has no other.
            Way::Cluster(_) => 0,
            Way::Sentinel(sentinel) => sentinel.db(),
        }
    }
}

/// The way for rare work, which must not stand in the way of what is hot. Cheap to clone.
#[derive(Clone)]
pub enum Pool {
    /// Connections to a single Redis, each lent to one at a time.
    Single(deadpool_redis::Pool),
    /// A multiplexed connection of its own, which knows where the masters are: a pool would hold
    /// on to connections to a master that is one no more.
    Shared(Connection),
}

/// What a pool lends.
pub enum Lent {
    /// A connection that nobody else uses now.
    Own(deadpool_redis::Connection),
    /// A clone of the shared one.
    Shared(Connection),
}

/// A pool of at most `size` connections; waiting for one, making one and checking one have limits.
/// For a cluster and behind sentinels `size` means nothing.
///
/// # Errors
/// When the settings do not hold together; nobody is asked before the first use.
pub fn pool(url: &RedisUrl, size: usize) -> RedisResult<Pool> {
    let Place::Single(info) = &url.place else {
        return Ok(Pool::Shared(connection(url)?));
    };
    let config = PoolConfig {
        max_size: size,
        timeouts: Timeouts {
            wait: Some(CONNECT_TIMEOUT),
            create: Some(CONNECT_TIMEOUT),
            recycle: Some(CONNECT_TIMEOUT),
        },
        ..PoolConfig::default()
    };
    let pool = deadpool_redis::Pool::builder(Manager::new(info.clone())?)
        .config(config)
        .runtime(Runtime::Tokio1)
        .build();
    Ok(Pool::Single(pool.map_err(io::Error::other)?))
}

impl Pool {
    /// A connection, as soon as one is free.
    ///
    /// # Errors
    /// When none can be made, or none becomes free in time.
    pub async fn get(&self) -> Result<Lent, PoolError> {
        match self {
            Self::Single(pool) => Ok(Lent::Own(pool.get().await?)),
            Self::Shared(connection) => Ok(Lent::Shared(connection.clone())),
        }
    }
}

impl ConnectionLike for Lent {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::Own(connection) => connection.req_packed_command(command),
            Self::Shared(connection) => connection.req_packed_command(command),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::Own(connection) => connection.req_packed_commands(pipeline, offset, count),
            Self::Shared(connection) => connection.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::Own(connection) => connection.get_db(),
            Self::Shared(connection) => connection.get_db(),
        }
    }
}

#[cfg(test)]
mod tests {
    #[tokio::test]
    async fn a_connection_is_made_only_when_it_is_used() {
        for url in [
            "redis://127.0.0.1:1/0",
            "redis+cluster://127.0.0.1:1",
            "redis+sentinel://127.0.0.1:1/main",
        ] {
            let url = url.parse().expect("a URL");
            assert_eq!(super::connection(&url).expect("lazy").under_way(), 0);
            assert!(super::pool(&url, 1).is_ok());
        }
    }
}
