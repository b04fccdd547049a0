//! `BOOKING_KAFKA_…`: where the brokers are, how they are reached, and what the topics are like.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chassis::env::Env;
use reqwest::Url;

use super::within;
use crate::kafka::{
    Brokers, ClientOptions, Cluster, Mechanism, Sasl, Security, Tls, TokenSource, TopicLayout,
};

/// What else must be set, or must not.
const WITH_SASL: &str = "is only used with BOOKING_KAFKA_SASL";
const WITH_TLS: &str = "is only used with BOOKING_KAFKA_TLS=true";

/// The brokers and the topic, where brokers are named.
pub(super) fn read(env: &mut Env) -> Option<Cluster> {
    let brokers: Option<Brokers> = env.optional("BOOKING_KAFKA_BROKERS", BROKERS);
    let topic: String = env.or("BOOKING_KAFKA_TOPIC", "booking.events.v1", TOPIC);
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let is_topic = (1..=200).contains(&topic.len()) && topic.bytes().all(sound);
    env.check("BOOKING_KAFKA_TOPIC", is_topic, TOPIC_MUST);
    let layout = layout(env);
    let tls = tls(env);
    let sasl = sasl(env, tls.is_some());
    let for_all = options(env, "BOOKING_KAFKA_OPTIONS", OPTIONS);
    let producer_options = options(env, "BOOKING_KAFKA_PRODUCER_OPTIONS", PRODUCER_OPTIONS);
    let consumer_options = options(env, "BOOKING_KAFKA_CONSUMER_OPTIONS", CONSUMER_OPTIONS);
    Some(Cluster {
        layout,
        security: Security { tls, sasl },
        options: for_all,
        producer_options,
        consumer_options,
        ..Cluster::new(brokers?, topic)
    })
}

fn layout(env: &mut Env) -> TopicLayout {
    let partitions = within(env, "BOOKING_KAFKA_PARTITIONS", "12", PARTITIONS, 1, 1000);
    let replication = within(env, "BOOKING_KAFKA_REPLICATION", "0", REPLICATION, 0, 99);
    let hours: u64 = within(
        env,
        "BOOKING_KAFKA_RETENTION_HOURS",
        "168",
        RETENTION_HOURS,
        1,
        87_600,
    );
    TopicLayout {
        partitions,
        replication,
        retention: Duration::from_secs(hours * 3_600),
    }
}

fn tls(env: &mut Env) -> Option<Tls> {
    let wanted: bool = env.or("BOOKING_KAFKA_TLS", "false", TLS);
    let ca: Option<PathBuf> = env.optional("BOOKING_KAFKA_CA", CA);
    let certificate: Option<PathBuf> = env.optional("BOOKING_KAFKA_CERT", CERT);
    let key: Option<PathBuf> = env.optional("BOOKING_KAFKA_KEY", KEY);
    let key_password: Option<String> =
        env.optional_secret("BOOKING_KAFKA_KEY_PASSWORD", KEY_PASSWORD);
    env.check("BOOKING_KAFKA_CA", wanted || ca.is_none(), WITH_TLS);
    env.check(
        "BOOKING_KAFKA_CERT",
        wanted || certificate.is_none(),
        WITH_TLS,
    );
    env.check(
        "BOOKING_KAFKA_KEY",
        key.is_some() == certificate.is_some(),
        "and BOOKING_KAFKA_CERT are set together or not at all",
    );
    for (name, file) in [
        ("BOOKING_KAFKA_CA", &ca),
        ("BOOKING_KAFKA_CERT", &certificate),
        ("BOOKING_KAFKA_KEY", &key),
    ] {
        let is_there = file.as_ref().is_none_or(|file| file.is_file());
        env.check(name, is_there, "names no file that can be read");
    }
    wanted.then(|| Tls {
        ca,
        client: certificate.zip(key),
        key_password,
    })
}

