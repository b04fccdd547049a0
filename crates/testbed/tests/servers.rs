//! What the other crates' tests and `cargo xtask up` rely on.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::env;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use testbed::{
    GaleraCluster, Kafka, KafkaLogin, KafkaOptions, MariaDb, MariaDbOptions, Program,
    ProgramOptions, Redis, RedisOptions, Scratch,
};

const SOON: Duration = Duration::from_secs(20);
/// Set in the helper process of `a_server_ends_when_its_starter_is_killed`.
const HELPER: &str = "TESTBED_TEST_HELPER";

/// Sends one inline command to Redis and returns the first line of the answer.
fn ask(redis: &Redis, command: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, redis.port()))?;
    stream.set_read_timeout(Some(Duration::from_millis(300)))?;
    write!(stream, "{command}\r\nQUIT\r\n")?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    Ok(answer.trim_end().to_owned())
}

fn is_alive(pid: u32) -> bool {
    Command::new("sh")
        .args(["-c", &format!("kill -0 {pid} 2>/dev/null")])
        .status()
        .unwrap()
        .success()
}

fn wait_until_gone(pid: u32) {
    testbed::wait_for("the process to be gone", SOON, || {
        (!is_alive(pid)).then_some(())
    })
    .unwrap();
}

fn durable_redis(folder: &Path) -> Redis {
    Redis::start(
        folder,
        RedisOptions {
            durable: true,
            ..RedisOptions::default()
        },
    )
    .unwrap()
}

