//! Owns the table of routes: for each request where it goes and what it needs.
//!
//! The first route that fits decides. A path is judged in each of its readings, and the strictest
//! level holds; where it goes is decided by the path as it came.

use std::sync::Arc;

use super::path::Readings;
use super::pattern::Pattern;
use crate::proxy::upstream::Upstream;
use crate::queue::QueueId;
use crate::token::Level;

/// Where some paths go, and what they need.
#[derive(Debug, Clone)]
pub struct Route {
    /// The host that was asked for, in small letters; `None` fits every host.
    pub host: Option<String>,
    /// None fits every method.
    pub methods: Vec<String>,
    /// Which paths.
    pub pattern: Pattern,
    /// What they need.
    pub level: Level,
    /// Whose visitors may pass at level `active`; `None` is any queue's.
    pub queue: Option<QueueId>,
    /// Where they go.
    pub upstream: Arc<Upstream>,
    /// Segments that are taken off the front.
    pub strip: usize,
}

/// All routes, first fit first.
#[derive(Debug, Clone, Default)]
pub struct RouteTable {
    routes: Vec<Route>,
    /// Where goes what no route fits: it needs an active visitor, so a forgotten route opens nothing.
    rest: Option<Arc<Upstream>>,
}

/// A request that is to go somewhere.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The host that was asked for, with or without a port.
    pub host: Option<&'a str>,
    /// The method.
    pub method: &'a str,
    /// The path, in all its readings.
    pub path: &'a Readings<'a>,
}

/// Where a request goes and what it needs.
#[derive(Debug, Clone)]
pub struct Found {
    /// What it needs.
    pub level: Level,
    /// The queue whose visitors may pass at level `active`.
    pub queue: QueueRule,
    /// Where it goes.
    pub upstream: Arc<Upstream>,
    /// Segments that are taken off the front of the path.
    pub strip: usize,
    /// The pattern that decided, for logs and metrics.
    pub pattern: Arc<str>,
}

/// Whose visitors may pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueueRule {
    /// Those of any queue.
    Any,
    /// Those of this one.
    One(QueueId),
    /// Nobody's: the path names what cannot be a queue.
    Odd,
}

impl RouteTable {
    /// A table of these routes; `rest` takes what none of them fits.
    pub fn new(routes: Vec<Route>, rest: Option<Arc<Upstream>>) -> Self {
        Self { routes, rest }
    }

    /// The services to which something goes.
    pub fn upstreams(&self) -> Vec<Arc<Upstream>> {
        let mut all: Vec<Arc<Upstream>> = Vec::new();
        let named = self.routes.iter().map(|it| &it.upstream);
        for upstream in named.chain(&self.rest) {
            if !all.iter().any(|it| Arc::ptr_eq(it, upstream)) {
                all.push(Arc::clone(upstream));
            }
        }
        all
    }

    /// Where a request goes; `None` where no route fits and nothing takes the rest.
    pub fn find(&self, asked: Asked<'_>) -> Option<Found> {
        let mut readings = asked.path.all();
        let plain = readings.next()?;
        let mut found = self.found(asked, plain)?;
        for reading in readings {
            if let Some(other) = self.found(asked, reading)
                && other.level > found.level
            {
                found.level = other.level;
                found.queue = other.queue;
                found.pattern = other.pattern;
            }
        }
        Some(found)
    }

    fn found(&self, asked: Asked<'_>, path: &str) -> Option<Found> {
        let fit = self.routes.iter().find_map(|route| {
            let matched = route.matched(asked, path)?;
            Some((route, matched.queue))
        });
        if let Some((route, named)) = fit {
            let queue = match (&route.queue, named) {
                (Some(queue), _) => QueueRule::One(queue.clone()),
                (None, Some(name)) => name.parse().map_or(QueueRule::Odd, QueueRule::One),
                (None, None) => QueueRule::Any,
            };
            return Some(Found {
                level: route.level,
                queue,
                upstream: Arc::clone(&route.upstream),
                strip: route.strip,
                pattern: route.pattern.text.as_str().into(),
            });
        }
        let upstream = Arc::clone(self.rest.as_ref()?);
        Some(Found {
            level: Level::Active,
            queue: QueueRule::Any,
            upstream,
            strip: 0,
            pattern: "/**".into(),
        })
    }
}

impl Route {
    fn matched<'p>(&self, asked: Asked<'_>, path: &'p str) -> Option<super::pattern::Matched<'p>> {
        // Leave to read is leave to ask for the head alone.
        let method = if asked.method == "HEAD" {
            "GET"
        } else {
            asked.method
        };
        let fits_method = self.methods.is_empty() || self.methods.iter().any(|it| it == method);
        let fits_host = match (&self.host, asked.host) {
            (None, _) => true,
            (Some(wanted), Some(host)) => without_port(host).eq_ignore_ascii_case(wanted),
            (Some(_), None) => false,
        };
        (fits_method && fits_host).then(|| self.pattern.matched(path))?
    }

    /// Whether every request that `other` fits is one that this fits too.
    pub fn covers(&self, other: &Self) -> bool {
        let host = self.host.is_none() || self.host == other.host;
        let methods = self.methods.is_empty()
            || (!other.methods.is_empty()
                && other.methods.iter().all(|it| self.methods.contains(it)));
        host && methods && self.pattern.covers(&other.pattern)
    }
}

/// A host without its port; an IPv6 address keeps its brackets.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|it| it.is_ascii_digit()) => name,
        _ => host,
    }
}

/// A path without its first `count` segments, which the route takes off.
pub fn stripped(path: &str, count: usize) -> &str {
    let mut rest = path;
    for _ in 0..count {
        let next = rest.get(1..).and_then(|it| it.find('/'));
        match next {
            Some(at) => rest = &rest[at + 1..],
            None => return "/",
        }
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::{stripped, without_port};

    #[test]
    fn segments_are_taken_off_the_front_in_any_spelling() {
        assert_eq!(stripped("/api/v1/x", 1), "/v1/x");
        assert_eq!(stripped("/%61pi/v1/x%2f", 2), "/x%2f");
        assert_eq!(stripped("/api", 1), "/");
        assert_eq!(stripped("/api/", 1), "/");
        assert_eq!(stripped("/api", 0), "/api");
    }

    #[test]
    fn a_port_is_no_part_of_a_host() {
        assert_eq!(without_port("shop.example:8080"), "shop.example");
        assert_eq!(without_port("shop.example"), "shop.example");
        assert_eq!(without_port("[::1]:80"), "[::1]");
    }
}
