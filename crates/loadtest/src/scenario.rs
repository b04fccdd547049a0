//! Owns the list of scenarios: names, what each is, which settings it takes, and what they are unless said.

use std::time::Duration;

use strum::{EnumMessage, EnumString, IntoStaticStr, VariantArray};

use crate::settings::Settings;

pub mod join_burst;
pub mod one_seat;
pub mod poll;
pub mod story;
pub mod stress;

/// A kind of load, called and told on the command line as it is here.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, EnumMessage, EnumString, IntoStaticStr, VariantArray,
)]
#[strum(serialize_all = "kebab-case")]
pub enum Scenario {
    /// --users join within --duration, most of them at the start
    JoinBurst,
    /// --waiting stand in the line; they ask as they are told, or at --rate
    Poll,
    /// visitors come at --rate: join, wait, look, think, hold, charge, pay
    Story,
    /// --users want the same seat at the same instant
    OneSeat,
    /// a crowd of --users comes within --ramp, until all --seats are sold
    SellOut,
    /// the story at a constant --rate for --duration; first tenth against last
    Soak,
    /// the story in steps of --duration at a growing --rate, until p99 or errors break
    Stress,
    /// the story at --rate, ten times as many for a sixth of --duration, and back
    Spike,
}

impl Scenario {
    /// All, in the order in which help lists them.
    pub const ALL: &[Scenario] = Self::VARIANTS;

    /// As it is typed.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// In one line.
    pub fn about(self) -> &'static str {
        self.get_documentation().unwrap_or_default()
    }

    /// Seats of one date, where something is sold: a small hall, and several dates also of a small house.
    pub(crate) fn date_seats(self) -> Option<u32> {
        match self {
            Scenario::JoinBurst | Scenario::Poll => None,
            Scenario::OneSeat | Scenario::SellOut => Some(50),
            Scenario::Story | Scenario::Soak | Scenario::Stress | Scenario::Spike => Some(200),
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

    /// What it is unless said.
    pub fn defaults(self, size: Size) -> Settings {
        let mut settings = Settings::plain(self);
        let seconds = |real, small| Duration::from_secs(size.of(real, small));
        match self {
            Scenario::JoinBurst => {
                settings.users = size.of(100_000, 20_000);
                settings.duration = seconds(60, 10);
                settings.connections = 256;
                settings.p99_ms = Some(250.0);
            }
            Scenario::Poll => {
                settings.waiting = size.of(100_000, 1_000);
                settings.duration = seconds(60, 30);
                settings.p99_ms = Some(50.0);
            }
            Scenario::Story => {
                settings.rate = size.of(100.0, 10.0);
                settings.duration = seconds(60, 40);
                settings.ramp = seconds(5, 5);
            }
            Scenario::Soak => {
                settings.rate = size.of(50.0, 10.0);
                settings.duration = seconds(300, 40);
                settings.ramp = seconds(5, 5);
            }
            Scenario::OneSeat => {
                settings.users = 1_000;
                settings.let_in(1_000_000, 100_000.0);
                settings.p95_ms = Some(250.0);
                settings.p99_ms = None;
            }
            Scenario::SellOut => {
                settings.seats = size.of(500, 100);
                settings.ramp = seconds(30, 10);
                settings.think = Duration::from_millis(300);
                settings.let_in(size.of(400, 200), size.of(200.0, 100.0));
            }
            Scenario::Stress => {
                settings.rate = 20.0;
                settings.duration = seconds(5, 5);
                settings.seats = 20_000;
                settings.think = Duration::ZERO;
                settings.let_in(1_000_000, 100_000.0);
                settings.p99_ms = Some(250.0);
            }
            Scenario::Spike => {
                settings.rate = size.of(100.0, 5.0);
                settings.duration = seconds(60, 40);
                settings.ramp = seconds(1, 1);
                settings.let_in(1_000, size.of(150.0, 15.0));
            }
        }
        settings.complete(|_| false);
        settings
    }
}

/// How large a run is unless said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// A sale on a small machine: each run ends within some minutes.
    Real,
    /// A first look, or a test: each ends within about a minute on two cores that the servers need too.
    Small,
}

impl Size {
    fn of<T>(self, real: T, small: T) -> T {
        match self {
            Size::Real => real,
            Size::Small => small,
        }
    }
}
