//! Every metric of the gateway beside those of chassis; a metric's help is its documentation.
//!
//! What begins with `usher_queue_` is told by Redis of the whole queue, so every gateway shows the
//! same and sums over gateways would be wrong. Everything else is of this gateway alone.

use std::sync::Arc;

use chassis::metrics::{Histogram, ProcessMetrics, STORE_S};
use chassis::redis::{Pool, show_pool};
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{CounterVec, Gauge, GaugeVec, Opts, Registry};

use crate::Gateway;
use crate::queue::policy::State;
use crate::queue::{LOSSES, Queue, QueueId, Snapshot, StoreError, VERBS};

/// Seconds; from somebody who found room to hours in a line of a million.
const WAIT_S: &[f64] = &[
    0.1, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 1_800.0, 3_600.0, 7_200.0, 14_400.0, 28_800.0,
];

/// Seconds; from what a page costs at best to the longest usual patience.
const FIRST_BYTE_S: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];

chassis::catalogue! {
    /// What this gateway asked of Redis, and whom it let in.
    StoreMetrics;
    /// Time until Redis answered, by what was asked: a script, "rank" for the plain commands of a poll, "command" for rare ones
    duration: HistogramVec = "usher_redis_duration_seconds" by "verb" [] in STORE_S,
    /// Calls without a usable answer: refused or unreachable (redis), no connection of the pool (pool), no answer in time (late), not as it should be (odd)
    failures: IntCounterVec = "usher_redis_failures_total" by "reason" [],
    /// Joins that this gateway refused because the line (line), or what is kept of those who are away (parked), has its full length
    refused: IntCounterVec = "usher_joins_refused_total" by "reason" [],
    /// Queues that this gateway found lost in Redis and put back: there was none (empty), an older one (older), that of somebody else or one made anew (another), or older rules alone (alive)
    losses: IntCounterVec = "usher_losses_total" by "was" [],
    /// How long those whom this gateway let in had waited since they joined
    admission_wait: HistogramVec = "usher_admission_wait_seconds" by "queue" [] in WAIT_S,
}

chassis::catalogue! {
    /// What became of the requests that were passed on.
    UpstreamMetrics;
    /// Requests that were passed on and got no answer: all connections taken (busy), no connection or a broken one (unreachable), an answer that is none (invalid), no answer in time (late), a body that did not arrive whole (upload)
    failures: IntCounterVec = "usher_upstream_failures_total" by "reason" ["busy", "unreachable", "invalid", "late", "upload"],
    /// Time from the end of a visitor's request to the first byte of its answer
    first_byte: Histogram = "usher_upstream_first_byte_seconds" in FIRST_BYTE_S,
    /// Calls by which this gateway told what it measured, for rates that are found: the rate grew (up), fell (down) or stayed (held), or another gateway had moved it in this second (added)
    rate_steps: IntCounterVec = "usher_rate_steps_total" by "step" ["up", "down", "held", "added"],
}

chassis::catalogue! {
    /// Whom this gateway believed, and whom not.
    TrustMetrics;
    /// Answers to challenges by others: taken by the verifier (passed), not taken (refused), not verified (unreachable)
    challenges: IntCounterVec = "usher_challenges_total" by "outcome" ["passed", "refused", "unreachable"],
    /// Operator keys that are nobody's
    wrong_keys: IntCounter = "usher_operator_keys_refused_total",
    /// Other gateways at this Redis whose keys, queue files or identity settings differ from this one's. Anything but 0 is a mistake
    settings_differ: IntGauge = "usher_settings_differ",
}

impl StoreMetrics {
    /// Of one queue, from now on.
    pub fn admission_wait(&self, queue: &QueueId) -> Histogram {
        self.admission_wait.with_label_values(&[queue.as_str()])
    }

    /// A queue that was removed is shown no more.
    pub fn forget(&self, queue: &QueueId) {
        // It may never have been shown.
        let _ = self.admission_wait.remove_label_values(&[queue.as_str()]);
    }

    fn begin(&self) {
        for verb in VERBS {
            self.duration.with_label_values(&[verb]);
        }
        for reason in ["line", "parked"] {
            self.refused.with_label_values(&[reason]);
        }
        for reason in StoreError::REASONS {
            self.failures.with_label_values(&[reason]);
        }
        for was in LOSSES {
            self.losses.with_label_values(&[was]);
        }
    }
}

/// A metric of each queue: name, help, value.
type OfQueue = (&'static str, &'static str, fn(&Snapshot) -> f64);

const GAUGES: [OfQueue; 8] = [
    (
        "usher_queue_waiting",
        "Visitors in the line, with those who returned",
        |it| it.waiting as f64,
    ),
    (
        "usher_queue_returned",
        "Visitors in the line whose turn came while they were away; they enter first",
        |it| it.returned as f64,
    ),
    (
        "usher_queue_parked",
        "Visitors whose turn came while they were away, and who are away still",
        |it| it.parked as f64,
    ),
    ("usher_queue_active", "Visitors inside", |it| {
        it.active as f64
    }),
    (
        "usher_queue_max_active",
        "Most visitors inside at once, as the operator allows",
        |it| f64::from(it.policy.max_active),
    ),
    (
        "usher_queue_admit_rate",
        "Most visitors let in per second: the rate in force, set or found",
        |it| it.admit_per_second,
    ),
    (
        "usher_queue_open",
        "1 while visitors are let in, 0 while the queue is paused, closed, before its time or recovering",
        |it| flag(matches!(it.state, State::Open | State::Bypass)),
    ),
    (
        "usher_queue_recovering",
        "1 while nobody is let in because the store was lost",
        |it| flag(it.recovering),
    ),
];

