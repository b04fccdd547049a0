//! Browsers end with the test that started them.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;

use testbed::{Scratch, wait_for};

use crate::driver::{Browser, Drivers, PATIENCE};

/// Processes whose command line names this folder, where the profiles of browsers lie.
fn running(folder: &Path) -> usize {
    let folder = folder.display().to_string();
    testbed::processes(&[&folder]).unwrap().len()
}

#[test]
fn no_browser_outlives_a_test_that_panics() {
    let scratch = Scratch::new().unwrap();
    let folder = scratch.path().join("driver");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let test = || {
        let drivers = Drivers::new(folder.clone());
        let _browser = runtime.block_on(Browser::open(&drivers.url()));
        assert!(running(&folder) > 1, "a browser and its helpers");
        // As a panic, but without words on the terminal.
        resume_unwind(Box::new("what a test expected was not so"));
    };
    assert!(catch_unwind(AssertUnwindSafe(test)).is_err());
    wait_for("all browsers to end", PATIENCE, || {
        (running(&folder) == 0).then_some(())
    })
    .unwrap();
}
