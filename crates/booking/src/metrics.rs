//! Every metric of this service; the HTTP ones come from chassis. The doc of a field is its help text.

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounter, IntGauge, Registry};

use crate::db::Db;

macro_rules! catalogue {
    ($(#[doc = $about:literal])+ $name_of_all:ident; $($(#[doc = $help:literal])+ $field:ident: $kind:ident = $name:literal,)+) => {
        $(#[doc = $about])+
        #[derive(Clone)]
        pub struct $name_of_all {
            $($(#[doc = $help])+ pub $field: $kind,)+
        }

        impl $name_of_all {
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
    /// What has happened since the start, and how the books stand.
    Metrics;
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
    /// Events that this instance has delivered to the topic
    published: IntCounter = "booking_outbox_delivered_total",
    /// Tries of this instance to deliver an event that failed
    unpublished: IntCounter = "booking_outbox_failed_total",
    /// Events that this instance has given up and sent to the dead letters
    buried: IntCounter = "booking_outbox_dead_total",
    /// Events that wait to be delivered, over all instances
    backlog: IntGauge = "booking_outbox_backlog",
    /// For how long the oldest of them has been waiting, in seconds
    lag: IntGauge = "booking_outbox_lag_seconds",
    /// Dead letters that wait for an operator, over all instances
    dead_letters: IntGauge = "booking_outbox_dead_letters",
    /// Differences between seats, payments, ledger and wallets at the last comparison; anything but 0 is an alarm
    differences: IntGauge = "booking_reconciliation_differences",
}

catalogue! {
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
