//! The developer's commands: `cargo xtask up | test | load | bench | openapi`.
//!
//! Reads the command line and turns the outcome into an exit code: 0 done, 1 failed, 64 not understood.
//! Knows the workspace only through cargo, the binaries and `testbed`.

mod bench;
mod demo;
mod failure;
mod load;
mod openapi;
mod packages;
mod sheet;
mod stop;
mod test;
mod up;
mod workspace;

use std::ffi::OsString;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::process::ExitCode;
use std::str::FromStr;

use lexopt::{Arg, Parser};

use bench::{Bench, What};
use failure::Failure;
use load::Load;
use up::Up;

const HELP: &str = "\
The developer's commands.

  cargo xtask up        start everything, with a demo concert, and keep it running
  cargo xtask test      every check that a change must pass
  cargo xtask load      put load on it, and see what it bears
  cargo xtask bench     measure it, as a share of what the machine can do
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
    Load(Load),
    Bench(Bench),
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
        Command::Load(load) => load.run(),
        Command::Bench(bench) => bench.run(),
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
        Some("load") => read_load(parser),
        Some("bench") => read_bench(parser),
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

/// What is not for this command is for the load tool, as it stands.
fn read_load(mut parser: Parser) -> Result<Command, Failure> {
    let mut load = Load::default();
    let mut arguments = parser.raw_args()?;
    while let Some(argument) = arguments.next() {
        let mut value = |name| {
            let missing = || Failure::Usage(format!("{name} takes a value"));
            arguments.next().ok_or_else(missing)
        };
        match argument.to_str() {
            Some("-h" | "--help") => return Ok(Command::Help(load::HELP)),
            Some("--yes") => load.yes = true,
            Some("--durable") => load.durable = true,
            Some("--debug") => load.debug = true,
            Some("--gateways") => {
                load.gateways = number("--gateways", &value("--gateways")?, up::GATEWAYS)?
            }
            Some("--target") => load.target = Some(value("--target")?),
            _ => load.arguments.push(argument),
        }
    }
    match load.arguments.is_empty() {
        true => Ok(Command::Help(load::HELP)),
        false => Ok(Command::Load(load)),
    }
}

fn read_bench(mut parser: Parser) -> Result<Command, Failure> {
    let (mut yes, mut indexes, mut write, mut rows) = (false, false, false, None);
    let mut arguments = Vec::new();
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Short('h') | Arg::Long("help") => return Ok(Command::Help(bench::HELP)),
            Arg::Long("yes") => yes = true,
            Arg::Value(name) if name == "indexes" && arguments.is_empty() => indexes = true,
            Arg::Long("write") if indexes => write = true,
            Arg::Long("rows") if indexes => {
                rows = Some(number("--rows", &parser.value()?, bench::ROWS)?)
            }
            Arg::Value(name) if !indexes && bench::is_known(&name) => arguments.push(name),
            Arg::Value(name) => {
                let words = format!("there is no benchmark `{}`", name.display());
                return Err(Failure::Usage(words));
            }
            Arg::Long(flag @ ("seconds" | "rounds" | "json")) if !indexes => {
                arguments.push(format!("--{flag}").into());
                arguments.push(parser.value()?);
            }
            other => return Err(other.unexpected().into()),
        }
    }
    let what = if indexes {
        What::Indexes { rows, write }
    } else {
        What::Measure(arguments)
    };
    Ok(Command::Bench(Bench { yes, what }))
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

fn number<T: FromStr + PartialOrd + Display>(
    name: &str,
    value: &OsString,
    range: RangeInclusive<T>,
) -> Result<T, Failure> {
    value
        .to_str()
        .and_then(|text| text.parse().ok())
        .filter(|number| range.contains(number))
        .ok_or_else(|| {
            let (low, high) = (range.start(), range.end());
            Failure::Usage(format!(
                "{name} takes a whole number from {low} to {high}, not `{}`",
                value.display()
            ))
        })
}
