//! Owns what is asked of those who join: who they are, and how often and how easily they may.

use std::fmt;
use std::str::FromStr;

use chassis::env::Env;

use crate::identity::Rules;

/// With what a crowd adds it is 32, which is hours of a browser.
const MOST_BITS: u32 = 24;

/// What is asked of those who join.
#[derive(Clone)]
pub struct Newcomer {
    /// `GATEWAY_IDENTITY` and its companions: `None` where whoever names a user id is that user.
    pub identity: Option<Rules>,
    /// `GATEWAY_ISSUE_PER_MINUTE`: how often one source may ask for a place; 0 is no limit.
    pub per_minute: u32,
    /// `GATEWAY_POW_BITS`: what a place costs; 0 is nothing.
    pub work_bits: u32,
}

impl Newcomer {
    pub(super) fn read(env: &mut Env<'_>) -> Self {
        let kind = env.or("GATEWAY_IDENTITY", "open", IDENTITY_HELP);
        let rules = Rules {
            secret: env.optional_secret("GATEWAY_IDENTITY_SECRET", SECRET_HELP),
            jwks: env.optional("GATEWAY_JWKS", JWKS_HELP),
            issuer: env.optional("GATEWAY_IDENTITY_ISSUER", "What `iss` must be."),
            audience: env.optional("GATEWAY_IDENTITY_AUDIENCE", "What `aud` must be or hold."),
        };
        let identity = match kind {
            Kind::Open => None,
            Kind::Jwt => {
                env.check(
                    "GATEWAY_IDENTITY",
                    rules.secret.is_some() || rules.jwks.is_some(),
                    "is jwt, which needs GATEWAY_JWKS or GATEWAY_IDENTITY_SECRET",
                );
                Some(rules)
            }
        };
        let per_minute = env.or("GATEWAY_ISSUE_PER_MINUTE", "0", PER_MINUTE_HELP);
        let work_bits = env.or("GATEWAY_POW_BITS", "0", BITS_HELP);
        env.check(
            "GATEWAY_POW_BITS",
            work_bits <= MOST_BITS,
            "must be at most 24",
        );
        Self {
            identity,
            per_minute,
            work_bits,
        }
    }
}

enum Kind {
    Open,
    Jwt,
}

/// Not a kind of identity.
struct KindInvalid;

impl fmt::Display for KindInvalid {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("must be open or jwt")
    }
}

impl FromStr for Kind {
    type Err = KindInvalid;

    fn from_str(text: &str) -> Result<Self, KindInvalid> {
        match text {
            "open" => Ok(Self::Open),
            "jwt" => Ok(Self::Jwt),
            _ => Err(KindInvalid),
        }
    }
}

const IDENTITY_HELP: &str = "Who joins. open: whoever names a user id is that user, for demonstrations.\n\
     jwt: whoever shows a token of an identity provider, whose `sub` is the user.";
const SECRET_HELP: &str =
    "Secret of tokens with HS256 of the identity provider, base64url of at least 32 bytes.";
const JWKS_HELP: &str = "Public keys of the identity provider for RS256 and ES256: a file, or https://…\n\
     (http:// inside your own network). Read again when it is five minutes old.";
const PER_MINUTE_HELP: &str = "Places that one source may ask for in a minute at one gateway; 0 is no limit.\n\
     A source is an IPv4 address or an IPv6 network of 64 bits.";
const BITS_HELP: &str = "Zero bits of the proof of work that a place costs, 0 to 24; 0 is nothing.\n\
     18 are 262,144 hashes on average, each more doubles them. A crowd adds up to 8.";
