//! A private redis-server.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use crate::files::find_program;
use crate::leash::{Ending, Launch, Leash, on_a_leash};
use crate::port;

const READY: Duration = Duration::from_secs(30);
const PROBE: Duration = Duration::from_millis(500);

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
}

/// A redis-server on 127.0.0.1 with no configuration file.
#[derive(Debug)]
pub struct Redis {
    leash: Leash,
    port: u16,
}

on_a_leash!(Redis);

impl Redis {
    /// Starts one that keeps its files in `folder`, and waits until it answers.
    pub fn start(folder: &Path, options: RedisOptions) -> io::Result<Redis> {
        fs::create_dir_all(folder)?;
        port::start_on(folder, options.port, |port| {
            let leash = Leash::start(launch(folder, port, options.durable)?)?;
            let mut redis = Redis { leash, port };
            redis.wait_ready()?;
            Ok(redis)
        })
    }

    /// `redis://127.0.0.1:PORT/0`
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Stops it if it runs, starts it again on the same port and waits until it answers.
    pub fn restart(&mut self) -> io::Result<()> {
        self.leash.restart()?;
        self.wait_ready()
    }

    /// Stops it in order: what it holds is on disk afterwards if it is durable.
    pub fn stop(&mut self) -> io::Result<()> {
        self.leash.end().map(|_| ())
    }

    fn wait_ready(&mut self) -> io::Result<()> {
        let (port, pid) = (self.port, self.leash.pid());
        self.leash
            .wait_ready(READY, || answers(port, pid).unwrap_or(false))
    }
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
fn answers(port: u16, pid: u32) -> io::Result<bool> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, PROBE)?;
    stream.set_read_timeout(Some(PROBE))?;
    stream.write_all(b"PING\r\nINFO server\r\nQUIT\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let own = format!("process_id:{pid}");
    Ok(answer.starts_with("+PONG") && answer.lines().any(|line| line == own))
}
