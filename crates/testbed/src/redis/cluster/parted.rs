//! A cluster whose nodes are reached through networks that can be cut: one master loses sight of all others, and one
//! client stays with it.

use std::io;
use std::path::Path;

use super::{RedisCluster, id_of};
use crate::cut::Network;
use crate::redis::{Redis, RedisOptions};

/// How much higher than its port the one is at which a node hears other nodes.
const BUS: u16 = 10_000;
/// Until the master that is cut off takes no writes any more because it sees no others: longer than the others
/// need to promote its replica, so that both sides go on for a while.
const ALONE_MS: u64 = 15_000;

/// Three masters, and a replica of the first one.
#[derive(Debug)]
pub struct PartedCluster {
    /// The masters, in the order of their slots.
    pub cluster: RedisCluster,
    /// Who takes over from the first one.
    pub replica: Redis,
    /// Of the masters, and last of the replica.
    ways: Vec<Ways>,
}

/// The networks in front of one node.
#[derive(Debug)]
struct Ways {
    /// For clients and replicas.
    data: Network,
    /// For other nodes.
    bus: Network,
}

impl Ways {
    /// Networks that lead to this node, which says from now on that it is there.
    fn to(node: &Redis) -> io::Result<Self> {
        let (data, bus) = (Network::to(node.port())?, Network::to(node.port() + BUS)?);
        for (what, port) in [("port", data.port()), ("bus-port", bus.port())] {
            node.ask(&format!("CONFIG SET cluster-announce-{what} {port}"))?;
        }
        Ok(Self { data, bus })
    }

    fn address(&self) -> String {
        format!("127.0.0.1 {} {}", self.data.port(), self.bus.port())
    }
}

impl PartedCluster {
    /// Starts all that keep their files in `folder`, and waits until all agree on who has which slots.
    pub fn start(folder: &Path) -> io::Result<Self> {
        let mut ways = Vec::new();
        let mut meet = |node: &Redis| {
            let way = Ways::to(node)?;
            let address = way.address();
            ways.push(way);
            Ok(address)
        };
        let cluster = RedisCluster::start_met(folder, &RedisOptions::default(), &mut meet)?;
        let replica = cluster.replica_met(0, &folder.join("replica"), meet)?;
        let alone = format!("CONFIG SET cluster-node-timeout {ALONE_MS}");
        cluster.masters[0].ask(&alone)?;
        Ok(Self {
            cluster,
            replica,
            ways,
        })
    }

    /// Where clients find it; `login` is empty, or a name and a password as `name:password@`.
    pub fn url(&self, login: &str) -> String {
        let hosts = self.ways.iter();
        let hosts = hosts.map(|way| format!("127.0.0.1:{}", way.data.port()));
        let hosts: Vec<_> = hosts.collect();
        format!("redis+cluster://{login}{}", hosts.join(","))
    }

    /// The first master loses all others; with it stays who said this `text` when they connected.
    pub fn cut_off_with(&self, text: &str) -> io::Result<()> {
        let alone = id_of(&self.cluster.masters[0])?;
        for (number, way) in self.ways.iter().enumerate() {
            if number == 0 {
                way.data.cut_all_but(text);
                way.bus.cut();
            } else {
                way.data.cut_only(text);
                // What a node says to others begins with its name.
                way.bus.cut_only(&alone);
            }
        }
        Ok(())
    }

    /// From now on everything arrives.
    pub fn heal(&self) {
        for way in &self.ways {
            way.data.heal();
            way.bus.heal();
        }
    }
}
