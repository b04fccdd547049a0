//! Owns the configuration of the gateway: every `GATEWAY_` variable, its unit, range and default.

mod cors;
mod join_checks;
mod limits;
mod pages;
mod proxy;
mod queue_file;

use std::net::SocketAddr;
use std::time::Duration;

use chassis::env::{Configuration, Env};
use chassis::logging::LogRules;
use chassis::redis::RedisUrl;
use chassis::trace::Exporting;

use crate::beacon::BeaconOrigins;
use crate::credential::{CookieRules, SameSite};
use crate::operator::Operators;
use crate::token::{KeyRing, PassKey};

pub use cors::Cors;
pub use join_checks::{Identification, JoinChecks};
pub use limits::VisitLimits;
pub use pages::{LoginUrl, Pages, QueueingStatus};
pub use proxy::{BasePath, Proxy, RouteSource};
pub use queue_file::{QueueFile, QueueFileInvalid};

/// The access table of the booking service.
pub const DEFAULT_ACCESS: &str = "public GET /api/v1/concerts; \
     public GET /api/v1/concerts/{id}; \
     public GET /api/v1/integrity; \
     public POST /api/v1/provider/events; \
     operator /api/v1/admin/**; \
     token /api/v1/users/**; \
     active POST /api/v1/reservations; \
     token /api/v1/reservations/**; \
     token /api/v1/payments/**; \
     active /**";

/// Everything that the gateway is told from outside.
#[derive(Clone)]
pub struct Config {
    /// `GATEWAY_LISTEN`: where visitors connect.
    pub listen: SocketAddr,
    /// `GATEWAY_ADMIN_LISTEN`: where health and metrics are read.
    pub admin_listen: SocketAddr,
    /// `GATEWAY_REDIS_URL`: the store of the line; with `GATEWAY_REDIS_CA`, who vouches for it.
    pub redis_url: RedisUrl,
    /// `GATEWAY_REDIS_POOL`: connections for the scheduler and operators.
    pub redis_pool: usize,
    /// `GATEWAY_QUEUES`: the queues that exist from the start.
    pub queues: QueueFile,
    /// `GATEWAY_BEACON_ORIGINS`: which beacons of lotteries may be asked.
    pub beacon_origins: BeaconOrigins,
    /// `GATEWAY_STREAMS`: most visitors who watch their place at the same time.
    pub streams: usize,
    /// `GATEWAY_RECOVERY_S`: how long nobody is admitted after the store was lost.
    pub recovery: Duration,
    /// What is asked of those who join.
    pub join_checks: JoinChecks,
    /// How often one visit may ask.
    pub visit_limits: VisitLimits,
    /// What browsers see.
    pub pages: Pages,
    /// Who is believed, and how.
    pub trust: Trust,
    /// The way to the service behind.
    pub proxy: Proxy,
    /// How the process runs.
    pub process: Process,
}

/// Keys, and how a visitor carries them.
#[derive(Clone)]
pub struct Trust {
    /// `GATEWAY_TOKEN_KEYS`: the first signs tokens, all verify.
    pub token_keys: KeyRing,
    /// `GATEWAY_PASS_KEY`: shared with the upstream.
    pub pass_key: PassKey,
    /// `GATEWAY_TOKEN_TTL_S`: how long a token can be used.
    pub token_ttl: Duration,
    /// `GATEWAY_OPERATOR_KEYS`: who may steer.
    pub operators: Operators,
    /// `GATEWAY_COOKIE_SECURE`, `GATEWAY_COOKIE_SAMESITE`: how the token's cookie is kept.
    pub cookie: CookieRules,
}

/// How the process runs.
#[derive(Clone)]
pub struct Process {
    /// `GATEWAY_WORKERS`: threads that serve; 0 is one a core.
    pub workers: usize,
    /// `GATEWAY_START_WAIT_S`: how long the start waits for the store.
    pub start_wait: Duration,
    /// `GATEWAY_DRAIN_S`: how long a stop goes on answering, not ready.
    pub drain: Duration,
    /// `GATEWAY_GRACE_S`: how long a stop waits for what runs.
    pub grace: Duration,
    /// `LOG_CONFIG`, `LOG_LEVEL`: where the log goes.
    pub log: LogRules,
    /// `OTEL_…`: where spans go.
    pub traces: Option<Exporting>,
}

