//! Owns how this service reaches Kafka: where it is, what an event looks like on a topic, and who sends it.
//!
//! Whatever an operator sets, a producer here is idempotent and waits for all replicas. Must not know where events come
//! from, nor what becomes of one that was not sent.

mod producer;
mod security;
mod token;
mod topic;

use std::error::Error;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chassis::time::Clock;
use log::Level;
use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use tokio::task::spawn_blocking;

pub use producer::{Producer, SendError};
pub use security::{Mechanism, Sasl, Security, Tls};
pub use token::TokenSource;
pub use topic::{TopicError, TopicLayout};

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

impl ClientOptions {
    fn apply(&self, client: &mut ClientConfig) {
        for (name, value) in &self.0 {
            client.set(name, value);
        }
    }

    fn value(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().rev().find(|(other, _)| other == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// The brokers and the topics of this service on them.
#[derive(Clone)]
pub struct Cluster {
    /// Where they are.
    pub brokers: Brokers,
    /// Where events go.
    pub topic: String,
    /// What a topic is like that this service makes.
    pub layout: TopicLayout,
    /// How they are reached. It wins over options.
    pub security: Security,
    /// Further settings of every client.
    pub options: ClientOptions,
    /// Further settings of the producer alone; they win over those of every client.
    pub producer_options: ClientOptions,
    /// The same of the consumer.
    pub consumer_options: ClientOptions,
}

impl Cluster {
    /// These brokers with everything else as it is by default.
    pub fn new(brokers: Brokers, topic: String) -> Self {
        Self {
            brokers,
            topic,
            layout: TopicLayout::default(),
            security: Security::default(),
            options: ClientOptions::default(),
            producer_options: ClientOptions::default(),
            consumer_options: ClientOptions::default(),
        }
    }

    /// Where events go that could not be delivered.
    pub fn dead_letter_topic(&self) -> String {
        format!("{}.dlq", self.topic)
    }

    /// What stands behind each client of these brokers.
    pub(crate) fn context(&self) -> KafkaContext {
        KafkaContext {
            tokens: self.security.tokens(),
            clock: Clock::system(),
            refusal: Refusal::default(),
        }
    }

    /// What every client of these brokers has in common; what is set later wins over the operator's options.
    fn client(&self, defaults: &[(&str, &str)], own: &ClientOptions) -> ClientConfig {
        let mut client = ClientConfig::new();
        client.set("client.id", "usher-booking");
        client.set("reconnect.backoff.max.ms", RECONNECT_MOST_MS);
        for (name, value) in defaults {
            client.set(*name, *value);
        }
        self.options.apply(&mut client);
        own.apply(&mut client);
        client.set("bootstrap.servers", &self.brokers.0);
        for (name, value) in self.security.settings() {
            client.set(name, value);
        }
        client.set_log_level(RDKafkaLogLevel::Warning);
        client
    }

    /// For a member of a group that says by itself what is done: nothing is committed before that.
    pub fn consumer(&self, group: &str) -> ClientConfig {
        let mut defaults = vec![
            // A group that is new begins with what is still there.
            ("auto.offset.reset", "earliest"),
            // One that begins before the first event, or before the topic was made, finds it soon after.
            ("allow.auto.create.topics", "true"),
            ("topic.metadata.refresh.interval.ms", "10000"),
            // What was passed on and not committed is read again after a kill, for nothing.
            ("auto.commit.interval.ms", "1000"),
        ];
        if !self.is_grouped_by_brokers() {
            // How long the events of a member that was killed wait for another one.
            defaults.push(("session.timeout.ms", "10000"));
            defaults.push(("heartbeat.interval.ms", "2000"));
        }
        let mut client = self.client(&defaults, &self.consumer_options);
        client.set("group.id", group);
        client.set("enable.auto.offset.store", "false");
        client.set("enable.auto.commit", "true");
        client
    }

    /// With `group.protocol=consumer` the brokers say how long a member may be silent, and refuse to be told.
    fn is_grouped_by_brokers(&self) -> bool {
        let options = [&self.consumer_options, &self.options];
        let protocol = options.iter().find_map(|it| it.value("group.protocol"));
        protocol.is_some_and(|it| it.eq_ignore_ascii_case("consumer"))
    }
}

/// Runs a question to the brokers, which librdkafka has only in a form that blocks, on a thread of its own.
pub(crate) async fn ask<T: Send + 'static>(
    question: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    let asked = spawn_blocking(question).await;
    asked.unwrap_or_else(|ended| Err(ended.to_string()))
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

/// What stands behind each client of librdkafka: its log goes to that of this service, and tokens come from their source.
/// Its errors repeat its log, so they are written at debug level.
pub struct KafkaContext {
    tokens: Option<Arc<TokenSource>>,
    clock: Clock,
    pub(crate) refusal: Refusal,
}

/// Why the brokers would not speak with a client, or it with them, the last time: a password, a certificate. What it asks of
/// them fails without a word of that. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Refusal(Arc<Mutex<Option<String>>>);

impl Refusal {
    /// A failure with the reason for it, where one is known.
    pub fn added_to(&self, failure: String) -> String {
        match &*self.reason() {
            Some(reason) => format!("{failure}: {reason}"),
            None => failure,
        }
    }

    /// They have spoken since.
    pub fn is_over(&self) {
        self.reason().take();
    }

    fn reason(&self) -> MutexGuard<'_, Option<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for KafkaContext {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        let tokens = self.tokens.as_ref().ok_or("no token server is named")?;
        let token = tokens.token(self.clock.now().timestamp_millis());
        token.inspect_err(|cause| log::error!("no token for the brokers: {cause}"))
    }

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
        use RDKafkaErrorCode::{Authentication, SSL};
        if let Some(Authentication | SSL) = error.rdkafka_error_code() {
            *self.refusal.reason() = Some(reason.to_owned());
        }
        log::debug!(target: "kafka", "{error}: {reason}");
    }
}

#[cfg(test)]
mod tests {
    use super::{Brokers, ClientOptions, Cluster, Mechanism, Sasl, Security, Tls};

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

