//! All of it: Redis, MariaDB, booking, any number of gateways, and the way of events if it is wanted.

mod events;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::files::{Profile, binary};
use crate::keys::Keys;
use crate::mariadb::{self, MariaDb, MariaDbOptions};
use crate::port::{free_port, is_free, was_taken};
use crate::program::{Program, ProgramOptions};
use crate::redis::{self, Redis, RedisOptions};
use crate::supervised;
use crate::supervised::Supervised;
use events::Broker;
pub use events::{Brokers, Events};

const READY: Duration = Duration::from_secs(60);
/// The admin listener is this far above the public one when ports are given.
const ADMIN_OFFSET: u16 = 1000;
/// How often other ports are tried when somebody else was faster.
const PORT_TRIES: u32 = 3;

/// What `Stack::start` starts.
pub struct StackOptions<'a> {
    /// Where data, logs and keys live.
    pub folder: PathBuf,
    /// How many gateways, at least one.
    pub gateways: u16,
    /// The first gateway's port; booking has the next, further gateways those after it, and each its
    /// admin listener 1000 above. `None`: free ports.
    pub first_port: Option<u16>,
    /// Where booking publishes events. With brokers there are a forwarder and a receiver too.
    pub brokers: Brokers,
    /// Throws away what Redis and MariaDB hold in the folder.
    pub fresh: bool,
    /// Whether that must survive a loss of power, or is only for a test.
    pub durable: bool,
    /// Which binaries run.
    pub profile: Profile,
    /// More variables for each gateway; they win over those that the stack sets.
    pub gateway_environment: Vec<(String, String)>,
    /// More variables for booking; they win over those that the stack sets.
    pub booking_environment: Vec<(String, String)>,
    /// Hears what comes next, in a few words. An error from it stops the start.
    pub progress: &'a dyn Fn(&str) -> io::Result<()>,
}

impl StackOptions<'_> {
    /// One gateway, debug binaries, free ports, nothing that must last: what a test wants.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        StackOptions {
            folder: folder.into(),
            gateways: 1,
            first_port: None,
            brokers: Brokers::None,
            fresh: false,
            durable: false,
            profile: Profile::Debug,
            gateway_environment: Vec::new(),
            booking_environment: Vec::new(),
            progress: &|_| Ok(()),
        }
    }

    /// Waits until what an earlier start left behind has ended; fails when a given port is in use after that.
    pub fn check(&self) -> io::Result<()> {
        let (redis, mariadb) = (self.folder.join("redis"), self.folder.join("mariadb"));
        let gateways =
            (1..=self.gateways).map(|number| self.folder.join(format!("gateway-{number}.log")));
        let servers = [
            redis.join(redis::LOG),
            mariadb.join(mariadb::LOG),
            self.folder.join("booking.log"),
        ];
        let events = events::logs().map(|log| self.folder.join(log));
        let logs = gateways.chain(servers).chain(events);
        for log in logs.filter(|log| log.exists()) {
            supervised::own_log(&log)?;
        }
        let Some(first) = self.first_port else {
            return Ok(());
        };
        let gateways = (2..=self.gateways).map(gateway_offset);
        let events = [events::FORWARDER_OFFSET, events::RECEIVER_OFFSET];
        let events = events.into_iter().filter(|_| self.brokers != Brokers::None);
        let offsets = (0..=1).chain(gateways).chain(events);
        let ports = offsets.flat_map(|offset| [first + offset, first + offset + ADMIN_OFFSET]);
        match ports.into_iter().find(|port| !is_free(*port)) {
            None => Ok(()),
            Some(port) => {
                let words = format!("port {port} of 127.0.0.1 is in use by another program");
                Err(io::Error::new(io::ErrorKind::AddrInUse, words))
            }
        }
    }
}

/// The running whole. Dropping it ends all of it.
pub struct Stack {
    // Fields are dropped in this order: first who serves, then what they need.
    /// The waiting rooms, in the order of their ports.
    pub gateways: Vec<Program>,
    /// The seat booking behind them.
    pub booking: Program,
    /// Where events go, if there are brokers.
    pub events: Option<Events>,
    /// The line.
    pub redis: Redis,
    /// The seats.
    pub mariadb: MariaDb,
    gateway_admin_ports: Vec<u16>,
    booking_admin_port: u16,
    mysql_url: String,
    keys: Keys,
}

/// A part of the stack that ended by itself.
#[derive(Debug)]
pub struct Ended {
    /// Which.
    pub name: String,
    /// Its exit code; 128 + signal when a signal ended it.
    pub code: i32,
    /// The last lines that it wrote.
    pub log_tail: String,
    /// Where the rest is.
    pub log: PathBuf,
}

