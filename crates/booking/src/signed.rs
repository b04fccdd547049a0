//! Owns what booking sends to others: posts to an address that an operator gave, signed as webhooks are (Standard Webhooks);
//! and how such a signature is made and believed.
//!
//! It follows no redirection: what is sent goes where the operator said, or nowhere.

use std::str::FromStr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chassis::time::Timestamp;
use hmac::{Hmac, Mac as _};
use reqwest::header::CONTENT_TYPE;
use reqwest::redirect::Policy;
use reqwest::{Client, Method, RequestBuilder, Url};
use sha2::Sha256;

/// The header with the id of what is sent: the same for each try.
pub const ID: &str = "webhook-id";
/// The header that says when this try was signed, in seconds of unix time.
pub const TIMESTAMP: &str = "webhook-timestamp";
/// The header with the signatures, apart by blanks.
pub const SIGNATURE: &str = "webhook-signature";
/// What a signature begins with: symmetric, the first version.
const VERSION: &str = "v1,";
/// How old or how far ahead a signature may be.
const TOLERANCE_S: u64 = 300;

/// The secrets that sign: the first is the present one, others are on their way in or out.
#[derive(Clone)]
pub struct Secrets(Vec<Vec<u8>>);

impl FromStr for Secrets {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const SHAPE: &str = "each must be whsec_ and 24 to 64 bytes in base64";
        let secret = |text: &str| {
            let bytes = STANDARD.decode(text.trim().strip_prefix("whsec_")?).ok()?;
            (24..=64).contains(&bytes.len()).then_some(bytes)
        };
        let secrets: Option<Vec<_>> = text.split(',').map(secret).collect();
        Ok(Self(secrets.ok_or(SHAPE)?))
    }
}

impl Secrets {
    /// The signatures of all secrets, as they are sent.
    pub fn sign(&self, id: &str, unix_s: i64, body: &str) -> String {
        let signed = |secret: &Vec<u8>| {
            let code = code(secret, id, unix_s, body).finalize().into_bytes();
            format!("{VERSION}{}", STANDARD.encode(code))
        };
        self.0.iter().map(signed).collect::<Vec<_>>().join(" ")
    }

    /// Whether one of the signatures is that of one of the secrets, and was made just now.
    pub fn verify(
        &self,
        id: &str,
        timestamp: &str,
        body: &str,
        signatures: &str,
        now: Timestamp,
    ) -> bool {
        let Ok(unix_s) = timestamp.parse::<i64>() else {
            return false;
        };
        let is_recent = now.timestamp().abs_diff(unix_s) <= TOLERANCE_S;
        let holds = |signature: &str| {
            let given = signature
                .strip_prefix(VERSION)
                .map(|it| STANDARD.decode(it));
            let Some(Ok(given)) = given else {
                return false;
            };
            // Comparing takes as long for a wrong signature as for the right one.
            let is_of = |secret: &Vec<u8>| code(secret, id, unix_s, body).verify_slice(&given);
            self.0.iter().any(|secret| is_of(secret).is_ok())
        };
        is_recent && signatures.split(' ').any(holds)
    }
}

fn code(secret: &[u8], id: &str, unix_s: i64, body: &str) -> Hmac<Sha256> {
    // HMAC takes a key of any length.
    let mut code = Hmac::<Sha256>::new_from_slice(secret).expect("any key will do");
    code.update(format!("{id}.{unix_s}.{body}").as_bytes());
    code
}

/// An address of somebody else. It may hold a password, so it is never shown.
#[derive(Clone)]
pub struct HttpUrl(Url);

impl FromStr for HttpUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match Url::parse(text) {
            Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(Self(url)),
            _ => Err("it must be an http or https URL"),
        }
    }
}

/// One address, and the secrets that sign what goes there.
#[derive(Clone)]
pub struct SignedClient {
    client: Client,
    url: Url,
    secrets: Secrets,
}

impl SignedClient {
    /// One that waits for answers at most so long.
    pub fn new(url: HttpUrl, secrets: Secrets, timeout: Duration) -> Result<Self, reqwest::Error> {
        let client = Client::builder()
            .timeout(timeout)
            .redirect(Policy::none())
            .user_agent(concat!("usher-booking/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self {
            client,
            url: url.0,
            secrets,
        })
    }

    /// What signs.
    pub fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// A post to the address itself; `id` is the same for each try.
    pub fn post(&self, id: &str, body: String, now: Timestamp) -> RequestBuilder {
        self.sign(self.client.post(self.url.clone()), id, body, now)
    }

    /// A request to a path below the address.
    pub fn below(
        &self,
        (method, path): (Method, &str),
        id: &str,
        body: String,
        now: Timestamp,
    ) -> RequestBuilder {
        let mut url = self.url.clone();
        let base = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}{path}"));
        self.sign(self.client.request(method, url), id, body, now)
    }

    fn sign(
        &self,
        request: RequestBuilder,
        id: &str,
        body: String,
        now: Timestamp,
    ) -> RequestBuilder {
        let unix_s = now.timestamp();
        request
            .header(CONTENT_TYPE, "application/json")
            .header(ID, id)
            .header(TIMESTAMP, unix_s)
            .header(SIGNATURE, self.secrets.sign(id, unix_s, &body))
            .body(body)
    }
}

#[cfg(test)]
mod tests {
    use super::Secrets;

    /// The example of the Standard Webhooks specification.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const BODY: &str = r#"{"test": 2432232314}"#;
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    const UNIX_S: i64 = 1_614_265_330;

    #[test]
    fn a_signature_is_the_one_of_the_specification() {
        let secrets: Secrets = SECRET.parse().expect("a secret");
        assert_eq!(secrets.sign(ID, UNIX_S, BODY), SIGNATURE);
    }

    #[test]
    fn a_signature_holds_for_this_very_event_and_for_a_while() {
        let secrets: Secrets = SECRET.parse().expect("a secret");
        let at = |unix_s| chrono::DateTime::from_timestamp(unix_s, 0).expect("in range");
        let holds = |id, body, signatures: &str, now_s| {
            secrets.verify(id, &UNIX_S.to_string(), body, signatures, at(now_s))
        };
        assert!(holds(ID, BODY, SIGNATURE, UNIX_S + 299));
        assert!(holds(
            ID,
            BODY,
            &format!("v1,eA== v2,x {SIGNATURE}"),
            UNIX_S
        ));
        assert!(!holds(ID, BODY, SIGNATURE, UNIX_S + 301));
        assert!(!holds("msg_other", BODY, SIGNATURE, UNIX_S));
        assert!(!holds(ID, "{}", SIGNATURE, UNIX_S));
        assert!(!holds(ID, BODY, "v1,", UNIX_S));
        assert!(!secrets.verify(ID, "soon", BODY, SIGNATURE, at(UNIX_S)));
    }

    #[test]
    fn during_a_rotation_both_secrets_sign_and_either_verifies() {
        let other = "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0";
        let both: Secrets = format!("{other},{SECRET}").parse().expect("two secrets");
        let old: Secrets = SECRET.parse().expect("a secret");
        let signatures = both.sign(ID, UNIX_S, BODY);
        let now = chrono::DateTime::from_timestamp(UNIX_S, 0).expect("in range");
        assert_eq!(signatures.split(' ').count(), 2);
        assert!(old.verify(ID, &UNIX_S.to_string(), BODY, &signatures, now));
    }
}
