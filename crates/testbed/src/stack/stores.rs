//! The stores of a stack: Redis, and MariaDB where something is sold.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Ended, StackOptions};
use crate::kafka;
use crate::mariadb::{self, MariaDb, MariaDbOptions};
use crate::redis::{self, Redis, RedisOptions};

/// What booking's database is called.
const DATABASE: &str = "usher";

pub(super) struct Stores {
    pub redis: Redis,
    pub mariadb: Option<MariaDb>,
    mysql_url: String,
}

impl Stores {
    /// Starts them and makes the database.
    pub fn start(options: &StackOptions) -> io::Result<Self> {
        let (folder, durable) = (&options.folder, options.durable);
        (options.progress)("starting redis-server")?;
        let redis = RedisOptions {
            durable,
            ..RedisOptions::default()
        };
        let mut stores = Self {
            redis: Redis::start(&folder.join("redis"), redis)?,
            mariadb: None,
            mysql_url: String::new(),
        };
        if options.upstream.is_none() {
            (options.progress)("starting mariadbd")?;
            let mariadb = MariaDbOptions {
                port: None,
                durable,
            };
            let mariadb = MariaDb::start(&folder.join("mariadb"), mariadb)?;
            stores.mysql_url = mariadb.ensure_database(DATABASE)?;
            stores.mariadb = Some(mariadb);
        }
        Ok(stores)
    }

    pub fn redis_url(&self) -> String {
        self.redis.url()
    }

    pub fn mysql_url(&self) -> &str {
        &self.mysql_url
    }

    /// Starts one again that ended by itself.
    pub fn revive(&mut self) -> io::Result<Option<Ended>> {
        if let Some(ended) = Ended::of(self.redis.supervised()) {
            self.redis.restart()?;
            return Ok(Some(ended));
        }
        if let Some(mariadb) = &mut self.mariadb
            && let Some(ended) = Ended::of(mariadb.supervised())
        {
            mariadb.restart()?;
            return Ok(Some(ended));
        }
        Ok(None)
    }

    /// Stops them in order.
    pub fn stop(&mut self) -> io::Result<()> {
        let redis = self.redis.stop();
        let mariadb = self.mariadb.as_mut().map_or(Ok(()), MariaDb::stop);
        redis.and(mariadb)
    }
}

/// What they write to, below the folder of the stack.
pub(super) fn logs() -> [PathBuf; 2] {
    [
        PathBuf::from("redis").join(redis::LOG),
        PathBuf::from("mariadb").join(mariadb::LOG),
    ]
}

/// Removes what the servers hold. None of them runs: `StackOptions::check` has waited for that.
pub(super) fn forget(folder: &Path) -> io::Result<()> {
    let held = [
        folder.join("redis").join(redis::HELD),
        folder.join("mariadb").join(mariadb::HELD),
        folder.join("kafka").join(kafka::HELD),
    ];
    held.iter()
        .filter(|held| held.exists())
        .try_for_each(fs::remove_dir_all)
}
