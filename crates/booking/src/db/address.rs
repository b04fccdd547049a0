//! Where the database is: one address, or several hosts of a cluster, and how each is reached.
//!
//! Diesel hands the client library no time limit for connecting and no demand for TLS. libmariadb takes both from a host that
//! is written as `name=value;name=value`, so each host is handed on in that form. What it cannot keep is refused here.

use crate::db::UrlInvalid;

/// How long a server may take to answer a connection, in seconds. As short as it can be said: what was asked just before a cut
/// network is whole again still waits for so long.
const CONNECT_WITHIN_S: u32 = 1;

const SHAPE: &str = "it must look like mysql://user:password@host:port/database, with host:port,host:port for a cluster";
const IPV6_TLS: &str =
    "over TLS the host must be a name or an IPv4 address, because its certificate is checked";
const ONLY_VERIFIED: &str = "ssl_mode is disabled or verify_identity; the client library cannot keep the others: \
    it would go on without TLS when the server, or someone in between, says that it has none";
const DISABLED_WITH_CA: &str = "ssl_mode=disabled and ssl_ca contradict each other";
const PARAMETERS: &str =
    "the parameters are ssl_mode, ssl_ca, ssl_cert, ssl_key and unix_socket, each at most once";
const KNOWN: [&str; 5] = ["ssl_mode", "ssl_ca", "ssl_cert", "ssl_key", "unix_socket"];

/// Whether this is an address that can be kept.
pub fn check(url: &str) -> Result<(), UrlInvalid> {
    hosts(url).map(drop)
}

/// The hosts of `url` in their order, each as an address that Diesel takes.
pub(super) fn hosts(url: &str) -> Result<Vec<String>, UrlInvalid> {
    let (address, query) = url.split_once('?').unwrap_or((url, ""));
    let rest = address.strip_prefix("mysql://").ok_or(UrlInvalid(SHAPE))?;
    let (user, place) = rest.rsplit_once('@').ok_or(UrlInvalid(SHAPE))?;
    let (hosts, database) = place.split_once('/').ok_or(UrlInvalid(SHAPE))?;
    if user.is_empty() || database.is_empty() || database.contains('/') {
        return Err(UrlInvalid(SHAPE));
    }
    let parameters = Parameters::read(query)?;
    let one = |host: &str| {
        let host = parameters.reached(host)?;
        let query = parameters.rest();
        Ok(format!("mysql://{user}@{host}/{database}{query}"))
    };
    hosts.split(',').map(one).collect()
}

/// What follows the database.
struct Parameters<'a> {
    all: Vec<(&'a str, &'a str)>,
    verified: bool,
}

impl<'a> Parameters<'a> {
    fn read(query: &'a str) -> Result<Self, UrlInvalid> {
        let mut all: Vec<(&str, &str)> = Vec::new();
        for parameter in query.split('&').filter(|it| !it.is_empty()) {
            let (name, value) = parameter.split_once('=').ok_or(UrlInvalid(PARAMETERS))?;
            if !KNOWN.contains(&name) || all.iter().any(|(other, _)| *other == name) {
                return Err(UrlInvalid(PARAMETERS));
            }
            all.push((name, value));
        }
        let value = |name: &str| {
            let found = all.iter().find(|(other, _)| *other == name);
            found.map(|(_, value)| value.to_ascii_lowercase())
        };
        let has_files = ["ssl_ca", "ssl_cert", "ssl_key"]
            .iter()
            .any(|name| value(name).is_some());
        let verified = match value("ssl_mode").as_deref() {
            None => has_files,
            Some("verify_identity") => true,
            Some("disabled") if has_files => return Err(UrlInvalid(DISABLED_WITH_CA)),
            Some("disabled") => false,
            Some(_) => return Err(UrlInvalid(ONLY_VERIFIED)),
        };
        Ok(Self { all, verified })
    }

    /// The host with what it is to be reached by.
    fn reached(&self, host: &str) -> Result<String, UrlInvalid> {
        let with_port = host.rsplit_once(':').filter(|_| !host.ends_with(']'));
        let (name, port) = with_port.unwrap_or((host, "3306"));
        let is_sound = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        let is_ipv6 = name.starts_with('[') && name.ends_with(']');
        if port.parse::<u16>().is_err() || name.is_empty() {
            return Err(UrlInvalid(SHAPE));
        }
        if self.all.iter().any(|(name, _)| *name == "unix_socket") {
            return Ok(format!("{name}:{port}"));
        }
        if is_ipv6 {
            // It cannot stand in the form below, so only the system limits how long connecting takes.
            return match self.verified {
                true => Err(UrlInvalid(IPV6_TLS)),
                false => Ok(format!("{name}:{port}")),
            };
        }
        if !name.bytes().all(is_sound) {
            return Err(UrlInvalid(SHAPE));
        }
        // Without a certificate that is right for this very host the library refuses before it sends the login.
        let verified = if self.verified {
            ";ssl-verify-server-cert=1"
        } else {
            ""
        };
        Ok(format!(
            "host={name};connect-timeout={CONNECT_WITHIN_S}{verified}:{port}"
        ))
    }

    /// What Diesel is to read; it would take `ssl_mode` and hand it to a library that does not know it.
    fn rest(&self) -> String {
        let kept = self.all.iter().filter(|(name, _)| *name != "ssl_mode");
        let kept: Vec<_> = kept
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        match kept.is_empty() {
            true => String::new(),
            false => format!("?{}", kept.join("&")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::hosts;

    #[test]
    fn each_host_of_a_cluster_is_an_address_of_its_own() {
        let both = hosts("mysql://u:p%40@db-1,db-2:3307/usher").expect("two hosts");
        assert_eq!(
            both,
            [
                "mysql://u:p%40@host=db-1;connect-timeout=1:3306/usher",
                "mysql://u:p%40@host=db-2;connect-timeout=1:3307/usher",
            ]
        );
    }

    #[test]
    fn tls_is_verified_or_there_is_none() {
        for verified in [
            "mysql://u@db/usher?ssl_ca=/etc/ca.pem",
            "mysql://u@db/usher?ssl_mode=verify_identity",
            "mysql://u@db/usher?ssl_mode=VERIFY_IDENTITY&ssl_ca=/etc/ca.pem",
        ] {
            let host = &hosts(verified).expect(verified)[0];
            assert!(host.contains("ssl-verify-server-cert=1"), "{host}");
            assert!(!host.contains("ssl_mode"), "{host}");
        }
        let plain = hosts("mysql://u@db/usher?ssl_mode=disabled").expect("plain");
        assert!(!plain[0].contains("ssl"), "{plain:?}");
    }

    #[test]
    fn what_the_library_cannot_keep_is_refused_and_nothing_is_shown() {
        for odd in [
            "mysql://u:hunter2@db/usher?ssl_mode=required",
            "mysql://u:hunter2@db/usher?ssl_mode=verify_ca",
            "mysql://u:hunter2@db/usher?ssl_mode=preferred",
            "mysql://u:hunter2@db/usher?ssl_mode=disabled&ssl_ca=/etc/ca.pem",
            "mysql://u:hunter2@db/usher?sslmode=verify_identity",
            "mysql://u:hunter2@[::1]/usher?ssl_ca=/etc/ca.pem",
            "mysql://u:hunter2@db,/usher",
            "mysql://u:hunter2@db;port=1/usher",
            "mysql://u:hunter2@db/usher/more",
        ] {
            let told = hosts(odd).expect_err(odd).to_string();
            assert!(!told.contains("hunter2"), "{told}");
        }
    }
}
