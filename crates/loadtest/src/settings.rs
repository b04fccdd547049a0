//! Owns the command line: which scenario, how large, what must hold, where the report goes.

use std::ffi::OsString;
use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Arg, Args, Command, Error, FromArgMatches as _};

use crate::{Scenario, Size};

/// How large a run is, how its visitors behave and what must hold: as the scenario has it, and then as the command line
/// changes it. Whether seats and money are right is always asked.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct Settings {
    /// Which.
    #[arg(skip = Scenario::Story)]
    pub scenario: Scenario,
    /// Visitors in all
    #[arg(long, value_name = "N", value_parser = within(1_u64, 1_000_000))]
    pub users: u64,
    /// Visitors in the line
    #[arg(long, value_name = "N", value_parser = within(1_u64, 2_000_000))]
    pub waiting: u64,
    /// Arrivals, or polls, per second
    #[arg(long, value_name = "R", value_parser = within(0.1, 100_000.0))]
    pub rate: f64,
    /// How long, as 30, 30s, 500ms or 10m; one step of stress
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub duration: Duration,
    /// How long the rate grows; in sell-out how long the crowd comes
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub ramp: Duration,
    /// Seats on sale, in dates of 50 (sell-out) or 200
    #[arg(long, value_name = "N", value_parser = within(1_u32, 200_000))]
    pub seats: u32,
    /// Median pause of a person who thinks
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub think: Duration,
    /// Connections that the crowd shares
    #[arg(long, value_name = "N", value_parser = within(1_usize, 10_000))]
    pub connections: usize,
    /// Most visitors inside
    #[arg(long, value_name = "N", value_parser = within(1_u32, 1_000_000))]
    pub max_active: u32,
    /// Most visitors let in per second
    #[arg(long = "admit", value_name = "R", value_parser = within(0.001, 100_000.0))]
    pub admit_per_second: f64,
    /// Of all that is left to chance; 1 unless said
    #[arg(long, value_name = "N")]
    pub seed: u64,
    /// Objective: 95 of 100 calls are answered within; 0 takes it away
    #[arg(long, value_name = "MS", value_parser = within(0.0, 600_000.0))]
    pub p95_ms: Option<f64>,
    /// Objective: 99 of 100 calls are answered within; 0 takes it away
    #[arg(long, value_name = "MS", value_parser = within(0.0, 600_000.0))]
    pub p99_ms: Option<f64>,
    /// Objective: most errors; 0 unless said
    #[arg(long, value_name = "N")]
    pub errors: u64,
    /// Objective of soak: p95 of the last tenth against the first; 2 unless said
    #[arg(long, value_name = "F", value_parser = within(1.0, 1_000.0))]
    pub drift: f64,
}

/// A run and where its figures go.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct Run {
    /// How.
    #[command(flatten)]
    pub settings: Settings,
    /// Where the HTML report goes; target/usher/reports unless said
    #[arg(long, value_name = "DIR")]
    pub report: PathBuf,
    /// Figures as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// As small as a first look, where nothing else is said
    #[arg(long)]
    pub small: bool,
    /// Only say what would be done
    #[arg(long)]
    pub check: bool,
}

/// What a command line asks for, the name of the program first; or what it did not understand, or the help.
///
/// # Errors
/// As clap tells them.
pub fn parse(words: impl IntoIterator<Item: Into<OsString> + Clone>) -> Result<Run, Error> {
    let matches = command().try_get_matches_from(words)?;
    let (name, flags) = matches.subcommand().expect("a scenario is required");
    let scenario: Scenario = name.parse().expect("every command is a scenario");
    let size = match flags.get_flag("small") {
        true => Size::Small,
        false => Size::Real,
    };
    let mut run = Run {
        settings: scenario.defaults(size),
        report: PathBuf::from("target/usher/reports"),
        json: None,
        small: false,
        check: false,
    };
    run.update_from_arg_matches(flags)?;
    run.settings.complete(|id| flags.contains_id(id));
    for limit in [&mut run.settings.p95_ms, &mut run.settings.p99_ms] {
        limit.take_if(|ms| *ms == 0.0);
    }
    Ok(run)
}

