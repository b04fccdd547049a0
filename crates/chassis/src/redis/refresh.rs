//! Owns who refreshes what is known of the masters: one caller at a time, for all who need it.
//!
//! What is refreshed, the map of a cluster or the master behind sentinels, is the caller's.

use std::time::Duration;

use redis::{ErrorKind, RedisError, RedisResult};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{Instant, timeout};

/// A refresh must end within this time.
pub(super) const REFRESH_TIMEOUT: Duration = Duration::from_millis(500);
/// Between two refreshes because a master cannot be reached.
pub(super) const REFRESH_PAUSE: Duration = Duration::from_millis(100);

/// When the last refresh ended. The task that holds the lock refreshes.
#[derive(Default)]
pub(super) struct Refresher(Mutex<Option<Instant>>);

impl Refresher {
    /// Runs `refresh`, unless another caller does or did a moment ago. It never waits for others.
    pub async fn try_once(&self, refresh: impl Future<Output = RedisResult<()>>) {
        if let Ok(ended_at) = self.0.try_lock()
            && ended_at.is_none_or(|at| at.elapsed() >= REFRESH_PAUSE)
        {
            // Without an answer, what was known before is the best there is.
            let _ = run(ended_at, refresh).await;
        }
    }

    /// Runs `refresh`, unless one ended since `began`, or at most a `pause` before. Of many callers
    /// one refreshes, and the others wait for it.
    ///
    /// # Errors
    /// Those of `refresh`, or that it took too long.
    pub async fn since(
        &self,
        began: Instant,
        pause: Duration,
        refresh: impl Future<Output = RedisResult<()>>,
    ) -> RedisResult<()> {
        let ended_at = self.0.lock().await;
        if ended_at.is_some_and(|at| at + pause >= began) {
            return Ok(());
        }
        run(ended_at, refresh).await
    }
}

async fn run(
    mut ended_at: MutexGuard<'_, Option<Instant>>,
    refresh: impl Future<Output = RedisResult<()>>,
) -> RedisResult<()> {
    let outcome = timeout(REFRESH_TIMEOUT, refresh).await;
    *ended_at = Some(Instant::now());
    outcome.map_err(|_| no_master("there was no answer in time"))?
}

/// No master is known, and why.
pub(super) fn no_master(why: &'static str) -> RedisError {
    RedisError::from((ErrorKind::Io, "no master is known", why.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::Duration;

    use tokio::time::{Instant, advance};

    use super::{REFRESH_PAUSE, REFRESH_TIMEOUT, Refresher};

    #[tokio::test(start_paused = true)]
    async fn of_many_callers_one_refreshes() {
        let (refresher, count) = (Refresher::default(), Cell::new(0));
        let refresh = async || {
            tokio::time::sleep(Duration::from_millis(50)).await;
            count.set(count.get() + 1);
            Ok(())
        };
        let began = Instant::now();
        let (one, other, ()) = tokio::join!(
            refresher.since(began, Duration::ZERO, refresh()),
            refresher.since(began, Duration::ZERO, refresh()),
            refresher.try_once(refresh()),
        );
        assert!(one.is_ok() && other.is_ok());
        assert_eq!(count.get(), 1);
        refresher.try_once(refresh()).await;
        assert_eq!(count.get(), 1, "one ended a moment ago");
        advance(REFRESH_PAUSE).await;
        refresher.try_once(refresh()).await;
        assert_eq!(count.get(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refresh_that_hangs_ends_in_time() {
        let (refresher, began) = (Refresher::default(), Instant::now());
        let hung = refresher.since(began, Duration::ZERO, std::future::pending());
        assert!(hung.await.is_err());
        assert_eq!(began.elapsed(), REFRESH_TIMEOUT);
    }
}
