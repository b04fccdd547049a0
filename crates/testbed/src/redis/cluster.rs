//! A private Redis Cluster of three masters, to which a replica can be added.

mod parted;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{LOG, READY, Redis, RedisOptions, SYNC_AT_ONCE};
use crate::wait::wait_for;

pub use parted::PartedCluster;

const SLOTS: usize = 16_384;
const MASTERS: usize = 3;
/// Each serves its own slots whatever has become of the others; a silent one is given up after a second.
const SETTINGS: [&str; 8] = [
    "--cluster-enabled",
    "yes",
    "--cluster-node-timeout",
    "1000",
    "--cluster-require-full-coverage",
    "no",
    "--cluster-config-file",
    NODES_FILE,
];
const NODES_FILE: &str = "nodes.conf";

/// Three masters on 127.0.0.1, a third of the slots each.
#[derive(Debug)]
pub struct RedisCluster {
    /// The masters, in the order of their slots.
    pub masters: Vec<Redis>,
}

impl RedisCluster {
    /// Starts one that keeps its files in `folder`, and waits until all agree on who has which slots.
    pub fn start(folder: &Path, options: &RedisOptions) -> io::Result<Self> {
        Self::start_met(folder, options, |node| {
            Ok(format!("127.0.0.1 {}", node.main_port()))
        })
    }

    /// `address` says where the others find one, and is asked once for each.
    fn start_met(
        folder: &Path,
        options: &RedisOptions,
        mut address: impl FnMut(&Redis) -> io::Result<String>,
    ) -> io::Result<Self> {
        let mut settings = [SETTINGS.as_slice(), &SYNC_AT_ONCE].concat();
        if options.tls.is_some() {
            settings.extend(["--tls-cluster", "yes"]);
        }
        let start = |number| {
            let home = folder.join(format!("{number}"));
            // Each has the slots of this number again, also when another one had them at the end.
            match fs::remove_file(home.join(NODES_FILE)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Redis::start_with(&home, options, &settings),
            }
        };
        let masters = (0..MASTERS).map(start).collect::<io::Result<Vec<_>>>()?;
        for (number, master) in masters.iter().enumerate() {
            // Each an own epoch, so that they have nothing to settle when they meet.
            master.ask(&format!("CLUSTER SET-CONFIG-EPOCH {}", number + 1))?;
            // A node that has loaded keys has taken their slots already.
            let taken = slots_of(&master.ask("CLUSTER NODES")?);
            let slots = SLOTS * number / MASTERS..SLOTS * (number + 1) / MASTERS;
            let slots = slots.filter(|slot| !taken.contains(slot));
            let slots: Vec<_> = slots.map(|slot| slot.to_string()).collect();
            master.ask(&format!("CLUSTER ADDSLOTS {}", slots.join(" ")))?;
        }
        let addresses = masters.iter().map(&mut address);
        let addresses = addresses.collect::<io::Result<Vec<_>>>()?;
        for other in &addresses[1..] {
            masters[0].ask(&format!("CLUSTER MEET {other}"))?;
        }
        let cluster = Self { masters };
        wait_for("a Redis Cluster to agree", READY, || {
            cluster.agrees().then_some(())
        })?;
        Ok(cluster)
    }

    /// `redis+cluster://127.0.0.1:PORT,…`, with the password where there is one; `rediss+cluster` where it
    /// speaks TLS.
    pub fn url(&self) -> String {
        let first = &self.masters[0];
        let scheme = first.tls_port.map_or("redis", |_| "rediss");
        let hosts = self
            .masters
            .iter()
            .map(|it| format!("127.0.0.1:{}", it.main_port()));
        let hosts: Vec<_> = hosts.collect();
        format!("{scheme}+cluster://{}{}", first.login(), hosts.join(","))
    }

    /// The slot of a key, as the cluster says.
    pub fn slot_of(&self, key: &str) -> io::Result<usize> {
        let said = self.masters[0].ask(&format!("CLUSTER KEYSLOT {key}"))?;
        said.trim_end()
            .trim_start_matches(':')
            .parse()
            .map_err(io::Error::other)
    }

