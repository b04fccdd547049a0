//! What the machine must have: a compiler, three libraries, redis-server and mariadbd.
//!
//! Asks for the things themselves, not for packages, so it also works where they come from elsewhere.
//! Installs with apt-get only. Never uses, configures or stops a server that a package brings along.

use std::env;
use std::io::{self, BufRead, IsTerminal};
use std::process::{Command, Stdio};

use testbed::{find_program, is_root};

use crate::failure::Failure;
use crate::say;

/// A Debian package and how to see that what it gives is there.
struct Need {
    package: &'static str,
    programs: &'static [&'static str],
    library: Option<&'static str>,
}

const NEEDS: [Need; 7] = [
    Need {
        package: "build-essential",
        programs: &["cc", "c++", "make"],
        library: None,
    },
    Need {
        package: "pkg-config",
        programs: &["pkg-config"],
        library: None,
    },
    Need {
        package: "libmariadb-dev",
        programs: &[],
        library: Some("libmariadb"),
    },
    Need {
        package: "zlib1g-dev",
        programs: &[],
        library: Some("zlib"),
    },
    Need {
        package: "libssl-dev",
        programs: &[],
        library: Some("openssl"),
    },
    Need {
        package: "redis-server",
        programs: &["redis-server"],
        library: None,
    },
    Need {
        package: "mariadb-server",
        programs: &["mariadbd", "mariadb-install-db", "mariadb"],
        library: None,
    },
];

/// Installs what is missing; asks first unless `yes` or root.
pub fn ensure(yes: bool) -> Result<(), Failure> {
    let missing: Vec<&str> = NEEDS
        .iter()
        .filter(|need| !is_met(need))
        .map(|need| need.package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.join(" ");
    if find_program("apt-get").is_err() {
        let words = format!(
            "this machine lacks what the Debian packages {names} give; install that and try again"
        );
        return Err(Failure::Failed(words));
    }
    let is_root = is_root()?;
    let sudo = if is_root { "" } else { "sudo " };
    let line = format!(
        "{sudo}apt-get update && {sudo}apt-get install --yes --no-install-recommends {names}"
    );
    say(&format!("Missing packages: {names}\n  {line}"));
    if !(yes || is_root || confirmed(&line)?) {
        return Err(Failure::Failed(format!(
            "nothing was installed; run this yourself, then try again:\n  {line}"
        )));
    }
    install(is_root, &missing, &line)?;
    match NEEDS.iter().find(|need| !is_met(need)) {
        None => Ok(()),
        Some(need) => Err(Failure::Failed(format!(
            "{} is installed, and yet what it gives is not found",
            need.package
        ))),
    }
}

fn is_met(need: &Need) -> bool {
    let has_library = |name| {
        let mut look = Command::new("pkg-config");
        look.args(["--exists", name])
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    };
    need.programs
        .iter()
        .all(|program| find_program(program).is_ok())
        && need.library.is_none_or(has_library)
}

fn confirmed(line: &str) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::Failed(format!(
            "nobody is there to ask; give --yes, or run this yourself:\n  {line}"
        )));
    }
    say("Run this now? [y/N]");
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn install(is_root: bool, packages: &[&str], line: &str) -> Result<(), Failure> {
    // An index that could not be refreshed is often good enough; the installation will tell.
    let _ = apt_get(is_root, &["update"]);
    let mut arguments = vec!["install", "--yes", "--no-install-recommends"];
    arguments.extend(packages);
    if apt_get(is_root, &arguments)? {
        return Ok(());
    }
    Err(Failure::Failed(format!(
        "apt-get failed, see above; when it works by hand, try again:\n  {line}"
    )))
}

/// RUNLEVEL=1 keeps the packages' own servers from being started where there is no systemd. Where there is,
/// they may run; nothing here talks to them.
fn apt_get(is_root: bool, arguments: &[&str]) -> Result<bool, Failure> {
    let mut command = Command::new(if is_root { "env" } else { "sudo" });
    if !is_root {
        command.arg("env");
    }
    command
        .args(["DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1", "apt-get"])
        .args(arguments);
    Ok(command.status()?.success())
}

/// Whether the machine says that nobody watches, as build servers do.
pub fn is_unattended() -> bool {
    env::var("CI").is_ok_and(|value| value == "true" || value == "1")
}
