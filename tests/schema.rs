//! schemathesis asks booking whatever its OpenAPI document allows and forbids: `cargo xtask test --long` installs and runs it.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::path::Path;
use std::process::Command;

use e2e::Sale;

#[tokio::test(flavor = "multi_thread")]
async fn the_document_of_booking_says_what_happens() {
    let program = std::env::var("USHER_SCHEMATHESIS").expect("the path of schemathesis");
    let sale = Sale::open(1, 50).await;
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut asking = Command::new(program);
    asking
        .current_dir(here.join("schemathesis"))
        .args(["--config-file", "checks.conf", "run"])
        .arg(here.join("../docs/openapi/booking.json"))
        .args(["--url", &sale.stack.booking_url()])
        .args(["--phases", "examples,coverage,fuzzing"])
        .args(["--max-examples", "20", "--seed", "1", "--no-color"])
        .env("SCHEMATHESIS_HOOKS", "hooks")
        .env("PYTHONPATH", ".")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("USHER_PASS_KEY", sale.stack.pass_key());
    let output = asking.output().expect("schemathesis runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    sale.assert_books_agree().await;
}
