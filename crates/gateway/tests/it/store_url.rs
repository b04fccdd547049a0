//! A Redis that wants a password, or that is reached over TLS only.

use chassis::time::Clock;
use gateway::queue::QueueError;
use testbed::{Redis, RedisOptions, Scratch, free_port};

use crate::room::{Room, id, places, user};

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

async fn configure(redis: &Redis, settings: &[(&str, &str)]) {
    let client = redis::Client::open(redis.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let mut command = redis::cmd("CONFIG");
    command.arg("SET");
    for (name, value) in settings {
        command.arg(name).arg(value);
    }
    command.exec_async(&mut connection).await.unwrap();
}

/// Both ways to Redis work: the hot one joins, the rare one makes the queue and refreshes.
async fn assert_works(url: &str) {
    let room = Room::at(url, Clock::system());
    let queue = room.queue("main", places(1)).await;
    queue.join(user()).await.unwrap();
    room.queues.refresh().await.unwrap();
    room.queues.remove(&id("main"), "a test").await.unwrap();
}

async fn assert_refused(url: &str) {
    let room = Room::at(url, Clock::system());
    let refused = room.queues.open(&id("main")).await.err();
    assert!(
        matches!(refused, Some(QueueError::StoreUnavailable(_))),
        "{refused:?}"
    );
    assert!(room.queues.refresh().await.is_err());
}

#[tokio::test]
async fn a_url_with_a_password_opens_a_redis_that_wants_one() {
    let scratch = Scratch::new().unwrap();
    let redis = Redis::start(scratch.path(), RedisOptions::default()).unwrap();
    configure(&redis, &[("requirepass", "hunter2")]).await;
    let with = |user: &str| redis.url().replace("redis://", &format!("redis://{user}@"));
    assert_works(&with(":hunter2")).await;
    assert_works(&with("default:hunter2")).await;
    assert_refused(&redis.url()).await;
    assert_refused(&with(":hunter3")).await;
}

#[tokio::test]
async fn a_rediss_url_speaks_tls_and_trusts_only_a_certificate_that_somebody_vouches_for() {
    let scratch = Scratch::new().unwrap();
    let redis = Redis::start(scratch.path(), RedisOptions::default()).unwrap();
    let file = |name: &str, text: &str| {
        let path = scratch.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (certificate, key) = (file("tls.crt", CERTIFICATE), file("tls.key", KEY));
    let port = free_port().to_string();
    let settings = [
        ("tls-cert-file", certificate.as_str()),
        ("tls-key-file", &key),
        ("tls-ca-cert-file", &certificate),
        ("tls-auth-clients", "no"),
        ("tls-port", &port),
    ];
    configure(&redis, &settings).await;
    assert_works(&format!("rediss://localhost:{port}/0#insecure")).await;
    assert_refused(&format!("rediss://localhost:{port}/0")).await;
    assert_refused(&format!("redis://localhost:{port}/0")).await;
}
