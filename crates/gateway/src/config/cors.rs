//! Which pages of other origins may call, and what they may send and read.

use std::str::FromStr;

use chassis::env::Env;

/// What pages of other origins may do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cors {
    /// `GATEWAY_CORS_ORIGINS`: pages of these may call.
    pub origins: Vec<String>,
    /// `GATEWAY_CORS_METHODS`: empty is every method.
    pub methods: Vec<String>,
    /// `GATEWAY_CORS_HEADERS`: headers of requests; empty is every header.
    pub headers: Vec<String>,
    /// `GATEWAY_CORS_EXPOSED`: headers of answers, beside ours.
    pub exposed: Vec<String>,
}

/// Origins of pages that may call the gateway from a browser.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Origins(Vec<String>);

/// Not a list of origins.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an origin such as https://shop.example")]
struct OriginInvalid(String);

/// Names of methods or headers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Names(Vec<String>);

/// Not a list of names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a name of a method or header; they stand apart by commas")]
struct NameInvalid(String);

impl Cors {
    /// Reads and declares the variables.
    pub fn read(env: &mut Env<'_>) -> Self {
        let origins: Origins = env.or(
            "GATEWAY_CORS_ORIGINS",
            "",
            "Origins of pages that may call, such as https://shop.example; by commas.",
        );
        let methods: Names = env.or(
            "GATEWAY_CORS_METHODS",
            "",
            "Methods that such pages may use; by commas. Empty is all.",
        );
        let headers: Names = env.or(
            "GATEWAY_CORS_HEADERS",
            "",
            "Headers that such pages may send; by commas. Empty is all.",
        );
        let exposed: Names = env.or(
            "GATEWAY_CORS_EXPOSED",
            "",
            "Headers that such pages may read, beside ours and those that the upstream exposes; by commas.",
        );
        Self {
            origins: origins.0,
            methods: methods.0,
            headers: headers.0,
            exposed: exposed.0,
        }
    }

    /// Whether pages of this origin may call.
    pub fn allows(&self, origin: &[u8]) -> bool {
        self.origins.iter().any(|it| it.as_bytes() == origin)
    }

    /// Whether no origin may.
    pub fn is_off(&self) -> bool {
        self.origins.is_empty()
    }
}

impl FromStr for Origins {
    type Err = OriginInvalid;

    fn from_str(text: &str) -> Result<Self, OriginInvalid> {
        let origin = |text: &str| {
            let host = text
                .strip_prefix("https://")
                .or_else(|| text.strip_prefix("http://"));
            match host {
                Some(host) if !host.is_empty() && !host.contains(['/', '*', '?', ' ']) => {
                    Ok(text.to_owned())
                }
                _ => Err(OriginInvalid(text.to_owned())),
            }
        };
        listed(text).map(origin).collect::<Result<_, _>>().map(Self)
    }
}

impl FromStr for Names {
    type Err = NameInvalid;

    fn from_str(text: &str) -> Result<Self, NameInvalid> {
        let name = |text: &str| {
            let is_name = http::HeaderName::from_bytes(text.as_bytes()).is_ok();
            is_name
                .then(|| text.to_owned())
                .ok_or_else(|| NameInvalid(text.to_owned()))
        };
        listed(text).map(name).collect::<Result<_, _>>().map(Self)
    }
}

fn listed(text: &str) -> impl Iterator<Item = &str> {
    let all = text.split(',').map(str::trim);
    all.filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::{Names, Origins};

    #[test]
    fn origins_are_whole() {
        let origins: Origins = "https://a.example, http://b:3000".parse().expect("two");
        assert_eq!(origins.0.len(), 2);
        assert!("*".parse::<Origins>().is_err());
        assert!("https://a/b".parse::<Origins>().is_err());
    }

    #[test]
    fn names_are_names() {
        assert_eq!("X-A, b".parse::<Names>().expect("two").0.len(), 2);
        assert!("a b".parse::<Names>().is_err());
    }
}
