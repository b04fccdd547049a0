//! The policy over HTTP: looked at, given back, changed by several at once, and by whom.

use std::time::Duration;

use futures_util::future::join_all;
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use testbed::{Scratch, eventually};

use crate::test_app::{
    OPERATOR_KEY, PASS_SECRET, SECRET, TestApp, TestGateway, payload, refused, said,
};

const MAIN: &str = "/api/v1/queues/main";
const POLICY: &str = "/api/v1/queues/main/policy";

/// The rules and their tag.
async fn look(app: &TestApp) -> (Value, String) {
    let answer = app
        .get(POLICY)
        .bearer_auth(OPERATOR_KEY)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let tag = answer.headers()["etag"].to_str().unwrap().to_owned();
    assert!(
        tag.starts_with('"') && tag.ends_with('"'),
        "{tag} is strong"
    );
    (answer.json().await.unwrap(), tag)
}

#[actix_web::test]
async fn what_a_look_at_the_policy_gave_may_be_put_back() {
    let app = TestApp::open().await;
    let opens_at = "2031-01-02T03:04:05.678Z";
    app.rule(json!({ "state": "scheduled", "opensAt": opens_at, "message": "soon" }))
        .await;
    let (rules, tag) = look(&app).await;
    assert_eq!(
        (&rules["opensAt"], &rules["queue"]),
        (&json!(opens_at), &json!("main"))
    );
    for member in [
        "state",
        "order",
        "maxActive",
        "admitPerSecond",
        "leaseSeconds",
        "maxWaiting",
    ] {
        assert!(!rules[member].is_null(), "{member}");
    }
    let put = app.put(MAIN, &rules).send().await.unwrap();
    assert_eq!(put.status(), 200);
    assert_eq!(
        put.headers()["etag"],
        tag.as_str(),
        "nothing is changed by it"
    );
    let put: Value = put.json().await.unwrap();
    assert_eq!(put, rules);
    let mut other = rules.clone();
    other["queue"] = "vip".into();
    assert_eq!(refused(app.put(MAIN, &other)).await.0, 422);
    app.close().await;
}

#[actix_web::test]
async fn a_change_is_made_only_to_the_rules_that_were_seen() {
    let app = TestApp::open().await;
    let changed = (412, "POLICY_CHANGED".to_owned());
    let put = |tag: &str, most: u64| {
        let change = app.put(MAIN, &json!({ "maxActive": most }));
        change.header("If-Match", tag)
    };
    let (_, seen) = look(&app).await;
    assert_eq!(said(put(&seen, 7)).await.0, 200);
    assert_eq!(refused(put(&seen, 8)).await, changed.clone());
    let (rules, now) = look(&app).await;
    assert_eq!(rules["maxActive"], 7);
    assert_eq!(refused(put(&format!("W/{now}"), 8)).await, changed.clone());
    assert_eq!(refused(put("nonsense", 8)).await, changed.clone());
    assert_eq!(said(put(&format!("{seen}, {now}"), 8)).await.0, 200);
    assert_eq!(said(put("*", 9)).await.0, 200);
    let none = app
        .put("/api/v1/queues/none", &json!({}))
        .header("If-Match", "*");
    assert_eq!(refused(none).await, changed);
    app.close().await;
}

#[actix_web::test]
async fn operators_who_change_the_same_queue_at_once_are_all_answered_and_none_is_lost() {
    let app = TestApp::open().await;
    let twin = app.twin().await;
    let change = |number: u64| {
        let at = if number.is_multiple_of(2) {
            &*app
        } else {
            &twin
        };
        at.put(MAIN, &json!({ "maxActive": 1_000 + number }))
    };
    let answers = join_all((0..60).map(|number| said(change(number)))).await;
    for (status, said) in answers {
        assert_eq!(status, 200, "{said}");
    }
    let audit = app.get("/api/v1/queues/main/audit?limit=200");
    let (_, audit) = said(audit.bearer_auth(OPERATOR_KEY)).await;
    let entries = audit["items"].as_array().unwrap();
    assert_eq!(entries.len(), 61, "one for each and the start");
    for pair in entries.windows(2) {
        assert_eq!(
            pair[0]["before"], pair[1]["after"],
            "each follows the one before"
        );
    }
    twin.close().await;
    app.close().await;
}

