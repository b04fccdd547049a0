//! `cargo xtask up`: the test stack, kept open for a developer.
//!
//! One per checkout. Its data is in `target/usher` and survives a restart. Whatever way it ends, nothing
//! that it started stays.

use std::collections::VecDeque;
use std::env;
use std::fs::{self, File, TryLockError};
use std::io;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use testbed::{Brokers, Profile, Stack, StackOptions};

use crate::demo::Demo;
use crate::failure::Failure;
use crate::packages::Purpose;
use crate::sheet::Sheet;
use crate::{demo, packages, say, stop, workspace};

pub const HELP: &str = "\
Starts Redis, MariaDB, a stand-in for Kafka, booking, the gateways, and the forwarder and a
receiver of events, with a demo concert, and keeps them running.

  cargo xtask up [--yes] [--gateways N] [--port P] [--release] [--fresh] [--no-kafka]

  --yes          install missing packages without asking
  --gateways N   how many gateways, 1 to 50; 1 unless said
  --port P       the first gateway's port, 8080 unless said; booking has P+1, further
                 gateways P+2 and so on; metrics and health are 1000 above each;
                 the forwarder has P+51, the receiver P+52
  --release      build and run with optimisation
  --fresh        throw away what an earlier run kept
  --no-kafka     no broker, no forwarder, no receiver: events wait in the outbox

With KAFKA_BROKERS=host:port events go through real brokers in place of the stand-in.
Addresses and keys are printed, and stand in target/usher/up.env while it runs. The
data is in target/usher and survives a restart. Variables GATEWAY_…, BOOKING_… and
LOG_CONFIG that are set reach the services, except those that up itself sets.
What ends by itself is started again, with the same port and data.
Ctrl-C stops everything.
";

pub const GATEWAYS: RangeInclusive<u16> = 1..=50;
/// Room for 50 gateways and for the listeners 1000 above.
pub const PORTS: RangeInclusive<u16> = 1024..=64_000;

const LOOK_PAUSE: Duration = Duration::from_millis(100);
/// A part that ends more often than this has a reason that a new start does not mend.
const MOST_RESTARTS: usize = 20;
const RESTARTS_WITHIN: Duration = Duration::from_secs(60);
/// What the stack wires itself.
const WIRED: [&str; 17] = [
    "GATEWAY_LISTEN",
    "GATEWAY_ADMIN_LISTEN",
    "GATEWAY_REDIS_URL",
    "GATEWAY_UPSTREAM",
    "GATEWAY_TOKEN_KEYS",
    "GATEWAY_PASS_KEY",
    "GATEWAY_OPERATOR_KEYS",
    "BOOKING_LISTEN",
    "BOOKING_ADMIN_LISTEN",
    "BOOKING_MYSQL_URL",
    "BOOKING_REDIS_URL",
    "BOOKING_PASS_KEY",
    "BOOKING_KAFKA_BROKERS",
    "BOOKING_FORWARD_LISTEN",
    "BOOKING_RECEIVE_LISTEN",
    "BOOKING_WEBHOOK_URL",
    "BOOKING_WEBHOOK_SECRET",
];

/// What the command line asks for.
#[derive(Debug)]
pub struct Up {
    pub yes: bool,
    pub gateways: u16,
    pub port: u16,
    pub release: bool,
    pub fresh: bool,
    pub no_kafka: bool,
}

impl Default for Up {
    fn default() -> Self {
        Up {
            yes: false,
            gateways: 1,
            port: 8080,
            release: false,
            fresh: false,
            no_kafka: false,
        }
    }
}

