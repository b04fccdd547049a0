//! The files of the checkout.

use std::fs;
use std::path::{Path, PathBuf};

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

/// Every file below `folder` with this ending, as its path from the top and its text.
pub fn files(folder: &str, ending: &str) -> Vec<(String, String)> {
    let mut found = checkout(&root().join(folder));
    found.retain(|path| path.extension().is_some_and(|it| it == ending));
    found.sort();
    let relative = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        (
            path.strip_prefix(root()).unwrap().display().to_string(),
            text,
        )
    };
    found.into_iter().map(relative).collect()
}

pub fn rust() -> Vec<(String, String)> {
    let mut all = files("crates", "rs");
    all.extend(files("tests", "rs"));
    all
}

/// Every file of the checkout that is not made by a build, as its path from the top.
pub fn checkout(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap_or_default();
        if path.is_dir() && name != "target" && name != ".git" {
            found.extend(checkout(&path));
        } else if path.is_file() {
            found.push(path);
        }
    }
    found
}
