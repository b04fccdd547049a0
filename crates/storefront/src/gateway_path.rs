//! Owns where the gateway's own routes stand, as the shop's pages name them.

use std::str::FromStr;

/// Nothing, or `/name` once or more often: `GATEWAY_BASE_PATH` of the gateway in front.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GatewayPath(String);

/// Not such a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be empty or begin with /, without a / at its end, of letters, digits, '-', '_' and '.'"
)]
pub struct GatewayPathInvalid;

impl GatewayPath {
    /// As it stands before a route.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for GatewayPath {
    type Err = GatewayPathInvalid;

    fn from_str(text: &str) -> Result<Self, GatewayPathInvalid> {
        let is_name = |name: &str| {
            let is_plain = |it: char| it.is_ascii_alphanumeric() || "-_.".contains(it);
            !name.is_empty() && name.chars().all(is_plain)
        };
        let is_path = text
            .strip_prefix('/')
            .is_some_and(|rest| rest.split('/').all(is_name));
        if text.is_empty() || is_path {
            return Ok(Self(text.to_owned()));
        }
        Err(GatewayPathInvalid)
    }
}

#[cfg(test)]
mod tests {
    use super::GatewayPath;

    #[test]
    fn what_could_end_a_string_of_a_script_is_refused() {
        for good in ["", "/usher", "/a/b-c"] {
            assert!(good.parse::<GatewayPath>().is_ok(), "{good:?}");
        }
        for bad in ["/", "usher", "/usher/", "/a\"b", "//x", "/ü"] {
            assert!(bad.parse::<GatewayPath>().is_err(), "{bad:?}");
        }
    }
}
