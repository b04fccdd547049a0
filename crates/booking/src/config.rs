//! Owns the configuration of this service: a pure function of the environment.
//!
//! Reading a variable also declares it, so `--help` lists exactly what is read. A bad value names
//! its variable, and the value of a secret is never shown.

mod forwarding;
mod kafka;
mod provider;
mod reconciling;

use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use chassis::env::{Configuration, Env};
use chassis::logging::LogRules;
use chassis::redis::RedisUrl;
use chassis::trace::Exporting;
use chrono::TimeDelta;

use crate::db::check_url;
use crate::kafka::Cluster;
use crate::pass::PassKeys;
pub use forwarding::{Forwarding, Receiving};
pub use provider::{ProviderConfig, Sandbox};
pub use reconciling::Reconciling;

/// Everything that an operator may choose.
pub struct Config {
    /// `BOOKING_LISTEN`: where the API listens; 127.0.0.1:8081.
    pub listen: SocketAddr,
    /// `BOOKING_ADMIN_LISTEN`: where health and metrics are read; 127.0.0.1:9081.
    pub admin_listen: SocketAddr,
    /// `BOOKING_MYSQL_URL`: where every sale is decided.
    pub mysql_url: MysqlUrl,
    /// `BOOKING_REDIS_URL`: the seat locks; redis://127.0.0.1:6379/0. With `BOOKING_REDIS_CA`, who vouches for it.
    pub redis_url: RedisUrl,
    /// `BOOKING_PASS_KEY`: shared with the gateway.
    pub pass_keys: PassKeys,
    /// `BOOKING_HOLD_S`: how long seats are held unpaid, in seconds; 300.
    pub hold_s: i64,
    /// `BOOKING_MAX_SEATS`: seats of one visitor in one schedule; 4.
    pub max_seats: u16,
    /// `BOOKING_MAX_UNPAID_HOLDS`: holds in a row that a user may leave unpaid, of one schedule.
    pub max_unpaid_holds: u16,
    /// `BOOKING_EXTENSION_S`: how much longer a hold may last, once; 0 is not at all.
    pub extension_s: i64,
    /// `BOOKING_EXTENSION_FREE_SEATS`: free seats that a schedule must have then.
    pub extension_free_seats: u16,
    /// `BOOKING_DB_POOL`: connections to MySQL that are in use at once; 16.
    pub db_pool: u32,
    /// `BOOKING_WORKERS`: threads that serve HTTP; 0, which is one per core.
    pub workers: usize,
    /// `BOOKING_DRAIN_S`: how long a stop goes on answering, not ready; 5 s.
    pub drain: Duration,
    /// `BOOKING_GRACE_S`: what runs may take to finish, in seconds; 10.
    pub grace_s: u64,
    /// `BOOKING_START_WAIT_S`: how long to wait for MySQL at the start, in seconds; 30.
    pub start_wait: Duration,
    /// `BOOKING_SWEEP_BATCH`: holds ended in one transaction; 100.
    pub sweep_batch: u32,
    /// `BOOKING_KAFKA_…`: where events are published; without it they wait in the outbox.
    pub kafka: Option<Cluster>,
    /// `BOOKING_OUTBOX_REFUSALS`: how often a broker may refuse an event before it is given up; 20.
    pub outbox_refusals: u32,
    /// `BOOKING_OUTBOX_KEEP_DAYS`: how long delivered events are kept, in days; 7.
    pub outbox_keep: TimeDelta,
    /// `BOOKING_CACHE_MS`: how long lists of seats and dates are kept for readers, in milliseconds; 500.
    pub cache_age: TimeDelta,
    /// `BOOKING_OFFER_HOLD_S`: how long seats are held for somebody of a waiting list, in seconds; 600.
    pub offer_hold_s: i64,
    /// `BOOKING_CHARGES`, `BOOKING_PROVIDER_URL` and `…_SECRET`: who collects money; nobody, charges are direct.
    pub provider: Option<ProviderConfig>,
    /// `LOG_CONFIG`, `LOG_LEVEL`: where the log goes.
    pub log: LogRules,
    /// `OTEL_…`: where spans go; nowhere.
    pub traces: Option<Exporting>,
}

