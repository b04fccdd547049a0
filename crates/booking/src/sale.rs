//! Owns the flows of a sale, and what they share: where it is decided, what rejects early, the time, the limits, the counters.
//!
//! A flow is a method of [`Sale`], in a file of its own: from the seat locks through the transaction to what others are told
//! afterwards. What happens inside the transaction is the verb of a module below (`reservation`, `payment`, `cancellation`,
//! `wallet`, `provider`), none of which knows this one. Knows no HTTP.

mod cancel;
mod charge;
mod extend;
mod hold;
mod pay;
mod provider;
mod refund;

use std::sync::Arc;

use chassis::time::Clock;
use prometheus::Registry;
use uuid::Uuid;

use crate::db::Db;
use crate::payment::PaymentMetrics;
use crate::reservation::{HoldMetrics, Limits, Reservation};
use crate::seat_lock::SeatLock;
use crate::wallet::WalletMetrics;
pub use hold::Held;

/// What the verbs of a sale share. Clones share everything but the limits.
#[derive(Clone)]
pub struct Sale {
    /// Where every sale is decided.
    pub db: Db,
    /// Rejects early what others are taking at this moment.
    pub seat_lock: SeatLock,
    /// What time it is.
    pub clock: Clock,
    /// How much one user may take, and for how long.
    pub limits: Limits,
    /// What has happened.
    pub metrics: SaleMetrics,
    /// Called with the date whose seats have changed hands.
    pub on_seats_changed: Arc<dyn Fn(Uuid) + Send + Sync>,
}

/// What has happened in the sale since the start, by the thing it happened to.
#[derive(Clone)]
#[expect(missing_docs, reason = "each says for itself what it counts")]
pub struct SaleMetrics {
    pub holds: HoldMetrics,
    pub payments: PaymentMetrics,
    pub wallets: WalletMetrics,
}

impl SaleMetrics {
    /// All of them, not shown yet.
    #[expect(clippy::new_without_default, reason = "as every catalogue of metrics")]
    pub fn new() -> Self {
        Self {
            holds: HoldMetrics::new(),
            payments: PaymentMetrics::new(),
            wallets: WalletMetrics::new(),
        }
    }

    /// Shows all of them from now on.
    ///
    /// # Panics
    /// When the registry already has one of them: that is a mistake in the program.
    pub fn enrol(&self, registry: &Registry) {
        self.holds.enrol(registry);
        self.payments.enrol(registry);
        self.wallets.enrol(registry);
    }
}

impl Sale {
    /// The seats of a reservation were sold or are free again: lists show it, and its user's locks are released, which
    /// would end by themselves within 5 s.
    pub(crate) async fn seats_changed(&self, reservation: &Reservation) {
        let Reservation {
            schedule_id,
            user_id,
            ..
        } = *reservation;
        (self.on_seats_changed)(schedule_id);
        self.seat_lock
            .release(schedule_id, &reservation.seat_numbers(), user_id)
            .await;
    }
}
