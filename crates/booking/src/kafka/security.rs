//! How this service proves who it is to the brokers, and how it knows them: TLS and SASL as settings of librdkafka.
//!
//! What is set here wins over `BOOKING_KAFKA_OPTIONS`. Nothing of it is ever shown.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use super::token::TokenSource;

/// How the brokers are reached. Neither is the default: plain, as in a closed network.
#[derive(Clone, Default)]
pub struct Security {
    /// Whether the connection is encrypted and the broker's name is checked.
    pub tls: Option<Tls>,
    /// Who this service is.
    pub sasl: Option<Sasl>,
}

/// An encrypted connection to a broker whose name its certificate proves.
#[derive(Clone, Default)]
pub struct Tls {
    /// Who vouches for the brokers, a PEM file; the system's own store when not said.
    pub ca: Option<PathBuf>,
    /// The certificate of this service with its chain, and its key: PEM files.
    pub client: Option<(PathBuf, PathBuf)>,
    /// What the key is encrypted with.
    pub key_password: Option<String>,
}

/// Who this service is to the brokers.
#[derive(Clone)]
pub enum Sasl {
    /// A user with a password.
    Password {
        /// How the password is proved.
        mechanism: Mechanism,
        /// The user.
        user: String,
        /// The password.
        password: String,
    },
    /// A bearer token of an authorization server.
    Token(Arc<TokenSource>),
}

/// How a client proves who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// The password itself, so only over TLS.
    Plain,
    /// A proof of the password, by SHA-256.
    ScramSha256,
    /// A proof of the password, by SHA-512.
    ScramSha512,
    /// A bearer token.
    OauthBearer,
}

impl Mechanism {
    /// Its name in the protocol.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
            Self::OauthBearer => "OAUTHBEARER",
        }
    }
}

impl FromStr for Mechanism {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let all = [
            Self::Plain,
            Self::ScramSha256,
            Self::ScramSha512,
            Self::OauthBearer,
        ];
        all.into_iter()
            .find(|one| one.as_str().eq_ignore_ascii_case(text))
            .ok_or("it must be plain, scram-sha-256, scram-sha-512 or oauthbearer")
    }
}

impl Security {
    /// As settings of librdkafka; none when neither is set, so that the operator's own options stand.
    pub(super) fn settings(&self) -> Vec<(&'static str, String)> {
        let protocol = match (&self.tls, &self.sasl) {
            (None, None) => return Vec::new(),
            (Some(_), None) => "SSL",
            (None, Some(_)) => "SASL_PLAINTEXT",
            (Some(_), Some(_)) => "SASL_SSL",
        };
        let mut settings = vec![("security.protocol", protocol.to_owned())];
        if let Some(tls) = &self.tls {
            settings.extend(tls.settings());
        }
        match &self.sasl {
            None => {}
            Some(Sasl::Password {
                mechanism,
                user,
                password,
            }) => settings.extend([
                ("sasl.mechanism", mechanism.as_str().to_owned()),
                ("sasl.username", user.clone()),
                ("sasl.password", password.clone()),
            ]),
            Some(Sasl::Token(_)) => {
                let name = Mechanism::OauthBearer.as_str().to_owned();
                settings.push(("sasl.mechanism", name));
            }
        }
        settings
    }

    /// Where tokens come from, when brokers want them.
    pub(super) fn tokens(&self) -> Option<Arc<TokenSource>> {
        match &self.sasl {
            Some(Sasl::Token(source)) => Some(Arc::clone(source)),
            _ => None,
        }
    }
}

impl Tls {
    fn settings(&self) -> Vec<(&'static str, String)> {
        let shown = |path: &PathBuf| path.to_string_lossy().into_owned();
        let mut settings = vec![
            ("enable.ssl.certificate.verification", "true".to_owned()),
            ("ssl.endpoint.identification.algorithm", "https".to_owned()),
        ];
        settings.extend(self.ca.iter().map(|ca| ("ssl.ca.location", shown(ca))));
        if let Some((certificate, key)) = &self.client {
            settings.push(("ssl.certificate.location", shown(certificate)));
            settings.push(("ssl.key.location", shown(key)));
        }
        let password = self.key_password.iter().cloned();
        settings.extend(password.map(|it| ("ssl.key.password", it)));
        settings
    }
}

#[cfg(test)]
mod tests {
    use super::{Mechanism, Sasl, Security, Tls};

    fn setting(security: &Security, name: &str) -> Option<String> {
        let all = security.settings();
        all.into_iter()
            .find(|(other, _)| *other == name)
            .map(|(_, value)| value)
    }

    #[test]
    fn the_protocol_follows_from_what_is_set() {
        let tls = Some(Tls::default());
        let sasl = Some(Sasl::Password {
            mechanism: Mechanism::ScramSha512,
            user: "booking".into(),
            password: "hunter2".into(),
        });
        let none = Security::default();
        assert!(none.settings().is_empty(), "the operator's options stand");
        for (tls, sasl, protocol) in [
            (tls.clone(), None, "SSL"),
            (None, sasl.clone(), "SASL_PLAINTEXT"),
            (tls, sasl, "SASL_SSL"),
        ] {
            let security = Security { tls, sasl };
            let got = setting(&security, "security.protocol");
            assert_eq!(got.as_deref(), Some(protocol));
        }
    }

    #[test]
    fn over_tls_the_brokers_name_is_checked() {
        let security = Security {
            tls: Some(Tls {
                ca: Some("/etc/ca.pem".into()),
                client: Some(("/etc/own.pem".into(), "/etc/own.key".into())),
                key_password: None,
            }),
            sasl: None,
        };
        for (name, value) in [
            ("enable.ssl.certificate.verification", "true"),
            ("ssl.endpoint.identification.algorithm", "https"),
            ("ssl.ca.location", "/etc/ca.pem"),
            ("ssl.key.location", "/etc/own.key"),
        ] {
            assert_eq!(setting(&security, name).as_deref(), Some(value), "{name}");
        }
        assert_eq!(setting(&security, "ssl.key.password"), None);
    }

    #[test]
    fn mechanisms_are_read_in_any_case() {
        assert_eq!("scram-sha-256".parse(), Ok(Mechanism::ScramSha256));
        assert_eq!("PLAIN".parse(), Ok(Mechanism::Plain));
        assert!("gssapi".parse::<Mechanism>().is_err());
    }
}