fn command() -> Command {
    let of = |scenario: &Scenario| {
        Run::augment_args_for_update(Command::new(scenario.name()))
            .about(scenario.about())
            .after_help(unless_said(*scenario))
            .mut_args(|it| flag(*scenario, it))
    };
    Command::new("loadtest")
        .about("Puts load on a gateway of this machine")
        .after_help(
            "USHER_URLS (gateways, with commas between) and USHER_OPERATOR_KEY say where.\n\
             Exit code 1 when an objective is missed.",
        )
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
        .subcommands(Scenario::ALL.iter().map(of))
}

fn unless_said(scenario: Scenario) -> String {
    let [real, small] = [Size::Real, Size::Small].map(|it| scenario.defaults(it).line());
    format!("Unless said:\n  {real}\nWith --small:\n  {small}")
}

/// A flag as this scenario has it: what means nothing to it, but to another, is not shown and not taken.
fn flag(scenario: Scenario, flag: Arg) -> Arg {
    let nothing = |_: &str| Err::<String, _>("it means nothing to this scenario");
    let is_of = |it: Scenario| {
        flag.get_long()
            .is_some_and(|name| it.flags().contains(&name))
    };
    let is_foreign = !is_of(scenario) && Scenario::ALL.iter().any(|it| is_of(*it));
    // A number below zero is no flag but a mistake that is told as one.
    let takes_value = flag.get_action().takes_values();
    let flag = flag.allow_negative_numbers(takes_value);
    match is_foreign {
        true => flag.hide(true).value_parser(nothing),
        false => flag,
    }
}

/// A crowd is so many times as large as what it wants.
const CROWD: u64 = 20;
const A_DAY: Duration = Duration::from_secs(86_400);
/// A visitor of the story takes 2 on average; half as many again are for those who hold and think.
const SEATS_EACH: f64 = 3.0;

fn within<T: FromStr + PartialOrd + Display + Copy>(
    low: T,
    high: T,
) -> impl Fn(&str) -> Result<T, String> + Clone {
    move |value| {
        let number = value.replace('_', "").parse().ok();
        let number = number.filter(|number| (low..=high).contains(number));
        number.ok_or_else(|| format!("a number from {low} to {high}"))
    }
}

fn time(value: &str) -> Result<Duration, String> {
    let seconds = value.parse().map(Duration::from_secs);
    let found = seconds.or_else(|_| humantime::parse_duration(value)).ok();
    let found = found.filter(|it| *it <= A_DAY);
    found.ok_or_else(|| "a time as 30, 30s, 500ms or 10m".to_owned())
}

impl Settings {
    /// What a scenario starts from.
    pub(crate) fn plain(scenario: Scenario) -> Self {
        Self {
            scenario,
            users: 0,
            waiting: 0,
            rate: 0.0,
            duration: Duration::ZERO,
            ramp: Duration::ZERO,
            seats: 50,
            think: Duration::from_secs(1),
            connections: 64,
            seed: 1,
            max_active: 1_000,
            admit_per_second: 200.0,
            p95_ms: None,
            p99_ms: Some(100.0),
            errors: 0,
            drift: 2.0,
        }
    }

    /// Most inside, and most let in per second.
    pub(crate) fn let_in(&mut self, max_active: u32, per_second: f64) {
        self.max_active = max_active;
        self.admit_per_second = per_second;
    }

    /// What follows from other settings where it was not said.
    pub(crate) fn complete(&mut self, is_said: impl Fn(&str) -> bool) {
        match self.scenario {
            Scenario::SellOut if !is_said("users") => self.users = CROWD * u64::from(self.seats),
            // Enough for all who come, so that the end is as busy as the start.
            Scenario::Story | Scenario::Soak | Scenario::Spike if !is_said("seats") => {
                let is_spike = self.scenario == Scenario::Spike;
                let often = if is_spike { 3.0 } else { 1.0 };
                let visitors = self.rate * often * self.duration.as_secs_f64();
                self.seats = (visitors * SEATS_EACH).ceil().clamp(200.0, 200_000.0) as u32;
            }
            _ => {}
        }
    }

