//! Owns the forms in which an operator says where Redis is.
//!
//! ```text
//! redis://[[user]:password@]host[:6379][/db]                              a single Redis
//! redis+cluster://[[user]:password@]host[:6379][,host[:6379]…]            a cluster
//! redis+sentinel://[[user]:password@]host[:26379][,host[:26379]…]/master[/db]   behind sentinels
//! ```
//! `rediss` in place of `redis` is over TLS, all the way. A password is never shown.

use std::fs;
use std::str::FromStr;

use redis::{Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, TlsCertificates};

use crate::env::Env;

const THIS_MACHINE: &str = "redis://127.0.0.1:6379/0";
const CA_BUNDLE_HELP: &str = "A PEM file with the certificates of those who vouch for Redis over TLS, in place\n\
     of those whom the system trusts.";
const CLUSTER: &str = "+cluster";
const SENTINEL: &str = "+sentinel";
/// Where sentinels listen when nothing is said.
const SENTINEL_PORT: u16 = 26_379;

/// Where Redis is, and how to get in.
#[derive(Debug, Clone)]
pub struct RedisUrl {
    pub(super) target: Target,
}

#[derive(Debug, Clone)]
pub(super) enum Target {
    Single(ConnectionInfo),
    /// Servers of the cluster; any of them knows the others.
    Cluster(Vec<ConnectionInfo>),
    Sentinel(Sentinels),
}

/// A master and who watches over it.
#[derive(Debug, Clone)]
pub(super) struct Sentinels {
    pub sentinels: Vec<ConnectionInfo>,
    /// What they call it.
    pub master: String,
    /// How to log in at the master; of the address only whether it is TLS counts.
    pub redis: ConnectionInfo,
}

/// A URL that cannot be understood. It is not shown: it may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a Redis URL ({0}); it looks like redis://127.0.0.1:6379/0, \
     redis+cluster://one:6379,two:6379 or redis+sentinel://one:26379,two:26379/mymaster"
)]
pub struct RedisUrlInvalid(String);

impl FromStr for RedisUrl {
    type Err = RedisUrlInvalid;

    fn from_str(text: &str) -> Result<Self, RedisUrlInvalid> {
        let (scheme, rest) = text.split_once("://").ok_or_else(|| invalid("no scheme"))?;
        let target = if let Some(scheme) = scheme.strip_suffix(CLUSTER) {
            cluster(scheme, &Parts::of(rest)?)?
        } else if let Some(scheme) = scheme.strip_suffix(SENTINEL) {
            sentinel(scheme, &Parts::of(rest)?)?
        } else {
            Target::Single(info(text)?)
        };
        Ok(Self { target })
    }
}

impl RedisUrl {
    /// The URL in the variable `name`, a Redis of this machine where it is not set, and in `ca_bundle` who
    /// vouches for it.
    pub fn read(
        env: &mut Env<'_>,
        name: &'static str,
        help: &'static str,
        ca_bundle: &'static str,
    ) -> Self {
        let url: Self = env.secret_or(name, THIS_MACHINE, help);
        let Some(trusted) = env.optional::<CaBundle>(ca_bundle, CA_BUNDLE_HELP) else {
            return url;
        };
        env.check(ca_bundle, url.is_tls(), "is of no use without a rediss URL");
        url.trusting(&trusted)
    }

    /// Whether Redis is reached over TLS.
    pub fn is_tls(&self) -> bool {
        let is_tls = |info: &ConnectionInfo| matches!(info.addr(), ConnectionAddr::TcpTls { .. });
        match &self.target {
            Target::Single(info) => is_tls(info),
            Target::Cluster(seeds) => seeds.iter().all(is_tls),
            Target::Sentinel(named) => is_tls(&named.redis),
        }
    }

    /// The same target, where only servers are believed for which these vouch. Without TLS none is asked
    /// to.
    pub fn trusting(self, ca_bundle: &CaBundle) -> Self {
        let trusting = |info| ca_bundle.vouch_for(info);
        let all = |infos: Vec<_>| infos.into_iter().map(trusting).collect();
        let target = match self.target {
            Target::Single(info) => Target::Single(trusting(info)),
            Target::Cluster(seeds) => Target::Cluster(all(seeds)),
            Target::Sentinel(named) => Target::Sentinel(Sentinels {
                sentinels: all(named.sentinels),
                master: named.master,
                redis: trusting(named.redis),
            }),
        };
        Self { target }
    }
}

