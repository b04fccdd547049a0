//! Apache Kafka that asks for everything: TLS, a password by SCRAM, and rights. Set by the variables that an operator sets.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use booking::config::Forwarding;
use booking::kafka::{Cluster, Producer, TopicError};
use booking::outbox::{Publisher, PublisherOptions};
use chassis::env::Configuration as _;
use testbed::{Kafka, KafkaLogin, KafkaOptions, Operation, Resource, Scratch, TlsFiles};
use uuid::Uuid;

use crate::forward_group::{Running, until};
use crate::forward_inbox::{Inbox, RECEIVER};
use crate::publish_post::{DEAD, Office, PARTITIONS, TOPIC, assert_in_order, patient};

/// Who may do what, as OPERATIONS has it.
const DOCUMENTED: [(&str, Resource, &[Operation]); 5] = {
    use Operation::{Create, Describe, Read, Write};
    use Resource::{Group, Topic};
    [
        ("booking", Topic(TOPIC), &[Write, Describe, Create]),
        ("booking", Topic(DEAD), &[Write, Describe, Create]),
        ("forwarder", Topic(TOPIC), &[Read, Describe]),
        ("forwarder", Group(RECEIVER), &[Read]),
        ("forwarder", Topic(DEAD), &[Write, Describe]),
    ]
};

/// A broker with two users.
pub struct Guarded {
    kafka: Kafka,
    scratch: Scratch,
}

impl Guarded {
    fn start() -> Self {
        Self::start_with(&[])
    }

    /// With these settings of the broker.
    pub fn start_with(settings: &[(&str, &str)]) -> Self {
        let scratch = Scratch::new().unwrap();
        let certificates = Certificates::make(scratch.path());
        let login = KafkaLogin {
            users: ["booking", "forwarder"]
                .map(|user| (user.to_owned(), password(user)))
                .into(),
            has_rights: true,
            tls: Some(certificates.of_broker),
        };
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let options = KafkaOptions {
            login: Some(login),
            settings: settings.iter().map(owned).collect(),
            ..KafkaOptions::default()
        };
        let kafka = Kafka::start(&scratch.path().join("kafka"), &options).unwrap();
        Self { kafka, scratch }
    }

    /// The rights that are documented, but for this one.
    pub fn grant_all_but(&self, missing: Option<(&str, Resource, Operation)>) {
        for (user, resource, operations) in DOCUMENTED {
            for operation in operations {
                if missing != Some((user, resource, *operation)) {
                    self.kafka.allow(user, resource, *operation).unwrap();
                }
            }
        }
    }

    /// The brokers as this user is configured for them, but for these variables.
    pub fn cluster(&self, user: &str, other: &[(&str, &str)]) -> Cluster {
        let lookup = |asked: &str| {
            let found = other.iter().find(|(name, _)| *name == asked);
            if let Some((_, value)) = found {
                return Some((*value).to_owned());
            }
            let path = |name: &str| self.scratch.path().join(name).display().to_string();
            Some(match asked {
                "BOOKING_MYSQL_URL" => "mysql://nobody:x@not.asked:3306/usher".to_owned(),
                "BOOKING_WEBHOOK_URL" => "http://not.asked/".to_owned(),
                "BOOKING_WEBHOOK_SECRET" => crate::forward_inbox::SECRET.to_owned(),
                "BOOKING_KAFKA_BROKERS" => self.kafka.brokers().to_owned(),
                "BOOKING_KAFKA_TLS" => "true".to_owned(),
                "BOOKING_KAFKA_CA" => path("ca.pem"),
                "BOOKING_KAFKA_SASL" => "scram-sha-512".to_owned(),
                "BOOKING_KAFKA_USER" => user.to_owned(),
                "BOOKING_KAFKA_PASSWORD" => password(user),
                _ => return None,
            })
        };
        let mut cluster = Forwarding::found(&lookup).expect("complete").cluster;
        cluster.layout.partitions = PARTITIONS;
        cluster
    }

    async fn office(&self, user: &str) -> Office {
        let cluster = self.cluster(user, &[]);
        Office::at(cluster, self.inside_brokers()).await
    }

