//! Every metric of this service beside those of chassis. The doc of a field is its help text.
//!
//! Counters are of this instance alone. What is said to be over all instances is asked of MySQL, so
//! each instance shows the same, and sums over instances would be wrong.

use chassis::metrics::{ProcessMetrics, STORE_S};
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntGauge, Registry};

use crate::db::{Db, DbError};
use crate::seat_lock::SeatLock;

chassis::catalogue! {
    /// What has happened since the start, and how the books stand.
    Metrics;
    /// Reservations that were made
    holds: IntCounter = "booking_holds_total",
    /// Reservations that were refused because a seat was taken, by who said so: the locks in Redis, or MySQL
    conflicts: IntCounterVec = "booking_conflicts_total" by "judge" ["lock", "database"],
    /// Reservations that were given back by their users, held or paid
    cancellations: IntCounter = "booking_cancellations_total",
    /// Holds that the sweeper of this instance has ended
    expired: IntCounter = "booking_expired_total",
    /// Reservations that were paid
    payments: IntCounter = "booking_payments_total",
    /// Money that was captured for them, in won
    captured: IntCounter = "booking_captured_won_total",
    /// Seats that were sold by them
    sold: IntCounter = "booking_seats_sold_total",
    /// Payments that were given back, also by giving back a paid reservation
    refunds: IntCounter = "booking_refunds_total",
    /// Money that went back into wallets by them, in won
    refunded: IntCounter = "booking_refunded_won_total",
    /// Charges of wallets
    charges: IntCounter = "booking_charges_total",
    /// Money that came into wallets by them, in won
    charged: IntCounter = "booking_charged_won_total",
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
    /// Differences between seats, payments, ledger and wallets at the last comparison; anything but 0 is an alarm
    differences: IntGauge = "booking_reconciliation_differences",
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

chassis::catalogue! {
    /// What the locks of seats reject early.
    SeatLockMetrics;
    /// Times that locks were asked for: all were taken (passed), others had one (taken), Redis did not say (unthinned)
    asked: IntCounterVec = "booking_seat_locks_total" by "outcome" ["passed", "taken", "unthinned"],
    /// Time until Redis answered, or was given up
    duration: HistogramVec = "booking_seat_lock_duration_seconds" by "verb" ["take", "release"] in STORE_S,
    /// Calls that Redis did not answer in time or refused; the request then goes on to MySQL
    failures: IntCounter = "booking_seat_lock_failures_total",
    /// 1 while Redis is not asked because it did not answer
    off: IntGauge = "booking_seat_locks_off",
}

chassis::catalogue! {
    /// How the door to MySQL is used.
    DbMetrics;
    /// How long callers waited for a connection, also those who got none
    wait: Histogram = "booking_db_wait_seconds" in STORE_S,
    /// Callers who wait for a connection
    waiting: IntGauge = "booking_db_waiting",
    /// Time on a connection, of each read and of each try of a transaction
    duration: HistogramVec = "booking_db_duration_seconds" by "kind" ["read", "transaction"] in STORE_S,
    /// Transactions that ran again after a deadlock
    deadlocks: IntCounter = "booking_db_deadlocks_total",
    /// Reads and transactions that MySQL, or the lack of a connection, made fail
    failures: IntCounterVec = "booking_db_failures_total" by "reason" ["busy", "lock_wait", "deadlock", "unreachable", "other"],
}

impl DbMetrics {
    /// Counts a failure, unless it may be one that the caller asked for: a constraint that says no.
    pub fn failed(&self, cause: &DbError) {
        let reason = match cause {
            DbError::Busy => "busy",
            DbError::LockWait => "lock_wait",
            DbError::Deadlock => "deadlock",
            DbError::Unreachable(_) => "unreachable",
            DbError::Migration(_) | DbError::Unexpected(_) | DbError::Query(_) => "other",
            DbError::Check(_) | DbError::Duplicate(_) => return,
        };
        self.failures.with_label_values(&[reason]).inc();
    }
}

impl Metrics {
    /// Shows everything that a process which serves the API knows.
    ///
    /// # Panics
    /// When the registry already has one of them: that is a mistake in the program.
    pub fn of_service(registry: &Registry, db: &Db, seat_lock: &SeatLock) -> Self {
        ProcessMetrics::register(registry, "booking", env!("CARGO_PKG_VERSION"));
        show_db(registry, db);
        seat_lock.metrics().enrol(registry);
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
    let gauges = gauges.map(|(name, help)| IntGauge::new(name, help).expect("a sound name"));
    let db = db.clone();
    registry
        .register(Box::new(DbPool { db, gauges }))
        .expect("registered once");
}

/// The pool, asked when the metrics are read.
struct DbPool {
    db: Db,
    gauges: [IntGauge; 3],
}

impl Collector for DbPool {
    fn desc(&self) -> Vec<&Desc> {
        self.gauges.iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let values = [self.db.in_use(), self.db.open(), self.db.most()];
        for (gauge, value) in self.gauges.iter().zip(values) {
            gauge.set(value.into());
        }
        self.gauges.iter().flat_map(Collector::collect).collect()
    }
}
