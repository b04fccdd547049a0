//! The stores of a stack: Redis, and MariaDB where something is sold; each alone, or as a cluster.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Ended, StackOptions};
use crate::kafka;
use crate::mariadb::{self, GaleraCluster, MariaDb, MariaDbOptions};
use crate::redis::{self, Redis, RedisCluster, RedisOptions};

/// What booking's database is called.
const DATABASE: &str = "usher";

/// Where the line is.
pub(super) enum Line {
    Single(Redis),
    /// With a replica of each master.
    Cluster(RedisCluster, Vec<Redis>),
}

/// Where the seats are.
pub(super) enum Database {
    None,
    Single(Box<MariaDb>),
    Cluster(GaleraCluster),
}

pub(super) struct Stores {
    pub line: Line,
    pub database: Database,
}

impl Stores {
    /// Starts them and makes the database.
    pub fn start(options: &StackOptions) -> io::Result<Self> {
        let (folder, durable) = (&options.folder, options.durable);
        let redis = RedisOptions {
            durable,
            ..RedisOptions::default()
        };
        let mariadb = MariaDbOptions {
            durable,
            ..MariaDbOptions::default()
        };
        if options.cluster {
            (options.progress)("starting a Redis Cluster of three masters with replicas")?;
            let line = start_cluster(folder, &redis)?;
            (options.progress)("starting a Galera cluster of three nodes")?;
            let galera = GaleraCluster::start(&folder.join("galera"), &mariadb)?;
            galera.nodes[0].ensure_database(DATABASE)?;
            let database = Database::Cluster(galera);
            return Ok(Self { line, database });
        }
        (options.progress)("starting redis-server")?;
        let line = Line::Single(Redis::start(&folder.join("redis"), redis)?);
        let mut database = Database::None;
        if options.upstream.is_none() {
            (options.progress)("starting mariadbd")?;
            let mariadb = MariaDb::start(&folder.join("mariadb"), mariadb)?;
            mariadb.ensure_database(DATABASE)?;
            database = Database::Single(Box::new(mariadb));
        }
        Ok(Self { line, database })
    }

    pub fn redis_url(&self) -> String {
        match &self.line {
            Line::Single(redis) => redis.url(),
            Line::Cluster(cluster, _) => cluster.url(),
        }
    }

    /// What the service of this number, from 0, is told. Of a cluster each begins with a node of its own.
    pub fn mysql_url(&self, number: usize) -> String {
        match &self.database {
            Database::None => String::new(),
            Database::Single(mariadb) => mariadb.url(DATABASE),
            Database::Cluster(galera) => galera.url(number, DATABASE),
        }
    }

    /// Starts one again that ended by itself.
    pub fn revive(&mut self) -> io::Result<Option<Ended>> {
        let redis: Vec<&mut Redis> = match &mut self.line {
            Line::Single(redis) => vec![redis],
            Line::Cluster(cluster, replicas) => {
                cluster.masters.iter_mut().chain(replicas).collect()
            }
        };
        for redis in redis {
            if let Some(ended) = Ended::of(redis.supervised()) {
                redis.restart()?;
                return Ok(Some(ended));
            }
        }
        match &mut self.database {
            Database::None => Ok(None),
            Database::Single(mariadb) => {
                let ended = Ended::of(mariadb.supervised());
                ended.map(|it| mariadb.restart().map(|()| it)).transpose()
            }
            Database::Cluster(galera) => {
                let ended = galera
                    .nodes
                    .iter_mut()
                    .map(|node| Ended::of(node.supervised()));
                let found = ended
                    .enumerate()
                    .find_map(|(number, it)| Some((number, it?)));
                found
                    .map(|(number, it)| galera.restart(number).map(|()| it))
                    .transpose()
            }
        }
    }

    /// Stops them in order.
    pub fn stop(&mut self) -> io::Result<()> {
        let line = match &mut self.line {
            Line::Single(redis) => redis.stop(),
            Line::Cluster(cluster, replicas) => {
                let all = replicas.iter_mut().chain(&mut cluster.masters);
                let outcomes: Vec<_> = all.map(Redis::stop).collect();
                outcomes.into_iter().collect()
            }
        };
        let database = match &mut self.database {
            Database::None => Ok(()),
            Database::Single(mariadb) => mariadb.stop(),
            Database::Cluster(galera) => galera.stop(),
        };
        line.and(database)
    }
}

fn start_cluster(folder: &Path, options: &RedisOptions) -> io::Result<Line> {
    let folder = folder.join("redis-cluster");
    let cluster = RedisCluster::start(&folder, options)?;
    let start = |number| cluster.replica_of(number, &folder.join(format!("replica-{number}")));
    let replicas = (0..cluster.masters.len()).map(start);
    let replicas = replicas.collect::<io::Result<_>>()?;
    Ok(Line::Cluster(cluster, replicas))
}

/// What they write to, below the folder of the stack.
pub(super) fn logs() -> Vec<PathBuf> {
    let below = |folder: &'static str| move |log: PathBuf| Path::new(folder).join(log);
    let mut all = vec![
        PathBuf::from("redis").join(redis::LOG),
        PathBuf::from("mariadb").join(mariadb::LOG),
    ];
    all.extend(
        redis::cluster_logs()
            .into_iter()
            .map(below("redis-cluster")),
    );
    all.extend(mariadb::galera_logs().into_iter().map(below("galera")));
    all
}

/// Removes what the servers hold. None of them runs: `StackOptions::check` has waited for that.
pub(super) fn forget(folder: &Path) -> io::Result<()> {
    let held = [
        folder.join("redis").join(redis::HELD),
        folder.join("mariadb").join(mariadb::HELD),
        folder.join("kafka").join(kafka::HELD),
        folder.join("redis-cluster"),
        folder.join("galera"),
    ];
    held.iter()
        .filter(|held| held.exists())
        .try_for_each(fs::remove_dir_all)
}
