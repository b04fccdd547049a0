//! Guards the rules that a program can check. One that is in the way is changed in `docs/` first, with its reason.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use syn::spanned::Spanned as _;
use syn::visit::Visit;

#[path = "tidy/circles.rs"]
mod circles;
#[path = "tidy/handlers.rs"]
mod handlers;
#[path = "tidy/places.rs"]
mod places;
#[path = "tidy/tree.rs"]
mod tree;

use places::ONLY_IN;
use tree::{checkout, files, root, rust};

const LONGEST_FILE: usize = 500;
const LONGEST_FUNCTION: usize = 70;

/// What stands at the top, and nothing else but files that begin with a dot.
const TOP: [&str; 11] = [
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "crates",
    "docker",
    "docs",
    "migrations",
    "target",
    "tests",
];

/// The code of a file without its unit tests, which stand at its end.
fn code(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap()
}

fn none(broken: &[String], rule: &str) {
    assert!(broken.is_empty(), "{rule}:\n  {}", broken.join("\n  "));
}

/// What cargo says, in the checkout and without asking anybody.
fn cargo(arguments: &[&str]) -> String {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(arguments).args(["--offline", "--locked"]);
    let output = cargo.current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn crates_know_each_other_one_way_only() {
    let allowed = BTreeMap::from([
        ("chassis", BTreeSet::new()),
        ("testbed", BTreeSet::new()),
        ("gateway", BTreeSet::from(["chassis"])),
        ("booking", BTreeSet::from(["chassis"])),
        ("storefront", BTreeSet::from(["chassis"])),
        ("kafka-stand-in", BTreeSet::new()),
        ("xtask", BTreeSet::from(["testbed"])),
        ("loadtest", BTreeSet::new()),
        ("bench", BTreeSet::from(["loadtest", "testbed"])),
        ("e2e", BTreeSet::from(["loadtest", "testbed"])),
    ]);
    let metadata = cargo(&["metadata", "--no-deps", "--format-version=1"]);
    let metadata: Value = serde_json::from_str(&metadata).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let name = |it: &Value| it["name"].as_str().unwrap().to_owned();
    let members: BTreeSet<_> = packages.iter().map(name).collect();
    assert!(
        members.iter().eq(allowed.keys()),
        "a crate has no rule: {members:?}"
    );
    let mut broken = Vec::new();
    for package in packages {
        for dependency in package["dependencies"].as_array().unwrap() {
            let (from, to) = (name(package), name(dependency));
            let for_tests = dependency["kind"] == "dev" && to == "testbed";
            let is_allowed = for_tests || allowed[from.as_str()].contains(to.as_str());
            if members.contains(&to) && !is_allowed {
                broken.push(format!("{from} depends on {to}"));
            }
        }
    }
    none(&broken, "dependencies against the one-way rules");
}

/// Otherwise `cargo xtask up` after `cargo xtask test` builds for minutes what is built already.
#[test]
fn services_are_built_with_the_same_dependencies_alone_and_with_all_tests() {
    let features = |selection: &[&str]| {
        let form = ["tree", "--prefix=none", "--format={p} {f}"];
        let tree = cargo(&[&form, selection].concat());
        let shared = tree.lines().filter(|line| !line.contains("(/"));
        let shared = shared.map(|line| line.trim_end_matches(" (*)").to_owned());
        shared.collect::<BTreeSet<_>>()
    };
    let services = ["-pgateway", "-pbooking", "-pstorefront", "-pkafka-stand-in"];
    let alone = features(&[&services[..], &["--edges=no-dev"]].concat());
    let with_tests = features(&["--workspace"]);
    let other: Vec<_> = alone.difference(&with_tests).cloned().collect();
    none(&other, "dependencies with other features than in tests");
}

#[test]
fn every_version_stands_in_the_workspace_and_every_crate_keeps_its_lints() {
    let mut broken = Vec::new();
    for (path, text) in files("crates", "toml")
        .into_iter()
        .chain(files("tests", "toml"))
        .filter(|(path, _)| path.ends_with("Cargo.toml"))
    {
        if !text.contains("[lints]\nworkspace = true") {
            broken.push(format!("{path}: no workspace lints"));
        }
        let own = text.lines().filter(|line| line.contains("version = \""));
        broken.extend(own.map(|line| format!("{path}: {line}")));
    }
    none(&broken, "manifests with a rule of their own");
}

#[test]
fn the_top_holds_what_it_should_and_nothing_else() {
    let entries = fs::read_dir(root()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let odd: Vec<_> = names
        .filter(|name| !name.starts_with('.') && !TOP.contains(&name.as_str()))
        .collect();
    none(&odd, "unknown at the top");
}

/// Runs of the load tool at their size, whose reports docs/LOAD.md shows.
const LOADS: &str = "join-burst poll story one-seat sell-out soak stress spike";

/// The only files that are no text, in `docs/img/`: the command that takes them goes by this list. Those of a load are
/// taken by hand, when all were run anew.
fn pictures() -> BTreeSet<PathBuf> {
    let list = include_str!("pictures.txt").lines();
    let names = list.map(|line| line.split(' ').next().unwrap().to_owned());
    let loads = LOADS.split(' ').map(|name| format!("load-{name}"));
    names
        .chain(loads)
        .map(|name| root().join(format!("docs/img/{name}.png")))
        .collect()
}

#[test]
fn the_pictures_of_the_docs_are_those_that_the_command_takes_and_each_is_shown() {
    let there: BTreeSet<_> = checkout(&root().join("docs/img")).into_iter().collect();
    assert_eq!(there, pictures(), "docs/img against tests/pictures.txt");
    let mut pages = files("docs", "md");
    let top = fs::read_to_string(root().join("README.md")).unwrap();
    pages.push(("README.md".to_owned(), top));
    let unseen = pictures().into_iter().filter(|picture| {
        let name = format!("img/{})", picture.file_name().unwrap().display());
        !pages.iter().any(|(_, text)| text.contains(&name))
    });
    let unseen: Vec<_> = unseen.map(|it| it.display().to_string()).collect();
    none(&unseen, "pictures that no page shows");
}

#[test]
fn every_file_is_a_text_but_the_pictures_of_the_docs_which_are_small() {
    let pictures = pictures();
    for picture in &pictures {
        let length = fs::metadata(picture).unwrap().len();
        assert!(
            length <= 150_000,
            "{} has {length} bytes",
            picture.display()
        );
    }
    let binary = checkout(&root()).into_iter().filter(|path| {
        let bytes = fs::read(path).unwrap();
        !pictures.contains(path) && (bytes.contains(&0) || std::str::from_utf8(&bytes).is_err())
    });
    let binary: Vec<_> = binary.map(|path| path.display().to_string()).collect();
    none(&binary, "files that are no text");
}

#[test]
fn every_file_of_docker_is_named_by_another_one() {
    let folder = root().join("docker");
    let mut texts: Vec<_> = checkout(&folder);
    texts.extend(checkout(&root().join("docs")));
    texts.extend(rust().into_iter().map(|(path, _)| root().join(path)));
    let texts: Vec<_> = texts
        .into_iter()
        .filter_map(|path| Some((fs::read_to_string(&path).ok()?, path)))
        .collect();
    let unnamed = checkout(&folder).into_iter().filter(|path| {
        let own = path.strip_prefix(&folder).unwrap();
        // A folder that is named names what is in it.
        let folders = own.ancestors().skip(1).filter(|it| *it != Path::new(""));
        let mut names: Vec<_> = folders.map(|it| format!("{}/", it.display())).collect();
        names.push(own.display().to_string());
        let is_named = |(text, by): &(String, PathBuf)| {
            by != path && names.iter().any(|name| text.contains(name))
        };
        own != Path::new("README.md") && !texts.iter().any(is_named)
    });
    let unnamed: Vec<_> = unnamed.map(|path| path.display().to_string()).collect();
    none(&unnamed, "files of docker/ that nothing names");
}

#[test]
fn no_file_is_longer_than_a_head_holds() {
    let long = rust().into_iter().filter_map(|(path, text)| {
        let lines = text.lines().count();
        (lines > LONGEST_FILE).then(|| format!("{path}: {lines} lines"))
    });
    none(
        &long.collect::<Vec<_>>(),
        "files over 500 lines; split by idea",
    );
}

/// Collects functions by their lines.
struct Functions {
    long: Vec<String>,
    odd: Vec<String>,
    path: String,
}

impl Functions {
    fn check(&mut self, name: &syn::Ident, body: &syn::Block) {
        let span = body.span();
        let lines = span.end().line - span.start().line + 1;
        if lines > LONGEST_FUNCTION {
            self.long
                .push(format!("{}: {name} has {lines} lines", self.path));
        }
        let text = name.to_string();
        if text.starts_with("handle_") || text.starts_with("do_") {
            self.odd.push(format!("{}: fn {name}", self.path));
        }
    }
}

impl<'ast> Visit<'ast> for Functions {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.check(&item.sig.ident, &item.block);
        syn::visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.check(&item.sig.ident, &item.block);
        syn::visit::visit_impl_item_fn(self, item);
    }
}

#[test]
fn no_function_is_longer_than_a_screen_and_none_has_an_empty_name() {
    let mut functions = Functions {
        long: Vec::new(),
        odd: Vec::new(),
        path: String::new(),
    };
    for (path, text) in rust() {
        functions.path.clone_from(&path);
        let file = syn::parse_file(&text).unwrap_or_else(|cause| panic!("{path}: {cause}"));
        functions.visit_file(&file);
    }
    none(&functions.long, "functions over 70 lines");
    none(&functions.odd, "names that say nothing");
}

#[test]
fn a_handler_takes_calls_one_verb_and_answers() {
    let files = rust().into_iter();
    let api = files.filter(|(path, _)| path.contains("/src/api"));
    let long = api.flat_map(|(path, text)| handlers::long(&path, &text));
    none(
        &long.collect::<Vec<_>>(),
        "handlers whose body has more than 12 lines",
    );
}

#[test]
fn files_are_named_after_what_they_own() {
    const EMPTY: [&str; 10] = [
        "util", "utils", "helper", "helpers", "common", "manager", "service", "impl", "misc", "mod",
    ];
    let odd = rust().into_iter().filter_map(|(path, _)| {
        let stem = Path::new(&path).file_stem()?.to_str()?.to_owned();
        EMPTY.contains(&stem.as_str()).then_some(path)
    });
    none(
        &odd.collect::<Vec<_>>(),
        "names that say nothing; `foo.rs` beside `foo/`",
    );
}

#[test]
fn every_module_says_what_it_owns() {
    let silent = rust()
        .into_iter()
        .filter(|(path, text)| !path.contains("/tests/") && !text.starts_with("//! "))
        .map(|(path, _)| path);
    none(
        &silent.collect::<Vec<_>>(),
        "modules without a doc comment at their top",
    );
}

/// The words of `tests/retired.txt`, each with the folders in which it is refused.
fn retired(list: &str) -> Vec<(String, Vec<String>)> {
    let lines = list.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let read = |line: &str| {
        let (word, places) = line.split_once("  ").unwrap();
        let folder = |place: &str| match place {
            "all" => String::new(),
            "tests" => "tests/".to_owned(),
            name => format!("crates/{name}/"),
        };
        let folders = places.split_whitespace().map(folder);
        (word.to_owned(), folders.collect())
    };
    lines.map(read).collect()
}

/// Whether the text holds this word, and not only as a part of another one.
fn holds(text: &str, word: &str) -> bool {
    let is_inside =
        |letter: Option<char>| letter.is_some_and(|it| it.is_alphanumeric() || it == '_');
    text.match_indices(word).any(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + word.len()..]);
        !is_inside(before.chars().next_back()) && !is_inside(after.chars().next())
    })
}

