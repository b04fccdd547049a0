//! Owns how routes are written: the file of `GATEWAY_ROUTES`, and the short form of
//! `GATEWAY_ACCESS`.
//!
//! Both are checked as a whole before anything is served. Every mistake is told with its place and
//! its reason; a route that can never decide anything is a mistake.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::path::normalize;
use super::pattern::Pattern;
use super::table::{Route, RouteTable};
use crate::proxy::upstream::{CheckPath, Origins, Upstream, UpstreamRules};
use crate::token::Level;

/// Methods that a route may name. `HEAD` goes with `GET`.
const METHODS: [&str; 6] = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// Everything that is wrong, a line each.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n  "))]
pub struct RoutesInvalid(pub Vec<String>);

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    upstreams: BTreeMap<String, Spanned<WrittenUpstream>>,
    #[serde(default)]
    routes: Vec<Spanned<WrittenRoute>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WrittenUpstream {
    addresses: Vec<String>,
    host: Option<String>,
    ca: Option<String>,
    connect_timeout_ms: Option<u64>,
    answer_timeout_ms: Option<Written>,
    idle_timeout_ms: Option<Written>,
    upload_pause_ms: Option<u64>,
    max_body_bytes: Option<Written>,
    connections: Option<usize>,
    check: Option<String>,
}

