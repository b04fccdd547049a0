//! Owns how a program begins and ends: its command line, its configuration, its log, and what its exit code says.
//!
//! What it does in between, and on how many threads, is its own. Mistakes are told on standard error, each line after the
//! name of the program.

use std::fmt::Display;
use std::io::{Write as _, stdout};
use std::process::ExitCode;

use clap::{Command, FromArgMatches};

use crate::env::{ConfigInvalid, EXIT_UNAVAILABLE, EXIT_USAGE};
use crate::logging::LogInvalid;
use crate::server::StartError;

/// A program by its name. What it cannot do gives the exit code that it then ends with.
#[derive(Debug, Clone, Copy)]
pub struct Program(pub &'static str);

impl Program {
    /// What the command line asks for; otherwise help, version or what was not understood was told.
    pub fn asked<T: FromArgMatches>(self, command: Command) -> Result<T, ExitCode> {
        let matches = command.try_get_matches();
        let asked = matches.and_then(|matches| T::from_arg_matches(&matches));
        asked.map_err(|told| {
            // Help and version are no mistake; where they cannot be printed nobody reads them.
            let _ = told.print();
            match told.use_stderr() {
                true => EXIT_USAGE.into(),
                false => ExitCode::SUCCESS,
            }
        })
    }

    /// The configuration, when it is sound and `log` could set up the log that it asks for.
    pub fn configured<C>(
        self,
        config: Result<C, ConfigInvalid>,
        log: impl FnOnce(&C) -> Result<(), LogInvalid>,
    ) -> Result<C, ExitCode> {
        let hint = "--help shows every variable.";
        let config =
            config.map_err(|invalid| self.end(EXIT_USAGE, &format!("{invalid}\n{hint}")))?;
        log(&config).map_err(|invalid| self.end(EXIT_USAGE, &invalid))?;
        Ok(config)
    }

    /// Writes the last of the log; the exit code of what became of it.
    pub fn ended(self, outcome: Result<ExitCode, StartError>) -> ExitCode {
        log::logger().flush();
        outcome.unwrap_or_else(|cause| {
            // A receiver of spans that cannot be one is a mistake of the configuration.
            let is_misused = matches!(cause, StartError::Export(_));
            let code = if is_misused {
                EXIT_USAGE
            } else {
                EXIT_UNAVAILABLE
            };
            self.end(code, &cause)
        })
    }

    /// Prints what was asked for.
    pub fn print(self, text: &str) -> ExitCode {
        match stdout().write_all(text.as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(cause) => self.end(EXIT_UNAVAILABLE, &cause),
        }
    }

    /// Ends with this code, and tells why.
    pub fn end(self, code: u8, cause: &dyn Display) -> ExitCode {
        for line in cause.to_string().lines() {
            eprintln!("{}: {line}", self.0);
        }
        code.into()
    }
}

/// A variable of this process; what is no text in it is told as such by whoever reads it.
pub fn variable(name: &str) -> Option<String> {
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}