    /// The number of the master that had the slot of a key at the start.
    pub fn master_of(&self, key: &str) -> io::Result<usize> {
        let slot = self.slot_of(key)?;
        Ok((0..MASTERS)
            .rfind(|number| SLOTS * number / MASTERS <= slot)
            .unwrap_or_default())
    }

    /// Gives the slot of a key, in which nothing is, to another master.
    pub fn give(&self, key: &str, to: usize) -> io::Result<()> {
        let slot = self.slot_of(key)?;
        let id = id_of(&self.masters[to])?;
        // The new owner first: it then tells the others a newer truth than the old one's.
        let others = (0..MASTERS).filter(|number| *number != to);
        for number in std::iter::once(to).chain(others) {
            self.masters[number].ask(&format!("CLUSTER SETSLOT {slot} NODE {id}"))?;
        }
        Ok(())
    }

    /// Starts a replica of a master, of a cluster without a password and without TLS, and waits until it has
    /// everything and all others know it.
    pub fn replica_of(&self, number: usize, folder: &Path) -> io::Result<Redis> {
        self.replica_met(number, folder, |node| {
            Ok(format!("127.0.0.1 {}", node.port()))
        })
    }

    /// `address` says where the others find it.
    fn replica_met(
        &self,
        number: usize,
        folder: &Path,
        address: impl FnOnce(&Redis) -> io::Result<String>,
    ) -> io::Result<Redis> {
        // It knows another cluster no more.
        let _ = fs::remove_file(folder.join(NODES_FILE));
        let settings = [SETTINGS.as_slice(), &SYNC_AT_ONCE].concat();
        let replica = Redis::start_with(folder, &RedisOptions::default(), &settings)?;
        self.masters[0].ask(&format!("CLUSTER MEET {}", address(&replica)?))?;
        let master = id_of(&self.masters[number])?;
        wait_for("a node to meet its master", READY, || {
            replica.ask(&format!("CLUSTER REPLICATE {master}")).ok()
        })?;
        let id = id_of(&replica)?;
        let knows = |node: &Redis| {
            let nodes = node.ask("CLUSTER NODES").unwrap_or_default();
            let is_it = |it: &str| it.starts_with(&id) && it.contains("slave");
            nodes.lines().any(is_it)
        };
        wait_for("a replica to be known", READY, || {
            let known = self.masters.iter().all(knows);
            (known && replica.is_replica()).then_some(())
        })?;
        Ok(replica)
    }

    fn agrees(&self) -> bool {
        let wants = [
            "cluster_state:ok",
            "cluster_slots_ok:16384",
            "cluster_known_nodes:3",
        ];
        self.masters.iter().all(|master| {
            let said = master.ask("CLUSTER INFO").unwrap_or_default();
            wants
                .iter()
                .all(|want| said.lines().any(|line| line == *want))
        })
    }
}

/// The slots of the node that was asked: the last words of its own line, `12` or `100-200`.
fn slots_of(nodes: &str) -> BTreeSet<usize> {
    let own = nodes.lines().find(|line| line.contains("myself"));
    let words = own.unwrap_or_default().split_whitespace().skip(8);
    let range = |word: &str| {
        let (first, last) = word.split_once('-').unwrap_or((word, word));
        Some(first.parse().ok()?..=last.parse().ok()?)
    };
    words.filter_map(range).flatten().collect()
}

fn id_of(node: &Redis) -> io::Result<String> {
    let said = node.ask("CLUSTER MYID")?;
    Ok(said.lines().nth(1).unwrap_or_default().to_owned())
}

/// What the masters write to, below the folder of the cluster.
pub(crate) fn logs() -> Vec<PathBuf> {
    (0..MASTERS)
        .map(|number| PathBuf::from(number.to_string()).join(LOG))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::slots_of;

    #[test]
    fn own_slots_are_read_alone_and_as_ranges() {
        let nodes = "a 127.0.0.1:1@2 master - 0 0 1 connected 7\r\n\
            b 127.0.0.1:3@4 myself,master - 0 0 2 connected 12 100-102\r\n";
        assert_eq!(slots_of(nodes), BTreeSet::from([12, 100, 101, 102]));
        assert_eq!(slots_of(""), BTreeSet::new());
    }
}
