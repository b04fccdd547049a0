//! Owns who is who: users of an identity provider, visitors to whom the gateway gives an id, or, for
//! demonstrations, anybody who names a user id.
//!
//! With a provider, `sub` of its token is the user: a UUID as it is, any other text by
//! [`user_of`]. So one person has one place, whatever they claim. Which algorithm verifies a token
//! is decided by the kind of the key, never by the token: a public key cannot become a secret.

mod jwks;
mod keys;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use chassis::time::Timestamp;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation, decode, decode_header};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::queue::UserId;
use crate::token::{KeyError, secret_bytes};

use jwks::Jwks;
pub use jwks::{JwksSource, JwksSourceInvalid};

/// Longer than any provider's token; what is longer is not even looked at.
const LONGEST_TOKEN: usize = 8_192;
/// Longest `sub` (OpenID Connect Core, section 2).
const LONGEST_SUB: usize = 255;
/// Clocks of two houses differ.
const LEEWAY: Duration = Duration::from_secs(30);

/// How it is known who joins.
pub enum Identity {
    /// A visitor is the user whom they name, until that user has a place. For demonstrations.
    Open,
    /// The gateway makes the id; its token is the only proof.
    Anonymous,
    /// A visitor is the user of the provider's token that they show.
    Jwt(Box<Provider>),
}

/// What a provider's token must be.
#[derive(Clone, Default)]
pub struct Rules {
    /// The secret that HS256 is verified with.
    pub secret: Option<IdentitySecret>,
    /// The public keys that RS256 and ES256 are verified with.
    pub jwks: Option<JwksSource>,
    /// What `iss` must be.
    pub issuer: Option<String>,
    /// What `aud` must be or hold.
    pub audience: Option<String>,
}

/// A secret that is shared with the provider, and its digest.
#[derive(Clone)]
pub struct IdentitySecret(DecodingKey, [u8; 32]);

/// The identity provider.
pub struct Provider {
    secret: Option<IdentitySecret>,
    jwks: Option<Jwks>,
    issuer: Option<String>,
    audience: Option<String>,
}

/// Why it is not known who joins.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// There is no token.
    #[error("no token of the identity provider")]
    Missing,
    /// It is not a token of the provider, for us, now.
    #[error("the token of the identity provider is not good: {0}")]
    Invalid(&'static str),
    /// The token is of one user and the place is asked for by another.
    #[error("the token is of another user")]
    OtherUser,
    /// The provider's keys cannot be had.
    #[error("the keys of the identity provider cannot be had: {0}")]
    Unavailable(String),
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    exp: f64,
    nbf: Option<f64>,
    iss: Option<String>,
    aud: Option<Audience>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Identity {
    /// The user whom the provider vouches for, where there is one.
    ///
    /// # Errors
    /// `OtherUser` where another one is `named`; `None` where there is no provider.
    pub async fn user(
        &self,
        named: Option<UserId>,
        token: Option<&str>,
        now: Timestamp,
    ) -> Result<Option<UserId>, IdentityError> {
        let Self::Jwt(provider) = self else {
            return Ok(None);
        };
        let user = provider.user(token.ok_or(IdentityError::Missing)?, now);
        let user = user.await?;
        if named.is_some_and(|named| named != user) {
            return Err(IdentityError::OtherUser);
        }
        Ok(Some(user))
    }

    /// As `GATEWAY_IDENTITY` names it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Anonymous => "anonymous",
            Self::Jwt(_) => "jwt",
        }
    }

    /// Step: reads the provider's keys again when they are old.
    ///
    /// # Errors
    /// `Unavailable`: those that are known stay in use for a while.
    pub async fn refresh(&self, now: Timestamp) -> Result<(), IdentityError> {
        if let Self::Jwt(provider) = self
            && let Some(jwks) = &provider.jwks
        {
            jwks.refresh(now).await?;
        }
        Ok(())
    }
}

impl Rules {
    /// The rules, for comparing two gateways. The secret is there as its digest.
    pub fn described(&self) -> String {
        let secret = self.secret.as_ref().map(|it| it.1);
        format!(
            "{secret:?} {:?} {:?} {:?}",
            self.jwks, self.issuer, self.audience
        )
    }
}

impl Provider {
    /// A provider whose tokens must follow `rules`.
    pub fn new(rules: Rules) -> Self {
        Self {
            secret: rules.secret,
            jwks: rules.jwks.map(Jwks::new),
            issuer: rules.issuer,
            audience: rules.audience,
        }
    }

