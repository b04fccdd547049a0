//! Owns the provider's key set: where it is, how old it may be, and when it is read again.
//!
//! It is read again when it is five minutes old, and at once when a token names a key that is not
//! in it, but then at most once a second, and once in five seconds for a name that was looked for before:
//! an invented name makes us ask seldom, and does not delay the name of a new key, also where it is that
//! very name. A set that cannot be read again is used until it is an hour old.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use chassis::time::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey};
use reqwest::{Client, Url, redirect};
use sha2::{Digest as _, Sha256};

use super::IdentityError;
use super::keys::{self, PublicKey};

const READ_AGAIN_AFTER: Duration = Duration::from_secs(300);
const USED_AT_MOST: Duration = Duration::from_secs(3_600);
/// Between two reads for names that are not known.
const ASK_AT_MOST: Duration = Duration::from_secs(1);
/// Between two reads for the same name that is not known. It may be that of the next key, invented a moment
/// too early; how often is asked at all is bounded by the second between two reads.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(5);
/// Names that are remembered as not known.
const MOST_UNKNOWN: usize = 1_000;
/// Between two reads while there is nothing that can be used.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(5);
/// A visitor may be waiting for it.
const FETCH_TIMEOUT: Duration = Duration::from_secs(2);
/// Far more than a set has.
const LONGEST_SET: usize = 256 * 1024;

/// Where a key set is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JwksSource {
    /// A file, which is read again like the rest.
    File(PathBuf),
    /// An address, `https://` or inside one's own network `http://`.
    Address(Url),
}

/// Not a place where a key set could be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JwksSourceInvalid {
    /// It begins like an address.
    #[error("not an address")]
    Address,
    /// Not an address, and nothing there.
    #[error("there is no such file")]
    File,
}

impl FromStr for JwksSource {
    type Err = JwksSourceInvalid;

    fn from_str(text: &str) -> Result<Self, JwksSourceInvalid> {
        if text.starts_with("https://") || text.starts_with("http://") {
            let address = text.parse().map_err(|_| JwksSourceInvalid::Address)?;
            return Ok(Self::Address(address));
        }
        let path = PathBuf::from(text);
        if path.is_file() {
            Ok(Self::File(path))
        } else {
            Err(JwksSourceInvalid::File)
        }
    }
}

/// The key set of a provider.
pub(super) struct Jwks {
    source: JwksSource,
    client: Client,
    known: RwLock<Known>,
    /// When it was last tried to read the set. Held while reading, so that one reads for all.
    tried_at: tokio::sync::Mutex<Option<Timestamp>>,
    /// Digests of names that were not in the set, and when they were looked for.
    unknown: Mutex<HashMap<[u8; 32], Timestamp>>,
}

#[derive(Clone, Default)]
struct Known {
    keys: Arc<[PublicKey]>,
    read_at: Option<Timestamp>,
}

impl Known {
    fn is_older_than(&self, age: Duration, now: Timestamp) -> bool {
        self.read_at.is_none_or(|at| now - at >= delta(age))
    }

    fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Vec<DecodingKey> {
        let fits = |key: &&PublicKey| {
            key.algorithm == algorithm && (kid.is_none() || key.kid.as_deref() == kid)
        };
        let keys = self.keys.iter().filter(fits);
        keys.map(|key| key.key.clone()).collect()
    }
}

impl Jwks {
    pub fn new(source: JwksSource) -> Self {
        Self {
            source,
            client: Client::builder()
                .timeout(FETCH_TIMEOUT)
                .redirect(redirect::Policy::none())
                .build()
                .unwrap_or_default(),
            known: RwLock::default(),
            tried_at: tokio::sync::Mutex::default(),
            unknown: Mutex::default(),
        }
    }

