//! Owns what booking sends to others: posts to an address that an operator gave, signed as webhooks are.
//!
//! It follows no redirection: what is sent goes where the operator said, or nowhere.

use std::str::FromStr;
use std::time::Duration;

use chassis::time::Timestamp;
use reqwest::header::CONTENT_TYPE;
use reqwest::redirect::Policy;
use reqwest::{Client, Method, RequestBuilder, Url};

use crate::forwarder::{ID, SIGNATURE, Secrets, TIMESTAMP};

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
