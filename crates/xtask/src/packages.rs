//! What the machine must have: a compiler, libraries and servers, and for the tests some more.
//!
//! Asks for the things themselves, not for packages, so that it also works where they come from elsewhere.
//! Installs with apt-get only; on other systems it names what is missing. Never uses, configures or starts a server
//! that a package brings along.

use std::env;
use std::fs;
use std::io::{self, BufRead, IsTerminal};
use std::path::Path;
use std::process::{Command, Stdio};

use testbed::{GaleraCluster, find_program, is_root};

use crate::failure::Failure;
use crate::{Consent, say};

/// A Debian package, what other systems call it (Fedora, Arch, Homebrew), and how to see that what it gives is there.
struct Need {
    package: &'static str,
    elsewhere: [&'static str; 3],
    proof: Proof,
}

enum Proof {
    Programs(&'static [&'static str]),
    /// As pkg-config knows it.
    Library(&'static str),
    /// A file where Debian puts it; elsewhere it is taken to be there.
    File(&'static str),
    Galera,
}

const fn need(package: &'static str, elsewhere: [&'static str; 3], proof: Proof) -> Need {
    Need {
        package,
        elsewhere,
        proof,
    }
}

/// What builds and runs the stack.
const FOR_UP: [Need; 7] = [
    need(
        "build-essential",
        ["gcc-c++ make", "base-devel", "make"],
        Proof::Programs(&["cc", "c++", "make"]),
    ),
    need(
        "pkg-config",
        ["pkgconf-pkg-config", "pkgconf", "pkgconf"],
        Proof::Programs(&["pkg-config"]),
    ),
    need(
        "libmariadb-dev",
        [
            "mariadb-connector-c-devel",
            "mariadb-libs",
            "mariadb-connector-c",
        ],
        Proof::Library("libmariadb"),
    ),
    need(
        "zlib1g-dev",
        ["zlib-devel", "zlib", "zlib"],
        Proof::Library("zlib"),
    ),
    need(
        "libssl-dev",
        ["openssl-devel", "openssl", "openssl@3"],
        Proof::Library("openssl"),
    ),
    need(
        "redis-server",
        ["redis", "redis", "redis"],
        Proof::Programs(&["redis-server"]),
    ),
    need(
        "mariadb-server",
        ["mariadb-server", "mariadb", "mariadb"],
        Proof::Programs(&["mariadbd", "mariadb-install-db", "mariadb"]),
    ),
];

/// What a real Kafka needs: a Java machine, and Maven, which fetches the jars.
const FOR_KAFKA: [Need; 2] = [
    need(
        "openjdk-17-jre-headless",
        [
            "java-17-openjdk-headless",
            "jre17-openjdk-headless",
            "openjdk@17",
        ],
        Proof::Programs(&["java"]),
    ),
    need(
        "maven",
        ["maven", "maven", "maven"],
        Proof::Programs(&["mvn"]),
    ),
];

/// What a Galera cluster needs: the library of MariaDB's replication.
const FOR_CLUSTER: [Need; 1] = [need(
    "galera-4",
    ["galera", "galera", "galera"],
    Proof::Galera,
)];

/// What the tests alone need: a browser with its driver, letters for the languages that pages speak, the proxies that a
/// gateway stands beside, PHP as a service behind, and a network that drops packets.
const FOR_TESTS: [Need; 10] = [
    need(
        "iproute2",
        ["iproute", "iproute2", "iproute2mac"],
        Proof::Programs(&["ip"]),
    ),
    need(
        "iptables",
        ["iptables", "iptables", "iptables"],
        Proof::Programs(&["iptables"]),
    ),
    need(
        "nginx",
        ["nginx", "nginx", "nginx"],
        Proof::Programs(&["nginx"]),
    ),
    need(
        "php-cli",
        ["php-cli", "php", "php"],
        Proof::Programs(&["php"]),
    ),
    need(
        "caddy",
        ["caddy", "caddy", "caddy"],
        Proof::Programs(&["caddy"]),
    ),
    need(
        "haproxy",
        ["haproxy", "haproxy", "haproxy"],
        Proof::Programs(&["haproxy"]),
    ),
    need(
        "chromium",
        ["chromium", "chromium", "chromium"],
        Proof::Programs(&["chromium"]),
    ),
    need(
        "chromium-driver",
        ["chromedriver", "chromium", "chromedriver"],
        Proof::Programs(&["chromedriver"]),
    ),
    need(
        "fonts-noto-core",
        ["google-noto-sans-fonts", "noto-fonts", "font-noto-sans"],
        Proof::File("/usr/share/fonts/truetype/noto/NotoSans-Regular.ttf"),
    ),
    need(
        "fonts-noto-cjk",
        [
            "google-noto-sans-cjk-fonts",
            "noto-fonts-cjk",
            "font-noto-sans-cjk",
        ],
        Proof::File("/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc"),
    ),
];

/// What the tests need for another browser, beside all that.
const FOR_FIREFOX: [Need; 1] = [need(
    "firefox-esr",
    ["firefox", "firefox", "firefox"],
    Proof::Programs(&["firefox"]),
)];

/// What a command needs beside the compiler and the two stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The stack, with the stand-in for Kafka or none.
    Stack,
    /// The stack with a real Kafka.
    Kafka,
    /// Clusters of the stores, with any Kafka.
    Cluster,
    /// Every test.
    Tests,
    /// The tests in Firefox.
    Firefox,
}

