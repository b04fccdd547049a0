//! The rules of a queue: what an operator may say.

use chassis::time::Timestamp;
use gateway::api::GatewayApi;
use gateway::queue::policy::{Policy, PolicyChange, State};
use serde_json::{Value, json};
use utoipa::OpenApi as _;

fn change(rules: Value) -> Result<Policy, String> {
    let change: PolicyChange = serde_json::from_value(rules).map_err(|e| e.to_string())?;
    Policy::default()
        .changed(&change)
        .map_err(|cause| cause.field.to_owned())
}

#[test]
fn a_rule_outside_its_range_is_refused_by_name() {
    let long = "ä".repeat(501);
    for (field, values) in [
        (
            "maxActive",
            vec![json!(0), json!(-1), json!(1_000_001), json!(i64::MAX)],
        ),
        (
            "admitPerSecond",
            vec![json!(0), json!(-1), json!(0.0009), json!(100_000.1)],
        ),
        ("leaseSeconds", vec![json!(0), json!(86_401)]),
        ("claimSeconds", vec![json!(0), json!(3_601)]),
        ("maxWaiting", vec![json!(0), json!(10_000_001)]),
        (
            "message",
            vec![json!(long), json!("a\u{0}"), json!("a\nb"), json!("\u{9b}")],
        ),
        (
            "opensAt",
            vec![json!("1999-12-31T23:59:59Z"), json!("2200-01-01T00:00:00Z")],
        ),
        ("title", vec![json!("ä".repeat(101)), json!("a\nb")]),
        ("beacon", vec![json!("ä".repeat(201)), json!("a\nb")]),
        ("logoUrl", vec![json!("a.example")]),
        ("homeUrl", vec![json!("//a.example")]),
        ("accentColor", vec![json!("red")]),
        ("seedCommitment", vec![json!("6f"), json!("")]),
    ] {
        for value in values {
            let refused = change(json!({ field: value })).expect_err(field);
            assert_eq!(refused, field, "{value}");
        }
    }
    assert_eq!(
        change(json!({ "state": "scheduled" })),
        Err("opensAt".to_owned())
    );
    assert_eq!(
        change(json!({ "order": "lottery" })),
        Err("opensAt".to_owned())
    );
    let nan = PolicyChange {
        admit_per_second: Some(f64::NAN.into()),
        ..PolicyChange::default()
    };
    assert!(Policy::default().changed(&nan).is_err());
}

#[test]
fn the_document_tells_the_very_ranges_of_whole_numbers_that_are_checked() {
    let document = serde_json::to_value(GatewayApi::openapi()).expect("a document");
    let told = &document["components"]["schemas"]["PolicyChange"]["properties"];
    let mut compared = Vec::new();
    for (field, told) in told.as_object().expect("rules") {
        let range = told["minimum"].as_i64().zip(told["maximum"].as_i64());
        let Some((least, most)) = range else { continue };
        for good in [least, most] {
            assert!(change(json!({ field: good })).is_ok(), "{field} {good}");
        }
        for odd in [least - 1, most + 1] {
            assert_eq!(change(json!({ field: odd })), Err(field.clone()), "{odd}");
        }
        compared.push(field.as_str());
    }
    compared.sort_unstable();
    let whole = [
        "claimSeconds",
        "idleSeconds",
        "leaseSeconds",
        "maxActive",
        "maxWaiting",
        "remaining",
        "targetLatencyMs",
    ];
    assert_eq!(compared, whole);
}

#[test]
fn every_rule_takes_the_ends_of_its_range() {
    for rules in [
        json!({ "maxActive": 1, "leaseSeconds": 1, "claimSeconds": 1, "maxWaiting": 1 }),
        json!({ "maxActive": 1_000_000, "leaseSeconds": 86_400, "claimSeconds": 3_600 }),
        json!({ "maxWaiting": 10_000_000, "admitPerSecond": 0.001 }),
        json!({ "admitPerSecond": 100_000, "message": "ä".repeat(500) }),
        json!({ "opensAt": "2030-01-01T09:00:00+09:00", "state": "scheduled" }),
        json!({}),
    ] {
        assert!(change(rules.clone()).is_ok(), "{rules}");
    }
}

#[test]
fn what_is_no_rule_is_refused() {
    for rules in [
        json!({ "maxActiv": 1 }),
        json!({ "maxActive": 1.5 }),
        json!({ "maxActive": "1" }),
        json!({ "state": "ajar" }),
        json!({ "opensAt": "tomorrow" }),
        json!([]),
        json!(["open"]),
        json!(null),
    ] {
        assert!(change(rules.clone()).is_err(), "{rules}");
    }
}

#[test]
fn a_rule_that_is_not_named_stays_and_null_takes_back() {
    let named = json!({ "message": "soon", "opensAt": "2030-01-01T00:00:00Z", "maxActive": 3 });
    let first = change(named).expect("good rules");
    let change: PolicyChange =
        serde_json::from_value(json!({ "message": null, "state": "paused" })).expect("rules");
    let next = first.changed(&change).expect("good rules");
    assert_eq!((next.message, next.max_active), (None, 3));
    assert_eq!((next.opens_at, next.state), (first.opens_at, State::Paused));
}

#[test]
fn open_with_an_instant_is_scheduled_and_without_one_opens_at_once() {
    let at = "2030-01-01T00:00:00Z";
    let scheduled = change(json!({ "opensAt": at })).expect("good rules");
    assert_eq!(scheduled.state, State::Scheduled);
    assert_eq!(
        scheduled.opens_at,
        Some(at.parse::<Timestamp>().expect("an instant"))
    );
    let open: PolicyChange = serde_json::from_value(json!({ "state": "open" })).expect("rules");
    let opened = scheduled.changed(&open).expect("good rules");
    assert_eq!((opened.state, opened.opens_at), (State::Open, None));
}

#[test]
fn a_rate_is_kept_to_three_decimals_and_never_rounded_up() {
    for (wanted, kept) in [(0.29, 0.29), (0.5, 0.5), (2.0 / 3.0, 0.666), (40.5, 40.5)] {
        let policy = change(json!({ "admitPerSecond": wanted })).expect("good rules");
        assert_eq!(policy.admit_per_second, kept.into());
    }
}
