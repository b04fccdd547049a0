//! Owns what is asked of those who join: who they are, and how often and how easily they may.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use chassis::env::Env;
use reqwest::Url;

use crate::challenge::{ChallengePage, ChallengeRules, ChallengeSecret, Unreachable};
use crate::identity::Rules;
use crate::proof_of_work::MOST_BITS;

/// What is asked of those who join.
#[derive(Clone)]
pub struct JoinChecks {
    /// `GATEWAY_IDENTITY` and its companions.
    pub identity: Identification,
    /// `GATEWAY_ISSUE_PER_MINUTE`: how often one source may ask for a place; 0 is no limit.
    pub per_minute: u32,
    /// `GATEWAY_POW_BITS`: what a place costs; 0 is nothing.
    pub proof_of_work_bits: u32,
    /// `GATEWAY_CHALLENGE_VERIFY_URL` and its companions.
    pub challenge: Option<ChallengeRules>,
}

/// How it is known who is who.
#[derive(Clone)]
#[expect(clippy::large_enum_variant, reason = "there is one, read at the start")]
pub enum Identification {
    /// The first to name a user id is that user.
    Open,
    /// The gateway makes the id.
    Anonymous,
    /// An identity provider says it.
    Jwt(Rules),
}

impl JoinChecks {
    /// `None` means that `env` noted a mistake.
    pub(super) fn read(env: &mut Env<'_>) -> Option<Self> {
        let kind = env.required("GATEWAY_IDENTITY", IDENTITY_HELP);
        let rules = Rules {
            secret: env.optional_secret("GATEWAY_IDENTITY_SECRET", SECRET_HELP),
            jwks: env.optional("GATEWAY_JWKS", JWKS_HELP),
            issuer: env.optional("GATEWAY_IDENTITY_ISSUER", "What `iss` must be."),
            audience: env.optional("GATEWAY_IDENTITY_AUDIENCE", "What `aud` must be or hold."),
        };
        let per_minute = env.or("GATEWAY_ISSUE_PER_MINUTE", "0", PER_MINUTE_HELP);
        let proof_of_work_bits = env.or("GATEWAY_POW_BITS", "0", BITS_HELP);
        env.check(
            "GATEWAY_POW_BITS",
            proof_of_work_bits <= MOST_BITS,
            "must be at most 21",
        );
        let challenge = challenge(env);
        let identity = match kind? {
            Kind::Open => Identification::Open,
            Kind::Anonymous => Identification::Anonymous,
            Kind::Jwt => {
                env.check(
                    "GATEWAY_IDENTITY",
                    rules.secret.is_some() || rules.jwks.is_some(),
                    "is jwt, which needs GATEWAY_JWKS or GATEWAY_IDENTITY_SECRET",
                );
                Identification::Jwt(rules)
            }
        };
        Some(Self {
            identity,
            per_minute,
            proof_of_work_bits,
            challenge,
        })
    }
}

fn challenge(env: &mut Env<'_>) -> Option<ChallengeRules> {
    let verify_url: Option<Url> = env.optional("GATEWAY_CHALLENGE_VERIFY_URL", VERIFY_HELP);
    let secret: Option<ChallengeSecret> = env.optional_secret(
        "GATEWAY_CHALLENGE_SECRET",
        "The secret that the verifier gave for this site.",
    );
    let site_key: Option<String> = env.optional(
        "GATEWAY_CHALLENGE_SITE_KEY",
        "The public key of this site, which pages need to show the challenge.",
    );
    let unreachable: Unreachable = env.or("GATEWAY_CHALLENGE_UNREACHABLE", "closed", AWAY_HELP);
    let timeout_ms: u64 = env.or(
        "GATEWAY_CHALLENGE_TIMEOUT_MS",
        "2000",
        "Milliseconds that the verifier may take, 1 to 10000.",
    );
    env.check(
        "GATEWAY_CHALLENGE_TIMEOUT_MS",
        (1..=10_000).contains(&timeout_ms),
        "must be from 1 to 10000",
    );
    let page = challenge_page(env);
    let verify_url = verify_url?;
    env.check(
        "GATEWAY_CHALLENGE_VERIFY_URL",
        matches!(verify_url.scheme(), "http" | "https"),
        "must begin with https:// (http:// inside your own network)",
    );
    env.check(
        "GATEWAY_CHALLENGE_VERIFY_URL",
        secret.is_some() && site_key.is_some(),
        "needs GATEWAY_CHALLENGE_SECRET and GATEWAY_CHALLENGE_SITE_KEY",
    );
    Some(ChallengeRules {
        verify_url,
        secret: secret?,
        site_key: site_key?,
        unreachable,
        timeout: Duration::from_millis(timeout_ms),
        page,
    })
}

