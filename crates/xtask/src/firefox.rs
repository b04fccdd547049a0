//! `cargo xtask test --browser firefox`: what people see, in Firefox.
//!
//! Debian has no driver for it, so that is built once under `target/`. Scenarios that need what only Chromium has are left
//! out by name, and said.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use crate::failure::Failure;
use crate::say;
use crate::workspace::{cargo, root};

/// As crates.io has it.
const DRIVER: &str = "geckodriver@0.37.1";

/// Tests that are left out, with the reason.
const LEFT_OUT: [(&str, &str); 2] = [
    (
        "waiting::a_tab_that_slept_for_a_minute_enters_when_it_wakes",
        "only the DevTools protocol puts a tab to sleep",
    ),
    (
        "fit::nothing_is_wider_than_a_small_screen_or_one_at_twice_its_size",
        "Firefox shows no window of 320 pixels",
    ),
];

/// The tests of `tests/browser`, with what they need beside the packages.
pub fn tests() -> Result<Command, Failure> {
    let driver = driver()?;
    let mut tests = cargo(&["test", "--workspace", "--locked", "--test", "browser", "--"]);
    for (name, why) in LEFT_OUT {
        say(&format!("left out in Firefox: {name}: {why}"));
        tests.args(["--skip", name]);
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = driver.into_iter().chain(env::split_paths(&path));
    let path = env::join_paths(folders).map_err(|error| Failure::Failed(error.to_string()))?;
    tests.env("PATH", path).env("USHER_TEST_BROWSER", "firefox");
    Ok(tests)
}

/// The folder of the driver, which is built the first time; `None` where it is installed already.
fn driver() -> Result<Option<PathBuf>, Failure> {
    if testbed::find_program("geckodriver").is_ok() {
        return Ok(None);
    }
    let folder = root().join("target/geckodriver");
    if !folder.join("bin/geckodriver").exists() {
        say("building geckodriver under target/, once");
        let mut install = cargo(&["install", DRIVER, "--locked", "--debug", "--root"]);
        let built = install.arg(&folder).status();
        if !built.is_ok_and(|it| it.success()) {
            return Err(Failure::Failed(format!(
                "geckodriver, the driver of Firefox, cannot be had here: `cargo install {DRIVER}` failed, as it says above"
            )));
        }
    }
    Ok(Some(folder.join("bin")))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::LEFT_OUT;
    use crate::workspace::root;

    #[test]
    fn each_scenario_that_is_left_out_is_there() {
        for (name, _) in LEFT_OUT {
            let (module, test) = name.split_once("::").expect("a module and a test");
            let file = root().join(format!("tests/browser/{module}.rs"));
            let text = fs::read_to_string(file).expect("the module");
            assert!(text.contains(&format!("async fn {test}()")), "{name}");
        }
    }
}
