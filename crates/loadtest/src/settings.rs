//! Owns the command line: which scenario, how large, what must hold, where the report goes.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use lexopt::{Arg, Parser, ValueExt as _};
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

/// What the command line asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// A text to print.
    Help(String),
    /// A run.
    Run(Box<Run>),
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

/// Every flag that only some scenarios take, and what it means.
const SOME: [(&str, &str); 10] = [
    ("users", "N        visitors in all"),
    ("waiting", "N      visitors in the line"),
    ("rate", "R         arrivals, or polls, per second"),
    ("duration", "TIME  how long, as 30, 30s, 500ms or 10m"),
    (
        "ramp",
        "TIME      how long the rate grows; in sell-out how long the crowd comes",
    ),
    (
        "seats",
        "N        seats on sale, in dates of 50 (sell-out) or 200",
    ),
    ("think", "TIME     median pause of a person who thinks"),
    ("connections", "N  connections that the crowd shares"),
    ("max-active", "N   most visitors inside"),
    ("admit", "R        most visitors let in per second"),
];

const ALWAYS: &str = "  --seed N         of all that is left to chance; 1 unless said
  --p95-ms MS      objective: 95 of 100 calls are answered within; 0 takes it away
  --p99-ms MS      objective: 99 of 100 calls are answered within; 0 takes it away
  --errors N       objective: most errors; 0 unless said
  --drift F        objective of soak: p95 of the last tenth against the first; 2 unless said
  --report DIR     where the HTML report goes; target/usher/reports unless said
  --json FILE      figures as JSON
  --check          only say what would be done
";

/// The general help.
pub fn help() -> String {
    let mut text = String::from(
        "Puts load on a gateway of this machine.\n\n  loadtest SCENARIO [flags]\n\n\
         USHER_URLS (gateways, with commas between) and USHER_OPERATOR_KEY say where.\n\n",
    );
    for scenario in Scenario::ALL {
        let _ = writeln!(text, "  {:<11} {}", scenario.name(), scenario.about());
    }
    text.push_str(
        "\n`loadtest SCENARIO --help` lists its flags. Exit code 1 when an objective is missed.\n",
    );
    text
}

fn help_of(scenario: Scenario) -> String {
    let mut text = format!("{}: {}\n\n", scenario.name(), scenario.about());
    for (name, about) in SOME {
        if scenario.flags().contains(&name) {
            let _ = writeln!(text, "  --{name} {about}");
        }
    }
    text.push_str(ALWAYS);
    let _ = writeln!(text, "\nUnless said:\n  {}", scenario.defaults().line());
    text
}

/// Reads the command line.
///
/// # Errors
/// What was not understood, in words.
pub fn read(mut parser: Parser) -> Result<Command, String> {
    let told = |error: lexopt::Error| error.to_string();
    let scenario = match parser.next().map_err(told)? {
        None | Some(Arg::Short('h') | Arg::Long("help")) => return Ok(Command::Help(help())),
        Some(Arg::Value(name)) => {
            let name = name.to_string_lossy().into_owned();
            Scenario::named(&name).ok_or_else(|| format!("there is no scenario `{name}`"))?
        }
        Some(other) => return Err(told(other.unexpected())),
    };
    let mut run = Run {
        settings: scenario.defaults(),
        report: PathBuf::from("target/usher/reports"),
        json: None,
        check: false,
    };
    let mut flags = Vec::new();
    while let Some(argument) = parser.next().map_err(told)? {
        let name = match argument {
            Arg::Short('h') | Arg::Long("help") => return Ok(Command::Help(help_of(scenario))),
            Arg::Long("check") => {
                run.check = true;
                continue;
            }
            Arg::Long(name) => name.to_owned(),
            other => return Err(told(other.unexpected())),
        };
        let value = parser.value().map_err(told)?.string().map_err(told)?;
        set(&mut run, &name, &value)?;
        flags.push(name);
    }
    run.settings.complete(&flags);
    Ok(Command::Run(Box::new(run)))
}

fn set(run: &mut Run, name: &str, value: &str) -> Result<(), String> {
    let scenario = run.settings.scenario;
    if SOME.iter().any(|(some, _)| *some == name) && !scenario.flags().contains(&name) {
        return Err(format!("{} does not take --{name}", scenario.name()));
    }
    let settings = &mut run.settings;
    match name {
        "users" => settings.users = within(name, value, 1, 1_000_000)?,
        "waiting" => settings.waiting = within(name, value, 1, 2_000_000)?,
        "rate" => settings.rate = within(name, value, 0.1, 100_000.0)?,
        "duration" => settings.duration = time(name, value)?,
        "ramp" => settings.ramp = time(name, value)?,
        "seats" => settings.seats = within(name, value, 1, 200_000)?,
        "think" => settings.think = time(name, value)?,
        "connections" => settings.connections = within(name, value, 1, 10_000)?,
        "seed" => settings.seed = within(name, value, 0, u64::MAX)?,
        "max-active" => settings.max_active = within(name, value, 1, 1_000_000)?,
        "admit" => settings.admit_per_second = within(name, value, 0.001, 100_000.0)?,
        "p95-ms" => settings.objective.p95_ms = limit(name, value)?,
        "p99-ms" => settings.objective.p99_ms = limit(name, value)?,
        "errors" => settings.objective.errors = within(name, value, 0, u64::MAX)?,
        "drift" => settings.objective.drift = within(name, value, 1.0, 1_000.0)?,
        "report" => run.report = value.into(),
        "json" => run.json = Some(value.into()),
        _ => return Err(format!("invalid option '--{name}'")),
    }
    Ok(())
}

