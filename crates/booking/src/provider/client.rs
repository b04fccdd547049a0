//! The way to the provider: three requests, signed as webhooks are, each fine to repeat.

use std::time::Duration;

use chassis::time::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};

use super::{Instruction, Kind, Order};
use crate::ledger::CURRENCY;
use crate::signed::{HttpUrl, Secrets, SignedClient};

/// A provider that takes longer is asked again later.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// The provider, and the secret that booking and it sign with.
#[derive(Clone)]
pub struct Provider(SignedClient);

impl Provider {
    /// The provider at this address.
    pub fn new(url: HttpUrl, secrets: Secrets) -> Result<Self, reqwest::Error> {
        SignedClient::new(url, secrets, ANSWER_WITHIN).map(Self)
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
        let secrets = self.0.secrets();
        secrets.verify(id, timestamp, body, signatures, now)
    }

    /// Tells the provider what to do about an order; repeating it is fine. The reason when it did not take it.
    pub(super) async fn tell(
        &self,
        order: &Order,
        instruction: Instruction,
        now: Timestamp,
    ) -> Result<(), String> {
        let (method, path, body) = request(order, instruction);
        let id = format!("{}.{}", order.id, instruction.as_str());
        let request = self.0.below((method, &path), &id, body.to_string(), now);
        match request.send().await {
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