#[actix_web::test]
async fn null_takes_back_what_may_be_absent_and_is_refused_for_all_else() {
    let app = TestApp::open().await;
    app.rule(json!({ "message": "soon" })).await;
    app.rule(json!({ "message": null })).await;
    assert_eq!(look(&app).await.0["message"], Value::Null);
    for (member, odd) in [
        ("maxActive", Value::Null),
        ("state", Value::Null),
        ("order", Value::Null),
        ("admitPerSecond", Value::Null),
        ("leaseSeconds", Value::Null),
        ("claimSeconds", Value::Null),
        ("maxWaiting", Value::Null),
        ("maxActive", json!("1")),
        ("maxActive", json!(1.5)),
        ("maxActive", json!([1])),
        ("maxActive", json!(true)),
        ("maxActive", json!(u64::MAX)),
        ("state", json!(1)),
        ("message", json!(1)),
        ("opensAt", json!(1_764_000_000)),
    ] {
        let refusal = refused(app.put(MAIN, &json!({ member: odd }))).await;
        assert_eq!(refusal, (422, "BODY_INVALID".to_owned()), "{member} {odd}");
    }
    app.close().await;
}

#[actix_web::test]
async fn a_key_is_good_for_its_rights_alone_and_the_services_behind_hear_of_them() {
    const READS: &str = "only-reads-0123456789";
    const STEERS: &str = "only-steers-0123456789";
    let keys = format!("ann:{OPERATOR_KEY},eve:{READS}:read+desk,bob:{STEERS}:queue");
    let app = TestApp::with(&[("GATEWAY_OPERATOR_KEYS", &keys)]).await;
    let look = |key: &str| app.get(POLICY).bearer_auth(key);
    let put = |key: &str| {
        let put = app.client.put(format!("{}{MAIN}", app.url));
        put.bearer_auth(key).json(&json!({ "maxActive": 7 }))
    };
    let missing = async |request: RequestBuilder| {
        let (status, said) = said(request).await;
        assert_eq!(
            (status.as_u16(), &said["code"]),
            (403, &json!("RIGHT_MISSING"))
        );
        said["right"].as_str().unwrap().to_owned()
    };
    assert_eq!(said(look(READS)).await.0, 200);
    assert_eq!(missing(put(READS)).await, "queue");
    assert_eq!(missing(app.delete(MAIN).bearer_auth(READS)).await, "queue");
    assert_eq!(said(put(STEERS)).await.0, 200);
    assert_eq!(missing(look(STEERS)).await, "read");
    let audit = app.get("/api/v1/queues/main/audit").bearer_auth(STEERS);
    assert_eq!(missing(audit).await, "read");
    // However often: who asks again and again pushes nothing out of the record.
    for _ in 0..30 {
        assert_eq!(missing(put(READS)).await, "queue");
        assert_eq!(missing(look(STEERS)).await, "read");
    }
    refusals_are_in_the_record(&app).await;
    let rights = async |key: &str| {
        let (_, sent) = said(app.get("/api/v1/admin/outbox").bearer_auth(key)).await;
        let pass = payload(sent["headers"]["x-usher-pass"][0].as_str().unwrap());
        (pass["sub"].clone(), pass["rights"].clone())
    };
    let all = (json!("operator:ann"), Value::Null);
    assert_eq!(rights(OPERATOR_KEY).await, all);
    assert_eq!(
        rights(READS).await,
        (json!("operator:eve"), json!(["read", "desk"]))
    );
    app.close().await;
}

