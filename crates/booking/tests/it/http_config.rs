//! The program on the command line: clear words and the right exit code, never a panic.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Output};
use std::time::Duration;

use testbed::{Program, ProgramOptions, Scratch};

fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_booking"));
    command
        .env_clear()
        .args(arguments)
        .envs(variables.iter().copied());
    command.output().expect("it runs")
}

fn told(output: &Output) -> String {
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !told.contains("panicked") && !told.contains("RUST_BACKTRACE"),
        "{told}"
    );
    told
}

const KEY: &str = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldC0wMQ";

#[test]
fn help_lists_every_variable_that_is_read_with_its_default() {
    for flag in ["--help", "-h"] {
        let help = run(&[flag], &[]);
        assert_eq!(help.status.code(), Some(0));
        let help = String::from_utf8(help.stdout).expect("text");
        for line in [
            "BOOKING_LISTEN  [default: 127.0.0.1:8081]",
            "BOOKING_ADMIN_LISTEN  [default: 127.0.0.1:9081]",
            "BOOKING_MYSQL_URL  [required]",
            "BOOKING_REDIS_URL  [default: redis://127.0.0.1:6379/0]",
            "BOOKING_REDIS_CA  [optional]",
            "BOOKING_PASS_KEY  [required]",
            "BOOKING_HOLD_S  [default: 300]",
            "BOOKING_MAX_SEATS  [default: 4]",
            "BOOKING_DB_POOL  [default: 16]",
            "BOOKING_WORKERS  [default: 0]",
            "BOOKING_GRACE_S  [default: 10]",
            "BOOKING_START_WAIT_S  [default: 30]",
            "BOOKING_SWEEP_BATCH  [default: 100]",
            "BOOKING_CACHE_MS  [default: 500]",
            "BOOKING_KAFKA_BROKERS  [optional]",
            "BOOKING_KAFKA_OPTIONS  [optional]",
            "BOOKING_KAFKA_TOPIC  [default: booking.events.v1]",
            "BOOKING_OUTBOX_REFUSALS  [default: 20]",
            "BOOKING_OUTBOX_KEEP_DAYS  [default: 7]",
            "LOG_CONFIG  [optional]",
            "LOG_LEVEL  [default: info]",
        ] {
            assert!(help.contains(line), "{line}");
        }
    }
}

#[test]
fn the_document_and_the_version_need_no_configuration() {
    let document = run(&["openapi"], &[]);
    assert_eq!(
        (document.status.code(), document.stdout.last()),
        (Some(0), Some(&b'\n'))
    );
    assert_eq!(
        String::from_utf8_lossy(&document.stdout),
        booking::api::openapi()
    );
    let version = run(&["--version"], &[]);
    assert!(String::from_utf8_lossy(&version.stdout).starts_with("booking "));
}

#[test]
fn a_bad_command_line_or_configuration_is_exit_code_64_and_names_every_mistake() {
    assert_eq!(run(&["dance"], &[]).status.code(), Some(64));
    let bare = run(&[], &[]);
    let words = told(&bare);
    assert_eq!(bare.status.code(), Some(64));
    assert!(
        words.contains("BOOKING_MYSQL_URL") && words.contains("BOOKING_PASS_KEY"),
        "{words}"
    );
    let odd = run(
        &["serve"],
        &[
            ("BOOKING_MYSQL_URL", "postgres://root:hunter2@host/x"),
            ("BOOKING_PASS_KEY", "hunter2"),
            ("BOOKING_HOLD_S", "0"),
            ("BOOKING_LISTEN", "nowhere"),
        ],
    );
    let words = told(&odd);
    assert_eq!(odd.status.code(), Some(64));
    for name in [
        "BOOKING_MYSQL_URL",
        "BOOKING_PASS_KEY",
        "BOOKING_HOLD_S",
        "BOOKING_LISTEN",
    ] {
        assert!(words.contains(name), "{words}");
    }
    assert!(!words.contains("hunter2"), "{words}");
    let url = ("BOOKING_MYSQL_URL", "mysql://root:x@127.0.0.1:1/usher");
    let log = run(
        &["serve"],
        &[
            url,
            ("BOOKING_PASS_KEY", KEY),
            ("LOG_CONFIG", "/nowhere/log.yaml"),
        ],
    );
    assert_eq!(log.status.code(), Some(64));
    assert!(told(&log).contains("/nowhere/log.yaml"));
}

