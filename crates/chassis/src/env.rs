//! Owns how a service reads its configuration: a pure function of a lookup.
//!
//! Reading a variable also declares it, so the page that `--help` prints can never differ from
//! what is read. All mistakes are collected and told at once; a value of a secret is never shown.
//! A secret `NAME` may stand in a file that `NAME_FILE` names.

use std::fmt::{Display, Write as _};
use std::fs;
use std::str::FromStr;

/// Exit code for a bad command line or configuration (`EX_USAGE` of BSD's sysexits).
pub const EXIT_USAGE: u8 = 64;
/// Exit code for a store or port that cannot be had (`EX_UNAVAILABLE` of BSD's sysexits).
pub const EXIT_UNAVAILABLE: u8 = 69;

/// Reads variables and remembers which it was asked for.
pub struct Env<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    variables: Vec<Variable>,
    mistakes: Vec<String>,
}

/// A variable as `--help` shows it.
struct Variable {
    name: &'static str,
    default: Option<&'static str>,
    required: bool,
    help: &'static str,
}

/// Everything that is wrong with the configuration, a sentence each.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct ConfigInvalid(pub Vec<String>);

/// What a program reads of its environment.
pub trait Configuration: Sized {
    /// Reads and declares every variable. `None` means that `env` noted a mistake.
    fn read(env: &mut Env<'_>) -> Option<Self>;

    /// What `lookup` gives, or everything that is wrong with it.
    fn found(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self, ConfigInvalid> {
        let mut env = Env::new(lookup);
        let found = Self::read(&mut env);
        env.finish()?;
        // What is missing was noted as a mistake, so `finish` has told it already.
        found.ok_or_else(|| ConfigInvalid(vec!["a variable that must be set is not".to_owned()]))
    }

    /// The page of all variables, for `--help`.
    fn page() -> String {
        let mut env = Env::new(&|_| None);
        Self::read(&mut env);
        env.page()
    }
}

impl<'a> Env<'a> {
    /// Reads from `lookup`; the services pass the process environment, tests a map.
    pub fn new(lookup: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self {
            lookup,
            variables: Vec::new(),
            mistakes: Vec::new(),
        }
    }

    /// The value, or `default` where the variable is not set.
    ///
    /// # Panics
    /// When `default` itself does not parse: that is a mistake in the program.
    pub fn or<T>(&mut self, name: &'static str, default: &'static str, help: &'static str) -> T
    where
        T: FromStr,
        T::Err: Display,
    {
        self.value_or(name, default, help, true)
    }

    /// As [`Env::or`], of a value that may hold a secret. A mistake does not show it.
    ///
    /// # Panics
    /// When `default` itself does not parse: that is a mistake in the program.
    pub fn secret_or<T>(
        &mut self,
        name: &'static str,
        default: &'static str,
        help: &'static str,
    ) -> T
    where
        T: FromStr,
        T::Err: Display,
    {
        self.value_or(name, default, help, false)
    }

    /// The value, or `None` where the variable is not set.
    pub fn optional<T>(&mut self, name: &'static str, help: &'static str) -> Option<T>
    where
        T: FromStr,
        T::Err: Display,
    {
        self.declare(name, None, false, help);
        let text = self.value(name)?;
        self.parse(name, &text, true)
    }

    /// A secret, or `None` where it is not set. A mistake does not show it.
    pub fn optional_secret<T>(&mut self, name: &'static str, help: &'static str) -> Option<T>
    where
        T: FromStr,
        T::Err: Display,
    {
        self.declare(name, None, false, help);
        let text = self.secret_value(name)?;
        self.parse(name, &text, false)
    }

    /// A value that must be set. `None` means that a mistake was noted.
    pub fn required<T>(&mut self, name: &'static str, help: &'static str) -> Option<T>
    where
        T: FromStr,
        T::Err: Display,
    {
        self.required_value(name, help, true)
    }

    /// A secret that must be set. `None` means that a mistake was noted.
    pub fn secret<T>(&mut self, name: &'static str, help: &'static str) -> Option<T>
    where
        T: FromStr,
        T::Err: Display,
    {
        self.required_value(name, help, false)
    }

    fn required_value<T>(&mut self, name: &'static str, help: &'static str, show: bool) -> Option<T>
    where
        T: FromStr,
        T::Err: Display,
    {
        self.declare(name, None, true, help);
        let mistakes = self.mistakes.len();
        let value = if show {
            self.value(name)
        } else {
            self.secret_value(name)
        };
        match value {
            Some(text) => self.parse(name, &text, show),
            None => {
                if self.mistakes.len() == mistakes {
                    self.mistakes.push(format!("{name} must be set. {help}"));
                }
                None
            }
        }
    }

    /// Notes a mistake about `name` unless `holds`.
    pub fn check(&mut self, name: &'static str, holds: bool, must: &str) {
        if !holds {
            self.mistakes.push(format!("{name} {must}"));
        }
    }

    /// All mistakes, or the proof that there are none.
    pub fn finish(self) -> Result<(), ConfigInvalid> {
        if self.mistakes.is_empty() {
            return Ok(());
        }
        Err(ConfigInvalid(self.mistakes))
    }

    /// The page of all variables that were read, for `--help`.
    pub fn page(&self) -> String {
        let mut page = String::from("Environment variables:\n");
        for variable in &self.variables {
            let default = match variable.default {
                Some("") => "default: empty".to_owned(),
                Some(default) => format!("default: {default}"),
                None if variable.required => "required".to_owned(),
                None => "optional".to_owned(),
            };
            // Writing to a string cannot fail.
            let _ = write!(page, "\n  {}  [{default}]\n", variable.name);
            for line in variable.help.lines() {
                let _ = writeln!(page, "      {line}");
            }
        }
        page
    }

    fn value_or<T>(
        &mut self,
        name: &'static str,
        default: &'static str,
        help: &'static str,
        show: bool,
    ) -> T
    where
        T: FromStr,
        T::Err: Display,
    {
        self.declare(name, Some(default), false, help);
        let fallback = || match default.parse() {
            Ok(value) => value,
            Err(cause) => panic!("the default of {name} does not parse: {cause}"),
        };
        let given = match show {
            true => self.value(name),
            false => self.secret_value(name),
        };
        match given {
            Some(text) => self.parse(name, &text, show).unwrap_or_else(fallback),
            None => fallback(),
        }
    }

    fn declare(
        &mut self,
        name: &'static str,
        default: Option<&'static str>,
        required: bool,
        help: &'static str,
    ) {
        self.variables.push(Variable {
            name,
            default,
            required,
            help,
        });
    }

    /// An empty variable counts as one that is not set, as compose files leave them.
    fn value(&self, name: &str) -> Option<String> {
        (self.lookup)(name).filter(|text| !text.trim().is_empty())
    }

    /// A secret may also stand in a file that `NAME_FILE` names, as container platforms mount them; the variable itself wins.
    fn secret_value(&mut self, name: &str) -> Option<String> {
        if let Some(text) = self.value(name) {
            return Some(text);
        }
        let path = self.value(&format!("{name}_FILE"))?;
        match fs::read_to_string(&path) {
            Ok(text) if !text.trim().is_empty() => Some(text),
            Ok(_) => {
                self.mistakes.push(format!("{name}_FILE: {path} is empty"));
                None
            }
            Err(cause) => {
                self.mistakes
                    .push(format!("{name}_FILE: {path} cannot be read: {cause}"));
                None
            }
        }
    }

    fn parse<T>(&mut self, name: &str, text: &str, show: bool) -> Option<T>
    where
        T: FromStr,
        T::Err: Display,
    {
        match text.trim().parse() {
            Ok(value) => Some(value),
            Err(cause) => {
                let shown = if show {
                    format!(" (it is {text:?})")
                } else {
                    String::new()
                };
                self.mistakes.push(format!("{name}: {cause}{shown}"));
                None
            }
        }
    }
}

/// The names of all variables on these pages of [`Env::page`].
fn names_on<'p>(pages: &[&'p str]) -> Vec<&'p str> {
    let lines = pages.iter().flat_map(|page| page.lines());
    let headings = lines.filter_map(|line| line.strip_prefix("  "));
    let names = headings.filter_map(|line| line.split_once("  ["));
    names.map(|(name, _)| name).collect()
}

