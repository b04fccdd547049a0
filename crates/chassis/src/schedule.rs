//! Owns the ringing of steps: cron lines on the outside, idempotent steps on the inside.
//!
//! A step that still runs when its line rings again is skipped, not doubled. The next ring is the
//! retry, so a step logs its failure and ends. Lines are cron, never "repeated" jobs: the
//! scheduler does not ring those again after a stall that is longer than their period.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};

/// How long a step that a bell rang may take to end when the table is stopped.
const LAST_STEP: Duration = Duration::from_secs(2);

/// Rings a step between the seconds. Clones are the same bell.
#[derive(Clone, Default)]
pub struct Bell(Arc<Notify>);

impl Bell {
    /// The step runs soon, once more if it runs already. Many rings are one.
    pub fn ring(&self) {
        self.0.notify_one();
    }
}

type Waiting = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A table of cron lines, each with the step it rings. Seconds come first in a line.
pub struct Schedule {
    scheduler: JobScheduler,
    stopping: watch::Sender<bool>,
    waiting: Vec<Waiting>,
}

impl Schedule {
    /// A table without lines.
    pub async fn new() -> Result<Self, JobSchedulerError> {
        Ok(Self {
            scheduler: JobScheduler::new().await?,
            stopping: watch::Sender::new(false),
            waiting: Vec::new(),
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

    /// Adds a step that the line rings, and the bell whenever somebody cannot wait for the line.
    pub async fn ring_with<F, Fut, E>(
        mut self,
        name: &'static str,
        cron: &str,
        bell: Bell,
        step: F,
    ) -> Result<Self, JobSchedulerError>
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: std::fmt::Display,
    {
        let line = bell.clone();
        let job = Job::new(cron, move |_, _| line.ring())?;
        self.scheduler.add(job).await?;
        let mut stopping = self.stopping.subscribe();
        self.waiting.push(Box::pin(async move {
            loop {
                tokio::select! {
                    // The sender lives as long as the table, so an error is its end.
                    _ = stopping.wait_for(|it| *it) => return,
                    () = bell.0.notified() => {}
                }
                if let Err(cause) = step().await {
                    log::error!("{name}: {cause}");
                }
            }
        }));
        Ok(self)
    }

    /// Begins to ring.
    pub async fn start(self) -> Result<Ringing, JobSchedulerError> {
        self.scheduler.start().await?;
        Ok(Ringing {
            scheduler: self.scheduler,
            stopping: self.stopping,
            waiting: self.waiting.into_iter().map(tokio::spawn).collect(),
        })
    }
}

/// A table that rings until it is stopped.
pub struct Ringing {
    scheduler: JobScheduler,
    stopping: watch::Sender<bool>,
    waiting: Vec<JoinHandle<()>>,
}

impl Ringing {
    /// Rings no more; a step that runs is cut off, which it must bear: steps are idempotent.
    pub async fn stop(mut self) {
        self.stopping.send_replace(true);
        for mut waiting in self.waiting {
            if timeout(LAST_STEP, &mut waiting).await.is_err() {
                waiting.abort();
            }
        }
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
    async fn a_bell_rings_a_step_at_once_and_rings_while_it_runs_are_one_more() {
        let (runs, begun) = (Arc::new(AtomicU32::new(0)), Arc::new(Notify::new()));
        let (go_on, bell) = (Arc::new(Notify::new()), super::Bell::default());
        let (seen, told, held) = (runs.clone(), begun.clone(), go_on.clone());
        let never = "0 0 0 29 2 *";
        let schedule = super::Schedule::new()
            .await
            .expect("a scheduler")
            .ring_with("step", never, bell.clone(), move || {
                let (seen, told, held) = (seen.clone(), told.clone(), held.clone());
                async move {
                    seen.fetch_add(1, Ordering::SeqCst);
                    told.notify_one();
                    held.notified().await;
                    Ok::<(), String>(())
                }
            })
            .await
            .expect("a cron line")
            .start()
            .await
            .expect("started");
        bell.ring();
        begun.notified().await;
        (0..5).for_each(|_| bell.ring());
        go_on.notify_one();
        begun.notified().await;
        go_on.notify_one();
        schedule.stop().await;
        assert_eq!(runs.load(Ordering::SeqCst), 2);
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
