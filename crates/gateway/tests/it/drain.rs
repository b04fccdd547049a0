//! How the process ends: it says that it is not ready and answers on, then listens no more, then finishes what runs.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use testbed::{Program, ProgramOptions, Redis, RedisOptions, Scratch, free_port, wait_for};

use crate::test_app::{PASS_SECRET, PATIENCE, SECRET};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";

/// A service behind that answers each request when it is told to.
struct Service {
    url: String,
    arrived: Receiver<()>,
    answer: Sender<()>,
}

impl Service {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let ((told, arrived), (answer, wait)) = (channel(), channel());
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                if head(&mut stream).is_empty() || told.send(()).is_err() || wait.recv().is_err() {
                    continue;
                }
                let _ = stream.write_all(OK);
            }
        });
        Self {
            url,
            arrived,
            answer,
        }
    }
}

/// A gateway as a process of its own, through which everybody gets to the service.
struct Fixture {
    gateway: Program,
    admin_port: u16,
    service: Service,
    _redis: Redis,
    _scratch: Scratch,
}

fn started(drain_s: &str) -> Fixture {
    let (scratch, service) = (Scratch::new().unwrap(), Service::start());
    let redis = Redis::start(scratch.path(), RedisOptions::default()).unwrap();
    let (port, admin_port) = (free_port(), free_port());
    let environment = [
        ("GATEWAY_LISTEN", format!("127.0.0.1:{port}")),
        ("GATEWAY_ADMIN_LISTEN", format!("127.0.0.1:{admin_port}")),
        ("GATEWAY_REDIS_URL", redis.url()),
        ("GATEWAY_UPSTREAM", service.url.clone()),
        ("GATEWAY_ACCESS", "public /**".to_owned()),
        ("GATEWAY_TOKEN_KEYS", format!("k1:{SECRET}")),
        ("GATEWAY_PASS_KEY", PASS_SECRET.to_owned()),
        ("GATEWAY_IDENTITY", "open".to_owned()),
        ("GATEWAY_DRAIN_S", drain_s.to_owned()),
        ("GATEWAY_GRACE_S", "30".to_owned()),
    ];
    let options = ProgramOptions {
        binary: env!("CARGO_BIN_EXE_gateway").into(),
        arguments: Vec::new(),
        environment: environment
            .map(|(name, value)| (name.to_owned(), value))
            .into(),
        port,
        log: scratch.path().join("gateway.log"),
    };
    let mut gateway = Program::start("gateway", options).unwrap();
    gateway.wait_ready(2 * PATIENCE).unwrap();
    Fixture {
        gateway,
        admin_port,
        service,
        _redis: redis,
        _scratch: scratch,
    }
}

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn send(stream: &mut TcpStream, path: &str) {
    let request = format!("GET {path} HTTP/1.1\r\nhost: shop\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
}

/// The next head in small letters; empty when the connection ends before it does.
fn head(stream: &mut TcpStream) -> String {
    let (mut seen, mut byte) = (Vec::new(), [0]);
    while !seen.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => seen.push(byte[0]),
            _ => return String::new(),
        }
    }
    String::from_utf8_lossy(&seen).to_lowercase()
}

/// The head of the next answer; its body is read and left out.
fn answer(stream: &mut TcpStream) -> String {
    let head = head(stream);
    let mut lines = head.lines();
    let length = lines.find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or_default()];
    stream.read_exact(&mut body).unwrap();
    head
}

fn ask(stream: &mut TcpStream, path: &str) -> String {
    send(stream, path);
    answer(stream)
}

fn is_last(answer: &str) -> bool {
    answer.starts_with("http/1.1 200") && answer.contains("connection: close\r\n")
}

#[test]
fn a_gateway_that_drains_is_not_ready_answers_on_and_ends_each_connection_with_its_answer() {
    let mut fixture = started("300");
    let gateway = &mut fixture.gateway;
    let port = gateway.port();
    let mut kept = connect(port);
    for _ in 0..2 {
        let before = ask(&mut kept, "/live");
        assert!(before.starts_with("http/1.1 200"), "{before}");
        assert!(!before.contains("connection: close"), "{before}");
    }
    gateway.ask_to_stop();
    for port in [port, fixture.admin_port] {
        let is_draining = || {
            let ready = ask(&mut connect(port), "/ready");
            ready.starts_with("http/1.1 503").then_some(())
        };
        wait_for("a gateway that is not ready", PATIENCE, is_draining).unwrap();
    }
    let last = ask(&mut kept, "/live");
    assert!(is_last(&last), "{last}");
    assert_eq!(kept.read(&mut [0]).unwrap(), 0, "it is closed behind it");
    fixture.service.answer.send(()).unwrap();
    let passed = ask(&mut connect(port), "/shop");
    assert!(is_last(&passed), "{passed}");
    assert_eq!(gateway.ended(), None, "the drain is not over");
    // A second signal ends it.
    assert_eq!(gateway.terminate().unwrap(), 0, "{}", gateway.log_tail());
}

#[test]
fn what_runs_when_the_drain_is_over_is_finished_and_nobody_new_is_heard() {
    let mut fixture = started("1");
    let (gateway, service) = (&mut fixture.gateway, &fixture.service);
    let port = gateway.port();
    let mut slow = connect(port);
    send(&mut slow, "/shop");
    service.arrived.recv_timeout(PATIENCE).unwrap();
    gateway.ask_to_stop();
    let is_deaf = || {
        TcpStream::connect(("127.0.0.1", port))
            .is_err()
            .then_some(())
    };
    wait_for("an end of listening", PATIENCE, is_deaf).unwrap();
    assert_eq!(gateway.ended(), None, "it waits for what runs");
    service.answer.send(()).unwrap();
    let finished = answer(&mut slow);
    assert!(is_last(&finished), "{finished}");
    assert_eq!(gateway.wait_stopped().unwrap(), 0, "{}", gateway.log_tail());
}
