//! Bearer tokens for the brokers, from an authorization server by the client credentials grant (RFC 6749, section 4.4).
//!
//! librdkafka asks for a token by a callback that must give it, so the request runs on a thread of its own while the
//! caller waits for at most [`WITHIN`]. It asks again when four fifths of a token's life are over.

use std::error::Error;
use std::thread;
use std::time::Duration;

use rdkafka::client::OAuthToken;
use reqwest::{Client, Url};
use serde::Deserialize;
use tokio::runtime::Builder;

/// How long the authorization server may take.
const WITHIN: Duration = Duration::from_secs(5);

/// Where tokens come from.
pub struct TokenSource {
    /// The token endpoint, http or https.
    pub url: Url,
    /// Who this service is there.
    pub client_id: String,
    /// What proves it.
    pub client_secret: String,
    /// What the token is to be good for.
    pub scope: Option<String>,
}

/// What the authorization server answers (RFC 6749, section 5.1).
#[derive(Deserialize)]
struct Granted {
    access_token: String,
    expires_in: Option<u32>,
}

/// For servers that do not say how long a token lives, in seconds.
const LIFE_UNSAID_S: u32 = 300;

impl TokenSource {
    /// A new token.
    ///
    /// # Errors
    /// When the server does not grant one in time; neither the secret nor the token is in the words.
    pub fn token(&self, now_ms: i64) -> Result<OAuthToken, Box<dyn Error>> {
        let granted = thread::scope(|scope| {
            let asking = scope.spawn(|| {
                let runtime = Builder::new_current_thread().enable_all().build();
                let runtime = runtime.map_err(|cause| cause.to_string())?;
                runtime.block_on(self.ask())
            });
            let ended = asking.join();
            ended.unwrap_or_else(|_| Err("the request ended badly".to_owned()))
        })?;
        let life_s = granted.expires_in.unwrap_or(LIFE_UNSAID_S);
        Ok(OAuthToken {
            token: granted.access_token,
            principal_name: self.client_id.clone(),
            lifetime_ms: now_ms + i64::from(life_s) * 1_000,
        })
    }

    async fn ask(&self) -> Result<Granted, String> {
        let client = Client::builder().timeout(WITHIN).build();
        let client = client.map_err(|cause| cause.to_string())?;
        let mut form = vec![("grant_type", "client_credentials")];
        form.extend(self.scope.iter().map(|scope| ("scope", scope.as_str())));
        let request = client
            .post(self.url.clone())
            .basic_auth(&self.client_id, Some(&self.client_secret))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(encoded(&form));
        let answer = request.send().await;
        let answer = answer.map_err(|cause| cause.without_url().to_string())?;
        let status = answer.status();
        if !status.is_success() {
            return Err(format!("the token server answered {}", status.as_u16()));
        }
        let body = answer.bytes().await;
        let body = body.map_err(|cause| cause.without_url().to_string())?;
        serde_json::from_slice(&body).map_err(|_| "the token server gave no token".to_owned())
    }
}

/// As a form is sent.
fn encoded(form: &[(&str, &str)]) -> String {
    // A URL's own query has the same form.
    let mut url = Url::parse("http://form/").expect("a URL");
    url.query_pairs_mut().extend_pairs(form);
    url.query().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::thread;

    use super::TokenSource;

    /// Answers one request, and gives it back.
    fn server(answer: &'static str) -> (TokenSource, thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}/token", listener.local_addr().expect("bound"));
        let source = TokenSource {
            url: url.parse().expect("a URL"),
            client_id: "booking".into(),
            client_secret: "hunter2".into(),
            scope: Some("kafka events".into()),
        };
        let served = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let mut request = Vec::new();
            let mut chunk = [0; 4096];
            while !String::from_utf8_lossy(&request).contains("scope=") {
                let read = stream.read(&mut chunk).expect("a request");
                request.extend_from_slice(&chunk[..read]);
            }
            stream.write_all(answer.as_bytes()).expect("answered");
            String::from_utf8(request).expect("text")
        });
        (source, served)
    }

    #[test]
    fn a_token_is_asked_for_by_the_client_credentials_grant() {
        let (source, served) = server(
            "HTTP/1.1 200 OK\r\ncontent-length: 41\r\n\r\n{\"access_token\":\"secret\",\"expires_in\":60}",
        );
        let token = source.token(1_000).expect("granted");
        assert_eq!(token.token, "secret");
        assert_eq!(
            (token.principal_name.as_str(), token.lifetime_ms),
            ("booking", 61_000)
        );
        let request = served.join().expect("served").to_lowercase();
        assert!(request.contains("grant_type=client_credentials&scope=kafka+events"));
        assert!(request.contains("authorization: basic "), "{request}");
    }

    #[test]
    fn a_refusal_is_told_without_any_secret() {
        let (source, served) = server("HTTP/1.1 401 No\r\ncontent-length: 0\r\n\r\n");
        let told = source.token(0).err().expect("refused").to_string();
        assert_eq!(told, "the token server answered 401");
        served.join().expect("served");
    }
}
