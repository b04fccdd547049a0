//! Owns what the benchmarks know of the line in Redis: the names of its keys, and lines that nobody has joined.
//!
//! The keys are those that `docs/QUEUE.md` lists. A line of a million is written directly: joins would take
//! minutes. Its members are 16 random bytes, as users are.

use std::io;

use redis::{Commands, Connection};
use uuid::Uuid;

const CHUNK: usize = 1_000;
/// What a visitor is recorded as present for, longer than a run.
const AN_HOUR_US: u64 = 3_600_000_000;

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
    pub fn open(url: &str) -> io::Result<Self> {
        let client = redis::Client::open(url).map_err(io::Error::other)?;
        let redis = client.get_connection().map_err(io::Error::other)?;
        Ok(Self { redis })
    }

    /// Puts so many into the line, spread evenly behind those whose ticket numbers are given.
    pub fn spread(&mut self, queue: &str, count: usize, tickets: &[u64]) -> io::Result<()> {
        // Equal scores are in the order of their members, so these lie around the true tickets.
        self.add(queue, count, |index| tickets[index % tickets.len()])?;
        Ok(())
    }

    /// Puts so many into the line, one after another; the first `present` are there when their turn comes.
    pub fn append(&mut self, queue: &str, count: usize, present: usize) -> io::Result<()> {
        let now = self.now_us()?;
        let members = self.add(queue, count, |index| now + index as u64)?;
        for chunk in members[..present.min(count)].chunks(CHUNK) {
            let items: Vec<_> = chunk.iter().map(|it| (now + AN_HOUR_US, &it[..])).collect();
            let () = self
                .redis
                .zadd_multiple(key(queue, "present"), &items)
                .map_err(io::Error::other)?;
        }
        Ok(())
    }

    fn add(
        &mut self,
        queue: &str,
        count: usize,
        score: impl Fn(usize) -> u64,
    ) -> io::Result<Vec<[u8; 16]>> {
        let members: Vec<_> = (0..count).map(|_| *Uuid::new_v4().as_bytes()).collect();
        for (number, chunk) in members.chunks(CHUNK).enumerate() {
            let first = number * CHUNK;
            let items: Vec<_> = chunk
                .iter()
                .enumerate()
                .map(|(index, member)| (score(first + index), &member[..]))
                .collect();
            let () = self
                .redis
                .zadd_multiple(key(queue, "waiting"), &items)
                .map_err(io::Error::other)?;
        }
        Ok(members)
    }

    /// How many there are in one of the sorted sets.
    pub fn count(&mut self, queue: &str, part: &str) -> io::Result<u64> {
        self.redis.zcard(key(queue, part)).map_err(io::Error::other)
    }

    /// Whether somebody has been near the head for so long that who did not show up is absent.
    pub fn is_called(&mut self, queue: &str) -> io::Result<bool> {
        self.redis
            .hexists(key(queue, "meta"), "called")
            .map_err(io::Error::other)
    }

    /// Bytes that keys of a queue take, by every element.
    pub fn bytes(&mut self, queue: &str, parts: &[&str]) -> io::Result<u64> {
        let mut sum = 0;
        for part in parts {
            let bytes: Option<u64> = redis::cmd("MEMORY")
                .arg("USAGE")
                .arg(key(queue, part))
                .arg("SAMPLES")
                .arg(0)
                .query(&mut self.redis)
                .map_err(io::Error::other)?;
            sum += bytes.unwrap_or(0);
        }
        Ok(sum)
    }

    /// What Redis has allocated in all.
    pub fn used_memory(&mut self) -> io::Result<u64> {
        let told = self.info("memory")?;
        number(&told, "used_memory:").ok_or_else(|| io::Error::other("no used_memory"))
    }

    /// µs that scripts have run since the server started.
    pub fn script_us(&mut self) -> io::Result<u64> {
        let told = self.info("commandstats")?;
        let of = |name: &str| {
            let line = told.lines().find(|it| it.starts_with(name));
            line.and_then(|it| number(it, "usec=")).unwrap_or(0)
        };
        Ok(of("cmdstat_evalsha:") + of("cmdstat_eval:"))
    }

    fn info(&mut self, section: &str) -> io::Result<String> {
        redis::cmd("INFO")
            .arg(section)
            .query(&mut self.redis)
            .map_err(io::Error::other)
    }

    fn now_us(&mut self) -> io::Result<u64> {
        let (s, us): (u64, u64) = redis::cmd("TIME")
            .query(&mut self.redis)
            .map_err(io::Error::other)?;
        Ok(s * 1_000_000 + us)
    }
}

fn number(text: &str, name: &str) -> Option<u64> {
    let rest = &text[text.find(name)? + name.len()..];
    let end = rest.find(|it: char| !it.is_ascii_digit());
    rest[..end.unwrap_or(rest.len())].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn a_figure_of_redis_is_read_by_its_name() {
        let told = "used_memory_rss:7\r\nused_memory:42\r\n";
        assert_eq!(number(told, "used_memory:"), Some(42));
        assert_eq!(
            number("cmdstat_evalsha:calls=1,usec=9,usec_per_call=9.0", "usec="),
            Some(9)
        );
        assert_eq!(number(told, "nothing:"), None);
    }
}