impl Up {
    /// Runs until somebody stops it or a part of it ends.
    pub fn run(self) -> Result<(), Failure> {
        let stop = stop::listen()?;
        let began = Instant::now();
        let progress = |what: &str| {
            if stop.load(Ordering::Relaxed) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            say(&format!("[{:5.1} s] {what}", began.elapsed().as_secs_f32()));
            Ok(())
        };
        let folder = workspace::root().join("target/usher");
        let _lock = lock(&folder)?;
        Sheet::remove(&folder)?;
        progress("looking for what must be installed")?;
        packages::ensure(Purpose::Stack, self.yes || packages::is_unattended())?;
        let options = self.stack_options(&folder, &progress);
        options.check().map_err(port_hint)?;
        let stand_in = options.brokers == Brokers::StandIn;
        progress(
            "building; the first time takes minutes, one or two of them for the client of Kafka",
        )?;
        workspace::build_services(self.release, stand_in, &stop)?;

        let mut stack = Stack::start(options).map_err(port_hint)?;
        progress("making the demo concert")?;
        let demo = demo::ensure(&folder, &stack, self.fresh)?;
        progress("everything is ready")?;
        let sheet = Sheet {
            stack: &stack,
            demo: &demo,
        };
        say(&sheet.text());
        sheet.write(&folder)?;
        let outcome = watch(&mut stack, &demo, &folder, &stop);
        say("Stopping everything…");
        Sheet::remove(&folder)?;
        let stopped = stack.stop();
        outcome?;
        stopped?;
        say("Stopped. The data is kept; `cargo xtask up` goes on with it.");
        Ok(())
    }

    fn stack_options<'a>(
        &self,
        folder: &Path,
        progress: &'a dyn Fn(&str) -> io::Result<()>,
    ) -> StackOptions<'a> {
        StackOptions {
            folder: folder.to_owned(),
            gateways: self.gateways,
            first_port: Some(self.port),
            brokers: self.brokers(),
            fresh: self.fresh,
            durable: true,
            profile: if self.release {
                Profile::Release
            } else {
                Profile::Debug
            },
            gateway_environment: inherited("GATEWAY_"),
            booking_environment: inherited("BOOKING_"),
            progress,
        }
    }
}

impl Up {
    fn brokers(&self) -> Brokers {
        match env::var("KAFKA_BROKERS") {
            _ if self.no_kafka => Brokers::None,
            Ok(brokers) if !brokers.trim().is_empty() => Brokers::At(brokers),
            _ => Brokers::StandIn,
        }
    }
}

/// Held while this process lives.
fn lock(folder: &Path) -> Result<File, Failure> {
    fs::create_dir_all(folder)?;
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(folder.join("up.lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Failure::Failed(
            "`cargo xtask up` already runs in this checkout; stop that one with Ctrl-C, or use another checkout with another --port".into(),
        )),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

fn inherited(prefix: &str) -> Vec<(String, String)> {
    env::vars()
        .filter(|(name, _)| name.starts_with(prefix) || name == "LOG_CONFIG")
        .filter(|(name, _)| !WIRED.contains(&name.as_str()))
        .collect()
}

fn port_hint(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::AddrInUse => Failure::Failed(format!(
            "{error}; stop that, or choose other ports with --port"
        )),
        _ => error.into(),
    }
}

/// Starts again what ends by itself, or is killed by somebody who wants to see what then happens.
fn watch(stack: &mut Stack, demo: &Demo, folder: &Path, stop: &AtomicBool) -> Result<(), Failure> {
    let mut recent: VecDeque<Instant> = VecDeque::new();
    while !stop.load(Ordering::Relaxed) {
        let Some(ended) = stack.revive()? else {
            thread::sleep(LOOK_PAUSE);
            continue;
        };
        let told = format!(
            "{} ended by itself with code {}. The last lines of {}:\n{}",
            ended.name,
            ended.code,
            ended.log.display(),
            ended.log_tail
        );
        recent.retain(|at| at.elapsed() < RESTARTS_WITHIN);
        recent.push_back(Instant::now());
        if recent.len() > MOST_RESTARTS {
            return Err(Failure::Failed(format!(
                "{told}\nThat is too often to start it again."
            )));
        }
        say(&format!("{told}\nIt was started again."));
        // The stand-in for Kafka comes back elsewhere.
        Sheet { stack, demo }.write(folder)?;
    }
    Ok(())
}
