//! Owns the two signed things: the token that proves a visitor's place, and the pass that tells
//! the upstream who comes.
//!
//! Both are JWTs with HS256 and nothing else. Tokens are not stored: the signature is the proof.
//! Time is an argument. No secret is ever shown, not in `Debug` and not in an error.
//!
//! What is signed here is checked here, without the library: its header is known byte by byte, and a poll has no
//! time to read it twice (ADR 61). A header that is not known is read by the library.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chassis::time::Timestamp;
use hmac::{Hmac, Mac as _};
use jsonwebtoken::{Algorithm, decode_header};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::operator::Right;
use crate::queue::{QueueId, Ticket, UserId};

/// What HS256 signs with.
const DIGEST_BYTES: usize = 32;
/// Least bytes of a secret: as many as the digest has.
const SECRET_BYTES: usize = DIGEST_BYTES;
/// Longest name of a key.
const KID_CHARS: usize = 32;
/// Longer than any token that was minted here; what is longer is not even looked at.
const TOKEN_BYTES: usize = 1_024;
/// How long a pass is good, in seconds: as long as the upstream accepts.
const PASS_SECONDS: i64 = 30;

/// Base64 as operators paste it: with or without the padding.
const SECRET_BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The keys of tokens: the first signs, all verify, so a key can be replaced without a visitor
/// losing their place.
#[derive(Clone)]
pub struct KeyRing(Vec<Key>);

/// The key of passes, which gateway and upstream share.
#[derive(Clone)]
pub struct PassKey(Key);

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Whose place.
    pub sub: UserId,
    /// In which queue.
    pub queue: QueueId,
    /// The number of the ticket.
    pub ticket: u64,
    /// The life of the queue that gave it out.
    pub epoch: u64,
    /// Minted at, in seconds since 1970.
    pub iat: i64,
    /// Good before this second since 1970.
    pub exp: i64,
    /// Whether the visit was over when the token was minted: it proves who one is, and no place.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub over: bool,
    /// Whether it was over because the visitor left.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub left: bool,
}

/// What a route asks for, and what a pass says was asked, from the mildest to the strictest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Nothing. No pass says it: who needs nothing gets none.
    #[serde(skip)]
    Public,
    /// A proof of who they are, in whatever state their visit is.
    Token,
    /// An active visit.
    Active,
    /// An operator's key.
    Operator,
}

/// How far a visit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VisitState {
    /// In the line.
    Waiting,
    /// Inside.
    Active,
    /// It ended; the token still proves who it was.
    Over,
}

/// Why a token proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not minted here, or tampered with.
    #[error("the token is not valid")]
    Invalid,
    /// Minted here, and past its time.
    #[error("the token is past its time")]
    Expired,
}

/// A secret or a key ring that cannot be used. The text never holds the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// No key at all.
    #[error("there must be a key, as in kid:base64url-secret")]
    Empty,
    /// An entry without a usable name.
    #[error("each key is kid:base64url-secret, and kid is 1 to 32 of A-Z, a-z, 0-9, '.', '_', '-'")]
    Kid,
    /// Two keys with one name.
    #[error("two keys have the same kid")]
    Twice,
    /// A secret that cannot be decoded.
    #[error("the secret is not base64url")]
    Base64,
    /// A secret that could be guessed.
    #[error("the secret must have at least 32 bytes")]
    Short,
}

/// A secret, ready for use.
#[derive(Clone)]
struct Key {
    kid: String,
    /// The encoded header of everything that this key signs.
    header: String,
    /// It has taken the secret, and nothing else yet.
    mac: Hmac<Sha256>,
}

/// Whom a pass is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The user, or `operator:` and a name.
    pub sub: String,
    /// The queue that vouches; empty where none does.
    pub queue: String,
    /// What was asked of them.
    pub level: Level,
    /// How far their visit is; not of an operator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<VisitState>,
    /// What an operator's key is good for, where it has not all rights.
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub rights: Option<BTreeSet<Right>>,
    /// The visit itself, where it is inside: only that one can be given back.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub visit: Option<VisitId>,
}

