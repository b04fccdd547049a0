//! The driver of a browser: a server that starts Chromium for each session that is asked of it.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::time::Duration;

use crate::files::find_program;
use crate::port;
use crate::supervised::{Ending, Launch, Supervised};

const READY: Duration = Duration::from_secs(30);
/// How long a driver may take to close its browsers.
const SHUTDOWN: Duration = Duration::from_secs(10);

/// A chromedriver on 127.0.0.1. Its browsers end with it.
#[derive(Debug)]
pub struct ChromeDriver {
    supervised: Supervised,
    port: u16,
}

impl ChromeDriver {
    /// Starts one that keeps its log in `folder`, and waits until it answers.
    pub fn start(folder: &Path) -> io::Result<ChromeDriver> {
        port::start_on(folder, None, |port| {
            let launch = Launch {
                name: "chromedriver".to_owned(),
                program: find_program("chromedriver")?,
                arguments: vec![format!("--port={port}").into()],
                hidden: Vec::new(),
                // Profiles and sockets of browsers lie with the log, and go with it.
                environment: vec![("TMPDIR".to_owned(), folder.display().to_string())],
                log: folder.join("chromedriver.log"),
                ending: Ending::InOrder,
            };
            let mut driver = ChromeDriver {
                supervised: Supervised::start(launch)?,
                port,
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
}

impl Drop for ChromeDriver {
    /// A driver that is only ended leaves its browsers behind; asked to shut down, it closes them first.
    fn drop(&mut self) {
        let asked = || -> io::Result<()> {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
            stream.set_read_timeout(Some(SHUTDOWN))?;
            stream.write_all(
                b"GET /shutdown HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
            )?;
            stream.read_to_end(&mut Vec::new()).map(|_| ())
        };
        // One that is gone already has nothing to close.
        let _ = asked();
    }
}
