//! Who is who: a user who is only named, a user whose id the gateway made, and how long a token proves it.

use std::time::Duration;

use reqwest::RequestBuilder;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::http_abuse::solve;
use crate::test_app::{TestApp, payload, refused, said, token, until};

const TOKENS: &str = "/api/v1/queues/main/tokens";
const ME: &str = "/api/v1/queues/main/tokens/me";
const OWN: &str = "/api/v1/users/me/balance";
const ANONYMOUS: (&str, &str) = ("GATEWAY_IDENTITY", "anonymous");

fn taken() -> (u16, String) {
    (409, "PLACE_TAKEN".to_owned())
}

#[actix_web::test]
async fn a_place_is_given_again_only_to_who_shows_its_token_or_its_secret() {
    let app = TestApp::open().await;
    let user = Uuid::new_v4();
    let join = |secret: Option<&str>| {
        let mut body = json!({ "userId": user });
        if let Some(secret) = secret {
            body["secret"] = secret.into();
        }
        app.post(TOKENS).json(&body)
    };
    let (status, place) = said(join(Some("correct horse"))).await;
    assert_eq!(status, 201, "{place}");
    let stranger = app.join().await;
    for stolen in [
        join(None),
        join(Some("battery staple")),
        join(None).bearer_auth("nonsense"),
        join(None).bearer_auth(token(&stranger)),
        join(None).header("Cookie", "usher_token_main=nonsense"),
    ] {
        assert_eq!(refused(stolen).await, taken());
    }
    let cookie = format!("usher_token_main={}", token(&place));
    for proven in [
        join(Some("correct horse")),
        join(None).bearer_auth(token(&place)),
        join(Some("battery staple")).bearer_auth(token(&place)),
        join(None).header("Cookie", cookie),
    ] {
        let (status, again) = said(proven).await;
        assert_eq!(status, 200, "{again}");
        assert_eq!(again["ticketNumber"], place["ticketNumber"]);
    }
    let leave = app.delete(ME).bearer_auth(token(&place));
    assert_eq!(said(leave).await.0, 204);
    assert_eq!(
        said(join(None)).await.0,
        201,
        "a new place is for whoever asks"
    );
    let old = join(Some("correct horse"));
    assert_eq!(refused(old).await, taken(), "a secret is of one place");
    let old = join(None).bearer_auth(token(&place));
    assert_eq!(refused(old).await, taken(), "and so is a token");
    app.close().await;
}

#[actix_web::test]
async fn a_secret_is_kept_only_of_who_sends_one_and_never_as_it_is() {
    let app = TestApp::open().await;
    for _ in 0..5 {
        app.join().await;
    }
    let kept = async || {
        let mut redis = crate::fixture::plain(&app.redis.url()).await;
        let mut keys = redis::cmd("KEYS");
        let keys = keys.arg("q:{main}:secret:*").query_async(&mut redis);
        let keys: Vec<String> = keys.await.unwrap();
        let mut values = Vec::new();
        for key in keys {
            let value: String = redis::cmd("GET")
                .arg(&key)
                .query_async(&mut redis)
                .await
                .unwrap();
            let ttl: i64 = redis::cmd("TTL")
                .arg(&key)
                .query_async(&mut redis)
                .await
                .unwrap();
            assert!(ttl > 0, "it ends by itself");
            values.push(value);
        }
        values
    };
    assert_eq!(kept().await, Vec::<String>::new());
    let body = json!({ "userId": Uuid::new_v4(), "secret": "correct horse" });
    assert_eq!(said(app.post(TOKENS).json(&body)).await.0, 201);
    let kept = kept().await;
    assert_eq!(kept.len(), 1);
    assert!(!kept[0].contains("horse"));
    for odd in [json!("short"), json!("x".repeat(129)), json!(12_345_678)] {
        let body = json!({ "userId": Uuid::new_v4(), "secret": odd });
        let refusal = refused(app.post(TOKENS).json(&body)).await;
        assert_eq!(refusal, (422, "BODY_INVALID".to_owned()));
    }
    app.close().await;
}

