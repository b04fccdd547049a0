//! What an operator can do, and what everybody sees of it.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::test_app::{OPERATOR_KEY, TestApp, refused, said, until};

const MAIN: &str = "/api/v1/queues/main";

#[actix_web::test]
async fn everybody_sees_the_status_of_a_queue() {
    let app = TestApp::open().await;
    let answer = app.get(MAIN).send().await.unwrap();
    assert_eq!(answer.headers()["cache-control"], "public, max-age=1");
    let status: Value = answer.json().await.unwrap();
    assert_eq!(status["queue"], "main");
    assert_eq!(status["state"], "open");
    assert_eq!(status["order"], "fifo");
    for member in ["opensAt", "message"] {
        assert_eq!(status[member], Value::Null, "{member}");
    }
    for member in [
        "waiting",
        "active",
        "maxActive",
        "admittedLastMinute",
        "epoch",
    ] {
        assert!(status[member].is_u64(), "{member}");
    }
    assert!(status["admitPerSecond"].is_number());
    let (_, list) = said(app.get("/api/v1/queues")).await;
    assert_eq!(list["items"][0]["queue"], "main");
    assert_eq!(list["nextCursor"], Value::Null);
    app.close().await;
}

#[actix_web::test]
async fn an_operator_creates_changes_and_removes_a_queue_and_each_act_is_remembered() {
    let app = TestApp::open().await;
    let vip = "/api/v1/queues/vip";
    let (status, made) = said(app.put(vip, &json!({ "maxActive": 7 }))).await;
    assert_eq!((status.as_u16(), &made["maxActive"]), (201, &json!(7)));
    let (status, changed) = said(app.put(vip, &json!({ "admitPerSecond": 0.5 }))).await;
    assert_eq!(status, 200);
    assert_eq!(changed["maxActive"], 7, "what is not named stays");
    assert_eq!(changed["admitPerSecond"], 0.5);
    assert_eq!(said(app.get(vip)).await.0, 200);
    let audit = |query: &str| {
        let path = format!("/api/v1/queues/vip/audit?{query}");
        app.get(&path).bearer_auth(OPERATOR_KEY)
    };
    let (_, page) = said(audit("limit=1")).await;
    assert_eq!(page["items"][0]["by"], "ann");
    assert_eq!(page["items"][0]["before"]["admitPerSecond"], 50.0);
    let cursor = page["nextCursor"].as_str().unwrap();
    let (_, rest) = said(audit(&format!("cursor={cursor}"))).await;
    assert_eq!(rest["items"].as_array().unwrap().len(), 1);
    assert_eq!(rest["items"][0]["before"], Value::Null);
    let removal = || app.delete(vip).bearer_auth(OPERATOR_KEY);
    assert_eq!(said(removal()).await.0, 204);
    assert_eq!(refused(removal()).await, (404, "QUEUE_UNKNOWN".to_owned()));
    assert_eq!(
        refused(app.get(vip)).await,
        (404, "QUEUE_UNKNOWN".to_owned())
    );
    app.close().await;
}