impl Configuration for Config {
    fn read(env: &mut Env<'_>) -> Option<Self> {
        let listen = env.or("GATEWAY_LISTEN", "127.0.0.1:8080", "Address for visitors.");
        let admin_listen = env.or(
            "GATEWAY_ADMIN_LISTEN",
            "127.0.0.1:9080",
            "Address for /live, /ready and /metrics. Keep it private.",
        );
        let redis_url = RedisUrl::read(env, "GATEWAY_REDIS_URL", REDIS_HELP, "GATEWAY_REDIS_CA");
        let redis_pool = count(env, "GATEWAY_REDIS_POOL", "4", POOL_HELP);
        let queues = env
            .optional("GATEWAY_QUEUES", QUEUES_HELP)
            .unwrap_or_default();
        let recovery = seconds(env, "GATEWAY_RECOVERY_S", "30", RECOVERY_HELP);
        let beacon_origins = env.optional("GATEWAY_BEACON_ORIGINS", BEACON_HELP);
        let streams = count(env, "GATEWAY_STREAMS", "20000", STREAMS_HELP);
        let join_checks = JoinChecks::read(env);
        let visit_limits = VisitLimits::read(env);
        let pages = Pages::read(env);
        let trust = Trust::read(env);
        let proxy = Proxy::read(env);
        let process = Process::read(env);
        Some(Self {
            listen,
            admin_listen,
            redis_url,
            redis_pool,
            queues,
            beacon_origins: beacon_origins.unwrap_or_default(),
            streams,
            recovery,
            visit_limits,
            pages,
            // Only here, so that every variable is declared even when a key is missing.
            join_checks: join_checks?,
            trust: trust?,
            proxy,
            process,
        })
    }
}

impl Trust {
    fn read(env: &mut Env<'_>) -> Option<Self> {
        let token_keys = env.secret("GATEWAY_TOKEN_KEYS", TOKEN_KEYS_HELP);
        let pass_key = env.secret(
            "GATEWAY_PASS_KEY",
            "Secret shared with the upstream, base64url of at least 32 bytes.",
        );
        let token_ttl = seconds(
            env,
            "GATEWAY_TOKEN_TTL_S",
            "86400",
            "Seconds for which a token is good, 1 to 172800. Longer than the longest wait.",
        );
        env.check(
            "GATEWAY_TOKEN_TTL_S",
            (1..=LONGEST_TOKEN_S).contains(&token_ttl.as_secs()),
            "must be from 1 to 172800",
        );
        let operators = env
            .optional_secret("GATEWAY_OPERATOR_KEYS", OPERATORS_HELP)
            .unwrap_or_default();
        let cookie_secure = env.or(
            "GATEWAY_COOKIE_SECURE",
            "false",
            "true where visitors come over TLS: the token's cookie gets Secure.",
        );
        let same_site = env.or("GATEWAY_COOKIE_SAMESITE", "lax", SAME_SITE_HELP);
        env.check(
            "GATEWAY_COOKIE_SAMESITE",
            same_site != SameSite::None || cookie_secure,
            "is none, which needs GATEWAY_COOKIE_SECURE",
        );
        Some(Self {
            token_keys: token_keys?,
            pass_key: pass_key?,
            token_ttl,
            operators,
            cookie: CookieRules {
                is_secure: cookie_secure,
                same_site,
            },
        })
    }
}

impl Process {
    fn read(env: &mut Env<'_>) -> Self {
        Self {
            workers: env.or(
                "GATEWAY_WORKERS",
                "0",
                "Threads that serve; 0 is one a core.",
            ),
            start_wait: seconds(
                env,
                "GATEWAY_START_WAIT_S",
                "30",
                "Seconds that the start waits for Redis before it gives up.",
            ),
            drain: seconds(
                env,
                "GATEWAY_DRAIN_S",
                "5",
                "Seconds for which a stop goes on answering, not ready, until balancers have noticed.",
            ),
            grace: seconds(
                env,
                "GATEWAY_GRACE_S",
                "10",
                "Seconds that a stop waits for requests that run.",
            ),
            log: LogRules::read(env),
            traces: Exporting::read(env, "gateway"),
        }
    }
}

/// As long as Redis remembers that a visit which came back after a loss is over.
const LONGEST_TOKEN_S: u64 = 172_800;
const TOKEN_KEYS_HELP: &str = "Keys of visitors' tokens: id:secret[,id:secret], secrets in base64url of at least\n\
     32 bytes (`openssl rand -base64 32 | tr '+/' '-_'`). The first signs, all verify.";
