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

use clap::{Args, ValueEnum, value_parser};
use testbed::{Brokers, Profile, Stack, StackOptions};

use crate::demo::Demo;
use crate::failure::Failure;
use crate::packages::Purpose;
use crate::sheet::Sheet;
use crate::{Consent, demo, packages, say, stop, workspace};

pub const HELP: &str = "\
With KAFKA_BROKERS=host:port events go through those brokers. Addresses and keys are printed,
and stand in target/usher/up.env while it runs. The data is in target/usher and survives a
restart, but for what the stand-in for Kafka holds. Variables GATEWAY_…, BOOKING_…, OTEL_…
and LOG_CONFIG that are set reach the services, except those that up itself sets. What ends by
itself is started again, with the same port and data. Ctrl-C stops everything.
";

/// How many gateways there may be.
pub const GATEWAYS: RangeInclusive<i64> = 1..=50;
/// How many bookings, and how many forwarders.
const SERVICES: RangeInclusive<i64> = 1..=20;
/// Room for all services and for the listeners 1000 above.
const PORTS: RangeInclusive<i64> = 1024..=64_000;

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
#[derive(Debug, Args)]
pub struct Up {
    #[command(flatten)]
    consent: Consent,
    /// How many gateways, 1 unless said
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(GATEWAYS))]
    gateways: Option<u16>,
    /// How many bookings, 1 unless said
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(SERVICES))]
    bookings: Option<u16>,
    /// How many forwarders of events, 1 unless said
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(SERVICES))]
    forwarders: Option<u16>,
    /// The first gateway's port; the first booking has P+1, further gateways P+2 and so on, the forwarder P+51, the
    /// receiver P+52, further bookings P+53 and so on, further forwarders P+73 and so on, the sandbox P+93, the demo shop
    /// P+94; metrics and health are 1000 above each
    #[arg(long, value_name = "P", default_value_t = 8080, value_parser = value_parser!(u16).range(PORTS))]
    port: u16,
    /// Build and run with optimisation
    #[arg(long)]
    release: bool,
    /// Throw away what an earlier run kept
    #[arg(long)]
    fresh: bool,
    /// Where events go: Apache Kafka, fetched by Maven once; a small broker in memory; or nowhere, they wait in the outbox.
    /// The stand-in unless said, the real one with --cluster
    #[arg(long, value_enum)]
    kafka: Option<KafkaKind>,
    /// The same as --kafka none
    #[arg(long, conflicts_with = "kafka")]
    no_kafka: bool,
    /// The shape of a venue that has outgrown one machine: three Galera nodes, a Redis Cluster of three masters with
    /// replicas, Apache Kafka, and two of each service unless said
    #[arg(long, conflicts_with = "upstream")]
    cluster: bool,
    /// How wallets are charged: at once, or by a payment provider of a sandbox, which moves no money
    #[arg(long, value_enum, default_value_t = Charges::Direct)]
    charges: Charges,
    /// Gateways before a service of your own, with Redis alone: no MariaDB, no booking, no events
    #[arg(long, value_name = "URL", conflicts_with_all = ["bookings", "forwarders", "kafka", "no_kafka"])]
    upstream: Option<String>,
}

/// Who collects the money of charges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Charges {
    Direct,
    Provider,
}

/// Which broker is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum KafkaKind {
    Real,
    StandIn,
    None,
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
        let options = self.stack_options(&folder, &progress);
        let purpose = match options.brokers {
            _ if self.cluster => Purpose::Cluster,
            Brokers::Real => Purpose::Kafka,
            _ => Purpose::Stack,
        };
        packages::ensure(purpose, self.consent)?;
        options.check().map_err(port_hint)?;
        progress(
            "building; the first time takes minutes, one or two of them for the client of Kafka",
        )?;
        let services = workspace::Services {
            booking: options.upstream.is_none(),
            stand_in: options.brokers == Brokers::StandIn,
        };
        workspace::build_services(self.release, services, &stop)?;

        let mut stack = Stack::start(options).map_err(port_hint)?;
        let demo = match stack.sells() {
            true => {
                progress("making the demo concert")?;
                Some(demo::ensure(&folder, &stack, self.fresh)?)
            }
            false => None,
        };
        progress("everything is ready")?;
        let sheet = Sheet {
            stack: &stack,
            demo: demo.as_ref(),
        };
        say(&sheet.text());
        sheet.write(&folder)?;
        let outcome = watch(&mut stack, demo.as_ref(), &folder, &stop);
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
        let usual = if self.cluster { 2 } else { 1 };
        StackOptions {
            folder: folder.to_owned(),
            gateways: self.gateways.unwrap_or(usual),
            bookings: self.bookings.unwrap_or(usual),
            forwarders: self.forwarders.unwrap_or(usual),
            cluster: self.cluster,
            upstream: self.upstream.clone(),
            shop: self.upstream.is_none(),
            first_port: Some(self.port),
            brokers: self.brokers(),
            sandbox: self.charges == Charges::Provider,
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
        let given = env::var("KAFKA_BROKERS").unwrap_or_default();
        let usual = match self.cluster {
            true => KafkaKind::Real,
            false => KafkaKind::StandIn,
        };
        match self.kafka.unwrap_or(usual) {
            _ if self.no_kafka || self.upstream.is_some() => Brokers::None,
            KafkaKind::None => Brokers::None,
            _ if !given.trim().is_empty() => Brokers::At(given),
            KafkaKind::Real => Brokers::Real,
            KafkaKind::StandIn => Brokers::StandIn,
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
fn watch(
    stack: &mut Stack,
    demo: Option<&Demo>,
    folder: &Path,
    stop: &AtomicBool,
) -> Result<(), Failure> {
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
