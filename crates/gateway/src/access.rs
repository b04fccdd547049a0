//! Owns which paths of the upstream need what: the access table, and the one form of a path.
//!
//! The table is configuration, so the gateway can front any service. The first rule that fits
//! decides; a path that no rule fits needs an active visitor, so a forgotten rule opens nothing.
//! Rules are matched on the very path that the upstream gets, never on another spelling of it.

use std::borrow::Cow;
use std::str::FromStr;

/// What a visitor must have to reach a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Nothing.
    Public,
    /// A token, waiting or active.
    Token,
    /// An active visit.
    Active,
    /// An operator's key.
    Operator,
}

/// The levels of all paths, first fit first.
#[derive(Debug, Clone)]
pub struct AccessTable(Vec<Rule>);

#[derive(Debug, Clone)]
struct Rule {
    level: Level,
    /// `None` fits every method.
    method: Option<String>,
    segments: Vec<Segment>,
    /// The pattern as written, which also names the rule in logs and metrics.
    pattern: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Literal(String),
    /// `{name}`: any one segment.
    One,
    /// `**`: all that follows, also nothing.
    Rest,
}

/// A table that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the rule {rule:?} {must}")]
pub struct AccessInvalid {
    rule: String,
    must: &'static str,
}

/// A path that is spelled so that two programs could read it differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the path has a dot segment, an empty segment, a backslash or a bad or ambiguous escape")]
pub struct PathInvalid;

impl AccessTable {
    /// What `path`, in its one form, needs, and the pattern that says so.
    pub fn level(&self, method: &str, path: &str) -> (Level, &str) {
        let fits = |rule: &&Rule| rule.fits(method, path);
        match self.0.iter().find(fits) {
            Some(rule) => (rule.level, &rule.pattern),
            None => (Level::Active, "/**"),
        }
    }
}

impl FromStr for AccessTable {
    type Err = AccessInvalid;

    /// Reads `LEVEL [METHOD] PATTERN` rules, divided by `;` or line ends.
    fn from_str(text: &str) -> Result<Self, AccessInvalid> {
        text.split([';', '\n'])
            .map(str::trim)
            .filter(|rule| !rule.is_empty())
            .map(Rule::from_str)
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

impl FromStr for Rule {
    type Err = AccessInvalid;

    fn from_str(rule: &str) -> Result<Self, AccessInvalid> {
        let invalid = |must| AccessInvalid {
            rule: rule.to_owned(),
            must,
        };
        let words: Vec<&str> = rule.split_whitespace().collect();
        let (level, method, pattern) = match words[..] {
            [level, pattern] => (level, None, pattern),
            [level, method, pattern] => (level, Some(method), pattern),
            _ => return Err(invalid("must read LEVEL [METHOD] PATTERN")),
        };
        let level = match level {
            "public" => Level::Public,
            "token" => Level::Token,
            "active" => Level::Active,
            "operator" => Level::Operator,
            _ => return Err(invalid("must begin with public, token, active or operator")),
        };
        let method = match method {
            None => None,
            Some(name) if name.bytes().all(|byte| byte.is_ascii_uppercase()) => {
                Some(name.to_owned())
            }
            Some(_) => return Err(invalid("must have its method in capitals")),
        };
        let Some(rest) = pattern.strip_prefix('/') else {
            return Err(invalid("must have a pattern that begins with /"));
        };
        let segments: Vec<Segment> = rest.split('/').map(Segment::of).collect();
        let rest_at = segments.iter().position(|it| *it == Segment::Rest);
        if rest_at.is_some_and(|at| at + 1 != segments.len()) {
            return Err(invalid("may have ** only at the end of its pattern"));
        }
        Ok(Self {
            level,
            method,
            segments,
            pattern: pattern.to_owned(),
        })
    }
}

impl Segment {
    fn of(text: &str) -> Self {
        match text {
            "**" => Self::Rest,
            _ if text.starts_with('{') && text.ends_with('}') => Self::One,
            _ => Self::Literal(text.to_owned()),
        }
    }
}

impl Rule {
    fn fits(&self, method: &str, path: &str) -> bool {
        let asked = if method == "HEAD" { "GET" } else { method };
        if self.method.as_ref().is_some_and(|method| method != asked) {
            return false;
        }
        let mut given = path.strip_prefix('/').unwrap_or(path).split('/');
        for segment in &self.segments {
            if *segment == Segment::Rest {
                return true;
            }
            let fits = match (segment, given.next()) {
                (Segment::Literal(wanted), Some(given)) => wanted == given,
                (Segment::One, Some(given)) => !given.is_empty(),
                _ => false,
            };
            if !fits {
                return false;
            }
        }
        given.next().is_none()
    }
}

/// The one form of a path: escapes of unreserved characters (RFC 3986, section 2.3) decoded.
///
/// What two programs could read differently is refused: dot segments, empty segments before the
/// last, backslashes, escaped slashes and control characters.
pub fn one_form(path: &str) -> Result<Cow<'_, str>, PathInvalid> {
    let form = if path.contains('%') {
        Cow::Owned(decoded(path)?)
    } else {
        Cow::Borrowed(path)
    };
    let Some(rest) = form.strip_prefix('/') else {
        return Err(PathInvalid);
    };
    let last = rest.split('/').count() - 1;
    let odd = |(at, segment): (usize, &str)| {
        matches!(segment, "." | "..")
            || (segment.is_empty() && at != last)
            || segment.contains('\\')
    };
    if rest.split('/').enumerate().any(odd) {
        return Err(PathInvalid);
    }
    Ok(form)
}

fn decoded(path: &str) -> Result<String, PathInvalid> {
    let mut form = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = rest.find('%') {
        let (before, escape) = rest.split_at(at);
        form.push_str(before);
        let digits = escape.get(1..3).ok_or(PathInvalid)?;
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(PathInvalid);
        }
        let byte = u8::from_str_radix(digits, 16).map_err(|_| PathInvalid)?;
        match byte {
            b'/' | b'\\' | 0..=0x1f | 0x7f => return Err(PathInvalid),
            b'-' | b'.' | b'_' | b'~' => form.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => form.push(char::from(byte)),
            _ => {
                form.push('%');
                form.push_str(&digits.to_ascii_uppercase());
            }
        }
        rest = &escape[3..];
    }
    form.push_str(rest);
    Ok(form)
}

