//! Owns how often the time that visitors were told was kept, counted by all gateways together.

use crate::queue::{Queue, QueueError};

/// Longer than any life of a queue in which somebody asks; after that the key ends by itself.
const KEPT_S: u64 = 604_800;

impl Queue {
    /// Adds promises whose end has come, and those that were kept, to those of the other gateways; the
    /// sums of this life of the queue.
    ///
    /// # Errors
    /// `StoreUnavailable`.
    pub async fn share_promises(&self, (all, kept): (u64, u64)) -> Result<(u64, u64), QueueError> {
        let (store, epoch) = (self.store(), self.snapshot().epoch);
        let key = self.entry.keys.promises(epoch);
        if all > 0 {
            for (field, by) in [("all", all), ("kept", kept)] {
                let mut add = redis::cmd("HINCRBY");
                store
                    .command::<()>(add.arg(&key).arg(field).arg(by))
                    .await?;
            }
            let mut expire = redis::cmd("EXPIRE");
            store.command::<()>(expire.arg(&key).arg(KEPT_S)).await?;
        }
        let mut read = redis::cmd("HMGET");
        let sums: (Option<u64>, Option<u64>) =
            store.command(read.arg(&key).arg("all").arg("kept")).await?;
        Ok((sums.0.unwrap_or(0), sums.1.unwrap_or(0)))
    }
}
