//! Owns where requests go, and that it is this machine.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A server of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    address: SocketAddr,
    host: String,
}

/// Why a text is no target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetError {
    /// Not `http://HOST:PORT`.
    Form,
    /// Another machine, or one that nobody can be sure of.
    NotThisMachine,
}

impl fmt::Display for TargetError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(match self {
            TargetError::Form => "a target is http://127.0.0.1:PORT, without a path",
            TargetError::NotThisMachine => {
                "a target is 127.0.0.1, localhost or [::1]: this tool is for one's own machine, \
                 where nobody else pays for the load"
            }
        })
    }
}

impl std::error::Error for TargetError {}

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
        Ok(Self {
            address: SocketAddr::new(ip, port),
            host: host.to_owned(),
        })
    }

    /// This port of 127.0.0.1.
    pub fn local(port: u16) -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Self {
            address,
            host: address.to_string(),
        }
    }

    /// Where to connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Appends a request to `buffer`. A body is taken for JSON.
    ///
    /// Write it once and send it many times, or clear one buffer and write into it again: neither allocates.
    pub fn request(
        &self,
        buffer: &mut Vec<u8>,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) {
        for part in [method, " ", path, " HTTP/1.1\r\nHost: ", &self.host, "\r\n"] {
            buffer.extend_from_slice(part.as_bytes());
        }
        for (name, value) in headers {
            for part in [name, ": ", value, "\r\n"] {
                buffer.extend_from_slice(part.as_bytes());
            }
        }
        if !body.is_empty() {
            buffer.extend_from_slice(b"Content-Type: application/json\r\n");
        }
        if !body.is_empty() || !matches!(method, "GET" | "HEAD" | "DELETE") {
            buffer.extend_from_slice(b"Content-Length: ");
            write_number(buffer, body.len());
            buffer.extend_from_slice(b"\r\n");
        }
        buffer.extend_from_slice(b"\r\n");
        buffer.extend_from_slice(body);
    }
}

fn write_number(buffer: &mut Vec<u8>, number: usize) {
    use std::io::Write as _;
    // A Vec takes every byte.
    let _ = write!(buffer, "{number}");
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

    #[test]
    fn a_request_is_written_as_it_goes_over_the_wire() {
        let (target, mut buffer) = (Target::local(80), Vec::new());
        target.request(&mut buffer, "GET", "/a", &[("X-B", "c")], b"");
        let told = String::from_utf8_lossy(&buffer);
        assert_eq!(
            told,
            "GET /a HTTP/1.1\r\nHost: 127.0.0.1:80\r\nX-B: c\r\n\r\n"
        );
        buffer.clear();
        target.request(&mut buffer, "POST", "/a", &[], b"{}");
        let told = String::from_utf8_lossy(&buffer);
        assert!(
            told.ends_with("Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"),
            "{told}"
        );
    }
}
