//! Owns a crowd of visitors: they come when they are due, live on one thread, and are given up when it takes too long.

use std::cell::Cell;
use std::future::Future;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::timeout_at;

use crate::Arrivals;
use crate::pacer;
use crate::visitor::{Ending, Stage};

/// How visits ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Endings {
    /// Visitors who came.
    pub came: u64,
    /// Who bought.
    pub buyers: u64,
    /// Seats that they paid for.
    pub seats: u64,
    /// Who found everything sold.
    pub sold_out: u64,
    /// Who was refused at last.
    pub refused: u64,
    /// For whom something went wrong, or whose visit did not end in time.
    pub failed: u64,
}

impl Endings {
    /// Counts one.
    pub fn add(&mut self, ending: Ending) {
        self.came += 1;
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
        let Endings {
            came,
            buyers,
            seats,
            sold_out,
            refused,
            failed,
        } = self;
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
    let mut due = pacer::at_rate(start, arrivals, 1, stage.seed);
    let mut number = 0;
    while let Some(call) = due.recv().await {
        if stop.get() {
            break;
        }
        visitors.spawn_local(live(number, start + call.due));
        number += 1;
        while let Some(ended) = visitors.try_join_next() {
            endings.add(ended.unwrap_or(Ending::Failed));
        }
        stage.recorder.visitors.set(visitors.len() as u64);
    }
    drop(due);
    let deadline = tokio::time::Instant::now() + patience;
    while let Ok(Some(ended)) = timeout_at(deadline, visitors.join_next()).await {
        endings.add(ended.unwrap_or(Ending::Failed));
        stage.recorder.visitors.set(visitors.len() as u64);
    }
    // Those who are still there have lost patience.
    (0..visitors.len()).for_each(|_| endings.add(Ending::Failed));
    endings
}