fn sasl(env: &mut Env, over_tls: bool) -> Option<Sasl> {
    let mechanism: Option<Mechanism> = env.optional("BOOKING_KAFKA_SASL", SASL);
    let user: Option<String> = env.optional("BOOKING_KAFKA_USER", USER);
    let password: Option<String> = env.optional_secret("BOOKING_KAFKA_PASSWORD", PASSWORD);
    let token_url: Option<Url> = env.optional_secret("BOOKING_KAFKA_TOKEN_URL", TOKEN_URL);
    let scope: Option<String> = env.optional("BOOKING_KAFKA_TOKEN_SCOPE", TOKEN_SCOPE);
    let Some(mechanism) = mechanism else {
        env.check("BOOKING_KAFKA_USER", user.is_none(), WITH_SASL);
        env.check("BOOKING_KAFKA_PASSWORD", password.is_none(), WITH_SASL);
        env.check("BOOKING_KAFKA_TOKEN_URL", token_url.is_none(), WITH_SASL);
        return None;
    };
    let must = "must be set: BOOKING_KAFKA_SASL needs it";
    env.check("BOOKING_KAFKA_USER", user.is_some(), must);
    env.check("BOOKING_KAFKA_PASSWORD", password.is_some(), must);
    let in_the_clear = mechanism == Mechanism::Plain && !over_tls;
    env.check(
        "BOOKING_KAFKA_SASL",
        !in_the_clear,
        "plain sends the password itself, so it needs BOOKING_KAFKA_TLS=true",
    );
    let wants_token = mechanism == Mechanism::OauthBearer;
    env.check(
        "BOOKING_KAFKA_TOKEN_URL",
        wants_token == token_url.is_some(),
        "goes with BOOKING_KAFKA_SASL=oauthbearer, and only with it",
    );
    let (user, password) = (user?, password?);
    Some(match token_url.filter(|_| wants_token) {
        Some(url) => Sasl::Token(Arc::new(TokenSource {
            url,
            client_id: user,
            client_secret: password,
            scope,
        })),
        None => Sasl::Password {
            mechanism,
            user,
            password,
        },
    })
}

/// Not parsed by the environment itself, which shows what it cannot parse.
fn options(env: &mut Env, name: &'static str, help: &'static str) -> ClientOptions {
    let text: Option<String> = env.optional(name, help);
    match text.unwrap_or_default().parse() {
        Ok(options) => options,
        Err(cause) => {
            env.check(name, false, &format!("is not understood: {cause}"));
            ClientOptions::default()
        }
    }
}

const BROKERS: &str = "Where events are published, as host:port,host:port.\n\
    Without it they wait in the outbox; everything else works.";
const TOPIC: &str = "The topic of events. Those that cannot be delivered go to the one named so with .dlq after it.";
const TOPIC_MUST: &str = "must be 1 to 200 of A-Z a-z 0-9 . _ -";
const PARTITIONS: &str = "Partitions of a topic that is made here, 1 to 1000. A topic that exists stays as it is.\n\
    As many forwarders can share the events at most.";
const REPLICATION: &str = "Brokers that keep each event of a topic that is made here, 0 to 99; 0 leaves it to the brokers.";
const RETENTION_HOURS: &str = "How long a topic that is made here keeps events, in hours, 1 to 87600.\n\
    Longer than any receiver may be away.";
const TLS: &str =
    "true encrypts the connection to the brokers and checks their names; true or false.";
const CA: &str = "Who vouches for the brokers, a PEM file. Without it, whom the system trusts.";
const CERT: &str =
    "This service's own certificate with its chain, a PEM file, for brokers that want one.";
const KEY: &str = "The key of that certificate, a PEM file.";
const KEY_PASSWORD: &str = "What that key is encrypted with.";
const SASL: &str =
    "How to say who this service is: plain, scram-sha-256, scram-sha-512 or oauthbearer.";
const USER: &str = "The user; with oauthbearer the client id.";
const PASSWORD: &str = "The password; with oauthbearer the client secret.";
const TOKEN_URL: &str =
    "Where oauthbearer gets tokens by the client credentials grant, http or https.";
const TOKEN_SCOPE: &str =
    "What those tokens are to be good for, where the server wants to be told.";
const OPTIONS: &str = "More settings of librdkafka, as name=value;name=value, such as\n\
    socket.keepalive.enable=true;client.rack=a. What has a variable of its own wins over them.";
