//! A broker in memory that stands in for Kafka.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use crate::files::{Profile, binary};
use crate::supervised::{Ending, Launch, Supervised, supervised_controls};

const READY: Duration = Duration::from_secs(30);
/// Its output, in its folder.
pub(crate) const LOG: &str = "kafka.log";

/// The `kafka-stand-in` of this workspace as a process of its own, on a free port of 127.0.0.1.
///
/// It holds everything in memory: a kill or a restart loses topics, events and the offsets of groups, and it comes back
/// on another port. Freeze and thaw it to play an outage that loses nothing.
#[derive(Debug)]
pub struct Kafka {
    supervised: Supervised,
    address: String,
}

supervised_controls!(Kafka);

impl Kafka {
    /// Starts one whose log is in `folder`, and waits until it listens.
    ///
    /// # Errors
    /// When the binary has not been built; the error says how to build it.
    pub fn start(folder: &Path, profile: Profile) -> io::Result<Kafka> {
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
        };
        kafka.wait_ready()?;
        Ok(kafka)
    }

    /// Where clients find it: `127.0.0.1:PORT`, another one after each restart.
    pub fn brokers(&self) -> &str {
        &self.address
    }

    /// Stops it if it runs and starts it again: empty, and on another port.
    pub fn restart(&mut self) -> io::Result<()> {
        self.supervised.restart()?;
        self.wait_ready()
    }

    /// It says by itself where it listens.
    fn wait_ready(&mut self) -> io::Result<()> {
        self.address.clear();
        let (log, address) = (self.supervised.log().to_owned(), &mut self.address);
        let start = self.supervised.log_start();
        self.supervised.wait_ready(READY, || {
            let text = fs::read(&log).unwrap_or_default();
            let own = text.get(start..).unwrap_or_default();
            let own = String::from_utf8_lossy(own);
            // Only a whole line has the whole address.
            let line = own.split_inclusive('\n').find(|line| line.ends_with('\n'));
            let told = line.and_then(|line| line.trim_end().strip_prefix("ready "));
            told.map(|told| address.push_str(told)).is_some()
        })
    }
}