#[test]
fn only_a_whole_word_is_one() {
    assert!(holds("a leash.", "leash"));
    assert!(holds("unleash leash", "leash"));
    assert!(!holds("unleash a_leash leashes", "leash"));
    assert!(holds("waited in vain", "in vain"));
}

#[test]
fn retired_words_do_not_come_back() {
    let list = fs::read_to_string(root().join("tests/retired.txt")).unwrap();
    let words = retired(&list);
    let mut texts = rust();
    texts.extend(files("crates", "lua"));
    let mut broken = Vec::new();
    for (path, text) in texts.iter().filter(|(path, _)| path != "tests/tidy.rs") {
        for (word, folders) in &words {
            let refused = folders.iter().any(|folder| path.starts_with(folder));
            if refused && (holds(path, word) || holds(text, word)) {
                broken.push(format!("{path}: {word}"));
            }
        }
    }
    none(&broken, "retired words; tests/retired.txt says what to say");
}

#[test]
fn chassis_knows_nothing_of_what_the_services_are_about() {
    const SUBJECTS: [&str; 7] = [
        "ticket",
        "seat",
        "concert",
        "wallet",
        "queue",
        "booking",
        "reservation",
    ];
    let broken = files("crates/chassis", "rs")
        .into_iter()
        .flat_map(|(path, text)| {
            // A variable is called so by the specification of OpenTelemetry.
            let text = text.to_lowercase().replace("otel_bsp_max_queue_size", "");
            SUBJECTS
                .into_iter()
                .filter(move |subject| text.contains(subject))
                .map(move |subject| format!("{path}: {subject}"))
        });
    none(&broken.collect::<Vec<_>>(), "words of a service in chassis");
}

