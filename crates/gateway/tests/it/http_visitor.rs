//! What a visitor sees over HTTP: joining, looking, leaving, and every bad token.

use std::time::Duration;

use gateway::token::{Claims, KeyRing};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::test_app::{
    OLD_SECRET, PASS_SECRET, PATIENCE, SECRET, TestApp, refused, said, token, until,
};

const TOKENS: &str = "/api/v1/queues/main/tokens";
const ME: &str = "/api/v1/queues/main/tokens/me";

#[actix_web::test]
async fn the_first_visitor_is_inside_at_once_and_the_next_waits_with_an_honest_place() {
    let app = TestApp::open().await;
    app.rule(json!({ "maxActive": 1 })).await;
    let inside = app.join().await;
    assert_eq!(inside["state"], "active");
    assert_eq!(
        (&inside["position"], &inside["ahead"]),
        (&json!(0), &json!(0))
    );
    let expires = inside["expiresInSeconds"].as_u64().unwrap();
    assert!((50..=60).contains(&expires), "a claim: {expires}");
    let claimed = app.poll(&inside).await.1["expiresInSeconds"].as_u64();
    assert!((410..=420).contains(&claimed.unwrap()), "{claimed:?}");
    let first = app.join().await;
    let second = app.join().await;
    assert_eq!(first["state"], "waiting");
    assert_eq!(
        (&second["position"], &second["ahead"]),
        (&json!(2), &json!(1))
    );
    assert!(first["ticketNumber"].as_u64() < second["ticketNumber"].as_u64());
    assert!(second["waiting"].as_u64() >= Some(2));
    let (status, place) = app.poll(&second).await;
    assert_eq!(status, 200);
    assert_eq!(place["position"], 2);
    assert_eq!(
        place["token"],
        Value::Null,
        "a token is shown on issue alone"
    );
    assert_eq!(place["ticketNumber"], second["ticketNumber"]);
    app.close().await;
}

#[actix_web::test]
async fn joining_again_gives_the_same_place_and_a_fresh_token() {
    let app = TestApp::open().await;
    let body = json!({ "userId": Uuid::new_v4() });
    let answer = app.post(TOKENS).json(&body).send().await.unwrap();
    assert_eq!(answer.status(), 201);
    assert_eq!(answer.headers()["location"], ME);
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let cookie = answer.headers()["set-cookie"].to_str().unwrap().to_owned();
    assert!(cookie.starts_with("usher_token_main=") && cookie.contains("HttpOnly"));
    let first: Value = answer.json().await.unwrap();
    let again = app.post(TOKENS).bearer_auth(token(&first)).json(&body);
    let (status, again) = said(again).await;
    assert_eq!(status, 200);
    assert_eq!(first["ticketNumber"], again["ticketNumber"]);
    let (status, _) = app.poll(&again).await;
    assert_eq!(status, 200);
    app.close().await;
}

#[actix_web::test]
async fn the_cookie_proves_a_place_as_well_as_the_bearer() {
    let app = TestApp::open().await;
    let place = app.join().await;
    let cookie = format!("usher_token_main={}", token(&place));
    let (status, polled) = said(app.get(ME).header("Cookie", cookie)).await;
    assert_eq!(status, 200);
    assert_eq!(polled["userId"], place["userId"]);
    let other = format!("usher_token_other={}", token(&place));
    let refusal = refused(app.get(ME).header("Cookie", other)).await;
    assert_eq!(refusal, (401, "TOKEN_MISSING".to_owned()));
    app.close().await;
}

#[actix_web::test]
async fn who_leaves_frees_the_place_for_the_next_and_may_leave_twice() {
    let app = TestApp::open().await;
    app.rule(json!({ "maxActive": 1 })).await;
    let inside = app.join().await;
    let next = app.join().await;
    for _ in 0..2 {
        let (status, _) = said(app.delete(ME).bearer_auth(token(&inside))).await;
        assert_eq!(status, 204);
    }
    assert_eq!(app.poll(&next).await.1["state"], "active");
    let over = refused(app.get(ME).bearer_auth(token(&inside))).await;
    assert_eq!(over, (410, "TOKEN_EXPIRED".to_owned()));
    app.close().await;
}

#[actix_web::test]
async fn a_visit_ends_with_its_lease() {
    let app = TestApp::open().await;
    let place = app.join().await;
    assert_eq!(app.poll(&place).await.1["state"], "active");
    app.clock.advance(Duration::from_secs(421));
    let over = refused(app.get(ME).bearer_auth(token(&place))).await;
    assert_eq!(over, (410, "TOKEN_EXPIRED".to_owned()));
    app.close().await;
}

/// A token as the gateway would mint it for this place, with some claims changed.
fn forged(place: &Value, secret: &str, change: impl Fn(&mut Claims)) -> String {
    let now = chassis::time::Clock::system().now().timestamp();
    let mut claims = Claims {
        sub: serde_json::from_value(place["userId"].clone()).unwrap(),
        queue: "main".parse().unwrap(),
        ticket: place["ticketNumber"].as_u64().unwrap(),
        epoch: 0,
        iat: now,
        exp: now + 600,
        over: false,
        left: false,
    };
    change(&mut claims);
    let keys: KeyRing = secret.parse().unwrap();
    keys.mint(&claims)
}