const OPERATORS_HELP: &str = "Who may steer: name:key or name:sha256=HASH of the key, apart by commas. Without it\n\
     nobody may. Behind it stand the rights of the key, as in name:key:read+queue, out of read,\n\
     queue, sale, desk and money; without them it has all.";
const QUEUES_HELP: &str = "A TOML file with a table for each queue that exists from the start, its fields those\n\
     of PUT /api/v1/queues/{queue}. Without it there is one queue, main. What an operator\n\
     changed later stays changed.";
const RECOVERY_HELP: &str = "Seconds for which nobody is admitted after Redis lost the line, so that\n\
     those who wait can return to their places.";
const BEACON_HELP: &str = "Origins, apart by commas, that are asked for the beacon of a lottery whose `beacon` is\n\
     an address there, such as https://api.drand.sh. Without it an operator gives what it said.";
const SAME_SITE_HELP: &str = "lax, strict, or none where pages of other sites show the waiting room in a frame:\n\
     then the cookie is partitioned, and what changes something by it needs an Origin of\n\
     GATEWAY_CORS_ORIGINS or the own one.";
const STREAMS_HELP: &str = "Most visitors who watch their place by server-sent events at the same time.\n\
     Each needs a connection, so an open file; the others poll.";
const REDIS_HELP: &str = "Redis that holds the line. All gateways of a sale share it. One of\n\
     redis://[user:password@]host:6379[/db], redis+cluster://[user:password@]host:6379,host:6379,\n\
     redis+sentinel://[user:password@]host:26379,host:26379/master[/db], where the login is that\n\
     of the master; ?sentinel_user=...&sentinel_password=... is that of the sentinels.\n\
     rediss in place of redis is TLS, to sentinels too.";
const POOL_HELP: &str = "Redis connections for the scheduler and operators. A cluster, and a Redis behind\n\
     sentinels, gets one to each master.";
fn count(
    env: &mut Env<'_>,
    name: &'static str,
    default: &'static str,
    help: &'static str,
) -> usize {
    let value = env.or(name, default, help);
    env.check(name, value > 0, "must be at least 1");
    value
}

fn seconds(
    env: &mut Env<'_>,
    name: &'static str,
    default: &'static str,
    help: &'static str,
) -> Duration {
    Duration::from_secs(env.or(name, default, help))
}

fn millis(
    env: &mut Env<'_>,
    name: &'static str,
    default: &'static str,
    help: &'static str,
) -> Duration {
    let value = env.or(name, default, help);
    env.check(name, value > 0, "must be at least 1");
    Duration::from_millis(value)
}

#[cfg(test)]
mod tests {
    use chassis::env::Configuration as _;

    use super::Config;

    const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY";

    /// The mistakes that are told when `name` has `value` and all else is right.
    fn told(name: &str, value: &str) -> Option<String> {
        let keys = format!("k1:{KEY}");
        let lookup = |asked: &str| match asked {
            _ if asked == name => Some(value.to_owned()),
            "GATEWAY_TOKEN_KEYS" => Some(keys.clone()),
            "GATEWAY_PASS_KEY" => Some(KEY.to_owned()),
            "GATEWAY_IDENTITY" => Some("open".to_owned()),
            _ => None,
        };
        let mistakes = Config::found(&lookup).err();
        mistakes.map(|mistakes| mistakes.to_string())
    }

    #[test]
    fn with_its_two_secrets_and_an_identity_the_gateway_can_start() {
        assert_eq!(told("GATEWAY_LISTEN", "127.0.0.1:0"), None);
    }

