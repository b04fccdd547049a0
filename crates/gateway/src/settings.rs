//! Owns the comparison of this gateway's settings with those of the others at the same Redis: keys,
//! queue files, identity, and what a place costs must be the same everywhere.
//!
//! What is compared are seals made with the keys themselves, so nobody who reads Redis learns a
//! setting, or can try out a secret.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use sha2::{Digest as _, Sha256};

use crate::config::{Config, Identification};

/// Characters of a seal that are compared.
const SEAL_CHARS: usize = 16;

/// The settings of this gateway, as seals.
pub struct Settings {
    /// Names this process among the gateways.
    gateway: String,
    /// `token-keys=… pass-key=… …`
    seals: String,
    /// What differed when it was last told.
    told: Mutex<BTreeSet<String>>,
}

impl Settings {
    /// Those of a configuration.
    pub fn of(config: &Config) -> Self {
        let (tokens, pass) = (&config.trust.token_keys, &config.trust.pass_key);
        let sealed = |text: String| {
            let digest = Sha256::digest(text);
            let seal = tokens.seal(&format!("settings:{digest:x?}"));
            seal.chars().take(SEAL_CHARS).collect::<String>()
        };
        let queues = serde_json::to_string(&config.queues.0).unwrap_or_default();
        let parts = [
            ("GATEWAY_TOKEN_KEYS", tokens.seal_of_all("settings:keys")),
            ("GATEWAY_PASS_KEY", sealed(pass.seal("settings:pass"))),
            (
                "GATEWAY_OPERATOR_KEYS",
                sealed(config.trust.operators.described()),
            ),
            ("GATEWAY_QUEUES", sealed(queues)),
            ("GATEWAY_IDENTITY", sealed(identity(config))),
        ];
        let seals = parts.map(|(name, seal)| format!("{name}={seal}"));
        let id: [u8; 8] = rand::random();
        Self {
            gateway: u64::from_be_bytes(id).to_string(),
            seals: seals.join(" "),
            told: Mutex::default(),
        }
    }

    /// The name of this gateway among the others.
    pub fn gateway(&self) -> &str {
        &self.gateway
    }

    /// What this gateway tells the others.
    pub fn seals(&self) -> &str {
        &self.seals
    }

    /// Step: compares with the `others`, tells in the log what began or ceased to differ, and returns
    /// the number of gateways that differ.
    pub fn compare(&self, others: &[String]) -> usize {
        let own: BTreeSet<_> = self.seals.split(' ').collect();
        let (mut differing, mut variables) = (0, BTreeSet::new());
        for other in others {
            let theirs: BTreeSet<_> = other.split(' ').collect();
            let odd: Vec<_> = own.difference(&theirs).collect();
            differing += usize::from(!odd.is_empty());
            let name = |seal: &&&str| seal.split('=').next().unwrap_or_default().to_owned();
            variables.extend(odd.iter().map(name));
        }
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if *told != variables && !variables.is_empty() {
            let names: Vec<_> = variables.iter().map(String::as_str).collect();
            log::warn!(
                "{differing} other gateways at this Redis have another {}: all must have the same",
                names.join(", ")
            );
        }
        *told = variables;
        differing
    }
}

/// Who is who, and what a place costs.
fn identity(config: &Config) -> String {
    let checks = &config.join_checks;
    let identity = match &checks.identity {
        Identification::Open => "open".to_owned(),
        Identification::Anonymous => "anonymous".to_owned(),
        Identification::Jwt(rules) => format!("jwt {}", rules.described()),
    };
    let challenge = checks
        .challenge
        .as_ref()
        .map(|it| (it.verify_url.as_str(), &it.site_key));
    format!("{identity} {} {challenge:?}", checks.proof_of_work_bits)
}

#[cfg(test)]
mod tests {
    use chassis::env::Configuration as _;

    use super::Settings;
    use crate::config::Config;

    const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY";

    fn settings(changed: &str, value: &str) -> Settings {
        let lookup = |asked: &str| match asked {
            _ if asked == changed => Some(value.to_owned()),
            "GATEWAY_TOKEN_KEYS" => Some(format!("k1:{KEY}")),
            "GATEWAY_PASS_KEY" => Some(KEY.to_owned()),
            "GATEWAY_IDENTITY" => Some("open".to_owned()),
            _ => None,
        };
        let config = Config::found(&lookup).ok();
        Settings::of(&config.expect("a configuration"))
    }

    #[test]
    fn gateways_with_the_same_settings_agree_and_any_other_setting_is_seen() {
        const OTHER: &str = "ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA";
        let own = settings("GATEWAY_LISTEN", "127.0.0.1:1");
        let twin = settings("GATEWAY_LISTEN", "127.0.0.1:2");
        assert_eq!(own.compare(&[twin.seals().to_owned()]), 0);
        assert_ne!(own.gateway(), twin.gateway());
        for (name, value) in [
            ("GATEWAY_TOKEN_KEYS", format!("k1:{OTHER}")),
            ("GATEWAY_TOKEN_KEYS", format!("k2:{OTHER},k1:{KEY}")),
            ("GATEWAY_PASS_KEY", OTHER.to_owned()),
            (
                "GATEWAY_OPERATOR_KEYS",
                "ann:0123456789abcdef:read".to_owned(),
            ),
            ("GATEWAY_IDENTITY", "anonymous".to_owned()),
            ("GATEWAY_POW_BITS", "3".to_owned()),
        ] {
            let other = settings(name, &value);
            let others = [twin.seals().to_owned(), other.seals().to_owned()];
            assert_eq!(own.compare(&others), 1, "{name}={value}");
            assert!(!other.seals().contains(KEY) && !other.seals().contains(OTHER));
        }
    }
}
