//! Limits of CPU and memory for servers, by control groups of Linux.
//!
//! Who makes the groups may be another process than who starts the servers: where they are is handed down in a
//! variable. A server is in its groups before its first instruction, or it does not start.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process;
use std::str::FromStr;

/// `name=folder:folder`, with commas between.
pub const VARIABLE: &str = "USHER_LIMITS";
const ROOT: &str = "/sys/fs/cgroup";
/// A short period keeps the pauses short that a quota brings, in µs.
const PERIOD_US: f64 = 20_000.0;
const MIB: u64 = 1 << 20;

/// What one kind of server may use: `gateway=0.5:64` is half a core and 64 MiB, for every gateway together.
#[derive(Debug, Clone, PartialEq)]
pub struct Limit {
    /// How the names of its processes begin: `gateway`, `booking`, `redis-server`, `mariadbd`.
    pub name: String,
    /// Of CPU.
    pub cores: f64,
    /// Of memory.
    pub mib: u64,
}

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('=').and_then(|(name, rest)| {
            let (cores, mib) = rest.split_once(':')?;
            Some((name, cores.parse().ok()?, mib.parse().ok()?))
        });
        match parts {
            Some((name, cores, mib))
                if !name.is_empty() && (0.01..=1_000.0).contains(&cores) && mib >= 4 =>
            {
                Ok(Self {
                    name: name.to_owned(),
                    cores,
                    mib,
                })
            }
            _ => Err(
                "a limit is NAME=CORES:MIB, from 0.01 cores and 4 MiB on, as in gateway=0.5:64"
                    .into(),
            ),
        }
    }
}

/// Groups with a limit, which are taken away in the end.
#[derive(Debug)]
pub struct Limits {
    groups: Vec<(Limit, Vec<PathBuf>)>,
}

impl Limits {
    /// Makes a group for each, with both ways that the kernel has of it.
    ///
    /// # Errors
    /// Without the rights, or where the system has no control groups.
    pub fn set(limits: Vec<Limit>) -> io::Result<Self> {
        let mut made = Self { groups: Vec::new() };
        for limit in limits {
            let files = files_of(&limit, Path::new(ROOT));
            let folders = files.iter().map(|(folder, _)| folder.clone());
            made.groups.push((limit, folders.collect()));
            for (folder, values) in files {
                fs::create_dir_all(&folder)?;
                for (file, value) in values {
                    fs::write(folder.join(file), value)?;
                }
            }
        }
        Ok(made)
    }

    /// For [`VARIABLE`].
    pub fn handed_down(&self) -> String {
        let each = self.groups.iter().map(|(limit, folders)| {
            let folders: Vec<_> = folders.iter().map(|it| it.to_string_lossy()).collect();
            format!("{}={}", limit.name, folders.join(":"))
        });
        each.collect::<Vec<_>>().join(",")
    }

    /// The most memory that each has used so far, in MiB, where the kernel says it.
    pub fn most_used(&self) -> impl Iterator<Item = (&Limit, u64)> {
        self.groups.iter().filter_map(|(limit, folders)| {
            let files = ["memory.max_usage_in_bytes", "memory.peak"];
            let mut told = folders
                .iter()
                .flat_map(|folder| files.map(|file| fs::read_to_string(folder.join(file))));
            let bytes: u64 = told.find_map(Result::ok)?.trim().parse().ok()?;
            Some((limit, bytes / MIB))
        })
    }
}

impl Drop for Limits {
    fn drop(&mut self) {
        for folder in self.groups.iter().flat_map(|(_, folders)| folders) {
            // Its processes are over; what still stands in it is left to the system.
            let _ = fs::remove_dir(folder);
        }
    }
}

/// The folders of a group and what is written there: one of version 2, or one for each controller of version 1.
fn files_of(limit: &Limit, root: &Path) -> Vec<(PathBuf, Vec<(&'static str, String)>)> {
    let name = format!("usher-{}-{}", process::id(), limit.name);
    let quota = format!("{:.0}", limit.cores * PERIOD_US);
    let (period, bytes) = (format!("{PERIOD_US:.0}"), (limit.mib * MIB).to_string());
    if root.join("cgroup.controllers").exists() {
        let values = vec![
            ("cpu.max", format!("{quota} {period}")),
            ("memory.max", bytes),
        ];
        return vec![(root.join(name), values)];
    }
    let cpu = vec![("cpu.cfs_period_us", period), ("cpu.cfs_quota_us", quota)];
    vec![
        (root.join("cpu").join(&name), cpu),
        (
            root.join("memory").join(&name),
            vec![("memory.limit_in_bytes", bytes)],
        ),
    ]
}

/// The groups of a server of this name, by what was handed down.
pub(crate) fn groups_of(server: &str, handed_down: &str) -> String {
    let groups = handed_down.split(',').filter_map(|group| {
        let (name, folders) = group.split_once('=')?;
        server.starts_with(name).then(|| folders.replace(':', " "))
    });
    groups.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Limit, Limits, files_of, groups_of};
    use crate::Scratch;

    #[test]
    fn a_limit_is_a_name_cores_and_memory() {
        let limit: Limit = "gateway=0.5:64".parse().expect("a limit");
        assert_eq!(
            (limit.name.as_str(), limit.cores, limit.mib),
            ("gateway", 0.5, 64)
        );
        for odd in [
            "gateway",
            "=1:64",
            "gateway=1",
            "gateway=0:64",
            "gateway=x:64",
            "gateway=1:3",
            "gateway=1:",
        ] {
            assert!(odd.parse::<Limit>().is_err(), "{odd}");
        }
    }

    #[test]
    fn both_versions_of_the_kernel_are_told_the_same() {
        let scratch = Scratch::new().expect("a folder");
        let limit = "booking=0.25:256".parse().expect("a limit");
        let told = |root: &Path| {
            let files = files_of(&limit, root)
                .into_iter()
                .flat_map(|(_, values)| values);
            files
                .map(|(file, value)| format!("{file} {value}"))
                .collect::<Vec<_>>()
        };
        let first = [
            "cpu.cfs_period_us 20000",
            "cpu.cfs_quota_us 5000",
            "memory.limit_in_bytes 268435456",
        ];
        assert_eq!(told(scratch.path()), first);
        std::fs::write(scratch.path().join("cgroup.controllers"), "cpu memory").expect("written");
        assert_eq!(
            told(scratch.path()),
            ["cpu.max 5000 20000", "memory.max 268435456"]
        );
    }

    #[test]
    fn a_server_is_in_the_groups_of_its_kind_alone() {
        let groups = |name: &str| vec![format!("/c/{name}").into(), format!("/m/{name}").into()];
        let limits = Limits {
            groups: ["gateway=1:64", "redis-server=1:64"]
                .map(|text| text.parse::<Limit>().expect("a limit"))
                .map(|limit| (limit.clone(), groups(&limit.name)))
                .into(),
        };
        let told = limits.handed_down();
        assert_eq!(groups_of("gateway-2", &told), "/c/gateway /m/gateway");
        assert_eq!(groups_of("booking", &told), "");
        assert_eq!(groups_of("booking", ""), "");
    }
}
