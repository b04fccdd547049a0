//! Owns what is read of `/proc`: processes, threads, and the ports of outgoing connections.
//!
//! A system without `/proc` says nothing, and every caller goes on without it. Read by hand: this crate depends on nothing, so
//! the commands of `cargo xtask` are built in a moment.

use std::fs;
use std::io;

/// The ids of processes whose command line holds all these words.
///
/// # Errors
/// Where there is no `/proc`.
pub fn processes(words: &[&str]) -> io::Result<Vec<u32>> {
    let mut found = Vec::new();
    for process in fs::read_dir("/proc")?.flatten() {
        let name = process.file_name();
        let Some(pid) = name.to_str().and_then(|it| it.parse::<u32>().ok()) else {
            continue;
        };
        // It may have ended meanwhile.
        let command = fs::read(process.path().join("cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command);
        if words.iter().all(|word| command.contains(*word)) {
            found.push(pid);
        }
    }
    Ok(found)
}

/// Whether every thread of a process was stopped, as far as the system shows them.
pub(crate) fn is_stopped(pid: u32) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
        // The process is over, or the system shows no threads.
        return true;
    };
    threads.flatten().all(|thread| {
        let status = fs::read_to_string(thread.path().join("stat"));
        // The state stands behind the name, which may hold anything.
        status.is_ok_and(|it| it.rsplit(')').next().is_some_and(|it| it.starts_with(" T")))
    })
}

/// The lowest port from which the kernel takes the near ends of outgoing connections.
pub(crate) fn lowest_outgoing_port() -> Option<u16> {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?;
    range.split_whitespace().next()?.parse().ok()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::{is_stopped, processes};

    #[test]
    fn a_process_is_found_by_every_word_of_its_command_line() {
        let program = std::env::args().next().expect("a program");
        let own = std::process::id();
        let found = processes(&[&program]).expect("a list");
        assert!(found.contains(&own), "{found:?}");
        let found = processes(&[&program, "a word that it lacks"]).expect("a list");
        assert!(!found.contains(&own), "{found:?}");
    }

    #[test]
    fn a_process_that_runs_is_not_stopped_and_one_that_is_over_does_not_run() {
        assert!(!is_stopped(std::process::id()));
        assert!(is_stopped(u32::MAX));
    }
}
