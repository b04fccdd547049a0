//! Owns one run from the first request to its findings.

use serde_json::{Value, json};
use tokio::runtime::Builder;
use tokio::task::LocalSet;
use tokio::time::Instant;

use crate::check::{self, Check};
use crate::machine::Process;
use crate::operator::{Operator, Trouble};
use crate::progress::Progress;
use crate::recorder::Record;
use crate::scenario::{join_burst, one_seat, poll, story, stress};
use crate::settings::Settings;
use crate::shop::{Shop, rules};
use crate::visitor::Stage;
use crate::{Scenario, Step, Target};

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
    /// The checks of the scenario itself, then those of every scenario: errors, and how fast `what` was, which is one step
    /// or all calls. Where a step was due by the clock, a note says how late the generator sent it.
    pub(crate) fn judged(
        settings: &Settings,
        record: Record,
        mut checks: Vec<Check>,
        (what, step): (&str, Option<Step>),
        mut notes: Vec<String>,
    ) -> Self {
        let measured = step.map_or_else(|| record.all.clone(), |step| record.step(step));
        checks.push(check::errors(settings, &record));
        checks.extend(check::speed(settings, what, &measured));
        notes.extend(measured.lateness());
        Self {
            settings: settings.clone(),
            record,
            checks,
            notes,
        }
    }

    /// Whether everything held.
    pub fn kept(&self) -> bool {
        self.checks.iter().all(|check| check.kept)
    }

    /// Everything as JSON.
    pub fn to_json(&self) -> Value {
        json!({
            "scenario": self.settings.scenario.name(),
            "settings": self.settings.shown().into_iter().collect::<Value>(),
            "kept": self.kept(),
            "checks": self.checks,
            "notes": self.notes,
            "figures": self.record,
        })
    }
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
    let operator = Operator::new(gateways, key);
    let (own, began) = (Process::of(std::process::id()), Instant::now());
    let mut outcome = LocalSet::new().block_on(&runtime, act(settings, operator, progress))?;
    // It has one thread, so at 100 % the tool was the limit and not the server.
    let share = own.cpu_s().unwrap_or_default() * 100.0 / began.elapsed().as_secs_f64();
    (outcome.notes).push(format!("the tool itself used {share:.0} % of one core"));
    Ok(outcome)
}

async fn act(
    settings: &Settings,
    operator: Operator,
    progress: Progress,
) -> Result<Outcome, Trouble> {
    // Where nothing is sold nobody is let in, so that the line can be looked at.
    let is_sale = settings.scenario.date_seats().is_some();
    let state = if is_sale { "open" } else { "paused" };
    let rules = rules(state, settings.max_active, settings.admit_per_second);
    let shop = Shop::open(operator.clone(), &rules).await?;
    let queue = shop.queue.clone();
    let outcome = play(settings, shop, progress).await;
    // Also when something went wrong: a server that runs on keeps no queue of a run that is over.
    if let Err(trouble) = operator.remove(&queue).await {
        progress.say(&format!("the queue {queue} stays behind: {trouble}"));
    }
    outcome
}

async fn play(settings: &Settings, mut shop: Shop, progress: Progress) -> Result<Outcome, Trouble> {
    if let Some(each) = settings.scenario.date_seats() {
        shop.sell(settings.seats, each).await?;
    }
    let stage = Stage::new(settings, shop, progress);
    match settings.scenario {
        Scenario::JoinBurst => join_burst::run(stage.begin()).await,
        Scenario::Poll => poll::run(stage).await,
        Scenario::OneSeat => one_seat::run(stage.begin()).await,
        Scenario::Stress => stress::run(stage.begin()).await,
        Scenario::Story | Scenario::SellOut | Scenario::Soak | Scenario::Spike => {
            story::run(stage.begin()).await
        }
    }
}
