//! A private mariadbd, reached over TCP with a password that only its folder knows.

mod galera;
mod server;

use std::fs::{self, File};
use std::io::{self, Write};
use std::ops::Deref;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::files::{Scratch, copy_folder, find_program, is_root};
use crate::keys::random_hex;
use crate::port;
use crate::supervised::{Ending, Launch, Supervised, supervised_controls};
pub use galera::GaleraCluster;
pub(crate) use galera::logs as galera_logs;
pub use server::DatabaseServer;

/// A slow disk and the repair after a kill are included.
const READY: Duration = Duration::from_secs(90);
const USER: &str = "root";

/// Its output, in its folder.
pub(crate) const LOG: &str = "mariadb.log";
/// What it holds, in its folder.
pub(crate) const HELD: &str = "data";

/// How a mariadbd is started.
#[derive(Clone, Debug, Default)]
pub struct MariaDbOptions {
    /// `None`: the port that the folder remembers, or a free one.
    pub port: Option<u16>,
    /// Whether committed transactions survive a loss of power. Without it they survive a kill of the server.
    pub durable: bool,
    /// Further arguments of the server, such as its certificate.
    pub arguments: Vec<String>,
}

/// A mariadbd on 127.0.0.1 with no configuration file and no unix socket. It is a [`DatabaseServer`] too.
#[derive(Debug)]
pub struct MariaDb {
    supervised: Supervised,
    server: DatabaseServer,
}

impl Deref for MariaDb {
    type Target = DatabaseServer;

    fn deref(&self) -> &DatabaseServer {
        &self.server
    }
}

supervised_controls!(MariaDb);

impl MariaDb {
    /// Starts one that keeps its data in `folder`, installing it on first use, and waits until it answers.
    pub fn start(folder: &Path, options: MariaDbOptions) -> io::Result<MariaDb> {
        fs::create_dir_all(folder)?;
        let folder = fs::canonicalize(folder)?;
        install(&folder, options.durable)?;
        let password = fs::read_to_string(folder.join("password"))?;
        port::start_on(&folder, options.port, |port| {
            let mut mariadb = MariaDb {
                supervised: Supervised::start(launch(&folder, port, &options)?)?,
                server: DatabaseServer::new("127.0.0.1", port, USER, &password)?,
            };
            mariadb.wait_ready()?;
            Ok(mariadb)
        })
    }

    /// Stops it if it runs, starts it again on the same port and waits until it answers.
    pub fn restart(&mut self) -> io::Result<()> {
        self.supervised.restart()?;
        self.wait_ready()
    }

    /// Stops it in order.
    pub fn stop(&mut self) -> io::Result<()> {
        self.supervised.end().map(|_| ())
    }

    fn wait_ready(&mut self) -> io::Result<()> {
        // Only this server knows the password, so a handshake proves that nobody else has the port.
        let (port, mut probe) = (self.server.port, self.server.client());
        probe
            .args(["--connect-timeout=2", "--execute", "SELECT 1"])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        self.supervised.wait_ready(READY, || {
            port::answers(port) && probe.status().is_ok_and(|status| status.success())
        })
    }
}

/// Makes the data folder and the password. The folder gets its name when it is complete, so that an
/// installation which was cut off is not taken for one.
fn install(folder: &Path, durable: bool) -> io::Result<()> {
    let (ready, unfinished) = (folder.join(HELD), folder.join("data.unfinished"));
    if ready.is_dir() {
        return Ok(());
    }
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished)?;
    }
    write_secrets(folder)?;
    match durable {
        true => make_tables(&unfinished, temporary(folder)?, durable)?,
        false => copy_tables(&unfinished)?,
    }
    fs::rename(unfinished, ready)
}

/// What a new server holds, copied: making it takes seconds, and a test binary starts dozens of servers.
fn copy_tables(to: &Path) -> io::Result<()> {
    static MADE: Mutex<Option<Scratch>> = Mutex::new(None);
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    let scratch = match &mut *made {
        Some(scratch) => scratch,
        none => {
            let scratch = Scratch::new()?;
            make_tables(
                &scratch.path().join(HELD),
                temporary(scratch.path())?,
                false,
            )?;
            none.insert(scratch)
        }
    };
    copy_folder(&scratch.path().join(HELD), to)
}

