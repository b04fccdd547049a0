//! The developer's commands: `cargo xtask up | test | load | bench | mutate | openapi | pictures | configuration`.
//!
//! Reads the command line and turns the outcome into an exit code: 0 done, 1 failed, 64 not understood.
//! Knows the workspace only through cargo, the binaries and `testbed`.

mod bench;
mod configuration;
mod demo;
mod failure;
mod firefox;
mod indexes;
mod load;
mod mutate;
mod openapi;
mod packages;
mod pictures;
mod printed;
mod room;
mod sheet;
mod stop;
mod test;
mod up;
mod workspace;

use std::process::ExitCode;

use clap::{Args, Parser};

use bench::Bench;
use failure::Failure;
use load::Load;
use mutate::Mutate;
use test::Test;
use up::Up;

/// The developer's commands.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask", arg_required_else_help = true)]
enum Command {
    /// Start everything, with a demo concert, and keep it running
    #[command(after_help = up::HELP)]
    Up(Up),
    /// Every check that a change must pass: formatting, clippy, docs, build, all tests
    Test(Test),
    /// Put load on it, and see what it bears
    #[command(after_help = load::HELP)]
    Load(Load),
    /// Measure it, as a share of what the machine can do
    #[command(after_help = bench::HELP)]
    Bench(Bench),
    /// Take out one guard after the other, and show that a test fails for each
    #[command(after_help = mutate::HELP)]
    Mutate(Mutate),
    /// Write docs/openapi from the two services
    Openapi {
        /// Write nothing; fail when a file is not up to date
        #[arg(long)]
        check: bool,
    },
    /// Take the pictures of docs/img, from running programs in a browser
    Pictures(Consent),
    /// Write docs/CONFIGURATION.md from the programs, which must be built
    Configuration {
        /// Write nothing; fail when the page is not up to date
        #[arg(long)]
        check: bool,
    },
}

/// What every command that needs packages takes.
#[derive(Clone, Copy, Debug, Default, Args)]
struct Consent {
    /// Install missing packages without asking; so does CI=true
    #[arg(long)]
    yes: bool,
}

fn main() -> ExitCode {
    let command = match Command::try_parse() {
        Ok(command) => command,
        Err(error) => {
            // Nobody reading any more is no reason to fail.
            let _ = error.print();
            let misused = Failure::Usage(String::new()).exit_code();
            return ExitCode::from(if error.use_stderr() { misused } else { 0 });
        }
    };
    let outcome = match command {
        Command::Up(up) => up.run(),
        Command::Test(test) => test.run(),
        Command::Load(load) => load.run(),
        Command::Bench(bench) => bench.run(),
        Command::Mutate(mutate) => mutate.run(),
        Command::Openapi { check } => openapi::run(check),
        Command::Pictures(consent) => pictures::run(consent),
        Command::Configuration { check } => configuration::run(check),
    };
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
