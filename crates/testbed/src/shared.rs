//! The servers that one test binary shares: started on first use, ended when the process ends.

use std::env;
use std::sync::OnceLock;

use crate::files::Scratch;
use crate::kafka::{Kafka, KafkaOptions};
use crate::mariadb::{DatabaseServer, MariaDb, MariaDbOptions};
use crate::redis::{Redis, RedisCluster, RedisOptions};

static SCRATCH: OnceLock<Scratch> = OnceLock::new();
static REDIS: OnceLock<Redis> = OnceLock::new();
static CLUSTER: OnceLock<RedisCluster> = OnceLock::new();
static KAFKA: OnceLock<Kafka> = OnceLock::new();
static GIVEN_SERVER: OnceLock<DatabaseServer> = OnceLock::new();
static MARIADB: OnceLock<MariaDb> = OnceLock::new();

/// A redis-server in RAM that remembers nothing. Tests keep apart by the names of their keys.
///
/// # Panics
/// When it cannot be started; the message shows the end of its log.
pub fn redis() -> &'static Redis {
    REDIS.get_or_init(|| {
        let folder = scratch().path().join("redis");
        Redis::start(&folder, RedisOptions::default()).expect("a redis-server for the tests")
    })
}

/// A cluster of three masters in RAM. Tests keep apart by the names of their keys, and end none of it.
///
/// # Panics
/// When it cannot be started; the message shows the end of a log.
pub fn redis_cluster() -> &'static RedisCluster {
    CLUSTER.get_or_init(|| {
        let folder = scratch().path().join("cluster");
        RedisCluster::start(&folder, &RedisOptions::default())
            .expect("a Redis Cluster for the tests")
    })
}

/// The address of a server in place of a private one, for tests that shall run on it.
const GIVEN: &str = "USHER_TEST_MYSQL_URL";

/// A mariadbd with its data in RAM, or the server that `cargo xtask test --mysql` names. Each test asks it for a database
/// of its own.
///
/// # Panics
/// When it cannot be started; the message shows the end of its log.
pub fn mariadb() -> &'static DatabaseServer {
    if let Ok(url) = env::var(GIVEN) {
        return GIVEN_SERVER.get_or_init(|| DatabaseServer::given(&url).expect(GIVEN));
    }
    MARIADB.get_or_init(|| {
        let folder = scratch().path().join("mariadb");
        MariaDb::start(&folder, MariaDbOptions::default()).expect("a mariadbd for the tests")
    })
}

/// A real Kafka. Tests keep apart by the names of their topics and groups, and end none of it.
///
/// # Panics
/// When it cannot be started; the message shows the end of its log.
pub fn kafka() -> &'static Kafka {
    KAFKA.get_or_init(|| {
        let folder = scratch().path().join("kafka");
        Kafka::start(&folder, &KafkaOptions::default()).expect("a Kafka for the tests")
    })
}

fn scratch() -> &'static Scratch {
    SCRATCH.get_or_init(|| Scratch::new().expect("a folder for the servers of the tests"))
}
