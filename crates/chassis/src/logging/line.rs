//! Owns the form of a log line: time in UTC, level, module, message.
//!
//! A pattern of log4rs writes the same. It computes the calendar anew for each line, which a gateway writes for
//! each request; here a thread does it once a second.

use std::cell::RefCell;
use std::fmt::Write as _;

use log::Record;
use log4rs::encode::{Encode, Write};

use crate::time::Clock;

thread_local! {
    /// The last second of which this thread wrote a line, since 1970, and its text.
    static SECOND: RefCell<(i64, String)> = const { RefCell::new((i64::MIN, String::new())) };
}

/// The encoder.
#[derive(Debug)]
pub struct Line;

impl Encode for Line {
    fn encode(&self, to: &mut dyn Write, record: &Record<'_>) -> anyhow::Result<()> {
        let now = Clock::system().now();
        SECOND.with_borrow_mut(|(second, text)| {
            if *second != now.timestamp() {
                text.clear();
                write!(text, "{}", now.format("%Y-%m-%dT%H:%M:%S"))?;
                *second = now.timestamp();
            }
            let (ms, level) = (now.timestamp_subsec_millis().min(999), record.level());
            let (target, message) = (record.target(), record.args());
            writeln!(to, "{text}.{ms:03}Z {level:<5} {target} {message}")?;
            anyhow::Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use log::{Level, Record};
    use log4rs::encode::pattern::PatternEncoder;
    use log4rs::encode::writer::simple::SimpleWriter;

    /// The same as a pattern.
    const PATTERN: &str = "{d(%Y-%m-%dT%H:%M:%S%.3fZ)(utc)} {l:<5} {t} {m}{n}";

    fn written(by: &dyn log4rs::encode::Encode, level: Level) -> String {
        let mut line = Vec::new();
        let mut record = Record::builder();
        let args = format_args!("{} and {}", 1, "two");
        let record = record.level(level).target("a::b").args(args).build();
        by.encode(&mut SimpleWriter(&mut line), &record)
            .expect("written");
        String::from_utf8(line).expect("text")
    }

    #[test]
    fn a_line_is_what_the_pattern_would_write() {
        let pattern = PatternEncoder::new(PATTERN);
        for level in [Level::Error, Level::Info] {
            // All but what may differ: the part of a second.
            let [own, other] = [written(&super::Line, level), written(&pattern, level)];
            assert_eq!(own.len(), other.len(), "{own}{other}");
            assert_eq!(own[23..], other[23..]);
            assert_eq!(own[..11], other[..11]);
            let dots = |line: &str| {
                (
                    line.as_bytes()[13],
                    line.as_bytes()[19],
                    line.as_bytes()[23],
                )
            };
            assert_eq!(dots(&own), (b':', b'.', b'Z'));
        }
    }
}
