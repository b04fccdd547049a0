//! Benchmarks: what this project does, as a share of what the machine can do.
//!
//! Each figure stands beside a limit that is measured in the same run, on the same machine, with the same client, in
//! turns. A missed goal is told and is no failure; the exit code is 1 only when something could not be measured, 64
//! when the command line was not understood.

mod bench;
mod fixture;
mod limit;
mod line;
mod machine;
mod plan;
mod process;
mod report;
mod turns;

use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use lexopt::{Arg, Parser, ValueExt as _};

use bench::{ALL, Bench};
use fixture::Fixture;
use plan::Plan;

/// Seconds of a turn unless said.
const SECONDS: f64 = 4.0;

/// What the command line asks for.
enum Command {
    Help,
    Limit {
        port: u16,
        redis: String,
        workers: usize,
    },
    Measure {
        benches: Vec<&'static Bench>,
        plan: Plan,
        json: Option<PathBuf>,
    },
}

fn main() -> ExitCode {
    let outcome = match read(Parser::from_env()) {
        Err(error) => {
            eprintln!("error: {error}\n`cargo xtask bench --help` lists what there is.");
            return ExitCode::from(64);
        }
        Ok(Command::Help) => say(&help()),
        Ok(Command::Limit {
            port,
            redis,
            workers,
        }) => limit::serve(port, &redis, workers),
        Ok(Command::Measure {
            benches,
            plan,
            json,
        }) => measure(&benches, plan, json),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn read(mut parser: Parser) -> Result<Command, lexopt::Error> {
    let (mut benches, mut json, mut seconds, mut rounds, mut small) =
        (Vec::new(), None, SECONDS, None, false);
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Short('h') | Arg::Long("help") => return Ok(Command::Help),
            Arg::Long("json") => json = Some(PathBuf::from(parser.value()?)),
            Arg::Long("seconds") => {
                seconds = parser.value()?.parse()?;
                if !(0.1..=600.0).contains(&seconds) {
                    return Err("--seconds takes a number from 0.1 to 600".into());
                }
            }
            Arg::Long("rounds") => {
                let many: usize = parser.value()?.parse()?;
                if !(1..=100).contains(&many) {
                    return Err("--rounds takes a whole number from 1 to 100".into());
                }
                rounds = Some(many);
            }
            Arg::Long("small") => small = true,
            Arg::Value(name) if name == "limit" && benches.is_empty() => {
                return Ok(Command::Limit {
                    port: parser.value()?.parse()?,
                    redis: parser.value()?.string()?,
                    workers: parser.value()?.parse()?,
                });
            }
            Arg::Value(name) => {
                let found = ALL.iter().find(|bench| name == bench.name);
                benches.push(found.ok_or_else(|| {
                    lexopt::Error::from(format!("there is no benchmark `{}`", name.display()))
                })?);
            }
            other => return Err(other.unexpected()),
        }
    }
    if benches.is_empty() {
        benches = ALL.iter().collect();
    }
    let mut plan = if small {
        Plan::small()
    } else {
        Plan::full(seconds)
    };
    plan.rounds = rounds.unwrap_or(plan.rounds);
    Ok(Command::Measure {
        benches,
        plan,
        json,
    })
}

fn help() -> String {
    let mut text = format!(
        "Measures what the services do, as a share of what the machine can do.\n\n  \
         cargo xtask bench [NAMES…] [--seconds N] [--rounds N] [--json FILE]\n\n  \
         --seconds N   how long each turn of limit and subject is, {SECONDS} unless said\n  \
         --rounds N    how often they take turns, 3 unless said\n  \
         --json FILE   writes every figure there, for programs\n  \
         --small       next to nothing of everything: shows only that it runs\n\n\
         Benchmarks, all of them unless named:\n\n"
    );
    for bench in &ALL {
        text += &format!("  {:<13} {}\n", bench.name, bench.about);
    }
    text + "\n  indexes       each statement of a hot path with and without its index; see\n                \
            cargo xtask bench indexes --help"
}

fn measure(benches: &[&Bench], plan: Plan, json: Option<PathBuf>) -> io::Result<()> {
    let began = Instant::now();
    let progress = |what: &str| {
        eprintln!("[{:5.1} s] {what}", began.elapsed().as_secs_f32());
    };
    progress("starting the stack");
    let mut fixture = Fixture::open(plan)?;
    let machine = machine::describe(fixture.stack.mariadb(), turns::CLIENT_THREADS);
    for (name, value) in &machine {
        say(&format!("{name:<18} {value}"))?;
    }
    let (mut rows, mut failed) = (Vec::new(), Vec::new());
    for bench in benches {
        progress(bench.name);
        match (bench.run)(&mut fixture) {
            Ok(measured) => rows.extend(measured),
            // The others can still be measured.
            Err(error) => failed.push(format!("{}: {error}", bench.name)),
        }
    }
    say(&format!("\n{}", report::table(&rows)))?;
    if let Some(path) = json {
        fs::write(path, format!("{:#}\n", report::json(&machine, &rows)))?;
    }
    progress("stopping");
    drop(fixture);
    if failed.is_empty() {
        Ok(())
    } else {
        Err(io::Error::other(failed.join("\n")))
    }
}

/// Prints; nobody reading any more is no reason to fail.
fn say(text: &str) -> io::Result<()> {
    match writeln!(io::stdout().lock(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}
