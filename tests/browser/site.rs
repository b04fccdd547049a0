//! A gateway with a service behind it, and browsers that come to it.

use reqwest::{Client, Method};
use serde_json::{Value, json};
use testbed::{ChromeDriver, Scratch, Stack, StackOptions};
use uuid::Uuid;

use crate::driver::Browser;

/// What only those who are inside see.
pub const GATED: &str = "/api/v1/concerts/00000000-0000-0000-0000-000000000000/schedules";
/// Found in what is behind [`GATED`], which knows no such concert.
pub const INSIDE: &str = "document.body.innerText.includes('CONCERT_NOT_FOUND')";

/// The processes.
pub struct Site {
    pub stack: Stack,
    driver: ChromeDriver,
    client: Client,
    _scratch: Scratch,
}

impl Site {
    /// With the default rules.
    pub async fn open() -> Self {
        Self::with(&[]).await
    }

    /// With more variables of the gateway.
    pub async fn with(variables: &[(&str, &str)]) -> Self {
        let scratch = Scratch::new().unwrap();
        let mut options = StackOptions::new(scratch.path());
        let variable = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        options.gateway_environment = variables.iter().map(variable).collect();
        Self {
            stack: Stack::start(options).unwrap(),
            driver: ChromeDriver::start(&scratch.path().join("driver")).unwrap(),
            client: Client::new(),
            _scratch: scratch,
        }
    }

    /// A browser that nobody used before.
    pub async fn browser(&self) -> Browser {
        Browser::open(&self.driver.url()).await
    }

    /// The address of a path.
    pub fn at(&self, path: &str) -> String {
        format!("{}{path}", self.stack.gateway_urls()[0])
    }

    /// A browser that came to the gated page.
    pub async fn visitor(&self) -> Browser {
        let browser = self.browser().await;
        browser.go(&self.at(GATED)).await;
        browser
    }

    /// Sets the rules of the queue.
    pub async fn rule(&self, policy: Value) {
        let request = self
            .client
            .request(Method::PUT, self.at("/api/v1/queues/main"));
        let request = request.bearer_auth(self.stack.operator_key()).json(&policy);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
    }

    /// Somebody without a browser joins; their token.
    pub async fn join(&self) -> String {
        let request = self.client.post(self.at("/api/v1/queues/main/tokens"));
        let request = request.json(&json!({ "userId": Uuid::new_v4() }));
        let place: Value = request.send().await.unwrap().json().await.unwrap();
        place["token"].as_str().unwrap().to_owned()
    }

    /// They leave.
    pub async fn leave(&self, token: &str) {
        let request = self.client.delete(self.at("/api/v1/queues/main/tokens/me"));
        let answer = request.bearer_auth(token).send().await.unwrap();
        assert_eq!(answer.status(), 204);
    }
}