impl Ended {
    fn of(part: &mut Supervised) -> Option<Self> {
        let code = part.ended()?;
        Some(Self {
            name: part.name().to_owned(),
            code,
            log_tail: part.tail(),
            log: part.log().to_owned(),
        })
    }
}

impl Stack {
    /// Starts everything and waits until all of it is ready.
    pub fn start(options: StackOptions) -> io::Result<Stack> {
        let (folder, progress) = (&options.folder, options.progress);
        let booking_binary = binary("booking", options.profile)?;
        let gateway_binary = binary("gateway", options.profile)?;
        fs::create_dir_all(folder)?;
        options.check()?;
        if options.fresh {
            forget(folder)?;
        }
        let keys = Keys::load_or_make(&folder.join("keys.env"))?;
        let (redis, mariadb) = start_stores(&options)?;
        let mysql_url = mariadb.ensure_database("usher")?;

        let broker = Broker::start(&options)?;

        progress("starting booking, which brings the database up to date")?;
        let (booking, booking_admin_port) = start_service(
            ("booking", &[]),
            &booking_binary,
            &options,
            (1, &options.booking_environment),
            |port, admin_port| {
                let mut own = booking_environment(port, admin_port, &redis, &mysql_url, &keys);
                own.extend(broker.as_ref().map(Broker::environment));
                own
            },
        )?;
        let events = match broker {
            Some(broker) => Some(Events::start(broker, &options, &mysql_url, &keys)?),
            None => None,
        };
        let mut gateways = Vec::new();
        let mut gateway_admin_ports = Vec::new();
        for number in 1..=options.gateways.max(1) {
            let name = format!("gateway-{number}");
            progress(&format!("starting {name}"))?;
            let offset = gateway_offset(number);
            let (program, admin_port) = start_service(
                (&name, &[]),
                &gateway_binary,
                &options,
                (offset, &options.gateway_environment),
                |port, admin_port| gateway_environment(port, admin_port, &redis, &booking, &keys),
            )?;
            gateways.push(program);
            gateway_admin_ports.push(admin_port);
        }
        Ok(Stack {
            gateways,
            booking,
            events,
            redis,
            mariadb,
            gateway_admin_ports,
            booking_admin_port,
            mysql_url,
            keys,
        })
    }

    /// Each gateway's address, `http://127.0.0.1:PORT`.
    pub fn gateway_urls(&self) -> Vec<String> {
        self.gateways.iter().map(Program::url).collect()
    }

    /// Each gateway's admin listener: metrics and health.
    pub fn gateway_admin_urls(&self) -> Vec<String> {
        self.gateway_admin_ports
            .iter()
            .map(|port| format!("http://{}", local(*port)))
            .collect()
    }

    /// Booking's own address, which clients do not use.
    pub fn booking_url(&self) -> String {
        self.booking.url()
    }

    /// Booking's admin listener: metrics and health.
    pub fn booking_admin_url(&self) -> String {
        format!("http://{}", local(self.booking_admin_port))
    }

    /// The line's store.
    pub fn redis_url(&self) -> String {
        self.redis.url()
    }

    /// The database of booking.
    pub fn mysql_url(&self) -> &str {
        &self.mysql_url
    }

    /// What `Authorization: Bearer` takes on operator routes.
    pub fn operator_key(&self) -> &str {
        &self.keys.operator
    }

    /// The secret that gateway and booking share.
    pub fn pass_key(&self) -> &str {
        &self.keys.pass
    }

    /// The secret that events are signed with on their way to a receiver.
    pub fn webhook_secret(&self) -> &str {
        &self.keys.webhook
    }

    /// The secret that tokens are signed with.
    pub fn token_key(&self) -> &str {
        &self.keys.token
    }

    /// Starts a part again that ended although nobody asked it to, and says which it was.
    ///
    /// On the same port and with the same data, so that everything else finds it again.
    pub fn revive(&mut self) -> io::Result<Option<Ended>> {
        // Stores first: a service that needs them could not become ready.
        if let Some(ended) = Ended::of(self.redis.supervised()) {
            self.redis.restart()?;
            return Ok(Some(ended));
        }
        if let Some(ended) = Ended::of(self.mariadb.supervised()) {
            self.mariadb.restart()?;
            return Ok(Some(ended));
        }
        for program in [&mut self.booking].into_iter().chain(&mut self.gateways) {
            if let Some(ended) = Ended::of(program.supervised()) {
                program.restart()?;
                return Ok(Some(ended));
            }
        }
        match &mut self.events {
            Some(events) => events.revive(&mut self.booking),
            None => Ok(None),
        }
    }

