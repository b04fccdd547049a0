//! Owns the reading of a public beacon that a lottery names by its address: a round of drand, or anything
//! else that answers with JSON.
//!
//! It is asked when it is fixed who takes part, and only where the operator of this process allows its
//! origin. What it says is what an operator could give too. It must not know what a lot is.

use std::str::FromStr;
use std::time::Duration;

use reqwest::{Client, StatusCode, Url, redirect};
use serde::Deserialize;

use crate::queue::Revealed;

/// The step that asks runs every other second.
const TIMEOUT: Duration = Duration::from_millis(1_500);
/// Far more than a beacon says.
const LONGEST: usize = 64 * 1024;

/// The origins that may be asked.
#[derive(Debug, Clone, Default)]
pub struct BeaconOrigins(Vec<String>);

/// Not a list of origins.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be origins such as https://api.drand.sh, apart by commas")]
pub struct BeaconOriginsInvalid;

/// Asks beacons.
pub struct Beacons {
    origins: BeaconOrigins,
    client: Client,
}

/// Why a beacon says nothing that can be used.
#[derive(Debug, thiserror::Error)]
pub enum BeaconError {
    /// It cannot be reached, or its answer cannot be read.
    #[error("the beacon {0} does not answer: {1}")]
    Away(Url, reqwest::Error),
    /// It answers with something else.
    #[error("the beacon {0} does not say {1}")]
    Odd(Url, &'static str),
}

/// What drand says; others may say the same.
#[derive(Deserialize)]
struct Round {
    randomness: String,
}

impl FromStr for BeaconOrigins {
    type Err = BeaconOriginsInvalid;

    fn from_str(text: &str) -> Result<Self, BeaconOriginsInvalid> {
        let origin = |part: &str| {
            let url: Url = part.trim().parse().map_err(|_| BeaconOriginsInvalid)?;
            let is_plain = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
            if matches!(url.scheme(), "http" | "https") && is_plain && url.username().is_empty() {
                Ok(url.origin().ascii_serialization())
            } else {
                Err(BeaconOriginsInvalid)
            }
        };
        text.split(',')
            .map(origin)
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

impl Beacons {
    /// Asks these alone.
    pub fn new(origins: BeaconOrigins) -> Self {
        let client = Client::builder()
            .timeout(TIMEOUT)
            .redirect(redirect::Policy::none())
            .build();
        Self {
            origins,
            client: client.unwrap_or_default(),
        }
    }

    /// The address that a beacon was named by, if it may be asked.
    pub fn address(&self, named: &str) -> Option<Url> {
        let url: Url = named.parse().ok()?;
        let origin = url.origin().ascii_serialization();
        self.origins.0.contains(&origin).then_some(url)
    }

    /// What the beacon says; `None` while it has not spoken.
    ///
    /// # Errors
    /// `Away`, `Odd`.
    pub async fn ask(&self, url: &Url) -> Result<Option<Revealed>, BeaconError> {
        let away = |cause: reqwest::Error| BeaconError::Away(url.clone(), cause.without_url());
        let answer = self.client.get(url.clone()).send().await.map_err(away)?;
        if matches!(
            answer.status(),
            StatusCode::NOT_FOUND | StatusCode::TOO_EARLY
        ) {
            return Ok(None);
        }
        let mut answer = answer.error_for_status().map_err(away)?;
        let mut body = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(away)? {
            body.extend_from_slice(&piece);
            if body.len() > LONGEST {
                return Err(BeaconError::Odd(url.clone(), "so little"));
            }
        }
        let round: Result<Round, _> = serde_json::from_slice(&body);
        let round = round.map_err(|_| BeaconError::Odd(url.clone(), "`randomness` in JSON"))?;
        let said = Revealed::beacon(round.randomness);
        let said = said.map_err(|_| BeaconError::Odd(url.clone(), "a plain word"))?;
        Ok(Some(said))
    }
}

#[cfg(test)]
mod tests {
    use super::{BeaconOrigins, Beacons};

    #[test]
    fn only_an_origin_that_is_allowed_is_asked() {
        let allowed: BeaconOrigins = "https://api.drand.sh, http://127.0.0.1:9"
            .parse()
            .expect("two origins");
        let beacons = Beacons::new(allowed);
        assert!(beacons.address("https://api.drand.sh/public/7").is_some());
        assert!(beacons.address("http://127.0.0.1:9/7").is_some());
        for named in [
            "drand, round 7",
            "http://api.drand.sh/public/7",
            "https://api.drand.sh.evil.example/7",
            "https://api.drand.sh:8443/7",
            "http://169.254.169.254/7",
        ] {
            assert!(beacons.address(named).is_none(), "{named}");
        }
        for odd in [
            "",
            "drand",
            "https://a.example/path",
            "ftp://a.example",
            "https://u@a.example",
        ] {
            assert!(odd.parse::<BeaconOrigins>().is_err(), "{odd}");
        }
    }
}
