//! The way to the provider: three requests, signed as webhooks are, each fine to repeat.

use std::str::FromStr;
use std::time::Duration;

use chassis::time::Timestamp;
use reqwest::header::CONTENT_TYPE;
use reqwest::redirect::Policy;
use reqwest::{Client, Method, Url};
use serde_json::{Value, json};

use super::{Instruction, Kind, Order};
use crate::forwarder::{ID, SIGNATURE, Secrets, TIMESTAMP};
use crate::ledger::CURRENCY;

/// A provider that takes longer is asked again later.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Where the provider is. It may hold a password, so it is never shown.
#[derive(Clone)]
pub struct ProviderUrl(Url);

impl ProviderUrl {
    /// The address, for the client alone.
    pub(crate) fn url(&self) -> &Url {
        &self.0
    }
}

impl FromStr for ProviderUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match Url::parse(text) {
            Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(Self(url)),
            _ => Err("it must be an http or https URL"),
        }
    }
}

/// The provider, and the secret that booking and it sign with.
#[derive(Clone)]
pub struct Provider {
    client: Client,
    url: Url,
    secrets: Secrets,
}

impl Provider {
    /// A client that follows no redirection.
    pub fn new(url: ProviderUrl, secrets: Secrets) -> Result<Self, reqwest::Error> {
        let client = Client::builder()
            .timeout(ANSWER_WITHIN)
            .redirect(Policy::none())
            .user_agent(concat!("usher-booking/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self {
            client,
            url: url.0,
            secrets,
        })
    }

    /// Whether an event was signed by the provider just now.
    pub fn signed(
        &self,
        id: &str,
        timestamp: &str,
        body: &str,
        signatures: &str,
        now: Timestamp,
    ) -> bool {
        self.secrets.verify(id, timestamp, body, signatures, now)
    }

    /// Tells the provider what to do about an order; repeating it is fine. The reason when it did not take it.
    pub(super) async fn tell(
        &self,
        order: &Order,
        instruction: Instruction,
        now: Timestamp,
    ) -> Result<(), String> {
        let (method, path, body) = request(order, instruction);
        let (body, unix_s) = (body.to_string(), now.timestamp());
        let id = format!("{}.{}", order.id, instruction.as_str());
        let mut url = self.url.clone();
        let base = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}{path}"));
        let answer = self
            .client
            .request(method, url)
            .header(CONTENT_TYPE, "application/json")
            .header(ID, &id)
            .header(TIMESTAMP, unix_s)
            .header(SIGNATURE, self.secrets.sign(&id, unix_s, &body))
            .body(body)
            .send()
            .await;
        match answer {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => Err(format!(
                "the provider answered {}",
                answer.status().as_u16()
            )),
            // The address is left out: it may hold a password.
            Err(cause) => Err(cause.without_url().to_string()),
        }
    }
}

fn request(order: &Order, instruction: Instruction) -> (Method, String, Value) {
    let path = format!("/orders/{}", order.id);
    match instruction {
        Instruction::Open => {
            let capture = match order.kind {
                Kind::Charge => "automatic",
                Kind::Payment => "manual",
            };
            let body = json!({
                "amount": order.amount, "currency": CURRENCY, "capture": capture, "customer": order.user_id,
            });
            (Method::PUT, path, body)
        }
        Instruction::Capture => (Method::POST, format!("{path}/capture"), json!({})),
        Instruction::Void => (Method::POST, format!("{path}/void"), json!({})),
    }
}
