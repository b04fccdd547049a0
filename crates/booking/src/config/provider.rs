//! What `booking serve` reads of the environment about a payment provider, and what `booking sandbox-pay` reads.

use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use chassis::env::{Configuration, Env};

use super::within;
use crate::signed::{HttpUrl, Secrets};

/// Where the money of charges comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Charges {
    /// A charge was paid already, elsewhere.
    Direct,
    /// A provider collects it.
    Provider,
}

impl FromStr for Charges {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "direct" => Ok(Self::Direct),
            "provider" => Ok(Self::Provider),
            _ => Err("it must be direct or provider"),
        }
    }
}

/// The provider that collects money.
#[derive(Clone)]
pub struct ProviderConfig {
    /// `BOOKING_PROVIDER_URL`: where it takes orders.
    pub url: HttpUrl,
    /// `BOOKING_PROVIDER_SECRET`: what both sides sign with.
    pub secrets: Secrets,
}

/// The provider, where `BOOKING_CHARGES` says that there is one.
pub(super) fn provider(env: &mut Env) -> Option<ProviderConfig> {
    let charges: Charges = env.or("BOOKING_CHARGES", "direct", CHARGES);
    let url: Option<HttpUrl> = env.optional("BOOKING_PROVIDER_URL", PROVIDER_URL);
    let secrets: Option<Secrets> = env.optional("BOOKING_PROVIDER_SECRET", PROVIDER_SECRET);
    if charges == Charges::Direct {
        return None;
    }
    let must = "must be set where BOOKING_CHARGES is provider";
    env.check("BOOKING_PROVIDER_URL", url.is_some(), must);
    env.check("BOOKING_PROVIDER_SECRET", secrets.is_some(), must);
    Some(ProviderConfig {
        url: url?,
        secrets: secrets?,
    })
}

/// Everything that may be chosen for the provider of a sandbox.
pub struct Sandbox {
    /// `BOOKING_SANDBOX_LISTEN`: where orders are taken; 127.0.0.1:8091.
    pub listen: SocketAddr,
    /// `BOOKING_SANDBOX_EVENTS_URL`: where booking takes events.
    pub events_url: HttpUrl,
    /// `BOOKING_PROVIDER_SECRET`: what both sides sign with.
    pub secrets: Secrets,
    /// `BOOKING_SANDBOX_DELAY_MS`: how long the customer takes to agree, in milliseconds; 0.
    pub delay: Duration,
}

impl Configuration for Sandbox {
    fn read(env: &mut Env<'_>) -> Option<Self> {
        let listen = env.or("BOOKING_SANDBOX_LISTEN", "127.0.0.1:8091", SANDBOX_LISTEN);
        let events_url = env.secret("BOOKING_SANDBOX_EVENTS_URL", EVENTS_URL);
        let secrets = env.secret("BOOKING_PROVIDER_SECRET", PROVIDER_SECRET);
        let delay_ms = within(env, "BOOKING_SANDBOX_DELAY_MS", "0", DELAY_MS, 0, 600_000);
        Some(Self {
            listen,
            events_url: events_url?,
            secrets: secrets?,
            delay: Duration::from_millis(delay_ms),
        })
    }
}

const CHARGES: &str = "Where the money of charges comes from: direct charges at once, for what was paid elsewhere;\n\
    provider waits until the payment provider confirms.";
const PROVIDER_URL: &str = "Where the payment provider takes orders, http or https.";
const PROVIDER_SECRET: &str = "What booking and the payment provider sign with: whsec_ and 24 to 64 bytes in base64.\n\
    Two, apart by a comma, are both in force during a rotation.";
const SANDBOX_LISTEN: &str = "Address and port at which the sandbox takes orders.";
const EVENTS_URL: &str =
    "Where booking takes events, such as http://127.0.0.1:8080/api/v1/provider/events.";
const DELAY_MS: &str =
    "How long the customers of the sandbox take to agree, in milliseconds, 0 to 600000.";

#[cfg(test)]
mod tests {
    use chassis::env::{Configuration as _, Env};

    use super::{Sandbox, provider};

    const SECRET: &str = "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0";

    fn read(variables: &[(&str, &str)]) -> Result<bool, String> {
        let lookup = |asked: &str| {
            let found = variables.iter().find(|(name, _)| *name == asked);
            found.map(|(_, value)| (*value).to_owned())
        };
        let mut env = Env::new(&lookup);
        let found = provider(&mut env).is_some();
        env.finish().map_err(|invalid| invalid.to_string())?;
        Ok(found)
    }

    #[test]
    fn a_provider_is_there_when_it_is_wanted_and_then_whole() {
        let (url, secret) = (
            ("BOOKING_PROVIDER_URL", "https://pay.example/v1"),
            ("BOOKING_PROVIDER_SECRET", SECRET),
        );
        assert_eq!(read(&[]), Ok(false));
        assert_eq!(read(&[url, secret]), Ok(false), "direct is the default");
        let wanted = ("BOOKING_CHARGES", "provider");
        assert_eq!(read(&[wanted, url, secret]), Ok(true));
        for (lacks, told) in [
            (vec![wanted, url], "BOOKING_PROVIDER_SECRET"),
            (vec![wanted, secret], "BOOKING_PROVIDER_URL"),
            (vec![("BOOKING_CHARGES", "free")], "BOOKING_CHARGES"),
        ] {
            let refused = read(&lacks).expect_err(told);
            assert!(refused.contains(told), "{refused}");
        }
    }

    #[test]
    fn the_sandbox_has_a_page() {
        assert!(Sandbox::page().contains("BOOKING_SANDBOX_LISTEN  [default: 127.0.0.1:8091]"));
    }
}
