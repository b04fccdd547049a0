//! A private redis-server; a cluster of them; one that sentinels watch over.

mod cluster;
mod sentinel;

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use crate::files::{TlsFiles, find_program};
use crate::port;
use crate::supervised::{Ending, Launch, Supervised, supervised_controls};
use crate::wait::wait_for;

/// A replica need not wait for others that might come.
const SYNC_AT_ONCE: [&str; 2] = ["--repl-diskless-sync-delay", "0"];

pub(crate) use cluster::logs as cluster_logs;
pub use cluster::{PartedCluster, RedisCluster};
pub use sentinel::RedisSentinels;

const READY: Duration = Duration::from_secs(30);
const PROBE: Duration = Duration::from_millis(500);
/// On a machine that has much else to do.
const ANSWER: Duration = Duration::from_secs(5);

/// Its output, in its folder.
pub(crate) const LOG: &str = "redis.log";
/// What it holds, in its folder.
pub(crate) const HELD: &str = "appendonlydir";

/// How a redis-server is started.
#[derive(Clone, Debug, Default)]
pub struct RedisOptions {
    /// `None`: the port that the folder remembers, or a free one.
    pub port: Option<u16>,
    /// Whether what it holds survives a restart and a kill (`appendonly yes`); otherwise all stays in RAM.
    pub durable: bool,
    /// What everybody must say who asks it anything.
    pub password: Option<String>,
    /// Listens on another port too, over TLS.
    pub tls: Option<TlsFiles>,
}

/// A redis-server on 127.0.0.1 with no configuration file.
#[derive(Debug)]
pub struct Redis {
    supervised: Supervised,
    port: u16,
    tls_port: Option<u16>,
    password: Option<String>,
}

supervised_controls!(Redis);

impl Redis {
    /// Starts one that keeps its files in `folder`, and waits until it answers.
    pub fn start(folder: &Path, options: RedisOptions) -> io::Result<Redis> {
        Self::start_with(folder, &options, &[])
    }

    fn start_with(folder: &Path, options: &RedisOptions, more: &[&str]) -> io::Result<Redis> {
        fs::create_dir_all(folder)?;
        port::start_on(folder, options.port, |port| {
            let tls_port = options.tls.as_ref().map(|_| port::free_port());
            let mut launch = launch(folder, port, options.durable)?;
            launch.arguments.extend(protection(options, tls_port));
            launch.arguments.extend(more.iter().map(Into::into));
            let mut redis = Redis {
                supervised: Supervised::start(launch)?,
                port,
                tls_port,
                password: options.password.clone(),
            };
            redis.wait_ready()?;
            Ok(redis)
        })
    }

    /// `redis://127.0.0.1:PORT/0`, with the password where there is one.
    pub fn url(&self) -> String {
        format!("redis://{}127.0.0.1:{}/0", self.login(), self.port)
    }

    /// `rediss://127.0.0.1:PORT/0`, with the password where there is one.
    ///
    /// # Panics
    /// When it was started without TLS.
    pub fn tls_url(&self) -> String {
        let port = self.tls_port.expect("a redis-server with TLS");
        format!("rediss://{}127.0.0.1:{port}/0", self.login())
    }

    /// Sends one command, written with spaces, and returns the answer as it comes over the wire.
    ///
    /// # Errors
    /// When there is no answer, or it is an error.
    pub fn ask(&self, command: &str) -> io::Result<String> {
        ask(self.port, self.password.as_deref(), command)
    }

    /// Returns when its replica has all that it was told itself.
    pub fn wait_replicated(&self, replica: &Redis) -> io::Result<()> {
        wait_for("a replica to follow", READY, || {
            let told = self.replication("master_repl_offset:")?;
            let heard = replica.replication("slave_repl_offset:")?;
            let (told, heard): (u64, u64) = (told.parse().ok()?, heard.parse().ok()?);
            (heard >= told).then_some(())
        })
    }

    /// Whether it follows a master, and has everything that the master had at first.
    fn is_replica(&self) -> bool {
        self.replication("master_link_status:").as_deref() == Some("up")
    }