const COUNTERS: [OfQueue; 5] = [
    (
        "usher_queue_joined_total",
        "Tickets given out in this life of the queue, by all gateways",
        |it| it.joined as f64,
    ),
    (
        "usher_queue_admitted_total",
        "Visitors let in during this life of the queue, by all gateways",
        |it| it.admitted as f64,
    ),
    (
        "usher_queue_no_shows_total",
        "Visitors who were let in and did not show up in time",
        |it| it.no_shows as f64,
    ),
    (
        "usher_queue_inversions_total",
        "Visitors let in from the line after one with a higher ticket number had been let in from it; without \
         those who were away at their turn, who have a lot, or whose ticket is from an older life of the queue. \
         Anything but 0 is a mistake",
        |it| it.inversions as f64,
    ),
    (
        "usher_early_polls_total",
        "Polls at this gateway that came before the time that was told",
        |it| it.early_polls as f64,
    ),
];

const LAG: (&str, &str) = (
    "usher_admission_lag_seconds",
    "Time since Redis last answered this gateway's ring of the queue; nobody was let in by it since",
);
const STREAMS: (&str, &str) = (
    "usher_streams_open",
    "Visitors who watch their place on this gateway",
);

/// Name, help and value of each metric that has no label.
type OfGateway = (&'static str, &'static str, fn(&Gateway) -> f64);

const PLAIN: [OfGateway; 4] = [
    (
        "usher_redis_calls_under_way",
        "Calls of visitors to Redis that have no answer yet",
        |it| it.store.in_flight() as f64,
    ),
    (
        "usher_redis_breaker_open",
        "1 while Redis is left alone because it did not answer, but for one call at a time",
        |it| flag(it.store.is_circuit_open()),
    ),
    (
        "usher_redis_turns_in_use",
        "Requests whose turn it is to ask Redis; 256 at most, the others wait",
        |it| it.visits.permits_in_use() as f64,
    ),
    (
        "usher_clock_skew_seconds",
        "How far the clock of this machine is ahead of that of Redis, by which all is told; more than 2 is to be mended",
        |it| it.clock.skew_us() as f64 / 1e6,
    ),
];

/// Shows everything that this process knows.
///
/// # Panics
/// When the registry already has one of them: that is a mistake in the program.
pub fn register(registry: &Registry, app: &Arc<Gateway>, pool: Pool) {
    ProcessMetrics::register(registry, "gateway", env!("CARGO_PKG_VERSION"));
    show_pool(registry, pool);
    let store = app.queues.metrics();
    store.begin();
    store.enrol(registry);
    app.trust_metrics.enrol(registry);
    app.upstream_metrics.enrol(registry);
    registry
        .register(Box::new(Looked::new(Arc::clone(app))))
        .expect("registered once");
}

/// Metrics that are looked up when somebody reads them, so that they cost nothing until then.
struct Looked {
    app: Arc<Gateway>,
    descriptions: Vec<Desc>,
}

impl Looked {
    fn new(app: Arc<Gateway>) -> Self {
        let families = families(&[], &[]);
        let of_queues = families.iter().flat_map(|family| family.desc());
        let gauges: Vec<_> = PLAIN
            .iter()
            .map(|(name, help, _)| plain(name, help))
            .collect();
        let of_gateway = gauges.iter().flat_map(Collector::desc);
        Self {
            descriptions: of_queues.chain(of_gateway).cloned().collect(),
            app,
        }
    }
}

impl Collector for Looked {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let families = families(&self.app.queues.list(), &self.app.streams.open());
        let mut all: Vec<_> = families.iter().flat_map(|it| it.collect()).collect();
        for (name, help, value) in PLAIN {
            let gauge = plain(name, help);
            gauge.set(value(&self.app));
            all.extend(gauge.collect());
        }
        all
    }
}

/// Made anew for each reading: a queue that was removed is shown no more, and what Redis counts may
/// begin anew, which a counter of this process could not.
fn families(queues: &[Queue], streams: &[(QueueId, usize)]) -> Vec<Box<dyn Collector>> {
    let mut all: Vec<Box<dyn Collector>> = Vec::new();
    for (name, help, value) in GAUGES {
        all.push(gauges(name, help, queues, |it| value(&it.snapshot())));
    }
    for (name, help, value) in COUNTERS {
        let family = CounterVec::new(Opts::new(name, help), &["queue"]);
        let family = family.expect("the options are constant");
        for queue in queues {
            let counter = family.with_label_values(&[queue.id().as_str()]);
            counter.inc_by(value(&queue.snapshot()));
        }
        all.push(Box::new(family));
    }
    all.push(gauges(LAG.0, LAG.1, queues, |it| {
        it.admission_lag().as_secs_f64()
    }));
    all.push(gauges(STREAMS.0, STREAMS.1, queues, |it| {
        let of_queue = streams.iter().find(|(queue, _)| queue == it.id());
        of_queue.map_or(0.0, |(_, open)| *open as f64)
    }));
    all
}

fn gauges(
    name: &str,
    help: &str,
    queues: &[Queue],
    value: impl Fn(&Queue) -> f64,
) -> Box<dyn Collector> {
    let family = GaugeVec::new(Opts::new(name, help), &["queue"]);
    let family = family.expect("the options are constant");
    for queue in queues {
        let gauge = family.with_label_values(&[queue.id().as_str()]);
        gauge.set(value(queue));
    }
    Box::new(family)
}

fn plain(name: &str, help: &str) -> Gauge {
    Gauge::new(name, help).expect("the options are constant")
}

fn flag(is_so: bool) -> f64 {
    f64::from(u8::from(is_so))
}
