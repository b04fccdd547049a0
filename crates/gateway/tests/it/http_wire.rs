//! The way through, byte for byte: what a service sends is what a client gets, or the connection
//! breaks.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::interval;

use crate::raw::{Player, Wire, answer_to};
use crate::test_app::TestApp;

/// What a client gets for a request, when the service answers with these bytes and closes or not.
struct Case {
    name: &'static str,
    request: &'static str,
    answer: &'static str,
    closes: bool,
    wanted: fn(&str) -> bool,
}

pub const GET: &str = "GET /x HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n\r\n";

const CASES: &[Case] = &[
    Case {
        name: "HEAD has the length that the service names",
        request: "HEAD /x HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n\r\n",
        answer: "HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n",
        closes: false,
        wanted: |it| it.contains("content-length: 5000\r\n") && it.ends_with("\r\n\r\n"),
    },
    Case {
        name: "HEAD has no length where the service names none",
        request: "HEAD /x HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n\r\n",
        answer: "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
        closes: false,
        wanted: |it| !it.contains("content-length") && !it.contains("chunked"),
    },
    Case {
        name: "a chunked answer that is cut breaks",
        request: GET,
        answer: "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
        closes: true,
        wanted: |it| !it.ends_with("0\r\n\r\n"),
    },
    Case {
        name: "a chunk that is cut breaks",
        request: GET,
        answer: "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhe",
        closes: true,
        wanted: |it| !it.ends_with("0\r\n\r\n"),
    },
    Case {
        name: "an answer of a known length that is cut is short",
        request: GET,
        answer: "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello",
        closes: true,
        wanted: |it| {
            it.is_empty() || it.contains("content-length: 10\r\n") && !it.ends_with("hellohello")
        },
    },
    Case {
        name: "an answer ended by close is whole",
        request: GET,
        answer: "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\nall of it",
        closes: true,
        wanted: |it| it.contains("9\r\nall of it\r\n") && it.ends_with("0\r\n\r\n"),
    },
    Case {
        name: "an answer of HTTP/1.0 ended by close is whole",
        request: GET,
        answer: "HTTP/1.0 200 OK\r\n\r\nall of it",
        closes: true,
        wanted: |it| it.contains("9\r\nall of it\r\n") && it.ends_with("0\r\n\r\n"),
    },
    Case {
        name: "103 before the answer",
        request: GET,
        answer: "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
        closes: false,
        wanted: |it| it.contains("HTTP/1.1 200 OK\r\n") && it.ends_with("\r\n\r\nok"),
    },
    Case {
        name: "102 and 100 before the answer",
        request: GET,
        answer: "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
        closes: false,
        wanted: |it| it.contains("HTTP/1.1 200 OK\r\n") && it.ends_with("\r\n\r\nok"),
    },
    Case {
        name: "a client of HTTP/1.0 gets no chunks",
        request: "GET /x HTTP/1.0\r\n\r\n",
        answer: "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        closes: false,
        wanted: |it| !it.contains("chunked") && it.ends_with("\r\n\r\nhello"),
    },
    Case {
        name: "101 that nobody asked for",
        request: GET,
        answer: "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
        closes: false,
        wanted: |it| it.starts_with("HTTP/1.1 502") && it.contains("UPSTREAM_INVALID"),
    },
    Case {
        name: "no answer at all",
        request: GET,
        answer: "",
        closes: true,
        wanted: |it| it.starts_with("HTTP/1.1 502") && it.contains("UPSTREAM_UNREACHABLE"),
    },
    Case {
        name: "what is not HTTP",
        request: GET,
        answer: "SSH-2.0-OpenSSH_9.2\r\n",
        closes: true,
        wanted: |it| it.starts_with("HTTP/1.1 502") && it.contains("UPSTREAM_INVALID"),
    },
    Case {
        name: "204 and 304 have no body, and 304 keeps its length",
        request: GET,
        answer: "HTTP/1.1 304 Not Modified\r\netag: \"1\"\r\ncontent-length: 42\r\n\r\n",
        closes: false,
        wanted: |it| it.contains("content-length: 42\r\n") && it.ends_with("\r\n\r\n"),
    },
    Case {
        name: "several cookies and odd bytes pass",
        request: GET,
        answer: "HTTP/1.1 200 OK\r\nset-cookie: a=1\r\nset-cookie: b=2\r\nx-odd: caf\u{e9}\r\ncontent-length: 0\r\n\r\n",
        closes: false,
        wanted: |it| {
            it.contains("set-cookie: a=1\r\n")
                && it.contains("set-cookie: b=2\r\n")
                && it.contains("x-odd: caf")
        },
    },
    Case {
        name: "CONNECT",
        request: "CONNECT shop:80 HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n\r\n",
        answer: "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        closes: false,
        wanted: |it| it.starts_with("HTTP/1.1 405") && it.contains("allow: "),
    },
    Case {
        name: "TRACE",
        request: "TRACE /x HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n\r\n",
        answer: "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        closes: false,
        wanted: |it| it.starts_with("HTTP/1.1 405") && it.contains("allow: "),
    },
];