impl Purpose {
    fn needs(self) -> impl Iterator<Item = &'static Need> {
        let kafka: &[Need] = match self {
            Purpose::Stack => &[],
            Purpose::Kafka | Purpose::Cluster | Purpose::Tests | Purpose::Firefox => &FOR_KAFKA,
        };
        let cluster: &[Need] = match self {
            Purpose::Stack | Purpose::Kafka => &[],
            Purpose::Cluster | Purpose::Tests | Purpose::Firefox => &FOR_CLUSTER,
        };
        let tests: &[Need] = match self {
            Purpose::Tests | Purpose::Firefox => &FOR_TESTS,
            _ => &[],
        };
        let firefox: &[Need] = match self {
            Purpose::Firefox => &FOR_FIREFOX,
            _ => &[],
        };
        let stores = FOR_UP.iter().chain(kafka).chain(cluster);
        stores.chain(tests).chain(firefox)
    }
}

/// Installs what is missing; asks first unless there is consent, or nobody watches, or it is root.
pub fn ensure(purpose: Purpose, consent: Consent) -> Result<(), Failure> {
    let yes = consent.yes || is_unattended();
    let missing: Vec<&Need> = purpose.needs().filter(|need| !is_met(need)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    if find_program("apt-get").is_err() {
        return Err(Failure::Failed(by_hand(&missing)));
    }
    let is_root = is_root()?;
    let sudo = if is_root { "" } else { "sudo " };
    let names: Vec<_> = missing.iter().map(|need| need.package).collect();
    let names = names.join(" ");
    let line = format!(
        "{sudo}apt-get update && {sudo}apt-get install --yes --no-install-recommends {names}"
    );
    say(&format!("Missing packages: {names}\n  {line}"));
    if !(yes || is_root || confirmed(&line)?) {
        return Err(Failure::Failed(format!(
            "nothing was installed; run this yourself, then try again:\n  {line}"
        )));
    }
    install(is_root, &names, &line)?;
    match missing.into_iter().find(|need| !is_met(need)) {
        None => Ok(()),
        Some(need) => Err(Failure::Failed(format!(
            "{} is installed, and yet what it gives is not found",
            need.package
        ))),
    }
}

/// What is missing, by the names that the usual package managers know.
fn by_hand(missing: &[&Need]) -> String {
    let all = |name: &dyn Fn(&Need) -> &'static str| {
        let names: Vec<_> = missing.iter().map(|need| name(need)).collect();
        names.join(" ")
    };
    format!(
        "this machine lacks what follows; install it, then try again:\n  \
         Debian, Ubuntu   apt-get install {}\n  Fedora           dnf install {}\n  \
         Arch             pacman -S {}\n  macOS            brew install {}",
        all(&|need| need.package),
        all(&|need| need.elsewhere[0]),
        all(&|need| need.elsewhere[1]),
        all(&|need| need.elsewhere[2]),
    )
}

