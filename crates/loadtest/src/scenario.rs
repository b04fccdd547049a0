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

    /// Small enough to end within about a minute on two cores that the servers need too.
    pub fn defaults(self) -> Settings {
        let mut settings = Settings::plain(self);
        let seconds = Duration::from_secs;
        match self {
            Scenario::JoinBurst => {
                settings.users = 20_000;
                settings.duration = seconds(10);
                settings.connections = 256;
                settings.p99_ms = Some(250.0);
            }
            Scenario::Poll => {
                settings.waiting = 1_000;
                settings.duration = seconds(30);
                settings.p99_ms = Some(50.0);
            }
            Scenario::Story | Scenario::Soak => {
                settings.rate = 10.0;
                settings.duration = seconds(40);
                settings.ramp = seconds(5);
            }
            Scenario::OneSeat => {
                settings.users = 1_000;
                settings.open_wide();
                settings.p95_ms = Some(250.0);
                settings.p99_ms = None;
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
                settings.p99_ms = Some(250.0);
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
