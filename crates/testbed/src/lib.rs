//! Private servers and the project's own programs, for tests and for development.
//!
//! Owns how a redis-server (alone, as a cluster, behind sentinels), a mariadbd, a broker, a proxy of others, PHP, a `gateway` and a `booking` are started, found ready and ended.
//! Promises: whatever it starts ends when the starting process ends, also when that is killed with -9;
//! it listens on 127.0.0.1 only, or on a host that is made for it alone; it writes in its own folder only, and never uses
//! a server of the system. It also finds the files of the checkout, for tests that read them.
//! It knows no other crate of this workspace: programs are binaries with environment variables.

mod browser;
mod checkout;
mod cut;
mod files;
mod hosts;
mod kafka;
mod kernel;
mod keys;
mod limits;
mod mariadb;
mod neighbour;
mod php;
mod port;
mod program;
mod redis;
mod shared;
mod stack;
mod supervised;
mod wait;

pub use browser::{BrowserDriver, BrowserKind};
pub use checkout::{checkout, crash_points, files_below, texts_below};
pub use cut::Network;
pub use files::{Profile, Scratch, TlsFiles, binary, find_program, is_root, report};
pub use hosts::Hosts;
pub use kafka::{Kafka, KafkaLogin, KafkaOptions, Operation, Resource};
pub use kernel::processes;
pub use keys::Keys;
pub use limits::{Limit, Limits, VARIABLE as LIMITS};
pub use mariadb::{DatabaseServer, GaleraCluster, MariaDb, MariaDbOptions};
pub use neighbour::{Neighbour, NeighbourKind};
pub use php::Php;
pub use port::{free_port, is_free};
pub use program::{Program, ProgramOptions};
pub use redis::{PartedCluster, Redis, RedisCluster, RedisOptions, RedisSentinels};
pub use shared::{kafka, mariadb, redis, redis_cluster};
pub use stack::{Brokers, Ended, Events, Stack, StackOptions};
pub use wait::{JUDGES_TIME, judges_time, wait_for};
#[cfg(feature = "tokio")]
pub use wait::{eventually, eventually_every, within};
