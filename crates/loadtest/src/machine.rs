//! Owns what is known of this machine: facts for reports, and what the kernel counts of a process.

use std::io;
use std::process::Command;
use std::thread::{self, available_parallelism};
use std::time::{Duration, Instant};

use procfs::sys::kernel::Version;
use procfs::{CpuInfo, Current as _, Meminfo};
use rustix::process::{Resource, getrlimit, setrlimit};

/// Names and values of machine, system and commit; what cannot be found out is left out.
pub fn facts() -> Vec<(&'static str, String)> {
    let cores = available_parallelism().ok().map(|it| it.to_string());
    let processor = CpuInfo::current().ok();
    let processor = processor.and_then(|it| it.model_name(0).map(str::to_owned));
    let memory = Meminfo::current().ok().map(|it| it.mem_total as f64);
    let memory = memory.map(|bytes| format!("{:.1} GiB", bytes / f64::from(1 << 30)));
    let kernel = Version::current().ok();
    let kernel = kernel.map(|it| format!("{}.{}.{}", it.major, it.minor, it.patch));
    let found = [
        ("cores", cores),
        ("processor", processor),
        ("memory", memory),
        ("kernel", kernel),
        ("commit", commit()),
    ];
    let known = |(name, value): (_, Option<_>)| Some((name, value?));
    found.into_iter().filter_map(known).collect()
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
    Some(match changed.is_empty() {
        true => name,
        false => format!("{name}, with changes"),
    })
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

/// Lets this process open as many files as may be, since each visitor is a connection. Says how many that is.
pub fn raise_open_files() -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Where the limit cannot be raised, the old one is returned.
    let _ = setrlimit(Resource::Nofile, limit);
    let most = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(most).unwrap_or(usize::MAX)
}
