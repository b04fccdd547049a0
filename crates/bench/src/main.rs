//! Benchmarks: what this project does, as a share of what the machine can do.
//!
//! Each figure stands beside a limit that is measured in the same run, on the same machine, with the same client, in
//! turns. A missed goal is told and is no failure; the exit code is 1 only when something could not be measured, 64
//! when the command line was not understood.

mod bench;
mod fixture;
mod limit;
mod line;
mod plan;
mod report;
mod turns;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, bail};
use clap::{Parser, Subcommand, ValueEnum as _};
use loadtest::{say, understood};

use bench::Bench;
use fixture::Fixture;
use plan::Plan;

/// Measures what the services do, as a share of what the machine can do
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask bench", args_conflicts_with_subcommands = true)]
struct Arguments {
    /// Which benchmarks; all of them unless named
    #[arg(value_name = "NAMES")]
    names: Vec<Bench>,
    /// How long each turn of limit and subject is
    #[arg(long, value_name = "N", default_value_t = 4.0, value_parser = seconds)]
    seconds: f64,
    /// How often they take turns, 3 unless said
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=100))]
    rounds: Option<u16>,
    /// How many take part in the draw, 1,000,000 unless said
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    entrants: Option<u32>,
    /// Write every figure there, for programs
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Next to nothing of everything: shows only that it runs
    #[arg(long)]
    small: bool,
    #[command(subcommand)]
    limit: Option<Limit>,
}

/// What the benchmarks start of themselves.
#[derive(Debug, Subcommand)]
enum Limit {
    /// The smallest server of the same kind
    #[command(hide = true)]
    Limit {
        port: u16,
        redis: String,
        workers: usize,
    },
}

fn main() -> ExitCode {
    let arguments = match understood(Arguments::try_parse()) {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    let outcome = match arguments.limit {
        Some(Limit::Limit {
            port,
            redis,
            workers,
        }) => limit::serve(port, &redis, workers),
        None => measure(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|it| (0.1..=600.0).contains(it));
    number.ok_or_else(|| "a number from 0.1 to 600".to_owned())
}

fn measure(arguments: &Arguments) -> Result<()> {
    let mut plan = Plan::new(arguments.seconds, arguments.small);
    plan.rounds = arguments.rounds.map_or(plan.rounds, usize::from);
    if let Some(entrants) = arguments.entrants {
        plan.entrants = usize::try_from(entrants)?;
    }
    let began = Instant::now();
    let progress = |what: &str| {
        eprintln!("[{:5.1} s] {what}", began.elapsed().as_secs_f32());
    };
    progress("starting the stack");
    let mut fixture = Fixture::open(plan)?;
    let machine = fixture.describe();
    for (name, value) in &machine {
        say(&format!("{name:<18} {value}"));
    }
    let names = &arguments.names;
    let is_wanted = |it: &&Bench| names.is_empty() || names.contains(it);
    let (mut rows, mut failed) = (Vec::new(), Vec::new());
    for bench in Bench::value_variants().iter().filter(is_wanted) {
        let name: &str = bench.into();
        progress(name);
        match bench.run(&mut fixture) {
            Ok(measured) => rows.extend(measured),
            // The others can still be measured.
            Err(error) => failed.push(format!("{name}: {error:#}")),
        }
    }
    say(&format!("\n{}", report::table(&rows)));
    if let Some(path) = &arguments.json {
        fs::write(path, format!("{:#}\n", report::json(&machine, &rows)))?;
    }
    progress("stopping");
    drop(fixture);
    if !failed.is_empty() {
        bail!(failed.join("\n"));
    }
    Ok(())
}
