//! Owns the schedule of steps: cron lines on the outside, idempotent steps on the inside.
//!
//! A step that still runs when its line triggers it again is skipped, not doubled. The next trigger is the
//! retry, so a step logs its failure and ends. Lines are cron, never "repeated" jobs: the
//! scheduler does not run those again after a stall that is longer than their period. How each step
//! does is shown by its name.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use prometheus::Registry;
use tokio::sync::{Mutex, Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};

use crate::metrics::{Histogram, IntCounter, IntGauge};
use crate::time::Clock;

/// Seconds; from a step that finds nothing to do to one that reads whole tables.
const STEP_S: &[f64] = &[
    0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0,
];

crate::catalogue! {
    /// What became of the steps, by their names.
    CronMetrics;
    /// How long each run of a step took, also one that failed
    duration: HistogramVec = "cron_step_duration_seconds" by "step" [] in STEP_S,
    /// Triggers that were skipped because the step still ran
    skips: IntCounterVec = "cron_step_skips_total" by "step" [],
    /// Runs of a step that failed
    failures: IntCounterVec = "cron_step_failures_total" by "step" [],
    /// When the step last ended well, in seconds since 1970; before the first time, when the process started
    last_success: IntGaugeVec = "cron_step_last_success_timestamp_seconds" by "step" [],
}

/// The metrics of one step.
struct Watched {
    name: &'static str,
    duration: Histogram,
    skips: IntCounter,
    failures: IntCounter,
    last_success: IntGauge,
    clock: Clock,
}

impl Watched {
    fn of(metrics: &CronMetrics, name: &'static str) -> Self {
        let watched = Self {
            name,
            duration: metrics.duration.with_label_values(&[name]),
            skips: metrics.skips.with_label_values(&[name]),
            failures: metrics.failures.with_label_values(&[name]),
            last_success: metrics.last_success.with_label_values(&[name]),
            clock: Clock::system(),
        };
        watched.last_success.set(watched.clock.now().timestamp());
        watched
    }

    async fn run<E: std::fmt::Display>(&self, step: impl Future<Output = Result<(), E>>) {
        let began = Instant::now();
        let outcome = step.await;
        self.duration.observe(began.elapsed().as_secs_f64());
        match outcome {
            Ok(()) => self.last_success.set(self.clock.now().timestamp()),
            Err(cause) => {
                self.failures.inc();
                log::error!("{}: {cause}", self.name);
            }
        }
    }
}

/// How long a step that a trigger rang may take to end when the table is stopped.
const LAST_STEP: Duration = Duration::from_secs(2);

/// Triggers a step between the seconds. Clones are the same trigger.
#[derive(Clone, Default)]
pub struct Trigger(Arc<Notify>);

impl Trigger {
    /// The step runs soon, once more if it runs already. Many notifications are one.
    pub fn notify(&self) {
        self.0.notify_one();
    }
}

type Waiting = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A table of cron lines, each with the step that it triggers. Seconds come first in a line.
pub struct Schedule {
    scheduler: JobScheduler,
    metrics: CronMetrics,
    stopping: watch::Sender<bool>,
    waiting: Vec<Waiting>,
}

impl Schedule {
    /// A table without lines, whose steps are shown in `registry`.
    pub async fn new(registry: &Registry) -> Result<Self, JobSchedulerError> {
        Ok(Self {
            scheduler: JobScheduler::new().await?,
            metrics: CronMetrics::register(registry),
            stopping: watch::Sender::new(false),
            waiting: Vec::new(),
        })
    }

    /// Adds a line. The step's error is logged under its name.
    pub async fn trigger<F, Fut, E>(
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
        let watched = Arc::new(Watched::of(&self.metrics, name));
        let job = Job::new_async(cron, move |_, _| {
            let (running, step, watched) = (running.clone(), step.clone(), watched.clone());
            Box::pin(async move {
                let Ok(_guard) = running.try_lock() else {
                    watched.skips.inc();
                    log::warn!("{name} still runs; this trigger is skipped");
                    return;
                };
                watched.run(step()).await;
            })
        })?;
        self.scheduler.add(job).await?;
        Ok(self)
    }