#[actix_web::test]
async fn a_change_at_one_gateway_is_soon_in_force_at_the_other_which_tells_who_made_it() {
    const BOB: &str = "bobs-key-for-the-tests";
    let digest = Sha256::digest(BOB);
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let keys = format!("ann:{OPERATOR_KEY},bob:sha256={digest}");
    let app = TestApp::with(&[("GATEWAY_OPERATOR_KEYS", &keys)]).await;
    let twin = app.twin().await;
    let (_, before) = said(twin.get(MAIN)).await;
    assert_eq!(
        (&before["state"], &before["maxActive"]),
        (&json!("open"), &json!(100))
    );
    let change = json!({ "state": "paused", "message": "Back at noon" });
    let put = app.client.put(format!("{}{MAIN}", app.url));
    assert_eq!(said(put.bearer_auth(BOB).json(&change)).await.0, 200);
    // Nobody is let in from this instant on, also by a gateway that has not heard of it.
    let place = twin.join().await;
    assert_eq!(place["state"], "waiting");
    until(async || said(twin.get(MAIN)).await.1["state"] == "paused").await;
    let (_, told) = twin.poll(&place).await;
    assert_eq!(
        (&told["paused"], &told["message"]),
        (&json!(true), &json!("Back at noon"))
    );

    let audit = twin
        .get("/api/v1/queues/main/audit")
        .bearer_auth(OPERATOR_KEY);
    let (_, audit) = said(audit).await;
    let entry = &audit["items"][0];
    assert_eq!(entry["by"], "bob");
    assert_eq!(
        (&entry["before"]["state"], &entry["after"]["state"]),
        (&json!("open"), &json!("paused"))
    );
    assert_eq!(entry["after"]["message"], "Back at noon");
    let at = entry["at"]
        .as_str()
        .unwrap()
        .parse::<chrono::DateTime<chrono::Utc>>();
    assert!((app.clock.now() - at.unwrap()).num_seconds().abs() < 60);
    twin.close().await;
    app.close().await;
}

#[actix_web::test]
async fn without_an_operators_key_nothing_is_changed() {
    let app = TestApp::open().await;
    let body = json!({ "maxActive": 1 });
    let put = || app.client.put(format!("{}{MAIN}", app.url)).json(&body);
    let place = app.join().await;
    let token = place["token"].as_str().unwrap();
    for request in [
        put(),
        put().bearer_auth("an-operator-key-for-test"),
        put().bearer_auth(token),
        put().header("Authorization", format!("Basic {OPERATOR_KEY}")),
        app.delete(MAIN),
        app.get("/api/v1/queues/main/audit"),
        app.post("/api/v1/admin/concerts").json(&body),
    ] {
        assert_eq!(
            refused(request).await,
            (401, "OPERATOR_KEY_INVALID".to_owned())
        );
    }
    let (_, status) = said(app.get(MAIN)).await;
    assert_eq!(status["maxActive"], 100);
    app.close().await;
}

#[actix_web::test]
async fn a_rule_out_of_its_range_changes_nothing() {
    let app = TestApp::open().await;
    for body in [
        json!({ "maxActive": 0 }),
        json!({ "maxActive": -1 }),
        json!({ "maxActive": 1.5 }),
        json!({ "maxActive": "1" }),
        json!({ "admitPerSecond": 0 }),
        json!({ "admitPerSecond": 1e9 }),
        json!({ "leaseSeconds": 0 }),
        json!({ "claimSeconds": 0 }),
        json!({ "maxWaiting": 0 }),
        json!({ "state": "ajar" }),
        json!({ "state": "scheduled" }),
        json!({ "message": "a\u{0}b" }),
        json!({ "message": "x".repeat(501) }),
        json!({ "opensAt": "tomorrow" }),
        json!({ "maxActiv": 1 }),
        json!([]),
    ] {
        let refusal = refused(app.put(MAIN, &body)).await;
        assert_eq!(refusal, (422, "BODY_INVALID".to_owned()), "{body}");
    }
    let odd_name = refused(app.put("/api/v1/queues/-x", &json!({}))).await;
    assert_eq!(odd_name, (400, "PATH_INVALID".to_owned()));
    let (_, status) = said(app.get(MAIN)).await;
    assert_eq!(status["maxActive"], 100);
    app.close().await;
}

