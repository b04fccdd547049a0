//! A broker in memory that stands in for Kafka where none is installed: `cargo xtask up` and tests.
//!
//! It is the mock cluster of librdkafka in a process of its own. Clients speak the real protocol to it over TCP:
//! idempotent producers, consumer groups, offsets. It listens on a free port of 127.0.0.1, makes a topic of four
//! partitions when one is first used, and forgets everything when it ends. It proves nothing about a real broker's disks,
//! replicas or access lists.

use std::process::ExitCode;
use std::thread;

use rdkafka::mocking::MockCluster;

/// More would only be more of the same: there is nothing to replicate.
const BROKERS: i32 = 1;

/// Prints `ready ADDRESS` and serves until it is killed.
fn main() -> ExitCode {
    let cluster = match MockCluster::new(BROKERS) {
        Ok(cluster) => cluster,
        Err(cause) => {
            eprintln!("kafka-stand-in: {cause}");
            return ExitCode::FAILURE;
        }
    };
    println!("ready {}", cluster.bootstrap_servers());
    loop {
        thread::park();
    }
}
