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
pub struct Endings {
    /// Seats that were paid for.
    pub seats: u64,
    /// Visits in which something went wrong, or which did not end in time.
    pub failed: u64,
    buyers: u64,
    sold_out: u64,
    refused: u64,
}

impl Endings {
    fn count(&mut self, ending: Ending) {
        match ending {
            Ending::Bought(seats) => {
                self.buyers += 1;
                self.seats += seats;
            }
            Ending::SoldOut => self.sold_out += 1,
            Ending::Refused => self.refused += 1,
            Ending::Failed => self.failed += 1,
        }
    }

    /// In words.
    pub fn line(&self) -> String {
        let came = self.buyers + self.sold_out + self.refused + self.failed;
        let bought = format!("{} bought {} seats", self.buyers, self.seats);
        let others = format!("{} refused, {} failed", self.refused, self.failed);
        format!(
            "{came} visitors: {bought}, {} found nothing left, {others}",
            self.sold_out
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
            endings.count(ended.unwrap_or(Ending::Failed));
        }
        stage.recorder.visitors.set(visitors.len() as u64);
    }
    drop(due);
    let deadline = tokio::time::Instant::now() + patience;
    while let Ok(Some(ended)) = timeout_at(deadline, visitors.join_next()).await {
        endings.count(ended.unwrap_or(Ending::Failed));
        stage.recorder.visitors.set(visitors.len() as u64);
    }
    // Those who are still there did not end in time.
    endings.failed += visitors.len() as u64;
    endings
}

/// Runs `act` for each of the connections that a crowd shares, by its number; returns what each gave, in any order.
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
