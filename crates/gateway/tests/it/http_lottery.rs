//! A lottery over HTTP whose seed the operator keeps, until it is fixed who takes part.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gateway::queue::Seed;
use serde_json::{Value, json};
use testbed::eventually;

use crate::raw::Player;
use crate::test_app::{OPERATOR_KEY, PATIENCE, TestApp, refused, said, token, until};

const MAIN: &str = "/api/v1/queues/main";
const REVEAL: &str = "/api/v1/queues/main/lottery/reveal";
const PROOF: &str = "/api/v1/queues/main/lottery/proof";

#[actix_web::test]
async fn lots_are_given_out_when_the_operator_reveals_what_was_kept_and_not_before() {
    let app = TestApp::open().await;
    let seed = Seed::random();
    let opens_at = app.clock.now() + chrono::TimeDelta::seconds(60);
    app.rule(json!({
        "order": "lottery", "opensAt": chassis::time::rfc3339(opens_at), "maxActive": 1,
        "seedCommitment": seed.commitment(), "beacon": "drand, round 7",
    }))
    .await;
    let place = app.join().await;
    app.join().await;
    let lottery = async || said(app.get(MAIN)).await.1["lottery"].clone();
    let proof = || app.get(PROOF).bearer_auth(token(&place));
    let reveal = |body: Value| app.post(REVEAL).bearer_auth(OPERATOR_KEY).json(&body);
    let right = json!({ "seed": seed.published(), "beacon": "0f7a" });
    let not_fixed = (409, "LOTTERY_NOT_FIXED".to_owned());
    assert_eq!(refused(proof()).await, not_fixed.clone());
    assert_eq!(refused(reveal(right.clone())).await, not_fixed);
    assert_eq!(lottery().await["beacon"], "drand, round 7");
    app.clock.advance(Duration::from_secs(61));
    until(async || lottery().await["root"].is_string()).await;
    let fixed = lottery().await;
    assert_eq!(
        (&fixed["seed"], &fixed["entrants"]),
        (&Value::Null, &json!(2))
    );
    let (_, told) = app.poll(&place).await;
    assert_eq!(told["position"], Value::Null, "nobody is drawn yet");
    let late = app.join().await;
    let no_proof = app.get(PROOF).bearer_auth(token(&late));
    assert_eq!(
        refused(no_proof).await,
        (404, "LOTTERY_PROOF_UNKNOWN".to_owned())
    );
    let (status, own) = said(proof()).await;
    assert_eq!((status.as_u16(), &own["root"]), (200, &fixed["root"]));
    assert_eq!(
        (own["path"].as_array().unwrap().len(), &own["lot"]),
        (1, &Value::Null)
    );
    for odd in [
        json!({ "seed": seed.published() }),
        json!({ "beacon": "0f7a" }),
        json!({ "seed": Seed::random().published(), "beacon": "0f7a" }),
        json!({ "seed": "short", "beacon": "0f7a" }),
        json!({ "seed": seed.published(), "beacon": "with a space" }),
        json!({ "seed": seed.published(), "beacon": "0f7a", "more": 1 }),
    ] {
        let refusal = refused(reveal(odd.clone())).await;
        assert_eq!(refusal, (422, "BODY_INVALID".to_owned()), "{odd}");
    }
    let stranger = app.post(REVEAL).json(&right);
    assert_eq!(refused(stranger).await.0, 401);
    assert_eq!(said(reveal(right.clone())).await.0, 204);
    until(async || lottery().await["key"].is_string()).await;
    let drawn = lottery().await;
    let root = fixed["root"].as_str().unwrap();
    assert_eq!(drawn["key"], seed.key(root, "0f7a").published());
    assert_eq!(
        (&drawn["beaconValue"], &drawn["root"]),
        (&json!("0f7a"), &fixed["root"])
    );
    let again = refused(reveal(right)).await;
    assert_eq!(again, (409, "LOTTERY_DRAWN".to_owned()));
    assert!(said(proof()).await.1["lot"].is_u64());
    app.close().await;
}

#[actix_web::test]
async fn a_beacon_that_is_named_by_its_address_is_asked_when_it_is_fixed_who_takes_part() {
    let spoken = Arc::new(AtomicBool::new(false));
    let speaks = Arc::clone(&spoken);
    let beacon = Player::start(move |mut wire, _| {
        let speaks = Arc::clone(&speaks);
        async move {
            let head = wire.head().await;
            assert!(head.starts_with("GET /public/7 "), "{head}");
            let said = r#"{"round":7,"randomness":"0f7a","signature":"b2"}"#;
            let answer = match speaks.load(Ordering::SeqCst) {
                true => format!("200 OK\r\ncontent-length: {}\r\n\r\n{said}", said.len()),
                false => "404 Not Found\r\ncontent-length: 0\r\n\r\n".to_owned(),
            };
            wire.send(format!("HTTP/1.1 {answer}")).await;
        }
    })
    .await;
    let app = TestApp::with(&[("GATEWAY_BEACON_ORIGINS", &beacon.url)]).await;
    let opens_at = app.clock.now() + chrono::TimeDelta::seconds(60);
    let address = format!("{}/public/7", beacon.url);
    app.rule(json!({
        "order": "lottery", "opensAt": chassis::time::rfc3339(opens_at), "beacon": address,
    }))
    .await;
    let place = app.join().await;
    let lottery = async || said(app.get(MAIN)).await.1["lottery"].clone();
    assert_eq!(lottery().await["beacon"], address.as_str(), "public before");
    assert_eq!(beacon.connections(), 0, "nobody asks before the doors open");
    app.clock.advance(Duration::from_secs(61));
    eventually(PATIENCE, "two questions", async || {
        (beacon.connections() >= 2).then_some(())
    })
    .await;
    assert!(lottery().await["root"].is_string() && lottery().await["key"].is_null());
    spoken.store(true, Ordering::SeqCst);
    until(async || lottery().await["key"].is_string()).await;
    let drawn = lottery().await;
    let seed: Seed = drawn["seed"].as_str().unwrap().parse().unwrap();
    let key = seed.key(drawn["root"].as_str().unwrap(), "0f7a");
    assert_eq!(
        (&drawn["beaconValue"], &drawn["key"]),
        (&json!("0f7a"), &json!(key.published()))
    );
    until(async || app.poll(&place).await.1["state"] == "active").await;
    app.close().await;
}