#[test]
fn a_server_ends_when_its_starter_is_killed() {
    let mut helper = Command::new(env::current_exe().unwrap())
        .args([
            "--exact",
            "helper_that_starts_servers_and_waits",
            "--nocapture",
        ])
        .env(HELPER, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(helper.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap);
    let line = lines
        .find_map(|line| line.strip_prefix("started ").map(str::to_owned))
        .unwrap();
    let words: Vec<&str> = line.split(' ').collect();
    let pids: Vec<u32> = words[..3].iter().map(|pid| pid.parse().unwrap()).collect();
    let folder = Path::new(words[3]);
    assert!(pids.iter().all(|pid| is_alive(*pid)), "{pids:?}");
    assert!(folder.is_dir());

    helper.kill().unwrap();
    helper.wait().unwrap();
    pids.into_iter().for_each(wait_until_gone);
    testbed::wait_for("the folder to be gone", SOON, || {
        (!folder.exists()).then_some(())
    })
    .unwrap();
}

/// Not a test of its own: the process that `a_server_ends_when_its_starter_is_killed` kills.
#[test]
fn helper_that_starts_servers_and_waits() {
    if env::var_os(HELPER).is_none() {
        return;
    }
    let scratch = Scratch::new().unwrap();
    let kept = durable_redis(&scratch.path().join("kept"));
    kept.freeze();
    let folder = scratch.path().join("mariadb");
    let mariadb = MariaDb::start(&folder, MariaDbOptions::default()).unwrap();
    println!(
        "\nstarted {} {} {} {}",
        kept.pid(),
        testbed::redis().pid(),
        mariadb.pid(),
        scratch.path().display()
    );
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

#[test]
fn a_durable_redis_keeps_what_it_holds_over_a_stop_and_a_kill() {
    let scratch = Scratch::new().unwrap();
    let mut redis = durable_redis(scratch.path());
    assert_eq!(ask(&redis, "SET one 1").unwrap(), "+OK");
    redis.restart().unwrap();
    assert_eq!(ask(&redis, "INCR one").unwrap(), ":2");
    let pid = redis.pid();
    redis.kill();
    assert!(!is_alive(pid));
    redis.restart().unwrap();
    assert_eq!(ask(&redis, "INCR one").unwrap(), ":3");

    let port = redis.port();
    drop(redis);
    let redis = durable_redis(scratch.path());
    assert_eq!(redis.port(), port, "The folder remembers the port.");
    assert_eq!(ask(&redis, "INCR one").unwrap(), ":4");
}

#[test]
fn a_frozen_redis_is_silent_until_it_is_thawed() {
    let scratch = Scratch::new().unwrap();
    let redis = Redis::start(scratch.path(), RedisOptions::default()).unwrap();
    redis.freeze();
    assert!(ask(&redis, "PING").is_err());
    redis.thaw();
    assert_eq!(ask(&redis, "PING").unwrap(), "+PONG");
}

#[test]
fn a_redis_whose_port_is_taken_says_so() {
    let (first, second) = (Scratch::new().unwrap(), Scratch::new().unwrap());
    let redis = Redis::start(first.path(), RedisOptions::default()).unwrap();
    let options = RedisOptions {
        port: Some(redis.port()),
        ..RedisOptions::default()
    };
    let error = Redis::start(second.path(), options)
        .unwrap_err()
        .to_string();
    assert!(error.contains("Address already in use"), "{error}");
}

#[test]
fn a_mariadb_keeps_what_is_committed_over_a_kill_and_has_the_settings_that_the_code_counts_on() {
    let scratch = Scratch::new().unwrap();
    let mut mariadb = MariaDb::start(scratch.path(), MariaDbOptions::default()).unwrap();
    let url = mariadb.create_database();
    assert!(
        url.starts_with("mysql://root:")
            && url.ends_with(&format!("@127.0.0.1:{}/test_1", mariadb.port())),
        "{url}"
    );
    assert_ne!(mariadb.create_database(), url);
    mariadb
        .execute("CREATE TABLE test_1.seat (number INT); INSERT INTO test_1.seat VALUES (7)")
        .unwrap();
    mariadb.kill();
    mariadb.restart().unwrap();
    assert_eq!(
        mariadb.execute("SELECT number FROM test_1.seat").unwrap(),
        "7\n"
    );

    let settings = "SELECT @@innodb_lock_wait_timeout, @@character_set_server, @@time_zone, @@max_connections >= 500";
    assert_eq!(
        mariadb.execute(settings).unwrap(),
        "2\tutf8mb4\t+00:00\t1\n"
    );
}

/// Asks a broker which requests it knows, as every client does first; the correlation id of its answer.
fn ask_kafka(kafka: &Kafka) -> std::io::Result<i32> {
    let mut stream = TcpStream::connect(kafka.brokers())?;
    stream.set_read_timeout(Some(Duration::from_millis(500)))?;
    // ApiVersions (18) in version 0, correlation id 7, no client id.
    stream.write_all(&[0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 255, 255])?;
    let mut answer = [0; 8];
    stream.read_exact(&mut answer)?;
    Ok(i32::from_be_bytes(answer[4..].try_into().unwrap()))
}

#[test]
fn a_real_kafka_serves_on_the_same_port_after_a_kill_and_is_silent_while_frozen() {
    let scratch = Scratch::new().unwrap();
    let mut kafka = Kafka::start(scratch.path(), &KafkaOptions::default()).unwrap();
    assert!(kafka.is_real());
    assert_eq!(ask_kafka(&kafka).unwrap(), 7);
    kafka.freeze();
    assert!(ask_kafka(&kafka).is_err());
    kafka.thaw();
    let address = kafka.brokers().to_owned();
    kafka.kill();
    kafka.restart().unwrap();
    assert_eq!(
        (ask_kafka(&kafka).unwrap(), kafka.brokers()),
        (7, &*address)
    );
}

#[test]
fn a_real_kafka_that_asks_for_a_login_starts_too() {
    let scratch = Scratch::new().unwrap();
    let login = KafkaLogin {
        users: vec![("usher".into(), "hunter2".into())],
        has_rights: false,
        tls: None,
    };
    let options = KafkaOptions {
        login: Some(login),
        ..KafkaOptions::default()
    };
    let kafka = Kafka::start(scratch.path(), &options).unwrap();
    assert_eq!(ask_kafka(&kafka).unwrap(), 7, "before the login");
}

#[test]
fn a_galera_cluster_takes_writes_without_a_node_and_the_node_has_them_when_it_is_back() {
    let scratch = Scratch::new().unwrap();
    let mut galera = GaleraCluster::start(scratch.path(), &MariaDbOptions::default()).unwrap();
    galera.nodes[0]
        .execute("CREATE DATABASE sale; CREATE TABLE sale.seat (number INT PRIMARY KEY)")
        .unwrap();
    galera.nodes[0].kill();
    // Until the others have noticed, a write waits or is refused.
    testbed::wait_for("a majority", SOON, || {
        galera.nodes[2]
            .execute("INSERT INTO sale.seat VALUES (7)")
            .ok()
    })
    .unwrap();
    galera.restart(0).unwrap();
    let told = galera.nodes[0]
        .execute("SELECT number FROM sale.seat")
        .unwrap();
    assert_eq!(told, "7\n");
    let url = galera.url(1, "sale");
    assert_eq!(url.matches("127.0.0.1:").count(), 3, "{url}");
    assert!(
        url.ends_with(&format!(",127.0.0.1:{}/sale", galera.nodes[0].port())),
        "{url}"
    );
}

#[test]
fn a_program_that_ends_before_it_is_ready_shows_the_end_of_its_log() {
    let scratch = Scratch::new().unwrap();
    let mut program = start(&scratch, "echo the store is on fire; exit 69");
    let error = program.wait_ready(SOON).unwrap_err().to_string();
    assert!(
        error.contains("code 69") && error.contains("the store is on fire"),
        "{error}"
    );
}

#[test]
fn a_program_is_asked_to_stop_and_its_exit_code_is_known() {
    let scratch = Scratch::new().unwrap();
    let mut program = start(
        &scratch,
        "trap 'exit 7' TERM; echo ready; while :; do sleep 0.05; done",
    );
    testbed::wait_for("the trap", SOON, || {
        program.log_tail().contains("ready").then_some(())
    })
    .unwrap();
    assert_eq!(program.ended(), None);
    assert_eq!(program.terminate().unwrap(), 7);
    assert_eq!(program.ended(), Some(7));
}

#[test]
fn a_killed_program_is_gone_and_is_known_to_be() {
    let scratch = Scratch::new().unwrap();
    let mut program = start(&scratch, "exec sleep 600");
    let pid = program.pid();
    program.kill();
    assert!(!is_alive(pid));
    assert_eq!(program.ended(), Some(128 + 9));
}

fn start(scratch: &Scratch, script: &str) -> Program {
    let options = ProgramOptions {
        binary: "/bin/sh".into(),
        arguments: vec!["-c".into(), script.into()],
        environment: Vec::new(),
        port: testbed::free_port(),
        log: scratch.path().join("program.log"),
    };
    Program::start("sh", options).unwrap()
}
