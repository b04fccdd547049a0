//! Every metric of this service; the HTTP ones come from chassis. The doc of a field is its help text.

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounter, IntGauge, Registry};

use crate::db::Db;

macro_rules! counters {
    ($($(#[doc = $help:literal])+ $field:ident = $name:literal,)+) => {
        /// What has happened since the start.
        #[derive(Clone)]
        pub struct Metrics {
            $($(#[doc = $help])+ pub $field: IntCounter,)+
        }

        impl Metrics {
            /// Registers all of them.
            ///
            /// # Panics
            /// When the registry already has one of them: that is a mistake in the program.
            pub fn register(registry: &Registry) -> Self {
                Self {
                    $($field: {
                        let counter = IntCounter::new($name, concat!($($help),+).trim()).expect("a sound name");
                        registry.register(Box::new(counter.clone())).expect("registered once");
                        counter
                    },)+
                }
            }
        }
    };
}

counters! {
    /// Reservations that were made
    holds = "booking_holds_total",
    /// Reservations that were refused because a seat was taken
    conflicts = "booking_conflicts_total",
    /// Reservations that were given back by their users
    cancellations = "booking_cancellations_total",
    /// Holds that the sweeper of this instance has ended
    expired = "booking_expired_total",
    /// Reservations that were paid
    payments = "booking_payments_total",
    /// Payments that were given back
    refunds = "booking_refunds_total",
    /// Charges of wallets
    charges = "booking_charges_total",
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
