//! Who joins, where an identity provider vouches for it.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use testbed::Scratch;
use uuid::Uuid;

use crate::provider::{Provider, SHARED_SECRET, Signer, key_set};
use crate::test_app::{OPERATOR_KEY, SECRET, TestApp, refused, said, token};

const TOKENS: &str = "/api/v1/queues/main/tokens";
const JWT: (&str, &str) = ("GATEWAY_IDENTITY", "jwt");

fn claims(app: &TestApp, sub: &str) -> Value {
    let now = app.clock.now().timestamp();
    json!({ "sub": sub, "exp": now + 600, "iss": "https://id.example", "aud": "shop" })
}

fn with(mut claims: Value, name: &str, value: impl Into<Value>) -> Value {
    claims[name] = value.into();
    claims
}

fn join(app: &TestApp, identity: &str) -> RequestBuilder {
    let body = json!({});
    app.post(TOKENS).bearer_auth(identity).json(&body)
}

fn shared() -> Signer {
    let secret = BASE64_URL_SAFE_NO_PAD.decode(SHARED_SECRET).unwrap();
    Signer::secret("any", &secret)
}

#[actix_web::test]
async fn who_the_provider_vouches_for_has_one_place_whatever_they_claim() {
    let scratch = Scratch::new().unwrap();
    let file = scratch.path().join("jwks.json");
    let (rsa, ec) = (Signer::rsa("r"), Signer::ec("e"));
    std::fs::write(&file, key_set(&[&rsa, &ec])).unwrap();
    let path = file.to_str().unwrap();
    let secret = ("GATEWAY_IDENTITY_SECRET", SHARED_SECRET);
    let app = TestApp::with(&[JWT, ("GATEWAY_JWKS", path), secret]).await;
    let user = Uuid::new_v4().to_string();
    let (status, first) = said(join(&app, &rsa.token(&claims(&app, &user)))).await;
    assert_eq!((status.as_u16(), &first["userId"]), (201, &json!(user)));
    for signer in [&rsa, &ec, &shared()] {
        let (status, again) = said(join(&app, &signer.token(&claims(&app, &user)))).await;
        assert_eq!(status, 200, "{again}");
        assert_eq!(again["ticketNumber"], first["ticketNumber"]);
    }
    let own = rsa.token(&claims(&app, &user));
    let named = |id: &str| {
        let body = json!({ "userId": id });
        app.post(TOKENS).bearer_auth(&own).json(&body)
    };
    assert_eq!(said(named(&user)).await.0, 200);
    let other = named(&Uuid::new_v4().to_string());
    assert_eq!(refused(other).await, (403, "IDENTITY_MISMATCH".to_owned()));
    let (status, ann) = said(join(&app, &ec.token(&claims(&app, "auth0|ann")))).await;
    assert_eq!(status, 201);
    let expected = Uuid::new_v5(&Uuid::NAMESPACE_OID, b"auth0|ann");
    assert_eq!(ann["userId"], json!(expected));
    let poll = app.get("/api/v1/queues/main/tokens/me");
    assert_eq!(said(poll.bearer_auth(token(&ann))).await.0, 200);
    app.close().await;
}

#[actix_web::test]
async fn who_shows_the_cookie_beside_the_provider_s_token_has_the_same_place_after_a_loss() {
    let app = TestApp::with(&[JWT, ("GATEWAY_IDENTITY_SECRET", SHARED_SECRET)]).await;
    app.rule(json!({ "state": "paused" })).await;
    let identity = |sub: &str| shared().token(&claims(&app, sub));
    let (status, place) = said(join(&app, &identity("ann"))).await;
    assert_eq!(status, 201, "{place}");
    let mut redis = crate::fixture::plain(&app.redis.url()).await;
    let flush = redis::cmd("FLUSHALL").exec_async(&mut redis).await;
    flush.unwrap();
    let cookie = format!("usher_token_main={}", token(&place));
    // Somebody else's cookie brings nobody back.
    let bob = join(&app, &identity("bob")).header("Cookie", &cookie);
    assert_eq!(said(bob).await.0, 201);
    let ann = join(&app, &identity("ann")).header("Cookie", &cookie);
    let (status, again) = said(ann).await;
    assert_eq!(status, 200, "{again}");
    assert_eq!(again["ticketNumber"], place["ticketNumber"]);
    assert_eq!(again["position"], 1);
    app.close().await;
}

