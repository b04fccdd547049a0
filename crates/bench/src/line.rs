//! Owns what the benchmarks know of the line in Redis: the names of its keys, and lines that nobody has joined.
//!
//! The keys are those that `docs/QUEUE.md` lists. A line of a million is written directly: joins would take
//! minutes. Its members are 16 random bytes, as users are.

use anyhow::{Context as _, Result};
use redis::{Commands, Connection, InfoDict};
use uuid::Uuid;

const CHUNK: usize = 1_000;
/// For how long a visitor is recorded as present: longer than a run.
const AN_HOUR_US: i64 = 3_600_000_000;
/// Before a draw the score of those who take part is their ticket number less this.
const UNDRAWN: i64 = 1 << 53;

/// The name of a key of a queue.
pub fn key(queue: &str, part: &str) -> String {
    format!("q:{{{queue}}}:{part}")
}

/// A connection for filling and looking.
pub struct Line {
    redis: Connection,
}

impl Line {
    /// Connects.
    pub fn open(url: &str) -> Result<Self> {
        let redis = redis::Client::open(url)?.get_connection()?;
        Ok(Self { redis })
    }

    /// Puts so many into the line, spread evenly behind those whose ticket numbers are given.
    pub fn spread(&mut self, queue: &str, count: usize, tickets: &[u64]) -> Result<()> {
        // Equal scores are in the order of their members, so these lie around the true tickets.
        let members = members(count, |index| tickets[index % tickets.len()] as i64);
        self.add(&key(queue, "waiting"), &members)?;
        self.keep(queue, members.into_iter().map(|(_, member)| member))
    }

    /// Records these as present for longer than a run: others are parked within seconds, also where nobody can enter.
    pub fn keep(&mut self, queue: &str, users: impl Iterator<Item = [u8; 16]>) -> Result<()> {
        let until_us = self.now_us()? + AN_HOUR_US;
        let members: Vec<_> = users.map(|user| (until_us, user)).collect();
        self.add(&key(queue, "present"), &members)
    }

    /// Puts so many into the line, one after another; the first `present` count as present when their turn comes.
    pub fn append(&mut self, queue: &str, count: usize, present: usize) -> Result<()> {
        let now = self.now_us()?;
        let mut members = members(count, |index| now + index as i64);
        self.add(&key(queue, "waiting"), &members)?;
        members.truncate(present);
        self.keep(queue, members.into_iter().map(|(_, member)| member))
    }

    /// Puts so many into the line who take part in the draw of a lottery that was not held.
    pub fn take_part(&mut self, queue: &str, count: usize) -> Result<()> {
        let first = self.now_us()? - count as i64 - UNDRAWN;
        let members = members(count, |index| first + index as i64);
        self.add(&key(queue, "waiting"), &members)
    }

    fn add(&mut self, key: &str, members: &[(i64, [u8; 16])]) -> Result<()> {
        for chunk in members.chunks(CHUNK) {
            let items: Vec<_> = chunk.iter().map(|(score, it)| (*score, &it[..])).collect();
            let () = self.redis.zadd_multiple(key, &items)?;
        }
        Ok(())
    }

    /// How many there are in one of the sorted sets.
    pub fn count(&mut self, queue: &str, part: &str) -> Result<u64> {
        Ok(self.redis.zcard(key(queue, part))?)
    }

    /// Whether a hash has a field.
    pub fn has_field(&mut self, queue: &str, part: &str, field: &str) -> Result<bool> {
        Ok(self.redis.hexists(key(queue, part), field)?)
    }

    /// One round trip that does nothing.
    pub fn ping(&mut self) -> Result<()> {
        Ok(redis::cmd("PING").exec(&mut self.redis)?)
    }

    /// Whether the visitors near the head have had their time to show up, so that the others count as absent.
    pub fn is_called(&mut self, queue: &str) -> Result<bool> {
        self.has_field(queue, "meta", "called")
    }

    /// Bytes that keys of a queue take, by every element.
    pub fn bytes(&mut self, queue: &str, parts: &[&str]) -> Result<u64> {
        let mut sum = 0;
        for part in parts {
            let mut usage = redis::cmd("MEMORY");
            usage.arg("USAGE").arg(key(queue, part));
            let bytes: Option<u64> = usage.arg("SAMPLES").arg(0).query(&mut self.redis)?;
            sum += bytes.unwrap_or(0);
        }
        Ok(sum)
    }

    /// What Redis has allocated in all.
    pub fn used_memory(&mut self) -> Result<u64> {
        let told = self.info("memory")?;
        told.get("used_memory").context("no used_memory")
    }

    /// µs that scripts have run since the server started.
    pub fn script_us(&mut self) -> Result<u64> {
        let told = self.info("commandstats")?;
        // `calls=…,usec=…,usec_per_call=…`
        let us = |name: &str| -> Option<u64> {
            let stats: String = told.get(name)?;
            let us = stats.split(',').find_map(|it| it.strip_prefix("usec="));
            us?.parse().ok()
        };
        let scripts = ["cmdstat_evalsha", "cmdstat_eval"];
        Ok(scripts.into_iter().filter_map(us).sum())
    }

    fn info(&mut self, section: &str) -> Result<InfoDict> {
        Ok(redis::cmd("INFO").arg(section).query(&mut self.redis)?)
    }

    fn now_us(&mut self) -> Result<i64> {
        let (s, us): (i64, i64) = redis::cmd("TIME").query(&mut self.redis)?;
        Ok(s * 1_000_000 + us)
    }
}

/// So many new users, each with its score.
fn members(count: usize, score: impl Fn(usize) -> i64) -> Vec<(i64, [u8; 16])> {
    let member = |index| (score(index), *Uuid::new_v4().as_bytes());
    (0..count).map(member).collect()
}
