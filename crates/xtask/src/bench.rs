//! `cargo xtask bench`: the benchmarks, built with optimisation, and the report on indexes.
//!
//! It knows the benchmarks as a program only: depending on them would make every command wait for their build.

use std::ffi::OsString;
use std::process::Command;
use std::sync::atomic::AtomicBool;

use clap::{Args, Subcommand, value_parser};
use testbed::{LIMITS, Limit, Limits, Profile, binary};

use crate::failure::Failure;
use crate::packages::Purpose;
use crate::{Consent, indexes, packages, say, stop, workspace};

pub const HELP: &str = "\
  poll          a place in a short and in a long line, against one ZRANK
  join          new places, against one ZADD
  admit         what letting in costs Redis
  draw          a lottery, until the first are inside, and what others wait meanwhile
  pow           proofs of work that a browser tries; needs chromium-driver
  charge, reserve, pay
                direct to booking, against the same SQL
  cost          commits and round trips of one sale in MySQL, events included
  proxy         through the gateway, against asking directly and against nginx where that is installed
  one-seat      a crowd that wants one seat
  availability  the seats of a date, read by a crowd
  dates         the dates of a long run beside the seats of one
  streams       visitors who watch their place
  memory        what a visitor costs in Redis

Without names all of them run, in some minutes. Each figure stands beside a limit that is
measured in the same run; a missed goal is told and is no failure.
";

/// What the benchmarks say to a command line that they do not understand.
const MISUSED: i32 = 64;
const NAMES: [&str; 15] = [
    "poll",
    "join",
    "admit",
    "draw",
    "pow",
    "charge",
    "reserve",
    "pay",
    "cost",
    "proxy",
    "one-seat",
    "availability",
    "dates",
    "streams",
    "memory",
];

/// What the command line asks for.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Bench {
    /// Which benchmarks; all of them unless named
    #[arg(value_name = "NAMES", value_parser = NAMES, hide_possible_values = true)]
    names: Vec<String>,
    /// How long each turn of limit and subject is, 4 unless said
    #[arg(long, value_name = "N")]
    seconds: Option<OsString>,
    /// How often they take turns, 3 unless said
    #[arg(long, value_name = "N")]
    rounds: Option<OsString>,
    /// How many take part in the draw, 1,000,000 unless said
    #[arg(long, value_name = "N")]
    entrants: Option<OsString>,
    /// Write every figure there, for programs
    #[arg(long, value_name = "FILE")]
    json: Option<OsString>,
    /// What servers may use, as gateway=0.5:64 for half a core and 64 MiB; once for each of gateway, booking, redis-server and
    /// mariadbd. Needs root, and control groups of Linux
    #[arg(long = "limit", value_name = "NAME=CORES:MIB")]
    limits: Vec<Limit>,
    #[command(flatten)]
    consent: Consent,
    #[command(subcommand)]
    report: Option<Report>,
}

/// What is no benchmark.
#[derive(Debug, Subcommand)]
enum Report {
    /// Every statement of a hot path, explained, with and without its index, among a million rows; some minutes
    Indexes {
        /// Among so many sales
        #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(20_000..=10_000_000))]
        rows: Option<u32>,
        /// Put the table into docs/INDEXES.md and its Korean page, which are about a million rows, and the costs of reads into those about caches
        #[arg(long, conflicts_with = "rows")]
        write: bool,
        #[command(flatten)]
        consent: Consent,
    },
}

impl Bench {
    /// Builds and measures, or is stopped.
    pub fn run(self) -> Result<(), Failure> {
        let stop = stop::listen()?;
        if let Some(Report::Indexes {
            rows,
            write,
            consent,
        }) = self.report
        {
            packages::ensure(Purpose::Stack, consent)?;
            return indexes::run(rows.unwrap_or(indexes::PAGE_ROWS), write, &stop);
        }
        packages::ensure(Purpose::Stack, self.consent)?;
        let mut arguments: Vec<OsString> = self.names.iter().map(Into::into).collect();
        for (flag, value) in [
            ("--seconds", &self.seconds),
            ("--rounds", &self.rounds),
            ("--entrants", &self.entrants),
            ("--json", &self.json),
        ] {
            if let Some(value) = value {
                arguments.extend([flag.into(), value.clone()]);
            }
        }
        measure(&arguments, self.limits, &stop)
    }
}

fn measure(arguments: &[OsString], limits: Vec<Limit>, stop: &AtomicBool) -> Result<(), Failure> {
    workspace::build_all(true, stop)?;
    let limits = Limits::set(limits).map_err(|cause| {
        Failure::Failed(format!(
            "no control group could be made, which needs root and a mounted /sys/fs/cgroup: {cause}"
        ))
    })?;
    let mut command = Command::new(binary("bench", Profile::Release)?);
    command.args(arguments).env(LIMITS, limits.handed_down());
    let status = stop::run(&mut command, stop)?;
    for (limit, used) in limits.most_used() {
        say(&format!(
            "{} had {} cores and {} MiB, and used {used} MiB at most",
            limit.name, limit.cores, limit.mib
        ));
    }
    match status.code() {
        Some(0) => Ok(()),
        Some(MISUSED) => Err(Failure::Usage("the benchmarks were not started".into())),
        _ => Err(Failure::Failed("not everything could be measured".into())),
    }
}
