//! A child process that cannot outlive its starter.
//!
//! A shell runs the program and waits for it. A watcher beside it reads from a pipe whose other end only
//! this process holds: when that end closes, because the value is dropped or because this process is gone,
//! the watcher ends the program. The shell has the program's exit code and a process group of its own,
//! so that Ctrl-C on a terminal reaches the starter alone, who then ends things in order.
//!
//! The log file is also the lock of the folder: it is locked before the start and the lock lives as long as
//! anybody writes to it, so a new start waits until what an earlier process left behind has ended.

use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::kernel;
use crate::limits;
use crate::wait::wait_for;

/// A signal takes milliseconds to arrive.
const FROZEN_WITHIN: Duration = Duration::from_secs(5);
/// $1 is the signal that ends the program, the rest is the program. It prints the program's process id.
/// HUP is ignored because the kernel sends it to the whole group when the starter dies while the program is
/// frozen. CONT goes first because a frozen program hears nothing else. Files are limited as on a server: each connection
/// of a crowd is one. Not by what the kernel allows: some programs keep a table of as many. A program with a limit
/// is in its control groups from the start.
const SCRIPT: &str = r#"
ending=$1; shift
trap '' HUP
ulimit -Sn 65536 2>/dev/null || ulimit -Sn "$(ulimit -Hn)"
exec 3<&0 </dev/null
for group in $USHER_GROUPS; do echo $$ >"$group/cgroup.procs" || exit 70; done
"$@" 3<&- >&2 &
program=$!
echo "$program"
exec >&2
(
  while read -r _ <&3; do :; done
  kill -CONT "$program"; kill -"$ending" "$program"
  tenths=0
  while kill -0 "$program" && [ "$tenths" -lt 300 ]; do sleep 0.1; tenths=$((tenths + 1)); done
  kill -KILL "$program"
) 2>/dev/null &
watcher=$!
exec 3<&-
wait "$program"; code=$?
kill "$watcher" 2>/dev/null
exit "$code"
"#;
/// As long as the watcher waits before it uses KILL.
const GRACE: Duration = Duration::from_secs(30);
const PREDECESSOR: Duration = Duration::from_secs(40);
const TAIL_LINES: usize = 20;
/// Enough for the last lines of a log; the rest need not be read.
const TAIL_BYTES: u64 = 32 * 1024;

/// What can be done to everything `supervised`.
macro_rules! supervised_controls {
    ($what:ty) => {
        impl $what {
            /// Its process id.
            pub fn pid(&self) -> u32 {
                self.supervised.pid()
            }

            /// SIGKILL.
            pub fn kill(&mut self) {
                self.supervised.kill();
            }

            /// SIGSTOP: connections stay open and nothing answers from now on.
            pub fn freeze(&self) {
                self.supervised.freeze();
            }

            /// SIGCONT: ends a freeze.
            pub fn thaw(&self) {
                self.supervised.signal("CONT");
            }

            pub(crate) fn supervised(&mut self) -> &mut Supervised {
                &mut self.supervised
            }
        }
    };
}
pub(crate) use supervised_controls;

/// How a program ends when its starter is gone.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ending {
    /// SIGKILL: nothing of it is needed any more.
    AtOnce,
    /// SIGTERM, and SIGKILL when that takes longer than 30 s.
    InOrder,
}

/// What to start.
#[derive(Debug)]
pub(crate) struct Launch {
    pub name: String,
    pub program: PathBuf,
    pub arguments: Vec<OsString>,
    /// Variables whose name begins like this are not inherited.
    pub hidden: Vec<&'static str>,
    pub environment: Vec<(String, String)>,
    pub log: PathBuf,
    pub ending: Ending,
}

/// The running program and this process's end of the pipe.
#[derive(Debug)]
pub(crate) struct Supervised {
    launch: Launch,
    shell: Child,
    pid: u32,
    /// Where the log of this run begins.
    log_start: u64,
}

impl Supervised {
    /// Starts the program with an empty log.
    pub fn start(launch: Launch) -> io::Result<Supervised> {
        let log = own_log(&launch.log)?;
        log.set_len(0)?;
        let (shell, pid) = spawn(&launch, log)?;
        Ok(Supervised {
            launch,
            shell,
            pid,
            log_start: 0,
        })
    }

    /// Ends the program if it still runs and starts it again.
    pub fn restart(&mut self) -> io::Result<()> {
        self.end()?;
        let log = own_log(&self.launch.log)?;
        self.log_start = log.metadata()?.len();
        (self.shell, self.pid) = spawn(&self.launch, log)?;
        Ok(())
    }

    /// Waits until `probe` says yes; fails with the log's last lines when the program ends first or time is over.
    pub fn wait_ready(
        &mut self,
        deadline: Duration,
        mut probe: impl FnMut() -> bool,
    ) -> io::Result<()> {
        let what = format!("{} to become ready", self.launch.name);
        let outcome = wait_for(&what, deadline, || match self.ended() {
            Some(code) => Some(Err(code)),
            None => probe().then_some(Ok(())),
        });
        match outcome {
            Ok(Ok(())) => Ok(()),
            Ok(Err(code)) => Err(self.error(&format!(
                "{} ended with code {code} instead of becoming ready",
                self.launch.name
            ))),
            Err(late) => Err(self.error(&late.to_string())),
        }
    }

    /// Waits until `is_it` says yes to a whole line of this run's log.
    pub fn wait_line(
        &mut self,
        deadline: Duration,
        mut is_it: impl FnMut(&str) -> bool,
    ) -> io::Result<()> {
        let (log, start) = (self.launch.log.clone(), self.log_start());
        self.wait_ready(deadline, || {
            let text = fs::read(&log).unwrap_or_default();
            let own = String::from_utf8_lossy(text.get(start..).unwrap_or_default()).into_owned();
            // The last one may still be without its end.
            let whole = own
                .split_inclusive('\n')
                .filter(|line| line.ends_with('\n'));
            whole.map(str::trim_end).any(&mut is_it)
        })
    }

