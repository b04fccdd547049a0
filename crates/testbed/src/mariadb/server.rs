//! A server that speaks MySQL, private or not: databases of one's own on it, and statements.

use std::io;
use std::path::PathBuf;
use std::process::{self, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::files::find_program;

/// A server and a user who may make databases on it.
#[derive(Debug)]
pub struct DatabaseServer {
    host: String,
    pub(super) port: u16,
    user: String,
    password: String,
    client: PathBuf,
    /// Names of databases begin with it.
    prefix: String,
    databases: AtomicU32,
}

impl DatabaseServer {
    pub(super) fn new(host: &str, port: u16, user: &str, password: &str) -> io::Result<Self> {
        Ok(Self {
            host: host.to_owned(),
            port,
            user: user.to_owned(),
            password: password.to_owned(),
            client: find_program("mariadb")?,
            prefix: "test".to_owned(),
            databases: AtomicU32::new(0),
        })
    }

    /// One that runs already, from `mysql://USER:PASSWORD@HOST:PORT`.
    ///
    /// # Errors
    /// Another form.
    pub fn given(url: &str) -> io::Result<Self> {
        let parts = || {
            let (login, place) = url.strip_prefix("mysql://")?.split_once('@')?;
            let (host, port) = place.trim_end_matches('/').rsplit_once(':')?;
            let (user, password) = login.split_once(':').unwrap_or((login, ""));
            Some((host, port.parse().ok()?, user, password))
        };
        let (host, port, user, password) = parts().ok_or_else(|| {
            io::Error::other("a server is given as mysql://USER:PASSWORD@HOST:PORT")
        })?;
        let mut server = Self::new(host, port, user, password)?;
        // Earlier runs may have left theirs.
        server.prefix = format!("usher_test_{}", process::id());
        Ok(server)
    }

    /// Makes a new empty database and returns its address, `mysql://USER:PASSWORD@HOST:PORT/NAME`.
    ///
    /// # Panics
    /// When the server refuses.
    pub fn create_database(&self) -> String {
        let number = self.databases.fetch_add(1, Ordering::Relaxed) + 1;
        let name = format!("{}_{number}", self.prefix);
        self.execute(&format!("CREATE DATABASE {name}"))
            .expect("a new database");
        self.url(&name)
    }

    /// Makes the database if it is not there, and returns its address.
    pub fn ensure_database(&self, name: &str) -> io::Result<String> {
        self.execute(&format!("CREATE DATABASE IF NOT EXISTS `{name}`"))?;
        Ok(self.url(name))
    }

    /// `mysql://USER:PASSWORD@HOST:PORT/DATABASE`
    pub fn url(&self, database: &str) -> String {
        let Self {
            host,
            port,
            user,
            password,
            ..
        } = self;
        format!("mysql://{user}:{password}@{host}:{port}/{database}")
    }

    /// Runs statements through the command line client; returns the rows, columns apart by tabs, no headings.
    pub fn execute(&self, statements: &str) -> io::Result<String> {
        let mut command = self.client();
        let output = command
            .args(["--batch", "--skip-column-names", "--execute", statements])
            .output()?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(failed("mariadb", &output))
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn client(&self) -> Command {
        let mut command = Command::new(&self.client);
        command
            .args(["--no-defaults", "--protocol=tcp"])
            .arg(format!("--host={}", self.host))
            .arg(format!("--port={}", self.port))
            .arg(format!("--user={}", self.user))
            .env("MYSQL_PWD", &self.password)
            .stdin(Stdio::null());
        command
    }
}

pub(super) fn failed(name: &str, output: &Output) -> io::Error {
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    io::Error::other(format!(
        "{name} failed ({}):\n{}{}",
        output.status, out, err
    ))
}

#[cfg(test)]
mod tests {
    use super::DatabaseServer;

    #[test]
    fn a_given_server_is_read_from_its_address() {
        let server = DatabaseServer::given("mysql://root:a%20b@127.0.0.1:3307/").expect("a server");
        assert_eq!(server.url("x"), "mysql://root:a%20b@127.0.0.1:3307/x");
        for odd in ["127.0.0.1:3306", "mysql://127.0.0.1:3306", "mysql://a@host"] {
            assert!(DatabaseServer::given(odd).is_err(), "{odd}");
        }
    }
}