#[actix_web::test]
async fn a_token_that_was_not_minted_here_for_this_queue_proves_nothing() {
    use base64::Engine as _;
    let app = TestApp::open().await;
    app.put("/api/v1/queues/other", &json!({}))
        .send()
        .await
        .unwrap();
    let place = app.join().await;
    let right = token(&place);
    let [header, payload, signature] = right.split('.').collect::<Vec<_>>()[..] else {
        panic!("a JWT has three parts");
    };
    let none = base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(r#"{"alg":"none","kid":"k1"}"#);
    let forgeries = [
        "x".to_owned(),
        "a.b.c".to_owned(),
        "x".repeat(6000),
        format!("{none}.{payload}."),
        format!("{none}.{payload}.{signature}"),
        format!("{header}.{payload}."),
        format!("{header}.{payload}.{}", signature.to_lowercase()),
        format!("{header}.{}A.{signature}", &payload[..payload.len() - 1]),
        forged(&place, &format!("k1:{PASS_SECRET}"), |_| ()),
        forged(&place, &format!("k9:{SECRET}"), |_| ()),
        forged(&place, &format!("k1:{SECRET}"), |it| {
            it.queue = "other".parse().unwrap()
        }),
    ];
    for token in forgeries {
        let refusal = refused(app.get(ME).bearer_auth(&token)).await;
        assert_eq!(refusal, (401, "TOKEN_INVALID".to_owned()), "{token:.80}");
    }
    let past = forged(&place, &format!("k1:{SECRET}"), |it| it.exp = it.iat - 1);
    let refusal = refused(app.get(ME).bearer_auth(past)).await;
    assert_eq!(refusal, (410, "TOKEN_EXPIRED".to_owned()));
    assert_eq!(
        refused(app.get(ME)).await,
        (401, "TOKEN_MISSING".to_owned())
    );
    assert_eq!(app.poll(&place).await.0, 200, "the right one still does");
    app.close().await;
}

#[actix_web::test]
async fn a_token_of_the_key_before_is_good_until_that_key_is_taken_out() {
    let app = TestApp::open().await;
    let place = app.join().await;
    let epoch = app.get("/api/v1/queues/main");
    let epoch = said(epoch).await.1["epoch"].as_u64().unwrap();
    let old = forged(&place, &format!("k0:{OLD_SECRET}"), |it| it.epoch = epoch);
    let (status, _) = said(app.get(ME).bearer_auth(old)).await;
    assert_eq!(status, 200);
    app.close().await;
}

#[actix_web::test]
async fn a_bad_body_has_its_own_refusal_and_takes_no_place() {
    let app = TestApp::open().await;
    let post = |body: &str| {
        let json = ("content-type", "application/json");
        app.post(TOKENS)
            .header(json.0, json.1)
            .body(body.to_owned())
    };
    let long = format!(r#"{{"userId":"{}"}}"#, "x".repeat(70_000));
    let sql = r#"{"userId":"'; DROP TABLE seats; --\u0000"}"#;
    for (body, status, code) in [
        ("{", 400, "BODY_MALFORMED"),
        ("", 400, "BODY_MALFORMED"),
        ("{}", 422, "BODY_INVALID"),
        (r#"{"userId":"1"}"#, 422, "BODY_INVALID"),
        (r#"{"userId":1}"#, 422, "BODY_INVALID"),
        (r#"{"userId":null}"#, 422, "BODY_INVALID"),
        (sql, 422, "BODY_INVALID"),
        (
            r#"{"userId":"0199a2b4-c6d8-7e1f-8a3b-5c7d9e0f1a2b","x":1}"#,
            422,
            "BODY_INVALID",
        ),
        (&long, 413, "BODY_TOO_LARGE"),
    ] {
        let refusal = refused(post(body)).await;
        assert_eq!(refusal, (status, code.to_owned()), "{body:.80}");
    }
    let text = app
        .post(TOKENS)
        .header("content-type", "text/plain")
        .body("{}");
    assert_eq!(
        refused(text).await,
        (415, "CONTENT_TYPE_UNSUPPORTED".to_owned())
    );
    let unknown = app.post("/api/v1/queues/nope/tokens");
    let unknown = unknown.json(&json!({ "userId": Uuid::new_v4() }));
    assert_eq!(refused(unknown).await, (404, "QUEUE_UNKNOWN".to_owned()));
    let odd = app.post("/api/v1/queues/N%00/tokens");
    let odd = odd.json(&json!({ "userId": Uuid::new_v4() }));
    assert_eq!(refused(odd).await, (400, "PATH_INVALID".to_owned()));
    let (_, status) = said(app.get("/api/v1/queues/main")).await;
    assert_eq!(
        (&status["waiting"], &status["active"]),
        (&json!(0), &json!(0))
    );
    app.close().await;
}

#[actix_web::test]
async fn a_frozen_store_is_told_and_the_place_is_kept() {
    let app = TestApp::open().await;
    let place = app.join().await;
    app.redis.freeze();
    let asked = app.get(ME).bearer_auth(token(&place));
    let answer = tokio::time::timeout(PATIENCE, asked.send()).await;
    let answer = answer.expect("an answer, not a hang").unwrap();
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().contains_key("retry-after"));
    let said: Value = answer.json().await.unwrap();
    assert_eq!(said["code"], "STORE_UNAVAILABLE");
    app.redis.thaw();
    until(async || app.poll(&place).await.0 == 200).await;
    app.close().await;
}
