//! Every command in the pages is one that its program takes: `cargo xtask …`, `booking …`, `gateway …`, `storefront …`, and what
//! `cargo test …` names is there.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use testbed::{Profile, binary, checkout as root, texts_below};

const PROGRAMS: [&str; 3] = ["booking", "gateway", "storefront"];

/// Every page, by its name.
fn pages() -> BTreeMap<String, String> {
    let root = root();
    let folders = ["docker", "docs"].map(|it| texts_below(&root.join(it), "md").unwrap());
    let name = |(path, text): (PathBuf, String)| {
        let name = path.strip_prefix(&root).unwrap().display().to_string();
        (name, text)
    };
    let mut pages: BTreeMap<_, _> = folders.concat().into_iter().map(name).collect();
    let top = fs::read_to_string(root.join("README.md")).unwrap();
    pages.insert("README.md".to_owned(), top);
    pages
}

/// A command up to the end of the code, a comment, or a sign of the shell.
fn ended(rest: &str) -> &str {
    let line = rest.lines().next().unwrap_or_default();
    let end = line.find(['`', '#', '|', ';', '&', '<', '>', '\u{2026}']);
    line[..end.unwrap_or(line.len())].trim()
}

/// The arguments of each command in a page that begins so.
fn commands<'a>(text: &'a str, start: &'a str) -> impl Iterator<Item = &'a str> {
    let rests = text.split(start).skip(1);
    rests.map(ended).filter(|command| !command.is_empty())
}

/// The arguments of each command of a program: at the beginning of code between backticks, or of a line of a shell.
fn calls<'a>(text: &'a str, program: &'a str) -> Vec<&'a str> {
    let arguments = |code: &'a str| Some(ended(code.strip_prefix(program)?.strip_prefix(' ')?));
    let mut found = Vec::new();
    let mut fence = None;
    for line in text.lines() {
        if let Some(language) = line.trim_start().strip_prefix("```") {
            fence = fence.is_none().then_some(language);
        } else if fence == Some("sh") || (fence.is_none() && line.starts_with("    ")) {
            // What is indented may be a paragraph of a list, which begins with no command.
            let call = arguments(line.trim_start());
            let is_call = |call: &&str| fence.is_some() || call.contains(" --") || is_plain(call);
            found.extend(call.filter(is_call));
        }
        if fence.is_none() {
            found.extend(line.split('`').skip(1).step_by(2).filter_map(arguments));
        }
    }
    found
}

/// One word that may be a subcommand.
fn is_plain(word: &str) -> bool {
    !word.is_empty() && word.chars().all(|it| it.is_ascii_lowercase() || it == '-')
}

/// A name in capitals stands for something that the reader puts in.
fn is_placeholder(word: &str) -> bool {
    word.len() > 1 && word.chars().all(|it| it.is_ascii_uppercase() || it == '_') || word == "N"
}

fn said(program: &Path, arguments: &[&str]) -> Result<String, String> {
    let mut command = Command::new(program);
    let output = command.args(arguments).arg("--help").output().unwrap();
    let [told, failed] =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    match output.status.success() {
        true => Ok(told),
        false => Err(failed.trim().to_owned()),
    }
}

/// Why the program does not take this, if so. Arguments before `--help` are read first, so an unknown one is refused. Where a
/// reader puts something in, or leaves something out, the subcommand must be there and the flags must be in its help.
fn refused(program: &Path, command: &str) -> Option<String> {
    let words: Vec<&str> = command
        .split(|letter: char| letter.is_whitespace() || letter == '[' || letter == ']')
        .filter(|word| !word.is_empty())
        .collect();
    if !command.contains('[') && !words.iter().any(|word| is_placeholder(word)) {
        return said(program, &words).err();
    }
    let subcommand: Vec<&str> = words
        .iter()
        .copied()
        .take_while(|word| is_plain(word) && !word.starts_with('-'))
        .collect();
    let help = match said(program, &subcommand) {
        Ok(help) => help,
        Err(failed) => return Some(failed),
    };
    let known: BTreeSet<&str> = help
        .split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '-')
        .collect();
    let flags = words.iter().filter(|word| word.starts_with("--"));
    let flags = flags.map(|flag| flag.split('=').next().unwrap());
    let unknown: Vec<&str> = flags.filter(|flag| !known.contains(flag)).collect();
    (!unknown.is_empty()).then(|| format!("{} is not in the help", unknown.join(", ")))
}

#[test]
fn every_command_in_the_pages_exists() {
    let mut all: BTreeMap<(&str, &str), &str> = BTreeMap::new();
    let pages = pages();
    for (page, text) in &pages {
        let xtask = commands(text, "cargo xtask ").map(|command| ("xtask", command));
        let named = PROGRAMS.iter().flat_map(|program| {
            let calls = calls(text, program).into_iter();
            calls.map(|command| (*program, command))
        });
        all.extend(xtask.chain(named).map(|command| (command, page.as_str())));
    }
    let of = |program| all.keys().filter(|(its, _)| *its == program).count();
    assert!(of("xtask") > 20 && of("booking") > 5, "{all:?}");
    let unknown: Vec<String> = all
        .iter()
        .filter_map(|((program, command), page)| {
            let path = match *program {
                "xtask" => env!("CARGO_BIN_EXE_xtask").into(),
                other => binary(other, Profile::Debug).unwrap(),
            };
            let why = refused(&path, command)?;
            Some(format!("{page}: {program} {command}: {why}"))
        })
        .collect();
    assert!(unknown.is_empty(), "{}", unknown.join("\n"));
}