    /// Adds a step that runs by its line, and whenever `trigger` is notified between.
    pub async fn trigger_with<F, Fut, E>(
        mut self,
        name: &'static str,
        cron: &str,
        trigger: Trigger,
        step: F,
    ) -> Result<Self, JobSchedulerError>
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: std::fmt::Display,
    {
        let line = trigger.clone();
        let job = Job::new(cron, move |_, _| line.notify())?;
        self.scheduler.add(job).await?;
        let mut stopping = self.stopping.subscribe();
        let watched = Watched::of(&self.metrics, name);
        self.waiting.push(Box::pin(async move {
            loop {
                tokio::select! {
                    // The sender lives as long as the table, so an error is its end.
                    _ = stopping.wait_for(|it| *it) => return,
                    () = trigger.0.notified() => {}
                }
                watched.run(step()).await;
            }
        }));
        Ok(self)
    }

    /// Starts the schedule.
    pub async fn start(self) -> Result<RunningSchedule, JobSchedulerError> {
        self.scheduler.start().await?;
        Ok(RunningSchedule {
            scheduler: self.scheduler,
            stopping: self.stopping,
            waiting: self.waiting.into_iter().map(tokio::spawn).collect(),
        })
    }
}

/// A table that triggers its steps until it is stopped.
pub struct RunningSchedule {
    scheduler: JobScheduler,
    stopping: watch::Sender<bool>,
    waiting: Vec<JoinHandle<()>>,
}

impl RunningSchedule {
    /// Triggers no more; a step that runs is cut off, which it must bear: steps are idempotent.
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

    use prometheus::{Registry, TextEncoder};
    use tokio::sync::Notify;

    fn shown(registry: &Registry, line: &str) -> bool {
        let text = TextEncoder::new().encode_to_string(&registry.gather());
        text.expect("text").lines().any(|it| it == line)
    }

    #[tokio::test]
    async fn a_step_runs_again_after_it_failed_and_never_twice_at_once() {
        let (runs, triggered) = (Arc::new(AtomicU32::new(0)), Arc::new(Notify::new()));
        let (seen, told) = (runs.clone(), triggered.clone());
        let registry = Registry::new();
        let schedule = super::Schedule::new(&registry)
            .await
            .expect("a scheduler")
            .trigger("step", "* * * * * *", move || {
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
        triggered.notified().await;
        triggered.notified().await;
        assert!(runs.load(Ordering::SeqCst) >= 2);
        schedule.stop().await;
        assert!(!shown(
            &registry,
            r#"cron_step_failures_total{step="step"} 0"#
        ));
    }

    #[tokio::test]
    async fn a_trigger_while_the_step_runs_is_skipped_and_counted() {
        let (registry, begun) = (Registry::new(), Arc::new(Notify::new()));
        let told = begun.clone();
        let schedule = super::Schedule::new(&registry)
            .await
            .expect("a scheduler")
            .trigger("long", "* * * * * *", move || {
                told.notify_one();
                std::future::pending::<Result<(), String>>()
            })
            .await
            .expect("a cron line")
            .start()
            .await
            .expect("started");
        assert!(shown(&registry, r#"cron_step_skips_total{step="long"} 0"#));
        begun.notified().await;
        while shown(&registry, r#"cron_step_skips_total{step="long"} 0"#) {
            tokio::task::yield_now().await;
        }
        let none = r#"cron_step_duration_seconds_count{step="long"} 0"#;
        assert!(shown(&registry, none), "it never ended");
        schedule.stop().await;
    }

    #[tokio::test]
    async fn a_trigger_runs_a_step_at_once_and_notifications_while_it_runs_are_one_more() {
        let (runs, begun) = (Arc::new(AtomicU32::new(0)), Arc::new(Notify::new()));
        let (go_on, trigger) = (Arc::new(Notify::new()), super::Trigger::default());
        let (seen, told, held) = (runs.clone(), begun.clone(), go_on.clone());
        let registry = Registry::new();
        let never = "0 0 0 29 2 *";
        let schedule = super::Schedule::new(&registry)
            .await
            .expect("a scheduler")
            .trigger_with("step", never, trigger.clone(), move || {
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
        trigger.notify();
        begun.notified().await;
        (0..5).for_each(|_| trigger.notify());
        go_on.notify_one();
        begun.notified().await;
        go_on.notify_one();
        schedule.stop().await;
        assert_eq!(runs.load(Ordering::SeqCst), 2);
        let twice = r#"cron_step_duration_seconds_count{step="step"} 2"#;
        assert!(shown(&registry, twice));
        assert!(shown(&registry, r#"cron_step_skips_total{step="step"} 0"#));
    }

    #[tokio::test]
    async fn a_line_that_is_not_cron_is_refused() {
        let schedule = super::Schedule::new(&Registry::new())
            .await
            .expect("a scheduler");
        let refused = schedule
            .trigger("step", "now and then", async || Ok::<(), String>(()))
            .await;
        assert!(refused.is_err());
    }
}
