//! `cargo xtask load`: servers of its own, or a given target, and the load tool against them.
//!
//! It knows the tool as a program only. What a scenario is and what it takes stands there; a test keeps the list in the
//! help here the same.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::{Args, Parser, value_parser};
use testbed::{Profile, Scratch, Stack, StackOptions, binary};

use crate::failure::Failure;
use crate::packages::Purpose;
use crate::{Consent, packages, say, stop, up, workspace};

pub const HELP: &str = "\
Scenarios, run on servers that it starts itself, built with optimisation:

  join-burst  --users join within --duration, most of them at the start
  poll        --waiting stand in the line; they ask as they are told, or at --rate
  story       visitors come at --rate: join, wait, look, think, hold, charge, pay
  one-seat    --users want the same seat at the same instant
  sell-out    a crowd of --users comes within --ramp, until all --seats are sold
  soak        the story at a constant --rate for --duration; first tenth against last
  stress      the story in steps of --duration at a growing --rate, until p99 or errors break
  spike       the story at --rate, ten times as many for a sixth of --duration, and back

--small runs what ends within a minute, for a first look. For the scenario, where it has use for them:
  --users N --waiting N --rate R --duration TIME --ramp TIME --seats N --think TIME
  --connections N --max-active N --admit R --seed N
Objectives: --p95-ms MS --p99-ms MS --errors N --drift F
What it writes: --report DIR (target/usher/reports unless said), --json FILE

docs/LOAD.md says what each means. Exit code 1 when an objective is missed. Ctrl-C stops
everything.
";

/// What the load tool says to a command line that it does not understand.
const MISUSED: i32 = 64;

/// What the command line asks for.
#[derive(Debug, Args)]
#[command(override_usage = "cargo xtask load SCENARIO [flags of the scenario] [OPTIONS]")]
pub struct Load {
    #[command(flatten)]
    own: Own,
    /// The scenario and its flags, for the tool
    #[arg(
        hide = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        required = true
    )]
    words: Vec<OsString>,
}

/// What is for this command, wherever it stands between the flags of the scenario.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask load", after_help = HELP)]
struct Own {
    /// How many gateways are started, 1 unless said
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(up::GATEWAYS))]
    gateways: Option<u16>,
    /// Stores keep what they promise through a loss of power, on disk
    #[arg(long)]
    durable: bool,
    /// Servers that run already, as those of `cargo xtask up`; this machine only: 127.0.0.1, localhost or `[::1]`; several
    /// with commas between. USHER_OPERATOR_KEY is their operator key
    #[arg(long, value_name = "URL")]
    target: Option<OsString>,
    /// Built without optimisation: quick to build, its figures mean nothing
    #[arg(long)]
    debug: bool,
    #[command(flatten)]
    consent: Consent,
}

/// The flags of this command, and whether a value follows.
const OWN: [(&str, bool); 7] = [
    ("--gateways", true),
    ("--target", true),
    ("--durable", false),
    ("--debug", false),
    ("--yes", false),
    ("--help", false),
    ("-h", false),
];

impl Load {
    /// Runs the scenario to its end, or until somebody stops it.
    pub fn run(mut self) -> Result<(), Failure> {
        let stop = stop::listen()?;
        self.take_own()?;
        // Told before minutes of building; the tool itself checks the rest.
        if let Some(name) = self.words.first().filter(|it| !is_known(it)) {
            let name = name.to_string_lossy();
            return Err(Failure::Usage(format!(
                "there is no scenario {name:?}; `cargo xtask load --help` lists them"
            )));
        }
        if self.own.target.is_some() && env::var_os("USHER_OPERATOR_KEY").is_none() {
            return Err(Failure::Usage(
                "--target needs the operator key in USHER_OPERATOR_KEY; that of `cargo xtask up` is in target/usher/up.env".into(),
            ));
        }
        packages::ensure(Purpose::Stack, self.own.consent)?;
        let build = match self.own.target {
            Some(_) => workspace::build_tool,
            None => workspace::build_all,
        };
        build(!self.own.debug, &stop)?;
        let profile = if self.own.debug {
            Profile::Debug
        } else {
            Profile::Release
        };
        // Before any server starts: a typing error is told at once.
        run_tool(&mut self.tool(profile, &["--check"])?, &stop)?;
        match &self.own.target {
            Some(target) => run_tool(self.tool(profile, &[])?.env("USHER_URLS", target), &stop),
            None => self.with_servers(profile, &stop),
        }
    }