fn is_met(need: &Need) -> bool {
    match need.proof {
        Proof::Programs(programs) => programs.iter().all(|it| find_program(it).is_ok()),
        Proof::Library(name) => Command::new("pkg-config")
            .args(["--exists", name])
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success()),
        Proof::File(path) => find_program("dpkg").is_err() || Path::new(path).exists(),
        Proof::Galera => GaleraCluster::is_installed(),
    }
}

fn confirmed(line: &str) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::Failed(format!(
            "nobody is there to ask; give --yes, or run this yourself:\n  {line}"
        )));
    }
    say("Run this now? [y/N]");
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn install(is_root: bool, packages: &str, line: &str) -> Result<(), Failure> {
    // An index that could not be refreshed is often good enough; the installation will tell.
    let _ = apt_get(is_root, &["update"]);
    let mut arguments = vec!["install", "--yes", "--no-install-recommends"];
    arguments.extend(packages.split(' '));
    let _no_services = is_root.then(NoServices::begin).transpose()?;
    if apt_get(is_root, &arguments)? {
        return Ok(());
    }
    Err(Failure::Failed(format!(
        "apt-get failed, see above; when it works by hand, try again:\n  {line}"
    )))
}

/// A machine that has just started holds the lock for some minutes, for its own updates.
const WAIT_FOR_LOCK: &str = "DPkg::Lock::Timeout=300";

/// RUNLEVEL=1 keeps the packages' own servers from being started where there is no systemd.
fn apt_get(is_root: bool, arguments: &[&str]) -> Result<bool, Failure> {
    let mut command = Command::new(if is_root { "env" } else { "sudo" });
    if !is_root {
        command.arg("env");
    }
    command
        .args(["DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1", "apt-get"])
        .args(["--option", WAIT_FOR_LOCK])
        .args(arguments);
    Ok(command.status()?.success())
}

/// What Debian's installer asks whether it may start a service; 101 is no.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// While this lives, no package starts a service. A policy that the machine has already stays as it is.
struct NoServices {
    is_ours: bool,
}

impl NoServices {
    fn begin() -> io::Result<Self> {
        use std::os::unix::fs::PermissionsExt as _;
        let is_ours = !Path::new(POLICY).exists();
        if is_ours {
            fs::write(POLICY, "#!/bin/sh\nexit 101\n")?;
            fs::set_permissions(POLICY, fs::Permissions::from_mode(0o755))?;
        }
        Ok(Self { is_ours })
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.is_ours {
            // It is ours alone, and gone when somebody else removed it.
            let _ = fs::remove_file(POLICY);
        }
    }
}

/// Whether the machine says that nobody watches, as build servers do.
fn is_unattended() -> bool {
    env::var("CI").is_ok_and(|value| value == "true" || value == "1")
}

#[cfg(test)]
mod tests {
    use super::{FOR_KAFKA, FOR_UP, Purpose, by_hand};

    #[test]
    fn what_is_missing_is_named_for_each_system() {
        let told = by_hand(&[&FOR_UP[5], &FOR_KAFKA[0]]);
        for line in [
            "apt-get install redis-server openjdk-17-jre-headless",
            "dnf install redis java-17-openjdk-headless",
            "pacman -S redis jre17-openjdk-headless",
            "brew install redis openjdk@17",
        ] {
            assert!(told.contains(line), "{told}");
        }
    }

    #[test]
    fn only_tests_need_a_network_that_drops_packets() {
        let needs = |purpose: Purpose, name| purpose.needs().any(|it| it.package == name);
        for name in ["iproute2", "iptables"] {
            assert!(needs(Purpose::Tests, name));
            let others = [Purpose::Stack, Purpose::Kafka, Purpose::Cluster];
            assert!(!others.into_iter().any(|it| needs(it, name)), "{name}");
        }
    }

    #[test]
    fn only_tests_and_a_real_kafka_need_java() {
        let needs = |purpose: Purpose, name| purpose.needs().any(|it| it.package == name);
        let java = "openjdk-17-jre-headless";
        assert!(!needs(Purpose::Stack, java) && !needs(Purpose::Kafka, "galera-4"));
        assert!(needs(Purpose::Kafka, java) && needs(Purpose::Tests, java));
        assert!(needs(Purpose::Cluster, "galera-4") && needs(Purpose::Tests, "galera-4"));
    }
}
