//! Owns how long one request may wait for others, all its waits together: for a connection, for MySQL, for Redis.
//!
//! Each wait has a limit of its own, but a request has several, one after another; so what is left for all of them goes with
//! the request, and no wait is longer than that. Outside of a request, where nobody waits for an answer, there is no limit
//! here. What the client itself takes, for its body, does not count.

use std::cell::Cell;
use std::future::Future;
use std::time::{Duration, Instant};

/// What a request may wait in all: a client has an answer within 3 s, also through a gateway and on a busy machine.
pub const OF_A_REQUEST: Duration = Duration::from_millis(2_700);

tokio::task_local! {
    static LEFT: Cell<Duration>;
}

/// Runs a request that may wait so long in all.
pub async fn within<F: Future>(all: Duration, request: F) -> F::Output {
    LEFT.scope(Cell::new(all), request).await
}

/// How long the next wait may be: so long, or what the request has left.
pub(crate) fn at_most(limit: Duration) -> Duration {
    let left = LEFT.try_with(Cell::get);
    left.map_or(limit, |left| left.min(limit))
}

/// Waits, and takes the time from what the request has left.
pub(crate) async fn spend<F: Future>(wait: F) -> F::Output {
    let begun = Instant::now();
    let done = wait.await;
    // Outside of a request nobody counts.
    let _ = LEFT.try_with(|left| left.set(left.get().saturating_sub(begun.elapsed())));
    done
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::{at_most, spend, within};

    const HOUR: Duration = Duration::from_secs(3_600);

    #[tokio::test]
    async fn what_one_wait_took_the_next_has_not() {
        assert_eq!(at_most(HOUR), HOUR, "nobody waits for a step");
        let all = Duration::from_millis(50);
        within(all, async {
            assert_eq!(at_most(HOUR), all);
            assert_eq!(at_most(Duration::ZERO), Duration::ZERO);
            let never = timeout(at_most(HOUR), std::future::pending::<()>());
            assert!(spend(never).await.is_err());
            assert_eq!(at_most(HOUR), Duration::ZERO);
        })
        .await;
        assert_eq!(at_most(HOUR), HOUR);
    }
}
