//! Every `cargo xtask …` line in the pages is one that the command line takes.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const START: &str = "cargo xtask ";

fn pages(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            pages(&path, found);
        } else if path.extension().is_some_and(|it| it == "md") {
            found.push(path);
        }
    }
}

/// The arguments of each command in a page: up to the end of the code, a comment, or a sign of the shell.
fn commands(text: &str) -> impl Iterator<Item = String> {
    text.split(START).skip(1).filter_map(|rest| {
        let line = rest.lines().next().unwrap_or_default();
        let end = line.find(['`', '#', '|', ';', '&', '\u{2026}']);
        let command = line[..end.unwrap_or(line.len())].trim();
        // A name in capitals stands for something that the reader puts in.
        let is_pattern = command.contains('[') || command.split(' ').any(is_placeholder);
        (!is_pattern && !command.is_empty()).then(|| command.to_owned())
    })
}

fn is_placeholder(word: &str) -> bool {
    word.len() > 1 && word.chars().all(|it| it.is_ascii_uppercase() || it == '_') || word == "N"
}

#[test]
fn every_command_in_the_pages_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut found = vec![root.join("README.md")];
    pages(&root.join("docs"), &mut found);
    pages(&root.join("docker"), &mut found);
    let all: BTreeSet<(String, String)> = found
        .iter()
        .flat_map(|page| {
            let text = fs::read_to_string(page).unwrap();
            let name = page.strip_prefix(&root).unwrap().display().to_string();
            commands(&text)
                .map(move |command| (command, name.clone()))
                .collect::<Vec<_>>()
        })
        .collect();
    assert!(all.len() > 10, "the pages name commands: {all:?}");
    let unknown: Vec<String> = all
        .iter()
        .filter_map(|(command, page)| {
            let mut xtask = Command::new(env!("CARGO_BIN_EXE_xtask"));
            // Arguments before `--help` are read first, so an unknown one is refused.
            xtask.args(command.split_whitespace()).arg("--help");
            let output = xtask.output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            (!output.status.success()).then(|| format!("{page}: {command}: {}", said.trim()))
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
    let found: Vec<String> = commands(text).collect();
    assert_eq!(found, ["up --gateways 2", "test"]);
}
