//! Every metric of this service; the HTTP ones come from chassis. The doc of a field is its help text.

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounter, IntGauge, Registry};

use crate::db::Db;

macro_rules! catalogue {
    ($($(#[doc = $help:literal])+ $field:ident: $kind:ident = $name:literal,)+) => {
        /// What has happened since the start, and how the books stand.
        #[derive(Clone)]
        pub struct Metrics {
            $($(#[doc = $help])+ pub $field: $kind,)+
        }

        impl Metrics {
            /// Registers all of them.
            ///
            /// # Panics
            /// When the registry already has one of them: that is a mistake in the program.
            pub fn register(registry: &Registry) -> Self {
                Self {
                    $($field: {
                        let metric = $kind::new($name, concat!($($help),+).trim()).expect("a sound name");
                        registry.register(Box::new(metric.clone())).expect("registered once");
                        metric
                    },)+
                }
            }
        }
    };
}

catalogue! {
    /// Reservations that were made
    holds: IntCounter = "booking_holds_total",
    /// Reservations that were refused because a seat was taken
    conflicts: IntCounter = "booking_conflicts_total",
    /// Reservations that were given back by their users
    cancellations: IntCounter = "booking_cancellations_total",
    /// Holds that the sweeper of this instance has ended
    expired: IntCounter = "booking_expired_total",
    /// Reservations that were paid
    payments: IntCounter = "booking_payments_total",
    /// Payments that were given back
    refunds: IntCounter = "booking_refunds_total",
    /// Charges of wallets
    charges: IntCounter = "booking_charges_total",
    /// Differences between seats, payments, ledger and wallets at the last comparison; anything but 0 is an alarm
    differences: IntGauge = "booking_reconciliation_differences",
}

/// How the database does, asked when the metrics are read.
pub struct DbMetrics {
    db: Db,
    in_use: IntGauge,
    deadlocks: IntCounter,
}

impl DbMetrics {
    /// Registers both.
    ///
    /// # Panics
    /// When the registry already has them: that is a mistake in the program.
    pub fn register(registry: &Registry, db: Db) {
        let in_use = IntGauge::new(
            "booking_db_connections_in_use",
            "Connections to MySQL that are in use",
        );
        let deadlocks = IntCounter::new(
            "booking_db_deadlocks_total",
            "Transactions that ran again after a deadlock",
        );
        let (in_use, deadlocks) = (
            in_use.expect("a sound name"),
            deadlocks.expect("a sound name"),
        );
        registry
            .register(Box::new(Self {
                db,
                in_use,
                deadlocks,
            }))
            .expect("registered once");
    }
}

impl Collector for DbMetrics {
    fn desc(&self) -> Vec<&Desc> {
        [self.in_use.desc(), self.deadlocks.desc()].concat()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.in_use.set(self.db.in_use().into());
        self.deadlocks
            .inc_by(self.db.deadlocks().saturating_sub(self.deadlocks.get()));
        [self.in_use.collect(), self.deadlocks.collect()].concat()
    }
}
