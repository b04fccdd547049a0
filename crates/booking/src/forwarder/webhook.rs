//! The webhook: how an event is posted, and what the receiver's answer means (Standard Webhooks).

use std::time::Duration;

use actix_web::http::header::HttpDate;
use chassis::time::Timestamp;
use chassis::trace::{self, Kind, Span, TraceContext};
use reqwest::header::RETRY_AFTER;
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};

use crate::kafka::Message;
use crate::signed::{HttpUrl, Secrets, SignedClient};

/// The step of the trace that published the event.
const TRACE: &str = "ce_traceparent";
/// The longest pause that a receiver may ask for.
const RETRY_AFTER_MOST: Duration = Duration::from_secs(300);

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
