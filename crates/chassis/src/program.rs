//! Owns how a program begins and ends: its command line, its configuration, its log, and what its exit code says.
//!
//! What it does in between, and on how many threads, is its own. Mistakes are told on standard error, each line after the
//! name of the program.

use std::fmt::Display;
use std::io::{Write as _, stdout};
use std::process::ExitCode;

use clap::{ArgMatches, Command, FromArgMatches};

use crate::env::{ConfigInvalid, EXIT_UNAVAILABLE, EXIT_USAGE};
use crate::logging::LogInvalid;
use crate::server::StartError;

/// A program by its name. What it cannot do gives the exit code that it then ends with.
#[derive(Debug, Clone, Copy)]
pub struct Program(pub &'static str);

impl Program {
    /// What the command line asks for; otherwise help, version or what was not understood was told.
    pub fn asked<T: FromArgMatches>(self, command: Command) -> Result<T, ExitCode> {
        understood(command.try_get_matches())
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

fn understood<T: FromArgMatches>(matches: clap::error::Result<ArgMatches>) -> Result<T, ExitCode> {
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

/// A variable of this process; its reader tells of what is no text in it.
pub fn variable(name: &str) -> Option<String> {
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use clap::{CommandFactory as _, Parser};

    use super::*;
    use crate::trace::ExportInvalid;

    const PROGRAM: Program = Program("till");

    #[derive(Debug, PartialEq, Parser)]
    #[command(version = "1.2.3")]
    struct Wanted {
        #[arg(long)]
        drawers: u8,
    }

    fn asked(words: &[&str]) -> Result<Wanted, ExitCode> {
        let words = ["till"].iter().chain(words);
        understood(Wanted::command().try_get_matches_from(words))
    }

    #[test]
    fn help_and_version_end_well_and_what_is_not_understood_is_misuse() {
        assert_eq!(asked(&["--drawers", "3"]), Ok(Wanted { drawers: 3 }));
        for good in ["--help", "--version"] {
            assert_eq!(asked(&[good]), Err(ExitCode::SUCCESS), "{good}");
        }
        let misused = Err(ExitCode::from(EXIT_USAGE));
        for bad in [&[][..], &["--drawers", "many"], &["--drawers", "3", "now"]] {
            assert_eq!(asked(bad), misused, "{bad:?}");
        }
    }

    #[test]
    fn a_program_goes_on_with_a_sound_configuration_whose_log_is_set_up() {
        let misused = Err(ExitCode::from(EXIT_USAGE));
        let logged = Cell::new(0);
        let log = |drawers: &u8| {
            logged.set(*drawers);
            Ok(())
        };
        let invalid = ConfigInvalid(vec!["DRAWERS is missing".to_owned()]);
        assert_eq!(PROGRAM.configured(Err(invalid), log), misused);
        assert_eq!(logged.get(), 0, "what is not sound asks for no log");
        assert_eq!(PROGRAM.configured(Ok(3), log), Ok(3));
        assert_eq!(logged.get(), 3);
        let no_log = |_: &u8| Err(LogInvalid::Default("no file".to_owned()));
        assert_eq!(PROGRAM.configured(Ok(3), no_log), misused);
    }

    #[test]
    fn an_end_has_the_code_of_its_cause() {
        let of = |cause| PROGRAM.ended(Err(cause));
        assert_eq!(PROGRAM.ended(Ok(ExitCode::from(7))), ExitCode::from(7));
        let export = ExportInvalid("no address".to_owned());
        assert_eq!(of(StartError::Export(export)), ExitCode::from(EXIT_USAGE));
        let store = StartError::Store("the store is away".to_owned());
        assert_eq!(of(store), ExitCode::from(EXIT_UNAVAILABLE));
        let signals = StartError::Signals(std::io::Error::other("none"));
        assert_eq!(of(signals), ExitCode::from(EXIT_UNAVAILABLE));
    }
}
