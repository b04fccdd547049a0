//! The webhook: how an event is signed, posted, and what the receiver's answer means (Standard Webhooks).

use std::str::FromStr;
use std::time::Duration;

use actix_web::http::header::HttpDate;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chassis::time::Timestamp;
use chassis::trace::{self, Kind, Span, TraceContext};
use hmac::{Hmac, Mac as _};
use reqwest::header::RETRY_AFTER;
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::kafka::Message;
use crate::signed::{HttpUrl, SignedClient};

/// The id of the event: the same for each try.
pub const ID: &str = "webhook-id";
/// When this try was signed, in seconds of unix time.
pub const TIMESTAMP: &str = "webhook-timestamp";
/// The signatures, apart by blanks.
pub const SIGNATURE: &str = "webhook-signature";
/// The step of the trace that published the event.
const TRACE: &str = "ce_traceparent";
/// What a signature begins with: symmetric, the first version.
const VERSION: &str = "v1,";
/// How old or how far ahead a signature may be.
const TOLERANCE_S: u64 = 300;
/// The longest pause that a receiver may ask for.
const RETRY_AFTER_MOST: Duration = Duration::from_secs(300);

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

/// What the receiver made of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// It has it.
    Taken,
    /// It wants no events any more: 410.
    Gone,
    /// It looked at it and said no.
    Refused(String),
    /// It is not there, or not able to take anything now.
    Away {
        /// Why.
        reason: String,
        /// How long it asks to be left alone.
        retry_after: Option<Duration>,
    },
}

/// Posts events to one receiver.
pub struct Webhook(SignedClient);

impl Webhook {
    /// The receiver at this address.
    pub fn new(url: HttpUrl, secrets: Secrets, timeout: Duration) -> Result<Self, reqwest::Error> {
        SignedClient::new(url, secrets, timeout).map(Self)
    }

    /// Signs and posts an event.
    pub async fn post(&self, id: &str, message: &Message, now: Timestamp) -> Reply {
        let mut span = Span::after(message.header(TRACE), Kind::Consumer, || {
            format!("deliver {}", message.header("ce_type").unwrap_or_default())
        });
        span.say("messaging.system", || "kafka");
        span.say("messaging.message.id", || id.to_owned());
        let request = self.0.post(id, body(message), now);
        let request = match span.context().or_else(|| step(message)) {
            Some(step) => request.header(trace::HEADER.as_str(), step.to_string()),
            None => request,
        };
        match request.send().await {
            Ok(answer) => {
                let status = answer.status();
                span.say("http.response.status_code", || i64::from(status.as_u16()));
                if !status.is_success() {
                    span.failed(&status);
                }
                meaning(&answer, now)
            }
            // The address is left out: it may hold a password.
            Err(cause) => {
                let reason = words(&cause.without_url());
                span.failed(&reason);
                Reply::Away {
                    reason,
                    retry_after: None,
                }
            }
        }
    }
}

/// The next step of the trace that the event belongs to.
fn step(message: &Message) -> Option<TraceContext> {
    let context = message.header(TRACE)?.parse::<TraceContext>();
    context.ok().map(TraceContext::child)
}

/// What is posted: the event with its type, time and subject.
fn body(message: &Message) -> String {
    let payload = String::from_utf8_lossy(&message.payload);
    let data = serde_json::from_str::<Value>(&payload).unwrap_or(Value::Null);
    let header = |name| message.header(name);
    json!({
        "type": header("ce_type"),
        "timestamp": header("ce_time"),
        "subject": header("ce_subject"),
        "sequence": header("ce_sequence"),
        "data": data,
    })
    .to_string()
}

fn meaning(answer: &Response, now: Timestamp) -> Reply {
    let status = answer.status();
    let reason = format!("the receiver answered {}", status.as_u16());
    match status {
        status if status.is_success() => Reply::Taken,
        StatusCode::GONE => Reply::Gone,
        // Said by whatever stands before the receiver, or by one that has too much to do.
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => Reply::Away {
            reason,
            retry_after: retry_after(answer, now),
        },
        _ => Reply::Refused(reason),
    }
}

/// Seconds, or an instant (RFC 9110, section 10.2.3).
fn retry_after(answer: &Response, now: Timestamp) -> Option<Duration> {
    let text = answer.headers().get(RETRY_AFTER)?.to_str().ok()?.trim();
    let pause = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let until: HttpDate = text.parse().ok()?;
            let until = std::time::SystemTime::from(until);
            until.duration_since(now.into()).unwrap_or_default()
        }
    };
    Some(pause.min(RETRY_AFTER_MOST))
}

/// An error with its causes: the outermost alone says only that something failed.
fn words(error: &reqwest::Error) -> String {
    let mut words = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(deeper) = cause {
        words = format!("{words}: {deeper}");
        cause = deeper.source();
    }
    words
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
