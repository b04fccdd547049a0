//! Owns what the kernel knows of a running process: its time on the cores, its memory, its open files.

use std::fs;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

/// Ticks of the kernel's clock for processes in a second, on every Linux.
const TICKS_PER_S: f64 = 100.0;

/// A process that is being watched.
#[derive(Debug, Clone, Copy)]
pub struct Process {
    pid: u32,
}

impl Process {
    /// The process of this id.
    pub fn of(pid: u32) -> Self {
        Self { pid }
    }

    /// Seconds that it has spent on cores since its start.
    pub fn cpu_s(self) -> io::Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid))?;
        cpu_ticks(&stat)
            .map(|ticks| ticks as f64 / TICKS_PER_S)
            .ok_or_else(|| io::Error::other("an odd /proc/PID/stat"))
    }

    /// Its memory in RAM, in bytes.
    pub fn memory(self) -> io::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        resident_kib(&status)
            .map(|kib| kib * 1024)
            .ok_or_else(|| io::Error::other("an odd /proc/PID/status"))
    }

    /// The share of one core that it uses over this time.
    pub fn share_of_core(self, time: Duration) -> io::Result<f64> {
        let (began, before) = (Instant::now(), self.cpu_s()?);
        thread::sleep(time);
        Ok((self.cpu_s()? - before) / began.elapsed().as_secs_f64())
    }
}

/// How many files a process may have open; children have the same limit.
pub fn open_files() -> usize {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find(|it| it.starts_with("Max open files"));
    let soft = line.and_then(|it| it.split_whitespace().nth(3)?.parse().ok());
    soft.unwrap_or(1024)
}

/// User and system time. The name of the program is in brackets and may hold anything.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<_> = rest.split_whitespace().collect();
    let ticks = |index: usize| fields.get(index)?.parse::<u64>().ok();
    Some(ticks(11)? + ticks(12)?)
}

fn resident_kib(status: &str) -> Option<u64> {
    let line = status.lines().find(|it| it.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{Process, cpu_ticks, open_files, resident_kib};

    #[test]
    fn user_and_system_time_are_added_whatever_the_name() {
        let stat = "7 (a) b 3) S 1 7 7 0 -1 4194560 100 0 0 0 30 12 0 0 20 0 5 0 1 2 3";
        assert_eq!(cpu_ticks(stat), Some(42));
        assert_eq!(cpu_ticks("7 (a) S 1"), None);
    }

    #[test]
    fn memory_is_what_is_in_ram() {
        let status = "VmSize:\t  900 kB\nVmRSS:\t  256 kB\n";
        assert_eq!(resident_kib(status), Some(256));
    }

    #[test]
    fn the_own_process_can_be_watched() {
        let own = Process::of(std::process::id());
        assert!(own.memory().is_ok_and(|bytes| bytes > 0));
        assert!(own.cpu_s().is_ok());
        assert!(open_files() > 0);
    }
}
