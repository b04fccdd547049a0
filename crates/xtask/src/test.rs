//! `cargo xtask test`: every check that a change must pass, one after the other.

use std::process::{Command, ExitStatus};
use std::time::Instant;

use clap::{Args, ValueEnum};

use crate::failure::Failure;
use crate::packages::Purpose;
use crate::workspace::{cargo, root};
use crate::{Consent, firefox, packages, room, say};

/// What the command line asks for.
#[derive(Debug, Args)]
pub struct Test {
    #[command(flatten)]
    consent: Consent,
    /// After all others, the tests that take minutes
    #[arg(long)]
    long: bool,
    /// Only the tests of booking, on this server: mysql://USER:PASSWORD@HOST:PORT, as a user who may make databases
    #[arg(long, value_name = "URL", conflicts_with = "long")]
    mysql: Option<String>,
    /// Only what people see, in this browser; all tests use Chromium
    #[arg(long, value_enum, conflicts_with_all = ["long", "mysql"])]
    browser: Option<Browser>,
}

/// What pages are tested in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Browser {
    Chromium,
    Firefox,
}

impl Test {
    /// Runs all checks and stops at the first that fails.
    pub fn run(self) -> Result<(), Failure> {
        let purpose = match self.browser {
            Some(Browser::Firefox) => Purpose::Firefox,
            _ => Purpose::Tests,
        };
        packages::ensure(purpose, self.consent)?;
        room::ensure(&root().join("target"))?;
        let mut all = match (&self.mysql, self.browser) {
            (Some(url), _) => vec![on_mysql(url)],
            (None, Some(browser)) => in_browser(browser)?,
            (None, None) => checks().into(),
        };
        if self.long {
            all.push(long());
            all.push(objectives());
            all.extend(schemathesis()?);
        }
        run(all)
    }
}

type Check = (&'static str, Command, &'static str);

fn run(all: Vec<Check>) -> Result<(), Failure> {
    let began = Instant::now();
    for (name, mut command, advice) in all {
        say(&format!("\n== {name}"));
        let check_began = Instant::now();
        let passed = command.status()?.success();
        let seconds = check_began.elapsed().as_secs_f32();
        if !passed {
            return Err(Failure::Failed(format!(
                "{name} failed after {seconds:.0} s; {advice}"
            )));
        }
        say(&format!("== {name}: passed in {seconds:.0} s"));
    }
    say(&format!(
        "\nAll checks passed in {:.0} s.",
        began.elapsed().as_secs_f32()
    ));
    Ok(())
}

/// Lints that fail the check, by name: what a newer compiler warns of is shown and fails nothing.
const LINTS: &str = include_str!("../lints.txt");

const DOC_LINTS: &str = "-Drustdoc::bare_urls -Drustdoc::broken_intra_doc_links \
    -Drustdoc::invalid_codeblock_attributes -Drustdoc::invalid_html_tags -Drustdoc::invalid_rust_codeblocks \
    -Drustdoc::private_intra_doc_links -Drustdoc::redundant_explicit_links";

/// As PyPI has it.
const SCHEMATHESIS: &str = "schemathesis==4.32.5";

const TESTS: &str = "the names of the tests that failed stand above";

/// Booking's tests, each with a database of its own on a server that runs already.
fn on_mysql(url: &str) -> Check {
    let mut tests = cargo(&["test", "--locked", "-p", "booking", "--test", "it"]);
    tests.env("USHER_TEST_MYSQL_URL", url);
    ("tests of booking", tests, TESTS)
}

/// The programs, then the tests of pages alone.
fn in_browser(browser: Browser) -> Result<Vec<Check>, Failure> {
    let tests = match browser {
        Browser::Chromium => cargo(&["test", "--workspace", "--locked", "--test", "browser"]),
        Browser::Firefox => firefox::tests()?,
    };
    let build = cargo(&["build", "--workspace", "--all-targets", "--locked"]);
    Ok(vec![
        ("build", build, "mend what the compiler says above"),
        ("tests in a browser", tests, TESTS),
    ])
}

/// Test targets that `cargo test` leaves out, since they take minutes.
fn long() -> Check {
    let tests = cargo(&[
        "test",
        "--workspace",
        "--locked",
        "--test",
        "long",
        "--test",
        "cluster",
    ]);
    ("long tests", tests, TESTS)
}

/// The tests that count late answers while something is away, with nothing beside them: here a late one fails.
fn objectives() -> Check {
    let mut tests = cargo(&["test", "--workspace", "--locked"]);
    tests.args(["--test", "it", "--test", "outage", "--"]);
    tests.args([
        "--test-threads",
        "1",
        "siege::",
        "whatever_is_away",
        "lost_packets",
    ]);
    tests.env(testbed::JUDGES_TIME, "yes");
    ("late answers", tests, TESTS)
}

/// What the document of booking allows and forbids, tried out; none where schemathesis cannot be installed.
fn schemathesis() -> Result<Option<Check>, Failure> {
    let folder = root().join("target/schemathesis");
    let program = folder.join("bin/schemathesis");
    if !program.exists() {
        say("installing schemathesis under target/");
        let made = Command::new("python3")
            .args(["-m", "venv"])
            .arg(&folder)
            .status();
        let installed = Command::new(folder.join("bin/pip"))
            .args(["install", "--quiet", SCHEMATHESIS])
            .status();
        let is_there = |outcome: std::io::Result<ExitStatus>| outcome.is_ok_and(|it| it.success());
        if !is_there(made) || !is_there(installed) {
            say("schemathesis cannot be installed here: its check is left out");
            return Ok(None);
        }
    }
    let mut test = cargo(&["test", "--workspace", "--locked", "--test", "schema"]);
    test.env("USHER_SCHEMATHESIS", program);
    Ok(Some(("schemathesis", test, "what it found stands above")))
}

fn checks() -> [Check; 6] {
    let mut doc = cargo(&["doc", "--workspace", "--no-deps", "--locked"]);
    doc.env("RUSTDOCFLAGS", DOC_LINTS);
    let clippy = |targets: &[&str]| {
        let mut clippy = cargo(&["clippy", "--workspace", "--locked"]);
        clippy.args(targets).arg("--");
        clippy.args(lints().map(|name| format!("-D{name}")));
        clippy
    };
    let mend = "mend what it says above";
    [
        (
            "formatting",
            cargo(&["fmt", "--all", "--check"]),
            "`cargo fmt --all` mends it",
        ),
        ("clippy", clippy(&["--all-targets"]), mend),
        (
            "clippy of long tests",
            clippy(&["--test", "long", "--test", "cluster", "--test", "schema"]),
            mend,
        ),
        ("docs", doc, "mend what rustdoc says above"),
        // All at once, so that the tests which start the services find them and nothing is built twice.
        (
            "build",
            cargo(&["build", "--workspace", "--all-targets", "--locked"]),
            "mend what the compiler says above",
        ),
        (
            "tests",
            cargo(&["test", "--workspace", "--locked", "--no-fail-fast"]),
            TESTS,
        ),
    ]
}

fn lints() -> impl Iterator<Item = &'static str> {
    let lines = LINTS.lines().filter(|line| !line.starts_with('#'));
    lines.flat_map(str::split_whitespace)
}

#[cfg(test)]
mod tests {
    use super::lints;

    #[test]
    fn what_was_refused_before_is_refused_by_name() {
        let names: Vec<_> = lints().collect();
        for name in [
            "dead_code",
            "missing_docs",
            "unused_imports",
            "unused_must_use",
            "clippy::needless_return",
            "clippy::unwrap_used",
        ] {
            assert!(names.contains(&name), "{name}");
        }
    }
}