    /// Takes what is for this command out of the flags of the scenario.
    fn take_own(&mut self) -> Result<(), Failure> {
        let mut words = std::mem::take(&mut self.words).into_iter();
        let mut own = vec![OsString::new()];
        while let Some(word) = words.next() {
            let name = word.to_str().unwrap_or_default();
            let name = name.split('=').next().unwrap_or_default();
            let Some((_, takes_value)) = OWN.iter().find(|(own, _)| *own == name) else {
                self.words.push(word);
                continue;
            };
            let is_whole = word.len() > name.len();
            own.push(word);
            if *takes_value && !is_whole {
                own.extend(words.next());
            }
        }
        match self.own.try_update_from(own) {
            Err(error) if error.use_stderr() => Err(Failure::Usage(error.to_string())),
            // What was asked for is the help.
            Err(error) => error.exit(),
            Ok(()) => Ok(()),
        }
    }

    fn tool(&self, profile: Profile, more: &[&str]) -> io::Result<Command> {
        let mut tool = Command::new(binary("loadtest", profile)?);
        tool.args(&self.words)
            .args(more)
            .current_dir(workspace::root());
        Ok(tool)
    }

    fn with_servers(&self, profile: Profile, stop: &AtomicBool) -> Result<(), Failure> {
        let scratch = Scratch::new()?;
        // A scratch folder is in RAM where there is room, and what is in RAM survives nothing.
        let folder = match self.own.durable {
            true => workspace::root().join("target/usher/load"),
            false => scratch.path().to_owned(),
        };
        let progress = |what: &str| match stop.load(Ordering::Relaxed) {
            true => Err(io::ErrorKind::Interrupted.into()),
            false => {
                say(what);
                Ok(())
            }
        };
        let mut options = StackOptions::new(folder);
        options.gateways = self.own.gateways.unwrap_or(1);
        options.durable = self.own.durable;
        options.fresh = true;
        options.profile = profile;
        options.progress = &progress;
        let mut stack = Stack::start(options)?;
        let mut tool = self.tool(profile, &[])?;
        tool.env("USHER_URLS", stack.gateway_urls().join(","))
            .env("USHER_OPERATOR_KEY", stack.operator_key());
        let outcome = run_tool(&mut tool, stop);
        let stopped = stack.stop();
        outcome?;
        Ok(stopped?)
    }
}

/// Whether the help lists a scenario of this name; of a flag only the tool knows whether it is one.
fn is_known(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    let listed = HELP.lines().filter_map(|line| line.strip_prefix("  "));
    name.starts_with('-')
        || listed
            .take_while(|line| !line.starts_with("--"))
            .filter_map(|line| line.split_whitespace().next())
            .any(|scenario| scenario == name && scenario != "cargo")
}

/// Runs the tool; its exit code decides.
fn run_tool(tool: &mut Command, stop: &AtomicBool) -> Result<(), Failure> {
    match stop::run(tool, stop)?.code() {
        Some(0) => Ok(()),
        Some(MISUSED) => Err(Failure::Usage(
            "the load tool did not understand that; it says above what".into(),
        )),
        _ => Err(Failure::Failed(
            "an objective was missed, or the run could not be made; it stands above".into(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    #[test]
    fn a_scenario_that_is_not_listed_is_told_before_anything_is_built() {
        let known = |name: &str| super::is_known(OsStr::new(name));
        for name in ["join-burst", "poll", "sell-out", "spike", "--users"] {
            assert!(known(name), "{name}");
        }
        for name in ["nonsense", "cargo", "", "join"] {
            assert!(!known(name), "{name}");
        }
    }
}
