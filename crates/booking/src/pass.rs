//! Owns the trust in the gateway: `X-Usher-Pass`, a JWT that only the two services can sign.
//!
//! A pass says who asks, from which queue, and how far they have come. It proves nothing else, and
//! booking believes nothing else. Time is an argument.

use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chassis::time::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde::Deserialize;

/// The header that carries the pass.
pub const HEADER: &str = "X-Usher-Pass";

/// The gateway lets a pass live 30 s; the other 30 are for clocks that differ.
const FURTHEST_END_S: i64 = 60;
/// A shorter secret can be found by trying.
const LEAST_SECRET_BYTES: usize = 32;

/// What a pass proves.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Pass {
    /// The user's id, or the name of an operator.
    pub sub: String,
    /// The queue that let them come; empty for operators who speak for none.
    #[serde(default)]
    pub queue: String,
    /// What the route is open to.
    pub level: Level,
    /// How far the visit has come; active when an older gateway does not say.
    #[serde(default)]
    pub state: VisitState,
    /// What an operator's key may do; all of it when not said.
    #[serde(default)]
    rights: Option<Vec<String>>,
    /// When it ends, in whole seconds since 1970.
    exp: i64,
}

/// How far a visit has come. A token says who somebody is in every state; being inside is one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VisitState {
    /// In the line.
    Waiting,
    /// Inside.
    #[default]
    Active,
    /// Over; the token lives on as a proof of who it was.
    Over,
}

/// What the gateway asked of the visitor before it passed the request on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// A token, in any state of the visit.
    Token,
    /// To be inside.
    Active,
    /// Not a visitor: someone with an operator key.
    Operator,
}

/// What an operator's key may be allowed to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    /// Look at how things stand, without seeing who bought what.
    Read,
    /// Put concerts and dates on sale, change and cancel them.
    Sale,
    /// See what customers have, and give them their money back.
    Desk,
    /// Move money that nobody has paid or asked back.
    Money,
}

impl Right {
    /// The word for it in a pass.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Sale => "sale",
            Self::Desk => "desk",
            Self::Money => "money",
        }
    }
}

impl Pass {
    /// Whether an operator's key has this right. Words that are not known here are rights of the gateway.
    pub fn has(&self, right: Right) -> bool {
        let named = |rights: &Vec<String>| rights.iter().any(|word| word == right.as_str());
        self.rights.as_ref().is_none_or(named)
    }
}

/// Why a pass is not believed. The client is not told which.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PassInvalid {
    /// Malformed, another algorithm, no key in force has signed it, or a claim is missing.
    #[error("the pass is not one of the gateway's")]
    Forged,
    /// Its time is over.
    #[error("the pass has ended")]
    Ended,
    /// It ends later than any pass of the gateway.
    #[error("the pass lives too long")]
    TooLong,
}

/// The secrets that are in force.
#[derive(Clone)]
pub struct PassKeys(Vec<DecodingKey>);

impl PassKeys {
    /// What `pass` proves at `now`.
    pub fn verify(&self, pass: &str, now: Timestamp) -> Result<Pass, PassInvalid> {
        let mut validation = Validation::new(Algorithm::HS256);
        // The library would read the machine's clock; the end is checked below, against `now`.
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        let mut keys = self.0.iter();
        let pass = keys
            .find_map(|key| decode::<Pass>(pass, key, &validation).ok())
            .ok_or(PassInvalid::Forged)?
            .claims;
        match pass.exp.saturating_sub(now.timestamp()) {
            ..=0 => Err(PassInvalid::Ended),
            1..=FURTHEST_END_S => Ok(pass),
            _ => Err(PassInvalid::TooLong),
        }
    }
}

impl FromStr for PassKeys {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let key = |part: &str| {
            let secret = URL_SAFE_NO_PAD.decode(part.trim().trim_end_matches('='));
            let secret = secret.map_err(|_| "each key is base64url")?;
            if secret.len() < LEAST_SECRET_BYTES {
                return Err("each key has at least 32 bytes before base64url");
            }
            Ok(DecodingKey::from_secret(&secret))
        };
        text.split(',').map(key).collect::<Result<_, _>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use chassis::time::Timestamp;
    use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
    use serde_json::{Value, json};