/// A crowd is so many times as large as what it wants.
const CROWD: u64 = 20;
/// A visitor of the story takes 2 on average; half as many again are for those who hold and think.
const SEATS_EACH: f64 = 3.0;

fn within<T: FromStr + PartialOrd + std::fmt::Display>(
    name: &str,
    value: &str,
    low: T,
    high: T,
) -> Result<T, String> {
    value
        .replace('_', "")
        .parse()
        .ok()
        .filter(|number| (&low..=&high).contains(&number))
        .ok_or_else(|| format!("--{name} takes a number from {low} to {high}, not `{value}`"))
}

fn limit(name: &str, value: &str) -> Result<Option<f64>, String> {
    within(name, value, 0.0, 600_000.0).map(|ms| (ms > 0.0).then_some(ms))
}

fn time(name: &str, value: &str) -> Result<Duration, String> {
    let units = [
        ("ms", 0.001),
        ("s", 1.0),
        ("m", 60.0),
        ("h", 3600.0),
        ("", 1.0),
    ];
    units
        .into_iter()
        .find_map(|(unit, seconds)| {
            let number: f64 = value.strip_suffix(unit)?.parse().ok()?;
            let all = number * seconds;
            (0.0..=DAY_S)
                .contains(&all)
                .then(|| Duration::from_secs_f64(all))
        })
        .ok_or_else(|| format!("--{name} takes a time as 30, 30s, 500ms or 10m, not `{value}`"))
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
    pub(crate) fn complete(&mut self, said: &[String]) {
        let unsaid = |name: &str| !said.iter().any(|it| it == name);
        match self.scenario {
            Scenario::SellOut if unsaid("users") => self.users = CROWD * u64::from(self.seats),
            // Enough for all who come, so that the end is as busy as the start.
            Scenario::Story | Scenario::Soak | Scenario::Spike if unsaid("seats") => {
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
        let mut shown = Vec::new();
        for (name, _) in SOME {
            if self.scenario.flags().contains(&name) {
                shown.push((name, self.value(name)));
            }
        }
        shown.push(("seed", self.seed.to_string()));
        shown
    }

    fn value(&self, name: &str) -> String {
        let seconds = |time: Duration| format!("{} s", time.as_secs_f64());
        match name {
            "users" => self.users.to_string(),
            "waiting" => self.waiting.to_string(),
            "rate" if self.rate == 0.0 => "as told".to_owned(),
            "rate" => format!("{}/s", self.rate),
            "duration" => seconds(self.duration),
            "ramp" => seconds(self.ramp),
            "seats" => self.seats.to_string(),
            "think" => seconds(self.think),
            "connections" => self.connections.to_string(),
            "max-active" => self.max_active.to_string(),
            _ => format!("{}/s", self.admit_per_second),
        }
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

    fn parse(line: &str) -> Result<Command, String> {
        read(Parser::from_args(line.split_whitespace()))
    }

    fn run(line: &str) -> Run {
        match parse(line) {
            Ok(Command::Run(run)) => *run,
            other => panic!("{line}: {other:?}"),
        }
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
        refused("dance", "`dance`");
        refused("poll --seats 3", "poll does not take --seats");
        refused("poll --fast 3", "'--fast'");
        refused("poll --rate", "rate");
        refused("poll --rate many", "`many`");
        refused("poll --rate 0", "from 0.1");
        refused("one-seat --users 0", "from 1");
        refused("story --duration soon", "`soon`");
        refused("story --duration -3", "`-3`");
        refused("story --duration NaN", "`NaN`");
        refused("story now", "now");
    }

    #[test]
    fn help_lists_scenarios_and_their_flags() {
        let Ok(Command::Help(text)) = parse("--help") else {
            panic!("no help")
        };
        for scenario in Scenario::ALL {
            assert!(
                text.contains(scenario.name()) && text.contains(scenario.about()),
                "{text}"
            );
            let Ok(Command::Help(own)) = parse(&format!("{} --help", scenario.name())) else {
                panic!("no help")
            };
            for flag in scenario.flags() {
                assert!(own.contains(&format!("--{flag} ")), "{flag}: {own}");
            }
        }
    }

    #[test]
    fn every_flag_of_a_scenario_is_one_that_there_is() {
        for scenario in Scenario::ALL {
            for flag in scenario.flags() {
                assert!(SOME.iter().any(|(name, _)| name == flag), "{flag}");
            }
        }
    }
}
