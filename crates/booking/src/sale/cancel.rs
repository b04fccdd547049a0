//! The flow of a cancellation by its user: the transaction, and what others are told of it.

use uuid::Uuid;

use super::Sale;
use crate::cancellation::{self, CancelError, Cancelled};

impl Sale {
    /// Gives a user's reservation back. The second time changes nothing and is fine too.
    pub async fn cancel(&self, user_id: Uuid, id: Uuid) -> Result<Cancelled, CancelError> {
        let clock = self.clock.clone();
        let act = move |tx: &mut _| cancellation::cancel(tx, user_id, id, &clock);
        let cancelled = self.db.transaction(act).await?;
        let Cancelled {
            reservation,
            changed,
            refunded,
        } = &cancelled;
        self.metrics.holds.cancellations.inc_by((*changed).into());
        if let Some(amount) = refunded {
            self.metrics.payments.count_refund(*amount);
        }
        self.seats_changed(reservation).await;
        Ok(cancelled)
    }
}
