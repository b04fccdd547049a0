//! Owns what the figures were measured on: the machine, the versions, the settings that matter.

use std::fs;
use std::process::Command;
use std::thread::available_parallelism;

use testbed::{MariaDb, find_program};

/// What is asked of the database server.
const SETTINGS: &str = "SELECT CONCAT_WS(', ', \
    CONCAT('innodb_flush_log_at_trx_commit=', @@innodb_flush_log_at_trx_commit), \
    CONCAT('innodb_doublewrite=', @@innodb_doublewrite), \
    CONCAT('innodb_buffer_pool_size=', @@innodb_buffer_pool_size DIV 1048576, 'M'), \
    CONCAT('innodb_log_file_size=', @@innodb_log_file_size DIV 1048576, 'M'), \
    CONCAT('log_bin=', @@log_bin), CONCAT('data in ', @@datadir))";

/// Names and values, in the order in which they are shown.
pub fn describe(mariadb: &MariaDb, client_threads: usize) -> Vec<(&'static str, String)> {
    let cores = available_parallelism().map_or(0, usize::from);
    let memory = field("/proc/meminfo", "MemTotal").unwrap_or_default();
    vec![
        ("cores", cores.to_string()),
        (
            "cpu",
            field("/proc/cpuinfo", "model name").unwrap_or_default(),
        ),
        ("memory", memory),
        ("kernel", read("/proc/sys/kernel/osrelease")),
        ("load before", read("/proc/loadavg")),
        ("commit", commit()),
        ("profile", profile().into()),
        ("redis-server", version("redis-server")),
        ("redis settings", "appendonly no, save off".into()),
        ("mariadbd", version("mariadbd")),
        ("mariadbd settings", settings(mariadb)),
        (
            "client",
            format!("{client_threads} thread, in the process of the benchmark"),
        ),
    ]
}

/// How this program was built; it takes the services from the same folder.
pub fn profile() -> &'static str {
    if cfg!(debug_assertions) {
        "debug"
    } else {
        "release"
    }
}

fn settings(mariadb: &MariaDb) -> String {
    let told = mariadb.execute(SETTINGS).unwrap_or_default();
    // The folder is of this run; what counts is whether it is in RAM.
    match told.trim().rsplit_once("data in ") {
        Some((rest, folder)) if folder.starts_with("/dev/shm") => format!("{rest}data in RAM"),
        Some((rest, _)) => format!("{rest}data on disk"),
        None => told,
    }
}

fn version(program: &str) -> String {
    let found = find_program(program).ok();
    let output = found.and_then(|path| Command::new(path).arg("--version").output().ok());
    let text = output.map(|it| String::from_utf8_lossy(&it.stdout).into_owned());
    let words = text.unwrap_or_default();
    let is_version = |word: &&str| {
        let digits = word.trim_start_matches("v=");
        digits.starts_with(|it: char| it.is_ascii_digit())
    };
    let found = words.split_whitespace().find(is_version);
    found
        .unwrap_or("unknown")
        .trim_start_matches("v=")
        .to_owned()
}

fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git")
            .args(["-C", env!("CARGO_MANIFEST_DIR")])
            .args(arguments)
            .output();
        output
            .ok()
            .filter(|it| it.status.success())
            .map(|it| String::from_utf8_lossy(&it.stdout).trim().to_owned())
    };
    let Some(head) = git(&["rev-parse", "--short", "HEAD"]) else {
        return "unknown".into();
    };
    let changed = git(&["status", "--porcelain"]).is_some_and(|it| !it.is_empty());
    if changed { head + " and changes" } else { head }
}

fn read(path: &str) -> String {
    fs::read_to_string(path)
        .unwrap_or_default()
        .trim()
        .to_owned()
}

fn field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
