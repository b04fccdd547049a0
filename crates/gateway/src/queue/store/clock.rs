//! Owns the one clock: all that visitors are told counts by that of Redis, whatever the machine of the
//! gateway thinks.
//!
//! It is measured once a second. While Redis is away the last offset counts.

use std::sync::atomic::{AtomicBool, Ordering};

use super::keys::GATEWAYS;
use crate::queue::StoreError;
use crate::queue::queues::Queues;
use crate::queue::snapshot;

/// A machine whose clock is so wrong is to be mended.
const TOO_WRONG_US: i64 = 2_000_000;

/// Whether it was told that the machine's clock is wrong.
#[derive(Default)]
pub(in crate::queue) struct SkewTold(AtomicBool);

impl Queues {
    /// Step: follows the clock of Redis; on a cluster that of one master, the same for all gateways.
    ///
    /// # Errors
    /// When it was not told: the offset stays.
    pub(in crate::queue) async fn follow_clock(&self) -> Result<(), StoreError> {
        let (store, clock) = (self.store(), self.store().clock());
        // By a script, because on a cluster the key says whose clock it is.
        let mut time = redis::cmd("EVAL");
        time.arg("return redis.call('TIME')").arg(1).arg(GATEWAYS);
        let asked = clock.machine_now();
        let (seconds, micros): (u64, u64) = store.command(&time).await?;
        let now_us = store.shifted(seconds * 1_000_000 + micros);
        clock.follow(snapshot::instant(now_us), asked);
        let skew_us = clock.skew_us();
        let is_wrong = skew_us.abs() > TOO_WRONG_US;
        if self.skew_told().0.swap(is_wrong, Ordering::Relaxed) != is_wrong {
            let skew_s = skew_us as f64 / 1e6;
            if is_wrong {
                log::warn!(
                    "the clock of this machine is {skew_s:.1} s ahead of that of redis, which counts"
                );
            } else {
                log::info!("the clock of this machine agrees with that of redis again");
            }
        }
        Ok(())
    }
}