/// A gateway that lets everybody pass to this service.
pub async fn before(player: &Player, more: &[(&'static str, &str)]) -> (TestApp, String) {
    let mut variables = vec![
        ("GATEWAY_UPSTREAM", player.url.as_str()),
        ("GATEWAY_ACCESS", "public /**"),
    ];
    variables.extend(more);
    let app = TestApp::with(&variables).await;
    let address = app.url.replace("http://", "");
    (app, address)
}

/// A service that answers everything with this, and tells what it was sent.
pub async fn answering(answer: String) -> (Player, mpsc::UnboundedReceiver<String>) {
    let (told, heard) = mpsc::unbounded_channel();
    let player = Player::start(move |mut wire, _| {
        let (answer, told) = (answer.clone(), told.clone());
        async move {
            loop {
                let head = wire.head().await;
                if head.is_empty() {
                    return;
                }
                told.send(head).unwrap();
                wire.send(&answer).await;
            }
        }
    });
    (player.await, heard)
}

pub const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[actix_web::test]
async fn what_a_service_sends_is_what_a_client_gets_or_the_connection_breaks() {
    for case in CASES {
        let player = Player::start(move |mut wire, _| async move {
            wire.head().await;
            wire.send(case.answer).await;
            if !case.closes {
                wire.rest().await;
            }
        })
        .await;
        let (app, address) = before(&player, &[]).await;
        let got = answer_to(&address, case.request).await;
        assert!((case.wanted)(&got), "{}: {got}", case.name);
        app.close().await;
    }
}

#[actix_web::test]
async fn an_answer_may_have_256_header_lines() {
    let lines: String = (0..250).map(|at| format!("x-{at}: {at}\r\n")).collect();
    let answer = format!("HTTP/1.1 200 OK\r\n{lines}content-length: 2\r\n\r\nok");
    let (player, _heard) = answering(answer).await;
    let (app, address) = before(&player, &[]).await;
    let got = answer_to(&address, GET).await;
    assert!(
        got.starts_with("HTTP/1.1 200") && got.contains("x-249: 249\r\n"),
        "{got}"
    );
    app.close().await;
}

#[actix_web::test]
async fn a_request_arrives_as_it_was_sent_and_via_is_added() {
    let (player, mut heard) = answering(OK.to_owned()).await;
    let (app, address) = before(&player, &[]).await;
    for path in [
        "/caf%c3%a9/%41?q=%2f",
        "//a//b",
        "/a%2Fb",
        "/a%5Cb",
        "/a\\b",
        "/a;b=c/d",
    ] {
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: shop.example\r\nconnection: close\r\n\r\n");
        assert!(answer_to(&address, request).await.ends_with("ok"), "{path}");
        let head = heard.recv().await.unwrap();
        assert!(
            head.starts_with(&format!("GET {path} HTTP/1.1\r\n")),
            "{head}"
        );
        assert!(head.contains("host: shop.example\r\n"), "{head}");
        assert!(head.contains("via: 1.1 usher-"), "{head}");
        for own in ["content-length", "date", "transfer-encoding", "accept"] {
            assert!(!head.contains(own), "{own}: {head}");
        }
    }
    for dots in ["/a/../b", "/a/%2e%2e/b", "/a/..;/b", "/a%2f..%2fb"] {
        let request = format!("GET {dots} HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n\r\n");
        let got = answer_to(&address, request).await;
        assert!(got.starts_with("HTTP/1.1 400"), "{dots}");
    }
    app.close().await;
}

#[actix_web::test]
async fn a_request_that_comes_round_is_refused() {
    let (player, mut heard) = answering(OK.to_owned()).await;
    let (app, _) = before(&player, &[]).await;
    app.get("/x").send().await.unwrap();
    let head = heard.recv().await.unwrap();
    let via = head
        .lines()
        .find_map(|it| it.strip_prefix("via: "))
        .unwrap();
    let round = app
        .get("/x")
        .header("Via", format!("1.1 other, {via}, 1.0 third"));
    assert_eq!(round.send().await.unwrap().status(), 508);
    let other = app.get("/x").header("Via", "1.1 usher-0123456789");
    assert_eq!(other.send().await.unwrap().status(), 200);
    app.close().await;
}

#[actix_web::test]
async fn headers_of_the_gateway_spelled_with_underscores_do_not_pass() {
    let (player, mut heard) = answering(OK.to_owned()).await;
    let (app, address) = before(&player, &[]).await;
    let forged = "GET /x HTTP/1.1\r\nhost: shop\r\nX_Usher_Pass: forged\r\nX_Forwarded_For: 6.6.6.6\r\n\
         X_Mine: kept\r\nCookie: a=caf\u{e9}; usher_token_main=t; b=c\r\nconnection: close\r\n\r\n";
    answer_to(&address, forged).await;
    let head = heard.recv().await.unwrap();
    assert!(
        !head.contains("forged") && !head.contains("6.6.6.6"),
        "{head}"
    );
    assert!(head.contains("x_mine: kept\r\n"), "{head}");
    assert!(head.contains("cookie: a=caf\u{e9}; b=c\r\n"), "{head}");
    app.close().await;
}

#[actix_web::test]
async fn the_time_of_the_service_begins_when_the_body_is_over() {
    let player = Player::start(|mut wire, _| async move {
        wire.head().await;
        wire.take(60_000).await;
        wire.send(OK).await;
    })
    .await;
    let limits = [("GATEWAY_UPSTREAM_TIMEOUT_MS", "300")];
    let (app, address) = before(&player, &limits).await;
    let mut client = Wire::to(&address).await;
    client
        .send(
            "POST /x HTTP/1.1\r\nhost: shop\r\ncontent-length: 60000\r\nconnection: close\r\n\r\n",
        )
        .await;
    let mut tick = interval(Duration::from_millis(50));
    for _ in 0..12 {
        tick.tick().await;
        client.send("x".repeat(5_000)).await;
    }
    let got = client.rest().await;
    assert!(got.starts_with("HTTP/1.1 200"), "{got}");
    app.close().await;
}

#[actix_web::test]
async fn a_client_that_stalls_within_its_body_is_told_so() {
    let player = Player::start(|mut wire, _| async move {
        wire.rest().await;
    })
    .await;
    let limits = [("GATEWAY_UPLOAD_PAUSE_MS", "100")];
    let (app, address) = before(&player, &limits).await;
    let cut = "POST /x HTTP/1.1\r\nhost: shop\r\ncontent-length: 10\r\n\r\nhello";
    let got = answer_to(&address, cut).await;
    assert!(
        got.starts_with("HTTP/1.1 408") && got.contains("BODY_TOO_SLOW"),
        "{got}"
    );
    app.close().await;
}

#[actix_web::test]
async fn an_answer_before_the_body_was_read_is_passed_on() {
    let player = Player::start(|mut wire, _| async move {
        wire.head().await;
        wire.send(
            "HTTP/1.1 413 Content Too Large\r\ncontent-length: 3\r\nconnection: close\r\n\r\nbig",
        )
        .await;
        wire.rest().await;
    })
    .await;
    let (app, address) = before(&player, &[]).await;
    let mut client = Wire::to(&address).await;
    client
        .send("POST /x HTTP/1.1\r\nhost: shop\r\ncontent-length: 60000\r\n\r\nhello")
        .await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 413"), "{head}");
    assert_eq!(client.take(3).await, "big");
    app.close().await;
}

#[actix_web::test]
async fn pieces_pass_both_ways_as_they_come() {
    let player = Player::start(|mut wire, _| async move {
        wire.head().await;
        wire.until("hello\r\n").await;
        wire.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nyes\r\n")
            .await;
        wire.until("0\r\n\r\n").await;
        wire.send("4\r\ndone\r\n0\r\n\r\n").await;
        wire.rest().await;
    })
    .await;
    let (app, address) = before(&player, &[]).await;
    let mut client = Wire::to(&address).await;
    client
        .send("POST /x HTTP/1.1\r\nhost: shop\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n")
        .await;
    client.until("yes\r\n").await;
    client.send("0\r\n\r\n").await;
    assert!(client.until("0\r\n\r\n").await.contains("done"));
    app.close().await;
}
