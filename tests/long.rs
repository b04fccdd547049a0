//! Tests that take minutes: `cargo xtask test --long`. `cargo test` leaves this target out.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "long/proxy.rs"]
mod proxy;
#[path = "long/slow_shop.rs"]
mod slow_shop;

use std::time::Duration;

use e2e::Sale;
use loadtest::check::Kind;
use loadtest::settings::Settings;
use loadtest::{Progress, Scenario, Size, Target, table};
use tokio::runtime::Runtime;

/// Minutes at a rate that a debug build bears; whether it grew slower is not asked here, where others work too.
#[test]
fn a_sale_of_three_minutes_ends_with_every_seat_sold_once_and_books_that_agree() {
    let settings = Settings {
        rate: 8.0,
        duration: Duration::from_secs(180),
        ramp: Duration::from_secs(5),
        seats: 4_500,
        ..Scenario::Soak.defaults(Size::Small)
    };
    let sale = Runtime::new().unwrap().block_on(Sale::open(2, 1));
    let urls = sale.stack.gateway_urls();
    let targets = urls.iter().map(|url| Target::parse(url).unwrap()).collect();
    let key = sale.stack.operator_key();
    let outcome = loadtest::run(&settings, targets, key, Progress::Silent).unwrap();
    let shown = table::lines(&outcome).join("\n");
    for check in outcome.checks.iter().filter(|it| it.kind == Kind::Correct) {
        assert!(check.kept, "{}\n{shown}", check.what);
    }
}
