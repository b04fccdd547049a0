//! A Redis that cannot be written, or refuses everybody, is told with its own words.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener};
use std::thread;

use chassis::time::Clock;
use gateway::queue::QueueError;
use testbed::{Redis, RedisOptions, Scratch, eventually};

use crate::fixture::{Fixture, id};
use crate::store_url::{tls_files, trusting};
use crate::test_app::{PATIENCE, TestApp, said, until};

/// Ready no more, and the reason says this word.
async fn assert_not_ready(app: &TestApp, word: &str) {
    until(async || {
        let (status, said) = said(app.get("/ready")).await;
        status == 503 && said["detail"].as_str().unwrap().contains(word)
    })
    .await;
}

async fn assert_ready(app: &TestApp) {
    until(async || said(app.get("/ready")).await.0 == 200).await;
}

#[actix_web::test]
async fn a_gateway_is_not_ready_while_redis_cannot_be_written_and_says_why() {
    let app = TestApp::open().await;
    assert_ready(&app).await;
    let nobody = testbed::free_port();
    for (begin, end, word) in [
        (
            format!("REPLICAOF 127.0.0.1 {nobody}"),
            "REPLICAOF NO ONE",
            "READONLY",
        ),
        (
            "CONFIG SET maxmemory 1".to_owned(),
            "CONFIG SET maxmemory 0",
            "OOM",
        ),
        (
            "CONFIG SET min-replicas-to-write 1".to_owned(),
            "CONFIG SET min-replicas-to-write 0",
            "NOREPLICAS",
        ),
    ] {
        app.redis.ask(&begin).unwrap();
        assert_not_ready(&app, word).await;
        app.redis.ask(end).unwrap();
        assert_ready(&app).await;
    }
    app.redis.ask("CONFIG SET requirepass hunter2").unwrap();
    // Who is logged in stays so; who comes anew is asked.
    let url = app.redis.url().replace("redis://", "redis://:hunter2@");
    let mut operator = crate::fixture::plain(&url).await;
    let mut kill = redis::cmd("CLIENT");
    let kill = kill.arg("KILL").arg("TYPE").arg("normal");
    kill.exec_async(&mut operator).await.unwrap();
    assert_not_ready(&app, "NOAUTH").await;
    let mut open = redis::cmd("CONFIG");
    let open = open.arg("SET").arg("requirepass").arg("");
    open.exec_async(&mut operator).await.unwrap();
    assert_ready(&app).await;
    app.close().await;
}

/// A server that says this to everybody who connects, and closes; or to everything that is asked.
fn refusing(words: &'static str, at_once: bool) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                if at_once {
                    let _ = write!(stream, "-{words}\r\n");
                    let _ = stream.shutdown(Shutdown::Both);
                    return;
                }
                let mut asked = vec![0; 4096];
                while let Ok(length @ 1..) = stream.read(&mut asked) {
                    // Each command is an array.
                    for _ in asked[..length].iter().filter(|byte| **byte == b'*') {
                        let _ = write!(stream, "-{words}\r\n");
                    }
                }
            });
        }
    });
    port
}

async fn refusal(url: &str) -> String {
    let fixture = Fixture::at(url, Clock::system());
    match fixture.queues.open(&id("main")).await {
        Err(QueueError::StoreUnavailable(cause)) => cause.to_string(),
        other => panic!("{:?}", other.err()),
    }
}

#[tokio::test]
async fn a_redis_that_refuses_with_words_is_quoted() {
    let protected = refusing("DENIED Redis is running in protected mode", true);
    let told = refusal(&format!("redis://127.0.0.1:{protected}/0")).await;
    assert!(
        told.contains("DENIED Redis is running in protected mode"),
        "{told}"
    );
    let loading = refusing("LOADING Redis is loading the dataset in memory", false);
    let told = refusal(&format!("redis://127.0.0.1:{loading}/0")).await;
    assert!(told.contains("loading the dataset"), "{told}");

    let scratch = Scratch::new().unwrap();
    let locked = RedisOptions {
        password: Some("hunter2".to_owned()),
        ..RedisOptions::default()
    };
    let locked = Redis::start(scratch.path(), locked).unwrap();
    let told = refusal(&format!("redis://127.0.0.1:{}/0", locked.port())).await;
    assert!(told.contains("NOAUTH"), "{told}");
    let told = refusal(&format!("redis://:wrong@127.0.0.1:{}/0", locked.port())).await;
    assert!(
        told.contains("authentication failed") && !told.contains("wrong"),
        "{told}"
    );
}

#[tokio::test]
async fn tls_where_there_is_none_and_none_where_there_is_are_told_apart_from_a_broken_pipe() {
    let scratch = Scratch::new().unwrap();
    let files = tls_files(&scratch);
    let options = RedisOptions {
        tls: Some(files.clone()),
        ..RedisOptions::default()
    };
    let redis = Redis::start(scratch.path(), options).unwrap();
    let plain = redis.url().replace("redis://", "rediss://");
    let fixture = Fixture::behind(&trusting(&plain, &files), Clock::system());
    // It takes as long as a call may take; a busy machine is late with it once or twice.
    let told = eventually(PATIENCE, "the reason", async || {
        let told = match fixture.queues.open(&id("main")).await {
            Err(QueueError::StoreUnavailable(cause)) => cause.to_string(),
            other => panic!("{:?}", other.err()),
        };
        told.to_lowercase().contains("tls").then_some(told)
    })
    .await;
    assert!(!told.contains("pipe"), "{told}");
    let told = refusal(&redis.tls_url().replace("rediss://", "redis://")).await;
    assert!(told.contains("TLS") && !told.contains("pipe"), "{told}");
}