/// A sentence for each variable among `given` that begins with `prefix` and stands on none of `pages`:
/// probably a typing error. What Kubernetes sets for services of that name is nobody's error.
pub fn unknown(
    prefix: &str,
    pages: &[&str],
    given: impl Iterator<Item = (String, String)>,
) -> Vec<String> {
    let known = names_on(pages);
    let is_known = |name: &str| {
        let of_secret = name.strip_suffix("_FILE");
        known.contains(&name) || of_secret.is_some_and(|it| known.contains(&it))
    };
    let odd = given.filter(|(name, value)| {
        name.starts_with(prefix) && !is_known(name) && !is_service_link(name, value)
    });
    let sentence = |name: String| {
        let nearest = known.iter().min_by_key(|it| distance(it, &name));
        let nearest = nearest.filter(|it| distance(it, &name) <= name.len() / 3);
        match nearest {
            Some(nearest) => format!("{name} is not known; {nearest} is meant, perhaps"),
            None => format!("{name} is not known"),
        }
    };
    let mut sentences: Vec<_> = odd.map(|(name, _)| sentence(name)).collect();
    sentences.sort();
    sentences
}

/// `X_SERVICE_HOST`, `X_SERVICE_PORT…`, `X_PORT=tcp://…` and `X_PORT_8080_TCP…`.
fn is_service_link(name: &str, value: &str) -> bool {
    let is_port = |rest: &str| {
        let mut words = rest.split('_');
        let number = words.next().unwrap_or_default();
        !number.is_empty()
            && number.bytes().all(|it| it.is_ascii_digit())
            && matches!(words.next(), Some("TCP" | "UDP" | "SCTP"))
    };
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || (name.ends_with("_PORT") && value.contains("://"))
        || name
            .split_once("_PORT_")
            .is_some_and(|(_, rest)| is_port(rest))
}