    /// Stops everything in order: gateways, booking, the way of events, then the servers. The first error, after all were stopped.
    pub fn stop(&mut self) -> io::Result<()> {
        self.gateways.iter_mut().for_each(Program::ask_to_stop);
        let mut outcomes: Vec<_> = self.gateways.iter_mut().map(stopped).collect();
        self.booking.ask_to_stop();
        outcomes.push(stopped(&mut self.booking));
        outcomes.extend(self.events.as_mut().map(Events::stop));
        outcomes.push(self.redis.stop());
        outcomes.push(self.mariadb.stop());
        outcomes.into_iter().collect()
    }
}

fn start_stores(options: &StackOptions) -> io::Result<(Redis, MariaDb)> {
    let (folder, durable) = (&options.folder, options.durable);
    (options.progress)("starting redis-server")?;
    let redis = RedisOptions {
        durable,
        ..RedisOptions::default()
    };
    let redis = Redis::start(&folder.join("redis"), redis)?;
    (options.progress)("starting mariadbd")?;
    let mariadb = MariaDbOptions {
        port: None,
        durable,
    };
    let mariadb = MariaDb::start(&folder.join("mariadb"), mariadb)?;
    Ok((redis, mariadb))
}

fn stopped(program: &mut Program) -> io::Result<()> {
    let code = program.wait_stopped()?;
    let what = format!("{} stopped with code {code}", program.name());
    if code == 0 {
        Ok(())
    } else {
        Err(program.supervised().error(&what))
    }
}

/// Starts one service, with more variables than its own, and waits until it is ready; on free ports it tries others when they were just taken.
fn start_service(
    (name, arguments): (&str, &[&str]),
    binary: &Path,
    options: &StackOptions,
    (offset, more): (u16, &[(String, String)]),
    environment: impl Fn(u16, u16) -> Vec<(&'static str, String)>,
) -> io::Result<(Program, u16)> {
    let arguments: Vec<_> = arguments.iter().map(|it| (*it).to_owned()).collect();
    let mut tries_left = PORT_TRIES;
    loop {
        tries_left -= 1;
        let (port, admin_port) = match options.first_port {
            Some(first) => (first + offset, first + offset + ADMIN_OFFSET),
            None => (free_port(), free_port()),
        };
        let own = environment(port, admin_port)
            .into_iter()
            .map(|(variable, value)| (variable.to_owned(), value));
        let mut program = Program::start(
            name,
            ProgramOptions {
                binary: binary.to_owned(),
                arguments: arguments.clone(),
                environment: own.chain(more.iter().cloned()).collect(),
                port,
                log: options.folder.join(format!("{name}.log")),
            },
        )?;
        match program.wait_ready(READY) {
            Ok(()) => return Ok((program, admin_port)),
            Err(error) => {
                drop(program);
                let taken = was_taken(port, &error) || !is_free(admin_port);
                if options.first_port.is_some() || tries_left == 0 || !taken {
                    return Err(error);
                }
            }
        }
    }
}

fn booking_environment(
    port: u16,
    admin_port: u16,
    redis: &Redis,
    mysql_url: &str,
    keys: &Keys,
) -> Vec<(&'static str, String)> {
    vec![
        ("BOOKING_LISTEN", local(port)),
        ("BOOKING_ADMIN_LISTEN", local(admin_port)),
        ("BOOKING_MYSQL_URL", mysql_url.to_owned()),
        ("BOOKING_REDIS_URL", redis.url()),
        ("BOOKING_PASS_KEY", keys.pass.clone()),
    ]
}

fn gateway_environment(
    port: u16,
    admin_port: u16,
    redis: &Redis,
    booking: &Program,
    keys: &Keys,
) -> Vec<(&'static str, String)> {
    vec![
        ("GATEWAY_LISTEN", local(port)),
        ("GATEWAY_ADMIN_LISTEN", local(admin_port)),
        ("GATEWAY_REDIS_URL", redis.url()),
        ("GATEWAY_UPSTREAM", booking.url()),
        ("GATEWAY_TOKEN_KEYS", format!("dev:{}", keys.token)),
        ("GATEWAY_PASS_KEY", keys.pass.clone()),
        ("GATEWAY_OPERATOR_KEYS", format!("dev:{}", keys.operator)),
    ]
}

/// How far a gateway's port is above the first: booking sits between the first gateway and the second.
fn gateway_offset(number: u16) -> u16 {
    if number == 1 { 0 } else { number }
}

fn local(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

/// Removes what the servers hold. None of them runs: `check` has waited for that.
fn forget(folder: &Path) -> io::Result<()> {
    let held = [
        folder.join("redis").join(redis::HELD),
        folder.join("mariadb").join(mariadb::HELD),
    ];
    held.iter()
        .filter(|held| held.exists())
        .try_for_each(fs::remove_dir_all)
}
