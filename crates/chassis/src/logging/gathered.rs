//! Owns the log4rs appender `gathered`: standard output, written piece by piece instead of line by line.
//!
//! A line costs the thread that logs it no system call. Warnings and errors are written before the
//! call returns, with all that came before them, so the last words of a process are not lost. A reader who
//! takes nothing never stops the service: lines that find no room are counted and left out.

use std::cell::RefCell;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use log::{Level, Record};
use log4rs::append::Append;
use log4rs::config::{Deserialize, Deserializers};
use log4rs::encode::pattern::PatternEncoder;
use log4rs::encode::writer::simple::SimpleWriter;
use log4rs::encode::{Encode, EncoderConfig};

/// How long lines are gathered: nobody who watches a log sees it.
const GATHER: Duration = Duration::from_millis(20);
/// Room for lines that are not written yet: some seconds of a busy gateway.
const ROOM_BYTES: usize = 8 << 20;

thread_local! {
    /// Where a thread makes its line, so that nobody waits while it is made.
    static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The appender.
#[derive(Debug)]
pub struct Gathered {
    encoder: Box<dyn Encode>,
    lines: Arc<Lines>,
}

/// Lines that wait to be written, and where they go.
struct Lines {
    waiting: Mutex<Waiting>,
    came: Condvar,
    out: Mutex<Box<dyn Write + Send>>,
}

#[derive(Default)]
struct Waiting {
    bytes: Vec<u8>,
    left_out: u64,
}

impl Gathered {
    /// To standard output.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn stdout(encoder: Box<dyn Encode>) -> io::Result<Self> {
        let gathered = Self::to(encoder, Box::new(io::stdout()));
        let lines = Arc::clone(&gathered.lines);
        // It ends with the process, whose last act is to flush the log.
        thread::Builder::new()
            .name("log".into())
            .spawn(move || lines.write_for_ever())?;
        Ok(gathered)
    }

    fn to(encoder: Box<dyn Encode>, out: Box<dyn Write + Send>) -> Self {
        let lines = Lines {
            waiting: Mutex::default(),
            came: Condvar::new(),
            out: Mutex::new(out),
        };
        Self {
            encoder,
            lines: Arc::new(lines),
        }
    }
}

impl Append for Gathered {
    fn append(&self, record: &Record<'_>) -> anyhow::Result<()> {
        LINE.with_borrow_mut(|line| {
            line.clear();
            self.encoder.encode(&mut SimpleWriter(&mut *line), record)?;
            self.lines.add(line);
            anyhow::Ok(())
        })?;
        if record.level() <= Level::Warn {
            self.lines.write_waiting()?;
        }
        Ok(())
    }

    fn flush(&self) {
        // Nobody is left who could be told.
        let _ = self.lines.write_waiting();
    }
}

impl Lines {
    fn add(&self, line: &[u8]) {
        let mut waiting = locked(&self.waiting);
        if waiting.bytes.len() + line.len() > ROOM_BYTES {
            waiting.left_out += 1;
            return;
        }
        let is_first = waiting.bytes.is_empty();
        waiting.bytes.extend_from_slice(line);
        drop(waiting);
        if is_first {
            self.came.notify_one();
        }
    }

    fn write_for_ever(&self) {
        loop {
            let waiting = locked(&self.waiting);
            let came = self.came.wait_while(waiting, |it| it.bytes.is_empty());
            drop(came);
            thread::sleep(GATHER);
            // What cannot be written cannot be logged either.
            let _ = self.write_waiting();
        }
    }

    /// Writes what waits. A thread takes its piece while it holds `out`, so pieces stay in order.
    fn write_waiting(&self) -> io::Result<()> {
        let mut out = locked(&self.out);
        let piece = std::mem::take(&mut *locked(&self.waiting));
        out.write_all(&piece.bytes)?;
        if piece.left_out > 0 {
            writeln!(out, "{} lines were left out here", piece.left_out)?;
        }
        out.flush()
    }
}

impl std::fmt::Debug for Lines {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.write_str("Lines")
    }
}

fn locked<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a log4rs file may say of an appender of the kind `gathered`.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GatheredConfig {
    encoder: Option<EncoderConfig>,
}

/// Makes the appender from a log4rs file.
#[derive(Debug)]
pub struct GatheredDeserializer;

impl Deserialize for GatheredDeserializer {
    type Trait = dyn Append;
    type Config = GatheredConfig;

    fn deserialize(
        &self,
        config: GatheredConfig,
        deserializers: &Deserializers,
    ) -> anyhow::Result<Box<dyn Append>> {
        let encoder: Box<dyn Encode> = match config.encoder {
            Some(encoder) => deserializers.deserialize(&encoder.kind, encoder.config)?,
            None => Box::<PatternEncoder>::default(),
        };
        Ok(Box::new(Gathered::stdout(encoder)?))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use log::{Level, Record};
    use log4rs::append::Append as _;
    use log4rs::encode::pattern::PatternEncoder;

    use super::{Gathered, ROOM_BYTES, locked};

    /// What was written, and in how many pieces.
    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<(String, u32)>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut page = locked(&self.0);
            page.0.push_str(std::str::from_utf8(bytes).expect("text"));
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            locked(&self.0).1 += 1;
            Ok(())
        }
    }

    fn gathered() -> (Gathered, Page) {
        let page = Page::default();
        let encoder = Box::new(PatternEncoder::new("{l} {m}{n}"));
        (Gathered::to(encoder, Box::new(page.clone())), page)
    }

    fn log(to: &Gathered, level: Level, text: &str) {
        let mut record = Record::builder();
        to.append(&record.level(level).args(format_args!("{text}")).build())
            .expect("taken");
    }

    #[test]
    fn lines_are_written_together_and_in_order() {
        let (gathered, page) = gathered();
        log(&gathered, Level::Info, "one");
        log(&gathered, Level::Info, "two");
        assert_eq!(locked(&page.0).1, 0, "not yet");
        gathered.flush();
        assert_eq!(*locked(&page.0), ("INFO one\nINFO two\n".to_owned(), 1));
    }

    #[test]
    fn a_warning_is_written_at_once_with_all_that_came_before() {
        let (gathered, page) = gathered();
        log(&gathered, Level::Info, "before");
        log(&gathered, Level::Warn, "now");
        assert_eq!(locked(&page.0).0, "INFO before\nWARN now\n");
    }

    #[test]
    fn lines_without_room_are_counted() {
        let (gathered, page) = gathered();
        let long = "x".repeat(ROOM_BYTES);
        log(&gathered, Level::Info, "short");
        log(&gathered, Level::Info, &long);
        log(&gathered, Level::Info, "short again");
        gathered.flush();
        let told = "INFO short\nINFO short again\n1 lines were left out here\n";
        assert_eq!(locked(&page.0).0, told);
    }

    #[test]
    fn a_log_file_may_name_it() {
        let text = "appenders: { out: { kind: gathered, encoder: { kind: json } } }\n\
                    root: { level: info, appenders: [out] }";
        let folder = std::env::temp_dir().join(format!("gathered-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join("log4rs.yaml");
        std::fs::write(&path, text).expect("written");
        let config = log4rs::config::load_config_file(&path, super::super::deserializers());
        std::fs::remove_dir_all(&folder).expect("removed");
        assert_eq!(config.expect("understood").appenders().len(), 1);
    }
}