    /// The keys that a token may be signed with; one at most where it names it.
    ///
    /// # Errors
    /// `Unavailable` when no set that could be used was ever read, or not for an hour.
    pub async fn keys(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
        now: Timestamp,
    ) -> Result<Vec<DecodingKey>, IdentityError> {
        let known = self.known();
        let mut trouble = None;
        if known.is_older_than(USED_AT_MOST, now) {
            trouble = self.read_unless_tried(TRY_AGAIN_AFTER, now).await.err();
        } else {
            let found = known.find(kid, algorithm);
            if !found.is_empty() {
                return Ok(found);
            }
            if self.is_worth_a_read(kid, now) {
                match self.read_unless_tried(ASK_AT_MOST, now).await {
                    Ok(true) if self.known().find(kid, algorithm).is_empty() => {
                        self.remember_unknown(kid, now);
                    }
                    Ok(_) => {}
                    Err(cause) => log::warn!("{cause}"),
                }
            }
        }
        let known = self.known();
        if known.is_older_than(USED_AT_MOST, now) {
            let waiting = || IdentityError::Unavailable("tried a moment ago".to_owned());
            return Err(trouble.unwrap_or_else(waiting));
        }
        Ok(known.find(kid, algorithm))
    }

    /// Whether the set may hold this name now: it did not a moment ago.
    fn is_worth_a_read(&self, kid: Option<&str>, now: Timestamp) -> bool {
        let unknown = self.unknown.lock().unwrap_or_else(PoisonError::into_inner);
        let looked_for = unknown.get(&digest(kid));
        looked_for.is_none_or(|at| now - *at >= delta(ASK_AGAIN_AFTER))
    }

    fn remember_unknown(&self, kid: Option<&str>, now: Timestamp) {
        let mut unknown = self.unknown.lock().unwrap_or_else(PoisonError::into_inner);
        if unknown.len() >= MOST_UNKNOWN {
            unknown.clear();
        }
        unknown.insert(digest(kid), now);
    }

    /// Reads the set again if it is old.
    pub async fn refresh(&self, now: Timestamp) -> Result<(), IdentityError> {
        if self.known().is_older_than(READ_AGAIN_AFTER, now) {
            self.read_unless_tried(TRY_AGAIN_AFTER, now).await?;
        }
        Ok(())
    }

    /// Whether the set was read by this.
    async fn read_unless_tried(
        &self,
        pause: Duration,
        now: Timestamp,
    ) -> Result<bool, IdentityError> {
        let mut tried_at = self.tried_at.lock().await;
        if tried_at.is_some_and(|at| now - at < delta(pause)) {
            return Ok(false);
        }
        *tried_at = Some(now);
        let text = self.text().await.map_err(IdentityError::Unavailable)?;
        let keys = keys::read(&text).map_err(IdentityError::Unavailable)?;
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        *known = Known {
            keys: keys.into(),
            read_at: Some(now),
        };
        Ok(true)
    }

    async fn text(&self) -> Result<String, String> {
        let address = match &self.source {
            // A small local file, once in five minutes: not worth a thread.
            JwksSource::File(path) => {
                return fs::read_to_string(path).map_err(|cause| cause.to_string());
            }
            JwksSource::Address(address) => address.clone(),
        };
        let answer = self.client.get(address).send().await;
        let mut answer = answer
            .and_then(reqwest::Response::error_for_status)
            .map_err(|cause| cause.to_string())?;
        let mut body = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(|cause| cause.to_string())? {
            body.extend_from_slice(&piece);
            if body.len() > LONGEST_SET {
                return Err("the set is too long".to_owned());
            }
        }
        String::from_utf8(body).map_err(|cause| cause.to_string())
    }

    fn known(&self) -> Known {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.clone()
    }
}

/// Whatever its length, a name is remembered in 32 bytes.
fn digest(kid: Option<&str>) -> [u8; 32] {
    Sha256::digest(kid.unwrap_or_default()).into()
}

fn delta(of: Duration) -> chrono::TimeDelta {
    chrono::TimeDelta::from_std(of).unwrap_or(chrono::TimeDelta::MAX)
}
