//! What is passed on, where to, and for how long it may take.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use chassis::env::Env;

use super::{Cors, DEFAULT_ACCESS, count, millis};
use crate::proxy::Trust;
use crate::proxy::upstream::{CheckPath, Origins, Upstream, UpstreamRules};
use crate::route::{self, Access, RouteTable, RoutesInvalid};

/// The service behind, and which of its paths need what.
#[derive(Clone)]
pub struct Proxy {
    /// `GATEWAY_ROUTES`, or `GATEWAY_UPSTREAM…` and `GATEWAY_ACCESS`: what goes where.
    pub routes: RouteSource,
    /// `GATEWAY_CORS_…`: what pages of other origins may do.
    pub cors: Cors,
    /// `GATEWAY_BASE_PATH`: what stands before the gateway's own routes.
    pub base: BasePath,
    /// `GATEWAY_TRUSTED_HOPS`: proxies of ours in front.
    pub trusted_hops: usize,
    /// `GATEWAY_OWN_PER_S`: requests for own things a second of a visit that is not inside.
    pub own_per_s: u32,
    /// `GATEWAY_OWN_BURST`: how many of them at once.
    pub own_burst: u32,
}

/// Where the routes come from, to be read again.
#[derive(Clone)]
pub struct RouteSource {
    file: Option<PathBuf>,
    access: Access,
    upstream: Arc<Upstream>,
}

/// What stands before the gateway's own routes: nothing, or `/name` once or more often.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BasePath(pub String);

/// Not a base path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be empty or begin with /, without a / at its end, of letters, digits, '-', '_' and '.'"
)]
pub struct BasePathInvalid;

/// A number, or `none`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit(pub Option<u64>);

/// Not a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a number from 1, or none")]
pub struct LimitInvalid;

impl Proxy {
    /// Reads and declares the variables.
    pub fn read(env: &mut Env<'_>) -> Self {
        let origins: Origins = env.or("GATEWAY_UPSTREAM", "http://127.0.0.1:8081", UPSTREAM_HELP);
        let rules = rules(env);
        let routes = RouteSource {
            access: env.or("GATEWAY_ACCESS", DEFAULT_ACCESS, ACCESS_HELP),
            file: env.optional("GATEWAY_ROUTES", ROUTES_HELP),
            upstream: Upstream::new("upstream", origins, rules),
        };
        if let Err(cause) = routes.read() {
            env.check(
                "GATEWAY_ROUTES",
                false,
                &format!("is not sound:\n  {cause}"),
            );
        }
        Self {
            routes,
            cors: Cors::read(env),
            base: env.or("GATEWAY_BASE_PATH", "", BASE_HELP),
            trusted_hops: env.or("GATEWAY_TRUSTED_HOPS", "0", TRUSTED_HOPS_HELP),
            own_per_s: env.or(
                "GATEWAY_OWN_PER_S",
                "2",
                "Requests a second for own things (level token) of a visitor who is not inside, else\n429. 0 is no limit.",
            ),
            own_burst: env.or(
                "GATEWAY_OWN_BURST",
                "20",
                "How many of these requests may come at once.",
            ),
        }
    }
}

fn rules(env: &mut Env<'_>) -> UpstreamRules {
    let host = env.or("GATEWAY_UPSTREAM_HOST", "keep", HOST_HELP);
    let trust: Option<Trust> = env.optional("GATEWAY_UPSTREAM_CA", CA_HELP);
    let connect_timeout = millis(
        env,
        "GATEWAY_UPSTREAM_CONNECT_TIMEOUT_MS",
        "1000",
        "Milliseconds until a connection to the upstream stands, else 502; and for which a request\nwaits for a free one, else 503.",
    );
    let answer: Limit = env.or("GATEWAY_UPSTREAM_TIMEOUT_MS", "10000", ANSWER_HELP);
    let idle: Limit = env.or("GATEWAY_UPSTREAM_IDLE_TIMEOUT_MS", "600000", IDLE_HELP);
    let connections = count(
        env,
        "GATEWAY_UPSTREAM_CONNECTIONS",
        "256",
        "Most connections of one worker to the upstream.",
    );
    let body: Limit = env.or("GATEWAY_MAX_BODY_BYTES", "65536", BODY_HELP);
    let upload_pause = millis(
        env,
        "GATEWAY_UPLOAD_PAUSE_MS",
        "10000",
        "Longest pause of a client within the body of a request, in milliseconds, else 408.",
    );
    let check: Option<CheckPath> = env.optional("GATEWAY_UPSTREAM_CHECK", CHECK_HELP);
    UpstreamRules {
        host,
        connect_timeout,
        answer_timeout: answer.millis(),
        idle_timeout: idle.millis(),
        max_body_bytes: body.0,
        upload_pause,
        connections,
        trust: trust.unwrap_or_else(Trust::system),
        check: check.map(|it| it.0),
    }
}