const PRODUCER_OPTIONS: &str = "More settings of the producer alone, in the same form.";
const CONSUMER_OPTIONS: &str =
    "More settings of the consumer alone, in the same form, such as group.protocol=consumer.";

#[cfg(test)]
mod tests {
    use chassis::env::Env;

    use crate::kafka::{Cluster, Sasl};

    fn read(set: &[(&str, &str)]) -> Result<Cluster, String> {
        let lookup = |asked: &str| match asked {
            "BOOKING_KAFKA_BROKERS" => Some("localhost:9092".to_owned()),
            _ => {
                let found = set.iter().find(|(name, _)| *name == asked);
                found.map(|(_, value)| (*value).to_owned())
            }
        };
        let mut env = Env::new(&lookup);
        let cluster = super::read(&mut env);
        env.finish().map_err(|invalid| invalid.to_string())?;
        Ok(cluster.expect("brokers are named"))
    }

    #[test]
    fn without_more_than_brokers_the_connection_is_plain_and_topics_have_twelve_partitions() {
        let cluster = read(&[]).expect("complete");
        assert!(cluster.security.tls.is_none() && cluster.security.sasl.is_none());
        assert_eq!(
            (cluster.layout.partitions, cluster.layout.replication),
            (12, 0)
        );
    }

    #[test]
    fn what_belongs_together_is_asked_for_together_and_no_secret_is_shown() {
        let user = ("BOOKING_KAFKA_USER", "booking");
        let password = ("BOOKING_KAFKA_PASSWORD", "hunter2");
        let tls = ("BOOKING_KAFKA_TLS", "true");
        for (set, names) in [
            (&[user][..], "BOOKING_KAFKA_USER"),
            (&[password], "BOOKING_KAFKA_PASSWORD"),
            (
                &[("BOOKING_KAFKA_SASL", "scram-sha-256"), password],
                "BOOKING_KAFKA_USER",
            ),
            (
                &[("BOOKING_KAFKA_SASL", "plain"), user, password],
                "BOOKING_KAFKA_TLS",
            ),
            (&[("BOOKING_KAFKA_SASL", "kerberos")], "BOOKING_KAFKA_SASL"),
            (
                &[("BOOKING_KAFKA_SASL", "oauthbearer"), user, password, tls],
                "BOOKING_KAFKA_TOKEN_URL",
            ),
            (&[("BOOKING_KAFKA_CA", "/dev/null")], "BOOKING_KAFKA_CA"),
            (
                &[tls, ("BOOKING_KAFKA_CA", "/not/there")],
                "BOOKING_KAFKA_CA",
            ),
            (
                &[tls, ("BOOKING_KAFKA_KEY", "/etc/hostname")],
                "BOOKING_KAFKA_KEY",
            ),
            (
                &[("BOOKING_KAFKA_PARTITIONS", "0")],
                "BOOKING_KAFKA_PARTITIONS",
            ),
            (
                &[("BOOKING_KAFKA_RETENTION_HOURS", "0")],
                "BOOKING_KAFKA_RETENTION_HOURS",
            ),
            (
                &[("BOOKING_KAFKA_CONSUMER_OPTIONS", "a=hunter2")],
                "BOOKING_KAFKA_CONSUMER_OPTIONS",
            ),
        ] {
            let told = read(set)
                .err()
                .unwrap_or_else(|| panic!("{set:?} is accepted"));
            assert!(
                told.contains(names) && !told.contains("hunter2"),
                "{set:?}: {told}"
            );
        }
    }

    #[test]
    fn each_way_to_prove_who_one_is_can_be_set() {
        let all = [
            ("BOOKING_KAFKA_SASL", "scram-sha-512"),
            ("BOOKING_KAFKA_USER", "booking"),
            ("BOOKING_KAFKA_PASSWORD", "hunter2"),
        ];
        let sasl = read(&all).expect("complete").security.sasl;
        assert!(matches!(sasl, Some(Sasl::Password { .. })));
        let mut token = all.to_vec();
        token[0].1 = "oauthbearer";
        token.push(("BOOKING_KAFKA_TOKEN_URL", "https://login.example/token"));
        let sasl = read(&token).expect("complete").security.sasl;
        assert!(matches!(sasl, Some(Sasl::Token(_))));
    }
}