fn join(app: &TestApp) -> RequestBuilder {
    app.post(TOKENS).json(&json!({}))
}

#[actix_web::test]
async fn the_gateway_makes_the_id_of_an_anonymous_visitor_and_the_token_is_its_only_proof() {
    let app = TestApp::with(&[ANONYMOUS]).await;
    let answer = join(&app).send().await.unwrap();
    assert_eq!(answer.status(), 201);
    let cookie = answer.headers()["set-cookie"].to_str().unwrap().to_owned();
    assert!(cookie.contains("Max-Age=86400"), "{cookie}");
    let first: Value = answer.json().await.unwrap();
    let until = first["tokenExpiresAt"].as_str().unwrap();
    let until = until.parse::<chrono::DateTime<chrono::Utc>>().unwrap();
    assert!((until - app.clock.now()).num_seconds() > 86_000);
    let (_, other) = said(join(&app)).await;
    assert_ne!(first["userId"], other["userId"]);
    let (status, again) = said(join(&app).bearer_auth(token(&first))).await;
    assert_eq!(status, 200);
    assert_eq!(again["ticketNumber"], first["ticketNumber"]);
    let named = json!({ "userId": first["userId"] });
    let refusal = refused(app.post(TOKENS).json(&named)).await;
    assert_eq!(refusal, (422, "BODY_INVALID".to_owned()));
    let leave = app.delete(ME).bearer_auth(token(&first));
    assert_eq!(said(leave).await.0, 204);
    let (status, next) = said(join(&app).bearer_auth(token(&first))).await;
    assert_eq!(status, 201, "in any state of the visit");
    assert_eq!(next["userId"], first["userId"]);
    assert_ne!(next["ticketNumber"], first["ticketNumber"]);
    let pretended = json!({ "challenge": format!("0.9999999999.x.{}.y", other["userId"].as_str().unwrap()), "nonce": "0" });
    let pretended = json!({ "proof": pretended });
    let (_, stranger) = said(app.post(TOKENS).json(&pretended)).await;
    assert_ne!(stranger["userId"], other["userId"], "nobody chooses an id");
    app.close().await;
}

#[actix_web::test]
async fn a_token_of_a_visit_that_is_over_is_renewed_when_it_is_used() {
    let app = TestApp::with(&[ANONYMOUS]).await;
    let (_, place) = said(join(&app)).await;
    let leave = app.delete(ME).bearer_auth(token(&place));
    assert_eq!(said(leave).await.0, 204);
    let mut shown = token(&place).to_owned();
    for _ in 0..3 {
        let answer = app.get(OWN).bearer_auth(&shown).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let cookie = answer.headers()["set-cookie"].to_str().unwrap().to_owned();
        let renewed = answer.headers()["x-usher-token"].to_str().unwrap();
        assert!(cookie.starts_with(&format!("usher_token_main={renewed};")));
        assert!(answer.headers().contains_key("x-usher-token-expires"));
        shown = renewed.to_owned();
        let sent: Value = answer.json().await.unwrap();
        let pass = payload(sent["headers"]["x-usher-pass"][0].as_str().unwrap());
        assert_eq!(pass["sub"], place["userId"]);
        assert_eq!(pass["state"], "over");
        app.clock.advance(Duration::from_secs(80_000));
    }
    let old = app.get(OWN).bearer_auth(token(&place));
    assert_eq!(refused(old).await, (410, "TOKEN_EXPIRED".to_owned()));
    let poll = app.get(ME).bearer_auth(&shown);
    assert_eq!(refused(poll).await, (410, "TOKEN_EXPIRED".to_owned()));
    let leave = app.delete(ME).bearer_auth(&shown);
    assert_eq!(said(leave).await.0, 204, "the second time is fine");
    let (status, next) = said(join(&app).bearer_auth(&shown)).await;
    assert_eq!((status.as_u16(), &next["userId"]), (201, &place["userId"]));
    let inside = app.get(OWN).bearer_auth(token(&next)).send().await.unwrap();
    assert_eq!(inside.status(), 200);
    assert!(
        !inside.headers().contains_key("x-usher-token"),
        "not needed"
    );
    assert_eq!(
        inside.headers()["x-usher-token-expires"].to_str().unwrap(),
        next["tokenExpiresAt"].as_str().unwrap(),
        "whoever looks at their own things hears until when they can"
    );
    app.close().await;
}

