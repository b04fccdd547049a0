//! A lane passes on what it is given, one event after the other, so that events with the same key keep their order.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::assignment::{Assignment, Owned};
use super::delivery::{Deliverer, Delivery, Outcome};
use crate::metrics::ForwardMetrics;

/// An event with its place on the topic.
pub struct Job {
    pub delivery: Delivery,
    pub at: Offset,
}

/// A place on the topic.
#[derive(Debug, Clone, Copy)]
pub struct Offset {
    pub owned: Owned,
    pub offset: i64,
}

/// Passes on what it is given, one after the other.
pub struct Lane {
    pub deliverer: Arc<Deliverer>,
    /// What says which partitions are ours.
    pub assignment: Arc<Assignment>,
    pub metrics: ForwardMetrics,
    pub done: mpsc::UnboundedSender<Offset>,
    pub stop: watch::Receiver<bool>,
}

/// What a wait ended with.
enum Waited {
    /// The time is over.
    Over,
    /// The partition is another forwarder's by now.
    Lost,
    /// This forwarder stops.
    Stopped,
}

impl Lane {
    pub async fn run(mut self, mut jobs: mpsc::UnboundedReceiver<Job>) {
        let mut changes = self.assignment.changes();
        while let Some(mut job) = jobs.recv().await {
            // The forwarder that has the partition now reads the event again.
            while self.assignment.holds(job.at.owned) {
                let pause = match self.attempt(&mut job.delivery).await {
                    Outcome::Later(pause) | Outcome::Held(pause) => pause,
                    Outcome::Passed | Outcome::Repeated | Outcome::DeadLettered => {
                        // The receiver is gone only when the forwarder is.
                        let _ = self.done.send(job.at);
                        break;
                    }
                };
                match self.wait(pause, job.at.owned, &mut changes).await {
                    Waited::Over => {}
                    Waited::Lost => break,
                    Waited::Stopped => return,
                }
            }
            if *self.stop.borrow() {
                return;
            }
        }
    }

    async fn wait(
        &mut self,
        pause: Duration,
        owned: Owned,
        changes: &mut watch::Receiver<u64>,
    ) -> Waited {
        let until = Instant::now() + pause;
        loop {
            tokio::select! {
                () = stopped(&mut self.stop) => return Waited::Stopped,
                () = sleep_until(until) => return Waited::Over,
                Ok(()) = changes.changed() => {
                    if !self.assignment.holds(owned) {
                        return Waited::Lost;
                    }
                }
            }
        }
    }

    async fn attempt(&self, delivery: &mut Delivery) -> Outcome {
        let outcome = self.deliverer.attempt(delivery).await;
        match outcome {
            Outcome::Passed => self.metrics.passed.inc(),
            Outcome::Repeated => self.metrics.repeated.inc(),
            Outcome::DeadLettered => self.metrics.dead.inc(),
            Outcome::Later(_) => self.metrics.failed.inc(),
            Outcome::Held(_) => {}
        }
        outcome
    }
}

/// Returns when `stop` says true.
pub async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone, which is the same as a stop.
    let _ = stop.wait_for(|it| *it).await;
}
