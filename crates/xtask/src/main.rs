//! The developer's commands: `cargo xtask up | test | openapi`.
//!
//! Reads the command line and turns the outcome into an exit code: 0 done, 1 failed, 64 not understood.
//! Knows the workspace only through cargo, the binaries and `testbed`.

mod demo;
mod failure;
mod openapi;
mod packages;
mod sheet;
mod test;
mod up;
mod workspace;

use std::ffi::OsString;
use std::process::ExitCode;

use lexopt::{Arg, Parser, ValueExt};

use failure::Failure;
use up::Up;

const HELP: &str = "\
The developer's commands.

  cargo xtask up        start everything, with a demo concert, and keep it running
  cargo xtask test      every check that a change must pass
  cargo xtask openapi   write docs/openapi from the two services

`cargo xtask COMMAND --help` says more.
";

const TEST_HELP: &str = "\
Every check that a change must pass: formatting, clippy, docs, build, all tests.

  cargo xtask test [--yes]

  --yes    install missing packages without asking; so does CI=true
";

const OPENAPI_HELP: &str = "\
Writes docs/openapi/gateway.json and docs/openapi/booking.json from the two services.

  cargo xtask openapi [--check]

  --check    write nothing; fail when a file is not up to date
";

enum Command {
    Help(&'static str),
    Up(Up),
    Test { yes: bool },
    Openapi { check: bool },
}

fn main() -> ExitCode {
    let outcome = read(Parser::from_env()).and_then(|command| match command {
        Command::Help(text) => {
            say(text.trim_end());
            Ok(())
        }
        Command::Up(up) => up.run(),
        Command::Test { yes } => test::run(yes),
        Command::Openapi { check } => openapi::run(check),
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}

/// Prints a line. Nobody reading any more is no reason to fail: what was started must still be stopped in order.
fn say(line: &str) {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

fn read(mut parser: Parser) -> Result<Command, Failure> {
    let name = match parser.next()? {
        None | Some(Arg::Short('h') | Arg::Long("help")) => return Ok(Command::Help(HELP)),
        Some(Arg::Value(name)) => name,
        Some(other) => return Err(other.unexpected().into()),
    };
    match name.to_str() {
        Some("up") => read_up(parser),
        Some("test") => read_flag(parser, "yes", TEST_HELP, |yes| Command::Test { yes }),
        Some("openapi") => read_flag(parser, "check", OPENAPI_HELP, |check| Command::Openapi {
            check,
        }),
        Some("help") => Ok(Command::Help(HELP)),
        _ => Err(Failure::Usage(format!(
            "there is no command `{}`",
            name.display()
        ))),
    }
}

fn read_up(mut parser: Parser) -> Result<Command, Failure> {
    let mut up = Up::default();
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Short('h') | Arg::Long("help") => return Ok(Command::Help(up::HELP)),
            Arg::Long("yes") => up.yes = true,
            Arg::Long("release") => up.release = true,
            Arg::Long("fresh") => up.fresh = true,
            Arg::Long("no-kafka") => up.no_kafka = true,
            Arg::Long("gateways") => {
                up.gateways = number("--gateways", &parser.value()?, up::GATEWAYS)?
            }
            Arg::Long("port") => up.port = number("--port", &parser.value()?, up::PORTS)?,
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(Command::Up(up))
}

fn read_flag(
    mut parser: Parser,
    flag: &str,
    help: &'static str,
    command: impl Fn(bool) -> Command,
) -> Result<Command, Failure> {
    let mut given = false;
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Short('h') | Arg::Long("help") => return Ok(Command::Help(help)),
            Arg::Long(name) if name == flag => given = true,
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(command(given))
}

fn number(
    name: &str,
    value: &OsString,
    range: std::ops::RangeInclusive<u16>,
) -> Result<u16, Failure> {
    value
        .parse()
        .ok()
        .filter(|number| range.contains(number))
        .ok_or_else(|| {
            let (low, high) = (range.start(), range.end());
            Failure::Usage(format!(
                "{name} takes a whole number from {low} to {high}, not `{}`",
                value.display()
            ))
        })
}