impl Configuration for Config {
    fn read(env: &mut Env<'_>) -> Option<Self> {
        let listen = env.or("BOOKING_LISTEN", "127.0.0.1:8081", LISTEN);
        let admin_listen = env.or("BOOKING_ADMIN_LISTEN", "127.0.0.1:9081", ADMIN_LISTEN);
        let mysql_url = env.secret("BOOKING_MYSQL_URL", MYSQL_URL);
        let redis_url = RedisUrl::read(env, "BOOKING_REDIS_URL", REDIS_URL, "BOOKING_REDIS_CA");
        let pass_keys = env.secret("BOOKING_PASS_KEY", PASS_KEY);
        let hold_s = within(env, "BOOKING_HOLD_S", "300", HOLD_S, 1, 3600);
        let max_seats = within(env, "BOOKING_MAX_SEATS", "4", MAX_SEATS, 1, 50);
        let unpaid = "BOOKING_MAX_UNPAID_HOLDS";
        let extension_s = within(env, "BOOKING_EXTENSION_S", "120", EXTENSION_S, 0, 3600);
        let name = "BOOKING_EXTENSION_FREE_SEATS";
        let extension_free_seats = within(env, name, "1", EXTENSION_FREE_SEATS, 0, 10_000);
        let max_unpaid_holds = within(env, unpaid, "12", MAX_UNPAID_HOLDS, 1, 10_000);
        let db_pool = within(env, "BOOKING_DB_POOL", "16", DB_POOL, 1, 500);
        let workers = within(env, "BOOKING_WORKERS", "0", WORKERS, 0, 256);
        let drain_s: u64 = within(env, "BOOKING_DRAIN_S", "5", DRAIN_S, 0, 300);
        let grace_s = within(env, "BOOKING_GRACE_S", "10", GRACE_S, 0, 300);
        let start_wait_s: u64 = within(env, "BOOKING_START_WAIT_S", "30", START_WAIT_S, 0, 600);
        let sweep_batch = within(env, "BOOKING_SWEEP_BATCH", "100", SWEEP_BATCH, 1, 1000);
        let kafka = kafka::read(env);
        let outbox_refusals = within(
            env,
            "BOOKING_OUTBOX_REFUSALS",
            "20",
            OUTBOX_REFUSALS,
            1,
            1000,
        );
        let keep_days = within(
            env,
            "BOOKING_OUTBOX_KEEP_DAYS",
            "7",
            OUTBOX_KEEP_DAYS,
            1,
            3650,
        );
        let cache_ms = within(env, "BOOKING_CACHE_MS", "500", CACHE_MS, 0, 10_000);
        let offer_hold_s = within(env, "BOOKING_OFFER_HOLD_S", "600", OFFER_HOLD_S, 1, 86_400);
        let provider = provider::provider(env);
        let log = LogRules::read(env);
        let traces = Exporting::read(env, "booking");
        Some(Self {
            listen,
            admin_listen,
            mysql_url: mysql_url?,
            redis_url,
            pass_keys: pass_keys?,
            hold_s,
            max_seats,
            max_unpaid_holds,
            extension_s,
            extension_free_seats,
            db_pool,
            workers,
            drain: Duration::from_secs(drain_s),
            grace_s,
            start_wait: Duration::from_secs(start_wait_s),
            sweep_batch,
            kafka,
            outbox_refusals,
            outbox_keep: TimeDelta::days(keep_days),
            cache_age: TimeDelta::milliseconds(cache_ms),
            offer_hold_s,
            provider,
            log,
            traces,
        })
    }
}

const LISTEN: &str =
    "Address and port of the API. It is private: clients come through the gateway.";
const ADMIN_LISTEN: &str = "Address and port of /live, /ready and /metrics.";
const MYSQL_URL: &str = "The database, as mysql://user:password@host:port/database; for a cluster host:port,host:port.\n\
    The first that takes writes is used, and another when it dies. ?ssl_mode=verify_identity&ssl_ca=FILE is TLS with\n\
    the server's certificate and name checked; without either there is none.";
