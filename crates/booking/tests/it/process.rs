//! A booking as a process of its own, which can be killed and frozen.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use testbed::{Program, ProgramOptions, Scratch};

use crate::test_app::PASS_SECRET;

/// Where it is reached, and the stores that it works on.
pub struct Booking<'a> {
    pub port: u16,
    pub mysql: &'a str,
    pub redis: String,
}

impl<'a> Booking<'a> {
    /// On a port that is free, with the Redis of the tests.
    pub fn free(mysql: &'a str) -> Self {
        Self {
            port: testbed::free_port(),
            mysql,
            redis: testbed::redis().url(),
        }
    }

    /// Starts it, with more variables; it may not be ready yet. Its log has this name.
    pub fn start(self, scratch: &Scratch, log: &str, more: &[(&str, String)]) -> Program {
        let all = [
            ("BOOKING_LISTEN", format!("127.0.0.1:{}", self.port)),
            ("BOOKING_ADMIN_LISTEN", "127.0.0.1:0".to_owned()),
            ("BOOKING_MYSQL_URL", self.mysql.to_owned()),
            ("BOOKING_REDIS_URL", self.redis),
            ("BOOKING_PASS_KEY", URL_SAFE_NO_PAD.encode(PASS_SECRET)),
        ];
        let all = all.iter().chain(more);
        let options = ProgramOptions {
            binary: env!("CARGO_BIN_EXE_booking").into(),
            arguments: Vec::new(),
            environment: all
                .map(|(name, value)| ((*name).to_owned(), value.clone()))
                .collect(),
            port: self.port,
            log: scratch.path().join(format!("{log}.log")),
        };
        Program::start("booking", options).expect("a process")
    }
}
