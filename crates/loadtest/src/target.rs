//! Owns where requests go, and that it is this machine.

use std::net::{Ipv4Addr, SocketAddr};

/// A server of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target(SocketAddr);

/// A text that is no target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a target is http://127.0.0.1:PORT, localhost or [::1], without a path: this tool is for one's own machine, where nobody else pays for the load"
)]
pub struct NoTarget;

impl Target {
    /// Reads `http://127.0.0.1:8080`; without a port it is 80.
    ///
    /// # Errors
    /// Another form, or another machine.
    pub fn parse(url: &str) -> Result<Self, NoTarget> {
        let host = url.strip_prefix("http://").ok_or(NoTarget)?;
        let host = host.strip_suffix('/').unwrap_or(host);
        // No name is looked up: its server could send the load elsewhere.
        let host = match host.strip_prefix("localhost") {
            Some(port) => format!("127.0.0.1{port}"),
            None => host.to_owned(),
        };
        let address = host.parse().or_else(|_| format!("{host}:80").parse());
        let here = address.ok().filter(|it: &SocketAddr| it.ip().is_loopback());
        here.map(Self).ok_or(NoTarget)
    }

    /// This port of 127.0.0.1.
    pub fn local(port: u16) -> Self {
        Self((Ipv4Addr::LOCALHOST, port).into())
    }

    /// Where to connect.
    pub fn address(self) -> SocketAddr {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::{NoTarget, Target};

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
            "127.0.0.1:8080",
            "https://127.0.0.1",
            "http://",
            "http://127.0.0.1:many",
            "http://localhost:80@shop.example:80",
            "http://127.0.0.1:80/path",
            "http://shop.example/127.0.0.1",
        ] {
            assert_eq!(Target::parse(url), Err(NoTarget), "{url}");
        }
    }
}
