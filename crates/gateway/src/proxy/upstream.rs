//! Owns what is known of a service behind: its addresses, how it is spoken to, and which of its
//! addresses answer.
//!
//! Health is passive, and active too where the operator says at which path to ask. An address that cannot be connected to is left out for a while that doubles
//! with each failure in a row, and is tried again afterwards; one that fails its check, until it passes. Where every address is left out, all
//! of them are tried all the same: nobody is refused because of what was true a moment ago. The
//! state is shared by all workers of the process.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::HeaderValue;

use super::tls::Trust;

/// How long an address is left out after its first failure.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Longest time for which an address is left out.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// A service behind the gateway.
#[derive(Debug)]
pub struct Upstream {
    /// What routes call it, and metrics.
    pub name: String,
    /// How it is spoken to.
    pub rules: UpstreamRules,
    addresses: Vec<Address>,
    next: AtomicUsize,
}

/// How a service is spoken to.
#[derive(Debug, Clone)]
pub struct UpstreamRules {
    /// Which `Host` it hears.
    pub host: HostRule,
    /// Until a connection stands, and as long for a free one where their number is limited.
    pub connect_timeout: Duration,
    /// From the end of the request to the head of the answer; `None` waits for ever.
    pub answer_timeout: Option<Duration>,
    /// Longest pause within an answer or an upgraded connection; `None` waits for ever.
    pub idle_timeout: Option<Duration>,
    /// Longest body of a request, in bytes; `None` is no limit.
    pub max_body_bytes: Option<u64>,
    /// Longest pause of a client within the body of a request.
    pub upload_pause: Duration,
    /// Most connections of one worker.
    pub connections: usize,
    /// Who vouches for it behind `https`.
    pub trust: Trust,
    /// A path at which each address says whether it is well.
    pub check: Option<String>,
}

/// Which `Host` a service hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostRule {
    /// The one that the client sent.
    Keep,
    /// The service's own address.
    Upstream,
    /// This one.
    Literal(HeaderValue),
}

/// Where a service listens: `http://host[:port]` or `https://host[:port]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Whether it speaks TLS.
    pub tls: bool,
    /// The host alone, an IPv6 address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Host and port as they were written, for `Host`.
    pub authority: HeaderValue,
}

/// Several addresses of one service, apart by commas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origins(pub Vec<Origin>);

/// A path at which a service is asked whether it is well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckPath(pub String);

/// Not the path of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a path that begins with /")]
pub struct CheckInvalid;

/// Not the address of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be http://host[:port] or https://host[:port] without a path")]
pub struct OriginInvalid;

/// Not a `Host`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be keep, upstream or a host such as shop.example")]
pub struct HostInvalid;

#[derive(Debug)]
struct Address {
    origin: Origin,
    health: Mutex<Health>,
}

#[derive(Debug, Default)]
struct Health {
    failures: u32,
    out_until: Option<Instant>,
    /// It failed its last check.
    is_unwell: bool,
}

impl Upstream {
    /// A service of this name at these addresses.
    pub fn new(name: &str, origins: Origins, rules: UpstreamRules) -> Arc<Self> {
        let address = |origin| Address {
            origin,
            health: Mutex::default(),
        };
        Arc::new(Self {
            name: name.to_owned(),
            rules,
            addresses: origins.0.into_iter().map(address).collect(),
            next: AtomicUsize::new(0),
        })
    }

    /// The addresses by their numbers, in the order in which they are tried: round robin, those
    /// that are left out last.
    pub fn order(&self, now: Instant) -> Vec<usize> {
        let count = self.addresses.len();
        if count == 1 {
            return vec![0];
        }
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let mut order: Vec<_> = (0..count).map(|step| (first + step) % count).collect();
        order.sort_by_key(|at| self.addresses[*at].is_out(now));
        order
    }

    /// Where the address of this number is.
    pub fn origin(&self, at: usize) -> &Origin {
        &self.addresses[at].origin
    }

    /// Whether one of its addresses is this host and port, or this host alone.
    pub fn is_at(&self, authority: &str) -> bool {
        let mut origins = self.addresses.iter().map(|it| &it.origin);
        origins.any(|it| it.authority == authority)
    }

    /// A connection to this address stood.
    pub fn worked(&self, at: usize) {
        let mut health = self.addresses[at].health();
        if health.failures > 0 {
            log::info!("{} answers again at {}", self.name, self.origin(at));
            *health = Health {
                is_unwell: health.is_unwell,
                ..Health::default()
            };
        }
    }

    /// How many addresses it has.
    pub fn addresses(&self) -> usize {
        self.addresses.len()
    }

    /// What came of a check of this address.
    pub fn checked(&self, at: usize, outcome: &Result<(), String>) {
        let mut health = self.addresses[at].health();
        match outcome {
            Ok(()) if health.is_unwell => {
                log::info!("{} is well again at {}", self.name, self.origin(at));
            }
            Err(cause) if !health.is_unwell => {
                log::warn!("{} is not well at {}: {cause}", self.name, self.origin(at));
            }
            _ => {}
        }
        health.is_unwell = outcome.is_err();
    }

    /// No connection to this address could be had.
    pub fn failed(&self, at: usize, now: Instant) {
        let mut health = self.addresses[at].health();
        let pause = FIRST_PAUSE.saturating_mul(1 << health.failures.min(5));
        health.failures = health.failures.saturating_add(1);
        health.out_until = Some(now + pause.min(LONGEST_PAUSE));
    }
}

