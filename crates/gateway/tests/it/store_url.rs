//! A Redis that wants a password, or that is reached over TLS only.

use chassis::redis::{CaBundle, RedisUrl};
use chassis::time::Clock;
use gateway::queue::QueueError;
use testbed::{Redis, RedisOptions, Scratch, TlsFiles};

use crate::fixture::{Fixture, id, places, user};
use crate::test_app::{TestApp, until};

/// Made for this test alone; good for a hundred years.
const CERTIFICATE: &str = "\
-----BEGIN CERTIFICATE-----\n\
MIIBnDCCAUGgAwIBAgIUF2YKxnYQCPSrUY/J6uqDf3BwW80wCgYIKoZIzj0EAwIw\n\
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMzE5MzkzM1oYDzIxMjYxMDMw\n\
MTkzOTMzWjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO\n\
PQMBBwNCAASB9Hk9ZAAHNUaHJk6/63mf3ZhQTKoPbFoJWs0lfsd16k9w23kl1Kuq\n\
COsMbtxENMFpjIyjLRpgYqdiraw70E3No28wbTAdBgNVHQ4EFgQUsHEgSZ95NF7t\n\
zZN91ijiRqjZa8wwHwYDVR0jBBgwFoAUsHEgSZ95NF7tzZN91ijiRqjZa8wwDwYD\n\
VR0TAQH/BAUwAwEB/zAaBgNVHREEEzARgglsb2NhbGhvc3SHBH8AAAEwCgYIKoZI\n\
zj0EAwIDSQAwRgIhALY/KvBEk2pY89G8ZkmJq4b1BX480BYqDzeuRpzK/B4bAiEA\n\
5bckSbQ38z60iKENV+bq5aL5MF2OMjKfv0zrZn3lvi4=\n\
-----END CERTIFICATE-----\n";
const KEY: &str = "\
-----BEGIN PRIVATE KEY-----\n\
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgA6JHYEizjI+Vs8zm\n\
YS7YBkBqbSnl2XR9Kd/2yi0svv6hRANCAASB9Hk9ZAAHNUaHJk6/63mf3ZhQTKoP\n\
bFoJWs0lfsd16k9w23kl1KuqCOsMbtxENMFpjIyjLRpgYqdiraw70E3N\n\
-----END PRIVATE KEY-----\n";

/// Files that servers of this test show; who connects may name the certificate as whom they trust.
pub fn tls_files(scratch: &Scratch) -> TlsFiles {
    let file = |name: &str, text: &str| {
        let path = scratch.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    TlsFiles {
        certificate: file("tls.crt", CERTIFICATE),
        key: file("tls.key", KEY),
    }
}

/// The place of `url`, where only the servers of this test are believed.
pub fn trusting(url: &str, files: &TlsFiles) -> RedisUrl {
    let ca_bundle: CaBundle = files.certificate.to_str().unwrap().parse().unwrap();
    url.parse::<RedisUrl>().unwrap().trusting(&ca_bundle)
}

/// Both ways to Redis work: the hot one joins, the rare one makes the queue and refreshes.
async fn assert_works(url: &RedisUrl) {
    let fixture = Fixture::behind(url, Clock::system());
    // On a busy machine a connection over TLS may not stand in time at first.
    until(async || fixture.queues.refresh().await.is_ok()).await;
    let queue = fixture.queue("main", places(1)).await;
    queue.join(user()).await.unwrap();
    fixture.queues.refresh().await.unwrap();
    fixture.queues.remove(&id("main"), "a test").await.unwrap();
}

async fn assert_refused(url: &str) {
    let fixture = Fixture::at(url, Clock::system());
    let refused = fixture.queues.open(&id("main")).await.err();
    assert!(
        matches!(refused, Some(QueueError::StoreUnavailable(_))),
        "{refused:?}"
    );
    assert!(fixture.queues.refresh().await.is_err());
}

#[tokio::test]
async fn a_url_with_a_password_opens_a_redis_that_wants_one() {
    let scratch = Scratch::new().unwrap();
    let options = RedisOptions {
        password: Some("hunter2".to_owned()),
        ..RedisOptions::default()
    };
    let redis = Redis::start(scratch.path(), options).unwrap();
    let with = |login: &str| redis.url().replace(":hunter2@", login);
    assert_works(&with(":hunter2@").parse().unwrap()).await;
    assert_works(&with("default:hunter2@").parse().unwrap()).await;
    assert_refused(&with("")).await;
    assert_refused(&with(":hunter3@")).await;
}

#[tokio::test]
async fn a_rediss_url_speaks_tls_and_trusts_only_a_certificate_that_somebody_vouches_for() {
    let scratch = Scratch::new().unwrap();
    let options = RedisOptions {
        tls: Some(tls_files(&scratch)),
        ..RedisOptions::default()
    };
    let redis = Redis::start(scratch.path(), options).unwrap();
    let url = redis.tls_url();
    assert_works(&trusting(&url, &tls_files(&scratch))).await;
    assert_works(&format!("{url}#insecure").parse().unwrap()).await;
    assert_refused(&url).await;
    assert_refused(&url.replace("rediss", "redis")).await;
}

#[actix_web::test]
async fn a_gateway_starts_behind_a_password_over_tls_with_whom_it_is_told_to_trust() {
    let scratch = Scratch::new().unwrap();
    let files = tls_files(&scratch);
    let options = RedisOptions {
        password: Some("hunter2".to_owned()),
        tls: Some(files.clone()),
        ..RedisOptions::default()
    };
    let redis = Redis::start(scratch.path(), options).unwrap();
    let trusted = files.certificate.to_str().unwrap();
    let variables = [
        ("GATEWAY_REDIS_URL", redis.tls_url()),
        ("GATEWAY_REDIS_CA", trusted.to_owned()),
    ];
    let variables: Vec<_> = variables
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let app = TestApp::with(&variables).await;
    let place = app.join().await;
    let (status, said) = app.poll(&place).await;
    assert_eq!((status.as_u16(), &said["state"]), (200, &"active".into()));
    let ready = app.get("/ready").send().await.unwrap();
    assert_eq!(ready.status(), 200);
    app.close().await;
}

#[test]
fn trust_is_of_no_use_without_tls() {
    let scratch = Scratch::new().unwrap();
    let trusted = tls_files(&scratch).certificate.to_str().unwrap().to_owned();
    let told = |url: &str| {
        let lookup = |name: &str| match name {
            "GATEWAY_REDIS_URL" => Some(url.to_owned()),
            "GATEWAY_REDIS_CA" => Some(trusted.clone()),
            _ => None,
        };
        let mut env = chassis::env::Env::new(&lookup);
        RedisUrl::read(&mut env, "GATEWAY_REDIS_URL", "", "GATEWAY_REDIS_CA");
        env.finish().err().map(|mistakes| mistakes.to_string())
    };
    assert_eq!(told("rediss://localhost"), None);
    let mistake = told("redis+cluster://localhost").unwrap();
    assert!(mistake.contains("GATEWAY_REDIS_CA"), "{mistake}");
}
