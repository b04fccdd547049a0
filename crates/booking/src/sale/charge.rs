//! The flow of a charge: the transaction, once for its key, and the counters.

use super::Sale;
use crate::idempotency::{OnceError, Outcome, Request};
use crate::wallet::{self, Charge, ChargeError, Charged, WalletMetrics};

impl Sale {
    /// Puts money into a user's wallet.
    pub async fn charge(
        &self,
        wanted: Charge,
        request: Request<Charged>,
    ) -> Result<Outcome<Charged>, OnceError<ChargeError>> {
        let clock = self.clock.clone();
        let act = move |tx: &mut _| wallet::charge(tx, &wanted, clock.now());
        let outcome = request.run(&self.db, &self.clock, act).await?;
        if outcome.fresh().is_some() {
            let WalletMetrics { charges, charged } = &self.metrics.wallets;
            charges.inc();
            charged.inc_by(wanted.amount.minor().unsigned_abs());
        }
        Ok(outcome)
    }
}
