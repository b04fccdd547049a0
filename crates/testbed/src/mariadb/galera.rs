//! A private Galera cluster: three MariaDB nodes that hold the same data, each of which takes writes.

use std::env;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::server::DatabaseServer;
use super::{HELD, LOG, MariaDb, MariaDbOptions, READY, USER, install, launch};
use crate::port::free_port;
use crate::supervised::{Launch, Supervised};
use crate::wait::wait_for;

const NODES: usize = 3;
/// Where packages put it.
const PROVIDERS: [&str; 4] = [
    "/usr/lib/galera/libgalera_smm.so",
    "/usr/lib64/galera/libgalera_smm.so",
    "/usr/lib64/galera-4/libgalera_smm.so",
    "/usr/lib/libgalera_smm.so",
];
/// A node that is silent for this long is left out; the usual 5 s are for networks between cities.
const SUSPECT: &str =
    "evs.keepalive_period=PT0.5S;evs.suspect_timeout=PT2S;evs.inactive_timeout=PT4S";
/// The server looks for `wsrep_sst_NAME` in the search path.
const METHOD: &str = "usher";
const STATE_TRANSFER: &str = include_str!("state-transfer.sh");

/// Three nodes on 127.0.0.1. A node that is killed is left out after 2 s, and comes back by [`GaleraCluster::restart`].
#[derive(Debug)]
pub struct GaleraCluster {
    /// The nodes.
    pub nodes: Vec<MariaDb>,
}

impl GaleraCluster {
    /// Whether this machine has what a cluster needs beside MariaDB.
    pub fn is_installed() -> bool {
        provider().is_some()
    }

    /// Starts one that keeps its data in `folder`, and waits until all three take writes.
    ///
    /// # Errors
    /// When Galera is not installed.
    pub fn start(folder: &Path, options: &MariaDbOptions) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let folder = fs::canonicalize(folder)?;
        let shared = Shared::new(&folder, options.durable)?;
        let homes: Vec<_> = (1..=NODES)
            .map(|number| folder.join(number.to_string()))
            .collect();
        fs::create_dir_all(&homes[0])?;
        install(&homes[0], options.durable)?;
        let password = fs::read_to_string(homes[0].join("password"))?;
        // Who stopped last knows the most; the first one where none stopped in order.
        let first = homes.iter().position(|home| may_begin(home)).unwrap_or(0);
        let others = (0..NODES).filter(|number| *number != first);
        let mut nodes = Vec::new();
        for number in std::iter::once(first).chain(others) {
            fs::create_dir_all(homes[number].join(HELD))?;
            let launch = shared.launch(&homes[number], number, number == first)?;
            let server =
                DatabaseServer::new("127.0.0.1", shared.ports[number].client, USER, &password)?;
            let mut node = MariaDb {
                supervised: Supervised::start(launch)?,
                server,
            };
            node.wait_ready()?;
            wait_member(&node)?;
            // From now on it joins the others, whichever they are.
            node.supervised.forget_arguments(BEGIN);
            node.supervised.forget_arguments(INIT);
            nodes.push((number, node));
        }
        nodes.sort_by_key(|(number, _)| *number);
        Ok(Self {
            nodes: nodes.into_iter().map(|(_, node)| node).collect(),
        })
    }

    /// Starts a node again, and waits until it takes writes.
    pub fn restart(&mut self, number: usize) -> io::Result<()> {
        let node = &mut self.nodes[number];
        node.restart()?;
        wait_member(node)
    }

    /// `mysql://root:PASSWORD@127.0.0.1:PORT,127.0.0.1:PORT,…/DATABASE`, beginning with the node of this number, counted
    /// round.
    pub fn url(&self, first: usize, database: &str) -> String {
        let of = |number: usize| self.nodes[(first + number) % NODES].port();
        let url = self.nodes[first % NODES].url(database);
        let hosts: Vec<_> = (0..NODES)
            .map(|number| format!("127.0.0.1:{}", of(number)))
            .collect();
        let one = format!("127.0.0.1:{}", of(0));
        url.replace(&one, &hosts.join(","))
    }

    /// Stops the nodes one after the other, in order.
    pub fn stop(&mut self) -> io::Result<()> {
        let outcomes: Vec<_> = self.nodes.iter_mut().rev().map(MariaDb::stop).collect();
        outcomes.into_iter().collect()
    }
}