/// What follows the scheme of a URL with several hosts.
struct Parts<'a> {
    /// With its `@`, or empty.
    login: &'a str,
    hosts: Vec<&'a str>,
    path: Vec<&'a str>,
    query: Vec<(&'a str, &'a str)>,
    /// With its `#`, or empty.
    fragment: &'a str,
}

impl<'a> Parts<'a> {
    fn of(rest: &'a str) -> Result<Self, RedisUrlInvalid> {
        let (rest, fragment) = rest.split_at(rest.find('#').unwrap_or(rest.len()));
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, hosts) = authority.split_at(authority.rfind('@').map_or(0, |at| at + 1));
        let hosts: Vec<_> = hosts.split(',').collect();
        if hosts.iter().any(|host| host.is_empty()) {
            return Err(invalid("a host is missing"));
        }
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        Ok(Self {
            login,
            hosts,
            path: path.split('/').filter(|part| !part.is_empty()).collect(),
            query: pairs.collect(),
            fragment,
        })
    }

    fn infos(&self, scheme: &str, login: &str) -> Result<Vec<ConnectionInfo>, RedisUrlInvalid> {
        let hosts = self.hosts.iter();
        hosts
            .map(|host| info(&format!("{scheme}://{login}{host}{}", self.fragment)))
            .collect()
    }
}

fn cluster(scheme: &str, parts: &Parts<'_>) -> Result<Target, RedisUrlInvalid> {
    if !matches!(parts.path.as_slice(), [] | ["0"]) {
        return Err(invalid("a cluster has no databases"));
    }
    if !parts.query.is_empty() {
        return Err(invalid("a cluster takes no parameters"));
    }
    Ok(Target::Cluster(parts.infos(scheme, parts.login)?))
}

fn sentinel(scheme: &str, parts: &Parts<'_>) -> Result<Target, RedisUrlInvalid> {
    let (master, db) = match parts.path.as_slice() {
        [master] => (*master, "0"),
        [master, db] => (*master, *db),
        _ => return Err(invalid("the name of the master is missing")),
    };
    let (mut user, mut password) = ("", "");
    for (name, value) in &parts.query {
        match *name {
            "sentinel_user" => user = value,
            "sentinel_password" => password = value,
            _ => return Err(invalid("an unknown parameter")),
        }
    }
    let login = match (user, password) {
        ("", "") => String::new(),
        (user, password) => format!("{user}:{password}@"),
    };
    let hosts = parts.hosts.iter().map(|host| with_port(host));
    let sentinels = hosts.map(|host| info(&format!("{scheme}://{login}{host}{}", parts.fragment)));
    let redis = format!(
        "{scheme}://{}{}/{db}{}",
        parts.login, parts.hosts[0], parts.fragment
    );
    Ok(Target::Sentinel(Sentinels {
        sentinels: sentinels.collect::<Result<_, _>>()?,
        master: master.to_owned(),
        redis: info(&redis)?,
    }))
}

fn with_port(host: &str) -> String {
    let behind_brackets = host.rsplit(']').next().unwrap_or(host);
    if behind_brackets.contains(':') {
        host.to_owned()
    } else {
        format!("{host}:{SENTINEL_PORT}")
    }
}

fn info(url: &str) -> Result<ConnectionInfo, RedisUrlInvalid> {
    // A cause never holds more than a sentence of its own.
    url.into_connection_info()
        .map_err(|cause| RedisUrlInvalid(cause.to_string()))
}

fn invalid(why: &str) -> RedisUrlInvalid {
    RedisUrlInvalid(why.to_owned())
}

/// Certificates of those who vouch for a server, in place of those whom the system trusts.
#[derive(Clone)]
pub struct CaBundle {
    /// An address of no meaning that is trusted by them; the library shows the parsed form nowhere else.
    trusted: ConnectionAddr,
}

/// No file with certificates.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be a file with certificates in PEM form: {0}")]
pub struct CaBundleInvalid(String);

impl FromStr for CaBundle {
    type Err = CaBundleInvalid;

    /// Reads the file at a path.
    fn from_str(path: &str) -> Result<Self, CaBundleInvalid> {
        let pem = fs::read(path).map_err(|cause| CaBundleInvalid(cause.to_string()))?;
        let certificates = TlsCertificates {
            client_tls: None,
            root_cert: Some(pem),
        };
        let client = Client::build_with_tls("rediss://localhost", certificates)
            .map_err(|cause| CaBundleInvalid(cause.to_string()))?;
        let trusted = client.get_connection_info().addr().clone();
        Ok(Self { trusted })
    }
}