/// A number, or `"none"`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Number(u64),
    Word(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WrittenRoute {
    path: String,
    level: String,
    upstream: Option<String>,
    host: Option<String>,
    #[serde(default)]
    methods: Vec<String>,
    queue: Option<String>,
    strip_prefix: Option<String>,
    #[serde(default)]
    ignore_case: bool,
}

/// Reads the text of a file; `defaults` are the rules of an upstream that says nothing else.
///
/// # Errors
/// All mistakes, each with its line.
pub fn read(text: &str, defaults: &UpstreamRules) -> Result<RouteTable, RoutesInvalid> {
    let line = |at: usize| text[..at.min(text.len())].matches('\n').count() + 1;
    let file: File = toml::from_str(text).map_err(|cause| {
        let at = cause.span().map_or(1, |span| line(span.start));
        RoutesInvalid(vec![format!("line {at}: {}", cause.message().trim())])
    })?;
    let mut mistakes = Vec::new();
    let mut upstreams = BTreeMap::new();
    for (name, written) in &file.upstreams {
        match upstream(name, written.get_ref(), defaults) {
            Ok(upstream) => {
                upstreams.insert(name.as_str(), upstream);
            }
            Err(cause) => mistakes.push(format!(
                "line {}: upstream {name}: {cause}",
                line(written.span().start)
            )),
        }
    }
    if file.upstreams.is_empty() {
        mistakes.push("line 1: there is no upstream".to_owned());
    }
    let mut routes = Vec::new();
    for written in &file.routes {
        let at = line(written.span().start);
        match route(written.get_ref(), &upstreams) {
            Ok(route) => routes.push((format!("line {at}"), route)),
            Err(cause) => {
                mistakes.push(format!(
                    "line {at}: route {:?}: {cause}",
                    written.get_ref().path
                ));
            }
        }
    }
    let rest = upstreams
        .values()
        .next()
        .filter(|_| file.upstreams.len() == 1);
    finish(routes, rest.cloned(), mistakes)
}

/// Reads `LEVEL [METHOD] PATTERN` rules, divided by `;` or line ends.
#[derive(Debug, Clone)]
pub struct Access(Vec<(Level, Option<String>, Pattern)>);

impl Access {
    /// The table in which all of this goes to one upstream.
    pub fn table(&self, upstream: &Arc<Upstream>) -> RouteTable {
        let route = |(level, method, pattern): &(Level, Option<String>, Pattern)| {
            plain_route(*level, method.clone(), pattern.clone(), upstream)
        };
        RouteTable::new(
            self.0.iter().map(route).collect(),
            Some(Arc::clone(upstream)),
        )
    }
}

impl FromStr for Access {
    type Err = RoutesInvalid;

    fn from_str(text: &str) -> Result<Self, RoutesInvalid> {
        let mut rules: Vec<(Level, Option<String>, Pattern)> = Vec::new();
        let mut mistakes = Vec::new();
        let written = text.split([';', '\n']).map(str::trim);
        for rule in written.filter(|rule| !rule.is_empty()) {
            match access_rule(rule) {
                Ok((level, method, pattern)) => {
                    let behind = rules.iter().find(|(_, wider, wide)| {
                        (wider.is_none() || *wider == method) && wide.covers(&pattern)
                    });
                    if let Some((.., wide)) = behind {
                        mistakes.push(shadowed(&format!("the rule {rule:?}"), &wide.text));
                    }
                    rules.push((level, method, pattern));
                }
                Err(cause) => mistakes.push(format!("the rule {rule:?} {cause}")),
            }
        }
        if mistakes.is_empty() {
            Ok(Self(rules))
        } else {
            Err(RoutesInvalid(mistakes))
        }
    }
}

fn access_rule(rule: &str) -> Result<(Level, Option<String>, Pattern), String> {
    let words: Vec<&str> = rule.split_whitespace().collect();
    let (level, method, pattern) = match words[..] {
        [level, pattern] => (level, None, pattern),
        [level, method, pattern] => (level, Some(method), pattern),
        _ => return Err("must read LEVEL [METHOD] PATTERN".to_owned()),
    };
    let level = level_of(level)?;
    let method = method.map(method_of).transpose()?;
    let pattern =
        Pattern::parse(pattern, false).map_err(|it| format!("has a pattern that {it}"))?;
    Ok((level, method, pattern))
}

fn plain_route(
    level: Level,
    method: Option<String>,
    pattern: Pattern,
    upstream: &Arc<Upstream>,
) -> Route {
    Route {
        host: None,
        methods: method.into_iter().collect(),
        pattern,
        level,
        queue: None,
        upstream: Arc::clone(upstream),
        strip: 0,
    }
}

fn upstream(
    name: &str,
    written: &WrittenUpstream,
    defaults: &UpstreamRules,
) -> Result<Arc<Upstream>, String> {
    let origins: Origins = told("addresses", written.addresses.join(",").parse())?;
    let mut rules = defaults.clone();
    if let Some(host) = &written.host {
        rules.host = told("host", host.parse())?;
    }
    if let Some(ca) = &written.ca {
        rules.trust = told("ca", ca.parse())?;
    }
    if let Some(ms) = written.connect_timeout_ms {
        rules.connect_timeout = Duration::from_millis(above_zero("connectTimeoutMs", ms)?);
    }
    if let Some(ms) = written.upload_pause_ms {
        rules.upload_pause = Duration::from_millis(above_zero("uploadPauseMs", ms)?);
    }
    if let Some(limit) = &written.answer_timeout_ms {
        let ms = limit_of("answerTimeoutMs", limit)?;
        rules.answer_timeout = ms.map(Duration::from_millis);
    }
    if let Some(limit) = &written.idle_timeout_ms {
        rules.idle_timeout = limit_of("idleTimeoutMs", limit)?.map(Duration::from_millis);
    }
    if let Some(limit) = &written.max_body_bytes {
        rules.max_body_bytes = limit_of("maxBodyBytes", limit)?;
    }
    if let Some(count) = written.connections {
        above_zero("connections", count as u64)?;
        rules.connections = count;
    }
    if let Some(check) = &written.check {
        rules.check = Some(told("check", check.parse::<CheckPath>())?.0);
    }
    Ok(Upstream::new(name, origins, rules))
}

fn told<T, E: fmt::Display>(field: &str, value: Result<T, E>) -> Result<T, String> {
    value.map_err(|cause| format!("{field} {cause}"))
}

fn above_zero(field: &str, number: u64) -> Result<u64, String> {
    if number == 0 {
        return Err(format!("{field} must be at least 1"));
    }
    Ok(number)
}

fn limit_of(field: &str, written: &Written) -> Result<Option<u64>, String> {
    match written {
        Written::Number(number) => above_zero(field, *number).map(Some),
        Written::Word(word) if word == "none" => Ok(None),
        Written::Word(_) => Err(format!("{field} must be a number from 1, or \"none\"")),
    }
}

fn route(
    written: &WrittenRoute,
    upstreams: &BTreeMap<&str, Arc<Upstream>>,
) -> Result<Route, String> {
    let pattern = told("path", Pattern::parse(&written.path, written.ignore_case))?;
    let level = level_of(&written.level).map_err(|it| format!("level {it}"))?;
    let upstream = match &written.upstream {
        Some(name) => upstreams.get(name.as_str()).cloned(),
        None if upstreams.len() == 1 => upstreams.values().next().cloned(),
        None => return Err("upstream must be named where there are several".to_owned()),
    };
    let upstream = upstream.ok_or("upstream is not one of this file, or is not sound")?;
    let methods = written.methods.iter().map(|it| method_of(it));
    let methods = methods
        .collect::<Result<_, _>>()
        .map_err(|it| format!("methods {it}"))?;
    let queue = written.queue.as_ref().map(|it| told("queue", it.parse()));
    let queue = queue.transpose()?;
    if queue.is_some() && pattern.names_queue() {
        return Err("queue is named by the path already".to_owned());
    }
    let strip = written.strip_prefix.as_deref().map_or(Ok(0), |prefix| {
        segments_of(prefix, &pattern)
            .ok_or("stripPrefix must be whole segments with which path begins")
    })?;
    Ok(Route {
        host: written.host.as_deref().map(host_of).transpose()?,
        methods,
        pattern,
        level,
        queue,
        upstream,
        strip,
    })
}

fn level_of(word: &str) -> Result<Level, String> {
    match word {
        "public" => Ok(Level::Public),
        "token" => Ok(Level::Token),
        "active" => Ok(Level::Active),
        "operator" => Ok(Level::Operator),
        _ => Err("must be public, token, active or operator".to_owned()),
    }
}

fn method_of(word: &str) -> Result<String, String> {
    if word == "HEAD" {
        return Err("must not name HEAD: it goes with GET".to_owned());
    }
    if !METHODS.contains(&word) {
        return Err(format!(
            "must be one of {}, in capitals",
            METHODS.join(", ")
        ));
    }
    Ok(word.to_owned())
}

fn host_of(text: &str) -> Result<String, String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-[]".contains(&byte);
    let is_address = text.starts_with('[');
    if text.is_empty() || !text.bytes().all(|it| fits(it) || is_address && it == b':') {
        return Err("host must be a name without a port, such as shop.example".to_owned());
    }
    Ok(text.to_ascii_lowercase())
}

