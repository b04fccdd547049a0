//! Owns a crowd of visitors: they come when they are due, live on one thread, and are given up when it takes too long.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::timeout_at;

use crate::settings::Settings;
use crate::visitor::{Ending, Stage};
use crate::{Arrivals, pacer};

/// How visits ended.
#[derive(Debug, Clone, Default)]
pub struct Endings(Vec<Ending>);

impl Endings {
    /// Seats that were paid for.
    pub fn seats(&self) -> u64 {
        let seats = |ending: &Ending| match ending {
            Ending::Bought(seats) => *seats,
            Ending::SoldOut | Ending::Refused | Ending::Failed => 0,
        };
        self.0.iter().map(seats).sum()
    }

    /// Visits in which something went wrong, or which did not end in time.
    pub fn failed(&self) -> u64 {
        self.count(Ending::Failed)
    }

    fn count(&self, wanted: Ending) -> u64 {
        self.0.iter().filter(|ending| **ending == wanted).count() as u64
    }

    /// In words.
    pub fn line(&self) -> String {
        let (came, seats, failed) = (self.0.len() as u64, self.seats(), self.failed());
        let [sold_out, refused] = [Ending::SoldOut, Ending::Refused].map(|it| self.count(it));
        let buyers = came - sold_out - refused - failed;
        format!(
            "{came} visitors: {buyers} bought {seats} seats, {sold_out} found nothing left, {refused} refused, {failed} failed"
        )
    }
}

/// Lets visitors come as they are due; each lives as `live` says, from its number and the instant at which it was due.
/// Returns when all have ended, or `patience` after the last has come. `stop` ends the coming early.
pub async fn run<V>(
    stage: &Rc<Stage>,
    arrivals: Arrivals,
    patience: Duration,
    stop: &Cell<bool>,
    live: impl Fn(usize, Instant) -> V,
) -> Endings
where
    V: Future<Output = Ending> + 'static,
{
    let (start, mut visitors, mut endings) = (Instant::now(), JoinSet::new(), Endings::default());
    let mut due = pacer::at_rate(start, arrivals, 1, stage.settings.seed);
    let mut number = 0;
    while let Some(call) = due.recv().await {
        if stop.get() {
            break;
        }
        visitors.spawn_local(live(number, start + call.due));
        number += 1;
        while let Some(ended) = visitors.try_join_next() {
            endings.0.push(ended.unwrap_or(Ending::Failed));
        }
        stage.recorder.visitors.set(visitors.len() as u64);
    }
    drop(due);
    let deadline = tokio::time::Instant::now() + patience;
    while let Ok(Some(ended)) = timeout_at(deadline, visitors.join_next()).await {
        endings.0.push(ended.unwrap_or(Ending::Failed));
        stage.recorder.visitors.set(visitors.len() as u64);
    }
    // Those who are still there have lost patience.
    (0..visitors.len()).for_each(|_| endings.0.push(Ending::Failed));
    endings
}

/// What each of the connections that a crowd shares gave in the end, in any order; `act` takes its number.
pub async fn connections<A>(settings: &Settings, act: impl Fn(usize) -> A) -> Vec<A::Output>
where
    A: Future<Output: 'static> + 'static,
{
    let mut all = JoinSet::new();
    for number in 0..settings.connections {
        all.spawn_local(act(number));
    }
    all.join_all().await
}