    fn replication(&self, name: &str) -> Option<String> {
        let said = self.ask("INFO replication").ok()?;
        let value = said.lines().find_map(|line| line.strip_prefix(name))?;
        Some(value.to_owned())
    }

    /// The port that clients of its kind use: the one over TLS where there is one.
    fn main_port(&self) -> u16 {
        self.tls_port.unwrap_or(self.port)
    }

    fn login(&self) -> String {
        let password = self.password.as_ref();
        password.map_or_else(String::new, |password| format!(":{password}@"))
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Stops it if it runs, starts it again on the same port and waits until it answers.
    pub fn restart(&mut self) -> io::Result<()> {
        self.supervised.restart()?;
        self.wait_ready()
    }

    /// Stops it in order: what it holds is on disk afterwards if it is durable.
    pub fn stop(&mut self) -> io::Result<()> {
        self.supervised.end().map(|_| ())
    }

    fn wait_ready(&mut self) -> io::Result<()> {
        let (port, pid) = (self.port, self.supervised.pid());
        let password = self.password.as_deref();
        self.supervised
            .wait_ready(READY, || answers(port, password, pid).unwrap_or(false))
    }
}

fn protection(options: &RedisOptions, tls_port: Option<u16>) -> Vec<OsString> {
    let mut arguments = Vec::new();
    if let Some(password) = &options.password {
        arguments.extend(["--requirepass", password, "--masterauth", password].map(Into::into));
    }
    if let (Some(files), Some(port)) = (&options.tls, tls_port) {
        let port = port.to_string();
        arguments.extend(["--tls-port", &port, "--tls-auth-clients", "no"].map(Into::into));
        arguments.extend(["--tls-cert-file".into(), files.certificate.clone().into()]);
        arguments.extend(["--tls-key-file".into(), files.key.clone().into()]);
        // It asks nobody for a certificate, but does not start without knowing whom it would believe.
        arguments.extend([
            "--tls-ca-cert-file".into(),
            files.certificate.clone().into(),
        ]);
    }
    arguments
}

fn launch(folder: &Path, port: u16, durable: bool) -> io::Result<Launch> {
    let port = port.to_string();
    let append = if durable { "yes" } else { "no" };
    let mut arguments = vec![
        "--port",
        &port,
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--appendonly",
        append,
    ];
    arguments.extend(["--daemonize", "no", "--logfile", "", "--dir"]);
    let mut arguments: Vec<_> = arguments.into_iter().map(Into::into).collect();
    arguments.push(folder.into());
    Ok(Launch {
        name: "redis-server".into(),
        program: find_program("redis-server")?,
        arguments,
        hidden: Vec::new(),
        environment: Vec::new(),
        log: folder.join(LOG),
        ending: if durable {
            Ending::InOrder
        } else {
            Ending::AtOnce
        },
    })
}

/// Whether the server with this process id, and no other, has loaded its data and answers on the port.
fn answers(port: u16, password: Option<&str>, pid: u32) -> io::Result<bool> {
    let own = format!("process_id:{pid}");
    let is_there = ask(port, password, "PING")?.starts_with("+PONG");
    let said = ask(port, password, "INFO server")?;
    Ok(is_there && said.lines().any(|line| line == own))
}

fn ask(port: u16, password: Option<&str>, command: &str) -> io::Result<String> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, PROBE)?;
    stream.set_read_timeout(Some(ANSWER))?;
    let login = password.map_or_else(String::new, |password| format!("AUTH {password}\r\n"));
    write!(stream, "{login}{command}\r\n")?;
    // It ends the connection after the answer; a sentinel knows no QUIT.
    stream.shutdown(Shutdown::Write)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let after_login = password.and_then(|_| answer.strip_prefix("+OK\r\n"));
    let answer = after_login.unwrap_or(&answer);
    match answer.strip_prefix('-') {
        Some(refused) => {
            // A command can have thousands of words.
            let words: Vec<_> = command.split(' ').take(4).collect();
            Err(io::Error::other(format!("{}: {refused}", words.join(" "))))
        }
        None => Ok(answer.to_owned()),
    }
}
