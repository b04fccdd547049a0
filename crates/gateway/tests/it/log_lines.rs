//! What the gateways of this process warn of in their log.

use std::sync::{Mutex, OnceLock};

use log::{LevelFilter, Log, Metadata, Record};

static LINES: Lines = Lines(Mutex::new(Vec::new()));
static LISTENING: OnceLock<()> = OnceLock::new();

struct Lines(Mutex<Vec<String>>);

impl Log for Lines {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        self.0.lock().unwrap().push(record.args().to_string());
    }

    fn flush(&self) {}
}

/// From now on warnings are kept.
pub fn listen() {
    LISTENING.get_or_init(|| {
        log::set_logger(&LINES).unwrap();
        log::set_max_level(LevelFilter::Warn);
    });
}

/// How many of them hold this text.
pub fn count(text: &str) -> usize {
    let lines = LINES.0.lock().unwrap();
    lines.iter().filter(|line| line.contains(text)).count()
}