/// How many letters must be put in, taken out or replaced to make one of the other.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, letter) in one.bytes().enumerate() {
        let mut corner = at;
        row[0] = at + 1;
        for (beside, theirs) in other.bytes().enumerate() {
            let replaced = corner + usize::from(letter != theirs);
            corner = row[beside + 1];
            row[beside + 1] = replaced.min(corner + 1).min(row[beside] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::{Env, unknown};

    #[test]
    fn a_variable_that_is_not_set_or_empty_has_its_default() {
        let lookup = |name: &str| (name == "EMPTY").then(String::new);
        let mut env = Env::new(&lookup);
        assert_eq!(env.or::<u16>("PORT", "8080", "The port."), 8080);
        assert_eq!(env.or::<u16>("EMPTY", "1", "Empty."), 1);
        assert_eq!(env.optional::<u16>("NONE", "Nothing."), None);
        assert!(env.finish().is_ok());
    }

    #[test]
    fn all_mistakes_are_told_at_once_by_name_and_a_secret_is_never_shown() {
        let lookup = |name: &str| match name {
            "PORT" => Some("x".to_owned()),
            "KEY" => Some("hunter2".to_owned()),
            _ => None,
        };
        let mut env = Env::new(&lookup);
        assert_eq!(env.or::<u16>("PORT", "8080", "The port."), 8080);
        assert_eq!(env.secret::<u16>("KEY", "A key."), None);
        assert_eq!(env.secret::<String>("OTHER", "Another key."), None);
        assert_eq!(env.optional_secret::<u16>("KEY", "A key."), None);
        assert_eq!(env.optional_secret::<u16>("NONE", "No key."), None);
        assert_eq!(env.secret_or::<u16>("KEY", "7", "A key too."), 7);
        assert_eq!(env.secret_or::<u16>("NONE", "7", "A key too."), 7);
        env.check("PORT", false, "must be odd");
        let told = env.finish().expect_err("six mistakes").to_string();
        assert_eq!(told.lines().count(), 6, "{told}");
        assert!(told.contains("PORT") && told.contains("\"x\"") && told.contains("OTHER"));
        assert!(!told.contains("hunter2"));
    }

    #[test]
    fn a_secret_may_stand_in_a_file_and_the_variable_itself_wins() {
        let folder = std::env::temp_dir().join(format!("env-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join("key");
        std::fs::write(&path, "42\n").expect("written");
        let lookup = |name: &str| match name {
            "KEY_FILE" | "BOTH_FILE" => Some(path.display().to_string()),
            "BOTH" => Some("7".to_owned()),
            "PORT_FILE" => Some(path.display().to_string()),
            "GONE_FILE" => Some("/nowhere/key".to_owned()),
            _ => None,
        };
        let mut env = Env::new(&lookup);
        assert_eq!(env.secret::<u16>("KEY", "A key."), Some(42));
        assert_eq!(env.secret_or::<u16>("BOTH", "1", "A key."), 7);
        assert_eq!(env.optional::<u16>("PORT", "No secret."), None);
        assert_eq!(env.secret::<u16>("GONE", "A key."), None);
        let told = env.finish().expect_err("one mistake").to_string();
        assert_eq!(told.lines().count(), 1, "{told}");
        assert!(told.contains("GONE_FILE: /nowhere/key"), "{told}");
        std::fs::remove_dir_all(&folder).expect("removed");
    }

    #[test]
    fn a_variable_that_nobody_knows_is_named_with_the_nearest_that_somebody_does() {
        let page = "Environment variables:\n\n  SHOP_LISTEN  [default: x]\n      Where.\n\n  SHOP_KEY  [required]\n      A key.\n";
        let given = |name: &str, value: &str| {
            let given = [(name.to_owned(), value.to_owned())];
            unknown("SHOP_", &[page], given.into_iter())
        };
        for fine in ["SHOP_LISTEN", "SHOP_KEY", "SHOP_KEY_FILE", "OTHER_LISTEN"] {
            assert!(given(fine, "x").is_empty(), "{fine}");
        }
        for (link, value) in [
            ("SHOP_PORT", "tcp://10.0.0.1:80"),
            ("SHOP_PORT_8080_TCP", "x"),
            ("SHOP_PORT_8080_TCP_ADDR", "x"),
            ("SHOP_SERVICE_HOST", "x"),
            ("SHOP_ADMIN_SERVICE_PORT_HTTP", "x"),
        ] {
            assert!(given(link, value).is_empty(), "{link}");
        }
        assert_eq!(
            given("SHOP_LISTN", "x"),
            ["SHOP_LISTN is not known; SHOP_LISTEN is meant, perhaps"]
        );
        assert_eq!(given("SHOP_COLOUR", "x"), ["SHOP_COLOUR is not known"]);
        assert_eq!(given("SHOP_PORT", "80").len(), 1);
    }

    #[test]
    fn the_page_lists_every_variable_with_its_default() {
        let lookup = |_: &str| None;
        let mut env = Env::new(&lookup);
        env.or::<u16>("PORT", "8080", "The port.");
        env.secret::<String>("KEY", "A key.");
        let page = env.page();
        assert!(page.contains("PORT  [default: 8080]") && page.contains("KEY  [required]"));
    }
}