/// Tokens that no key of the provider has signed as they are.
fn forged(rsa: &Signer, ec: &Signer, good: &Value) -> Vec<(String, &'static str)> {
    // The public key of the set as the secret of HS256: the oldest trick.
    let modulus = rsa.public()["n"].as_str().unwrap().to_owned();
    let set = key_set(&[rsa]);
    let own = BASE64_URL_SAFE_NO_PAD.decode(SECRET).unwrap();
    let by = |secret: &[u8]| Signer::secret("r", secret).token(good);
    let header = |alg: &str, kid: &str| json!({ "alg": alg, "kid": kid });
    let extended = json!({ "alg": "RS256", "kid": "r", "crit": ["x"] });
    let right = rsa.token(good);
    let [head, payload, signature] = right.split('.').collect::<Vec<_>>()[..] else {
        panic!("a JWT has three parts");
    };
    let none = BASE64_URL_SAFE_NO_PAD.encode(r#"{"alg":"none","kid":"r"}"#);
    let changed = &payload[..payload.len() - 1];
    vec![
        (by(modulus.as_bytes()), "a modulus as secret"),
        (by(set.as_bytes()), "a set as secret"),
        (by(&own), "our own secret"),
        (Signer::rsa("unknown").token(good), "a key not in the set"),
        (rsa.token_with(&header("RS256", "e"), good), "another key"),
        (rsa.token_with(&header("ES256", "r"), good), "another kind"),
        (rsa.token_with(&header("PS256", "r"), good), "not taken"),
        (
            ec.token_with(&header("HS256", "e"), good),
            "no secret there",
        ),
        (rsa.token_with(&extended, good), "an unknown extension"),
        (format!("{none}.{payload}."), "no algorithm"),
        (format!("{none}.{payload}.{signature}"), "no algorithm"),
        (format!("{head}.{payload}."), "no signature"),
        (format!("{head}.{changed}A.{signature}"), "changed"),
        (OPERATOR_KEY.to_owned(), "an operator's key"),
        ("x".to_owned(), "nonsense"),
    ]
}

/// Tokens of the provider that are not for us, or not now.
fn unfit(rsa: &Signer, good: &Value, now: i64) -> Vec<(String, &'static str)> {
    let but = |name: &str, value: Value| rsa.token(&with(good.clone(), name, value));
    vec![
        (but("exp", json!(now - 60)), "past its time"),
        (but("exp", json!("never")), "an odd end"),
        (but("exp", Value::Null), "no end"),
        (but("nbf", json!(now + 60)), "before its time"),
        (but("iss", json!("https://evil.example")), "another issuer"),
        (but("iss", Value::Null), "no issuer"),
        (but("aud", json!("bank")), "another audience"),
        (but("aud", json!(["bank", "pub"])), "other audiences"),
        (but("aud", Value::Null), "no audience"),
        (but("sub", json!("")), "nobody"),
        (but("sub", json!("x".repeat(256))), "too long a name"),
        (but("sub", json!(7)), "not a name"),
        (but("pad", json!("x".repeat(9_000))), "too long"),
    ]
}

#[actix_web::test]
async fn a_token_that_is_not_of_the_provider_for_us_and_now_gives_no_place() {
    let (rsa, ec) = (Signer::rsa("r"), Signer::ec("e"));
    let provider = Provider::open(Some(key_set(&[&rsa, &ec])));
    let app = TestApp::with(&[
        JWT,
        ("GATEWAY_JWKS", &provider.url),
        ("GATEWAY_IDENTITY_ISSUER", "https://id.example"),
        ("GATEWAY_IDENTITY_AUDIENCE", "shop"),
    ])
    .await;
    let good = claims(&app, "ann");
    let now = app.clock.now().timestamp();
    let nobody = app.post(TOKENS).json(&json!({ "userId": Uuid::new_v4() }));
    assert_eq!(refused(nobody).await, (401, "IDENTITY_MISSING".to_owned()));
    let bad = forged(&rsa, &ec, &good).into_iter();
    for (token, what) in bad.chain(unfit(&rsa, &good, now)) {
        let refusal = refused(join(&app, &token)).await;
        assert_eq!(refusal, (401, "IDENTITY_INVALID".to_owned()), "{what}");
    }
    let many = with(good.clone(), "aud", json!(["bank", "shop"]));
    for fine in [
        rsa.token(&good),
        rsa.token(&many),
        rsa.token_with(&json!({ "alg": "RS256" }), &good),
        ec.token(&with(good.clone(), "exp", now as f64 - 10.5)),
    ] {
        assert!(said(join(&app, &fine)).await.0.is_success());
    }
    app.close().await;
    provider.close().await;
}

/// A token with this name of a key, signed by a key that the provider does not have, gives no place.
async fn refuses_invented(app: &TestApp, name: &'static str) {
    let invented = Signer::rsa(name).token(&claims(app, "bob"));
    let refusal = refused(join(app, &invented)).await;
    assert_eq!(refusal, (401, "IDENTITY_INVALID".to_owned()), "{name}");
}

#[actix_web::test]
async fn a_new_key_is_learnt_at_once_and_an_invented_name_asks_seldom() {
    let (old, new) = (Signer::rsa("old"), Signer::ec("new"));
    let provider = Provider::open(Some(key_set(&[&old])));
    let app = TestApp::with(&[JWT, ("GATEWAY_JWKS", &provider.url)]).await;
    assert_eq!(provider.reads(), 1, "at the start");
    app.clock.advance(Duration::from_secs(60));
    provider.show(Some(key_set(&[&old, &new])));
    let (status, _) = said(join(&app, &new.token(&claims(&app, "ann")))).await;
    assert_eq!(status, 201);
    assert_eq!(provider.reads(), 2);
    for _ in 0..20 {
        refuses_invented(&app, "invented").await;
    }
    let reads = provider.reads();
    assert!(
        (2..=3).contains(&reads),
        "{reads}: once for an invented name"
    );
    app.close().await;
    provider.close().await;
}

#[actix_web::test]
async fn an_invented_name_does_not_delay_the_name_of_a_new_key() {
    let (old, new) = (Signer::rsa("old"), Signer::ec("new"));
    let provider = Provider::open(Some(key_set(&[&old])));
    let app = TestApp::with(&[JWT, ("GATEWAY_JWKS", &provider.url)]).await;
    app.clock.advance(Duration::from_secs(60));
    for names in [["a", "b"], ["c", "d"], ["e", "f"]] {
        for name in names {
            refuses_invented(&app, name).await;
        }
        app.clock.advance(Duration::from_secs(1));
    }
    // The keys are exchanged within the minute in which all these were asked for.
    provider.show(Some(key_set(&[&new])));
    refuses_invented(&app, "a").await;
    let (status, place) = said(join(&app, &new.token(&claims(&app, "ann")))).await;
    assert_eq!(status, 201, "{place}");
    app.close().await;
    provider.close().await;
}

#[actix_web::test]
async fn who_invents_the_name_of_the_next_key_delays_it_by_seconds_only() {
    let (old, new) = (Signer::rsa("old"), Signer::ec("new"));
    let provider = Provider::open(Some(key_set(&[&old])));
    let app = TestApp::with(&[JWT, ("GATEWAY_JWKS", &provider.url)]).await;
    app.clock.advance(Duration::from_secs(60));
    // All the time until the keys are exchanged, each second.
    for _ in 0..12 {
        refuses_invented(&app, "new").await;
        app.clock.advance(Duration::from_secs(1));
    }
    let reads = provider.reads();
    assert!((2..=5).contains(&reads), "{reads}: once in five seconds");
    provider.show(Some(key_set(&[&old, &new])));
    app.clock.advance(Duration::from_secs(5));
    let (status, place) = said(join(&app, &new.token(&claims(&app, "ann")))).await;
    assert_eq!(status, 201, "{place}");
    app.close().await;
    provider.close().await;
}

#[actix_web::test]
async fn a_provider_that_is_away_is_not_missed_for_an_hour() {
    let signer = Signer::ec("e");
    let provider = Provider::open(None);
    let app = TestApp::with(&[JWT, ("GATEWAY_JWKS", &provider.url)]).await;
    let identity = |sub: &str| signer.token(&claims(&app, sub));
    let early = refused(join(&app, &identity("ann"))).await;
    assert_eq!(early, (503, "IDENTITY_UNAVAILABLE".to_owned()));
    provider.show(Some(key_set(&[&signer])));
    app.clock.advance(Duration::from_secs(10));
    assert_eq!(said(join(&app, &identity("ann"))).await.0, 201);
    provider.show(None);
    app.clock.advance(Duration::from_secs(3_000));
    assert_eq!(said(join(&app, &identity("bob"))).await.0, 201);
    app.clock.advance(Duration::from_secs(700));
    let late = refused(join(&app, &identity("eve"))).await;
    assert_eq!(late, (503, "IDENTITY_UNAVAILABLE".to_owned()));
    provider.show(Some("not a set".to_owned()));
    app.clock.advance(Duration::from_secs(10));
    let odd = refused(join(&app, &identity("eve"))).await;
    assert_eq!(odd, (503, "IDENTITY_UNAVAILABLE".to_owned()));
    app.close().await;
    provider.close().await;
}

#[actix_web::test]
async fn without_a_provider_who_names_a_user_is_that_user() {
    let app = TestApp::open().await;
    let body = json!({ "userId": Uuid::new_v4() });
    let request = app.post(TOKENS).bearer_auth("whatever").json(&body);
    assert_eq!(said(request).await.0, 201);
    let unnamed = app.post(TOKENS).json(&json!({}));
    assert_eq!(refused(unnamed).await, (422, "BODY_INVALID".to_owned()));
    app.close().await;
}

#[actix_web::test]
async fn the_providers_token_alone_opens_own_things_and_nothing_else() {
    let secret = ("GATEWAY_IDENTITY_SECRET", SHARED_SECRET);
    let app = TestApp::with(&[JWT, secret]).await;
    let user = Uuid::new_v4().to_string();
    let own = shared().token(&claims(&app, &user));
    let (status, echo) = said(app.get("/api/v1/users/1/ledger").bearer_auth(&own)).await;
    assert_eq!(status, 200, "{echo}");
    let pass = crate::http_proxy::pass_of(&echo);
    assert_eq!(
        (&pass["sub"], &pass["state"]),
        (&json!(user), &json!("over"))
    );
    assert_eq!(echo["headers"]["authorization"], Value::Null);
    let seats = app.get("/api/v1/seats").bearer_auth(&own);
    assert_eq!(refused(seats).await, (401, "TOKEN_INVALID".to_owned()));
    let late = with(claims(&app, &user), "exp", 1);
    let past = app
        .get("/api/v1/users/1/ledger")
        .bearer_auth(shared().token(&late));
    assert_eq!(refused(past).await, (401, "TOKEN_INVALID".to_owned()));
    app.close().await;
}

#[actix_web::test]
async fn whom_a_provider_knows_is_not_kept_in_the_cookie_after_leaving() {
    let app = TestApp::with(&[JWT, ("GATEWAY_IDENTITY_SECRET", SHARED_SECRET)]).await;
    let identity = shared().token(&claims(&app, "ann"));
    let (status, place) = said(join(&app, &identity)).await;
    assert_eq!(status, 201, "{place}");
    let leave = app.delete("/api/v1/queues/main/tokens/me");
    let left = leave.bearer_auth(token(&place)).send().await.unwrap();
    assert_eq!(left.status(), 204);
    let set = left.headers()["set-cookie"].to_str().unwrap();
    assert!(
        set.starts_with("usher_token_main=;") && set.contains("Max-Age=0"),
        "{set}"
    );
    assert!(!left.headers().contains_key("x-usher-token"));
    let own = app.get("/api/v1/users/1/ledger").bearer_auth(&identity);
    assert_eq!(said(own).await.0, 200, "the provider's token opens it");
    app.close().await;
}