const REDIS_URL: &str = "The Redis of the seat locks. Booking serves without it, with more work for MySQL.\n\
    redis://[user:password@]host:6379[/db], redis+cluster://[user:password@]host:6379,host:6379,\n\
    redis+sentinel://[user:password@]host:26379,host:26379/master[/db]; rediss is over TLS.";
const PASS_KEY: &str = "The secret shared with the gateway that signs X-Usher-Pass:\n\
    base64url, at least 32 bytes. Two, apart by a comma, are both in force during a rotation.";
const HOLD_S: &str = "How long a reservation holds its seats, in seconds, 1 to 3600.\n\
    Long enough to pay, short enough that a seat that is not paid is soon free again.";
const MAX_SEATS: &str =
    "Most seats of one visitor in one schedule, 1 to 50. It keeps resellers small.";
const EXTENSION_S: &str = "How much longer a hold may last when its visitor asks, once, in seconds, 0 to 3600; 0 is not at all.";
const EXTENSION_FREE_SEATS: &str = "Free seats that a schedule must have when a hold is extended, 0 to 10000: the last ones are not kept from others.";
const MAX_UNPAID_HOLDS: &str = "Holds of one schedule that a visitor may make in a row without paying one, in 24 hours, 1 to 10000.\n\
    Holding the same seats again and again keeps them from others; 12 is an hour of holds.";
const DB_POOL: &str = "Connections to MySQL that are in use at once, 1 to 500; up to four times as many are open after a crowd, most of them idle. More requests than this wait shortly, then get 503.";
const WORKERS: &str = "Worker threads that serve HTTP, 0 to 256; 0 is one per core.";
const DRAIN_S: &str = "How long a stop goes on answering, not ready, in seconds, 0 to 300.\n\
    So long gateways and balancers may take to notice.";
const GRACE_S: &str =
    "How long requests that run may take to finish after SIGTERM, in seconds, 0 to 300.";
const START_WAIT_S: &str = "How long to wait for MySQL at the start, in seconds, 0 to 600.";
const SWEEP_BATCH: &str =
    "Holds that the sweeper ends in one transaction, 1 to 1000. It bounds how long locks are held.";
const OUTBOX_REFUSALS: &str = "How often a broker may refuse an event before it is given up, 1 to 1000.\n\
    An outage is no refusal: while the brokers are away, events wait.";
const OUTBOX_KEEP_DAYS: &str = "How long delivered events are kept, in days, 1 to 3650.";
const CACHE_MS: &str = "How long lists of seats and dates are kept for all who read them, in milliseconds, 0 to 10000; 0 keeps none.\n\
    What this instance sells shows at once; what others sell shows after this time. It never decides a sale.";
const OFFER_HOLD_S: &str = "How long seats that came back are held for somebody of the waiting list, in seconds, 1 to 86400.\n\
    Longer than a usual hold: nobody sits before the page and waits for it.";

/// A number from `least` to `most`.
fn within<T>(
    env: &mut Env,
    name: &'static str,
    default: &'static str,
    help: &'static str,
    least: T,
    most: T,
) -> T
where
    T: FromStr + PartialOrd + std::fmt::Display,
    T::Err: std::fmt::Display,
{
    let value: T = env.or(name, default, help);
    let must = format!("must be from {least} to {most}, it is {value}");
    env.check(name, least <= value && value <= most, &must);
    value
}

/// A MySQL address with a database; it may hold a password, so it is never shown.
#[derive(Clone)]
pub struct MysqlUrl(String);