/// A visit, as a pass names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VisitId {
    /// The number of the ticket.
    pub ticket: u64,
    /// The life of the queue that gave it out.
    pub epoch: u64,
}

/// A pass as it is written.
#[derive(Serialize, Deserialize)]
struct PassClaims<H> {
    #[serde(flatten)]
    holder: H,
    exp: i64,
}

impl KeyRing {
    /// A token that says `claims`.
    pub fn mint(&self, claims: &Claims) -> String {
        // Parsing refused an empty ring.
        self.0[0].mint(claims)
    }

    /// What a token says, if it was minted with one of these keys and is good at `now`.
    ///
    /// # Errors
    /// `Invalid` for whatever was not minted here; `Expired` only where the signature is right.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Claims, TokenError> {
        if token.len() > TOKEN_BYTES {
            return Err(TokenError::Invalid);
        }
        let (message, signature) = token.rsplit_once('.').ok_or(TokenError::Invalid)?;
        let (header, payload) = message.split_once('.').ok_or(TokenError::Invalid)?;
        let key = self.key_of(token, header).ok_or(TokenError::Invalid)?;
        if !key.signed(message, signature) {
            return Err(TokenError::Invalid);
        }
        let claims: Claims = decoded(payload).ok_or(TokenError::Invalid)?;
        if now.timestamp() >= claims.exp {
            return Err(TokenError::Expired);
        }
        Ok(claims)
    }

    /// A seal over `text` that any gateway with these keys knows again.
    ///
    /// The text must hold a `:`, which what is signed of a token never does, so no seal is a token.
    pub fn seal(&self, text: &str) -> String {
        debug_assert!(text.contains(':'));
        self.0[0].signature(text)
    }

    /// A seal over `text` with each of the keys in turn.
    pub fn seal_of_all(&self, text: &str) -> String {
        let seals = self.0.iter().map(|key| key.signature(text));
        let seals: String = seals.collect();
        self.0[0].signature(&format!("{text}:{seals}"))
    }

    /// Whether `seal` was made over `text` with one of these keys.
    pub fn is_seal(&self, text: &str, seal: &str) -> bool {
        self.0.iter().any(|key| key.signed(text, seal))
    }

    /// The key that the header of a token names, if it asks for the one algorithm there is and for nothing else.
    fn key_of(&self, token: &str, header: &str) -> Option<&Key> {
        // All tokens that are minted here have one of these headers; no need to read it.
        if let Some(key) = self.0.iter().find(|key| key.header == header) {
            return Some(key);
        }
        let header = decode_header(token).ok()?;
        // RFC 7515, section 4.1.11: an extension that must be known and is not.
        let is_plain = header.alg == Algorithm::HS256 && header.crit.is_none();
        let kid = header.kid.filter(|_| is_plain)?;
        self.0.iter().find(|key| key.kid == kid)
    }
}

/// `kid:base64url-secret[,kid2:base64url-secret]`
impl FromStr for KeyRing {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let mut keys: Vec<Key> = Vec::new();
        for entry in text
            .split(',')
            .map(str::trim)
            .filter(|entry| !entry.is_empty())
        {
            let (kid, secret) = entry.split_once(':').ok_or(KeyError::Kid)?;
            if !is_kid(kid) {
                return Err(KeyError::Kid);
            }
            if keys.iter().any(|key| key.kid == kid) {
                return Err(KeyError::Twice);
            }
            keys.push(Key::new(kid, secret)?);
        }
        if keys.is_empty() {
            return Err(KeyError::Empty);
        }
        Ok(Self(keys))
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kids = self.0.iter().map(|key| &key.kid);
        to.debug_list().entries(kids).finish()
    }
}

impl PassKey {
    /// A pass for its holder, good for 30 seconds from `now`.
    pub fn mint(&self, holder: &Holder, now: Timestamp) -> String {
        self.0.mint(&PassClaims {
            holder,
            exp: now.timestamp() + PASS_SECONDS,
        })
    }

