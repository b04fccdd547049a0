//! Owns how the services reach Redis.
//!
//! Two ways: a multiplexed connection that reconnects by itself, for the hot path, and a pool, for
//! work that is rare. Both have timeouts, so that a Redis that hangs never hangs a request. On the
//! hot path a breaker stands before each call, so that requests never pile up either.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use deadpool_redis::{PoolConfig, Runtime, Timeouts};
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntGauge, Registry};
use redis::aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig};
use redis::{Cmd, Pipeline, RedisError, RedisFuture, RedisResult, Value};

use crate::breaker::Breaker;

/// No answer within this time is an error; a poll must be answered within a second.
const RESPONSE_TIMEOUT: Duration = Duration::from_millis(800);
/// Also where a connection has to be made first.
const CALL_TIMEOUT: Duration = Duration::from_millis(850);
/// A healthy Redis has a few dozen calls under way, and thousands for a moment when a crowd comes at
/// once. So many mean that it cannot follow.
const MOST_UNDER_WAY: usize = 32_768;
/// A new connection must stand within this time.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
/// Reconnecting is tried again at least this often while Redis is away.
const RECONNECT_AT_MOST: Duration = Duration::from_secs(1);

/// The URL of a Redis that cannot be understood. The URL is not shown: it may hold a password.
#[derive(Debug, thiserror::Error)]
#[error("not a Redis URL ({0}); it looks like redis://127.0.0.1:6379/0")]
pub struct RedisUrlInvalid(String);

/// A multiplexed connection that connects at first use and again after each loss.
///
/// Clones share the connection and its breaker; every command of every clone travels on it without
/// waiting for the answers of others.
#[derive(Clone)]
pub struct Connection {
    manager: ConnectionManager,
    breaker: Arc<Breaker>,
}

/// The connection of the hot path.
pub fn connection(url: &str) -> Result<Connection, RedisUrlInvalid> {
    let client = redis::Client::open(url).map_err(|cause| RedisUrlInvalid(cause.to_string()))?;
    let config = ConnectionManagerConfig::new()
        .set_response_timeout(Some(RESPONSE_TIMEOUT))
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        .set_number_of_retries(1)
        .set_max_delay(RECONNECT_AT_MOST);
    let manager = ConnectionManager::new_lazy_with_config(client, config)
        .map_err(|cause| RedisUrlInvalid(cause.to_string()))?;
    Ok(Connection {
        manager,
        breaker: Arc::new(Breaker::new(MOST_UNDER_WAY)),
    })
}

impl Connection {
    /// Whether Redis is left alone because it did not answer.
    pub fn is_left_alone(&self) -> bool {
        self.breaker.is_open()
    }

    /// Commands that have no answer yet.
    pub fn under_way(&self) -> usize {
        self.breaker.under_way()
    }
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        let answer = self.manager.req_packed_command(command);
        Box::pin(guarded(&self.breaker, answer))
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        let answers = self.manager.req_packed_commands(pipeline, offset, count);
        Box::pin(guarded(&self.breaker, answers))
    }

    fn get_db(&self) -> i64 {
        self.manager.get_db()
    }
}

async fn guarded<T>(breaker: &Breaker, answer: RedisFuture<'_, T>) -> RedisResult<T> {
    let call = breaker.pass().map_err(io::Error::other)?;
    let answer = tokio::time::timeout(CALL_TIMEOUT, answer)
        .await
        .unwrap_or_else(|late| Err(io::Error::from(late).into()));
    match &answer {
        Err(cause) if was_not_reached(cause) => call.in_vain(),
        _ => call.answered(),
    }
    answer
}

fn was_not_reached(cause: &RedisError) -> bool {
    cause.is_io_error() || cause.is_unrecoverable_error()
}

/// A pool of at most `size` connections; waiting for one, making one and checking one have limits.
pub fn pool(url: &str, size: usize) -> Result<deadpool_redis::Pool, RedisUrlInvalid> {
    let mut config = deadpool_redis::Config::from_url(url);
    config.pool = Some(PoolConfig {
        max_size: size,
        timeouts: Timeouts {
            wait: Some(CONNECT_TIMEOUT),
            create: Some(CONNECT_TIMEOUT),
            recycle: Some(CONNECT_TIMEOUT),
        },
        ..PoolConfig::default()
    });
    config
        .create_pool(Some(Runtime::Tokio1))
        .map_err(|cause| RedisUrlInvalid(cause.to_string()))
}

/// How a pool is used, asked of it when the metrics are read.
pub struct PoolMetrics {
    pool: deadpool_redis::Pool,
    gauges: [IntGauge; 4],
}

impl PoolMetrics {
    /// Registers the metrics of the pool of this process.
    ///
    /// # Panics
    /// When the registry already has them: that is a mistake in the program.
    pub fn register(registry: &Registry, pool: deadpool_redis::Pool) {
        let gauges = [
            (
                "redis_pool_in_use",
                "Connections of the pool to Redis that are in use",
            ),
            ("redis_pool_idle", "Connections of the pool that are idle"),
            ("redis_pool_max", "Connections that the pool may have"),
            ("redis_pool_waiting", "Callers who wait for a connection"),
        ];
        let gauges = gauges.map(|(name, help)| IntGauge::new(name, help).expect("a sound name"));
        registry
            .register(Box::new(Self { pool, gauges }))
            .expect("registered once");
    }
}

impl Collector for PoolMetrics {
    fn desc(&self) -> Vec<&Desc> {
        self.gauges.iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let status = self.pool.status();
        let values = [
            status.size.saturating_sub(status.available),
            status.available,
            status.max_size,
            status.waiting,
        ];
        for (gauge, value) in self.gauges.iter().zip(values) {
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        }
        self.gauges.iter().flat_map(Collector::collect).collect()
    }
}

#[cfg(test)]
mod tests {
    use prometheus::{Registry, TextEncoder};

    #[test]
    fn a_pool_shows_its_size_before_it_is_used() {
        let registry = Registry::new();
        let pool = super::pool("redis://127.0.0.1:1/0", 3).expect("a pool");
        super::PoolMetrics::register(&registry, pool);
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

    #[test]
    fn a_url_of_another_kind_is_refused_and_not_shown() {
        let refused = super::pool("http://user:secret@host", 1).expect_err("not Redis");
        assert!(!refused.to_string().contains("secret"));
        assert!(super::connection("nonsense").is_err());
    }

    #[tokio::test]
    async fn a_connection_is_made_only_when_it_is_used() {
        assert!(super::connection("redis://127.0.0.1:1/0").is_ok());
    }
}
