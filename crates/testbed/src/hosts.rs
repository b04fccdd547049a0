//! Hosts of a small network inside this machine, between which packets can be dropped.
//!
//! Each is a network namespace of the kernel, with a cable to a hub, which is one too and passes on; this machine has
//! a cable to the hub as well. Nothing of this machine's own network is changed but for that cable. A cut drops
//! packets in the hub: nobody is told, no connection is closed. All of it goes when the starting process does.

use std::fmt::Write as _;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::files::{at_the_end, find_program, is_root};

/// 198.18.0.0/15 is for tests of networks. Each network has sixteen addresses of its first half.
const FIRST: u32 = u32::from_be_bytes([198, 18, 0, 0]);
const NETWORKS: u32 = 4_096;
const ADDRESSES: u32 = 16;
/// A prime, so that processes with neighbouring ids have networks that lie apart.
const STRIDE: u32 = 1_009;
/// Hosts of one network.
const MOST: u8 = 12;

/// A network of hosts.
#[derive(Debug)]
pub struct Hosts {
    ip: PathBuf,
    number: u32,
    /// Ends the namespaces when its stdin ends.
    remover: Child,
}

impl Hosts {
    /// Whether they can be made here.
    ///
    /// # Errors
    /// Why not, in a few words.
    pub fn are_possible() -> Result<(), String> {
        let needs = ["ip", "iptables"].map(find_program);
        for need in needs {
            need.map_err(|error| error.to_string())?;
        }
        if !is_root().is_ok_and(|is_root| is_root) {
            return Err("only root may make network namespaces".to_owned());
        }
        let probe = "ip netns add usher-probe-$$ && \
            ip netns exec usher-probe-$$ iptables -A FORWARD -j DROP; code=$?; \
            ip netns del usher-probe-$$; exit $code";
        shell(probe).map_err(|error| format!("the kernel allows none: {error}"))
    }

    /// Makes so many, counted from 0.
    ///
    /// # Errors
    /// When the kernel refuses; see [`Hosts::are_possible`].
    pub fn open(count: u8) -> io::Result<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let made = MADE.fetch_add(1, Ordering::Relaxed);
        let number = process::id().wrapping_mul(STRIDE).wrapping_add(made) % NETWORKS;
        let (count, hub) = (count.min(MOST), namespace(number, None));
        let hosts = (0..count).map(|host| namespace(number, Some(host)));
        let all: Vec<_> = hosts.chain([hub]).collect();
        // First who tidies up, whatever comes.
        let tidies = all.iter().map(|it| format!("ip netns del {it};"));
        let remover = at_the_end(&tidies.collect::<String>()).spawn()?;
        let network = Self {
            ip: find_program("ip")?,
            number,
            remover,
        };
        shell(&network.plan(count))?;
        Ok(network)
    }

    /// Where a host is found, from this machine and from the others.
    pub fn address(&self, host: u8) -> Ipv4Addr {
        self.at(3 + u32::from(host))
    }

    /// What runs a program in a host: another program, and the arguments that go before its own.
    pub fn run(&self, host: u8, program: &Path) -> (PathBuf, Vec<String>) {
        let name = namespace(self.number, Some(host));
        let program = program.display().to_string();
        let arguments = ["netns".to_owned(), "exec".to_owned(), name, program];
        (self.ip.clone(), arguments.into())
    }

    /// From now on no packet passes between the two.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn cut(&self, one: u8, other: u8) -> io::Result<()> {
        self.drop_between("-A", one, other)
    }

    /// From now on packets pass again.
    ///
    /// # Errors
    /// When they passed before.
    pub fn heal(&self, one: u8, other: u8) -> io::Result<()> {
        self.drop_between("-D", one, other)
    }

    fn drop_between(&self, act: &str, one: u8, other: u8) -> io::Result<()> {
        let hub = namespace(self.number, None);
        let (one, other) = (self.address(one), self.address(other));
        let rule = format!("ip netns exec {hub} iptables --wait {act} FORWARD -j DROP");
        shell(&format!(
            "{rule} -s {one} -d {other}; {rule} -s {other} -d {one}"
        ))
    }

    /// The hub has the first address, this machine the second.
    fn at(&self, offset: u32) -> Ipv4Addr {
        Ipv4Addr::from(FIRST + self.number * ADDRESSES + offset)
    }

    /// The commands that make hub, hosts and cables.
    fn plan(&self, count: u8) -> String {
        let (hub, own) = (
            namespace(self.number, None),
            format!("ush{:x}", self.number),
        );
        let [network, middle, here] = [0, 1, 2].map(|offset| self.at(offset));
        let mut plan = format!(
            "ip netns add {hub}
            ip -n {hub} address add {middle}/32 dev lo
            ip -n {hub} link set lo up
            ip netns exec {hub} sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward'
            ip link add {own} type veth peer name out netns {hub}
            ip link set {own} up
            ip -n {hub} link set out up
            ip address add {here}/32 dev {own}
            ip route add {middle} dev {own}
            ip route add {network}/28 via {middle} dev {own} src {here}
            ip -n {hub} route add {here} dev out\n"
        );
        for host in 0..count {
            let (name, address) = (namespace(self.number, Some(host)), self.address(host));
            let written = write!(
                plan,
                "ip netns add {name}
                ip -n {name} link set lo up
                ip -n {hub} link add to{host} type veth peer name eth0 netns {name}
                ip -n {hub} link set to{host} up
                ip -n {name} link set eth0 up
                ip -n {name} address add {address}/32 dev eth0
                ip -n {name} route add {middle} dev eth0
                ip -n {name} route add default via {middle} dev eth0
                ip -n {hub} route add {address} dev to{host}\n"
            );
            debug_assert!(written.is_ok(), "a text takes all that is written");
        }
        plan
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        drop(self.remover.stdin.take());
        // There is nobody to tell; a namespace ends with the last process in it.
        let _ = self.remover.wait();
    }
}

/// Of a host, or of the hub.
fn namespace(number: u32, host: Option<u8>) -> String {
    let which = host.map_or("hub".to_owned(), |host| host.to_string());
    format!("usher-{}-{number}-{which}", process::id())
}

fn shell(commands: &str) -> io::Result<()> {
    let output = Command::new("sh").args(["-ec", commands]).output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(said.trim().to_owned()))
}
