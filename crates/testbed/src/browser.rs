//! The driver of a browser: a server that starts Chromium or Firefox for each session that is asked of it.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::files::find_program;
use crate::kernel;
use crate::port;
use crate::supervised::{Ending, Launch, Supervised};

const READY: Duration = Duration::from_secs(30);
/// How long a driver may take to close its browsers.
const SHUTDOWN: Duration = Duration::from_secs(10);

/// Which browser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BrowserKind {
    /// By chromedriver, which serves any number of sessions.
    Chromium,
    /// By geckodriver, which serves one session.
    Firefox,
}

impl BrowserKind {
    fn driver(self) -> &'static str {
        match self {
            Self::Chromium => "chromedriver",
            Self::Firefox => "geckodriver",
        }
    }
}

/// A driver on 127.0.0.1. Its browsers end with it.
#[derive(Debug)]
pub struct BrowserDriver {
    supervised: Supervised,
    port: u16,
    kind: BrowserKind,
    /// Where the profiles of its browsers lie.
    folder: PathBuf,
}

impl BrowserDriver {
    /// Starts one that keeps its log in `folder`, and waits until it answers.
    pub fn start(kind: BrowserKind, folder: &Path) -> io::Result<BrowserDriver> {
        port::start_on(folder, None, |port| {
            let name = kind.driver();
            let mut arguments = vec![format!("--port={port}").into()];
            // Profiles and sockets of browsers lie with the log, and go with it.
            let here = folder.display().to_string();
            let mut environment = vec![("TMPDIR".to_owned(), here.clone())];
            if kind == BrowserKind::Firefox {
                arguments.push("--profile-root".into());
                arguments.push(folder.into());
                // For what WebDriver has no words for: preferences and the console.
                arguments.push("--allow-system-access".into());
                environment.push(("HOME".to_owned(), here));
            }
            let launch = Launch {
                name: name.to_owned(),
                program: find_program(name)?,
                arguments,
                hidden: Vec::new(),
                environment,
                log: folder.join(format!("{name}.log")),
                ending: Ending::InOrder,
            };
            let mut driver = BrowserDriver {
                supervised: Supervised::start(launch)?,
                port,
                kind,
                folder: folder.to_owned(),
            };
            driver
                .supervised
                .wait_ready(READY, || port::answers(port))?;
            Ok(driver)
        })
    }

    /// `http://127.0.0.1:PORT`, where WebDriver is spoken.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// A chromedriver that is only ended leaves its browsers behind; asked to shut down, it closes them first.
    fn shut_down(&self) -> io::Result<()> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        stream.set_read_timeout(Some(SHUTDOWN))?;
        stream
            .write_all(b"GET /shutdown HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
        stream.read_to_end(&mut Vec::new()).map(|_| ())
    }

    /// A geckodriver knows no such word: its browser is ended by its number, found by the folder of its profile.
    fn end_browsers(&self) -> io::Result<()> {
        let folder = self.folder.display().to_string();
        for pid in kernel::processes(&["firefox", &folder])? {
            let mut kill = Command::new("kill");
            kill.arg("-KILL").arg(pid.to_string());
            // It may have ended meanwhile.
            kill.stderr(Stdio::null()).status()?;
        }
        Ok(())
    }
}

impl Drop for BrowserDriver {
    fn drop(&mut self) {
        // One that is gone already has nothing to close.
        let _ = match self.kind {
            BrowserKind::Chromium => self.shut_down(),
            BrowserKind::Firefox => self.end_browsers(),
        };
    }
}