impl RouteSource {
    /// The routes as they are written now.
    ///
    /// # Errors
    /// All that is wrong in the file.
    pub fn read(&self) -> Result<RouteTable, RoutesInvalid> {
        let Some(path) = &self.file else {
            return Ok(self.access.table(&self.upstream));
        };
        let text = std::fs::read_to_string(path);
        let text = text.map_err(|cause| RoutesInvalid(vec![format!("cannot be read: {cause}")]))?;
        route::read(&text, &self.upstream.rules)
    }
}

impl FromStr for BasePath {
    type Err = BasePathInvalid;

    fn from_str(text: &str) -> Result<Self, BasePathInvalid> {
        let is_segment = |segment: &str| {
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            !segment.is_empty() && segment.bytes().all(fits) && !matches!(segment, "." | "..")
        };
        let is_sound = text
            .strip_prefix('/')
            .is_some_and(|it| it.split('/').all(is_segment));
        (text.is_empty() || is_sound)
            .then(|| Self(text.to_owned()))
            .ok_or(BasePathInvalid)
    }
}

impl Limit {
    /// The limit as a time in milliseconds.
    pub fn millis(self) -> Option<Duration> {
        self.0.map(Duration::from_millis)
    }
}

impl FromStr for Limit {
    type Err = LimitInvalid;

    fn from_str(text: &str) -> Result<Self, LimitInvalid> {
        if text == "none" {
            return Ok(Self(None));
        }
        let number = text.parse().map_err(|_| LimitInvalid)?;
        if number == 0 {
            return Err(LimitInvalid);
        }
        Ok(Self(Some(number)))
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(number) => number.fmt(to),
            None => to.write_str("none"),
        }
    }
}

const UPSTREAM_HELP: &str = "The service behind the waiting room: http://host[:port] or https://host[:port]. Several\n\
     addresses of one service stand apart by commas and take turns.";
const ROUTES_HELP: &str = "A TOML file with named upstreams and routes, in place of GATEWAY_UPSTREAM and\n\
     GATEWAY_ACCESS; see docs/ADOPT.md. SIGHUP reads it again. GATEWAY_UPSTREAM_... are its defaults.";
const BASE_HELP: &str = "What stands before the gateway's own routes, such as /usher, so that /docs, /live and\n\
     /api/v1/queues of the upstream stay its own.";
const HOST_HELP: &str = "Which Host the upstream hears: keep (the client's), upstream (its own address), or a literal\n\
     such as shop.example.";
const CA_HELP: &str =
    "A PEM file with those who vouch for an upstream behind https, in place of the system's.";
const CHECK_HELP: &str = "A path such as /health at which each address of the upstream is asked every two seconds whether it\n\
     is well. One that does not say 2xx or 3xx within two seconds gets no requests until it does,\n\
     unless all fail. Without it only connections that cannot be had tell.";
const ANSWER_HELP: &str = "Milliseconds from the end of a request to the head of the upstream's answer, else 504; none\n\
     waits for ever, for long polls.";
const IDLE_HELP: &str = "Longest pause within an answer or an upgraded connection, in milliseconds; none waits for ever.";
const BODY_HELP: &str =
    "Longest request body in bytes that is passed on, else 413; none is no limit.";
const TRUSTED_HOPS_HELP: &str = "Proxies of your own in front of the gateway. Only so many entries of\n\
     X-Forwarded-For are believed, from the right; with one or more, X-Forwarded-Proto and -Host are too.";
const ACCESS_HELP: &str = "What each path of the upstream needs: LEVEL [METHOD] PATTERN, by semicolons.\n\
     Levels: public, token, active, operator. {name} is one segment, ** is the rest.\n\
     The first that fits decides; without one the path needs an active visitor.";
