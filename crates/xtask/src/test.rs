//! `cargo xtask test`: every check that a change must pass, one after the other.

use std::process::Command;
use std::time::Instant;

use crate::failure::Failure;
use crate::workspace::cargo;
use crate::{packages, say};

/// Runs all checks and stops at the first that fails.
pub fn run(yes: bool) -> Result<(), Failure> {
    let began = Instant::now();
    packages::ensure(yes || packages::is_unattended())?;
    for (name, mut command, advice) in checks() {
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

fn checks() -> [(&'static str, Command, &'static str); 5] {
    let mut doc = cargo(&["doc", "--workspace", "--no-deps", "--locked"]);
    doc.env("RUSTDOCFLAGS", "-Dwarnings");
    let clippy = [
        "clippy",
        "--workspace",
        "--all-targets",
        "--locked",
        "--",
        "-D",
        "warnings",
    ];
    [
        (
            "formatting",
            cargo(&["fmt", "--all", "--check"]),
            "`cargo fmt --all` mends it",
        ),
        ("clippy", cargo(&clippy), "mend what it says above"),
        ("docs", doc, "mend what rustdoc says above"),
        // All at once, so that the tests which start the services find them and nothing is built twice.
        (
            "build",
            cargo(&["build", "--workspace", "--all-targets", "--locked"]),
            "mend what the compiler says above",
        ),
        (
            "tests",
            cargo(&["test", "--workspace", "--locked"]),
            "the names of the tests that failed stand above",
        ),
    ]
}
