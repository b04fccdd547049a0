//! Owns the list of scenarios: names, what each is, which settings it takes, and what they are unless said.

use std::time::Duration;

use crate::settings::Settings;

pub mod join_burst;
pub mod one_seat;
pub mod poll;
pub mod story;
pub mod stress;

/// A kind of load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scenario {
    /// Many join within seconds.
    JoinBurst,
    /// Many wait and ask for their place.
    Poll,
    /// Visitors come at a rate and buy.
    Story,
    /// All want one seat at the same instant.
    OneSeat,
    /// A crowd buys everything.
    SellOut,
    /// The story for long; what is slower at the end?
    Soak,
    /// The story at a growing rate, until it breaks.
    Stress,
    /// The story with ten times as many for a while.
    Spike,
}

impl Scenario {
    /// All, in the order in which help lists them.
    pub const ALL: [Scenario; 8] = [
        Scenario::JoinBurst,
        Scenario::Poll,
        Scenario::Story,
        Scenario::OneSeat,
        Scenario::SellOut,
        Scenario::Soak,
        Scenario::Stress,
        Scenario::Spike,
    ];

    /// The scenario of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }

    /// As it is typed.
    pub fn name(self) -> &'static str {
        match self {
            Scenario::JoinBurst => "join-burst",
            Scenario::Poll => "poll",
            Scenario::Story => "story",
            Scenario::OneSeat => "one-seat",
            Scenario::SellOut => "sell-out",
            Scenario::Soak => "soak",
            Scenario::Stress => "stress",
            Scenario::Spike => "spike",
        }
    }

    /// In one line.
    pub fn about(self) -> &'static str {
        match self {
            Scenario::JoinBurst => "--users join within --duration, most of them at the start",
            Scenario::Poll => {
                "--waiting stand in the line; they ask as they are told, or at --rate"
            }
            Scenario::Story => {
                "visitors come at --rate: join, wait, look, think, hold, charge, pay"
            }
            Scenario::OneSeat => "--users want the same seat at the same instant",
            Scenario::SellOut => {
                "a crowd of --users comes within --ramp, until all --seats are sold"
            }
            Scenario::Soak => {
                "the story at a constant --rate for --duration; first tenth against last"
            }
            Scenario::Stress => {
                "the story in steps of --duration at a growing --rate, until p99 or errors break"
            }
            Scenario::Spike => {
                "the story at --rate, ten times as many for a sixth of --duration, and back"
            }
        }
    }

    /// The flags that mean something to it, besides those that every scenario takes.
    pub fn flags(self) -> &'static [&'static str] {
        match self {
            Scenario::JoinBurst => &["users", "duration", "connections"],
            Scenario::Poll => &["waiting", "rate", "duration", "connections"],
            Scenario::Story | Scenario::Soak | Scenario::Spike => &[
                "rate",
                "duration",
                "ramp",
                "seats",
                "think",
                "max-active",
                "admit",
            ],
            Scenario::OneSeat => &["users"],
            Scenario::SellOut => &["users", "ramp", "seats", "think", "max-active", "admit"],
            Scenario::Stress => &["rate", "duration", "seats", "think"],
        }
    }

    /// Small enough to end within about a minute on two cores that the servers need too.
    pub fn defaults(self) -> Settings {
        let mut settings = Settings::plain(self);
        let seconds = Duration::from_secs;
        match self {
            Scenario::JoinBurst => {
                settings.users = 20_000;
                settings.duration = seconds(10);
                settings.connections = 256;
                settings.objective.p99_ms = Some(250.0);
            }
            Scenario::Poll => {
                settings.waiting = 1_000;
                settings.duration = seconds(30);
                settings.objective.p99_ms = Some(50.0);
            }
            Scenario::Story | Scenario::Soak => {
                settings.rate = 10.0;
                settings.duration = seconds(40);
                settings.ramp = seconds(5);
            }
            Scenario::OneSeat => {
                settings.users = 1_000;
                settings.open_wide();
                settings.objective.p95_ms = Some(250.0);
                settings.objective.p99_ms = None;
            }
            Scenario::SellOut => {
                settings.seats = 100;
                settings.ramp = seconds(10);
                settings.think = Duration::from_millis(300);
                settings.max_active = 200;
            }
            Scenario::Stress => {
                settings.rate = 20.0;
                settings.duration = seconds(5);
                settings.seats = 20_000;
                settings.think = Duration::ZERO;
                settings.open_wide();
                settings.objective.p99_ms = Some(250.0);
            }
            Scenario::Spike => {
                settings.rate = 5.0;
                settings.duration = seconds(40);
                settings.ramp = seconds(1);
                settings.admit_per_second = 15.0;
            }
        }
        settings.complete(|_| false);
        settings
    }
}
