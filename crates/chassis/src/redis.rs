//! Owns how the services reach Redis: a single one, a cluster, or one behind sentinels.
//!
//! Visitors share a multiplexed connection that reconnects by itself; background work has a pool. Both
//! have timeouts, so that a Redis that hangs never hangs a request. A breaker stands before each call to
//! each server, so that requests never pile up either, and a hung master delays only its own keys.

mod cluster;
mod node;
mod refresh;
mod refusal;
mod script;
mod sentinel;
mod slot;
mod url;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use deadpool_redis::{Manager, PoolConfig, PoolError, Runtime, Timeouts};
use prometheus::Registry;
use redis::aio::ConnectionLike;
use redis::{Cmd, ConnectionAddr, Pipeline, RedisError, RedisFuture, RedisResult, Value};

use self::cluster::Cluster;
use self::node::{Node, Request};
use self::sentinel::Sentinel;
use self::url::Target;

use crate::metrics::look_up;

pub use self::script::{Call, Script};
pub use self::url::{CaBundle, CaBundleInvalid, RedisUrl, RedisUrlInvalid};

/// No answer within this time is an error, also where a connection has to be made first: a poll must
/// be answered within a second, also on a machine that has much else to do.
const CALL_TIMEOUT: Duration = Duration::from_millis(600);
/// A new connection must stand within this time.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);

/// A multiplexed connection that connects at first use and again after each loss, and that finds the
/// new master after a failover.
///
/// Clones share the connection and its breakers, and each thread has one of its own; every command of
/// every clone travels on it without waiting for the answers of others. On a cluster a command goes to
/// the master of its first key, and a pipeline to that of its first command: keys that are used
/// together must share a hash tag. A command without a key goes to any master.
#[derive(Clone)]
pub struct Connection(Arc<Topology>);

// One for each process and behind an `Arc`: its size is of no matter.
#[allow(clippy::large_enum_variant)]
enum Topology {
    Single(Node),
    Cluster(Cluster),
    Sentinel(Sentinel),
}

/// What went wrong, in the words of the server where it said any.
pub fn words(cause: &RedisError) -> String {
    match (cause.code(), cause.detail()) {
        // What a server says to a long command of who did not log in; to a short one it says NOAUTH.
        (Some(_), Some(detail)) if detail.contains("unauthenticated") => {
            format!("NOAUTH {detail}")
        }
        (Some(code), Some(detail)) => format!("{code} {detail}"),
        _ => cause.to_string(),
    }
}

/// The connection of the hot path.
///
/// # Errors
/// When the settings do not hold together; no server is asked before the first use.
pub fn connection(url: &RedisUrl) -> RedisResult<Connection> {
    let topology = match &url.target {
        Target::Single(info) => Topology::Single(Node::new(info.clone())?),
        Target::Cluster(seeds) => Topology::Cluster(Cluster::new(seeds)?),
        Target::Sentinel(named) => Topology::Sentinel(Sentinel::new(named.clone())),
    };
    Ok(Connection(Arc::new(topology)))
}

impl Connection {
    /// Whether the circuit to Redis is open because it did not answer; of a cluster, to any master.
    pub fn is_circuit_open(&self) -> bool {
        match &*self.0 {
            Topology::Single(node) => node.is_circuit_open(),
            Topology::Cluster(cluster) => cluster.is_circuit_open(),
            Topology::Sentinel(sentinel) => sentinel.is_circuit_open(),
        }
    }

    /// Commands that have no answer yet.
    pub fn in_flight(&self) -> usize {
        match &*self.0 {
            Topology::Single(node) => node.in_flight(),
            Topology::Cluster(cluster) => cluster.in_flight(),
            Topology::Sentinel(sentinel) => sentinel.in_flight(),
        }
    }

    async fn ask(&self, request: Request<'_>) -> RedisResult<Vec<Value>> {
        match &*self.0 {
            Topology::Single(node) => node.ask(request).await.into(),
            Topology::Cluster(cluster) => cluster.ask(request).await,
            Topology::Sentinel(sentinel) => sentinel.ask(request).await,
        }
    }
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move {
            let mut answers = self.ask(Request::Command(command)).await?;
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
        Box::pin(self.ask(Request::Pipeline(pipeline, offset, count)))
    }

    fn get_db(&self) -> i64 {
        match &*self.0 {
            Topology::Single(node) => node.db(),
            // A cluster has no other.
            Topology::Cluster(_) => 0,
            Topology::Sentinel(sentinel) => sentinel.db(),
        }
    }
}

/// For background work, which must not delay the hot path. Cheap to clone.
#[derive(Clone)]
pub enum Pool {
    /// Connections to a single Redis at this address, each lent to one at a time.
    Single(deadpool_redis::Pool, Arc<ConnectionAddr>),
    /// A multiplexed connection of its own, which knows where the masters are: a pool would hold
    /// on to connections to a master that is one no more.
    Shared(Connection),
}

