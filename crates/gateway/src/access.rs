//! Owns which paths of the upstream need what: the access table.
//!
//! The table is configuration, so the gateway can front any service. The first rule that fits
//! decides; a path that no rule fits needs an active visitor, so a forgotten rule opens nothing.
//! A path is judged in each of its readings, and the strictest judgement holds.

mod path;

use std::str::FromStr;

pub use path::{PathInvalid, Readings};

/// What a visitor must have to reach a path, from the mildest to the strictest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nothing.
    Public,
    /// A proof of who they are, in whatever state their visit is.
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

impl AccessTable {
    /// What a path needs by the strictest of its readings, and the pattern that says so.
    pub fn level(&self, method: &str, path: &Readings<'_>) -> (Level, &str) {
        let mut levels = path.all().map(|reading| self.level_of(method, reading));
        // There is one reading at least.
        let first = levels.next().unwrap_or((Level::Operator, ""));
        levels.fold(first, |strictest, other| {
            if other.0 > strictest.0 {
                other
            } else {
                strictest
            }
        })
    }

    fn level_of(&self, method: &str, path: &str) -> (Level, &str) {
        match self.0.iter().find(|rule| rule.fits(method, path)) {
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

#[cfg(test)]
mod tests {
    use super::{AccessTable, Level, Readings};
    use crate::config::DEFAULT_ACCESS;

    fn level(table: &AccessTable, method: &str, path: &str) -> Level {
        let path = Readings::of(path).expect("a path");
        table.level(method, &path).0
    }

    #[test]
    fn the_default_table_is_the_contract_of_booking() {
        let table: AccessTable = DEFAULT_ACCESS.parse().expect("the default");
        let level = |method, path| level(&table, method, path);
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
        assert_eq!(level("POST", "/api/v1/payments"), Level::Token);
        assert_eq!(level("POST", "/api/v1/reservations"), Level::Active);
        assert_eq!(level("GET", "/api/v1/reservations"), Level::Token);
        assert_eq!(level("DELETE", "/api/v1/reservations/1"), Level::Token);
        assert_eq!(
            level("POST", "/api/v1/reservations/1/extensions"),
            Level::Token
        );
        assert_eq!(level("GET", "/api/v1/integrity"), Level::Public);
        assert_eq!(level("POST", "/api/v1/provider/events"), Level::Public);
        assert_eq!(level("GET", "/api/v1/schedules/1/seats"), Level::Active);
        assert_eq!(level("GET", "/"), Level::Active);
    }

    #[test]
    fn a_path_that_no_rule_fits_needs_an_active_visitor() {
        let table: AccessTable = "public GET /a".parse().expect("a table");
        assert_eq!(level(&table, "GET", "/b"), Level::Active);
    }

    #[test]
    fn the_strictest_reading_of_a_path_holds() {
        let table = "operator /admin/**; public /api/**; public /**";
        let table: AccessTable = table.parse().expect("a table");
        for path in [
            "/admin/",
            "//admin",
            "/%61dmin",
            "/admin;x/keys",
            "/\\admin",
            "/%5cadmin/keys",
            "/admin%2Fkeys",
        ] {
            assert_eq!(level(&table, "GET", path), Level::Operator, "{path}");
        }
        for path in ["/api//seats", "/api/caf%c3%a9", "/api/a%2Fb", "/%61pi/x"] {
            assert_eq!(level(&table, "GET", path), Level::Public, "{path}");
        }
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
}
