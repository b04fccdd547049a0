//! A private Kafka: a real broker, or the one in memory that stands in for it.

mod broker;
mod jars;
mod rights;

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use crate::files::{Profile, TlsFiles, binary};
use crate::port;
use crate::supervised::{Ending, Launch, Supervised, supervised_controls};

pub use rights::{Operation, Resource};

/// A busy machine needs longer for Java than for everything else together.
const READY: Duration = Duration::from_secs(120);
/// Its output, in its folder.
pub(crate) const LOG: &str = "kafka.log";
/// What a real one holds, in its folder.
pub(crate) const HELD: &str = "data";

/// How a real broker is started.
#[derive(Clone, Debug, Default)]
pub struct KafkaOptions {
    /// `None`: the port that the folder remembers, or a free one.
    pub port: Option<u16>,
    /// Whether it is stopped in order when the starting process is gone.
    pub durable: bool,
    /// Whether clients must say who they are; without it anybody may do anything.
    pub login: Option<KafkaLogin>,
    /// More settings of the broker, as its own documentation names them.
    pub settings: Vec<(String, String)>,
}

/// Who may connect: by SASL with PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, or OAUTHBEARER with unsigned tokens.
#[derive(Clone, Debug)]
pub struct KafkaLogin {
    /// Each user with their password.
    pub users: Vec<(String, String)>,
    /// Whether a user may do only what [`Kafka::allow`] allowed; else everything.
    pub has_rights: bool,
    /// Over TLS, with this certificate and this key in PKCS 8.
    pub tls: Option<TlsFiles>,
}

/// A broker as a process of its own on 127.0.0.1.
///
/// Freeze and thaw it to play an outage that loses nothing. A real one keeps everything over a kill and a restart. The
/// stand-in holds everything in memory: it comes back empty and on another port.
#[derive(Debug)]
pub struct Kafka {
    supervised: Supervised,
    address: String,
    is_real: bool,
    /// The port at which a real one listens for other brokers.
    inside: Option<u16>,
}

supervised_controls!(Kafka);

impl Kafka {
    /// Starts a real one that keeps its data in `folder`, and waits until it serves. Topics are made by clients that
    /// ask for them; none comes by itself.
    ///
    /// # Errors
    /// When Java is not there, or Maven cannot fetch the jars, which happens once for a checkout.
    pub fn start(folder: &Path, options: &KafkaOptions) -> io::Result<Kafka> {
        fs::create_dir_all(folder)?;
        let folder = fs::canonicalize(folder)?;
        let jars = jars::fetch()?;
        port::start_on(&folder, options.port, |port| {
            let inside = port::free_port();
            let launch = broker::launch(&folder, &jars, [port, inside], options)?;
            let mut kafka = Kafka {
                supervised: Supervised::start(launch)?,
                address: format!("127.0.0.1:{port}"),
                is_real: true,
                inside: Some(inside),
            };
            kafka.wait_ready()?;
            Ok(kafka)
        })
    }

    /// Starts the `kafka-stand-in` of this workspace, whose log is in `folder`, and waits until it listens.
    ///
    /// # Errors
    /// When the binary has not been built; the error says how to build it.
    pub fn stand_in(folder: &Path, profile: Profile) -> io::Result<Kafka> {
        fs::create_dir_all(folder)?;
        let supervised = Supervised::start(Launch {
            name: "kafka-stand-in".into(),
            program: binary("kafka-stand-in", profile)?,
            arguments: Vec::new(),
            hidden: Vec::new(),
            environment: Vec::new(),
            log: folder.join(LOG),
            ending: Ending::AtOnce,
        })?;
        let mut kafka = Kafka {
            supervised,
            address: String::new(),
            is_real: false,
            inside: None,
        };
        kafka.wait_ready()?;
        Ok(kafka)
    }

    /// Fetches what a real one is made of, if that has not been done in this checkout.
    ///
    /// # Errors
    /// When Maven is not there or fails.
    pub fn fetch() -> io::Result<()> {
        jars::fetch().map(|_| ())
    }

    /// Where clients find it: `127.0.0.1:PORT`; of the stand-in another one after each restart.
    pub fn brokers(&self) -> &str {
        &self.address
    }

    /// Whether it is a real one.
    pub fn is_real(&self) -> bool {
        self.is_real
    }

    /// Allows a user of a real one this.
    ///
    /// # Errors
    /// When it does not answer, or is not one that asks for rights.
    pub fn allow(&self, user: &str, resource: Resource, operation: Operation) -> io::Result<()> {
        rights::change(self.inside()?, user, (resource, operation), true)
    }

    /// Takes that away again.
    ///
    /// # Errors
    /// As [`Kafka::allow`].
    pub fn forbid(&self, user: &str, resource: Resource, operation: Operation) -> io::Result<()> {
        rights::change(self.inside()?, user, (resource, operation), false)
    }

    /// Where other brokers find a real one, and anybody may do anything: `127.0.0.1:PORT`.
    ///
    /// # Errors
    /// Of the stand-in.
    pub fn inside_brokers(&self) -> io::Result<String> {
        Ok(format!("127.0.0.1:{}", self.inside()?))
    }

    fn inside(&self) -> io::Result<u16> {
        let none = || io::Error::other("the stand-in knows no rights");
        self.inside.ok_or_else(none)
    }

    /// Stops it if it runs and starts it again.
    pub fn restart(&mut self) -> io::Result<()> {
        self.supervised.restart()?;
        self.wait_ready()
    }

    /// Stops a real one in order; the stand-in has nothing that is worth it.
    pub fn stop(&mut self) -> io::Result<()> {
        if !self.is_real {
            self.kill();
            return Ok(());
        }
        // A Java machine that a signal ended in order says 143.
        self.supervised.end().map(|_| ())
    }

    /// Both say in their log that they serve, the stand-in also where.
    fn wait_ready(&mut self) -> io::Result<()> {
        let (address, is_real) = (&mut self.address, self.is_real);
        self.supervised.wait_line(READY, |line| {
            if is_real {
                return line.ends_with(broker::STARTED);
            }
            let told = line.strip_prefix("ready ");
            told.map(|told| told.clone_into(address)).is_some()
        })
    }
}