/// What a pool lends.
pub enum Lent {
    /// A connection that no other caller uses now.
    Own(deadpool_redis::Connection),
    /// A clone of the shared one.
    Shared(Connection),
}

/// A pool of at most `size` connections; waiting for one, making one and checking one have limits.
/// For a cluster and behind sentinels `size` means nothing.
///
/// # Errors
/// When the settings do not hold together; no server is asked before the first use.
pub fn pool(url: &RedisUrl, size: usize) -> RedisResult<Pool> {
    let Target::Single(info) = &url.target else {
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
    let addr = Arc::new(info.addr().clone());
    Ok(Pool::Single(pool.map_err(io::Error::other)?, addr))
}

impl Pool {
    /// A connection, as soon as one is free.
    ///
    /// # Errors
    /// When none can be made, or none becomes free in time. A server that lets nobody in is quoted.
    pub async fn get(&self) -> Result<Lent, PoolError> {
        let (pool, addr) = match self {
            Self::Single(pool, addr) => (pool, addr),
            Self::Shared(connection) => return Ok(Lent::Shared(connection.clone())),
        };
        match pool.get().await {
            Ok(connection) => Ok(Lent::Own(connection)),
            Err(PoolError::Backend(cause)) if refusal::was_not_reached(&cause) => {
                // Boxed, so that the future of who is lent a connection stays small.
                let cause = Box::pin(refusal::in_words(addr, cause)).await;
                Err(PoolError::Backend(cause))
            }
            Err(other) => Err(other),
        }
    }

    /// Connections in use, idle ones, the most there may be, and callers who wait for one.
    fn usage(&self) -> [i64; 4] {
        let usage = match self {
            Self::Single(pool, _) => {
                let status = pool.status();
                let in_use = status.size.saturating_sub(status.available);
                [in_use, status.available, status.max_size, status.waiting]
            }
            // One connection, and no caller waits for it.
            Self::Shared(connection) => {
                let in_use = connection.in_flight().min(1);
                [in_use, 1 - in_use, 1, 0]
            }
        };
        usage.map(|count| i64::try_from(count).unwrap_or(i64::MAX))
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

/// Shows how the pool of this process is used.
///
/// # Panics
/// When the registry already has the metrics of one: that is a mistake in the program.
pub fn show_pool(registry: &Registry, pool: Pool) {
    let gauges = [
        (
            "redis_pool_in_use",
            "Connections of the pool to Redis that are in use",
        ),
        ("redis_pool_idle", "Connections of the pool that are idle"),
        ("redis_pool_max", "Connections that the pool may have"),
        ("redis_pool_waiting", "Callers who wait for a connection"),
    ];
    look_up(registry, gauges, move || pool.usage());
}

#[cfg(test)]
mod tests {
    use prometheus::{Registry, TextEncoder};
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    #[test]
    fn a_pool_shows_its_size_before_it_is_used() {
        let registry = Registry::new();
        let pool =
            super::pool(&"redis://127.0.0.1:1/0".parse().expect("a URL"), 3).expect("a pool");
        super::show_pool(&registry, pool);
        let text = TextEncoder::new().encode_to_string(&registry.gather());
        let text = text.expect("text");
        for line in [
            "redis_pool_max 3",
            "redis_pool_in_use 0",
            "redis_pool_waiting 0",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }

    #[tokio::test]
    async fn a_server_that_lets_nobody_in_is_quoted_by_a_pool() {
        const DENIED: &str = "-DENIED Redis is running in protected mode\r\n";
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let url = format!("redis://127.0.0.1:{port}/0");
        let pool = super::pool(&url.parse().expect("a URL"), 1).expect("a pool");
        // Who writes before they read hears only that it was closed: so does the first one here, for certain.
        let refuse = async {
            for said in ["", DENIED] {
                let (mut stream, _) = listener.accept().await.expect("somebody");
                stream.write_all(said.as_bytes()).await.expect("written");
            }
        };
        let (lent, ()) = tokio::join!(pool.get(), refuse);
        let told = lent.err().map(|cause| cause.to_string());
        let told = told.expect("nothing is lent");
        assert!(
            told.contains("DENIED Redis is running in protected mode"),
            "{told}"
        );
    }

    #[tokio::test]
    async fn a_connection_is_made_only_when_it_is_used() {
        for url in [
            "redis://127.0.0.1:1/0",
            "redis+cluster://127.0.0.1:1",
            "redis+sentinel://127.0.0.1:1/main",
        ] {
            let url = url.parse().expect("a URL");
            assert_eq!(super::connection(&url).expect("lazy").in_flight(), 0);
            assert!(super::pool(&url, 1).is_ok());
        }
    }
}
