//! A proxy of others, as people have it already: nginx, Caddy or HAProxy of the system, with a
//! configuration of ours and nothing of the system's own.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use crate::files::find_program;
use crate::port::{free_port, is_free};
use crate::supervised::{Ending, Launch, Supervised};

const READY: Duration = Duration::from_secs(30);

/// Which proxy it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NeighbourKind {
    /// `auth_request`.
    Nginx,
    /// `forward_auth`.
    Caddy,
    /// Its Lua, with `core.httpclient`.
    Haproxy,
}

/// A running proxy.
#[derive(Debug)]
pub struct Neighbour {
    supervised: Supervised,
    port: u16,
}

impl NeighbourKind {
    fn program(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Caddy => "caddy",
            Self::Haproxy => "haproxy",
        }
    }

    /// Arguments that run it in the foreground with this configuration, all its files in `folder`.
    fn arguments(self, folder: &Path, configuration: &Path) -> Vec<String> {
        let (folder, file) = (folder.display(), configuration.display().to_string());
        let words: &[&str] = match self {
            Self::Nginx => {
                let own = format!("daemon off; pid {folder}/pid;");
                return [
                    "-p",
                    &folder.to_string(),
                    "-e",
                    "stderr",
                    "-g",
                    &own,
                    "-c",
                    &file,
                ]
                .map(str::to_owned)
                .to_vec();
            }
            Self::Caddy => &["run", "--adapter", "caddyfile", "--config", &file],
            Self::Haproxy => &["-db", "-f", &file],
        };
        words.iter().map(|it| (*it).to_owned()).collect()
    }
}

impl Neighbour {
    /// Starts it with the configuration in `template`, in which each left side of `replacements` is
    /// replaced by the right one and the address `127.0.0.1:8000` by its own.
    ///
    /// # Errors
    /// When it is not installed, or does not take the configuration.
    pub fn start(
        kind: NeighbourKind,
        folder: &Path,
        template: &Path,
        replacements: &[(&str, &str)],
    ) -> io::Result<Neighbour> {
        let program = find_program(kind.program())?;
        fs::create_dir_all(folder)?;
        let folder = fs::canonicalize(folder)?;
        let port = free_port();
        let own = format!("127.0.0.1:{port}");
        let mut text = fs::read_to_string(template)?;
        let all = replacements.iter().copied();
        for (from, to) in all.chain([("127.0.0.1:8000", own.as_str())]) {
            text = text.replace(from, to);
        }
        let configuration = folder.join(template.file_name().unwrap_or_default());
        fs::write(&configuration, text)?;
        let launch = Launch {
            name: kind.program().to_owned(),
            program,
            arguments: kind
                .arguments(&folder, &configuration)
                .into_iter()
                .map(Into::into)
                .collect(),
            hidden: Vec::new(),
            // Caddy keeps things in the home of the user that runs it.
            environment: ["HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"]
                .map(|name| (name.to_owned(), folder.display().to_string()))
                .to_vec(),
            log: folder.join("log"),
            // Killed, the first process of nginx would leave its workers behind.
            ending: Ending::InOrder,
        };
        let mut supervised = Supervised::start(launch)?;
        supervised.wait_ready(READY, || !is_free(port))?;
        Ok(Neighbour { supervised, port })
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
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
