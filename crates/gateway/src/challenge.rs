//! Owns the challenge by others that a place may cost: whether a verifier says that a person solved it.
//!
//! Turnstile, hCaptcha and reCAPTCHA share the form: POST of `secret`, `response` and `remoteip`, and
//! JSON with `success`. What happens while the verifier cannot be asked is a setting. It must not
//! know who joins, or where.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Url, redirect};
use serde::Deserialize;

use crate::metrics::TrustMetrics;

/// Longer than any answer of a challenge; what is longer is not even sent.
const LONGEST_RESPONSE: usize = 4_096;

/// Which challenge, and who verifies it.
#[derive(Clone)]
pub struct ChallengeRules {
    /// Where an answer is verified.
    pub verify_url: Url,
    /// What the verifier knows us by.
    pub secret: ChallengeSecret,
    /// What a page needs to show the challenge.
    pub site_key: String,
    /// What happens while the verifier does not answer.
    pub unreachable: Unreachable,
    /// How long it may take.
    pub timeout: Duration,
    /// How the waiting page shows it; without it the page cannot.
    pub page: Option<ChallengePage>,
}

/// What the waiting page needs to show the challenge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChallengePage {
    /// The script of those whose challenge it is.
    pub script: Url,
    /// Where their scripts, frames and pictures come from, and where they call.
    pub origins: Vec<String>,
}

/// What the verifier knows us by. Never shown.
#[derive(Clone)]
pub struct ChallengeSecret(String);

/// What happens to those who join while the verifier does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unreachable {
    /// They pass.
    Open,
    /// They are refused.
    Closed,
}

/// Not one of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be open or closed")]
pub struct UnreachableInvalid;

/// Asks the verifier.
pub struct Challenge {
    rules: ChallengeRules,
    client: Client,
    metrics: TrustMetrics,
}

/// Why a place is not given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChallengeError {
    /// Nothing was shown.
    #[error("a challenge has to be solved")]
    Missing {
        /// What a page needs to show it.
        site_key: String,
    },
    /// The verifier does not take what was shown.
    #[error("the challenge is not solved")]
    Refused {
        /// What a page needs to show another one.
        site_key: String,
    },
    /// The verifier cannot be asked.
    #[error("the verifier of challenges cannot be asked: {0}")]
    Unavailable(String),
}

#[derive(Deserialize)]
struct Verification {
    success: bool,
}

impl Challenge {
    /// The challenge that follows `rules`.
    pub fn new(rules: ChallengeRules, metrics: TrustMetrics) -> Self {
        let client = Client::builder()
            .timeout(rules.timeout)
            .redirect(redirect::Policy::none())
            .build();
        Self {
            rules,
            client: client.unwrap_or_default(),
            metrics,
        }
    }

    /// How the waiting page shows it, where it can, with the key that it needs.
    pub fn page(&self) -> Option<(&ChallengePage, &str)> {
        let page = self.rules.page.as_ref()?;
        Some((page, &self.rules.site_key))
    }

    /// Whether something was shown at all, which is known without asking anybody.
    ///
    /// # Errors
    /// `Missing`.
    pub fn wants(&self, response: Option<&str>) -> Result<(), ChallengeError> {
        let site_key = self.rules.site_key.clone();
        response
            .map(|_| ())
            .ok_or(ChallengeError::Missing { site_key })
    }

    /// Takes the answer to a challenge that somebody at `source` solved.
    ///
    /// # Errors
    /// `Missing`, `Refused`; `Unavailable` only where the setting is `closed`.
    pub async fn take(
        &self,
        response: Option<&str>,
        source: Option<IpAddr>,
    ) -> Result<(), ChallengeError> {
        self.wants(response)?;
        let (response, site_key) = (response.unwrap_or_default(), self.rules.site_key.clone());
        if response.is_empty() || response.len() > LONGEST_RESPONSE {
            self.count("refused");
            return Err(ChallengeError::Refused { site_key });
        }
        match (self.verify(response, source).await, self.rules.unreachable) {
            (Ok(true), _) => self.count("passed"),
            (Ok(false), _) => {
                self.count("refused");
                return Err(ChallengeError::Refused { site_key });
            }
            (Err(cause), Unreachable::Open) => {
                self.count("unreachable");
                log::warn!("the verifier of challenges cannot be asked, so all pass: {cause}");
            }
            (Err(cause), Unreachable::Closed) => {
                self.count("unreachable");
                return Err(ChallengeError::Unavailable(cause.to_string()));
            }
        }
        Ok(())
    }

    async fn verify(
        &self,
        response: &str,
        source: Option<IpAddr>,
    ) -> Result<bool, Box<dyn std::error::Error>> {
        let mut form = self.rules.verify_url.clone();
        form.query_pairs_mut()
            .clear()
            .append_pair("secret", &self.rules.secret.0)
            .append_pair("response", response)
            .extend_pairs(source.map(|it| ("remoteip", it.to_string())));
        let request = self.client.post(self.rules.verify_url.clone());
        let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        let answer = request.body(form.query().unwrap_or_default().to_owned());
        // Without its address an error cannot show what stands in it.
        let answer = answer.send().await.map_err(reqwest::Error::without_url)?;
        let answer = answer.error_for_status()?.bytes().await?;
        Ok(serde_json::from_slice::<Verification>(&answer)?.success)
    }

    fn count(&self, outcome: &str) {
        self.metrics.challenges.with_label_values(&[outcome]).inc();
    }
}

impl FromStr for ChallengeSecret {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for ChallengeSecret {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("ChallengeSecret")
    }
}

impl FromStr for Unreachable {
    type Err = UnreachableInvalid;

    fn from_str(text: &str) -> Result<Self, UnreachableInvalid> {
        match text {
            "open" => Ok(Self::Open),
            "closed" => Ok(Self::Closed),
            _ => Err(UnreachableInvalid),
        }
    }
}
