//! The flow of an extension: the transaction, and lists that show the new end.

use uuid::Uuid;

use super::Sale;
use crate::reservation::{self, ExtendError, Reservation};

impl Sale {
    /// Makes a user's hold last longer, once.
    pub async fn extend(&self, user_id: Uuid, id: Uuid) -> Result<Reservation, ExtendError> {
        let (limits, clock) = (self.limits, self.clock.clone());
        let act = move |tx: &mut _| reservation::extend(tx, user_id, id, &limits, &clock);
        let extended = self.db.transaction(act).await?;
        self.metrics.holds.extended.inc();
        (self.on_seats_changed)(extended.schedule_id);
        Ok(extended)
    }
}
