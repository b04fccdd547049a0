//! What `booking forward` and `booking receive` read of the environment.

use std::net::SocketAddr;
use std::time::Duration;

use chassis::env::{Configuration, Env};
use chassis::logging::LogRules;
use chassis::trace::Exporting;
use chrono::TimeDelta;

use super::{MYSQL_URL, MysqlUrl, START_WAIT_S, kafka, within};
use crate::kafka::Cluster;
use crate::signed::{HttpUrl, Secrets};

/// Everything that an operator may choose for the forwarder.
pub struct Forwarding {
    /// `BOOKING_FORWARD_LISTEN`: where health and metrics are read; 127.0.0.1:9082.
    pub listen: SocketAddr,
    /// `BOOKING_MYSQL_URL`: which events were passed on.
    pub mysql_url: MysqlUrl,
    /// `BOOKING_KAFKA_…`: where events are read.
    pub cluster: Cluster,
    /// `BOOKING_KAFKA_GROUP`: members of a group share the events; data-platform.
    pub group: String,
    /// `BOOKING_WEBHOOK_URL`: who is told.
    pub webhook_url: HttpUrl,
    /// `BOOKING_WEBHOOK_SECRET`: what signs each event.
    pub webhook_secrets: Secrets,
    /// `BOOKING_WEBHOOK_TIMEOUT_S`: how long the receiver may take, in seconds; 10.
    pub webhook_timeout: Duration,
    /// `BOOKING_WEBHOOK_REFUSALS`: how often the receiver may refuse an event before it is given up; 10.
    pub webhook_refusals: u32,
    /// `BOOKING_FORWARD_KEEP_DAYS`: how long it is known which events were passed on, in days; 14.
    pub keep: TimeDelta,
    /// `BOOKING_START_WAIT_S`: how long to wait for MySQL at the start, in seconds; 30.
    pub start_wait: Duration,
    /// `LOG_CONFIG`, `LOG_LEVEL`: where the log goes.
    pub log: LogRules,
    /// `OTEL_…`: where spans go; nowhere.
    pub traces: Option<Exporting>,
}

impl Configuration for Forwarding {
    fn read(env: &mut Env<'_>) -> Option<Self> {
        let listen = env.or("BOOKING_FORWARD_LISTEN", "127.0.0.1:9082", FORWARD_LISTEN);
        let mysql_url = env.secret("BOOKING_MYSQL_URL", MYSQL_URL);
        let cluster = kafka::read(env);
        env.check(
            "BOOKING_KAFKA_BROKERS",
            cluster.is_some(),
            "must be set: it says where events are read",
        );
        let group: String = env.or("BOOKING_KAFKA_GROUP", "data-platform", GROUP);
        let is_group =
            (1..=64).contains(&group.len()) && group.bytes().all(|it| it.is_ascii_graphic());
        env.check(
            "BOOKING_KAFKA_GROUP",
            is_group,
            "must be 1 to 64 visible ASCII characters",
        );
        let webhook_url = env.secret("BOOKING_WEBHOOK_URL", WEBHOOK_URL);
        let webhook_secrets = env.secret("BOOKING_WEBHOOK_SECRET", WEBHOOK_SECRET);
        let timeout_s = within(
            env,
            "BOOKING_WEBHOOK_TIMEOUT_S",
            "10",
            WEBHOOK_TIMEOUT_S,
            1,
            60,
        );
        let webhook_refusals = within(
            env,
            "BOOKING_WEBHOOK_REFUSALS",
            "10",
            WEBHOOK_REFUSALS,
            1,
            1000,
        );
        let keep_days = within(env, "BOOKING_FORWARD_KEEP_DAYS", "14", KEEP_DAYS, 1, 3650);
        let start_wait_s = within(env, "BOOKING_START_WAIT_S", "30", START_WAIT_S, 0, 600);
        let log = LogRules::read(env);
        let traces = Exporting::read(env, "forwarder");
        Some(Self {
            listen,
            mysql_url: mysql_url?,
            cluster: cluster?,
            group,
            webhook_url: webhook_url?,
            webhook_secrets: webhook_secrets?,
            webhook_timeout: Duration::from_secs(timeout_s),
            webhook_refusals,
            keep: TimeDelta::days(keep_days),
            start_wait: Duration::from_secs(start_wait_s),
            log,
            traces,
        })
    }
}

