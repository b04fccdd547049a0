//! Is there room on the disk for what a run of the tests builds?

use std::path::Path;
use std::process::Command;

use crate::failure::Failure;

/// What `target` holds after a run in a fresh clone, and what its servers write meanwhile; measured.
const NEEDED_MIB: u64 = 10 * 1024;

/// Refuses in words what would end minutes later in a linker that cannot write. A folder that was built before has what
/// it needs; where the system does not tell, nothing is refused.
pub fn ensure(target: &Path) -> Result<(), Failure> {
    if target.join("debug/deps").exists() && target.join("doc").exists() {
        return Ok(());
    }
    let Some(free) = target.parent().and_then(free_mib) else {
        return Ok(());
    };
    if free >= NEEDED_MIB {
        return Ok(());
    }
    Err(Failure::Failed(format!(
        "a first run needs {NEEDED_MIB} MiB below {}, and {free} MiB are free there; make room and start again",
        target.display()
    )))
}

fn free_mib(folder: &Path) -> Option<u64> {
    let told = Command::new("df").arg("-Pk").arg(folder).output().ok()?;
    available_mib(&String::from_utf8_lossy(&told.stdout))
}

/// The fourth column of what POSIX has `df -Pk` print, in KiB.
fn available_mib(printed: &str) -> Option<u64> {
    let line = printed.lines().nth(1)?;
    let kib: u64 = line.split_whitespace().nth(3)?.parse().ok()?;
    Some(kib / 1024)
}

#[cfg(test)]
mod tests {
    use super::available_mib;

    #[test]
    fn the_free_room_is_the_fourth_column_in_mib() {
        let printed = "Filesystem 1024-blocks Used Available Capacity Mounted on\n\
                       /dev/vda 264100000 92000000 3670016 97% /\n";
        assert_eq!(available_mib(printed), Some(3_584));
        assert_eq!(available_mib("df: no such file\n"), None);
    }
}
