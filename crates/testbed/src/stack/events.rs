//! The way of events through the stack: a broker, the forwarder, and a receiver that prints what arrives.

use std::io;
use std::path::PathBuf;

use super::{Ended, StackOptions, local, start_service, stopped};
use crate::files::binary;
use crate::kafka::{self, Kafka};
use crate::keys::Keys;
use crate::program::Program;

/// How far their ports are above the first one, past the most gateways that there may be.
pub(super) const FORWARDER_OFFSET: u16 = 51;
pub(super) const RECEIVER_OFFSET: u16 = 52;

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
    /// Real ones, as `host:port,host:port`.
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
                let kafka = Kafka::start(&options.folder.join("kafka"), options.profile)?;
                Some(Broker {
                    brokers: kafka.brokers().to_owned(),
                    kafka: Some(kafka),
                })
            }
        })
    }

    /// What booking must know.
    pub fn environment(&self) -> (&'static str, String) {
        (BROKERS, self.brokers.clone())
    }
}

/// What events go through after they have left booking.
pub struct Events {
    // Fields are dropped in this order.
    /// Reads events and posts them.
    pub forwarder: Program,
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
        mysql_url: &str,
        keys: &Keys,
    ) -> io::Result<Events> {
        let booking = binary("booking", options.profile)?;
        (options.progress)("starting the forwarder of events and their receiver")?;
        let (receiver, _) = start_service(
            ("receiver", &["receive"]),
            &booking,
            options,
            (RECEIVER_OFFSET, &[]),
            |port, _| {
                vec![
                    ("BOOKING_RECEIVE_LISTEN", local(port)),
                    (SECRET, keys.webhook.clone()),
                ]
            },
        )?;
        let url = format!("{}/events", receiver.url());
        let (forwarder, _) = start_service(
            ("forwarder", &["forward"]),
            &booking,
            options,
            (FORWARDER_OFFSET, &options.booking_environment),
            |port, _| {
                vec![
                    ("BOOKING_FORWARD_LISTEN", local(port)),
                    ("BOOKING_MYSQL_URL", mysql_url.to_owned()),
                    ("BOOKING_WEBHOOK_URL", url.clone()),
                    (SECRET, keys.webhook.clone()),
                    broker.environment(),
                ]
            },
        )?;
        Ok(Events {
            forwarder,
            receiver,
            kafka: broker.kafka,
            brokers: broker.brokers,
        })
    }

    /// Starts a part again that ended by itself. The broker comes back on another port, so whoever uses it must too.
    pub(super) fn revive(&mut self, booking: &mut Program) -> io::Result<Option<Ended>> {
        if let Some(kafka) = &mut self.kafka
            && let Some(ended) = Ended::of(kafka.supervised())
        {
            kafka.restart()?;
            kafka.brokers().clone_into(&mut self.brokers);
            for program in [booking, &mut self.forwarder] {
                program.set(BROKERS, &self.brokers);
                program.restart()?;
            }
            return Ok(Some(ended));
        }
        for program in [&mut self.receiver, &mut self.forwarder] {
            if let Some(ended) = Ended::of(program.supervised()) {
                program.restart()?;
                return Ok(Some(ended));
            }
        }
        Ok(None)
    }

    /// Stops the forwarder in order, then the receiver. The broker has nothing that is worth it.
    pub(super) fn stop(&mut self) -> io::Result<()> {
        self.forwarder.ask_to_stop();
        let forwarder = stopped(&mut self.forwarder);
        self.receiver.ask_to_stop();
        let receiver = stopped(&mut self.receiver);
        if let Some(kafka) = &mut self.kafka {
            kafka.kill();
        }
        forwarder.and(receiver)
    }
}

/// What they write to, below the folder of the stack.
pub(super) fn logs() -> [PathBuf; 3] {
    [
        PathBuf::from("kafka").join(kafka::LOG),
        "forwarder.log".into(),
        "receiver.log".into(),
    ]
}
