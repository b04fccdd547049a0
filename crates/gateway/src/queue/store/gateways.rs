//! Owns which gateways share this Redis, and what each says of its settings.
//!
//! Each writes its line every few seconds; one that has not for a while is gone. The clock is that of
//! Redis, so gateways whose own clocks differ see each other.

use std::collections::HashMap;

use super::keys::GATEWAYS;
use crate::queue::queues::Queues;
use crate::queue::{QueueError, StoreError};

/// A gateway that said nothing for so long, in seconds, is not compared.
const SILENT_S: u64 = 10;
/// After so long, in seconds, its line is removed.
const FORGOTTEN_S: u64 = 60;

impl Queues {
    /// Says `settings` of this gateway; what the others said within the last seconds.
    ///
    /// # Errors
    /// `StoreUnavailable`.
    pub async fn exchange_settings(
        &self,
        gateway: &str,
        settings: &str,
    ) -> Result<Vec<String>, QueueError> {
        let store = self.store();
        // By a script, because on a cluster the key says whose clock it is.
        let mut time = redis::cmd("EVAL");
        time.arg("return redis.call('TIME')").arg(1).arg(GATEWAYS);
        let (now_s, _): (u64, u64) = store.command(&time).await?;
        let line = format!("{now_s} {settings}");
        let mut said = redis::cmd("HSET");
        store
            .command::<()>(said.arg(GATEWAYS).arg(gateway).arg(line))
            .await?;
        let lines: HashMap<String, String> =
            store.command(redis::cmd("HGETALL").arg(GATEWAYS)).await?;
        let mut others = Vec::new();
        for (other, line) in lines.into_iter().filter(|(other, _)| other != gateway) {
            let (at_s, settings) = line.split_once(' ').unwrap_or_default();
            let at_s: u64 = at_s.parse().unwrap_or(0);
            let age_s = now_s.saturating_sub(at_s);
            if age_s <= SILENT_S {
                others.push(settings.to_owned());
            } else if age_s > FORGOTTEN_S {
                self.forget_gateway(&other).await?;
            }
        }
        Ok(others)
    }

    async fn forget_gateway(&self, gateway: &str) -> Result<(), StoreError> {
        let mut forget = redis::cmd("HDEL");
        self.store()
            .command(forget.arg(GATEWAYS).arg(gateway))
            .await
    }
}