/// Those of eve's and bob's, before and after bob's one change.
async fn refusals_are_in_the_record(app: &TestApp) {
    let audit = app.get("/api/v1/queues/main/audit");
    let (status, record) = said(audit.bearer_auth(OPERATOR_KEY)).await;
    assert_eq!(status, 200, "{record}");
    let entries = record["items"].as_array().unwrap().iter();
    let told = entries.map(|it| (it["by"].as_str().unwrap(), it["effect"].clone()));
    let refused = |right: &str, times| json!({ "refused": right, "times": times });
    let expected = [
        ("bob", refused("read", 32)),
        ("eve", refused("queue", 30)),
        ("bob", Value::Null),
        ("eve", refused("queue", 2)),
        ("start", Value::Null),
    ];
    assert_eq!(told.collect::<Vec<_>>(), expected, "{record}");
    let unchanged = record["items"].as_array().unwrap()[0].clone();
    assert_eq!(unchanged["before"], unchanged["after"]);
    // Of a queue that there is not nothing is kept.
    let none = app.delete("/api/v1/queues/none");
    let none = none.bearer_auth("only-reads-0123456789");
    assert_eq!(
        crate::test_app::refused(none).await,
        (403, "RIGHT_MISSING".to_owned())
    );
    let audit = app
        .get("/api/v1/queues/none/audit")
        .bearer_auth(OPERATOR_KEY);
    assert_eq!(crate::test_app::refused(audit).await.0, 404);
}

/// Waits, ten seconds at most, until a gateway tells that so many others have other settings.
async fn tells_of(gateway: &TestGateway, others: u8) {
    eventually(Duration::from_secs(10), "the warning", async || {
        let told = gateway.metric("usher_settings_differ").await;
        (told == Some(f64::from(others))).then_some(())
    })
    .await;
}

#[actix_web::test]
async fn gateways_with_other_keys_queues_or_identity_warn_each_other_within_ten_seconds() {
    let app = TestApp::open().await;
    let twin = app.twin().await;
    tells_of(&twin, 0).await;
    let scratch = Scratch::new().unwrap();
    let queues = scratch.path().join("queues.toml");
    std::fs::write(&queues, "[main]\nmaxActive = 7\n").unwrap();
    let keys = format!("k1:{PASS_SECRET}");
    let mut odd = Vec::new();
    for (before, variable) in (0..).zip([
        ("GATEWAY_IDENTITY", "anonymous"),
        ("GATEWAY_TOKEN_KEYS", &keys),
        ("GATEWAY_PASS_KEY", SECRET),
        ("GATEWAY_QUEUES", queues.to_str().unwrap()),
    ]) {
        let another = app.twin_with(&[variable]).await;
        tells_of(&another, before + 2).await;
        tells_of(&app, before + 1).await;
        tells_of(&twin, before + 1).await;
        odd.push(another);
    }
    odd.push(twin);
    join_all(odd.into_iter().map(TestGateway::close)).await;
    app.close().await;
}

#[actix_web::test]
async fn everybody_sees_how_fair_a_queue_is() {
    let app = TestApp::open().await;
    app.rule(json!({ "maxActive": 1 })).await;
    for _ in 0..3 {
        app.join().await;
    }
    let answer = app
        .get("/api/v1/queues/main/fairness")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["cache-control"], "public, max-age=1");
    let fairness: Value = answer.json().await.unwrap();
    for member in [
        "inversions",
        "capOvershoot",
        "rateOvershoot",
        "promises",
        "promisesKept",
        "noShows",
        "parked",
    ] {
        assert_eq!(fairness[member], 0, "{member}");
    }
    let since = fairness["since"].as_str().unwrap();
    assert!(since.parse::<chrono::DateTime<chrono::Utc>>().is_ok());
    let none = refused(app.get("/api/v1/queues/none/fairness")).await;
    assert_eq!(none, (404, "QUEUE_UNKNOWN".to_owned()));
    app.close().await;
}