#[test]
fn what_has_one_place_stays_in_it() {
    let mut broken = Vec::new();
    for (path, text) in files("crates", "rs") {
        if path.contains("/tests/") {
            continue;
        }
        for (text_of_rule, places) in ONLY_IN {
            let allowed = places.iter().any(|place| path.starts_with(place));
            if !allowed && code(&text).contains(text_of_rule) {
                broken.push(format!("{path}: {text_of_rule}"));
            }
        }
    }
    none(&broken, "out of its place");
}

#[test]
fn nothing_is_left_open() {
    let marks = ["TODO", "FIXME", "XXX"];
    let open = rust()
        .into_iter()
        .filter(|(path, _)| path != "tests/tidy.rs")
        .flat_map(|(path, text)| {
            let found = marks.into_iter().filter(move |mark| text.contains(mark));
            found
                .map(move |mark| format!("{path}: {mark}"))
                .collect::<Vec<_>>()
        });
    none(&open.collect::<Vec<_>>(), "work left open");
}

#[test]
fn tests_wait_by_eventually_and_never_sleep() {
    // A wait of one's own: a pause, a loop that only lets others run, a deadline that is looked at by hand.
    const OWN: [&str; 4] = [
        "sleep(",
        "task::yield_now(",
        "Instant::now() < end",
        "Instant::now() < deadline",
    ];
    // One lets visitors come and go for a given time, and waits for nothing. One waits, with a deadline, in tasks that
    // move between threads, which the probe of `eventually` cannot. One sends an answer in pieces, and lets others run between
    // two of them.
    const FREE: [&str; 3] = [
        "crates/gateway/tests/it/churn.rs",
        "crates/gateway/tests/it/http_any_answer.rs",
        "crates/gateway/tests/it/store.rs",
    ];
    let is_test = |path: &str| path.contains("/tests/") || path.starts_with("tests/");
    let is_free = |path: &str| path == "tests/tidy.rs" || FREE.contains(&path);
    let texts = rust().into_iter();
    let texts = texts.filter(|(path, _)| is_test(path) && !is_free(path));
    let waiting = texts.flat_map(|(path, text)| {
        let found = OWN.into_iter().filter(|own| text.contains(own));
        found
            .map(|own| format!("{path}: {own}"))
            .collect::<Vec<_>>()
    });
    none(
        &waiting.collect::<Vec<_>>(),
        "waits without `eventually`, which has a deadline and says what it waited for",
    );
}