fn challenge_page(env: &mut Env<'_>) -> Option<ChallengePage> {
    let script: Option<Url> = env.optional("GATEWAY_CHALLENGE_SCRIPT", SCRIPT_HELP);
    let origins: Option<Sources> = env.optional("GATEWAY_CHALLENGE_ORIGINS", SOURCES_HELP);
    let script = script?;
    let mut all = vec![script.origin().ascii_serialization()];
    all.extend(origins.into_iter().flat_map(|it| it.0));
    env.check(
        "GATEWAY_CHALLENGE_SCRIPT",
        matches!(script.scheme(), "http" | "https"),
        "must begin with https:// (http:// inside your own network)",
    );
    Some(ChallengePage {
        script,
        origins: all,
    })
}

/// Origins, divided by commas or spaces.
struct Sources(Vec<String>);

/// Not origins.
#[derive(Debug, thiserror::Error)]
#[error("must be origins as in https://frames.example, divided by commas")]
struct SourcesInvalid;

impl FromStr for Sources {
    type Err = SourcesInvalid;

    fn from_str(text: &str) -> Result<Self, SourcesInvalid> {
        let origin = |word: &str| {
            let url = Url::parse(word).ok().filter(|it| it.has_host())?;
            // Nothing but an origin may stand in the policy of a page.
            (url.origin().ascii_serialization() == word).then(|| word.to_owned())
        };
        let words = text.split([',', ' ']).filter(|word| !word.is_empty());
        let all = words.map(origin).collect::<Option<_>>();
        all.map(Self).ok_or(SourcesInvalid)
    }
}

enum Kind {
    Open,
    Anonymous,
    Jwt,
}

/// Not a kind of identity.
struct KindInvalid;

impl fmt::Display for KindInvalid {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("must be jwt, anonymous or open")
    }
}

impl FromStr for Kind {
    type Err = KindInvalid;

    fn from_str(text: &str) -> Result<Self, KindInvalid> {
        match text {
            "open" => Ok(Self::Open),
            "anonymous" => Ok(Self::Anonymous),
            "jwt" => Ok(Self::Jwt),
            _ => Err(KindInvalid),
        }
    }
}

const IDENTITY_HELP: &str = "Who is who: jwt, anonymous or open.\n\
     jwt: a token of an identity provider says it, by its `sub`.\n\
     anonymous: the gateway makes the user's id, and its token is the only proof.\n\
     open: the first to name a user id is that user, for demonstrations.";
const SECRET_HELP: &str =
    "Secret of tokens with HS256 of the identity provider, base64url of at least 32 bytes.";
const JWKS_HELP: &str = "Public keys of the identity provider for RS256 and ES256: a file, or https://…\n\
     (http:// inside your own network). Read again when it is five minutes old.";
const PER_MINUTE_HELP: &str = "Places that one source may ask for in a minute at one gateway; 0 is no limit.\n\
     A source is an IPv4 address or an IPv6 network of 64 bits.";
const BITS_HELP: &str = "Zero bits of the proof of work that a place costs, 0 to 21; 0 is nothing.\n\
     18 are 262,144 hashes on average, each more doubles them. A crowd of bots adds some, up to 21\n\
     in all, which a telephone does within the life of a challenge.";
const VERIFY_HELP: &str = "Where the answer to a challenge by others is verified, in the form that Turnstile,\n\
     hCaptcha and reCAPTCHA share: POST of secret, response and remoteip, JSON with success.\n\
     Without it no such challenge is asked for.";
const SCRIPT_HELP: &str = "The script with which the waiting page shows the challenge, such as\n\
     https://challenges.cloudflare.com/turnstile/v0/api.js?render=explicit. Its origin is added to the policy\n\
     of that page alone.";
const SOURCES_HELP: &str =
    "More origins that the challenge needs: of its frames, scripts, pictures and calls.";
const AWAY_HELP: &str = "What happens to those who join while the verifier does not answer in time:\n\
     closed refuses them, open lets them pass.";
