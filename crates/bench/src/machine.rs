//! Owns what the figures were measured on: the machine, the versions, the settings that matter.

use std::process::Command;

use loadtest::machine::facts;
use testbed::{DatabaseServer, find_program};

/// What is asked of the database server.
const SETTINGS: &str = "SELECT CONCAT_WS(', ', \
    CONCAT('innodb_flush_log_at_trx_commit=', @@innodb_flush_log_at_trx_commit), \
    CONCAT('innodb_doublewrite=', @@innodb_doublewrite), \
    CONCAT('innodb_buffer_pool_size=', @@innodb_buffer_pool_size DIV 1048576, 'M'), \
    CONCAT('innodb_log_file_size=', @@innodb_log_file_size DIV 1048576, 'M'), \
    CONCAT('log_bin=', @@log_bin), CONCAT('data in ', @@datadir))";

/// Names and values, in the order in which they are shown.
pub fn describe(mariadb: &DatabaseServer, client_threads: usize) -> Vec<(&'static str, String)> {
    let client = format!("{client_threads} thread, in the process of the benchmark");
    let mut all = facts();
    all.extend([
        ("profile", profile().into()),
        ("redis-server", version("redis-server")),
        ("redis settings", "appendonly no, save off".into()),
        ("mariadbd", version("mariadbd")),
        ("mariadbd settings", settings(mariadb)),
        ("client", client),
    ]);
    all
}

/// How this program was built; it takes the services from the same folder.
fn profile() -> &'static str {
    if cfg!(debug_assertions) {
        "debug"
    } else {
        "release"
    }
}

fn settings(mariadb: &DatabaseServer) -> String {
    let told = mariadb.execute(SETTINGS).unwrap_or_default();
    // The folder is of this run; what counts is whether it is in RAM.
    match told.trim().rsplit_once("data in ") {
        Some((rest, folder)) if folder.starts_with("/dev/shm") => format!("{rest}data in RAM"),
        Some((rest, _)) => format!("{rest}data on disk"),
        None => told,
    }
}

/// The first word of what a program says of its version that begins with a digit.
fn version(program: &str) -> String {
    let found = find_program(program).ok();
    let output = found.and_then(|path| Command::new(path).arg("--version").output().ok());
    let told = output.map(|it| String::from_utf8_lossy(&it.stdout).into_owned());
    let told = told.unwrap_or_default();
    let mut words = told
        .split_whitespace()
        .map(|word| word.trim_start_matches("v="));
    let found = words.find(|word| word.starts_with(|it: char| it.is_ascii_digit()));
    found.unwrap_or("unknown").to_owned()
}
