//! Owns the line that says how a run goes: once a second on a terminal, each five seconds in a pipe.

use std::io::{IsTerminal as _, Write as _, stderr, stdout};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use crate::recorder::Second;
use crate::visitor::Stage;

const IN_A_PIPE: usize = 5;
/// Takes back the line that is there.
const CLEAR: &str = "\r\x1b[K";
/// The exit code of a command line that is not understood.
const MISUSED: u8 = 64;

/// Whether somebody wants to see how a run goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// On stderr.
    Stderr,
    /// Nowhere.
    Silent,
}

/// Prints what somebody asked for.
pub fn say(text: &str) {
    // Nobody reading any more is no reason to fail.
    let _ = writeln!(stdout(), "{text}");
}

/// What a command line asks for; otherwise says why not, or the help that was asked for, and gives the exit code.
pub fn understood<T>(parsed: Result<T, clap::Error>) -> Result<T, ExitCode> {
    parsed.map_err(|error| {
        // Nobody reading any more is no reason to fail.
        let _ = error.print();
        ExitCode::from(if error.use_stderr() { MISUSED } else { 0 })
    })
}

impl Progress {
    /// Says a line that stays.
    pub fn say(self, line: &str) {
        if self == Progress::Stderr {
            let clear = if stderr().is_terminal() { CLEAR } else { "" };
            // Nobody reading any more is no reason to fail.
            let _ = writeln!(stderr(), "{clear}{line}");
        }
    }

    /// Says how it goes until the figures are final.
    pub async fn follow(self, stage: Rc<Stage>) {
        let mut ticks = tokio::time::interval(Duration::from_secs(1));
        ticks.tick().await;
        loop {
            ticks.tick().await;
            if stage.recorder.is_over() {
                return;
            }
            stage.recorder.roll();
            let (at, second) = stage.recorder.last();
            let line = line(at, &second, stage.recorder.sold.get());
            match self {
                Progress::Stderr if stderr().is_terminal() => {
                    let _ = write!(stderr(), "{CLEAR}{line}").and_then(|()| stderr().flush());
                }
                Progress::Stderr if at.is_multiple_of(IN_A_PIPE) => self.say(&line),
                Progress::Stderr | Progress::Silent => {}
            }
        }
    }
}

fn line(at: usize, second: &Second, sold: u64) -> String {
    let (yes, no, errors) = (second.success, second.refusal, second.error);
    let (all, p50, p99) = (yes + no + errors, second.p50_ms, second.p99_ms);
    let mut line = format!(
        "[{at:4} s] {all:6}/s  p50 {p50:7.1} ms  p99 {p99:7.1} ms  yes {yes}  no {no}  errors {errors}"
    );
    for (name, count) in [("visitors", second.visitors), ("sold", sold)] {
        if count > 0 {
            line += &format!("  {name} {count}");
        }
    }
    line
}