    async fn user(&self, token: &str, now: Timestamp) -> Result<UserId, IdentityError> {
        if token.len() > LONGEST_TOKEN {
            return Err(IdentityError::Invalid("too long"));
        }
        let header = decode_header(token).map_err(|_| IdentityError::Invalid("not a JWT"))?;
        // RFC 7515, section 4.1.11: an extension that must be known and is not.
        if header.crit.is_some() {
            return Err(IdentityError::Invalid("an extension that must be known"));
        }
        let keys = self.keys(&header, now).await?;
        let mut validation = Validation::new(header.alg);
        // Time is an argument, and the claims are checked below.
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        let signed = |key: &DecodingKey| decode::<Claims>(token, key, &validation);
        let mut refusal = IdentityError::Invalid("the signature");
        for decoded in keys.iter().map(signed) {
            match decoded {
                Ok(decoded) => {
                    self.check(&decoded.claims, now)?;
                    return Ok(user_of(&decoded.claims.sub));
                }
                Err(cause) if matches!(cause.kind(), ErrorKind::Json(_)) => {
                    refusal = IdentityError::Invalid("the claims");
                }
                Err(_) => {}
            }
        }
        Err(refusal)
    }

    /// The keys that are meant for the algorithm that a header names.
    async fn keys(
        &self,
        header: &Header,
        now: Timestamp,
    ) -> Result<Vec<DecodingKey>, IdentityError> {
        match (header.alg, &self.secret, &self.jwks) {
            (Algorithm::HS256, Some(secret), _) => Ok(vec![secret.0.clone()]),
            (Algorithm::HS256, None, _) => Err(IdentityError::Invalid("the signature")),
            (Algorithm::RS256 | Algorithm::ES256, _, Some(jwks)) => {
                jwks.keys(header.kid.as_deref(), header.alg, now).await
            }
            _ => Err(IdentityError::Invalid("the algorithm")),
        }
    }

    fn check(&self, claims: &Claims, now: Timestamp) -> Result<(), IdentityError> {
        let now_s = now.timestamp_millis() as f64 / 1_000.0;
        let leeway_s = LEEWAY.as_secs_f64();
        if claims.exp.is_nan() || claims.exp + leeway_s <= now_s {
            return Err(IdentityError::Invalid("past its time"));
        }
        if claims.nbf.is_some_and(|nbf| nbf - leeway_s > now_s) {
            return Err(IdentityError::Invalid("before its time"));
        }
        if self.issuer.is_some() && claims.iss != self.issuer {
            return Err(IdentityError::Invalid("the issuer"));
        }
        if let Some(audience) = &self.audience {
            let fits = match &claims.aud {
                Some(Audience::One(one)) => one == audience,
                Some(Audience::Many(many)) => many.contains(audience),
                None => false,
            };
            if !fits {
                return Err(IdentityError::Invalid("the audience"));
            }
        }
        if claims.sub.is_empty() || claims.sub.len() > LONGEST_SUB {
            return Err(IdentityError::Invalid("the subject"));
        }
        Ok(())
    }
}

/// The user whom a `sub` names: a UUID as it is, any other text as the UUID of version 5 (RFC 9562)
/// that has the name space `6ba7b812-9dad-11d1-80b4-00c04fd430c8` (OID) and that text as its name.
pub fn user_of(sub: &str) -> UserId {
    let own = Uuid::parse_str(sub).ok();
    UserId(own.unwrap_or_else(|| Uuid::new_v5(&Uuid::NAMESPACE_OID, sub.as_bytes())))
}

impl FromStr for IdentitySecret {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let bytes = secret_bytes(text)?;
        let digest = Sha256::digest(&bytes).into();
        Ok(Self(DecodingKey::from_secret(&bytes), digest))
    }
}

impl fmt::Debug for IdentitySecret {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("IdentitySecret")
    }
}

#[cfg(test)]
mod tests {
    use super::user_of;

    #[test]
    fn a_subject_is_one_user_in_every_spelling_of_a_uuid_and_else_by_its_text() {
        let one = user_of("0199a2b4-c6d8-7e1f-8a3b-5c7d9e0f1a2b");
        assert_eq!(user_of("0199A2B4C6D87E1F8A3B5C7D9E0F1A2B"), one);
        let ann = user_of("auth0|ann");
        assert_eq!(ann, user_of("auth0|ann"));
        assert_ne!(ann, user_of("auth0|bob"));
        assert_eq!(ann.0.get_version_num(), 5);
    }
}
