//! Every metric of the gateway beside those of HTTP; a metric's help is its documentation.

use prometheus::{IntGaugeVec, Opts, Registry};

use crate::queue::Queue;

/// What an operator watches during a sale, by queue.
#[derive(Clone)]
pub struct Metrics {
    waiting: IntGaugeVec,
    active: IntGaugeVec,
    max_active: IntGaugeVec,
    joined: IntGaugeVec,
    admitted: IntGaugeVec,
    no_shows: IntGaugeVec,
    recovering: IntGaugeVec,
}

impl Metrics {
    /// Registers every metric.
    ///
    /// # Panics
    /// When the registry already has one: that is a mistake in the program.
    pub fn register(registry: &Registry) -> Self {
        let gauge = |name: &str, help: &str| {
            let gauge = IntGaugeVec::new(Opts::new(name, help), &["queue"])
                .expect("the options are constant");
            registry
                .register(Box::new(gauge.clone()))
                .expect("registered once");
            gauge
        };
        Self {
            waiting: gauge("usher_queue_waiting", "Visitors in the line"),
            active: gauge("usher_queue_active", "Visitors inside"),
            max_active: gauge("usher_queue_max_active", "Most visitors inside at once"),
            joined: gauge(
                "usher_queue_joined_total",
                "Tickets given out since the queue began, by all gateways",
            ),
            admitted: gauge(
                "usher_queue_admitted_total",
                "Visitors let in since the queue began, by all gateways",
            ),
            no_shows: gauge(
                "usher_queue_no_shows_total",
                "Visitors who were let in and did not show up in time",
            ),
            recovering: gauge(
                "usher_queue_recovering",
                "1 while nobody is let in because the store was lost",
            ),
        }
    }

    /// Shows the last snapshots.
    pub fn show(&self, queues: &[Queue]) {
        let all = [
            &self.waiting,
            &self.active,
            &self.max_active,
            &self.joined,
            &self.admitted,
            &self.no_shows,
            &self.recovering,
        ];
        // A queue that was removed is shown no more.
        all.iter().for_each(|gauge| gauge.reset());
        for queue in queues {
            let snapshot = queue.snapshot();
            let values = [
                snapshot.waiting,
                snapshot.active,
                u64::from(snapshot.policy.max_active),
                snapshot.joined,
                snapshot.admitted,
                snapshot.no_shows,
                u64::from(snapshot.recovering),
            ];
            for (gauge, value) in all.iter().zip(values) {
                let value = i64::try_from(value).unwrap_or(i64::MAX);
                gauge.with_label_values(&[queue.id().as_str()]).set(value);
            }
        }
    }
}
