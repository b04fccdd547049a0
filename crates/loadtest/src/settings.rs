//! Owns the command line: which scenario, how large, what must hold, where the report goes.

use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use serde_json::{Value, json};

use crate::Scenario;

/// How large a run is and how its visitors behave.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Which.
    pub scenario: Scenario,
    /// Visitors in all, where that is given and not a rate.
    pub users: u64,
    /// Visitors in the line of `poll`.
    pub waiting: u64,
    /// Arrivals per second; 0 in `poll` is: as each is told.
    pub rate: f64,
    /// How long they arrive; one step of `stress`.
    pub duration: Duration,
    /// How long the rate grows to its full height; in `sell-out` the time within which the crowd comes.
    pub ramp: Duration,
    /// Seats on sale.
    pub seats: u32,
    /// The median pause of a person who thinks.
    pub think: Duration,
    /// Connections that a crowd shares where visitors are only numbers.
    pub connections: usize,
    /// Of everything that is left to chance.
    pub seed: u64,
    /// Most visitors inside.
    pub max_active: u32,
    /// Most visitors let in a second.
    pub admit_per_second: f64,
    /// What must hold.
    pub objective: Objective,
}

/// What a run must keep to. Whether seats and money are right is always asked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Objective {
    /// In milliseconds.
    pub p95_ms: Option<f64>,
    /// In milliseconds.
    pub p99_ms: Option<f64>,
    /// Most errors.
    pub errors: u64,
    /// How many times slower than its first tenth the last tenth of `soak` may be, in its p95.
    pub drift: f64,
}

/// A run and where its figures go.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// How.
    pub settings: Settings,
    /// The folder of HTML reports.
    pub report: PathBuf,
    /// Figures as JSON, in a file.
    pub json: Option<PathBuf>,
    /// Says what would be done, and does nothing.
    pub check: bool,
}

/// Every flag that only some scenarios take.
const SOME: [&str; 10] = [
    "users",
    "waiting",
    "rate",
    "duration",
    "ramp",
    "seats",
    "think",
    "connections",
    "max-active",
    "admit",
];
const ALWAYS: [&str; 7] = [
    "seed", "p95-ms", "p99-ms", "errors", "drift", "report", "json",
];

/// What a flag means.
fn about(name: &str) -> &'static str {
    match name {
        "users" => "Visitors in all",
        "waiting" => "Visitors in the line",
        "rate" => "Arrivals, or polls, per second",
        "duration" => "How long, as 30, 30s, 500ms or 10m",
        "ramp" => "How long the rate grows; in sell-out how long the crowd comes",
        "seats" => "Seats on sale, in dates of 50 (sell-out) or 200",
        "think" => "Median pause of a person who thinks",
        "connections" => "Connections that the crowd shares",
        "max-active" => "Most visitors inside",
        "admit" => "Most visitors let in per second",
        "seed" => "Of all that is left to chance; 1 unless said",
        "p95-ms" => "Objective: 95 of 100 calls are answered within; 0 takes it away",
        "p99-ms" => "Objective: 99 of 100 calls are answered within; 0 takes it away",
        "errors" => "Objective: most errors; 0 unless said",
        "drift" => "Objective of soak: p95 of the last tenth against the first; 2 unless said",
        "report" => "Where the HTML report goes; target/usher/reports unless said",
        _ => "Figures as JSON",
    }
}

/// The command line.
pub fn command() -> Command {
    let flag = |&name: &&'static str| {
        let value = match name {
            "rate" | "admit" => "R",
            "duration" | "ramp" | "think" => "TIME",
            "p95-ms" | "p99-ms" => "MS",
            "drift" => "F",
            "report" => "DIR",
            "json" => "FILE",
            _ => "N",
        };
        let flag = Arg::new(name).long(name).value_name(value);
        let flag = flag.help(about(name));
        // A number below zero is no flag but a mistake that is told as one.
        let flag = flag.allow_negative_numbers(true);
        match name {
            "duration" | "ramp" | "think" => flag.value_parser(time),
            "users" => flag.value_parser(within(1_u64, 1_000_000)),
            "waiting" => flag.value_parser(within(1_u64, 2_000_000)),
            "rate" => flag.value_parser(within(0.1, 100_000.0)),
            "seats" => flag.value_parser(within(1_u32, 200_000)),
            "connections" => flag.value_parser(within(1_usize, 10_000)),
            "max-active" => flag.value_parser(within(1_u32, 1_000_000)),
            "admit" => flag.value_parser(within(0.001, 100_000.0)),
            "seed" | "errors" => flag.value_parser(within(0, u64::MAX)),
            "p95-ms" | "p99-ms" => flag.value_parser(within(0.0, 600_000.0)),
            "drift" => flag.value_parser(within(1.0, 1_000.0)),
            _ => flag.value_parser(value_parser!(PathBuf)),
        }
    };
    let of = |scenario: Scenario| {
        let own = SOME.iter().filter(|name| scenario.flags().contains(name));
        let check = Arg::new("check").long("check").action(ArgAction::SetTrue);
        Command::new(scenario.name())
            .about(scenario.about())
            .args(own.chain(&ALWAYS).map(flag))
            .arg(check.help("Only say what would be done"))
            .after_help(format!("Unless said:\n  {}", scenario.defaults().line()))
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
        .subcommands(Scenario::ALL.map(of))
}

