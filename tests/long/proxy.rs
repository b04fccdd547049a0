//! What a gateway does over minutes and gigabytes: finds its rate before a real slow service, and passes
//! bodies of a gigabyte both ways without growing.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::Client;
use serde_json::{Value, json};
use testbed::{Scratch, Stack, StackOptions};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio::time::interval;
use uuid::Uuid;

use crate::slow_shop::{Seen, Service, work};

const HANDS: usize = 6;
const NEEDS: Duration = Duration::from_millis(200);
const TARGET: Duration = Duration::from_millis(600);
/// So many stand in line at any time.
const CROWD: usize = 120;
const MINUTE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_secs(30);

const GIGABYTE: usize = 1 << 30;
const PIECE: usize = 1 << 20;

/// Gateways before a service at this address.
fn stack(scratch: &Scratch, gateways: u16, url: String, access: &str) -> Stack {
    let mut options = StackOptions::new(scratch.path());
    options.gateways = gateways;
    options.upstream = Some(url);
    options.gateway_environment = vec![
        ("GATEWAY_ACCESS".into(), access.into()),
        ("GATEWAY_MAX_BODY_BYTES".into(), "none".into()),
        ("GATEWAY_IDENTITY".into(), "open".into()),
    ];
    Stack::start(options).unwrap()
}

async fn json_of(request: reqwest::RequestBuilder) -> Value {
    match request.send().await {
        Ok(answer) => answer.json().await.unwrap_or_default(),
        Err(_) => Value::Null,
    }
}

/// Visitors who come one after the other: each waits, asks for one thing, and is done.
async fn come_and_go(client: Client, gateway: String) {
    loop {
        let tokens = format!("{gateway}/api/v1/queues/slow/tokens");
        let body = json!({ "userId": Uuid::new_v4() });
        let mut place = json_of(client.post(&tokens).json(&body)).await;
        let token = place["token"].as_str().unwrap_or_default().to_owned();
        while place["state"] == "waiting" {
            let pause = place["pollAfterMs"].as_u64().unwrap_or(1_000);
            work(Duration::from_millis(pause)).await;
            place = json_of(client.get(format!("{tokens}/me")).bearer_auth(&token)).await;
        }
        let _ = client
            .get(format!("{gateway}/shop"))
            .bearer_auth(&token)
            .send()
            .await;
    }
}

/// Between 70 % and 110 % of what the service can bear, and answered within twice the target.
fn is_near(when: &str, seen: &Seen, hands: usize) {
    let capacity = hands as f64 / NEEDS.as_secs_f64();
    let part = seen.per_second / capacity;
    assert!((0.7..1.1).contains(&part), "{when}: {part}");
    assert!(seen.p95 < 2 * TARGET, "{when}: {:?}", seen.p95);
}

#[test]
fn a_rate_finds_what_a_service_bears_within_a_minute_and_again_when_that_changes() {
    Runtime::new().unwrap().block_on(async {
        let (service, url) = Service::start(HANDS, NEEDS).await;
        let scratch = Scratch::new().unwrap();
        let stack = stack(&scratch, 2, url, "active /**");
        let gateways = stack.gateway_urls();
        let client = Client::new();
        let policy = json!({
            "admitPerSecond": "auto", "autoMin": 1, "autoMax": 10_000, "maxActive": 10_000,
            "targetLatencyMs": TARGET.as_millis() as u64,
        });
        let rule = client.put(format!("{}/api/v1/queues/slow", gateways[0]));
        let ruled = rule
            .bearer_auth(stack.operator_key())
            .json(&policy)
            .send()
            .await;
        assert_eq!(
            ruled.unwrap().status(),
            201,
            "new, so that it begins at the least that is allowed"
        );
        let mut crowd = JoinSet::new();
        for number in 0..CROWD {
            crowd.spawn(come_and_go(client.clone(), gateways[number % 2].clone()));
        }
        work(MINUTE).await;
        is_near("after a cold start", &service.seen(LOOK).await, HANDS);
        service.lose(HANDS / 2).await;
        work(MINUTE).await;
        is_near("with half of it", &service.seen(LOOK).await, HANDS / 2);
        service.gain(HANDS / 2);
        work(MINUTE).await;
        is_near("with all of it again", &service.seen(LOOK).await, HANDS);
        let status = json_of(client.get(format!("{}/api/v1/queues/slow", gateways[1]))).await;
        assert_eq!(status["rate"]["mode"], "auto", "{status}");
        crowd.shutdown().await;
    });
}

/// A service that counts what it is sent, and sends a gigabyte back.
async fn giant() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let head = head_of(&mut stream).await;
                if head.starts_with("POST") {
                    swallow(&mut stream, GIGABYTE).await;
                }
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {GIGABYTE}\r\n\r\n");
                let _ = stream.write_all(answer.as_bytes()).await;
                let piece = vec![7; PIECE];
                for _ in 0..GIGABYTE / PIECE {
                    if stream.write_all(&piece).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    url
}

/// Byte by byte, so that nothing of the body is read.
async fn head_of(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

async fn swallow(stream: &mut TcpStream, mut left: usize) {
    let mut piece = vec![0; PIECE];
    while left > 0 {
        let read = stream.read(&mut piece).await.unwrap();
        assert!(read > 0, "{left} bytes are missing");
        left -= read.min(left);
    }
}

async fn memory_of(client: &Client, admin: &str) -> f64 {
    let text = client.get(format!("{admin}/metrics")).send().await.unwrap();
    let text = text.text().await.unwrap();
    let value = |line: &str| {
        line.strip_prefix("process_resident_memory_bytes ")?
            .parse()
            .ok()
    };
    text.lines().find_map(value).unwrap()
}

#[test]
fn a_gigabyte_passes_both_ways_and_the_gateway_does_not_grow() {
    Runtime::new().unwrap().block_on(async {
        let scratch = Scratch::new().unwrap();
        let stack = stack(&scratch, 1, giant().await, "public /**");
        let (url, admin) = (
            stack.gateway_urls()[0].clone(),
            stack.gateway_admin_urls()[0].clone(),
        );
        let client = Client::new();
        let before = memory_of(&client, &admin).await;
        let most = Arc::new(Mutex::new(before));
        let watching = tokio::spawn({
            let (client, admin, most) = (client.clone(), admin.clone(), Arc::clone(&most));
            async move {
                let mut tick = interval(Duration::from_millis(100));
                loop {
                    tick.tick().await;
                    let seen = memory_of(&client, &admin).await;
                    let mut most = most.lock().unwrap();
                    *most = most.max(seen);
                }
            }
        });
        let stream = TcpStream::connect(url.replace("http://", ""))
            .await
            .unwrap();
        let (mut down, mut up) = stream.into_split();
        let sending = tokio::spawn(async move {
            let head = format!("POST /x HTTP/1.1\r\nhost: x\r\ncontent-length: {GIGABYTE}\r\n\r\n");
            up.write_all(head.as_bytes()).await.unwrap();
            let piece = vec![9; PIECE];
            for _ in 0..GIGABYTE / PIECE {
                up.write_all(&piece).await.unwrap();
            }
            up
        });
        let (mut piece, mut got) = (vec![0; PIECE], 0_usize);
        while got < GIGABYTE {
            let read = down.read(&mut piece).await.unwrap();
            assert!(read > 0, "it broke after {got} bytes");
            got += read;
        }
        let _up = sending.await.unwrap();
        watching.abort();
        let grown = (*most.lock().unwrap() - before) / PIECE as f64;
        assert!(grown < 64.0, "{grown} MiB");
    });
}