    pub fn name(&self) -> &str {
        &self.launch.name
    }

    /// Changes a variable for the next start.
    pub fn set(&mut self, name: &str, value: &str) {
        self.launch.environment.retain(|(other, _)| other != name);
        let changed = (name.to_owned(), value.to_owned());
        self.launch.environment.push(changed);
    }

    /// Leaves out at the next start the arguments that begin like this.
    pub fn forget_arguments(&mut self, start: &str) {
        let arguments = &mut self.launch.arguments;
        arguments.retain(|argument| !argument.to_string_lossy().starts_with(start));
    }

    /// The process id of the program itself.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    pub fn log(&self) -> &Path {
        &self.launch.log
    }

    /// Where the log of this run begins.
    pub fn log_start(&self) -> usize {
        usize::try_from(self.log_start).unwrap_or(usize::MAX)
    }

    /// The exit code when the program is over; 128 + signal when a signal ended it.
    pub fn ended(&mut self) -> Option<i32> {
        let status = self.shell.try_wait().ok()??;
        Some(
            status
                .code()
                .or(status.signal().map(|signal| 128 + signal))
                .unwrap_or(-1),
        )
    }

    /// Sends a signal by its name; a program that is over hears nothing.
    pub fn signal(&self, signal: &str) {
        let command = format!("kill -{signal} {}", self.pid);
        // It fails only when the program is over, which is what `ended` is for.
        let _ = Command::new("sh")
            .arg("-c")
            .arg(command)
            .stderr(Stdio::null())
            .status();
    }

    /// SIGSTOP, and waits until every thread stands: a signal arrives a little after it was sent.
    pub fn freeze(&self) {
        self.signal("STOP");
        let _ = wait_for("every thread to stand", FROZEN_WITHIN, || {
            kernel::is_stopped(self.pid).then_some(())
        });
    }

    /// SIGKILL to the program, and waits until it is gone.
    pub fn kill(&mut self) {
        if self.ended().is_none() {
            self.signal("KILL");
            // The shell ends right after the program.
            let _ = self.shell.wait();
        }
    }

    /// SIGTERM, SIGKILL after 30 s, and the exit code.
    pub fn end(&mut self) -> io::Result<i32> {
        self.ask_to_end();
        self.wait_end()
    }

    /// SIGTERM, also to one that is frozen.
    pub fn ask_to_end(&mut self) {
        if self.ended().is_none() {
            self.signal("CONT");
            self.signal("TERM");
        }
    }

    /// Waits for the end that was asked for and returns the exit code; an error when SIGKILL had to help.
    pub fn wait_end(&mut self) -> io::Result<i32> {
        let what = format!("{} to stop", self.launch.name);
        let ended = wait_for(&what, GRACE, || self.ended());
        if ended.is_err() {
            self.kill();
        }
        ended
    }

    /// An error that shows the last lines of this run's log.
    pub fn error(&self, what: &str) -> io::Error {
        io::Error::other(format!(
            "{what}. The last lines of {}:\n{}",
            self.launch.log.display(),
            self.tail()
        ))
    }

    /// The last lines of this run's log.
    pub fn tail(&self) -> String {
        let text = read_from(&self.launch.log, self.log_start)
            .unwrap_or_else(|error| format!("(unreadable: {error})"));
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        // The watcher ends the program now, and the shell follows it.
        let _ = self.shell.wait();
    }
}

/// Opens the log and waits until nobody else writes to it.
pub(crate) fn own_log(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let log = File::options()
        .create(true)
        .read(true)
        .append(true)
        .open(path)?;
    let what = format!(
        "a process of an earlier start to end, which still writes to {}",
        path.display()
    );
    wait_for(&what, PREDECESSOR, || match log.try_lock() {
        Ok(()) => Some(Ok(())),
        Err(TryLockError::WouldBlock) => None,
        Err(TryLockError::Error(error)) => Some(Err(error)),
    })??;
    Ok(log)
}

fn spawn(launch: &Launch, log: File) -> io::Result<(Child, u32)> {
    let mut command = Command::new("sh");
    let signal = match launch.ending {
        Ending::AtOnce => "KILL",
        Ending::InOrder => "TERM",
    };
    command
        .arg("-c")
        .arg(SCRIPT)
        .arg("sh")
        .arg(signal)
        .arg(&launch.program)
        .args(&launch.arguments);
    for (name, _) in std::env::vars_os() {
        if launch
            .hidden
            .iter()
            .any(|start| name.to_string_lossy().starts_with(start))
        {
            command.env_remove(name);
        }
    }
    command.envs(launch.environment.iter().map(|(name, value)| (name, value)));
    let limits = std::env::var(limits::VARIABLE).unwrap_or_default();
    command.env("USHER_GROUPS", limits::groups_of(&launch.name, &limits));
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(log)
        .process_group(0);
    let mut shell = command.spawn()?;
    let mut line = String::new();
    if let Some(stdout) = shell.stdout.take() {
        BufReader::new(stdout).read_line(&mut line)?;
    }
    let pid = line
        .trim()
        .parse()
        .map_err(|_| io::Error::other(format!("the shell did not start {}", launch.name)))?;
    Ok((shell, pid))
}

fn read_from(path: &Path, start: u64) -> io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(
        start.max(length.saturating_sub(TAIL_BYTES)).min(length),
    ))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