#[test]
fn tests_assert_and_do_not_print() {
    // A process that talks to the test that started it.
    const TALKS: &str = "crates/testbed/tests/servers.rs";
    let printing = rust().into_iter().filter_map(|(path, text)| {
        let is_test = path.contains("/tests/") || path.starts_with("tests/");
        let text = text.replace("eprintln!(", "");
        let prints = text.contains("println!(") && !path.ends_with("tidy.rs");
        (is_test && prints && path != TALKS).then_some(path)
    });
    none(
        &printing.collect::<Vec<_>>(),
        "tests that print in place of an assertion",
    );
}

#[test]
fn every_script_says_what_it_takes_and_checks_it() {
    let broken = files("crates", "lua")
        .into_iter()
        .filter_map(|(path, text)| {
            let said = text.starts_with("-- ") && text.contains("assert(");
            (!said).then_some(path)
        });
    none(
        &broken.collect::<Vec<_>>(),
        "scripts without a signature or an assert",
    );
}

#[test]
fn every_migration_can_be_undone() {
    let ups = files("migrations", "sql");
    for (path, _) in ups.iter().filter(|(path, _)| path.ends_with("up.sql")) {
        let down = path.replace("up.sql", "down.sql");
        assert!(
            ups.iter().any(|(other, _)| *other == down),
            "{path} has no {down}"
        );
    }
}