/// Everything that may be chosen for the small receiver.
pub struct Receiving {
    /// `BOOKING_RECEIVE_LISTEN`: where events are taken; 127.0.0.1:8090.
    pub listen: SocketAddr,
    /// `BOOKING_WEBHOOK_SECRET`: what events are signed with.
    pub secrets: Secrets,
}

impl Configuration for Receiving {
    fn read(env: &mut Env<'_>) -> Option<Self> {
        let listen = env.or("BOOKING_RECEIVE_LISTEN", "127.0.0.1:8090", RECEIVE_LISTEN);
        let secrets = env.secret("BOOKING_WEBHOOK_SECRET", WEBHOOK_SECRET);
        Some(Self {
            listen,
            secrets: secrets?,
        })
    }
}

const FORWARD_LISTEN: &str = "Address and port of the forwarder's /live, /ready and /metrics.";
const GROUP: &str = "The consumer group. Forwarders of one group share the events; another group gets all of them again.";
const WEBHOOK_URL: &str = "Where events are posted to, http or https.";
const WEBHOOK_SECRET: &str = "Signs each event: whsec_ and 24 to 64 bytes in base64.\n\
    Two, apart by a comma, both sign during a rotation.";
const WEBHOOK_TIMEOUT_S: &str = "How long the receiver may take to answer, in seconds, 1 to 60.";
const WEBHOOK_REFUSALS: &str = "How often the receiver may refuse an event before it goes to the dead letters, 1 to 1000.\n\
    While the receiver is away, events wait.";
const KEEP_DAYS: &str = "How long it is known which events were passed on, in days, 1 to 3650.\n\
    Longer than the topic keeps events, or they could be passed on twice.";
const RECEIVE_LISTEN: &str = "Address and port at which events are taken.";

#[cfg(test)]
mod tests {
    use super::{Configuration as _, Forwarding, Receiving};

    const SECRET: &str = "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0";

    fn read(name: &str, value: &str) -> Result<Forwarding, String> {
        let lookup = |asked: &str| match asked {
            asked if asked == name => Some(value.to_owned()),
            "BOOKING_MYSQL_URL" => Some("mysql://usher:hunter2@localhost:3306/usher".to_owned()),
            "BOOKING_KAFKA_BROKERS" => Some("localhost:9092".to_owned()),
            "BOOKING_WEBHOOK_URL" => Some("https://data.example/events".to_owned()),
            "BOOKING_WEBHOOK_SECRET" => Some(SECRET.to_owned()),
            _ => None,
        };
        Forwarding::found(&lookup).map_err(|invalid| invalid.to_string())
    }

    #[test]
    fn every_variable_has_the_default_of_the_help_page() {
        let config = read("", "").expect("complete");
        assert_eq!(
            (config.listen.port(), config.group.as_str()),
            (9082, "data-platform")
        );
        assert_eq!(config.webhook_refusals, 10);
        assert!(Forwarding::page().contains("BOOKING_WEBHOOK_URL  [required]"));
        assert!(Receiving::page().contains("BOOKING_RECEIVE_LISTEN  [default: 127.0.0.1:8090]"));
    }

    #[test]
    fn every_bad_value_names_its_variable_and_no_secret_is_shown() {
        for (name, value) in [
            ("BOOKING_FORWARD_LISTEN", "9082"),
            ("BOOKING_MYSQL_URL", ""),
            ("BOOKING_KAFKA_BROKERS", ""),
            ("BOOKING_KAFKA_GROUP", "a b"),
            ("BOOKING_WEBHOOK_URL", "data.example"),
            ("BOOKING_WEBHOOK_URL", "ftp://hunter2@data.example"),
            ("BOOKING_WEBHOOK_SECRET", "hunter2"),
            ("BOOKING_WEBHOOK_SECRET", "whsec_aHVudGVyMg=="),
            ("BOOKING_WEBHOOK_SECRET", &format!("{SECRET},")),
            ("BOOKING_WEBHOOK_TIMEOUT_S", "0"),
            ("BOOKING_WEBHOOK_REFUSALS", "0"),
            ("BOOKING_FORWARD_KEEP_DAYS", "0"),
        ] {
            let told = read(name, value).err();
            let told = told.unwrap_or_else(|| panic!("{name}={value:?} is accepted"));
            assert!(
                told.contains(name) && !told.contains("hunter2"),
                "{name}={value:?}: {told}"
            );
        }
        assert!(read("BOOKING_WEBHOOK_SECRET", &format!("{SECRET},{SECRET}")).is_ok());
    }
}
