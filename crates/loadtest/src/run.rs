//! Owns one run from the first request to its findings.

use std::rc::Rc;

use serde_json::{Value, json};
use tokio::runtime::Builder;
use tokio::task::LocalSet;

use crate::check::Check;
use crate::progress::Progress;
use crate::recorder::Record;
use crate::scenario::{join_burst, one_seat, poll, sell_out, story, stress};
use crate::settings::Settings;
use crate::shop::{Rules, Shop, Trouble};
use crate::visitor::Stage;
use crate::{Recorder, Scenario, Target};

/// What came of a run.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// How it was run.
    pub settings: Settings,
    /// The figures.
    pub record: Record,
    /// What must hold, and whether it does.
    pub checks: Vec<Check>,
    /// What else is worth knowing, as sentences.
    pub notes: Vec<String>,
}

impl Outcome {
    /// Whether everything held.
    pub fn kept(&self) -> bool {
        self.checks.iter().all(|check| check.kept)
    }

    /// Everything as JSON.
    pub fn to_json(&self) -> Value {
        json!({
            "scenario": self.settings.scenario.name(),
            "settings": self.settings.to_json(),
            "kept": self.kept(),
            "checks": self.checks.iter().map(Check::to_json).collect::<Vec<_>>(),
            "notes": self.notes,
            "figures": self.record.to_json(),
        })
    }
}

/// What a scenario gives back.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub record: Record,
    pub checks: Vec<Check>,
    pub notes: Vec<String>,
}

/// Runs a scenario against gateways of one sale; blocks this thread until it is over.
///
/// # Errors
/// The sale could not be prepared or looked at; a missed objective is no error but a check that was not kept.
pub fn run(
    settings: &Settings,
    gateways: Vec<Target>,
    key: &str,
    progress: Progress,
) -> Result<Outcome, Trouble> {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("no runtime: {error}"))?;
    let findings = LocalSet::new().block_on(&runtime, act(settings, gateways, key, progress))?;
    Ok(Outcome {
        settings: settings.clone(),
        record: findings.record,
        checks: findings.checks,
        notes: findings.notes,
    })
}

async fn act(
    settings: &Settings,
    gateways: Vec<Target>,
    key: &str,
    progress: Progress,
) -> Result<Findings, Trouble> {
    let shop = Shop::open(gateways, key, Rules::of(settings)).await?;
    let findings = match settings.scenario {
        Scenario::JoinBurst => join_burst::run(settings, shop.clone(), progress).await,
        Scenario::Poll => poll::run(settings, shop.clone(), progress).await,
        Scenario::Story | Scenario::Soak | Scenario::Spike => {
            story::run(settings, shop.clone(), progress).await
        }
        Scenario::OneSeat => one_seat::run(settings, shop.clone(), progress).await,
        Scenario::SellOut => sell_out::run(settings, shop.clone(), progress).await,
        Scenario::Stress => stress::run(settings, shop.clone(), progress).await,
    };
    // Also when something went wrong: a target that stays keeps no queue of ours.
    if let Err(trouble) = shop.close().await {
        progress.say(&format!("the queue {} stays behind: {trouble}", shop.queue));
    }
    findings
}

impl Rules {
    fn of(settings: &Settings) -> Self {
        Self {
            paused: matches!(settings.scenario, Scenario::JoinBurst | Scenario::Poll),
            max_active: settings.max_active,
            admit_per_second: settings.admit_per_second,
        }
    }
}

impl Stage {
    /// A stage for the visitors of this run, whose figures begin now.
    pub(crate) fn new(settings: &Settings, shop: Shop) -> Rc<Self> {
        Rc::new(Self {
            shop,
            recorder: Recorder::default(),
            think: settings.think,
            seed: settings.seed,
        })
    }
}
