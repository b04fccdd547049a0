//! Every metric of the gateway beside those of HTTP; a metric's help is its documentation.

use prometheus::{IntGauge, IntGaugeVec, Opts, Registry};

use crate::queue::{Queue, QueueId, Snapshot};

/// What an operator watches during a sale.
#[derive(Clone)]
pub struct Metrics {
    of_queues: Vec<(IntGaugeVec, Value)>,
    streams: IntGaugeVec,
    store_calls: IntGauge,
}

type Value = fn(&Snapshot) -> u64;
/// Name, help and value of each metric of a queue.
type OfQueue = (&'static str, &'static str, Value);

const OF_QUEUES: [OfQueue; 10] = [
    ("usher_queue_waiting", "Visitors in the line", |it| {
        it.waiting
    }),
    (
        "usher_queue_returned",
        "Visitors in the line whose turn came while they were away; they enter first",
        |it| it.returned,
    ),
    (
        "usher_queue_parked",
        "Visitors whose turn came while they were away, and who are away still",
        |it| it.parked,
    ),
    ("usher_queue_active", "Visitors inside", |it| it.active),
    (
        "usher_queue_max_active",
        "Most visitors inside at once",
        |it| u64::from(it.policy.max_active),
    ),
    (
        "usher_queue_joined_total",
        "Tickets given out since the queue began, by all gateways",
        |it| it.joined,
    ),
    (
        "usher_queue_admitted_total",
        "Visitors let in since the queue began, by all gateways",
        |it| it.admitted,
    ),
    (
        "usher_queue_no_shows_total",
        "Visitors who were let in and did not show up in time",
        |it| it.no_shows,
    ),
    (
        "usher_queue_early_polls_total",
        "Polls at this gateway that came before the time that was told",
        |it| it.early_polls,
    ),
    (
        "usher_queue_recovering",
        "1 while nobody is let in because the store was lost",
        |it| u64::from(it.recovering),
    ),
];

impl Metrics {
    /// Registers every metric.
    ///
    /// # Panics
    /// When the registry already has one: that is a mistake in the program.
    pub fn register(registry: &Registry) -> Self {
        let of_queue = |(name, help, value): OfQueue| (by_queue(registry, name, help), value);
        let store_calls = IntGauge::new(
            "usher_store_calls_under_way",
            "Calls of visitors to Redis that have no answer yet",
        )
        .expect("the options are constant");
        registry
            .register(Box::new(store_calls.clone()))
            .expect("registered once");
        Self {
            of_queues: OF_QUEUES.map(of_queue).into(),
            streams: by_queue(
                registry,
                "usher_streams_open",
                "Visitors who watch their place on this gateway",
            ),
            store_calls,
        }
    }

    /// Shows the last snapshots, how many watch, and how busy Redis is.
    pub fn show(&self, queues: &[Queue], streams: &[(QueueId, usize)], store_calls: usize) {
        for (gauge, value) in &self.of_queues {
            // A queue that was removed is shown no more.
            gauge.reset();
            for queue in queues {
                let value = value(&queue.snapshot());
                let value = i64::try_from(value).unwrap_or(i64::MAX);
                gauge.with_label_values(&[queue.id().as_str()]).set(value);
            }
        }
        self.streams.reset();
        for (queue, open) in streams {
            self.streams
                .with_label_values(&[queue.as_str()])
                .set(whole(*open));
        }
        self.store_calls.set(whole(store_calls));
    }
}

fn by_queue(registry: &Registry, name: &str, help: &str) -> IntGaugeVec {
    let gauge =
        IntGaugeVec::new(Opts::new(name, help), &["queue"]).expect("the options are constant");
    registry
        .register(Box::new(gauge.clone()))
        .expect("registered once");
    gauge
}

fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