/// The sources of all targets of tests with this name, in the package if one is named, each with its text.
fn sources(package: Option<&str>, name: &str) -> Vec<(PathBuf, String)> {
    let crates = fs::read_dir(root().join("crates")).unwrap();
    let crates = crates.map(|entry| entry.unwrap().path());
    let tests = crates
        .filter(|path| package.is_none_or(|package| path.ends_with(package)))
        .map(|path| path.join("tests"))
        .chain(package.is_none().then(|| root().join("tests")));
    let mut found = Vec::new();
    for tests in tests {
        let (file, folder) = (tests.join(format!("{name}.rs")), tests.join(name));
        if folder.join("main.rs").is_file() {
            found.extend(texts_below(&folder, "rs").unwrap());
        } else if let Ok(text) = fs::read_to_string(&file) {
            found.push((file, text));
        }
    }
    found
}

/// What is missing of what a `cargo test` names: its target, and a test or a module of the filter.
fn missing(command: &str) -> Option<String> {
    let (mut package, mut tests, mut filter) = (None, None, None);
    let mut words = command.split_whitespace();
    while let Some(word) = words.next().filter(|word| *word != "--") {
        match word {
            "-p" => package = words.next(),
            "--test" => tests = words.next(),
            "--release" | "--workspace" | "--lib" | "--locked" => {}
            flag if flag.starts_with('-') => return Some(format!("{flag} is not known here")),
            named => filter = Some(named),
        }
    }
    let of_package = package.map(|package| root().join("crates").join(package));
    if let Some(missing) = of_package.filter(|path| !path.is_dir()) {
        return Some(format!("{} is not there", missing.display()));
    }
    let tests = tests?;
    let sources = sources(package, tests);
    if sources.is_empty() {
        return Some(format!("no tests are called {tests}"));
    }
    let named = filter?.trim_end_matches(':').rsplit("::").next()?;
    let is_there = sources.iter().any(|(path, text)| {
        path.file_stem().is_some_and(|stem| stem == named) || text.contains(&format!("fn {named}"))
    });
    (!is_there).then(|| format!("{tests} has no test {named}"))
}

#[test]
fn every_test_that_a_page_says_to_run_is_there() {
    let pages = pages();
    let all = pages
        .iter()
        .flat_map(|(page, text)| commands(text, "cargo test ").map(move |command| (command, page)));
    let all: Vec<(&str, &String)> = all.collect();
    assert!(all.len() > 3, "the pages name tests: {all:?}");
    let unknown: Vec<String> = all
        .iter()
        .filter_map(|(command, page)| {
            Some(format!(
                "{page}: cargo test {command}: {}",
                missing(command)?
            ))
        })
        .collect();
    assert!(unknown.is_empty(), "{}", unknown.join("\n"));
}

#[test]
fn the_page_of_all_variables_is_what_the_programs_say() {
    let mut xtask = Command::new(env!("CARGO_BIN_EXE_xtask"));
    let output = xtask.args(["configuration", "--check"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

#[test]
fn a_command_ends_where_the_code_does() {
    let text =
        "`cargo xtask up --gateways 2`, cargo xtask test    # all\ncargo xtask load SCENARIO";
    let found: Vec<&str> = commands(text, "cargo xtask ").collect();
    assert_eq!(found, ["up --gateways 2", "test", "load SCENARIO"]);
    let text = "booking sends, `booking migrate`\n\n```sh\nbooking serve &\nx\n```\n```text\nbooking no\n```\n    \
                booking recount A --b\n    booking is no command";
    assert_eq!(
        calls(text, "booking"),
        ["migrate", "serve", "recount A --b"]
    );
}

#[test]
fn a_command_that_is_not_there_is_found_also_with_something_to_put_in() {
    let xtask = Path::new(env!("CARGO_BIN_EXE_xtask"));
    for right in ["test --long", "test --mysql URL", "load SCENARIO [--small]"] {
        assert_eq!(refused(xtask, right), None, "{right}");
    }
    for wrong in [
        "tests",
        "test --never",
        "test --never URL",
        "loads SCENARIO",
    ] {
        assert!(refused(xtask, wrong).is_some(), "{wrong}");
    }
    for right in ["-p booking --test it locks:: -- --nocapture", "-p gateway"] {
        assert_eq!(missing(right), None, "{right}");
    }
    for wrong in [
        "-p bookings",
        "--test its",
        "--test it no_such_test::",
        "--all",
    ] {
        assert!(missing(wrong).is_some(), "{wrong}");
    }
}