/// A booking of its own with these variables on top of what it needs.
fn started(scratch: &Scratch, variables: &[(&str, &str)]) -> Program {
    let port = testbed::free_port();
    let needed = [
        ("BOOKING_LISTEN", format!("127.0.0.1:{port}")),
        ("BOOKING_ADMIN_LISTEN", "127.0.0.1:0".to_owned()),
        ("BOOKING_MYSQL_URL", testbed::mariadb().create_database()),
        ("BOOKING_REDIS_URL", testbed::redis().url()),
        ("BOOKING_PASS_KEY", KEY.to_owned()),
    ];
    let needed = needed.map(|(name, value)| (name.to_owned(), value));
    let more = variables.iter();
    let more = more.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let options = ProgramOptions {
        binary: env!("CARGO_BIN_EXE_booking").into(),
        arguments: Vec::new(),
        environment: needed.into_iter().chain(more).collect(),
        port,
        log: scratch.path().join("booking.log"),
    };
    let mut booking = Program::start("booking", options).unwrap();
    booking.wait_ready(Duration::from_secs(60)).unwrap();
    booking
}

#[test]
fn a_process_that_is_asked_to_stop_ends_with_exit_code_0() {
    let scratch = Scratch::new().unwrap();
    let mut booking = started(&scratch, &[]);
    assert_eq!(booking.terminate().unwrap(), 0, "{}", booking.log_tail());
    let log = booking.log_tail();
    assert!(log.contains("SIGTERM") && log.contains("stopped"), "{log}");
    assert!(!log.contains(KEY), "{log}");
}

/// The answer to a GET over a connection of its own, as it came; empty when there is none.
fn answer(port: u16, path: &str) -> String {
    let mut text = String::new();
    if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) {
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
        stream
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        // Without `connection: close` in the answer this ends by the time-out, with what came.
        let _ = stream.read_to_string(&mut text);
    }
    text.to_lowercase()
}

#[test]
fn a_process_that_drains_is_not_ready_and_goes_on_answering_until_a_second_signal() {
    let scratch = Scratch::new().unwrap();
    let mut booking = started(&scratch, &[("BOOKING_DRAIN_S", "300")]);
    let port = booking.port();
    booking.ask_to_stop();
    let is_draining = || {
        answer(port, "/ready")
            .starts_with("http/1.1 503")
            .then_some(())
    };
    testbed::wait_for("draining", Duration::from_secs(30), is_draining).unwrap();
    let live = answer(port, "/live");
    assert!(live.starts_with("http/1.1 200"), "{live}");
    assert!(live.contains("connection: close"), "{live}");
    assert_eq!(booking.terminate().unwrap(), 0, "{}", booking.log_tail());
}

#[test]
fn a_database_or_a_port_that_cannot_be_had_is_exit_code_69() {
    let url = testbed::mariadb().create_database();
    let key = ("BOOKING_PASS_KEY", KEY);
    let away = (
        "BOOKING_MYSQL_URL",
        "mysql://root:hunter2@127.0.0.1:1/usher",
    );
    for act in ["serve", "migrate"] {
        let refused = run(&[act], &[away, key, ("BOOKING_START_WAIT_S", "0")]);
        assert_eq!(refused.status.code(), Some(69));
        assert!(told(&refused).contains("MySQL") && !told(&refused).contains("hunter2"));
    }
    let database = ("BOOKING_MYSQL_URL", url.as_str());
    assert_eq!(run(&["migrate"], &[database, key]).status.code(), Some(0));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("bound").to_string();
    let refused = run(&["serve"], &[database, key, ("BOOKING_LISTEN", &address)]);
    assert_eq!(refused.status.code(), Some(69));
    assert!(told(&refused).contains(&address));
}
