//! What others are told when the payment provider said that money came.

use super::Sale;
use crate::provider::Confirmed;

impl Sale {
    /// Counts what a provider's event led to, and shows the seats that it sold.
    pub async fn provider_confirmed(&self, confirmed: &Confirmed) {
        let wallets = &self.metrics.wallets;
        match confirmed {
            Confirmed::Charged(order) => {
                wallets.charges.inc();
                wallets.charged.inc_by(order.amount.unsigned_abs());
            }
            Confirmed::Paid(paid) => {
                wallets.charges.inc();
                wallets.charged.inc_by(paid.payment.amount.unsigned_abs());
                self.metrics.payments.count(paid);
                self.seats_changed(&paid.reservation).await;
            }
            Confirmed::Voided | Confirmed::Failed | Confirmed::Nothing => {}
        }
    }
}