impl Address {
    fn health(&self) -> std::sync::MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_out(&self, now: Instant) -> bool {
        let health = self.health();
        health.is_unwell || health.out_until.is_some_and(|until| until > now)
    }
}

impl FromStr for Origin {
    type Err = OriginInvalid;

    fn from_str(text: &str) -> Result<Self, OriginInvalid> {
        let (tls, rest) = match text.split_once("://") {
            Some(("http", rest)) => (false, rest),
            Some(("https", rest)) => (true, rest),
            _ => return Err(OriginInvalid),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
        let parsed: http::uri::Authority = authority.parse().map_err(|_| OriginInvalid)?;
        let host = parsed.host().trim_matches(['[', ']']);
        let is_sound = !host.is_empty() && authority.bytes().all(fits);
        let port = match (&authority[parsed.host().len()..], tls) {
            ("", true) => 443,
            ("", false) => 80,
            (port, _) => port
                .strip_prefix(':')
                .and_then(|port| port.parse().ok())
                .ok_or(OriginInvalid)?,
        };
        if !is_sound || port == 0 {
            return Err(OriginInvalid);
        }
        Ok(Self {
            tls,
            host: host.to_owned(),
            port,
            authority: HeaderValue::from_str(authority).map_err(|_| OriginInvalid)?,
        })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        let authority = self.authority.to_str().unwrap_or(&self.host);
        write!(to, "{scheme}://{authority}")
    }
}

impl FromStr for Origins {
    type Err = OriginInvalid;

    fn from_str(text: &str) -> Result<Self, OriginInvalid> {
        let origins = text.split(',').map(|it| it.trim().parse());
        origins.collect::<Result<_, _>>().map(Self)
    }
}

impl FromStr for CheckPath {
    type Err = CheckInvalid;

    fn from_str(text: &str) -> Result<Self, CheckInvalid> {
        let is_path = text.starts_with('/') && text.parse::<http::uri::PathAndQuery>().is_ok();
        is_path.then(|| Self(text.to_owned())).ok_or(CheckInvalid)
    }
}

impl FromStr for HostRule {
    type Err = HostInvalid;

    fn from_str(text: &str) -> Result<Self, HostInvalid> {
        match text {
            "keep" => Ok(Self::Keep),
            "upstream" => Ok(Self::Upstream),
            literal => {
                let authority: http::uri::Authority = literal.parse().map_err(|_| HostInvalid)?;
                let has_user = authority.as_str().contains('@');
                let value = HeaderValue::from_str(literal).map_err(|_| HostInvalid)?;
                (!has_user)
                    .then_some(Self::Literal(value))
                    .ok_or(HostInvalid)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{HostRule, Origin, Origins, Upstream, UpstreamRules};
    use crate::proxy::tls::Trust;

    fn upstream(addresses: &str) -> std::sync::Arc<Upstream> {
        let origins: Origins = addresses.parse().expect("addresses");
        let rules = UpstreamRules {
            host: HostRule::Keep,
            connect_timeout: Duration::from_secs(1),
            answer_timeout: None,
            idle_timeout: None,
            max_body_bytes: None,
            upload_pause: Duration::from_secs(1),
            connections: 1,
            trust: Trust::system(),
            check: None,
        };
        Upstream::new("shop", origins, rules)
    }

    #[test]
    fn an_address_is_a_scheme_and_a_host_and_nothing_else() {
        let origin: Origin = "http://shop:81/".parse().expect("an address");
        assert_eq!(
            (origin.tls, &*origin.host, origin.port),
            (false, "shop", 81)
        );
        let origin: Origin = "https://[::1]".parse().expect("an address");
        assert_eq!((origin.tls, &*origin.host, origin.port), (true, "::1", 443));
        for odd in [
            "shop",
            "ftp://shop",
            "http://",
            "http://a/b",
            "http://a:x",
            "http://a:0",
            "http://a:",
            "http://u@a",
            "http://a?b",
        ] {
            assert!(odd.parse::<Origin>().is_err(), "{odd}");
        }
    }

    #[test]
    fn an_address_that_fails_is_left_out_for_a_while_and_tried_again() {
        let shop = upstream("http://a, http://b");
        let now = Instant::now();
        let first = |now| shop.order(now)[0];
        assert_ne!(first(now), first(now), "they take turns");
        shop.failed(0, now);
        assert_eq!([first(now), first(now), first(now)], [1, 1, 1]);
        let later = now + Duration::from_secs(2);
        assert_ne!(first(later), first(later), "it is tried again");
        shop.failed(0, later);
        shop.failed(1, later);
        assert_eq!(
            shop.order(later).len(),
            2,
            "with all left out all are tried"
        );
        shop.worked(0);
        assert_eq!([first(later), first(later)], [0, 0]);
        shop.checked(0, &Err("503".to_owned()));
        shop.worked(0);
        shop.worked(1);
        assert_eq!(
            [first(later), first(later)],
            [1, 1],
            "one that fails its check"
        );
        shop.checked(0, &Ok(()));
        assert_ne!(first(later), first(later), "and passes it again");
    }

    #[test]
    fn a_host_is_kept_replaced_by_the_address_or_by_a_literal() {
        assert_eq!("keep".parse(), Ok(HostRule::Keep));
        assert_eq!("upstream".parse(), Ok(HostRule::Upstream));
        assert!(matches!(
            "shop.example:81".parse(),
            Ok(HostRule::Literal(_))
        ));
        assert!("a b".parse::<HostRule>().is_err());
        assert!("u@a".parse::<HostRule>().is_err());
    }
}
