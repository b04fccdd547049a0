//! The client and the drivers against a server that says exactly what a test wants.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use loadtest::{Answer, Class, Connection, Fault, Operator, Request, Target, closed};
use serde_json::json;

const LIMIT: Duration = Duration::from_secs(10);
/// An answer after which the connection stays.
const KEEP: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// Serves each connection with `serve`, on a thread of its own, until the test process ends.
fn server(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Target {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let serve = Arc::new(serve);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let serve = Arc::clone(&serve);
            thread::spawn(move || serve(stream.unwrap()));
        }
    });
    Target::local(port)
}

/// Reads one request without a body; false when the client is gone.
fn asked(stream: &mut TcpStream) -> bool {
    let (mut request, mut byte) = (Vec::new(), [0]);
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => request.push(byte[0]),
            _ => return false,
        }
    }
    true
}

/// Answers every request with these pieces, each in a packet of its own.
fn saying(pieces: &'static [&'static str]) -> Target {
    server(move |mut stream| {
        stream.set_nodelay(true).unwrap();
        while asked(&mut stream) {
            for piece in pieces {
                if stream.write_all(piece.as_bytes()).is_err() {
                    return;
                }
                thread::yield_now();
            }
        }
    })
}

async fn check(pieces: &'static [&'static str], wanted: impl Fn(Result<Answer, Fault>)) {
    let target = saying(pieces);
    let mut connection = Connection::new(target, LIMIT);
    // Twice, so that what one answer leaves behind is seen by the next.
    for _ in 0..2 {
        wanted(connection.send(Request::get("/")).await);
    }
}

#[tokio::test]
async fn a_body_is_read_whole_however_it_comes() {
    const LONG: &str = "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n";
    const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let whole = |answer: Result<Answer, Fault>| {
        let answer = answer.unwrap();
        assert_eq!((answer.status, &*answer.body), (200, &b"hello, world"[..]));
    };
    check(&[LONG, "hello,", " world"], whole).await;
    const PIECES: &[&str] = &[
        CHUNKED,
        "7",
        "\r\nhel",
        "lo, \r",
        "\n5\r\nworld\r\n0",
        "\r\n\r",
        "\n",
    ];
    check(PIECES, whole).await;
}

#[tokio::test]
async fn answers_without_a_body_and_their_headers_are_read() {
    const UNCHANGED: &str =
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\nETag: \"a:b\"\r\n\r\n";
    check(&[UNCHANGED], |answer| {
        let answer = answer.unwrap();
        assert_eq!((answer.status, &answer.body[..]), (304, &b""[..]));
        assert_eq!(answer.header("etag"), Some("\"a:b\""));
        assert_eq!(answer.header("retry-after"), None);
    })
    .await;
}

#[tokio::test]
async fn what_is_no_answer_is_a_fault_with_a_name() {
    const ENDLESS: &str =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n";
    let malformed = |answer: Result<_, _>| assert_eq!(answer, Err(Fault::Malformed));
    check(&["SSH-2.0-hello\r\n\r\n"], malformed).await;
    check(&[ENDLESS], malformed).await;
    let broken = server(|mut stream| {
        asked(&mut stream);
        let half = b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nhel";
        stream.write_all(half).unwrap();
    });
    let silent = server(|mut stream| while asked(&mut stream) {});
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = Target::local(listener.local_addr().unwrap().port());
    drop(listener);
    for (target, fault, limit) in [
        (broken, Fault::Broken, LIMIT),
        (silent, Fault::Timeout, Duration::from_millis(50)),
        (closed, Fault::Connect, LIMIT),
    ] {
        let mut connection = Connection::new(target, limit);
        assert_eq!(connection.send(Request::get("/")).await, Err(fault));
    }
}

#[tokio::test]
async fn a_request_says_its_host_and_only_a_body_has_a_type() {
    let (sender, heads) = mpsc::channel();
    let target = server(move |mut stream| {
        let mut request = [0; 1024];
        let length = stream.read(&mut request).unwrap();
        let text = String::from_utf8_lossy(&request[..length]).to_lowercase();
        sender.send(text).unwrap();
        let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n");
    });
    let host = format!("host: {}\r\n", target.address());
    let typed = "content-type: application/json\r\n";
    for (request, is_typed) in [
        (Request::get("/a").with("x-b", "c"), false),
        (Request::post("/a", &json!({})), true),
    ] {
        let mut connection = Connection::new(target, LIMIT);
        connection.send(request).await.unwrap();
        let told = heads.recv().unwrap();
        assert!(told.contains(&host), "{told}");
        assert_eq!(told.contains(typed), is_typed, "{told}");
    }
}

#[tokio::test]
async fn a_connection_is_kept_until_the_server_closes_it() {
    const CLOSE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let target = server(|mut stream| {
        for answer in [KEEP, KEEP, CLOSE] {
            if asked(&mut stream) {
                stream.write_all(answer).unwrap();
            }
        }
        // The client may be faster and have closed it already.
        let _ = stream.shutdown(Shutdown::Both);
    });
    let mut connection = Connection::new(target, LIMIT);
    for number in 0..9 {
        let answer = connection.send(Request::get("/")).await;
        assert_eq!(answer.map(|it| it.status), Ok(200), "{number}");
    }
    assert_eq!(connection.opened(), 3);
}

#[tokio::test]
async fn a_connection_that_was_closed_while_idle_is_opened_again() {
    let target = server(|mut stream| {
        asked(&mut stream);
        stream.write_all(KEEP).unwrap();
        // The client may be faster and have closed it already.
        let _ = stream.shutdown(Shutdown::Both);
    });
    let mut connection = Connection::new(target, LIMIT);
    for _ in 0..3 {
        let answer = connection.send(Request::get("/")).await.unwrap();
        assert_eq!(answer.status, 200);
        // The clock stands still for the jump alone, so that no time limit ends meanwhile.
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(2)).await;
        tokio::time::resume();
    }
    assert_eq!(connection.opened(), 3);
}

#[tokio::test]
async fn an_operator_asks_a_busy_server_again_and_one_that_refuses_no_more() {
    let said = ["200 OK", "403 Forbidden", "503 Service Unavailable"];
    let left = Mutex::new(said.to_vec());
    let target = server(move |mut stream| {
        asked(&mut stream);
        let status = left.lock().unwrap().pop().unwrap();
        write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").unwrap();
    });
    let shown = Operator::new(vec![target], "key").look("/books").await;
    assert_eq!(shown, Err("GET /books answered 403: ".to_owned()));
}

#[test]
fn a_closed_loop_counts_what_its_connections_get() {
    let target = saying(&["HTTP/1.1 409 Conflict\r\nContent-Length: 2\r\n\r\n{}"]);
    let span = (Duration::ZERO, Duration::from_millis(200));
    let request = Request::get("/");
    let same = |_| {
        let request = request.clone();
        move || request.clone()
    };
    let measured = closed((target, 4), span, same).unwrap();
    assert!(measured.count() >= 4, "{measured:?}");
    assert_eq!(measured.of(Class::Refusal), measured.count());
    assert_eq!(measured.with(Ok(409)), measured.count());
}
