//! Owns what is known of this machine: facts for reports, and what the kernel counts of a process.

use std::io;
use std::process::Command;
use std::thread::{self, available_parallelism};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use procfs::Current as _;

/// Names and values of machine, system and commit; what cannot be found out is left away.
pub fn facts() -> Vec<(&'static str, String)> {
    let cores = available_parallelism().ok().map(|count| count.to_string());
    let processor = procfs::CpuInfo::current().ok();
    let memory = procfs::Meminfo::current().ok();
    let gib = |bytes: u64| format!("{:.1} GiB", bytes as f64 / 1024.0 / 1024.0 / 1024.0);
    let kernel = procfs::sys::kernel::Version::current().ok();
    let version =
        |it: procfs::sys::kernel::Version| format!("{}.{}.{}", it.major, it.minor, it.patch);
    let found = [
        ("cores", cores),
        (
            "processor",
            processor.and_then(|it| it.model_name(0).map(str::to_owned)),
        ),
        ("memory", memory.map(|it| gib(it.mem_total))),
        ("kernel", kernel.map(version)),
        ("commit", commit()),
    ];
    let known = found
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)));
    known.collect()
}

/// The short name of the commit, and whether files differ from it.
fn commit() -> Option<String> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    let name = git(&["rev-parse", "--short", "HEAD"])?;
    let changed = git(&["status", "--porcelain", "--untracked-files=no"])?;
    Some(if changed.is_empty() {
        name
    } else {
        format!("{name}, with changes")
    })
}

/// Now, for names of files and headings.
pub fn now() -> DateTime<Utc> {
    Utc::now()
}

/// A process that is being watched. Each look fails when it is gone.
#[derive(Debug, Clone, Copy)]
pub struct Process {
    pid: i32,
}

impl Process {
    /// The process of this id.
    pub fn of(pid: u32) -> Self {
        Self {
            pid: i32::try_from(pid).unwrap_or(i32::MAX),
        }
    }

    /// Seconds that it has spent on cores since its start.
    pub fn cpu_s(self) -> io::Result<f64> {
        let stat = self.stat()?;
        Ok((stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64)
    }

    /// Its memory in RAM, in bytes.
    pub fn memory(self) -> io::Result<u64> {
        Ok(self.stat()?.rss * procfs::page_size())
    }

    /// The share of one core that it uses over this time.
    pub fn share_of_core(self, time: Duration) -> io::Result<f64> {
        let (began, before) = (Instant::now(), self.cpu_s()?);
        thread::sleep(time);
        Ok((self.cpu_s()? - before) / began.elapsed().as_secs_f64())
    }

    fn stat(self) -> io::Result<procfs::process::Stat> {
        let process = procfs::process::Process::new(self.pid).map_err(io::Error::other)?;
        process.stat().map_err(io::Error::other)
    }
}

/// How many files this process may have open; children have the same limit.
pub fn open_files() -> usize {
    use procfs::process::{LimitValue, Process};
    const USUAL: usize = 1024;
    let limits = Process::myself().and_then(|own| own.limits());
    match limits.map(|limits| limits.max_open_files.soft_limit) {
        Ok(LimitValue::Value(most)) => usize::try_from(most).unwrap_or(USUAL),
        Ok(LimitValue::Unlimited) => usize::MAX,
        Err(_) => USUAL,
    }
}