#[cfg(test)]
mod tests {
    use super::{AccessTable, Level, one_form};
    use crate::config::DEFAULT_ACCESS;

    #[test]
    fn the_default_table_is_the_contract_of_booking() {
        let table: AccessTable = DEFAULT_ACCESS.parse().expect("the default");
        let level = |method, path| table.level(method, path).0;
        assert_eq!(level("GET", "/api/v1/concerts"), Level::Public);
        assert_eq!(level("HEAD", "/api/v1/concerts"), Level::Public);
        assert_eq!(level("GET", "/api/v1/concerts/1"), Level::Public);
        assert_eq!(level("POST", "/api/v1/concerts"), Level::Active);
        assert_eq!(level("GET", "/api/v1/concerts/"), Level::Active);
        let schedules = "/api/v1/concerts/1/schedules";
        assert_eq!(level("GET", schedules), Level::Active);
        assert_eq!(level("GET", "/api/v1/users/1/balance"), Level::Token);
        assert_eq!(level("POST", "/api/v1/admin/concerts"), Level::Operator);
        assert_eq!(level("GET", "/api/v1/adminx"), Level::Active);
        assert_eq!(level("POST", "/api/v1/payments"), Level::Active);
        assert_eq!(level("GET", "/"), Level::Active);
    }

    #[test]
    fn a_path_that_no_rule_fits_needs_an_active_visitor() {
        let table: AccessTable = "public GET /a".parse().expect("a table");
        assert_eq!(table.level("GET", "/b").0, Level::Active);
    }

    #[test]
    fn a_rule_that_cannot_be_understood_is_named() {
        for odd in [
            "open /a",
            "public",
            "public get /a",
            "public GET a",
            "public /**/a",
            "public GET /a b",
        ] {
            let refused = odd.parse::<AccessTable>().expect_err(odd);
            assert!(refused.to_string().contains(odd), "{refused}");
        }
    }

    #[test]
    fn every_spelling_of_a_path_is_matched_as_one() {
        assert_eq!(one_form("/api/%61dmin").as_deref(), Ok("/api/admin"));
        assert_eq!(one_form("/a%20b%c3%a9").as_deref(), Ok("/a%20b%C3%A9"));
        assert_eq!(one_form("/a/").as_deref(), Ok("/a/"));
        for odd in [
            "",
            "a",
            "/a/../b",
            "/./a",
            "/a//b",
            "//a",
            "/%2e%2E/a",
            "/a%2fb",
            "/a\\b",
            "/a%5cb",
            "/a%00",
            "/a%",
            "/a%4",
            "/a%zz",
            "/a%+1",
            "/a%é",
        ] {
            assert!(one_form(odd).is_err(), "{odd:?}");
        }
    }
}
