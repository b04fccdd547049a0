//! Guards the pages: every link leads somewhere, and the examples of how code reads are the real code.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::fs;
use std::path::{Path, PathBuf};

use testbed::{checkout as root, files_below};

fn pages() -> Vec<PathBuf> {
    let folders = ["docker", "docs"].map(|it| files_below(&root().join(it)).unwrap());
    let mut found = folders.concat();
    found.retain(|path| path.extension().is_some_and(|it| it == "md"));
    found.push(root().join("README.md"));
    found
}

fn name_of(page: &Path) -> String {
    page.strip_prefix(root()).unwrap().display().to_string()
}

/// The targets of the links of a page, outside of code blocks.
fn links(text: &str) -> Vec<String> {
    let mut in_code = false;
    let mut found = Vec::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        for rest in line.split("](").skip(1) {
            let target = rest.split([')', ' ']).next().unwrap();
            found.push(target.to_owned());
        }
    }
    found
}

/// The anchors of a page, as GitHub makes them of headings.
fn anchors(text: &str) -> Vec<String> {
    let heading = |line: &str| {
        let words = line.trim_start_matches('#').trim().to_lowercase();
        let kept = words
            .chars()
            .filter(|it| it.is_alphanumeric() || " -_".contains(*it));
        kept.map(|it| if it == ' ' { '-' } else { it }).collect()
    };
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings.map(heading).collect()
}

/// What is wrong with a link that stands in `page`, if anything is.
fn broken(page: &Path, text: &str, link: &str) -> Option<String> {
    if link.starts_with("http://") || link.starts_with("https://") {
        return None;
    }
    let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
    let target = match file {
        "" => page.to_owned(),
        file => page.parent().unwrap().join(file),
    };
    if !target.exists() {
        return Some(format!("{}: {link} does not exist", name_of(page)));
    }
    if anchor.is_empty() {
        return None;
    }
    let there = match file {
        "" => text.to_owned(),
        _ => fs::read_to_string(&target).unwrap(),
    };
    let known = anchors(&there).iter().any(|it| it == anchor);
    (!known).then(|| format!("{}: {link} names no heading", name_of(page)))
}

#[test]
fn every_link_leads_somewhere() {
    let mut all = Vec::new();
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        let wrong = links(&text)
            .into_iter()
            .filter_map(|link| broken(&page, &text, &link));
        all.extend(wrong);
    }
    assert!(all.is_empty(), "{}", all.join("\n"));
}

/// Who wants to change the code reads them first, so they stay short.
#[test]
fn the_first_pages_are_short() {
    let page = |name: &str| fs::read_to_string(root().join("docs").join(name)).unwrap();
    let architecture = page("ARCHITECTURE.md").len();
    assert!(architecture <= 15 * 1024, "{architecture} bytes");
    let glossary = page("GLOSSARY.md");
    let words = glossary.lines().filter(|line| line.starts_with("| **"));
    assert!(words.count() <= 20);
}

#[test]
fn every_decision_is_dated_and_stands_in_the_list() {
    let list = fs::read_to_string(root().join("docs/README.md")).unwrap();
    let decisions = pages()
        .into_iter()
        .filter(|page| page.parent().unwrap().ends_with("docs/adr"));
    let mut wrong = Vec::new();
    for page in decisions {
        let (name, text) = (name_of(&page), fs::read_to_string(&page).unwrap());
        let status = text.lines().nth(2).unwrap_or_default();
        if !(status.starts_with("Date: 20") && status.contains(" · Status: ")) {
            wrong.push(format!("{name} has no date and status in its third line"));
        }
        if !list.contains(name.trim_start_matches("docs/")) {
            wrong.push(format!("{name} is not in docs/README.md"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// An example of a page: the file that it names, and its lines.
struct Example<'a> {
    file: &'a str,
    lines: Vec<&'a str>,
}

/// What stands below each `GOOD` in the code of a page, up to the next example or the end of the code.
fn good_examples(text: &str) -> Vec<Example<'_>> {
    let mut found: Vec<Example<'_>> = Vec::new();
    let mut is_good = false;
    for line in text.lines() {
        let mark = line.strip_prefix("// ").or(line.strip_prefix("-- "));
        let mark = mark.unwrap_or_default();
        if line.starts_with("```") || mark.starts_with("BAD") {
            is_good = false;
        } else if let Some(file) = mark.strip_prefix("GOOD") {
            let file = file.strip_prefix(": ").unwrap_or_default();
            let lines = Vec::new();
            found.push(Example { file, lines });
            is_good = true;
        } else if is_good && let Some(example) = found.last_mut() {
            example.lines.push(line);
        }
    }
    for example in &mut found {
        while example.lines.last().is_some_and(|line| line.is_empty()) {
            example.lines.pop();
        }
    }
    found
}

/// Whether these lines stand in the text one after the other, all of them indented by as much.
fn holds(text: &str, wanted: &[&str]) -> bool {
    let lines: Vec<_> = text.lines().collect();
    let indent = |line: &str| line.len() - line.trim_start().len();
    lines.windows(wanted.len().max(1)).any(|here| {
        let by = indent(here[0]).saturating_sub(indent(wanted[0]));
        let is_same = |(line, wanted): (&&str, &&str)| match wanted.is_empty() {
            true => line.is_empty(),
            false => **line == format!("{:by$}{wanted}", ""),
        };
        here.iter().zip(wanted).all(is_same)
    })
}

#[test]
fn every_good_example_stands_in_the_file_that_it_names() {
    let page = fs::read_to_string(root().join("docs/STYLE.md")).unwrap();
    let rules = page.split("\n### ").skip(1);
    let silent = rules.filter(|rule| good_examples(rule).is_empty());
    let mut wrong: Vec<_> = silent
        .map(|rule| format!("{} has no example", rule.lines().next().unwrap()))
        .collect();
    for Example { file, lines } in good_examples(&page) {
        let text = fs::read_to_string(root().join(file)).unwrap_or_default();
        if lines.is_empty() || !holds(&text, &lines) {
            wrong.push(format!("{file:?} does not hold:\n{}", lines.join("\n")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn an_example_differs_from_its_file_by_one_space_or_one_line() {
    let text = "fn a() {\n    if b {\n        c();\n\n        d();\n    }\n}\n";
    assert!(holds(text, &["if b {", "    c();", "", "    d();"]));
    assert!(!holds(text, &["if b {", "   c();"]));
    assert!(!holds(text, &["c();", "d();"]));
    assert!(!holds(text, &["e();"]));
}