impl CaBundle {
    fn vouch_for(&self, info: ConnectionInfo) -> ConnectionInfo {
        let mut addr = info.addr().clone();
        if let ConnectionAddr::TcpTls { tls_params, .. } = &mut addr
            && let ConnectionAddr::TcpTls {
                tls_params: trusted,
                ..
            } = &self.trusted
        {
            tls_params.clone_from(trusted);
        }
        info.set_addr(addr)
    }
}

#[cfg(test)]
mod tests {
    use super::{CaBundle, RedisUrl, Target};

    fn target(url: &str) -> Target {
        url.parse::<RedisUrl>().expect("a URL").target
    }

    #[test]
    fn a_single_redis_may_have_a_login_a_database_and_tls() {
        let Target::Single(info) = target("rediss://ann:s%40fe@store:7000/3") else {
            panic!("a single one");
        };
        let settings = info.redis_settings();
        assert_eq!(info.addr().to_string(), "store:7000");
        assert_eq!(
            (settings.username(), settings.password(), settings.db()),
            (Some("ann"), Some("s@fe"), 3)
        );
    }

    #[test]
    fn a_cluster_is_several_hosts_with_one_login() {
        let Target::Cluster(seeds) = target("redis+cluster://:s%40fe@one:7000,[::1]:7001,three/0")
        else {
            panic!("a cluster");
        };
        let addresses: Vec<_> = seeds.iter().map(|seed| seed.addr().to_string()).collect();
        assert_eq!(addresses, ["one:7000", "::1:7001", "three:6379"]);
        let of_all =
            |seed: &redis::ConnectionInfo| seed.redis_settings().password() == Some("s@fe");
        assert!(seeds.iter().all(of_all));
        let tls: RedisUrl = "rediss+cluster://one,two".parse().expect("a URL");
        assert!(tls.is_tls());
    }

    #[test]
    fn sentinels_have_a_login_of_their_own_and_name_the_master() {
        let url = "redis+sentinel://ann:safe@one,two:7000/mymaster/2?sentinel_password=other";
        let Target::Sentinel(named) = target(url) else {
            panic!("sentinels");
        };
        assert_eq!(named.master, "mymaster");
        let sentinels: Vec<_> = named
            .sentinels
            .iter()
            .map(|it| (it.addr().to_string(), it.redis_settings().clone()))
            .collect();
        assert_eq!(sentinels[0].0, "one:26379");
        assert_eq!(sentinels[1].0, "two:7000");
        assert_eq!(sentinels[0].1.password(), Some("other"));
        assert_eq!(sentinels[0].1.db(), 0, "a sentinel has no databases");
        let redis = named.redis.redis_settings();
        assert_eq!(
            (redis.username(), redis.password(), redis.db()),
            (Some("ann"), Some("safe"), 2)
        );
    }

    #[test]
    fn what_is_no_url_of_redis_is_refused_and_not_shown() {
        for url in [
            "hunter2",
            "http://root:hunter2@host",
            "redis://root:hunter2@host:port",
            "redis://root:hunter2@host/first",
            "redis+cluster://root:hunter2@",
            "redis+cluster://root:hunter2@one,,two",
            "redis+cluster://root:hunter2@one/1",
            "redis+cluster://root:hunter2@one?protocol=resp3",
            "http+cluster://root:hunter2@one",
            "redis+sentinel://root:hunter2@one:26379",
            "redis+sentinel://root:hunter2@one/main/first",
            "redis+sentinel://root:hunter2@one/main?sentinel_pasword=hunter2",
            "redis+sentinel://one:port/main?sentinel_password=hunter2",
            "rediss+cluster://root:hunter2@one#hunter2",
        ] {
            let told = url.parse::<RedisUrl>().expect_err(url).to_string();
            assert!(!told.contains("hunter2"), "{told}");
        }
        let shown = format!("{:?}", "redis+cluster://:hunter2@one".parse::<RedisUrl>());
        assert!(!shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn a_file_without_certificates_vouches_for_nobody() {
        assert!("/nowhere/ca.pem".parse::<CaBundle>().is_err());
        assert!("/dev/null".parse::<CaBundle>().is_err());
    }
}
