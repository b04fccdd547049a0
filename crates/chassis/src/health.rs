//! Owns whether this process may get requests: `/live` and `/ready`.
//!
//! Live means that the process answers. Ready means that every store it needs answers now, and
//! that it is not about to stop.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use serde::Serialize;
use tokio::sync::watch;
use utoipa::ToSchema;

use crate::problem::Problem;

/// A check that takes longer has failed.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

type Check = dyn Fn() -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> + Send + Sync;

/// What this process needs in order to serve.
#[derive(Default)]
pub struct Health {
    draining: watch::Sender<bool>,
    checks: Vec<Checked>,
}

struct Checked {
    name: &'static str,
    check: Box<Check>,
    /// Whether the reason is told in the answer, or in the log alone.
    is_told: bool,
}

/// Answer of `/ready`.
#[derive(Serialize, ToSchema)]
pub struct Ready {
    /// Always `ready`; a process that is not answers 503.
    status: &'static str,
    /// Each thing that was checked.
    checks: BTreeMap<&'static str, &'static str>,
}

impl Health {
    /// Adds a check; its error is a sentence for the log.
    pub fn check<F, Fut>(self, name: &'static str, check: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), String>> + Send + 'static,
    {
        self.with(name, false, check)
    }

    /// Adds a check whose error is told in the answer: it names no host and no secret.
    pub fn check_telling<F, Fut>(self, name: &'static str, check: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), String>> + Send + 'static,
    {
        self.with(name, true, check)
    }

    fn with<F, Fut>(mut self, name: &'static str, is_told: bool, check: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), String>> + Send + 'static,
    {
        self.checks.push(Checked {
            name,
            check: Box::new(move || Box::pin(check())),
            is_told,
        });
        self
    }

    /// From now on this process is not ready: it is about to stop.
    pub fn drain(&self) {
        self.draining.send_replace(true);
    }

    /// Returns when [`Health::drain`] is called, or was: an answer without an end ends by it.
    pub async fn until_draining(&self) {
        // The sender lives as long as this, so waiting cannot fail.
        let _ = self.draining.subscribe().wait_for(|it| *it).await;
    }

    /// Whether [`Health::drain`] was called.
    pub fn is_draining(&self) -> bool {
        *self.draining.borrow()
    }

    /// Asks every check; the first that fails is the answer.
    pub async fn ready(&self) -> Result<Ready, Problem> {
        if self.is_draining() {
            return Err(not_ready("This process is stopping."));
        }
        let mut checks = BTreeMap::new();
        for Checked {
            name,
            check,
            is_told,
        } in &self.checks
        {
            let outcome = tokio::time::timeout(CHECK_TIMEOUT, check())
                .await
                .unwrap_or_else(|_| Err("no answer in time".to_owned()));
            if let Err(cause) = outcome {
                let detail = if *is_told {
                    format!("{name} cannot be used: {cause}")
                } else {
                    format!("{name} does not answer.")
                };
                return Err(not_ready(detail).cause(cause));
            }
            checks.insert(*name, "ok");
        }
        Ok(Ready {
            status: "ready",
            checks,
        })
    }
}

fn not_ready(detail: impl Into<std::borrow::Cow<'static, str>>) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "NOT_READY", detail)
}

/// The handler of `GET /live`.
pub async fn live() -> HttpResponse {
    HttpResponse::Ok().json(serde_json::json!({ "status": "live" }))
}

/// The handler of `GET /ready`.
pub async fn ready(health: web::Data<Health>) -> Result<HttpResponse, Problem> {
    Ok(HttpResponse::Ok().json(health.ready().await?))
}

#[cfg(test)]
mod tests {
    use super::Health;

    #[tokio::test]
    async fn ready_only_when_every_check_passes_and_not_stopping() {
        let health = Health::default().check("redis", async || Ok(()));
        assert!(health.ready().await.is_ok());
        health.drain();
        health.until_draining().await;
        assert_eq!(
            health.ready().await.err().map(|it| it.code()),
            Some("NOT_READY")
        );

        let health = Health::default()
            .check("redis", async || Ok(()))
            .check("mysql", async || Err("refused".to_owned()));
        let problem = health.ready().await.err().expect("not ready");
        assert!(problem.to_string().contains("mysql"));

        let health = Health::default().check_telling("redis", async || Err("READONLY".to_owned()));
        let problem = health.ready().await.err().expect("not ready");
        assert!(
            problem
                .to_string()
                .contains("redis cannot be used: READONLY")
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_that_hangs_has_failed() {
        let health = Health::default().check("redis", std::future::pending);
        assert!(health.ready().await.is_err());
    }
}
