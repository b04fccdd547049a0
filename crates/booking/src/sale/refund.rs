//! The flow of a refund: the transaction, once for its key, and what others are told of it.

use super::Sale;
use crate::idempotency::{OnceError, Outcome, Request};
use crate::payment::{self, Refund, RefundError, Refunded};

impl Sale {
    /// Gives a payment back, or a part of it: the money is in the wallet, and seats that were given back are free.
    pub async fn refund(
        &self,
        wish: Refund,
        request: Request<Refunded>,
    ) -> Result<Outcome<Refunded>, OnceError<RefundError>> {
        let clock = self.clock.clone();
        let act = move |tx: &mut _| payment::refund(tx, &wish, &clock);
        let outcome = request.run(&self.db, &self.clock, act).await?;
        self.after(&outcome).await;
        Ok(outcome)
    }

    /// Gives anybody's payment back, or a part of it, for the operator of this name: all of the price, at any time.
    pub async fn refund_for(
        &self,
        wish: Refund,
        by: String,
        request: Request<Refunded>,
    ) -> Result<Outcome<Refunded>, OnceError<RefundError>> {
        let clock = self.clock.clone();
        let act = move |tx: &mut _| payment::refund_for(tx, &wish, &by, &clock);
        let outcome = request.run(&self.db, &self.clock, act).await?;
        self.after(&outcome).await;
        Ok(outcome)
    }

    async fn after(&self, outcome: &Outcome<Refunded>) {
        if let Some(refunded) = outcome.fresh() {
            self.metrics.payments.count_refund(refunded.amount);
            if !refunded.seat_numbers.is_empty() {
                self.seats_changed(&refunded.reservation).await;
            }
        }
    }
}
