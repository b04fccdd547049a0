//! Owns how this service reaches Kafka: where it is, what an event looks like on a topic, and who sends it.
//!
//! Whatever an operator sets, a producer here is idempotent and waits for all replicas. Must not know where events come
//! from, nor what becomes of one that was not sent.

mod producer;

use std::str::FromStr;

use log::Level;
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::KafkaError;

pub use producer::{Producer, SendError};

/// After an outage the next try is at most this far away; the default of librdkafka lets many seconds pass.
const RECONNECT_MOST_MS: &str = "500";

/// Where the brokers are: `host:port`, apart by commas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Brokers(String);

impl FromStr for Brokers {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_address = |address: &str| {
            let (host, port) = address.trim().rsplit_once(':').unwrap_or_default();
            !host.is_empty() && port.parse::<u16>().is_ok()
        };
        if text.split(',').all(is_address) {
            Ok(Self(text.to_owned()))
        } else {
            Err("it must look like host:port,host:port")
        }
    }
}

/// Further settings of librdkafka. They may hold secrets, so they are never shown.
#[derive(Clone, Default)]
pub struct ClientOptions(Vec<(String, String)>);

impl FromStr for ClientOptions {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut options = Vec::new();
        for option in text.split(';').map(str::trim).filter(|it| !it.is_empty()) {
            let (name, value) = option
                .split_once('=')
                .ok_or("it must look like name=value;name=value")?;
            let (name, value) = (name.trim().to_owned(), value.trim().to_owned());
            let mut alone = ClientConfig::new();
            alone.set(&name, &value);
            if alone.create_native_config().is_err() {
                return Err(format!("librdkafka does not take what it says for {name}"));
            }
            options.push((name, value));
        }
        Ok(Self(options))
    }
}

/// The brokers and the topics of this service on them.
#[derive(Clone)]
pub struct Cluster {
    /// Where they are.
    pub brokers: Brokers,
    /// How else to talk to them.
    pub options: ClientOptions,
    /// Where events go.
    pub topic: String,
}

impl Cluster {
    /// Where events go that could not be delivered.
    pub fn dead_letter_topic(&self) -> String {
        format!("{}.dlq", self.topic)
    }

    /// What every client of these brokers has in common; what is set later wins over the operator's options.
    fn client(&self, defaults: &[(&str, &str)]) -> ClientConfig {
        let mut client = ClientConfig::new();
        client.set("client.id", "usher-booking");
        client.set("reconnect.backoff.max.ms", RECONNECT_MOST_MS);
        for (name, value) in defaults {
            client.set(*name, *value);
        }
        for (name, value) in &self.options.0 {
            client.set(name, value);
        }
        client.set("bootstrap.servers", &self.brokers.0);
        client.set_log_level(RDKafkaLogLevel::Warning);
        client
    }

    /// For a member of a group that says by itself what is done: nothing is committed before that.
    pub fn consumer(&self, group: &str) -> ClientConfig {
        let mut client = self.client(&[
            // A group that is new begins with what is still there.
            ("auto.offset.reset", "earliest"),
            // One that begins before the first event, or before the topic was made, finds it soon after.
            ("allow.auto.create.topics", "true"),
            ("topic.metadata.refresh.interval.ms", "10000"),
            // How long the events of a member that was killed wait for another one.
            ("session.timeout.ms", "10000"),
            ("heartbeat.interval.ms", "2000"),
            // What was passed on and not committed is read again after a kill, for nothing.
            ("auto.commit.interval.ms", "1000"),
        ]);
        client.set("group.id", group);
        client.set("enable.auto.offset.store", "false");
        client.set("enable.auto.commit", "true");
        client
    }
}

/// An event as it stands on a topic: CloudEvents in binary mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Events with the same key keep their order.
    pub key: String,
    /// In the order in which they are written.
    pub headers: Vec<(String, String)>,
    /// JSON.
    pub payload: Vec<u8>,
}

impl Message {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(other, _)| other == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The same as a dead letter, which says why it is one.
    fn dead(mut self, reason: &str, without_body: bool) -> Self {
        self.headers
            .push(("dlq_reason".to_owned(), reason.to_owned()));
        if without_body {
            self.payload.clear();
        }
        self
    }
}

/// Writes what librdkafka says to the log of this service. Its errors repeat its log, so they are written at debug level.
pub struct KafkaLogContext;

impl ClientContext for KafkaLogContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, words: &str) {
        let level = match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error
            | RDKafkaLogLevel::Warning => Level::Warn,
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => Level::Info,
            RDKafkaLogLevel::Debug => Level::Debug,
        };
        log::log!(target: "kafka", level, "{facility} {words}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        log::debug!(target: "kafka", "{error}: {reason}");
    }
}

impl rdkafka::consumer::ConsumerContext for KafkaLogContext {}

#[cfg(test)]
mod tests {
    use super::{Brokers, ClientOptions};

    #[test]
    fn brokers_are_hosts_with_ports() {
        for sound in ["localhost:9092", "a:1,b:2", "[::1]:9092, b:2"] {
            assert!(sound.parse::<Brokers>().is_ok(), "{sound}");
        }
        for odd in ["", "localhost", "a:1,", ":9092", "a:b", "a:70000"] {
            assert!(odd.parse::<Brokers>().is_err(), "{odd}");
        }
    }

    #[test]
    fn an_option_that_librdkafka_does_not_know_is_refused_by_name_and_its_value_is_not_shown() {
        assert!(
            "sasl.username=a; sasl.password=b=c;"
                .parse::<ClientOptions>()
                .is_ok()
        );
        for odd in ["sasl.pasword=hunter2", "acks=hunter2"] {
            let told = odd.parse::<ClientOptions>().err().expect(odd);
            assert!(
                told.contains(&odd[..4]) && !told.contains("hunter2"),
                "{told}"
            );
        }
        assert!("acks".parse::<ClientOptions>().is_err());
    }
}
