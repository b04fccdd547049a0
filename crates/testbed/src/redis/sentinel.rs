//! A private master and its replica, and three sentinels that watch over them.

use std::fs;
use std::io;
use std::path::Path;

use super::{LOG, READY, Redis, RedisOptions, SYNC_AT_ONCE};
use crate::cut::Network;
use crate::files::find_program;
use crate::port;
use crate::supervised::{Ending, Launch, Supervised};
use crate::wait::wait_for;

/// What the sentinels call the master.
const NAME: &str = "main";
const SENTINELS: usize = 3;

/// What everybody must say who asks a sentinel.
const WATCHWORD: &str = "nobody-sleeps";

/// A master, its replica and their sentinels on 127.0.0.1, with a password for the data and another for sentinels.
#[derive(Debug)]
pub struct RedisSentinels {
    /// Who is the master at first.
    pub master: Redis,
    /// Who takes over.
    pub replica: Redis,
    /// They hold no data.
    pub sentinels: Vec<Redis>,
    password: String,
}

impl RedisSentinels {
    /// Starts all that keep their files in `folder`, and waits until the sentinels know each other and the
    /// replica. A master that is silent for half a second is replaced.
    pub fn start(folder: &Path, password: &str) -> io::Result<Self> {
        Self::start_reached(folder, password, Ok)
    }

    /// The same, but all others reach the first master through a network that can be cut.
    pub fn start_behind_network(folder: &Path, password: &str) -> io::Result<(Self, Network)> {
        let mut network = None;
        let all = Self::start_reached(folder, password, |port| {
            Ok(network.insert(Network::to(port)?).port())
        })?;
        let none = || io::Error::other("a master that nobody has to reach");
        Ok((all, network.ok_or_else(none)?))
    }

    /// `reach` says at which port others find the master that listens on this one.
    fn start_reached(
        folder: &Path,
        password: &str,
        reach: impl FnOnce(u16) -> io::Result<u16>,
    ) -> io::Result<Self> {
        let options = RedisOptions {
            password: Some(password.to_owned()),
            ..RedisOptions::default()
        };
        let master = Redis::start_with(&folder.join("master"), &options, &SYNC_AT_ONCE)?;
        let port = reach(master.port())?.to_string();
        let follows = ["--replicaof", "127.0.0.1", &port];
        let follows = [follows.as_slice(), &SYNC_AT_ONCE].concat();
        let replica = Redis::start_with(&folder.join("replica"), &options, &follows)?;
        wait_for("a replica to have everything", READY, || {
            replica.is_replica().then_some(())
        })?;
        let start = |number| sentinel(&folder.join(format!("sentinel-{number}")), &port, password);
        let all = Self {
            sentinels: (0..SENTINELS).map(start).collect::<io::Result<_>>()?,
            master,
            replica,
            password: password.to_owned(),
        };
        wait_for("sentinels to know each other", READY, || {
            all.are_ready().then_some(())
        })?;
        Ok(all)
    }

    /// `redis+sentinel://:PASSWORD@127.0.0.1:PORT,…/main?sentinel_password=…`
    pub fn url(&self) -> String {
        let hosts = self
            .sentinels
            .iter()
            .map(|it| format!("127.0.0.1:{}", it.port()));
        let hosts: Vec<_> = hosts.collect();
        format!(
            "redis+sentinel://:{}@{}/{NAME}?sentinel_password={WATCHWORD}",
            self.password,
            hosts.join(",")
        )
    }

    /// Returns when the replica has all that the master was told.
    pub fn wait_replicated(&self) -> io::Result<()> {
        self.master.wait_replicated(&self.replica)
    }

    /// Makes the replica the master, and tells the sentinels, as an operator may. No connection is broken by it: the
    /// old master answers on, and refuses to write.
    pub fn swap(&self) -> io::Result<()> {
        let port = self.replica.port();
        self.tell(&[format!("SENTINEL REMOVE {NAME}")])?;
        self.replica.ask("REPLICAOF NO ONE")?;
        self.master.ask(&format!("REPLICAOF 127.0.0.1 {port}"))?;
        self.tell(&[
            format!("SENTINEL MONITOR {NAME} 127.0.0.1 {port} 2"),
            format!("SENTINEL SET {NAME} auth-pass {}", self.password),
        ])
    }

    fn tell(&self, commands: &[String]) -> io::Result<()> {
        for sentinel in &self.sentinels {
            for command in commands {
                sentinel.ask(command)?;
            }
        }
        Ok(())
    }

    fn are_ready(&self) -> bool {
        let all = format!("slaves=1,sentinels={SENTINELS}");
        let knows = |it: &Redis| {
            it.ask("INFO sentinel")
                .is_ok_and(|said| said.contains(&all))
        };
        self.sentinels.iter().all(knows)
    }
}

/// A sentinel writes into its configuration what it learns, so each has a file of its own.
fn sentinel(folder: &Path, master_port: &str, password: &str) -> io::Result<Redis> {
    fs::create_dir_all(folder)?;
    port::start_on(folder, None, |port| {
        let file = folder.join("sentinel.conf");
        let lines = [
            format!("port {port}"),
            "bind 127.0.0.1".to_owned(),
            format!("requirepass {WATCHWORD}"),
            format!("sentinel sentinel-pass {WATCHWORD}"),
            format!("dir {}", folder.display()),
            format!("sentinel monitor {NAME} 127.0.0.1 {master_port} 2"),
            format!("sentinel auth-pass {NAME} {password}"),
            format!("sentinel down-after-milliseconds {NAME} 500"),
            format!("sentinel failover-timeout {NAME} 2000"),
        ];
        fs::write(&file, lines.join("\n") + "\n")?;
        let supervised = Supervised::start(Launch {
            name: "redis-sentinel".into(),
            program: find_program("redis-server")?,
            arguments: vec![file.into(), "--sentinel".into()],
            hidden: Vec::new(),
            environment: Vec::new(),
            log: folder.join(LOG),
            ending: Ending::AtOnce,
        })?;
        let mut redis = Redis {
            supervised,
            port,
            tls_port: None,
            password: Some(WATCHWORD.to_owned()),
        };
        redis.wait_ready()?;
        Ok(redis)
    })
}