    fn cluster() -> Cluster {
        Cluster::new("localhost:9092".parse().expect("brokers"), "events".into())
    }

    #[test]
    fn what_has_a_variable_of_its_own_wins_over_options() {
        let mut cluster = cluster();
        cluster.options = "security.protocol=plaintext;sasl.username=other;linger.ms=5"
            .parse()
            .expect("options");
        let own: ClientOptions = "linger.ms=7".parse().expect("options");
        let client = cluster.client(&[], &ClientOptions::default());
        assert_eq!(client.get("security.protocol"), Some("plaintext"));
        cluster.security = Security {
            tls: Some(Tls::default()),
            sasl: Some(Sasl::Password {
                mechanism: Mechanism::ScramSha256,
                user: "booking".into(),
                password: "hunter2".into(),
            }),
        };
        let client = cluster.client(&[], &own);
        assert_eq!(client.get("security.protocol"), Some("SASL_SSL"));
        assert_eq!(client.get("sasl.username"), Some("booking"));
        assert_eq!(client.get("linger.ms"), Some("7"));
        assert!(client.create_native_config().is_ok());
    }

    #[test]
    fn a_group_may_be_led_by_the_brokers() {
        let mut cluster = cluster();
        let classic = cluster.consumer("group");
        assert_eq!(classic.get("session.timeout.ms"), Some("10000"));
        cluster.consumer_options = "group.protocol=consumer".parse().expect("options");
        let consumer = cluster.consumer("group");
        assert_eq!(consumer.get("session.timeout.ms"), None);
        let made: Result<rdkafka::consumer::BaseConsumer, _> = consumer.create();
        assert!(made.is_ok(), "librdkafka takes it: {:?}", made.err());
    }
}