#[actix_web::test]
async fn a_closed_queue_takes_nobody_and_a_full_one_says_when_to_come_back() {
    let app = TestApp::open().await;
    let join = || {
        let body = json!({ "userId": Uuid::new_v4() });
        app.post("/api/v1/queues/main/tokens").json(&body)
    };
    app.rule(json!({ "state": "closed" })).await;
    assert_eq!(refused(join()).await, (403, "QUEUE_CLOSED".to_owned()));
    app.rule(json!({ "state": "paused", "maxWaiting": 1 }))
        .await;
    let waiting = app.join().await;
    assert_eq!(
        (&waiting["state"], &waiting["paused"]),
        (&json!("waiting"), &json!(true))
    );
    assert_eq!(waiting["etaSeconds"], Value::Null);
    let full = join().send().await.unwrap();
    assert_eq!(full.status(), 503);
    assert!(full.headers().contains_key("retry-after"));
    assert_eq!(full.json::<Value>().await.unwrap()["code"], "QUEUE_FULL");
    app.close().await;
}

#[actix_web::test]
async fn a_lottery_shows_its_commitment_before_and_its_seed_after_the_doors_open() {
    let app = TestApp::open().await;
    let opens_at = app.clock.now() + chrono::TimeDelta::seconds(60);
    let opens_at = chassis::time::rfc3339(opens_at);
    let rule =
        json!({ "order": "lottery", "state": "scheduled", "opensAt": opens_at, "maxActive": 1 });
    app.rule(rule).await;
    let mut tickets = BTreeSet::new();
    for _ in 0..5 {
        let early = app.join().await;
        assert_eq!(
            (&early["state"], &early["position"]),
            (&json!("scheduled"), &Value::Null)
        );
        tickets.insert(early["ticketNumber"].as_u64().unwrap());
    }
    let (_, before) = said(app.get(MAIN)).await;
    let commitment = before["lottery"]["commitment"].as_str().unwrap();
    assert_eq!(before["lottery"]["seed"], Value::Null);
    let list = "/api/v1/queues/main/lottery?limit=2";
    let (status, page) = said(app.get(list)).await;
    assert_eq!((status.as_u16(), &page["items"]), (200, &json!([])));
    app.clock.advance(std::time::Duration::from_secs(61));
    until(async || said(app.get(MAIN)).await.1["lottery"]["seed"].is_string()).await;
    let (_, after) = said(app.get(MAIN)).await;
    let seed = after["lottery"]["seed"].as_str().unwrap();
    let digest = Sha256::digest(seed);
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(digest, commitment);
    assert_eq!(after["lottery"]["entrants"], 5);
    let (mut drawn, mut cursor) = (Vec::new(), String::new());
    loop {
        let (status, page) = said(app.get(&format!("{list}{cursor}"))).await;
        assert_eq!(status, 200, "{page}");
        drawn.extend(page["items"].as_array().unwrap().clone());
        let Some(next) = page["nextCursor"].as_str() else {
            break;
        };
        cursor = format!("&cursor={next}");
    }
    assert!(
        (4..=5).contains(&drawn.len()),
        "one may be inside: {drawn:?}"
    );
    let lots: Vec<_> = drawn.iter().map(|it| it["lot"].as_u64().unwrap()).collect();
    assert!(lots.is_sorted());
    assert!(
        drawn
            .iter()
            .all(|it| tickets.contains(&it["ticketNumber"].as_u64().unwrap()))
    );
    let odd = app.get("/api/v1/queues/main/lottery?cursor=x");
    assert_eq!(refused(odd).await, (400, "QUERY_INVALID".to_owned()));
    app.close().await;
}

#[actix_web::test]
async fn a_scheduled_queue_lets_visitors_wait_until_it_opens() {
    let app = TestApp::open().await;
    let opens_at = app.clock.now() + chrono::TimeDelta::seconds(60);
    let rule = json!({ "state": "scheduled", "opensAt": chassis::time::rfc3339(opens_at) });
    app.rule(rule).await;
    let early = app.join().await;
    assert_eq!(early["state"], "scheduled");
    assert_eq!(early["position"], 1);
    app.clock.advance(std::time::Duration::from_secs(61));
    until(async || app.poll(&early).await.1["state"] == "active").await;
    app.close().await;
}
