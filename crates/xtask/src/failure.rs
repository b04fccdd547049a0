//! How a command ends when it does not succeed.

use std::fmt::{self, Display, Formatter};
use std::io;

/// Each kind has an exit code of its own.
#[derive(Debug)]
pub enum Failure {
    /// The command line was not understood.
    Usage(String),
    /// Something went wrong; the words say what, and what to do.
    Failed(String),
    /// The user stopped it before it was done, which is no error.
    Stopped,
}

impl Failure {
    /// 64 is what sysexits calls a usage error.
    pub fn exit_code(&self) -> u8 {
        match self {
            Failure::Usage(_) => 64,
            Failure::Failed(_) => 1,
            Failure::Stopped => 0,
        }
    }
}

impl Display for Failure {
    fn fmt(&self, out: &mut Formatter) -> fmt::Result {
        match self {
            Failure::Usage(words) => write!(
                out,
                "error: {words}\n`cargo xtask --help` lists what there is."
            ),
            Failure::Failed(words) => write!(out, "error: {words}"),
            Failure::Stopped => write!(out, "Stopped."),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::Interrupted => Failure::Stopped,
            _ => Failure::Failed(error.to_string()),
        }
    }
}
