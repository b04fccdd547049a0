//! Owns asking again: the same question after a pause, until an answer is final or the time for it is over.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// For how long something is asked again, and how far apart.
pub(crate) type Patience = (Duration, Duration);

/// The first answer that is final, or else the last one in time.
pub(crate) async fn ask_again<T>(
    (time, pause): Patience,
    mut ask: impl AsyncFnMut() -> T,
    is_final: impl Fn(&T) -> bool,
) -> T {
    let deadline = Instant::now() + time;
    loop {
        let answer = ask().await;
        if is_final(&answer) || Instant::now() > deadline {
            return answer;
        }
        sleep(pause).await;
    }
}
