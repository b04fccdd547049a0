//! Owns the secret with which a place is given again to the visitor who joined with it, where a user is only
//! named and not known.
//!
//! The script that gives the place keeps it, so no place of somebody who sent one can be without it, also
//! when a gateway dies before it answers. It is kept for the one ticket that it came with, as a salted
//! digest, under a key of its own that ends by itself. Who sends none costs nothing. A loss of the store
//! loses it; the token still proves the place.

use std::fmt;

use sha2::{Digest as _, Sha256};

use crate::queue::{Queue, QueueError, Ticket};

/// Fewer bytes could be guessed by asking; more than these are no secret but a document.
const LENGTH: std::ops::RangeInclusive<usize> = 8..=128;

/// A visitor's secret, as its digest.
#[derive(Clone, serde::Deserialize)]
#[serde(try_from = "String")]
pub struct JoinSecret([u8; 32]);

/// Too short or too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a secret has 8 to 128 bytes")]
pub struct JoinSecretInvalid;

impl TryFrom<String> for JoinSecret {
    type Error = JoinSecretInvalid;

    fn try_from(text: String) -> Result<Self, JoinSecretInvalid> {
        if LENGTH.contains(&text.len()) {
            Ok(Self(Sha256::digest(text).into()))
        } else {
            Err(JoinSecretInvalid)
        }
    }
}

impl fmt::Debug for JoinSecret {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("JoinSecret")
    }
}

impl JoinSecret {
    /// What the script keeps of it, behind the ticket: the same secret of two tickets looks different.
    pub(super) fn kept(&self) -> String {
        let salt: [u8; 8] = rand::random();
        self.salted(&hex(&salt))
    }

    fn salted(&self, salt: &str) -> String {
        let mut digest = Sha256::new_with_prefix(salt);
        digest.update(self.0);
        format!("{salt}:{}", hex(&digest.finalize()))
    }

    fn is_of(&self, ticket: &Ticket, kept: &str) -> bool {
        let own = format!("{}:", ticket.number);
        let kept = kept.strip_prefix(&own).unwrap_or_default();
        let salt = kept.split(':').next().unwrap_or_default();
        kept == self.salted(salt)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Queue {
    /// Whether the place was joined with this secret.
    ///
    /// # Errors
    /// `StoreUnavailable`.
    pub async fn is_secret(
        &self,
        ticket: &Ticket,
        secret: &JoinSecret,
    ) -> Result<bool, QueueError> {
        let mut get = redis::cmd("GET");
        get.arg(self.entry.keys.secret(&ticket.user));
        // Boxed, as all that is rare, so that the hot future stays small.
        self.in_time(Box::pin(async {
            let kept: Option<String> = self.store().command(&get).await?;
            Ok(kept.is_some_and(|kept| secret.is_of(ticket, &kept)))
        }))
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::JoinSecret;

    #[test]
    fn a_secret_is_neither_short_nor_long_nor_shown() {
        let secret = |length: usize| JoinSecret::try_from("s".repeat(length));
        assert!(secret(7).is_err() && secret(129).is_err());
        assert!(secret(8).is_ok() && secret(128).is_ok());
        assert_eq!(format!("{:?}", secret(8)), "Ok(JoinSecret)");
    }
}