/// What the command line asks for; none of it can be out of bounds.
pub fn read(matches: &ArgMatches) -> Option<Run> {
    let (name, flags) = matches.subcommand()?;
    let mut settings = Scenario::named(name)?.defaults();
    take(flags, "users", &mut settings.users);
    take(flags, "waiting", &mut settings.waiting);
    take(flags, "rate", &mut settings.rate);
    take(flags, "duration", &mut settings.duration);
    take(flags, "ramp", &mut settings.ramp);
    take(flags, "seats", &mut settings.seats);
    take(flags, "think", &mut settings.think);
    take(flags, "connections", &mut settings.connections);
    take(flags, "seed", &mut settings.seed);
    take(flags, "max-active", &mut settings.max_active);
    take(flags, "admit", &mut settings.admit_per_second);
    take(flags, "errors", &mut settings.objective.errors);
    take(flags, "drift", &mut settings.objective.drift);
    let limit = |name, unsaid: Option<f64>| match flags.get_one::<f64>(name) {
        Some(ms) => Some(*ms).filter(|ms| *ms > 0.0),
        None => unsaid,
    };
    settings.objective.p95_ms = limit("p95-ms", settings.objective.p95_ms);
    settings.objective.p99_ms = limit("p99-ms", settings.objective.p99_ms);
    settings.complete(|name| matches!(flags.try_contains_id(name), Ok(true)));
    let mut report = PathBuf::from("target/usher/reports");
    take(flags, "report", &mut report);
    Some(Run {
        settings,
        report,
        json: flags.get_one("json").cloned(),
        check: flags.get_flag("check"),
    })
}

/// Sets what was said; a flag that this scenario does not take says nothing.
fn take<T: Clone + Send + Sync + 'static>(flags: &ArgMatches, name: &str, to: &mut T) {
    if let Ok(Some(said)) = flags.try_get_one::<T>(name) {
        to.clone_from(said);
    }
}

/// A crowd is so many times as large as what it wants.
const CROWD: u64 = 20;
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
    const UNITS: [(&str, f64); 5] = [
        ("ms", 0.001),
        ("s", 1.0),
        ("m", 60.0),
        ("h", 3600.0),
        ("", 1.0),
    ];
    let found = UNITS.into_iter().find_map(|(unit, seconds)| {
        let number: f64 = value.strip_suffix(unit)?.parse().ok()?;
        let all = number * seconds;
        (0.0..=DAY_S)
            .contains(&all)
            .then(|| Duration::from_secs_f64(all))
    });
    found.ok_or_else(|| "a time as 30, 30s, 500ms or 10m".to_owned())
}

const DAY_S: f64 = 86_400.0;

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
            max_active: 500,
            admit_per_second: 100.0,
            objective: Objective {
                p95_ms: None,
                p99_ms: Some(100.0),
                errors: 0,
                drift: 2.0,
            },
        }
    }

    /// Lets everybody in at once.
    pub(crate) fn open_wide(&mut self) {
        self.max_active = 1_000_000;
        self.admit_per_second = 100_000.0;
    }

    /// What follows from other settings where it was not said.
    pub(crate) fn complete(&mut self, is_said: impl Fn(&str) -> bool) {
        match self.scenario {
            Scenario::SellOut if !is_said("users") => self.users = CROWD * u64::from(self.seats),
            // Enough for all who come, so that the end is as busy as the start.
            Scenario::Story | Scenario::Soak | Scenario::Spike if !is_said("seats") => {
                let often = if self.scenario == Scenario::Spike {
                    3.0
                } else {
                    1.0
                };
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
        let parts = self
            .shown()
            .into_iter()
            .map(|(name, value)| format!("{name} {value}"));
        parts.collect::<Vec<_>>().join(", ")
    }

    /// The same as JSON.
    pub fn to_json(&self) -> Value {
        self.shown()
            .into_iter()
            .map(|(name, value)| (name.to_owned(), json!(value)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<ArgMatches, String> {
        let words = std::iter::once("loadtest").chain(line.split_whitespace());
        let matches = command().try_get_matches_from(words);
        matches.map_err(|error| error.to_string())
    }

    fn run(line: &str) -> Run {
        let matches = parse(line).expect(line);
        read(&matches).expect(line)
    }

    fn refused(line: &str, words: &str) {
        let told = parse(line).expect_err(line);
        assert!(told.contains(words), "{line}: {told}");
    }

    #[test]
    fn flags_change_what_they_name_and_nothing_else() {
        let settings =
            run("story --rate 2.5 --duration 500ms --think 2 --ramp 1m --seats 70").settings;
        let wanted = Settings {
            rate: 2.5,
            duration: Duration::from_millis(500),
            think: Duration::from_secs(2),
            ramp: Duration::from_secs(60),
            seats: 70,
            ..Scenario::Story.defaults()
        };
        assert_eq!(settings, wanted);
        let run =
            run("poll --waiting 1_000_000 --p99-ms 0 --errors 3 --json a.json --report b --check");
        assert_eq!(run.settings.waiting, 1_000_000);
        assert_eq!(
            (run.settings.objective.p99_ms, run.settings.objective.errors),
            (None, 3)
        );
        assert_eq!(
            (run.json, run.report, run.check),
            (Some("a.json".into()), "b".into(), true)
        );
    }

    #[test]
    fn a_crowd_is_twenty_times_what_it_wants_unless_said() {
        assert_eq!(run("sell-out").settings.users, 2_000);
        assert_eq!(run("sell-out --seats 50").settings.users, 1_000);
        assert_eq!(run("sell-out --users 60 --seats 50").settings.users, 60);
    }

    #[test]
    fn what_is_not_understood_is_named() {
        refused("dance", "'dance'");
        refused("poll --seats 3", "'--seats'");
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
        let told = parse("--help").expect_err("the help");
        for scenario in Scenario::ALL {
            assert!(told.contains(scenario.name()), "{told}");
            let own = parse(&format!("{} --help", scenario.name())).expect_err("the help");
            for flag in scenario.flags() {
                assert!(own.contains(&format!("--{flag} <")), "{flag}: {own}");
            }
        }
    }
}
