//! Owns how the services reach Redis.
//!
//! Two ways: a multiplexed connection that reconnects by itself, for the hot path, and a pool, for
//! work that is rare. Both have timeouts, so that a Redis that hangs never hangs a request.

use std::time::Duration;

use deadpool_redis::{PoolConfig, Runtime, Timeouts};
use redis::aio::{ConnectionManager, ConnectionManagerConfig};

/// No answer within this time is an error; a poll must be answered within a second.
const RESPONSE_TIMEOUT: Duration = Duration::from_millis(800);
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
/// Clones share the connection; every command of every clone travels on it without waiting for
/// the answers of others.
pub fn manager(url: &str) -> Result<ConnectionManager, RedisUrlInvalid> {
    let client = redis::Client::open(url).map_err(|cause| RedisUrlInvalid(cause.to_string()))?;
    let config = ConnectionManagerConfig::new()
        .set_response_timeout(Some(RESPONSE_TIMEOUT))
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        .set_number_of_retries(1)
        .set_max_delay(RECONNECT_AT_MOST);
    ConnectionManager::new_lazy_with_config(client, config)
        .map_err(|cause| RedisUrlInvalid(cause.to_string()))
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

#[cfg(test)]
mod tests {
    #[test]
    fn a_url_of_another_kind_is_refused_and_not_shown() {
        let refused = super::pool("http://user:secret@host", 1).expect_err("not Redis");
        assert!(!refused.to_string().contains("secret"));
        assert!(super::manager("nonsense").is_err());
    }

    #[tokio::test]
    async fn a_connection_is_made_only_when_it_is_used() {
        assert!(super::manager("redis://127.0.0.1:1/0").is_ok());
    }
}
