//! PHP's own server, as an application of somebody: it ends each answer with its connection.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use crate::files::find_program;
use crate::port::{free_port, is_free};
use crate::supervised::{Ending, Launch, Supervised};

const READY: Duration = Duration::from_secs(30);

/// A running `php -S`.
#[derive(Debug)]
pub struct Php {
    supervised: Supervised,
    port: u16,
}

impl Php {
    /// Starts it with `script` as what answers every request.
    ///
    /// # Errors
    /// When PHP is not installed, or does not start.
    pub fn start(folder: &Path, script: &str) -> io::Result<Php> {
        let program = find_program("php")?;
        fs::create_dir_all(folder)?;
        let folder = fs::canonicalize(folder)?;
        let file = folder.join("answer.php");
        fs::write(&file, script)?;
        let port = free_port();
        let address = format!("127.0.0.1:{port}");
        let launch = Launch {
            name: "php".to_owned(),
            program,
            arguments: vec!["-S".into(), address.into(), file.into()],
            hidden: Vec::new(),
            environment: Vec::new(),
            log: folder.join("log"),
            ending: Ending::AtOnce,
        };
        let mut supervised = Supervised::start(launch)?;
        supervised.wait_ready(READY, || !is_free(port))?;
        Ok(Php { supervised, port })
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The last lines of its output.
    pub fn log_tail(&self) -> String {
        self.supervised.tail()
    }
}
