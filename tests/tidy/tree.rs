//! The files of the checkout.

use std::path::{Path, PathBuf};

pub use testbed::checkout as root;
use testbed::{files_below, texts_below};

/// Every file below `folder` with this ending, as its path from the top and its text.
pub fn files(folder: &str, ending: &str) -> Vec<(String, String)> {
    let relative = |(path, text): (PathBuf, String)| {
        let path = path.strip_prefix(root()).unwrap();
        (path.display().to_string(), text)
    };
    let found = texts_below(&root().join(folder), ending).unwrap();
    found.into_iter().map(relative).collect()
}

pub fn rust() -> Vec<(String, String)> {
    let mut all = files("crates", "rs");
    all.extend(files("tests", "rs"));
    all
}

/// Every file below a folder that is not made by a build.
pub fn checkout(folder: &Path) -> Vec<PathBuf> {
    files_below(folder).unwrap()
}
