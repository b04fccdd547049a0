//! Small versions of three load scenarios on real processes. What is right is asserted, how fast it was never.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::fs;
use std::path::Path;
use std::time::Duration;

use e2e::Sale;
use loadtest::check::Kind;
use loadtest::settings::Settings;
use loadtest::{Class, Outcome, Progress, Scenario, Size, Step, Target, machine, report, table};
use tokio::runtime::Runtime;

/// Runs a scenario through so many gateways; everything that is right on any machine must hold.
fn check(settings: &Settings, gateways: u16) -> Outcome {
    let sale = Runtime::new().unwrap().block_on(Sale::open(gateways, 1));
    let urls = sale.stack.gateway_urls();
    let targets = urls.iter().map(|url| Target::parse(url).unwrap()).collect();
    let outcome = loadtest::run(
        settings,
        targets,
        sale.stack.operator_key(),
        Progress::Silent,
    )
    .unwrap();
    let shown = table::lines(&outcome).join("\n");
    let right = outcome
        .checks
        .iter()
        .filter(|check| check.kind == Kind::Correct);
    assert!(right.clone().count() >= 3, "{shown}");
    right.for_each(|check| assert!(check.kept, "{}\n{shown}", check.what));
    outcome
}

#[test]
fn visitors_who_come_one_after_the_other_all_get_their_seats() {
    let settings = Settings {
        rate: 20.0,
        duration: Duration::from_secs(2),
        ramp: Duration::ZERO,
        seats: 200,
        think: Duration::from_millis(20),
        ..Scenario::Story.defaults(Size::Small)
    };
    let outcome = check(&settings, 2);
    let [join, pay] = [Step::Join, Step::Pay].map(|step| outcome.record.step(step));
    assert!(join.of(Class::Success) > 10);
    assert_eq!(pay.of(Class::Success), join.of(Class::Success));
    // The report of a real run is a page too.
    let page = report::page(&report::json(&outcome, &machine::facts(), "2026-05-01"));
    assert!(page.contains("seats sold, each once") && page.ends_with("</html>\n"));
}

#[test]
fn of_two_hundred_one_gets_the_seat_and_pays_for_it() {
    let settings = Settings {
        users: 200,
        ..Scenario::OneSeat.defaults(Size::Small)
    };
    let outcome = check(&settings, 1);
    let reserve = outcome.record.step(Step::Reserve);
    assert_eq!(
        (reserve.of(Class::Success), reserve.of(Class::Refusal)),
        (1, 199)
    );
    assert_eq!(outcome.record.step(Step::Pay).of(Class::Success), 1);
}

#[test]
fn a_crowd_buys_every_seat_once_and_the_rest_hear_that_nothing_is_left() {
    let settings = Settings {
        users: 200,
        seats: 50,
        ramp: Duration::from_secs(1),
        think: Duration::from_millis(5),
        max_active: 40,
        ..Scenario::SellOut.defaults(Size::Small)
    };
    let outcome = check(&settings, 1);
    assert!(
        outcome.record.step(Step::Leave).count() > 100,
        "most found nothing left"
    );
}

#[test]
fn the_help_of_the_command_lists_every_scenario() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let help = fs::read_to_string(root.join("crates/xtask/src/load.rs")).unwrap();
    for scenario in Scenario::ALL {
        let line = format!("  {:<11} {}\n", scenario.name(), scenario.about());
        assert!(help.contains(&line), "{line}");
        for flag in scenario.flags() {
            assert!(help.contains(&format!("--{flag} ")), "{flag}");
        }
    }
}
