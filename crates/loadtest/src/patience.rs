//! Owns asking again: the same question after a pause, until an answer is final or the time for it is over.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// For how long something is asked again, and how far apart.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    pub seconds: u64,
    pub pause_ms: u64,
}

impl Patience {
    /// The first answer that is final, or the last one in time.
    pub async fn ask<T>(
        self,
        mut ask: impl AsyncFnMut() -> T,
        is_final: impl Fn(&T) -> bool,
    ) -> T {
        let deadline = Instant::now() + Duration::from_secs(self.seconds);
        loop {
            let answer = ask().await;
            if is_final(&answer) || Instant::now() > deadline {
                return answer;
            }
            sleep(Duration::from_millis(self.pause_ms)).await;
        }
    }
}
