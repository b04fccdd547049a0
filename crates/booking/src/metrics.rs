//! Shows the metrics of a process. Each stands beside its owner; here are those that are over all instances, and those
//! of the outbox.
//!
//! Counters are of this instance alone. What is said to be over all instances is asked of MySQL, so
//! each instance shows the same, and sums over instances would be wrong.

use chassis::metrics::{ProcessMetrics, look_up};
use prometheus::Registry;

use crate::db::Db;
use crate::sale::Sale;
use crate::single_flight::CacheMetrics;

chassis::catalogue! {
    /// What has happened since the start, and how the books stand.
    Metrics;
    /// Events that this instance has delivered to the topic
    published: IntCounter = "booking_outbox_delivered_total",
    /// Tries of this instance to deliver an event that failed
    unpublished: IntCounter = "booking_outbox_failed_total",
    /// Events that this instance has given up and sent to the dead letters
    dead_lettered: IntCounter = "booking_outbox_dead_total",
    /// Events that wait to be delivered, over all instances
    backlog: IntGauge = "booking_outbox_backlog",
    /// For how long the oldest of them has been waiting, in seconds
    lag: IntGauge = "booking_outbox_lag_seconds",
    /// 1 while the topic is missing or this instance may not write to it; its events wait
    topic_unusable: IntGauge = "booking_outbox_topic_unusable",
    /// Events on the topic that receivers of webhooks do not have, over all forwarders
    webhook_waiting: IntGauge = "booking_webhook_waiting",
    /// For how long the oldest of them has been waiting, in seconds
    webhook_oldest: IntGauge = "booking_webhook_oldest_seconds",
    /// For how long no forwarder has measured that, in seconds; 0 where there never was one
    webhook_unmeasured: IntGauge = "booking_webhook_unmeasured_seconds",
    /// Receivers that answered 410 and wait for an operator to resume them
    webhook_stopped: IntGauge = "booking_webhook_stopped",
    /// Dead letters that wait for an operator, over all instances
    dead_letters: IntGauge = "booking_outbox_dead_letters",
    /// Differences between seats, payments, ledger and wallets, and breaks of the chain, at the last comparison; anything but 0 is an alarm
    differences: IntGauge = "booking_reconciliation_differences",
    /// Rows of the ledger and the audit log that this instance has sealed
    sealed: IntCounter = "booking_sealed_rows_total",
    /// How long ago the oldest row was written that is not sealed yet, in seconds, over all instances
    seal_lag: IntGauge = "booking_seal_lag_seconds",
}

chassis::catalogue! {
    /// What the forwarder has done since the start.
    ForwardMetrics;
    /// Events that the receiver has taken
    passed: IntCounter = "booking_forward_passed_total",
    /// Events that were read again and not sent again
    repeated: IntCounter = "booking_forward_repeated_total",
    /// Tries that failed and are tried again
    failed: IntCounter = "booking_forward_failed_total",
    /// Events that were given up and sent to the dead letters
    dead: IntCounter = "booking_forward_dead_total",
    /// Events that were read and are not done with
    in_hand: IntGauge = "booking_forward_in_hand",
    /// Partitions that this forwarder has
    partitions: IntGauge = "booking_forward_partitions",
    /// Events on them that are not done with, read or not
    waiting: IntGauge = "booking_forward_lag",
    /// For how long the oldest of them has been on the topic, in seconds
    oldest: IntGauge = "booking_forward_oldest_seconds",
    /// 1 while events are there and are not read, or the brokers do not answer
    troubled: IntGauge = "booking_forward_stands_still",
    /// Errors of the consumer
    read_errors: IntCounter = "booking_forward_read_errors_total",
    /// 1 while the receiver, which answered 410, waits for an operator to resume it
    stopped: IntGauge = "booking_forward_stopped",
}

impl Metrics {
    /// Shows everything that a process which serves the API knows.
    ///
    /// # Panics
    /// When the registry already has one of them: that is a mistake in the program.
    pub fn of_service(registry: &Registry, sale: &Sale, cache: &CacheMetrics) -> Self {
        ProcessMetrics::register(registry, "booking", env!("CARGO_PKG_VERSION"));
        show_db(registry, &sale.db);
        sale.seat_lock.metrics().enrol(registry);
        sale.metrics.enrol(registry);
        cache.enrol(registry);
        Self::register(registry)
    }
}

impl ForwardMetrics {
    /// Shows everything that a forwarder knows.
    ///
    /// # Panics
    /// As [`Metrics::of_service`].
    pub fn of_forwarder(registry: &Registry, db: &Db) -> Self {
        ProcessMetrics::register(registry, "forwarder", env!("CARGO_PKG_VERSION"));
        show_db(registry, db);
        Self::register(registry)
    }
}

fn show_db(registry: &Registry, db: &Db) {
    db.metrics().enrol(registry);
    let gauges = [
        (
            "booking_db_connections_in_use",
            "Connections to MySQL that are in use",
        ),
        (
            "booking_db_connections_open",
            "Connections to MySQL, in use or idle",
        ),
        (
            "booking_db_connections_max",
            "Connections to MySQL that there may be",
        ),
    ];
    let db = db.clone();
    look_up(registry, gauges, move || {
        [db.in_use(), db.open(), db.most()].map(i64::from)
    });
}
