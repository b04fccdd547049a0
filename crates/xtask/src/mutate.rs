//! `cargo xtask mutate`: takes out one named guard after the other, and shows that a test fails for each.
//!
//! All of it happens in a copy of the checkout. The checkout itself is only read, so whatever ends the command leaves it as
//! it was. `mutations.toml` is the list; `docs/MUTATIONS.md` has the table of the last whole run.

mod copy;

use std::fs;
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use clap::Args;
use serde::Deserialize;

use crate::failure::Failure;
use crate::packages::Purpose;
use crate::workspace::root;
use crate::{Consent, indexes, packages, say, stop};
use copy::Copy;

pub const HELP: &str = "\
Each guard of crates/xtask/mutations.toml is taken out of a copy under target/mutate, the tests are
built, and the one that is named there must fail; about a minute for each. Exit code 1 when a guard
is missed by its test.
";

const LIST: &str = include_str!("../mutations.toml");
const PAGE: &str = "docs/MUTATIONS.md";
/// How the line of the page begins that says what was run.
const RUN: &str = "Last whole run: ";

/// What the command line asks for.
#[derive(Debug, Args)]
pub struct Mutate {
    /// Only this guard; may be said again
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Put the table into docs/MUTATIONS.md, which is about all guards
    #[arg(long, conflicts_with = "only")]
    write: bool,
    #[command(flatten)]
    consent: Consent,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    /// What reads scripts and migrations when they are used, so that a change of one needs no build.
    at_run_time: Vec<Change>,
    mutation: Vec<Mutation>,
}

/// A guard, and how it is taken out.
#[derive(Debug, Deserialize)]
struct Mutation {
    name: String,
    /// What it promises.
    guard: String,
    #[serde(flatten)]
    change: Change,
    /// The test that fails: crate, module and name, of the target `it`.
    test: String,
}

/// A change of a file.
#[derive(Debug, Deserialize)]
struct Change {
    file: String,
    /// What stands there once.
    find: String,
    /// What is there instead.
    replace: String,
}

impl Change {
    /// The text of its file, changed.
    fn made_in(&self, text: &str) -> Result<String, Failure> {
        match text.matches(&self.find).count() {
            1 => Ok(text.replace(&self.find, &self.replace)),
            _ => Err(Failure::Failed(format!(
                "{} does not hold this once: {}",
                self.file, self.find
            ))),
        }
    }
}

impl Mutate {
    /// Takes out each guard and puts it back, or is stopped.
    pub fn run(self) -> Result<(), Failure> {
        let List {
            at_run_time,
            mutation,
        } = list()?;
        let chosen = self.chosen(mutation)?;
        packages::ensure(Purpose::Tests, self.consent)?;
        let stop = stop::listen()?;
        let copy = Copy::of(&root(), &at_run_time)?;
        say("with every guard in place");
        // A test that fails anyway would prove nothing.
        let tests: Vec<_> = chosen.iter().map(|it| it.test.as_str()).collect();
        let failed = copy.failed(&tests, &stop)?.join(", ");
        if !failed.is_empty() {
            let log = copy.log().display().to_string();
            return Err(Failure::Failed(format!(
                "with every guard in place {failed} fails; see {log}"
            )));
        }
        let mut missed = Vec::new();
        for (number, mutation) in chosen.iter().enumerate() {
            let began = Instant::now();
            let is_caught = mutation.is_caught(&copy, &stop)?;
            let (verdict, name) = (verdict(is_caught), &mutation.name);
            let seconds = began.elapsed().as_secs();
            let place = format!("{}/{}", number + 1, chosen.len());
            say(&format!("{place:>7} {name}: {verdict}, {seconds} s"));
            if !is_caught {
                missed.push(name.as_str());
            }
        }
        let table = table(&chosen, &missed);
        say(&format!("\n{table}"));
        if self.write {
            write(&table, chosen.len(), missed.len())?;
        }
        match missed.is_empty() {
            true => Ok(()),
            false => Err(Failure::Failed(format!(
                "no test fails without {}",
                missed.join(", ")
            ))),
        }
    }

    fn chosen(&self, mut all: Vec<Mutation>) -> Result<Vec<Mutation>, Failure> {
        let is_known = |name: &&String| all.iter().any(|it| it.name == **name);
        if let Some(name) = self.only.iter().find(|name| !is_known(name)) {
            return Err(Failure::Usage(format!(
                "there is no guard {name:?} in crates/xtask/mutations.toml"
            )));
        }
        all.retain(|it| self.only.is_empty() || self.only.contains(&it.name));
        Ok(all)
    }
}