/// How many segments a prefix has, if every path of the pattern begins with it.
fn segments_of(prefix: &str, pattern: &Pattern) -> Option<usize> {
    let form = normalize(prefix.strip_suffix('/').unwrap_or(prefix)).ok()?;
    let segments: Vec<String> = form
        .strip_prefix('/')?
        .split('/')
        .map(str::to_owned)
        .collect();
    pattern.begins_with(&segments).then_some(segments.len())
}

fn shadowed(what: &str, by: &str) -> String {
    format!("{what} can never decide: {by} before it fits everything that it fits")
}

fn finish(
    routes: Vec<(String, Route)>,
    rest: Option<Arc<Upstream>>,
    mut mistakes: Vec<String>,
) -> Result<RouteTable, RoutesInvalid> {
    for (at, (line, route)) in routes.iter().enumerate() {
        let wider = routes[..at].iter().find(|(_, wider)| wider.covers(route));
        if let Some((_, wider)) = wider {
            let what = format!("{line}: route {:?}", route.pattern.text);
            mistakes.push(shadowed(&what, &wider.pattern.text));
        }
    }
    if !mistakes.is_empty() {
        return Err(RoutesInvalid(mistakes));
    }
    let routes = routes.into_iter().map(|(_, route)| route).collect();
    Ok(RouteTable::new(routes, rest))
}

#[cfg(test)]
mod tests;
