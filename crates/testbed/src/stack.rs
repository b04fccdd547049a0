//! All of it: Redis, MariaDB, any number of bookings and gateways, and the way of events if it is wanted.
//!
//! Or a part of it: Redis and gateways before a service of somebody else.

mod events;
mod sandbox;
mod services;
mod shop;
mod start;
mod stores;

use std::io;
use std::path::PathBuf;

use crate::files::Profile;
use crate::keys::Keys;
use crate::mariadb::{GaleraCluster, MariaDb};
use crate::port::is_free;
use crate::program::Program;
use crate::redis::{Redis, RedisCluster};
use crate::supervised::{self, Supervised};
use events::Broker;
pub use events::{Brokers, Events};
use services::{
    Behind, booking, gateway, identity, needs_identity_key, start_bookings, start_gateway,
    start_gateways,
};
use start::ADMIN_OFFSET;
use stores::{Database, Line, Stores};

/// What `Stack::start` starts.
pub struct StackOptions<'a> {
    /// Where data, logs and keys live.
    pub folder: PathBuf,
    /// How many gateways, at least one.
    pub gateways: u16,
    /// How many bookings, at least one where there is any.
    pub bookings: u16,
    /// How many forwarders of events, at least one where there are brokers.
    pub forwarders: u16,
    /// Three Galera nodes and a Redis Cluster of three masters with replicas, in place of one server each.
    pub cluster: bool,
    /// The service behind the gateways in place of booking. There is neither a database nor the way of events then.
    pub upstream: Option<String>,
    /// Whether the demo shop runs too, before booking.
    pub shop: bool,
    /// The first gateway's port; the first booking has the next, further gateways those after it, then come the way of
    /// events, further bookings and further forwarders; each has its admin listener 1000 above. `None`: free ports.
    pub first_port: Option<u16>,
    /// Where booking publishes events. With brokers there are a forwarder and a receiver too.
    pub brokers: Brokers,
    /// Whether a payment provider of a sandbox collects the money of charges, in place of booking them at once.
    pub sandbox: bool,
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
            bookings: 1,
            forwarders: 1,
            cluster: false,
            upstream: None,
            shop: false,
            first_port: None,
            brokers: Brokers::None,
            sandbox: false,
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
        let services = self.services();
        let logs = services.iter().map(|(name, _)| format!("{name}.log"));
        let logs = logs
            .map(PathBuf::from)
            .chain(stores::logs())
            .chain(events::logs());
        for log in logs
            .map(|log| self.folder.join(log))
            .filter(|log| log.exists())
        {
            supervised::own_log(&log)?;
        }
        let Some(first) = self.first_port else {
            return Ok(());
        };
        let offsets = services.iter().map(|(_, offset)| offset);
        let mut ports = offsets.flat_map(|offset| [first + offset, first + offset + ADMIN_OFFSET]);
        match ports.find(|port| !is_free(*port)) {
            None => Ok(()),
            Some(port) => {
                let words = format!("port {port} of 127.0.0.1 is in use by another program");
                Err(io::Error::new(io::ErrorKind::AddrInUse, words))
            }
        }
    }

    /// Every service that is started, with how far its port is above the first.
    fn services(&self) -> Vec<(String, u16)> {
        let mut all: Vec<_> = (1..=self.gateways.max(1)).map(gateway).collect();
        if self.upstream.is_none() {
            all.extend((1..=self.bookings.max(1)).map(booking));
            all.extend(self.shop.then(shop::service));
            all.extend(self.sandbox.then(sandbox::service));
            if self.brokers != Brokers::None {
                all.push(events::receiver());
                all.extend((1..=self.forwarders.max(1)).map(events::forwarder));
            }
        }
        all
    }
}

