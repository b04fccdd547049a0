//! `booking forward` and `booking receive` as processes: the whole way of an event, and a clean end.

use std::fs;
use std::process::Command;
use std::time::Duration;

use testbed::{Program, ProgramOptions, Scratch};
use uuid::Uuid;

use crate::forward_inbox::SECRET;
use crate::publish_post::Post;

const SOON: Duration = Duration::from_secs(60);

fn start(scratch: &Scratch, act: &str, port: u16, environment: &[(&str, &str)]) -> Program {
    let environment = environment
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let options = ProgramOptions {
        binary: env!("CARGO_BIN_EXE_booking").into(),
        arguments: vec![act.to_owned()],
        environment: environment.collect(),
        port,
        log: scratch.path().join(format!("{act}.log")),
    };
    let mut program = Program::start(act, options).unwrap();
    program.wait_ready(SOON).unwrap();
    program
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_goes_the_whole_way_and_both_programs_end_well() {
    let (post, scratch) = (Post::open().await, Scratch::new().unwrap());
    let [receive_port, forward_port] = [testbed::free_port(), testbed::free_port()];
    let [receive_at, forward_at] =
        [receive_port, forward_port].map(|port| format!("127.0.0.1:{port}"));
    let mut receiver = start(
        &scratch,
        "receive",
        receive_port,
        &[
            ("BOOKING_RECEIVE_LISTEN", receive_at.as_str()),
            ("BOOKING_WEBHOOK_SECRET", SECRET),
        ],
    );
    let mut forwarder = start(
        &scratch,
        "forward",
        forward_port,
        &[
            ("BOOKING_FORWARD_LISTEN", forward_at.as_str()),
            ("BOOKING_MYSQL_URL", post.fixture.url.as_str()),
            (
                "BOOKING_KAFKA_BROKERS",
                post.broker.bootstrap_servers().as_str(),
            ),
            (
                "BOOKING_WEBHOOK_URL",
                &format!("http://{receive_at}/events"),
            ),
            ("BOOKING_WEBHOOK_SECRET", SECRET),
        ],
    );
    let reservation = Uuid::new_v4();
    post.record(reservation, 0..2).await;
    post.drain(&post.publisher(0)).await;
    let lines = testbed::wait_for("two lines", SOON, || {
        let text = fs::read_to_string(receiver.log()).ok()?;
        let lines: Vec<_> = text.lines().map(str::to_owned).collect();
        (lines.len() == 2).then_some(lines)
    });
    for (number, line) in lines.unwrap().iter().enumerate() {
        let says = format!("reservation.held reservation/{reservation} ");
        assert!(line.contains(&says), "{line}");
        assert!(
            line.ends_with(&format!("{{\"number\":{number}}}")),
            "{line}"
        );
    }
    let metrics = reqwest::get(format!("http://{forward_at}/metrics")).await;
    let metrics = metrics.unwrap().text().await.unwrap();
    assert!(
        metrics.contains("booking_forward_passed_total 2"),
        "{metrics}"
    );
    assert_eq!(
        forwarder.terminate().unwrap(),
        0,
        "{}",
        forwarder.log_tail()
    );
    assert!(!forwarder.log_tail().contains(SECRET));
    assert_eq!(receiver.terminate().unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_receiver_takes_nothing_that_is_not_signed() {
    let scratch = Scratch::new().unwrap();
    let port = testbed::free_port();
    let at = format!("127.0.0.1:{port}");
    let receiver = start(
        &scratch,
        "receive",
        port,
        &[
            ("BOOKING_RECEIVE_LISTEN", at.as_str()),
            ("BOOKING_WEBHOOK_SECRET", SECRET),
        ],
    );
    let client = reqwest::Client::new();
    let bare = client.post(format!("http://{at}/events")).body("{}");
    assert_eq!(bare.send().await.unwrap().status(), 401);
    let forged = client
        .post(format!("http://{at}/events"))
        .header("Webhook-Id", "1")
        .header("Webhook-Timestamp", "1767225599")
        .header("Webhook-Signature", "v1,AAAA")
        .body("{}");
    assert_eq!(forged.send().await.unwrap().status(), 401);
    assert_eq!(receiver.log_tail(), "");
}

#[test]
fn what_is_missing_is_told_by_name_with_exit_code_64() {
    for (act, names) in [
        (
            "forward",
            &[
                "BOOKING_MYSQL_URL",
                "BOOKING_KAFKA_BROKERS",
                "BOOKING_WEBHOOK_URL",
                "BOOKING_WEBHOOK_SECRET",
            ][..],
        ),
        ("receive", &["BOOKING_WEBHOOK_SECRET"][..]),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_booking"));
        let ended = command.env_clear().arg(act).output().unwrap();
        let told = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(64), "{told}");
        assert!(names.iter().all(|name| told.contains(name)), "{told}");
        let mut command = Command::new(env!("CARGO_BIN_EXE_booking"));
        let help = command.env_clear().args([act, "--help"]).output().unwrap();
        let page = String::from_utf8_lossy(&help.stdout).into_owned();
        assert!(names.iter().all(|name| page.contains(name)), "{page}");
    }
}
