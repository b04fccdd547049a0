//! Owns the name of every Redis key of the gateway.
//!
//! The keys of one queue share a hash tag, so a Redis Cluster keeps them on one node and scripts
//! may use them together. The set of names stands alone and is used outside scripts only.

use redis::{RedisWrite, ToRedisArgs};

use crate::queue::{QueueId, UserId};

/// The names of all queues: a set.
pub(in crate::queue) const NAMES: &str = "usher:queues";

/// What each gateway says of its settings: a hash.
pub(super) const GATEWAYS: &str = "usher:gateways";

/// Keys without a value that are written to find whether Redis takes what is written: so many that they lie on
/// all masters of a cluster. They end by themselves.
pub(super) fn ready() -> impl Iterator<Item = String> {
    (0..8).map(|number| format!("usher:ready:{number}"))
}

/// What one queue keeps, in the order in which scripts take the keys.
const PARTS: [&str; 14] = [
    // Hash: the rules, a field each.
    "policy",
    // Hash: last ticket, epoch, token bucket, version, counters, draw; a removed queue's tombstone.
    "meta",
    // Sorted set: user by the key of their place: the ticket number, or a lot.
    WAITING,
    // Sorted set: user by lease end in µs.
    ACTIVE,
    // Set: users inside who did not show up yet.
    UNCLAIMED,
    // Hash: ticket number by user, of those inside; with the end of the lease where they may idle.
    TICKETS,
    // Set: numbers of tickets from an older epoch whose visit is over.
    "ended",
    // Hash: admissions of the last seconds and minutes.
    "admitted",
    // List: changes of policy, newest first.
    AUDIT,
    // Sorted set: user by the instant in µs until which they are taken to be there.
    "present",
    // Sorted sets like the line: who were away; here again, ...
    RETURNED,
    // ... away, ...
    PARKED,
    // ... and away since longer.
    PARKED_BEFORE,
    // Sorted set: user by lease end in µs, of visits that idleness ended before.
    "idled",
];
const WAITING: &str = "waiting";
const ACTIVE: &str = "active";
const UNCLAIMED: &str = "unclaimed";
const TICKETS: &str = "tickets";
const AUDIT: &str = "audit";
const RETURNED: &str = "returned";
const PARKED: &str = "parked";
const PARKED_BEFORE: &str = "parked_before";

/// The keys of one queue.
#[derive(Debug)]
pub(in crate::queue) struct Keys {
    all: [String; PARTS.len()],
    /// For the commands that are not in a script.
    pub waiting: String,
    /// The same.
    pub active: String,
    /// The same.
    pub unclaimed: String,
    /// The same.
    pub tickets: String,
    /// For reading the list.
    pub audit: String,
    /// Hash: what is kept of each minute, by its number since 1970, and the sums of it. Of the scripts only
    /// `sums.lua` takes it, with a key that ends by itself.
    pub minutes: String,
    /// What all keys begin with.
    prefix: String,
}

impl Keys {
    /// The keys of `queue`.
    pub fn of(queue: &QueueId) -> Self {
        let prefix = format!("q:{{{queue}}}:");
        let key = |part| format!("{prefix}{part}");
        Self {
            all: PARTS.map(key),
            waiting: key(WAITING),
            active: key(ACTIVE),
            unclaimed: key(UNCLAIMED),
            tickets: key(TICKETS),
            audit: key(AUDIT),
            minutes: key("minutes"),
            prefix: prefix.clone(),
        }
    }
}

impl Keys {
    /// The digest of the secret that a user joined with; `join.lua` is told it.
    pub fn secret(&self, user: &UserId) -> String {
        format!("{}secret:{user}", self.prefix)
    }

    /// The tickets that take part in the draw with this root, 8 bytes each; no script takes it.
    pub fn entrants(&self, root: &str) -> String {
        format!("{}entrants:{root}", self.prefix)
    }

    /// Which batch of counts this gateway added last to the sums of minutes.
    pub fn batch(&self, gateway: &str) -> String {
        format!("{}batch:{gateway}", self.prefix)
    }

    /// Promises of one life of the queue: a hash; no script takes it.
    pub fn promises(&self, epoch: u64) -> String {
        format!("{}promises:{epoch}", self.prefix)
    }
}

/// All keys, as every script takes them.
impl ToRedisArgs for &Keys {
    fn write_redis_args<W: ?Sized + RedisWrite>(&self, out: &mut W) {
        for key in &self.all {
            out.write_arg(key.as_bytes());
        }
    }

    fn num_of_args(&self) -> usize {
        self.all.len()
    }
}

#[cfg(test)]
mod tests {
    use super::Keys;

    #[test]
    fn the_keys_of_a_queue_share_one_hash_tag() {
        let keys = Keys::of(&"main".parse().expect("a name"));
        assert!(keys.all.iter().all(|key| key.starts_with("q:{main}:")));
        for alone in [
            &keys.waiting,
            &keys.active,
            &keys.unclaimed,
            &keys.tickets,
            &keys.audit,
        ] {
            assert!(keys.all.contains(alone), "{alone}");
        }
    }
}
