//! Owns what a report says about where it was made: machine, system and commit.

use std::fs;
use std::process::Command;
use std::thread::available_parallelism;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Names and values; what cannot be found out is left away.
pub fn facts() -> Vec<(&'static str, String)> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let memory = || {
        let kib: f64 = field(&read("/proc/meminfo"), "MemTotal")?
            .split(' ')
            .next()?
            .parse()
            .ok()?;
        Some(format!("{:.1} GiB", kib / 1024.0 / 1024.0))
    };
    let found = [
        (
            "cores",
            available_parallelism().ok().map(|count| count.to_string()),
        ),
        ("processor", field(&read("/proc/cpuinfo"), "model name")),
        ("memory", memory()),
        (
            "kernel",
            Some(read("/proc/sys/kernel/osrelease").trim().to_owned()),
        ),
        ("commit", commit()),
    ];
    let known = |value: &String| !value.is_empty();
    found
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.filter(known)?)))
        .collect()
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

/// Now, for names of files and headings: `2026-05-01` and `10-00-00`, UTC.
pub fn now() -> (String, String) {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    date_and_time(since.unwrap_or(Duration::ZERO).as_secs())
}

fn date_and_time(unix_s: u64) -> (String, String) {
    let (days, second) = (unix_s / 86_400, unix_s % 86_400);
    // Days since 1 March of the year 0, in eras of 400 years; see Howard Hinnant, "chrono-compatible date algorithms".
    let from_march = days + 719_468;
    let (era, day) = (from_march / 146_097, from_march % 146_097);
    let year_of_era = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    (
        format!("{year}-{month:02}-{day_of_month:02}"),
        format!("{hour:02}-{minute:02}-{second:02}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_as_a_date() {
        let check = |unix_s, date: &str, time: &str| {
            assert_eq!(date_and_time(unix_s), (date.to_owned(), time.to_owned()));
        };
        check(0, "1970-01-01", "00-00-00");
        check(951_827_696, "2000-02-29", "12-34-56");
        check(1_767_225_599, "2025-12-31", "23-59-59");
        check(4_107_542_400, "2100-03-01", "00-00-00");
    }

    #[test]
    fn the_machine_has_cores() {
        assert!(
            facts()
                .iter()
                .any(|(name, value)| *name == "cores" && value != "0")
        );
    }
}
