//! `cargo xtask configuration`: the page of all variables is what the programs say of themselves.
//!
//! A program declares a variable by reading it, and `--help` lists what was declared; the warning about unknown
//! variables reads the same list. This page is made of it and of nothing else. The unit is the end of the name.

use std::fmt::Write as _;
use std::process::Command;

use testbed::{Profile, binary};

use crate::failure::Failure;
use crate::printed;

/// Where the page is.
const PAGE: &str = "docs/CONFIGURATION.md";

/// Which program, by which command, lists which variables.
const LISTS: [(&str, &[&str], &str); 7] = [
    ("gateway", &[], "The waiting room."),
    ("booking", &[], "The sale: `serve` and `migrate`."),
    ("booking", &["forward"], "The forwarder of events."),
    (
        "booking",
        &["receive"],
        "A receiver of events, for trying out.",
    ),
    ("booking", &["reconcile"], "The comparison of the books."),
    (
        "booking",
        &["sandbox-pay"],
        "A payment provider for trying out.",
    ),
    ("storefront", &[], "The demo shop."),
];

/// Ends of names, and what is counted by them.
const UNITS: [(&str, &str); 13] = [
    ("_PER_MINUTE", "a minute"),
    ("_PER_S", "a second"),
    ("_PER_USER", "a user"),
    ("_MS", "ms"),
    ("_S", "s"),
    ("_DAYS", "days"),
    ("_BYTES", "bytes"),
    ("_KIB", "KiB"),
    ("_MIB", "MiB"),
    ("_BITS", "bits"),
    ("_MINOR", "minor units"),
    ("_PERCENT", "%"),
    ("_MINUTES", "minutes"),
];

/// A variable, as a program lists it.
#[derive(Debug, PartialEq, Eq)]
struct Variable {
    name: String,
    default: String,
    help: String,
}

/// Writes the page, or only compares it. The programs must be built.
pub fn run(check: bool) -> Result<(), Failure> {
    printed::renew(PAGE, &page()?, check, "configuration")
}

fn page() -> Result<String, Failure> {
    let mut page = String::from(
        "# Configuration\n\n\
         Every variable of every program, printed from the code by `cargo xtask configuration`; a test compares. An empty\n\
         variable counts as one that is not set. A secret `NAME` may stand in a file that `NAME_FILE` names. A bad value ends\n\
         the start with exit code 64 and names its variable; a name that no program knows is a warning.\n",
    );
    for (name, command, about) in LISTS {
        let listed = variables(&help_of(name, command)?);
        if listed.is_empty() {
            return Err(Failure::Failed(format!(
                "`{name} --help` lists no variable"
            )));
        }
        let title = [&[name][..], command].concat().join(" ");
        // Writing to a string cannot fail.
        let _ = write!(
            page,
            "\n## {title}\n\n{about}\n\n| variable | unit | default | meaning |\n|---|---|---|---|\n"
        );
        for variable in listed {
            let Variable {
                name,
                default,
                help,
            } = &variable;
            let _ = writeln!(
                page,
                "| `{name}` | {} | {default} | {help} |",
                variable.unit()
            );
        }
    }
    Ok(page)
}

fn help_of(name: &str, command: &[&str]) -> Result<String, Failure> {
    let mut program = Command::new(binary(name, Profile::Debug)?);
    let output = program.args(command).arg("--help").output()?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// What stands behind `Environment variables:`.
fn variables(help: &str) -> Vec<Variable> {
    let mut all: Vec<Variable> = Vec::new();
    let listed = help.split_once("Environment variables:");
    for line in listed.map_or("", |(_, rest)| rest).lines() {
        if let Some(words) = line.strip_prefix("      ") {
            if let Some(last) = all.last_mut() {
                let gap = if last.help.is_empty() { "" } else { " " };
                last.help += &format!("{gap}{}", cell(words.trim()));
            }
        } else if let Some((name, default)) = line.trim().split_once("  [") {
            all.push(Variable {
                name: name.to_owned(),
                default: shown(default.trim_end_matches(']')),
                help: String::new(),
            });
        }
    }
    all
}

fn shown(default: &str) -> String {
    match default.strip_prefix("default: ") {
        Some("empty") => "empty".to_owned(),
        Some(value) => format!("`{}`", cell(value)),
        None => default.to_owned(),
    }
}

/// Text that does not end a cell or begin a link.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
        .replace("](", "] (")
        .replace('<', "&lt;")
}

impl Variable {
    fn unit(&self) -> &'static str {
        let fits = |(end, _): &&(&str, &str)| self.name.ends_with(end);
        UNITS.iter().find(fits).map_or("", |(_, unit)| unit)
    }
}

#[cfg(test)]
mod tests {
    use super::{Variable, variables};

    #[test]
    fn a_list_is_read_with_units_and_whole_sentences() {
        let help = "Usage: x\n\nEnvironment variables:\n\n  X_WAIT_S  [default: 5]\n      How long it\n      \
                    waits, or a|b.\n\n  X_KEY  [required]\n      A key.\n";
        let listed = variables(help);
        let wait = Variable {
            name: "X_WAIT_S".to_owned(),
            default: "`5`".to_owned(),
            help: "How long it waits, or a\\|b.".to_owned(),
        };
        assert_eq!((listed.len(), wait.unit()), (2, "s"));
        assert_eq!(listed[0], wait);
        assert_eq!((&*listed[1].default, listed[1].unit()), ("required", ""));
    }
}
