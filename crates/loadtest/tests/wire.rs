//! The client and the drivers against a server that says exactly what a test wants.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use loadtest::{Answer, Class, Closed, Connection, Fault, Open, Profile, Target};

const LIMIT: Duration = Duration::from_secs(10);

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

fn get(target: &Target) -> Vec<u8> {
    let mut request = Vec::new();
    target.request(&mut request, "GET", "/", &[], b"");
    request
}

async fn check(pieces: &'static [&'static str], wanted: impl Fn(Result<Answer<'_>, Fault>)) {
    let target = saying(pieces);
    let mut connection = Connection::new(target.clone(), LIMIT);
    // Twice, so that what one answer leaves behind is seen by the next.
    for _ in 0..2 {
        wanted(connection.send(&get(&target)).await);
    }
}

#[tokio::test]
async fn a_body_is_read_whole_however_it_comes() {
    let whole = |answer: Result<Answer<'_>, Fault>| {
        let answer = answer.unwrap();
        assert_eq!((answer.status, answer.body), (200, &b"hello, world"[..]));
    };
    check(
        &["HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nhello, world"],
        whole,
    )
    .await;
    check(
        &[
            "HTTP/1.1 20",
            "0 OK\r\ncontent-length: 12\r",
            "\n\r\nhello,",
            " world",
        ],
        whole,
    )
    .await;
    const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    check(&[CHUNKED, "7\r\nhello, \r\n5\r\nworld\r\n0\r\n\r\n"], whole).await;
    check(
        &[
            CHUNKED,
            "7",
            "\r\nhel",
            "lo, \r",
            "\n5\r\nworld\r\n0",
            "\r\n\r",
            "\n",
        ],
        whole,
    )
    .await;
}

#[tokio::test]
async fn answers_without_a_body_and_their_headers_are_read() {
    check(
        &["HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\nETag: \"a:b\"\r\n\r\n"],
        |answer| {
            let answer = answer.unwrap();
            assert_eq!((answer.status, answer.body), (304, &b""[..]));
            assert_eq!(answer.header("etag"), Some("\"a:b\""));
            assert_eq!(answer.header("retry-after"), None);
        },
    )
    .await;
    check(&["HTTP/1.1 204 No Content\r\n\r\n"], |answer| {
        assert_eq!(answer.unwrap().status, 204)
    })
    .await;
}

#[tokio::test]
async fn what_is_no_answer_is_a_fault_with_a_name() {
    check(&["SSH-2.0-hello\r\n\r\n"], |answer| {
        assert_eq!(answer, Err(Fault::Malformed))
    })
    .await;
    check(
        &["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n"],
        |answer| assert_eq!(answer, Err(Fault::Malformed)),
    )
    .await;
    let broken = server(|mut stream| {
        asked(&mut stream);
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nhel")
            .unwrap();
    });
    let silent = server(|mut stream| while asked(&mut stream) {});
    let closed = Target::local(
        TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port(),
    );
    for (target, fault) in [
        (broken, Fault::Broken),
        (silent, Fault::Timeout),
        (closed, Fault::Connect),
    ] {
        let limit = if fault == Fault::Timeout {
            Duration::from_millis(50)
        } else {
            LIMIT
        };
        let mut connection = Connection::new(target.clone(), limit);
        assert_eq!(connection.send(&get(&target)).await, Err(fault));
    }
}

#[tokio::test]
async fn a_connection_is_kept_until_the_server_closes_it() {
    const KEEP: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
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
    let mut connection = Connection::new(target.clone(), LIMIT);
    for number in 0..9 {
        assert_eq!(
            connection.send(&get(&target)).await.unwrap().status,
            200,
            "{number}"
        );
    }
    assert_eq!(connection.opened(), 3);
}

#[tokio::test]
async fn a_connection_that_was_closed_while_idle_is_opened_again() {
    let target = server(|mut stream| {
        asked(&mut stream);
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            .unwrap();
        // The client may be faster and have closed it already.
        let _ = stream.shutdown(Shutdown::Both);
    });
    let mut connection = Connection::new(target.clone(), LIMIT);
    for _ in 0..3 {
        assert_eq!(connection.send(&get(&target)).await.unwrap().status, 200);
        // The clock stands still for the jump alone, so that no time limit ends meanwhile.
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(2)).await;
        tokio::time::resume();
    }
    assert_eq!(connection.opened(), 3);
}

#[test]
fn a_closed_loop_counts_what_its_connections_get() {
    let target = saying(&["HTTP/1.1 409 Conflict\r\nContent-Length: 2\r\n\r\n{}"]);
    let closed = Closed {
        threads: 2,
        warm_up: Duration::ZERO,
        ..Closed::new(4, Duration::from_millis(200))
    };
    let request = get(&target);
    let measured = closed
        .run(&target, |_| {
            let request = request.clone();
            move |buffer: &mut Vec<u8>| buffer.extend_from_slice(&request)
        })
        .unwrap();
    assert!(measured.count() >= 4, "{measured:?}");
    assert_eq!(measured.of(Class::Refusal), measured.count());
    assert_eq!(measured.statuses()[&409], measured.count());
}

#[test]
fn an_open_loop_sends_what_is_due_and_counts_the_wait_from_then() {
    let served = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&served);
    // The first request is not answered before its client gives up; all others wait behind it.
    let target = server(move |mut stream| {
        while asked(&mut stream) {
            if seen.fetch_add(1, Ordering::SeqCst) > 0 {
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                    .unwrap();
            }
        }
    });
    let open = Open {
        limit: Duration::from_millis(400),
        ..Open::new(1)
    };
    let arrivals = Profile::steady(100.0, Duration::from_millis(200)).even();
    let request = get(&target);
    let measured = open
        .run(&target, arrivals, |_| {
            let request = request.clone();
            move |buffer: &mut Vec<u8>| buffer.extend_from_slice(&request)
        })
        .unwrap();
    assert_eq!(measured.count(), 20);
    assert_eq!(measured.faults()[&Fault::Timeout], 1);
    assert_eq!(served.load(Ordering::SeqCst), 20);
    // The last was due 190 ms after the first, which took 400 ms: each of them waited for at least the difference.
    assert!(
        measured.percentile_ms(1.0) >= 200.0,
        "{}",
        measured.percentile_ms(1.0)
    );
}