#[actix_web::test]
async fn a_visit_that_idleness_ended_still_opens_what_is_ones_own() {
    let app = TestApp::open().await;
    app.rule(json!({ "maxActive": 1, "idleSeconds": 5 })).await;
    let place = app.join().await;
    let (status, poll) = app.poll(&place).await;
    assert_eq!((status.as_u16(), &poll["state"]), (200, &json!("active")));
    app.clock.advance(Duration::from_secs(10));
    let next = app.join().await;
    // Also when somebody else is inside, so that it was swept.
    for is_swept in [false, true] {
        if is_swept {
            until(async || app.poll(&next).await.1["state"] == "active").await;
        }
        let own = app
            .get(OWN)
            .bearer_auth(token(&place))
            .send()
            .await
            .unwrap();
        assert_eq!(own.status(), 200);
        assert!(own.headers().contains_key("x-usher-token"), "it is over");
        let sent: Value = own.json().await.unwrap();
        let pass = payload(sent["headers"]["x-usher-pass"][0].as_str().unwrap());
        assert_eq!(
            (&pass["sub"], &pass["state"]),
            (&place["userId"], &json!("over"))
        );
        assert_eq!(app.poll(&place).await.0, 410, "only the visit is over");
    }
    app.close().await;
}

#[actix_web::test]
async fn a_renewed_token_brings_nobody_back_into_a_line_that_was_lost() {
    let app = TestApp::open().await;
    app.rule(json!({ "maxActive": 1 })).await;
    let place = app.join().await;
    let leave = app.delete(ME).bearer_auth(token(&place));
    assert_eq!(said(leave).await.0, 204);
    let answer = app
        .get(OWN)
        .bearer_auth(token(&place))
        .send()
        .await
        .unwrap();
    let renewed = answer.headers()["x-usher-token"]
        .to_str()
        .unwrap()
        .to_owned();
    let mut redis = crate::fixture::plain(&app.redis.url()).await;
    let _: () = redis::cmd("FLUSHALL")
        .query_async(&mut redis)
        .await
        .unwrap();
    let poll = app.get(ME).bearer_auth(&renewed);
    assert_eq!(refused(poll).await, (410, "TOKEN_EXPIRED".to_owned()));
    app.close().await;
}

#[actix_web::test]
async fn work_is_for_the_id_that_the_challenge_names() {
    let app = TestApp::with(&[ANONYMOUS, ("GATEWAY_POW_BITS", "8")]).await;
    let (status, refusal) = said(join(&app)).await;
    assert_eq!(status, 401);
    let challenge = &refusal["proofOfWork"];
    let text = challenge["challenge"].as_str().unwrap();
    let named: Uuid = text.split('.').nth(3).unwrap().parse().unwrap();
    let proof = solve(challenge);
    let other = text.replace(&named.to_string(), &Uuid::new_v4().to_string());
    let stolen = json!({ "challenge": other, "bits": 8 });
    let stolen = json!({ "proof": solve(&stolen) });
    let refusal = refused(app.post(TOKENS).json(&stolen)).await;
    assert_eq!(refusal, (401, "PROOF_INVALID".to_owned()));
    let solved = json!({ "proof": proof });
    let (status, place) = said(app.post(TOKENS).json(&solved)).await;
    assert_eq!(status, 201, "{place}");
    assert_eq!(place["userId"], json!(named));
    app.close().await;
}
