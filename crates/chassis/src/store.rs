//! Owns waiting for a store at the start of a process: whatever is started together need not be started in order.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::server::StartError;

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(500);

/// Why a store cannot be used.
#[derive(Debug)]
pub enum Unusable {
    /// It does not answer; it may come up.
    Away(String),
    /// Waiting would not help.
    Odd(String),
}

/// A store that a process needs from its start on.
#[derive(Debug, Clone, Copy)]
pub struct Needed {
    /// What it is.
    pub store: &'static str,
    /// The variable that says where it is.
    pub variable: &'static str,
    /// How long to wait for it.
    pub within: Duration,
}

impl Needed {
    /// What `ask` gives, as soon as the store answers it. It is asked once at least.
    ///
    /// # Errors
    /// When the store is still away after the time, or at once when waiting would not help.
    pub async fn wait<T>(
        self,
        mut ask: impl AsyncFnMut() -> Result<T, Unusable>,
    ) -> Result<T, StartError> {
        let Self {
            store,
            variable,
            within,
        } = self;
        let deadline = Instant::now() + within;
        let mut is_told = false;
        loop {
            let cause = match ask().await {
                Ok(answer) => return Ok(answer),
                Err(Unusable::Odd(cause)) => return Err(StartError::Store(cause)),
                Err(Unusable::Away(cause)) => cause,
            };
            if Instant::now() >= deadline {
                return Err(StartError::Store(format!(
                    "{store} does not answer: {cause}. Start it, or set {variable} to where it is."
                )));
            }
            if !is_told {
                log::warn!("{store} does not answer yet, waiting up to {within:?}: {cause}");
            }
            is_told = true;
            sleep(PAUSE).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Needed, Unusable};

    const REDIS: Needed = Needed {
        store: "Redis",
        variable: "REDIS_URL",
        within: Duration::from_secs(10),
    };

    #[tokio::test(start_paused = true)]
    async fn a_store_that_comes_up_is_waited_for() {
        let mut asked = 0;
        let answer = REDIS.wait(async || {
            asked += 1;
            if asked < 5 {
                return Err(Unusable::Away("refused".into()));
            }
            Ok("here")
        });
        assert_eq!(answer.await.expect("it came up"), "here");
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_stays_away_is_told_with_what_to_do() {
        let mut asked = 0;
        let answer = REDIS.wait(async || {
            asked += 1;
            Err::<(), _>(Unusable::Away("refused".into()))
        });
        let told = answer.await.expect_err("away").to_string();
        assert!(told.starts_with("Redis does not answer: refused."));
        assert!(told.contains("set REDIS_URL"), "{told}");
        assert_eq!(asked, 21);
    }

    #[tokio::test]
    async fn what_waiting_does_not_mend_is_told_at_once() {
        let answer = REDIS.wait(async || Err::<(), _>(Unusable::Odd("another schema".into())));
        let told = answer.await.expect_err("odd").to_string();
        assert_eq!(told, "another schema");
    }
}