    /// As an operator makes them.
    pub async fn make_topics(&self) {
        let producer = Producer::new(self.cluster("booking", &[])).unwrap();
        producer.ensure_topics().await.unwrap();
    }

    /// Where no password is asked for.
    pub fn inside_brokers(&self) -> String {
        self.kafka.inside_brokers().unwrap()
    }
}

pub fn password(user: &str) -> String {
    format!("{user}-hunter2")
}

/// Who vouches for the broker, and what it shows.
struct Certificates {
    of_broker: TlsFiles,
}

impl Certificates {
    fn make(folder: &Path) -> Self {
        for ca in ["ca", "stranger"] {
            let name = format!("/CN={ca}");
            openssl(folder, &["-subj", &name], ca);
        }
        let signed = [
            "-subj",
            "/CN=broker",
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
        ];
        openssl(folder, &signed, "broker");
        let [certificate, key] = ["pem", "key"].map(|end| folder.join(format!("broker.{end}")));
        let of_broker = TlsFiles { certificate, key };
        Self { of_broker }
    }
}

/// A certificate and its key in `NAME.pem` and `NAME.key`.
fn openssl(folder: &Path, more: &[&str], name: &str) {
    let [certificate, key] = ["pem", "key"].map(|end| format!("{name}.{end}"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes"])
        .args(["-days", "2", "-out", &certificate, "-keyout", &key])
        .args(more)
        .current_dir(folder)
        .output()
        .expect("openssl");
    assert!(made.status.success(), "{made:?}");
}

/// Takes each event again at once.
fn publisher(office: &Office) -> Publisher {
    let options = PublisherOptions {
        refusals: 1,
        ..patient()
    };
    office.publisher_with(0, "", options)
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_documented_rights_and_no_others_events_go_the_whole_way() {
    let guarded = Guarded::start();
    let (office, inbox) = (guarded.office("booking").await, Inbox::open());
    let publisher = publisher(&office);
    let none = publisher.ensure_topics().await;
    assert!(matches!(none, Err(TopicError::Refused { .. })), "{none:?}");
    guarded.grant_all_but(None);
    publisher.ensure_topics().await.unwrap();
    let reservation = Uuid::new_v4();
    office.record(reservation, 0..4).await;
    let sent = office.drain(&publisher).await;
    assert_eq!((sent.delivered, sent.dead), (4, 0), "{sent:?}");
    assert_in_order(&office.arrived(TOPIC, 4).await, 0..4);

    inbox.poison(1, 422);
    let reading = office.as_told(guarded.cluster("forwarder", &[]));
    let forwarder = Running::start_with(&reading, 0, &inbox.url, 1, "");
    until("what is behind the poison", || inbox.numbers() == [0, 2, 3]);
    assert_eq!(office.arrived(DEAD, 1).await[0].number(), 1);
    until("a forwarder that is ready", || {
        forwarder.status.check().is_ok()
    });
    forwarder.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_right_the_publisher_raises_the_alarm_and_its_events_wait() {
    let guarded = Guarded::start();
    let office = guarded.office("booking").await;
    let write = ("booking", Resource::Topic(TOPIC), Operation::Write);
    guarded.grant_all_but(Some(write));
    let publisher = publisher(&office);
    publisher.ensure_topics().await.unwrap();
    office.record(Uuid::new_v4(), 0..3).await;
    let step = publisher.step().await.unwrap();
    assert_eq!((step.delivered, step.dead), (0, 0), "{step:?}");
    let told = publisher.topic_trouble().unwrap_or_default();
    assert!(told.to_lowercase().contains("authorization"), "{told}");
    assert_eq!(office.count("pending").await, 3);
    guarded.kafka.allow(write.0, write.1, write.2).unwrap();
    let sent = office.drain(&publisher).await;
    assert_eq!((sent.delivered, sent.dead), (3, 0), "{sent:?}");
    assert_eq!(publisher.topic_trouble(), None);
    assert_in_order(&office.everything(TOPIC).await, 0..3);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_right_the_forwarder_raises_the_alarm_and_its_events_wait() {
    let guarded = Guarded::start();
    let (office, inbox) = (guarded.office("booking").await, Inbox::open());
    guarded.grant_all_but(None);
    let publisher = publisher(&office);
    publisher.ensure_topics().await.unwrap();
    office.record(Uuid::new_v4(), 0..1).await;
    office.drain(&publisher).await;
    let reading = office.as_told(guarded.cluster("forwarder", &[]));
    let mut expected = 1;
    for (resource, operation, says) in [
        (Resource::Topic(TOPIC), Operation::Read, "stands still"),
        (Resource::Group(RECEIVER), Operation::Read, "group"),
    ] {
        guarded
            .kafka
            .forbid("forwarder", resource, operation)
            .unwrap();
        let forwarder = Running::start_with(&reading, 0, &inbox.url, 1, "");
        until("the alarm", || {
            let told = forwarder.status.check().err().unwrap_or_default();
            forwarder.metrics.troubled.get() == 1 && told.to_lowercase().contains(says)
        });
        assert_eq!(inbox.numbers().len(), expected - 1);
        guarded
            .kafka
            .allow("forwarder", resource, operation)
            .unwrap();
        until("the event", || inbox.numbers().len() == expected);
        until("a forwarder that is ready", || {
            forwarder.status.check().is_ok()
        });
        assert_eq!(forwarder.metrics.troubled.get(), 0);
        forwarder.stop().await;
        office.record(Uuid::new_v4(), 0..1).await;
        office.drain(&publisher).await;
        expected += 1;
    }

    // An event that cannot become a dead letter waits, and keeps only its own reservation waiting.
    let dead = ("forwarder", Resource::Topic(DEAD), Operation::Write);
    guarded.kafka.forbid(dead.0, dead.1, dead.2).unwrap();
    inbox.poison(7, 422);
    office.record(Uuid::new_v4(), 7..8).await;
    office.drain(&publisher).await;
    let forwarder = Running::start_with(&reading, 0, &inbox.url, 1, "");
    until("the other event", || inbox.numbers().len() == expected);
    until("failed tries", || forwarder.metrics.failed.get() >= 2);
    assert_eq!(forwarder.metrics.dead.get(), 0);
    guarded.kafka.allow(dead.0, dead.1, dead.2).unwrap();
    until("the dead letter", || forwarder.metrics.dead.get() == 1);
    assert_eq!(office.arrived(DEAD, 1).await[0].number(), 7);
    forwarder.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_and_a_broker_for_whom_nobody_vouches_are_said_in_words() {
    let guarded = Guarded::start();
    guarded.grant_all_but(None);
    let office = guarded.office("booking").await;
    let inbox = Inbox::open();
    let stranger = guarded.scratch.path().join("stranger.pem");
    let stranger = stranger.display().to_string();
    for (name, value, says) in [
        ("BOOKING_KAFKA_PASSWORD", "hunter3", "authentication"),
        ("BOOKING_KAFKA_CA", stranger.as_str(), "certificate"),
    ] {
        let of = |user| guarded.cluster(user, &[(name, value)]);
        let publishing = office.as_told(of("booking"));
        let settings = "message.timeout.ms=3000";
        let publisher = publishing.publisher_with(0, settings, patient());
        office.record(Uuid::new_v4(), 0..1).await;
        let step = publisher.step().await.unwrap();
        assert_eq!((step.failed, step.dead), (1, 0), "{step:?}");
        let written =
            "SELECT COUNT(*) FROM outbox WHERE state = 'pending' AND LOWER(last_error) LIKE";
        let written = format!("{written} '%{says}%'");
        assert_eq!(office.fixture.number(&written).await, 1, "{says}");
        let topics = Producer::new(of("booking")).unwrap().ensure_topics().await;
        let topics = topics.unwrap_err().to_string();
        assert!(topics.to_lowercase().contains(says), "{topics}");

        let reading = office.as_told(of("forwarder"));
        let forwarder = Running::start_with(&reading, 0, &inbox.url, 1, "");
        until("a word about it", || {
            let told = forwarder.status.check().err().unwrap_or_default();
            told.to_lowercase().contains(says)
        });
        forwarder.stop().await;
        office.clock.advance(Duration::from_secs(60));
        let sound = office.publisher(0);
        sound.ensure_topics().await.unwrap();
        office.drain(&sound).await;
    }
}
