//! The way of events through the stack: a broker, the forwarder, and a receiver that prints what arrives.

use std::io;
use std::path::PathBuf;

use super::start::{self, Service, local};
use super::stores::Stores;
use super::{Ended, StackOptions};
use crate::files::binary;
use crate::kafka::{self, Kafka, KafkaOptions};
use crate::keys::Keys;
use crate::program::Program;

/// How far their ports are above the first one, past the most gateways that there may be.
const FORWARDER_OFFSET: u16 = 51;
const RECEIVER_OFFSET: u16 = 52;
/// The second forwarder's, past the most bookings that there may be.
const MORE_FORWARDERS_OFFSET: u16 = 73;

const BROKERS: &str = "BOOKING_KAFKA_BROKERS";
const SECRET: &str = "BOOKING_WEBHOOK_SECRET";

/// Which brokers events go to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Brokers {
    /// None: events wait in the outbox, and there is neither a forwarder nor a receiver.
    #[default]
    None,
    /// A private one in memory, which stands in for Kafka.
    StandIn,
    /// A private real Kafka.
    Real,
    /// Those of somebody else, as `host:port,host:port`.
    At(String),
}

/// The broker of a stack, if it has a private one, and where events are sent.
pub(super) struct Broker {
    pub kafka: Option<Kafka>,
    pub brokers: String,
}

impl Broker {
    /// Starts what must run before booking does.
    pub fn start(options: &StackOptions) -> io::Result<Option<Broker>> {
        Ok(match &options.brokers {
            Brokers::None => None,
            Brokers::At(brokers) => Some(Broker {
                kafka: None,
                brokers: brokers.clone(),
            }),
            Brokers::StandIn => {
                (options.progress)(
                    "starting kafka-stand-in, which forgets everything when it ends",
                )?;
                let kafka = Kafka::stand_in(&options.folder.join("kafka"), options.profile)?;
                Some(Broker::private(kafka))
            }
            Brokers::Real => {
                (options.progress)("starting Kafka; the first time its jars are fetched")?;
                let kafka = KafkaOptions {
                    durable: options.durable,
                    ..KafkaOptions::default()
                };
                let kafka = Kafka::start(&options.folder.join("kafka"), &kafka)?;
                Some(Broker::private(kafka))
            }
        })
    }

    fn private(kafka: Kafka) -> Broker {
        Broker {
            brokers: kafka.brokers().to_owned(),
            kafka: Some(kafka),
        }
    }

    /// What booking must know.
    pub fn environment(&self) -> (&'static str, String) {
        (BROKERS, self.brokers.clone())
    }
}

/// What events go through after they have left booking.
pub struct Events {
    // Fields are dropped in this order.
    /// They read events and post them.
    pub forwarders: Vec<Program>,
    /// Prints each event on a line of its log.
    pub receiver: Program,
    /// The private broker; none when real ones are used.
    pub kafka: Option<Kafka>,
    /// Where the brokers are.
    pub brokers: String,
}

impl Events {
    pub(super) fn start(
        broker: Broker,
        options: &StackOptions,
        stores: &Stores,
        keys: &Keys,
    ) -> io::Result<Events> {
        let booking = binary("booking", options.profile)?;
        (options.progress)("starting the forwarder of events and their receiver")?;
        let (name, offset) = receiver();
        let receiver = Service {
            name: &name,
            arguments: &["receive"],
            binary: &booking,
            offset,
            more: &[],
        };
        let receiver = receiver.start(options, |port, _| {
            vec![
                ("BOOKING_RECEIVE_LISTEN", local(port)),
                (SECRET, keys.webhook.clone()),
            ]
        })?;
        let url = format!("{}/events", receiver.url());
        let start = |number| {
            let (name, offset) = forwarder(number);
            let service = Service {
                name: &name,
                arguments: &["forward"],
                binary: &booking,
                offset,
                more: &options.booking_environment,
            };
            service.start(options, |port, _| {
                vec![
                    ("BOOKING_FORWARD_LISTEN", local(port)),
                    (
                        "BOOKING_MYSQL_URL",
                        stores.mysql_url(usize::from(number - 1)),
                    ),
                    ("BOOKING_WEBHOOK_URL", url.clone()),
                    (SECRET, keys.webhook.clone()),
                    broker.environment(),
                ]
            })
        };
        let forwarders = (1..=options.forwarders.max(1)).map(start);
        Ok(Events {
            forwarders: forwarders.collect::<io::Result<_>>()?,
            receiver,
            kafka: broker.kafka,
            brokers: broker.brokers,
        })
    }

    /// Starts a part again that ended by itself. The stand-in comes back on another port, so its clients restart too.
    pub(super) fn revive(&mut self, bookings: &mut [Program]) -> io::Result<Option<Ended>> {
        if let Some(kafka) = &mut self.kafka
            && let Some(ended) = Ended::of(kafka.supervised())
        {
            kafka.restart()?;
            if kafka.brokers() == self.brokers {
                return Ok(Some(ended));
            }
            kafka.brokers().clone_into(&mut self.brokers);
            for program in bookings.iter_mut().chain(&mut self.forwarders) {
                program.set(BROKERS, &self.brokers);
                program.restart()?;
            }
            return Ok(Some(ended));
        }
        for program in [&mut self.receiver].into_iter().chain(&mut self.forwarders) {
            if let Some(ended) = Ended::of(program.supervised()) {
                program.restart()?;
                return Ok(Some(ended));
            }
        }
        Ok(None)
    }

    /// Stops the forwarders in order, then the receiver, then the broker.
    pub(super) fn stop(&mut self) -> io::Result<()> {
        let mut outcomes = start::stop(&mut self.forwarders);
        outcomes.extend(start::stop(std::slice::from_mut(&mut self.receiver)));
        outcomes.extend(self.kafka.as_mut().map(Kafka::stop));
        outcomes.into_iter().collect()
    }
}

/// The name of a forwarder and how far its port is above the first.
pub(super) fn forwarder(number: u16) -> (String, u16) {
    match number {
        1 => ("forwarder".to_owned(), FORWARDER_OFFSET),
        _ => (
            format!("forwarder-{number}"),
            MORE_FORWARDERS_OFFSET + number - 2,
        ),
    }
}

/// The same of the receiver.
pub(super) fn receiver() -> (String, u16) {
    ("receiver".to_owned(), RECEIVER_OFFSET)
}

/// What the broker writes to, below the folder of the stack.
pub(super) fn logs() -> [PathBuf; 1] {
    [PathBuf::from("kafka").join(kafka::LOG)]
}