    #[test]
    fn a_bad_value_names_its_variable() {
        for (name, value) in [
            ("GATEWAY_LISTEN", "8080"),
            ("GATEWAY_ADMIN_LISTEN", "here"),
            ("GATEWAY_REDIS_URL", "http://127.0.0.1:6379"),
            ("GATEWAY_REDIS_URL", "redis+sentinel://one,two"),
            ("GATEWAY_REDIS_CA", "/nowhere/ca.pem"),
            ("GATEWAY_REDIS_POOL", "0"),
            ("GATEWAY_UPSTREAM", "shop"),
            ("GATEWAY_UPSTREAM_HOST", "a b"),
            ("GATEWAY_UPSTREAM_CA", "/nowhere/ca.pem"),
            ("GATEWAY_UPSTREAM_CHECK", "health"),
            ("GATEWAY_UPSTREAM_IDLE_TIMEOUT_MS", "0"),
            ("GATEWAY_OWN_PER_S", "x"),
            ("GATEWAY_OWN_BURST", "-1"),
            ("GATEWAY_UPSTREAM", "http://shop/path"),
            ("GATEWAY_UPSTREAM_TIMEOUT_MS", "soon"),
            ("GATEWAY_UPSTREAM_CONNECT_TIMEOUT_MS", "0"),
            ("GATEWAY_UPSTREAM_CONNECTIONS", "-1"),
            ("GATEWAY_TOKEN_KEYS", "k1"),
            ("GATEWAY_TOKEN_TTL_S", "1.5"),
            ("GATEWAY_TOKEN_TTL_S", "172801"),
            ("GATEWAY_PASS_KEY", "c2hvcnQ"),
            ("GATEWAY_OPERATOR_KEYS", "x"),
            ("GATEWAY_QUEUES", "/nowhere/queues.toml"),
            ("GATEWAY_ACCESS", "everything"),
            ("GATEWAY_ACCESS", "public /**; active /a"),
            ("GATEWAY_ROUTES", "/nowhere/routes.toml"),
            ("GATEWAY_BASE_PATH", "usher/"),
            ("GATEWAY_CORS_METHODS", "a b"),
            ("GATEWAY_CORS_ORIGINS", "shop.example"),
            ("GATEWAY_TRUSTED_HOPS", "-1"),
            ("GATEWAY_COOKIE_SECURE", "maybe"),
            ("GATEWAY_MAX_BODY_BYTES", "0"),
            ("GATEWAY_RECOVERY_S", "x"),
            ("GATEWAY_BEACON_ORIGINS", "drand"),
            ("GATEWAY_STREAMS", "0"),
            ("GATEWAY_PAGES", "/nowhere"),
            ("GATEWAY_QUEUEING_STATUS", "204"),
            ("GATEWAY_DEFAULT_QUEUE", "A Queue"),
            ("GATEWAY_LOGIN_URL", "sign-in"),
            ("GATEWAY_COOKIE_SAMESITE", "sometimes"),
            ("GATEWAY_IDENTITY", "perhaps"),
            ("GATEWAY_IDENTITY", "jwt"),
            ("GATEWAY_IDENTITY_SECRET", "c2hvcnQ"),
            ("GATEWAY_JWKS", "/nowhere/jwks.json"),
            ("GATEWAY_JWKS", "https://"),
            ("GATEWAY_ISSUE_PER_MINUTE", "-1"),
            ("GATEWAY_POW_BITS", "22"),
            ("GATEWAY_CHALLENGE_VERIFY_URL", "somewhere"),
            ("GATEWAY_CHALLENGE_VERIFY_URL", "ftp://verifier"),
            ("GATEWAY_CHALLENGE_VERIFY_URL", "https://verifier"),
            ("GATEWAY_CHALLENGE_UNREACHABLE", "ajar"),
            ("GATEWAY_CHALLENGE_TIMEOUT_MS", "0"),
            ("GATEWAY_VISIT_POLLS_PER_S", "-1"),
            ("GATEWAY_VISIT_REQUESTS_PER_S", "x"),
            ("GATEWAY_START_WAIT_S", "x"),
            ("GATEWAY_WORKERS", "x"),
            ("GATEWAY_DRAIN_S", "x"),
            ("GATEWAY_GRACE_S", "x"),
            ("LOG_LEVEL", "loud"),
        ] {
            let told = told(name, value).unwrap_or_default();
            assert!(told.contains(name), "{name}={value}: {told:?}");
        }
    }

    #[test]
    fn without_an_identity_the_gateway_does_not_start_and_says_which_there_are() {
        let lookup = |asked: &str| match asked {
            "GATEWAY_TOKEN_KEYS" => Some(format!("k1:{KEY}")),
            "GATEWAY_PASS_KEY" => Some(KEY.to_owned()),
            _ => None,
        };
        let told = Config::found(&lookup).err().expect("it must be set");
        let told = told.to_string();
        for word in ["GATEWAY_IDENTITY", "jwt", "anonymous", "open"] {
            assert!(told.contains(word), "{told}");
        }
    }

    #[test]
    fn a_secret_is_never_shown() {
        for name in [
            "GATEWAY_PASS_KEY",
            "GATEWAY_OPERATOR_KEYS",
            "GATEWAY_IDENTITY_SECRET",
            "GATEWAY_REDIS_URL",
        ] {
            let told = told(name, "hunter2").expect("too short");
            assert!(!told.contains("hunter2"), "{told}");
        }
    }
}