/// Begins a cluster in place of joining one.
const BEGIN: &str = "--wsrep-new-cluster";
/// Statements for the server that begins; the others get the outcome from it.
const INIT: &str = "--init-file=";

/// Waits until a node is one of the cluster, and has everything.
fn wait_member(node: &MariaDb) -> io::Result<()> {
    wait_for("a node to be one of the cluster", READY, || {
        let told = node.execute("SHOW STATUS LIKE 'wsrep_ready'").ok()?;
        told.trim().ends_with("ON").then_some(())
    })
}

/// Whether this node was the last to stop in order.
fn may_begin(home: &Path) -> bool {
    let state = fs::read_to_string(home.join(HELD).join("grastate.dat"));
    state.is_ok_and(|it| it.lines().any(|line| line == "safe_to_bootstrap: 1"))
}

/// Tells the node that it may begin, also when it was killed.
fn let_begin(home: &Path) -> io::Result<()> {
    let path = home.join(HELD).join("grastate.dat");
    match fs::read_to_string(&path) {
        Ok(state) => fs::write(
            path,
            state.replace("safe_to_bootstrap: 0", "safe_to_bootstrap: 1"),
        ),
        Err(_) => Ok(()),
    }
}

fn provider() -> Option<PathBuf> {
    PROVIDERS.iter().map(PathBuf::from).find(|it| it.is_file())
}

struct Ports {
    client: u16,
    group: u16,
    transfer: u16,
}

/// What all nodes must know.
struct Shared {
    provider: PathBuf,
    ports: Vec<Ports>,
    /// Where the script of the state transfer is.
    programs: PathBuf,
    durable: bool,
}

impl Shared {
    fn new(folder: &Path, durable: bool) -> io::Result<Self> {
        let provider = provider().ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::NotFound,
                "Galera is not installed (galera-4)",
            )
        })?;
        let programs = folder.join("bin");
        fs::create_dir_all(&programs)?;
        let script = programs.join(format!("wsrep_sst_{METHOD}"));
        fs::write(&script, STATE_TRANSFER)?;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
        let ports = |_| Ports {
            client: free_port(),
            group: free_port(),
            transfer: free_port(),
        };
        Ok(Self {
            provider,
            ports: (0..NODES).map(ports).collect(),
            programs,
            durable,
        })
    }

    fn launch(&self, home: &Path, number: usize, begins: bool) -> io::Result<Launch> {
        let Ports {
            client,
            group,
            transfer,
        } = &self.ports[number];
        let options = MariaDbOptions {
            durable: self.durable,
            ..MariaDbOptions::default()
        };
        let mut launch = launch(home, *client, &options)?;
        let all: Vec<_> = self
            .ports
            .iter()
            .map(|it| format!("127.0.0.1:{}", it.group))
            .collect();
        let provider_options = format!(
            "gmcast.listen_addr=tcp://127.0.0.1:{group};ist.recv_addr=127.0.0.1:{transfer};\
             gcache.size=32M;pc.recovery=off;{SUSPECT}"
        );
        let own = [
            "--wsrep-on=ON".to_owned(),
            format!("--wsrep-provider={}", self.provider.display()),
            format!("--wsrep-provider-options={provider_options}"),
            format!("--wsrep-cluster-address=gcomm://{}", all.join(",")),
            "--wsrep-cluster-name=usher".to_owned(),
            "--wsrep-node-address=127.0.0.1".to_owned(),
            format!("--wsrep-node-name=node-{}", number + 1),
            format!("--wsrep-sst-method={METHOD}"),
            "--binlog-format=ROW".to_owned(),
            "--innodb-autoinc-lock-mode=2".to_owned(),
        ];
        launch.arguments.extend(own.map(Into::into));
        let has_init = home.join("init.sql").exists();
        if begins {
            let_begin(home)?;
            launch.arguments.push(BEGIN.into());
        }
        if !(begins && has_init) {
            launch
                .arguments
                .retain(|it| !it.to_string_lossy().starts_with(INIT));
        }
        launch.name = format!("mariadbd-{}", number + 1);
        let path = env::var("PATH").unwrap_or_default();
        let path = format!("{}:{path}", self.programs.display());
        launch.environment.push(("PATH".to_owned(), path));
        Ok(launch)
    }
}

/// What the nodes write to, below the folder of the cluster.
pub(crate) fn logs() -> Vec<PathBuf> {
    (1..=NODES)
        .map(|number| PathBuf::from(number.to_string()).join(LOG))
        .collect()
}