    /// Whom a pass is for that was minted with this key and is good at `now`.
    pub fn verify(&self, pass: &str, now: Timestamp) -> Option<Holder> {
        if pass.len() > TOKEN_BYTES {
            return None;
        }
        let (message, signature) = pass.rsplit_once('.')?;
        let (header, payload) = message.split_once('.')?;
        if header != self.0.header || !self.0.signed(message, signature) {
            return None;
        }
        let claims: PassClaims<Holder> = decoded(payload)?;
        (now.timestamp() < claims.exp).then_some(claims.holder)
    }

    /// A seal over `text`, as [`KeyRing::seal`].
    pub fn seal(&self, text: &str) -> String {
        debug_assert!(text.contains(':'));
        self.0.signature(text)
    }
}

/// A base64url secret.
impl FromStr for PassKey {
    type Err = KeyError;

    fn from_str(secret: &str) -> Result<Self, KeyError> {
        Key::new("", secret.trim()).map(Self)
    }
}

impl fmt::Debug for PassKey {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("PassKey")
    }
}

impl Claims {
    /// The visit that the token proves.
    pub fn ticket(&self) -> Ticket {
        Ticket {
            user: self.sub,
            number: self.ticket,
            epoch: self.epoch,
        }
    }
}

impl Key {
    /// A key without a name puts no name into its headers.
    fn new(kid: &str, secret: &str) -> Result<Self, KeyError> {
        let secret = secret_bytes(secret)?;
        let header = if kid.is_empty() {
            r#"{"alg":"HS256","typ":"JWT"}"#.to_owned()
        } else {
            format!(r#"{{"alg":"HS256","kid":"{kid}","typ":"JWT"}}"#)
        };
        Ok(Self {
            kid: kid.to_owned(),
            header: BASE64_URL_SAFE_NO_PAD.encode(header),
            mac: Hmac::new_from_slice(&secret).map_err(|_| KeyError::Short)?,
        })
    }

    fn mint(&self, claims: &impl Serialize) -> String {
        let claims = serde_json::to_vec(claims).expect("claims are plain fields");
        let mut token = String::with_capacity(TOKEN_BYTES / 2);
        token.push_str(&self.header);
        token.push('.');
        BASE64_URL_SAFE_NO_PAD.encode_string(claims, &mut token);
        let signature = self.signature(&token);
        token.push('.');
        token.push_str(&signature);
        token
    }

    fn signature(&self, message: &str) -> String {
        let digest = self.mac_of(message).finalize().into_bytes();
        BASE64_URL_SAFE_NO_PAD.encode(digest)
    }

    fn signed(&self, message: &str, signature: &str) -> bool {
        let mut digest = [0; DIGEST_BYTES];
        let decoded = BASE64_URL_SAFE_NO_PAD.decode_slice(signature, &mut digest);
        let is_whole = decoded == Ok(DIGEST_BYTES);
        // Compared in constant time.
        is_whole && self.mac_of(message).verify_slice(&digest).is_ok()
    }

    fn mac_of(&self, message: &str) -> Hmac<Sha256> {
        let mut mac = self.mac.clone();
        mac.update(message.as_bytes());
        mac
    }
}

/// The bytes of a secret in base64url, with or without padding.
///
/// # Errors
/// `Base64`, `Short`.
pub fn secret_bytes(text: &str) -> Result<Vec<u8>, KeyError> {
    let secret = SECRET_BASE64.decode(text).map_err(|_| KeyError::Base64)?;
    if secret.len() < SECRET_BYTES {
        return Err(KeyError::Short);
    }
    Ok(secret)
}

fn decoded<T: for<'de> Deserialize<'de>>(part: &str) -> Option<T> {
    let json = BASE64_URL_SAFE_NO_PAD.decode(part).ok()?;
    serde_json::from_slice(&json).ok()
}

fn is_kid(kid: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=KID_CHARS).contains(&kid.len()) && kid.bytes().all(fits)
}
