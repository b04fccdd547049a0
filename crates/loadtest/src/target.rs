//! Owns where requests go, and that it is this machine.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A server of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    address: SocketAddr,
    host: String,
}

/// Why a text is no target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Not `http://HOST:PORT`.
    #[error("a target is http://127.0.0.1:PORT, without a path")]
    Form,
    /// Another machine, or one that nobody can be sure of.
    #[error(
        "a target is 127.0.0.1, localhost or [::1]: this tool is for one's own machine, where nobody else pays for the load"
    )]
    NotThisMachine,
}

impl Target {
    /// Reads `http://127.0.0.1:8080`; without a port it is 80.
    ///
    /// # Errors
    /// Another form, or another machine.
    pub fn parse(url: &str) -> Result<Self, TargetError> {
        let rest = url.strip_prefix("http://").ok_or(TargetError::Form)?;
        let host = rest.strip_suffix('/').unwrap_or(rest);
        let (name, port) = match host.rsplit_once(':') {
            Some((name, port)) if !port.ends_with(']') => {
                (name, port.parse().map_err(|_| TargetError::Form)?)
            }
            _ => (host, 80),
        };
        if name.is_empty() || name.contains(['/', '@', '?', '#']) {
            return Err(TargetError::Form);
        }
        // No name is looked up: its server could send the load elsewhere.
        let ip = match name {
            "127.0.0.1" | "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
            "[::1]" => IpAddr::V6(Ipv6Addr::LOCALHOST),
            _ => return Err(TargetError::NotThisMachine),
        };
        let address = SocketAddr::new(ip, port);
        let host = host.to_owned();
        Ok(Self { address, host })
    }

    /// This port of 127.0.0.1.
    pub fn local(port: u16) -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let host = address.to_string();
        Self { address, host }
    }

    /// Where to connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What `Host` says.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }
}

#[cfg(test)]
mod tests {
    use super::{Target, TargetError};

    #[test]
    fn only_this_machine_is_a_target() {
        for (url, address) in [
            ("http://127.0.0.1:8080", "127.0.0.1:8080"),
            ("http://127.0.0.1:8080/", "127.0.0.1:8080"),
            ("http://localhost:9", "127.0.0.1:9"),
            ("http://localhost", "127.0.0.1:80"),
            ("http://[::1]:8080", "[::1]:8080"),
            ("http://[::1]", "[::1]:80"),
        ] {
            let target = Target::parse(url).map(|it| it.address().to_string());
            assert_eq!(target, Ok(address.to_owned()), "{url}");
        }
        for url in [
            "http://10.0.0.1:80",
            "http://192.168.1.1",
            "http://0.0.0.0:8080",
            "http://shop.example:80",
            "http://localhost.shop.example",
            "http://127.0.0.1.shop.example:80",
            "http://[2001:db8::1]:80",
        ] {
            assert_eq!(
                Target::parse(url),
                Err(TargetError::NotThisMachine),
                "{url}"
            );
        }
        for url in [
            "127.0.0.1:8080",
            "https://127.0.0.1",
            "http://",
            "http://127.0.0.1:many",
            "http://localhost:80@shop.example:80",
            "http://127.0.0.1:80/path",
            "http://shop.example/127.0.0.1",
        ] {
            assert_eq!(Target::parse(url), Err(TargetError::Form), "{url}");
        }
    }
}
