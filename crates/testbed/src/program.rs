//! One of this workspace's own services as a process of its own.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crate::supervised::{Ending, Launch, Supervised, supervised_controls};

const PROBE: Duration = Duration::from_secs(2);
/// Asking again at once would fill the log with its refusals.
const NOT_YET: Duration = Duration::from_millis(100);
const READY: Duration = Duration::from_secs(60);

/// What to run and how.
#[derive(Clone, Debug)]
pub struct ProgramOptions {
    /// The binary, see [`crate::binary`].
    pub binary: PathBuf,
    /// Arguments.
    pub arguments: Vec<String>,
    /// Variables. Those of this process that begin with `GATEWAY_` or `BOOKING_`, and `LOG_CONFIG`, are not inherited.
    pub environment: Vec<(String, String)>,
    /// The port of its public listener, where `GET /ready` answers.
    pub port: u16,
    /// Where its output goes.
    pub log: PathBuf,
}

/// No balancer stands before what a test starts, so nobody needs time to notice a stop. What is given later wins.
fn no_drain() -> impl Iterator<Item = (String, String)> {
    let names = ["GATEWAY_DRAIN_S", "BOOKING_DRAIN_S"];
    names
        .into_iter()
        .map(|name| (name.to_owned(), "0".to_owned()))
}

/// A running service. It gets SIGTERM when the starting process is gone.
#[derive(Debug)]
pub struct Program {
    supervised: Supervised,
    port: u16,
    admin_port: Option<u16>,
    /// Where it says that it is ready: a gateway's own routes may stand under a path.
    ready: String,
}

supervised_controls!(Program);

impl Program {
    /// Starts it and does not wait for anything.
    pub fn start(name: &str, options: ProgramOptions) -> io::Result<Program> {
        let mut environment = options.environment.iter().rev();
        let base = environment.find(|(variable, _)| variable == "GATEWAY_BASE_PATH");
        let ready = format!("{}/ready", base.map_or("", |(_, path)| path));
        let launch = Launch {
            name: name.to_owned(),
            program: options.binary,
            arguments: options.arguments.into_iter().map(Into::into).collect(),
            hidden: vec!["GATEWAY_", "BOOKING_", "LOG_CONFIG"],
            environment: no_drain().chain(options.environment).collect(),
            log: options.log,
            ending: Ending::InOrder,
        };
        Ok(Program {
            supervised: Supervised::start(launch)?,
            port: options.port,
            admin_port: None,
            ready,
        })
    }

    /// Polls `GET /ready` until it answers 200; fails with the end of the log when the process ends first.
    pub fn wait_ready(&mut self, deadline: Duration) -> io::Result<()> {
        let (port, path) = (self.port, &self.ready);
        self.supervised
            .wait_ready(deadline, || match status_of_ready(port, path) {
                Ok(200) => true,
                Ok(_) => {
                    thread::sleep(NOT_YET);
                    false
                }
                Err(_) => false,
            })
    }

    /// The name that it was started with.
    pub fn name(&self) -> &str {
        self.supervised.name()
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// `http://127.0.0.1:PORT` of its admin listener: metrics and health. The public one where it has no other.
    pub fn admin_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.admin_port.unwrap_or(self.port))
    }

    /// Notes where its admin listener is.
    pub(crate) fn set_admin_port(&mut self, port: u16) {
        self.admin_port = Some(port);
    }

    /// The port of its public listener.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where its output goes.
    pub fn log(&self) -> &Path {
        self.supervised.log()
    }

    /// The last lines of its output.
    pub fn log_tail(&self) -> String {
        self.supervised.tail()
    }

    /// The exit code when it has ended by itself; 128 + signal when a signal ended it.
    pub fn ended(&mut self) -> Option<i32> {
        self.supervised.ended()
    }

    /// SIGTERM, without waiting; `terminate` must not follow, a second SIGTERM may mean more.
    pub fn ask_to_stop(&mut self) {
        self.supervised.ask_to_end();
    }

    /// Waits for the exit code after `ask_to_stop`; an error when it has to be killed after 30 s.
    pub fn wait_stopped(&mut self) -> io::Result<i32> {
        self.supervised.wait_end()
    }

    /// SIGTERM, and waits for the exit code; an error when it has to be killed after 30 s.
    pub fn terminate(&mut self) -> io::Result<i32> {
        self.supervised.end()
    }

    /// Stops it if it runs, starts it again as before and waits until it is ready.
    pub fn restart(&mut self) -> io::Result<()> {
        self.supervised.restart()?;
        self.wait_ready(READY)
    }

    /// Changes a variable for the next start.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.supervised.set(name, value);
    }
}

fn status_of_ready(port: u16, path: &str) -> io::Result<u16> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, PROBE)?;
    stream.set_read_timeout(Some(PROBE))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n"
    )?;
    let mut start = [0; "HTTP/1.1 200".len()];
    stream.read_exact(&mut start)?;
    let status = String::from_utf8_lossy(&start[start.len() - 3..]).parse();
    status.map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "not an HTTP answer"))
}
