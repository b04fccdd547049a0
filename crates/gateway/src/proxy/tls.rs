//! Owns who vouches for a service behind TLS: the authorities of the system, or those of a file.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, OnceLock};

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Who vouches for a service, read when a connection is first needed or when a file is named.
#[derive(Clone)]
pub struct Trust(Arc<OnceLock<Arc<ClientConfig>>>);

/// A file of authorities that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustInvalid {
    /// It cannot be read as certificates.
    #[error("cannot be read: {0}")]
    Unreadable(String),
    /// It holds none.
    #[error("holds no certificate")]
    Empty,
}

impl Trust {
    /// The authorities of the system.
    pub fn system() -> Self {
        Self(Arc::default())
    }

    /// The rules of TLS for connections to the service.
    pub fn rules(&self) -> Arc<ClientConfig> {
        let of_system = || {
            let mut roots = RootCertStore::empty();
            let found = rustls_native_certs::load_native_certs();
            for cause in &found.errors {
                log::warn!("an authority of the system cannot be read: {cause}");
            }
            roots.add_parsable_certificates(found.certs);
            rules(roots)
        };
        Arc::clone(self.0.get_or_init(of_system))
    }
}

/// The path of a file with certificates in PEM form.
impl FromStr for Trust {
    type Err = TrustInvalid;

    fn from_str(path: &str) -> Result<Self, TrustInvalid> {
        let unreadable = |cause: &dyn fmt::Display| TrustInvalid::Unreadable(cause.to_string());
        let mut roots = RootCertStore::empty();
        let found = CertificateDer::pem_file_iter(path).map_err(|it| unreadable(&it))?;
        for certificate in found {
            let certificate = certificate.map_err(|it| unreadable(&it))?;
            roots.add(certificate).map_err(|it| unreadable(&it))?;
        }
        if roots.is_empty() {
            return Err(TrustInvalid::Empty);
        }
        Ok(Self(Arc::new(OnceLock::from(rules(roots)))))
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("Trust")
    }
}

fn rules(roots: RootCertStore) -> Arc<ClientConfig> {
    let provider = Arc::new(ring::default_provider());
    let rules = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has the protocols that are on by default")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(rules)
}