fn make_tables(to: &Path, temporary: PathBuf, durable: bool) -> io::Result<()> {
    let mut command = Command::new(find_program("mariadb-install-db")?);
    command.args([
        "--no-defaults",
        "--auth-root-authentication-method=normal",
        "--skip-test-db",
        "--skip-name-resolve",
    ]);
    command
        .arg(format!("--datadir={}", to.display()))
        .args(log_size(durable));
    if is_root()? {
        command.arg("--user=root");
    }
    let output = command
        .env("TMPDIR", temporary)
        .stdin(Stdio::null())
        .output()?;
    match output.status.success() {
        true => Ok(()),
        false => Err(server::failed("mariadb-install-db", &output)),
    }
}

/// A folder for temporary tables. A server that starts removes those that it finds as its own, so two that share one
/// crash each other.
fn temporary(folder: &Path) -> io::Result<PathBuf> {
    let temporary = folder.join("tmp");
    fs::create_dir_all(&temporary)?;
    Ok(temporary)
}

/// The password, and the statements that put it in force at every start before anybody can connect.
fn write_secrets(folder: &Path) -> io::Result<()> {
    let password = random_hex()?;
    let statements = format!(
        "ALTER USER '{USER}'@'localhost' IDENTIFIED BY '{password}';\n\
         CREATE USER IF NOT EXISTS '{USER}'@'127.0.0.1';\n\
         ALTER USER '{USER}'@'127.0.0.1' IDENTIFIED BY '{password}';\n\
         GRANT ALL PRIVILEGES ON *.* TO '{USER}'@'127.0.0.1' WITH GRANT OPTION;\n\
         DELETE FROM mysql.global_priv WHERE User = '' OR Host NOT IN ('localhost', '127.0.0.1');\n\
         FLUSH PRIVILEGES;\n"
    );
    for (name, text) in [("password", &password), ("init.sql", &statements)] {
        let mut file = File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(folder.join(name))?;
        file.write_all(text.as_bytes())?;
    }
    Ok(())
}

fn launch(folder: &Path, port: u16, options: &MariaDbOptions) -> io::Result<Launch> {
    let durable = options.durable;
    let mut arguments = vec![
        "--no-defaults".to_owned(),
        format!("--datadir={}", folder.join(HELD).display()),
        format!("--init-file={}", folder.join("init.sql").display()),
        format!("--tmpdir={}", temporary(folder)?.display()),
        format!("--port={port}"),
    ];
    arguments.extend(FIXED.map(str::to_owned));
    arguments.extend(log_size(durable).map(str::to_owned));
    if !durable {
        arguments.extend(RELAXED.map(str::to_owned));
    }
    arguments.extend(options.arguments.iter().cloned());
    if is_root()? {
        arguments.push("--user=root".to_owned());
    }
    Ok(Launch {
        name: "mariadbd".into(),
        program: find_program("mariadbd")?,
        arguments: arguments.into_iter().map(Into::into).collect(),
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

/// Native AIO is a resource of the whole machine and runs out when many servers start; the lock wait is
/// what the application is designed for.
const FIXED: [&str; 8] = [
    "--bind-address=127.0.0.1",
    "--socket=",
    "--skip-name-resolve",
    "--max-connections=600",
    "--innodb-lock-wait-timeout=2",
    "--innodb-use-native-aio=0",
    "--character-set-server=utf8mb4",
    "--default-time-zone=+00:00",
];
/// For data in RAM that nobody needs after the test: a commit reaches the system, which a killed server
/// survives, but is not forced to a disk.
const RELAXED: [&str; 3] = [
    "--innodb-flush-log-at-trx-commit=2",
    "--innodb-doublewrite=0",
    "--innodb-buffer-pool-size=64M",
];

fn log_size(durable: bool) -> [&'static str; 1] {
    [if durable {
        "--innodb-log-file-size=48M"
    } else {
        "--innodb-log-file-size=8M"
    }]
}