fn list() -> Result<List, Failure> {
    toml::from_str(LIST).map_err(|error| Failure::Failed(error.to_string()))
}

fn verdict(is_caught: bool) -> &'static str {
    if is_caught { "caught" } else { "MISSED" }
}

impl Mutation {
    /// Whether its test fails without it.
    fn is_caught(&self, copy: &Copy, stop: &AtomicBool) -> Result<bool, Failure> {
        let file = copy.folder().join(&self.change.file);
        let text = fs::read_to_string(&file)?;
        fs::write(&file, self.change.made_in(&text)?)?;
        let failed = copy.failed(&[&self.test], stop);
        fs::write(&file, text)?;
        Ok(!failed?.is_empty())
    }

    fn cells(&self) -> [String; 4] {
        let code = |text: &str| {
            let mut lines = text.trim().lines();
            let first = lines.next().unwrap_or_default().replace('|', "\\|");
            let more = if lines.next().is_some() { " …" } else { "" };
            format!("`{first}`{more}")
        };
        let (guard, name, change) = (&self.guard, &self.name, &self.change);
        let instead = match change.replace.trim() {
            "" | ";" => "nothing".to_owned(),
            text => code(text),
        };
        let taken = format!("{}, then {instead}", code(&change.find));
        [
            format!("{guard} (`{name}`)"),
            format!("`{}`", change.file),
            taken,
            format!("`{}`", self.test),
        ]
    }
}

fn table(all: &[Mutation], missed: &[&str]) -> String {
    let mut text = "| guard | file | taken out | test | |\n|---|---|---|---|---|\n".to_owned();
    for mutation in all {
        let is_caught = !missed.contains(&mutation.name.as_str());
        let cells = mutation.cells().join(" | ");
        text += &format!("| {cells} | {} |\n", verdict(is_caught));
    }
    text
}

/// Puts the table into the page, and above it when and of what it is.
fn write(table: &str, all: usize, missed: usize) -> Result<(), Failure> {
    let path = root().join(PAGE);
    let page = fs::read_to_string(&path)?;
    let (date, commit) = (
        told("date", &["-u", "+%Y-%m-%d"])?,
        told("git", &["rev-parse", "--short", "HEAD"])?,
    );
    let run = format!("{RUN}{date}, commit `{commit}`: {all} guards, {missed} missed.");
    let lines = page.lines().map(|line| match line.starts_with(RUN) {
        true => run.as_str(),
        false => line,
    });
    let page = lines.collect::<Vec<_>>().join("\n");
    let page = indexes::replaced(&page, table)
        .ok_or_else(|| Failure::Failed(format!("{PAGE} holds no table")))?;
    fs::write(path, page)?;
    say(&format!("{PAGE} is written."));
    Ok(())
}

fn told(program: &str, arguments: &[&str]) -> Result<String, Failure> {
    let mut command = Command::new(program);
    let output = command.args(arguments).current_dir(root()).output()?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn text(path: &str) -> String {
        fs::read_to_string(root().join(path)).expect(path)
    }

    #[test]
    fn every_guard_stands_once_in_its_file_and_its_test_exists() {
        let List {
            at_run_time,
            mutation: all,
        } = list().expect("a list");
        let changes = all.iter().map(|it| &it.change).chain(&at_run_time);
        for it in changes {
            let Change { file, find, .. } = it;
            assert_eq!(text(file).matches(find).count(), 1, "{file}: {find}");
            assert_ne!(*find, it.replace, "{file}");
        }
        let names: BTreeSet<_> = all.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(names.len(), all.len(), "names are given once");
        for it in &all {
            let name = &it.name;
            let (of, path) = it.test.split_once("::").expect("a crate");
            let (module, test) = path.rsplit_once("::").expect("a module");
            let file = format!("crates/{of}/tests/it/{}.rs", module.replace("::", "/"));
            let is_there = text(&file).contains(&format!("fn {test}("));
            assert!(is_there, "{name}: {}", it.test);
        }
    }

    #[test]
    fn the_page_has_a_line_for_each_guard_and_none_was_missed() {
        let page = text(PAGE);
        let rows: Vec<_> = page.lines().filter(|line| line.starts_with("| ")).collect();
        let wanted = table(&list().expect("a list").mutation, &[]);
        let wanted: Vec<_> = wanted.lines().filter(|it| it.starts_with("| ")).collect();
        assert_eq!(rows, wanted, "`cargo xtask mutate --write` makes it");
    }
}
