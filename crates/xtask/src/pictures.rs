//! `cargo xtask pictures`: takes the pictures of `docs/img` anew, from running programs in the Chromium of the tests.
//!
//! `tests/pictures.txt` lists them; `tests/browser/pictures.rs` takes them. Only when all were taken is one replaced.

use std::fs;

use crate::failure::Failure;
use crate::packages::Purpose;
use crate::workspace::{cargo, root};
use crate::{Consent, packages, say};

const LIST: &str = include_str!("../../../tests/pictures.txt");
/// A page with all of them must be readable on the road.
const MOST_BYTES: u64 = 150_000;

/// Takes all, or none.
pub fn run(consent: Consent) -> Result<(), Failure> {
    packages::ensure(Purpose::Tests, consent)?;
    let taken = root().join("target/usher/pictures");
    if taken.exists() {
        fs::remove_dir_all(&taken)?;
    }
    let build = cargo(&["build", "--workspace", "--locked"]).status()?;
    let mut take = cargo(&["test", "--workspace", "--locked", "--test", "browser"]);
    let is_taken = build.success() && {
        take.args(["--", "--ignored", "--exact", "pictures::all_are_taken"]);
        take.status()?.success()
    };
    if !is_taken {
        let words = "the pictures could not be taken; those of docs/img are as they were";
        return Err(Failure::Failed(words.to_owned()));
    }
    for name in LIST.lines().filter_map(|line| line.split(' ').next()) {
        let bytes = fs::metadata(taken.join(format!("{name}.png")))?.len();
        if bytes > MOST_BYTES {
            return Err(Failure::Failed(format!(
                "{name}.png has {bytes} bytes, more than {MOST_BYTES}"
            )));
        }
    }
    for name in LIST.lines().filter_map(|line| line.split(' ').next()) {
        let file = format!("{name}.png");
        fs::copy(taken.join(&file), root().join("docs/img").join(&file))?;
    }
    say(
        "docs/img is new. Grafana's dashboards are not among them: Debian has no Grafana; `docker/compose.yaml` starts it.",
    );
    Ok(())
}
