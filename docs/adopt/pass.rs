use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};

/// What the gateway says of the visitor who asks.
#[derive(serde::Deserialize)]
pub struct Claims {
    pub sub: String,
    pub queue: String,
    pub exp: u64,
}

/// The claims of a pass. `key` is GATEWAY_PASS_KEY.
pub fn check_pass(pass: &str, key: &str) -> Option<Claims> {
    let secret = BASE64_URL_SAFE_NO_PAD
        .decode(key.trim_end_matches('='))
        .ok()?;
    let mut rules = Validation::new(Algorithm::HS256);
    rules.leeway = 0;
    let said = decode(pass, &DecodingKey::from_secret(&secret), &rules).ok()?;
    Some(said.claims)
}