    /// What this scenario heeds, as names and values.
    pub fn shown(&self) -> Vec<(&'static str, String)> {
        let seconds = |time: Duration| format!("{} s", time.as_secs_f64());
        let rate = match self.rate {
            0.0 => "as told".to_owned(),
            rate => format!("{rate}/s"),
        };
        let all = [
            ("users", self.users.to_string()),
            ("waiting", self.waiting.to_string()),
            ("rate", rate),
            ("duration", seconds(self.duration)),
            ("ramp", seconds(self.ramp)),
            ("seats", self.seats.to_string()),
            ("think", seconds(self.think)),
            ("connections", self.connections.to_string()),
            ("max-active", self.max_active.to_string()),
            ("admit", format!("{}/s", self.admit_per_second)),
        ];
        let heeded = self.scenario.flags();
        let shown = all.into_iter().filter(|(name, _)| heeded.contains(name));
        shown.chain([("seed", self.seed.to_string())]).collect()
    }

    /// The same in one line.
    pub fn line(&self) -> String {
        let part = |(name, value)| format!("{name} {value}");
        let parts: Vec<_> = self.shown().into_iter().map(part).collect();
        parts.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(line: &str) -> Result<Run, String> {
        let words = std::iter::once("loadtest").chain(line.split_whitespace());
        parse(words).map_err(|error| error.to_string())
    }

    fn settings(line: &str) -> Settings {
        run(line).expect(line).settings
    }

    fn refused(line: &str, words: &str) {
        let told = run(line).expect_err(line);
        assert!(told.contains(words), "{line}: {told}");
    }

    #[test]
    fn flags_change_what_they_name_and_nothing_else() {
        let settings = settings("story --rate 2.5 --duration 500ms --think 2 --ramp 1m --seats 70");
        let wanted = Settings {
            rate: 2.5,
            duration: Duration::from_millis(500),
            think: Duration::from_secs(2),
            ramp: Duration::from_secs(60),
            seats: 70,
            ..Scenario::Story.defaults(Size::Real)
        };
        assert_eq!(settings, wanted);
        let line =
            "poll --waiting 1_000_000 --p99-ms 0 --errors 3 --json a.json --report b --check";
        let run = run(line).expect(line);
        assert_eq!(run.settings.waiting, 1_000_000);
        assert_eq!((run.settings.p99_ms, run.settings.errors), (None, 3));
        assert_eq!((run.json, run.check), (Some("a.json".into()), true));
        assert_eq!(run.report, PathBuf::from("b"));
    }

    #[test]
    fn a_crowd_is_twenty_times_what_it_wants_unless_said() {
        assert_eq!(settings("sell-out").users, 10_000);
        assert_eq!(settings("sell-out --small").users, 2_000);
        assert_eq!(settings("sell-out --seats 50").users, 1_000);
        assert_eq!(settings("sell-out --users 60 --seats 50").users, 60);
    }

    #[test]
    fn what_is_not_understood_is_named() {
        refused("dance", "'dance'");
        refused("poll --seats 3", "'--seats <N>': it means nothing");
        refused("poll --fast 3", "'--fast'");
        refused("poll --rate", "'--rate <R>'");
        refused("poll --rate many", "'many'");
        refused("poll --rate 0", "from 0.1");
        refused("one-seat --users 0", "from 1");
        refused("story --duration soon", "'soon'");
        refused("story --duration -3", "'-3'");
        refused("story --duration NaN", "'NaN'");
        refused("story now", "'now'");
    }

    #[test]
    fn help_lists_scenarios_and_their_flags() {
        let told = run("--help").expect_err("the help");
        for scenario in Scenario::ALL {
            assert!(told.contains(scenario.name()), "{told}");
            let own = run(&format!("{} --help", scenario.name())).expect_err("the help");
            for flag in scenario.flags() {
                assert!(own.contains(&format!("--{flag} <")), "{flag}: {own}");
            }
        }
        let poll = run("poll --help").expect_err("the help");
        assert!(!poll.contains("--seats"), "{poll}");
    }
}
