//! Owns when the books are compared for who asks: one check at a time, which goes on by itself for as long as it takes.
//!
//! A check reads whole tables, so among many sales it takes longer than an answer may. Who asks gets what it found, or hears
//! that it runs; who asks again joins it, or gets what it found meanwhile. However many ask, the database does it once.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::Report;
use crate::db::DbError;
use crate::patience;

/// After so long who asked hears that it runs.
const ANSWERED_WITHIN: Duration = Duration::from_secs(2);
/// For so long it is kept what a check found that somebody asked for and did not wait for.
const KEPT: Duration = Duration::from_secs(60);

/// What a check found; all who waited for it get the same.
pub type Outcome = Result<Arc<Report>, Arc<DbError>>;

/// The check that runs, or ran last.
#[derive(Default)]
pub struct Checks {
    last: Mutex<Option<Check>>,
}

struct Check {
    outcome: watch::Receiver<Option<(Outcome, Instant)>>,
    /// Somebody was told that it runs, and has not heard what it found.
    is_owed: bool,
}

impl Checks {
    /// What the check that runs finds, or `check`, which is begun when none runs. `None` when that takes longer than an answer
    /// may: it goes on.
    pub async fn ask<F>(&self, check: F) -> Option<Outcome>
    where
        F: Future<Output = Result<Report, DbError>> + Send + 'static,
    {
        let mut outcome = self.join(check);
        let wait = timeout(
            patience::at_most(ANSWERED_WITHIN),
            outcome.wait_for(Option::is_some),
        );
        let found = match patience::spend(wait).await {
            Ok(Ok(found)) => found.clone().map(|(outcome, _)| outcome),
            Ok(Err(_)) => Some(Err(Arc::new(DbError::Unexpected("a check that was lost")))),
            Err(_) => None,
        };
        if let Some(last) = &mut *self.last.lock().unwrap_or_else(PoisonError::into_inner) {
            last.is_owed = found.is_none();
        }
        found
    }

    fn join<F>(&self, check: F) -> watch::Receiver<Option<(Outcome, Instant)>>
    where
        F: Future<Output = Result<Report, DbError>> + Send + 'static,
    {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = &*last {
            let is_good = match &*last.outcome.borrow() {
                None => last.outcome.has_changed().is_ok(),
                Some((_, at)) => last.is_owed && at.elapsed() < KEPT,
            };
            if is_good {
                return last.outcome.clone();
            }
        }
        let (told, outcome) = watch::channel(None);
        tokio::spawn(async move {
            let found = check.await.map(Arc::new).map_err(Arc::new);
            told.send_replace(Some((found, Instant::now())));
        });
        *last = Some(Check {
            outcome: outcome.clone(),
            is_owed: false,
        });
        outcome
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering};
    use std::time::Duration;

    use tokio::sync::Notify;
    use tokio::time::advance;

    use super::{Checks, KEPT};
    use crate::db::DbError;
    use crate::reconciliation::{Report, Totals};

    /// Checks, each of which ends when it is told to, and finds as many seats as there were checks.
    #[derive(Default)]
    struct Scene {
        checks: Checks,
        begun: Arc<AtomicI64>,
        goes_on: Arc<Notify>,
    }

    impl Scene {
        /// The number of the check that was told, if one was.
        async fn ask(&self) -> Option<i64> {
            let (begun, goes_on) = (Arc::clone(&self.begun), Arc::clone(&self.goes_on));
            let check = async move {
                let number = begun.fetch_add(1, Ordering::SeqCst) + 1;
                goes_on.notified().await;
                Ok(report(number))
            };
            let found = self.checks.ask(check).await?;
            Some(found.expect("found").totals.seats_sold)
        }
    }

    fn report(seats_sold: i64) -> Report {
        Report {
            checked_at: chassis::time::Timestamp::default(),
            totals: Totals {
                seats_sold,
                ..Totals::default()
            },
            differences: Vec::new(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_that_takes_long_goes_on_and_is_told_to_who_asks_again() {
        let scene = Scene::default();
        assert_eq!(scene.ask().await, None);
        assert_eq!(scene.ask().await, None, "it runs, and no other is begun");
        scene.goes_on.notify_one();
        assert_eq!(scene.ask().await, Some(1));
        scene.goes_on.notify_one();
        assert_eq!(
            scene.ask().await,
            Some(2),
            "it was told, so this is another"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_found_meanwhile_is_told_while_it_is_young() {
        let after = async |age| {
            let scene = Scene::default();
            assert_eq!(scene.ask().await, None);
            scene.goes_on.notify_one();
            tokio::task::yield_now().await;
            advance(age).await;
            // For another one, if it is begun.
            scene.goes_on.notify_one();
            scene.ask().await
        };
        assert_eq!(after(Duration::from_secs(1)).await, Some(1));
        assert_eq!(after(KEPT).await, Some(2));
    }

    #[tokio::test(start_paused = true)]
    async fn all_who_ask_at_once_share_one_check_and_its_failure() {
        let checks = Checks::default();
        let failing = || checks.ask(async { Err(DbError::Busy) });
        let (one, other) = tokio::join!(failing(), failing());
        for outcome in [one, other] {
            assert!(matches!(outcome, Some(Err(cause)) if matches!(*cause, DbError::Busy)));
        }
        let next = checks.ask(async { Ok(report(7)) }).await;
        assert!(matches!(next, Some(Ok(report)) if report.totals.seats_sold == 7));
    }
}