impl MysqlUrl {
    /// The address, for the driver alone.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for MysqlUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        check_url(text).map_err(|invalid| invalid.0)?;
        Ok(Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::{Config, Configuration as _};

    const SECRET: &str = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldC0wMQ";

    fn read(name: &str, value: &str) -> Result<Config, String> {
        let lookup = |asked: &str| match asked {
            asked if asked == name => Some(value.to_owned()),
            "BOOKING_MYSQL_URL" => Some("mysql://usher:hunter2@localhost:3306/usher".to_owned()),
            "BOOKING_PASS_KEY" => Some(SECRET.to_owned()),
            _ => None,
        };
        Config::found(&lookup).map_err(|invalid| invalid.to_string())
    }

    #[test]
    fn without_more_than_the_two_secrets_every_variable_has_the_default_of_the_help_page() {
        let config = read("", "").expect("complete");
        assert_eq!(config.listen.port(), 8081);
        assert_eq!(config.admin_listen.port(), 9081);
        assert_eq!(config.hold_s, 300);
        assert_eq!((config.max_seats, config.db_pool), (4, 16));
        assert!(Config::page().contains("BOOKING_HOLD_S  [default: 300]"));
    }

    #[test]
    fn every_bad_value_names_its_variable() {
        for (name, value) in [
            ("BOOKING_LISTEN", "8081"),
            ("BOOKING_ADMIN_LISTEN", "localhost"),
            ("BOOKING_MYSQL_URL", ""),
            ("BOOKING_MYSQL_URL", "postgres://a:b@c/d"),
            ("BOOKING_MYSQL_URL", "mysql://user@host:3306/"),
            ("BOOKING_MYSQL_URL", "mysql://user@host:port/usher"),
            ("BOOKING_REDIS_URL", "http://localhost"),
            ("BOOKING_PASS_KEY", ""),
            ("BOOKING_PASS_KEY", "c2hvcnQ"),
            (
                "BOOKING_PASS_KEY",
                "not base64url, at all, and long enough to be one",
            ),
            ("BOOKING_HOLD_S", "0"),
            ("BOOKING_HOLD_S", "3601"),
            ("BOOKING_HOLD_S", "five"),
            ("BOOKING_MAX_SEATS", "0"),
            ("BOOKING_MAX_UNPAID_HOLDS", "0"),
            ("BOOKING_EXTENSION_S", "3601"),
            ("BOOKING_EXTENSION_FREE_SEATS", "-1"),
            ("BOOKING_DB_POOL", "0"),
            ("BOOKING_WORKERS", "257"),
            ("BOOKING_DRAIN_S", "301"),
            ("BOOKING_GRACE_S", "301"),
            ("BOOKING_START_WAIT_S", "1h"),
            ("BOOKING_SWEEP_BATCH", "0"),
            ("BOOKING_CACHE_MS", "10001"),
            ("BOOKING_KAFKA_BROKERS", "localhost"),
            ("BOOKING_KAFKA_OPTIONS", "acks"),
            ("BOOKING_KAFKA_TOPIC", "a b"),
            ("BOOKING_OUTBOX_REFUSALS", "0"),
            ("BOOKING_OUTBOX_KEEP_DAYS", "0"),
            ("LOG_LEVEL", "loud"),
        ] {
            let told = read(name, value).err();
            let told = told.unwrap_or_else(|| panic!("{name}={value:?} is accepted"));
            assert!(told.contains(name), "{name}={value:?}: {told}");
        }
    }

    #[test]
    fn every_usual_form_of_a_database_address_is_taken() {
        for url in [
            "mysql://root@localhost/usher",
            "mysql://root:a%40b@db.example:3307/usher",
            "mysql://root:x@[::1]/usher",
            "mysql://root:x@db.example:3306/usher?ssl_ca=/etc/ca.pem",
            "mysql://root:x@db-1,db-2:3307,10.0.0.3/usher",
        ] {
            assert!(read("BOOKING_MYSQL_URL", url).is_ok(), "{url}");
        }
    }

    #[test]
    fn a_secret_is_never_shown() {
        for (name, value) in [
            ("BOOKING_MYSQL_URL", "mysql://root:hunter2@host:x/usher"),
            ("BOOKING_REDIS_URL", "http://root:hunter2@host"),
            ("BOOKING_PASS_KEY", "hunter2"),
            ("BOOKING_KAFKA_OPTIONS", "sasl.pasword=hunter2"),
        ] {
            let told = read(name, value).err().expect("refused");
            assert!(!told.contains("hunter2"), "{told}");
        }
    }

    #[test]
    fn two_pass_keys_are_both_read() {
        assert!(read("BOOKING_PASS_KEY", &format!("{SECRET},{SECRET}")).is_ok());
        assert!(read("BOOKING_PASS_KEY", &format!("{SECRET},")).is_err());
    }
}