    use super::{Level, PassInvalid, PassKeys};

    const OURS: [u8; 32] = [7; 32];
    const OTHER: [u8; 32] = [8; 32];

    fn keys(secrets: &[[u8; 32]]) -> PassKeys {
        let parts = secrets.iter().map(|secret| URL_SAFE_NO_PAD.encode(secret));
        let text = parts.collect::<Vec<_>>().join(",");
        text.parse().expect("keys")
    }

    fn now() -> Timestamp {
        chrono::DateTime::from_timestamp(1_800_000_000, 0).expect("in range")
    }

    fn claims(exp_in_s: i64) -> Value {
        let exp = now().timestamp() + exp_in_s;
        json!({ "sub": "someone", "queue": "main", "level": "active", "exp": exp })
    }

    fn signed(claims: &Value, algorithm: Algorithm, secret: &[u8]) -> String {
        let key = EncodingKey::from_secret(secret);
        encode(&Header::new(algorithm), claims, &key).expect("signed")
    }

    #[test]
    fn a_pass_of_any_key_in_force_is_believed() {
        for secret in [OURS, OTHER] {
            let pass = signed(&claims(30), Algorithm::HS256, &secret);
            let known = keys(&[OTHER, OURS]).verify(&pass, now()).expect("believed");
            assert_eq!(
                (known.sub.as_str(), known.queue.as_str()),
                ("someone", "main")
            );
            assert_eq!(known.level, Level::Active);
        }
    }

    #[test]
    fn another_key_another_algorithm_and_no_algorithm_are_forged() {
        let unsigned = {
            let head = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#);
            let body = URL_SAFE_NO_PAD.encode(claims(30).to_string());
            format!("{head}.{body}.")
        };
        let good = signed(&claims(30), Algorithm::HS256, &OURS);
        let tampered = {
            let parts: Vec<&str> = good.split('.').collect();
            let body = URL_SAFE_NO_PAD.encode(claims(29).to_string());
            format!("{}.{body}.{}", parts[0], parts[2])
        };
        for forged in [
            signed(&claims(30), Algorithm::HS256, &OTHER),
            signed(&claims(30), Algorithm::HS384, &OURS),
            signed(&claims(30), Algorithm::HS512, &OURS),
            unsigned,
            tampered,
            good[..good.len() - 1].to_owned(),
            String::new(),
            "a.b.c".to_owned(),
        ] {
            let refused = keys(&[OURS]).verify(&forged, now());
            assert_eq!(refused.err(), Some(PassInvalid::Forged), "{forged}");
        }
    }

    #[test]
    fn a_pass_ends_at_its_exp_and_none_lives_long() {
        let at = |exp_in_s| {
            let pass = signed(&claims(exp_in_s), Algorithm::HS256, &OURS);
            keys(&[OURS]).verify(&pass, now()).err()
        };
        assert_eq!(at(1), None);
        assert_eq!(at(0), Some(PassInvalid::Ended));
        assert_eq!(at(-1), Some(PassInvalid::Ended));
        assert_eq!(at(3600), Some(PassInvalid::TooLong));
    }

    #[test]
    fn a_pass_that_lacks_a_claim_or_has_an_odd_one_is_forged() {
        for (name, value) in [
            ("sub", json!(null)),
            ("level", json!("admin")),
            ("exp", json!("tomorrow")),
            ("exp", json!(null)),
        ] {
            let mut claims = claims(30);
            claims[name] = value;
            let pass = signed(&claims, Algorithm::HS256, &OURS);
            let refused = keys(&[OURS]).verify(&pass, now());
            assert_eq!(refused.err(), Some(PassInvalid::Forged), "{name}");
        }
    }

    #[test]
    fn a_short_key_is_refused() {
        assert!("c2hvcnQ".parse::<PassKeys>().is_err());
        assert!("".parse::<PassKeys>().is_err());
    }
}