/// The running whole. Dropping it ends all of it.
pub struct Stack {
    // Fields are dropped in this order: first who serves, then what they need.
    /// The waiting rooms, in the order of their ports.
    pub gateways: Vec<Program>,
    /// The seat booking behind them; none before a service of somebody else.
    pub bookings: Vec<Program>,
    /// Who collects the money of charges, if that is not booking itself.
    pub sandbox: Option<Program>,
    /// The demo shop, where it is wanted.
    pub shop: Option<Program>,
    /// Where events go, if there are brokers.
    pub events: Option<Events>,
    stores: Stores,
    keys: Keys,
    /// What stands before the routes of the gateways' own.
    base: String,
    identity: String,
    has_identity_key: bool,
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
        let folder = &options.folder;
        std::fs::create_dir_all(folder)?;
        options.check()?;
        if options.fresh {
            stores::forget(folder)?;
        }
        let keys = Keys::load_or_make(&folder.join("keys.env"))?;
        let stores = Stores::start(&options)?;
        let broker = Broker::start(&options)?;
        let sandbox_port = sandbox::port(&options).filter(|_| options.upstream.is_none());
        let bookings = match options.upstream {
            Some(_) => Vec::new(),
            None => start_bookings(&options, &stores, broker.as_ref(), sandbox_port, &keys)?,
        };
        let start = |port| sandbox::start(&options, port, &bookings[0].url(), &keys);
        let sandbox = sandbox_port.map(start).transpose()?;
        let events = match broker {
            Some(broker) => Some(Events::start(broker, &options, &stores, &keys)?),
            None => None,
        };
        let urls: Vec<_> = bookings.iter().map(Program::url).collect();
        let upstream = options.upstream.clone().unwrap_or(urls.join(","));
        let shop = match options.shop && options.upstream.is_none() {
            true => Some(shop::start(&options)?),
            false => None,
        };
        let behind = Behind {
            upstream,
            routes: shop::routes(&options, shop.as_ref(), &urls)?,
        };
        let gateways = start_gateways(&options, &stores, &behind, &keys)?;
        let base = shop::told(&options, "GATEWAY_BASE_PATH").unwrap_or_default();
        Ok(Stack {
            gateways,
            bookings,
            shop,
            sandbox,
            events,
            stores,
            keys,
            base: base.to_owned(),
            identity: identity(&options).to_owned(),
            has_identity_key: needs_identity_key(&options),
        })
    }

    /// Each gateway's address, `http://127.0.0.1:PORT`.
    pub fn gateway_urls(&self) -> Vec<String> {
        self.gateways.iter().map(Program::url).collect()
    }

    /// Where the first gateway's own routes stand: its address, and `GATEWAY_BASE_PATH` where it is told one.
    pub fn own_url(&self) -> String {
        format!("{}{}", self.gateways[0].url(), self.base)
    }

    /// Each gateway's admin listener: metrics and health.
    pub fn gateway_admin_urls(&self) -> Vec<String> {
        self.gateways.iter().map(Program::admin_url).collect()
    }

    /// Whether seats are sold, and not something of somebody else.
    pub fn sells(&self) -> bool {
        !self.bookings.is_empty()
    }

    /// The first booking's own address, which clients do not use.
    ///
    /// # Panics
    /// When there is none.
    pub fn booking_url(&self) -> String {
        self.bookings[0].url()
    }

    /// The first booking's admin listener: metrics and health.
    ///
    /// # Panics
    /// When there is none.
    pub fn booking_admin_url(&self) -> String {
        self.bookings[0].admin_url()
    }

    /// The line's store.
    pub fn redis_url(&self) -> String {
        self.stores.redis_url()
    }

    /// The server of the line's store.
    ///
    /// # Panics
    /// When it is a cluster.
    pub fn redis(&self) -> &Redis {
        match &self.stores.line {
            Line::Single(redis) => redis,
            Line::Cluster(..) => panic!("the line is in a cluster"),
        }
    }

    /// The same, to end or restart it.
    ///
    /// # Panics
    /// When it is a cluster.
    pub fn redis_mut(&mut self) -> &mut Redis {
        match &mut self.stores.line {
            Line::Single(redis) => redis,
            Line::Cluster(..) => panic!("the line is in a cluster"),
        }
    }

    /// The masters of the line's cluster and their replicas.
    ///
    /// # Panics
    /// When it is none.
    pub fn redis_cluster(&mut self) -> (&mut RedisCluster, &mut Vec<Redis>) {
        match &mut self.stores.line {
            Line::Cluster(cluster, replicas) => (cluster, replicas),
            Line::Single(_) => panic!("the line is in one server"),
        }
    }

    /// The database of booking; empty where nothing is sold.
    pub fn mysql_url(&self) -> String {
        self.stores.mysql_url(0)
    }

    /// The server of the database.
    ///
    /// # Panics
    /// When there is none, or several.
    pub fn mariadb(&self) -> &MariaDb {
        match &self.stores.database {
            Database::Single(mariadb) => mariadb,
            Database::None | Database::Cluster(_) => panic!("there is not one database server"),
        }
    }

    /// The same, to end or restart it.
    ///
    /// # Panics
    /// When there is none, or several.
    pub fn mariadb_mut(&mut self) -> &mut MariaDb {
        match &mut self.stores.database {
            Database::Single(mariadb) => mariadb,
            Database::None | Database::Cluster(_) => panic!("there is not one database server"),
        }
    }

    /// The nodes of the database.
    ///
    /// # Panics
    /// When it is no cluster.
    pub fn galera(&mut self) -> &mut GaleraCluster {
        match &mut self.stores.database {
            Database::Cluster(galera) => galera,
            Database::None | Database::Single(_) => panic!("the database is no cluster"),
        }
    }

    /// What `Authorization: Bearer` takes on operator routes.
    pub fn operator_key(&self) -> &str {
        &self.keys.operator
    }

    /// Who is who at the gateways: `open`, `anonymous` or `jwt`.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// What signs tokens with HS256 where no other identity provider is named, base64url.
    pub fn identity_key(&self) -> Option<&str> {
        self.has_identity_key.then_some(self.keys.identity.as_str())
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

    /// One more gateway of the same line and with the same keys, before a service of somebody else. Its ports are free ones.
    pub fn start_gateway_before(
        &self,
        upstream: String,
        name: &str,
        options: &StackOptions,
    ) -> io::Result<Program> {
        let behind = Behind {
            upstream,
            routes: None,
        };
        start_gateway((name, 0), options, &self.stores, &behind, &self.keys)
    }

    /// Starts a part again that ended although nobody asked it to, and says which it was.
    ///
    /// On the same port and with the same data, so that everything else finds it again.
    pub fn revive(&mut self) -> io::Result<Option<Ended>> {
        // Stores first: a service that needs them could not become ready.
        if let Some(ended) = self.stores.revive()? {
            return Ok(Some(ended));
        }
        let services = self.bookings.iter_mut().chain(&mut self.sandbox);
        let services = services.chain(&mut self.shop);
        for program in services.chain(&mut self.gateways) {
            if let Some(ended) = Ended::of(program.supervised()) {
                program.restart()?;
                return Ok(Some(ended));
            }
        }
        match &mut self.events {
            Some(events) => events.revive(&mut self.bookings),
            None => Ok(None),
        }
    }

    /// Stops everything in order: gateways, bookings, the way of events, then the servers. The first error, after all were stopped.
    pub fn stop(&mut self) -> io::Result<()> {
        let mut outcomes = start::stop(&mut self.gateways);
        outcomes.extend(start::stop(self.shop.as_mut_slice()));
        outcomes.extend(start::stop(&mut self.bookings));
        outcomes.extend(start::stop(self.sandbox.as_mut_slice()));
        outcomes.extend(self.events.as_mut().map(Events::stop));
        outcomes.push(self.stores.stop());
        outcomes.into_iter().collect()
    }
}
