//! The driver of a browser: a server that starts Chromium for each session that is asked of it.

use std::io;
use std::path::Path;
use std::time::Duration;

use crate::files::find_program;
use crate::port;
use crate::supervised::{Ending, Launch, Supervised};

const READY: Duration = Duration::from_secs(30);

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
                environment: Vec::new(),
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
