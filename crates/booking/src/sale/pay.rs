//! The flow of a payment: the transaction, once for its key, and what others are told of it.

use super::Sale;
use crate::idempotency::{OnceError, Outcome, Request};
use crate::payment::{self, Paid, Pay, PayError};

impl Sale {
    /// Pays a held reservation from the wallet of its user; the seats are then sold.
    pub async fn pay(
        &self,
        wish: Pay,
        request: Request<Paid>,
    ) -> Result<Outcome<Paid>, OnceError<PayError>> {
        let clock = self.clock.clone();
        let act = move |tx: &mut _| payment::pay(tx, &wish, &clock);
        let outcome = request.run(&self.db, &self.clock, act).await?;
        if let Some(paid) = outcome.fresh() {
            self.metrics.payments.count(paid);
            self.seats_changed(&paid.reservation).await;
        }
        Ok(outcome)
    }
}
