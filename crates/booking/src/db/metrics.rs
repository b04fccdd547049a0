//! What is counted and timed at the door to MySQL.

use chassis::metrics::STORE_S;

use super::DbError;

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
    failures: IntCounterVec = "booking_db_failures_total" by "reason" ["busy", "lock_wait", "deadlock", "unreachable", "unwritable", "other"],
}

impl DbMetrics {
    /// Counts a failure, unless it may be one that the caller asked for: a constraint that says no.
    pub fn failed(&self, cause: &DbError) {
        let reason = match cause {
            DbError::Busy => "busy",
            DbError::LockWait => "lock_wait",
            DbError::Deadlock => "deadlock",
            DbError::Unreachable(_) => "unreachable",
            DbError::Unwritable(_) => "unwritable",
            DbError::Migration(_) | DbError::Unexpected(_) | DbError::Query(_) => "other",
            DbError::Check(_) | DbError::Duplicate(_) => return,
        };
        self.failures.with_label_values(&[reason]).inc();
    }
}
