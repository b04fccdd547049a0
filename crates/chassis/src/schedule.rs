//! Owns the ringing of steps: cron lines on the outside, idempotent steps on the inside.
//!
//! A step that still runs when its line rings again is skipped, not doubled. The next ring is the
//! retry, so a step logs its failure and ends. Lines are cron, never "repeated" jobs: the
//! scheduler does not ring those again after a stall that is longer than their period.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::Mutex;
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};

/// A table of cron lines, each with the step it rings. Seconds come first in a line.
pub struct Schedule {
    scheduler: JobScheduler,
}

impl Schedule {
    /// A table without lines.
    pub async fn new() -> Result<Self, JobSchedulerError> {
        Ok(Self {
            scheduler: JobScheduler::new().await?,
        })
    }

    /// Adds a line. The step's error is logged under its name.
    pub async fn ring<F, Fut, E>(
        self,
        name: &'static str,
        cron: &str,
        step: F,
    ) -> Result<Self, JobSchedulerError>
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: std::fmt::Display,
    {
        let running = Arc::new(Mutex::new(()));
        let step = Arc::new(step);
        let job = Job::new_async(cron, move |_, _| {
            let (running, step) = (running.clone(), step.clone());
            Box::pin(async move {
                let Ok(_guard) = running.try_lock() else {
                    log::warn!("{name} still runs; this ring is skipped");
                    return;
                };
                if let Err(cause) = step().await {
                    log::error!("{name}: {cause}");
                }
            })
        })?;
        self.scheduler.add(job).await?;
        Ok(self)
    }

    /// Begins to ring.
    pub async fn start(self) -> Result<Ringing, JobSchedulerError> {
        self.scheduler.start().await?;
        Ok(Ringing {
            scheduler: self.scheduler,
        })
    }
}

/// A table that rings until it is stopped.
pub struct Ringing {
    scheduler: JobScheduler,
}

impl Ringing {
    /// Rings no more; a step that runs is cut off, which it must bear: steps are idempotent.
    pub async fn stop(mut self) {
        if let Err(cause) = self.scheduler.shutdown().await {
            log::warn!("the scheduler did not stop cleanly: {cause}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::sync::Notify;

    #[tokio::test]
    async fn a_step_rings_again_after_it_failed_and_never_twice_at_once() {
        let (runs, rung) = (Arc::new(AtomicU32::new(0)), Arc::new(Notify::new()));
        let (seen, told) = (runs.clone(), rung.clone());
        let schedule = super::Schedule::new()
            .await
            .expect("a scheduler")
            .ring("step", "* * * * * *", move || {
                let (seen, told) = (seen.clone(), told.clone());
                async move {
                    seen.fetch_add(1, Ordering::SeqCst);
                    told.notify_one();
                    Err::<(), _>("failed")
                }
            })
            .await
            .expect("a cron line")
            .start()
            .await
            .expect("started");
        rung.notified().await;
        rung.notified().await;
        assert!(runs.load(Ordering::SeqCst) >= 2);
        schedule.stop().await;
    }

    #[tokio::test]
    async fn a_line_that_is_not_cron_is_refused() {
        let schedule = super::Schedule::new().await.expect("a scheduler");
        let refused = schedule
            .ring("step", "now and then", async || Ok::<(), String>(()))
            .await;
        assert!(refused.is_err());
    }
}
