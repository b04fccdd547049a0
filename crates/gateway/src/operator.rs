//! Owns who may steer: operator keys by name, kept as hashes, compared in constant time.

use std::str::FromStr;

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// A shorter key could be guessed.
const SHORTEST_KEY: usize = 16;

/// Everybody who may steer. Without keys, nobody.
#[derive(Clone, Default)]
pub struct Operators(Vec<Operator>);

#[derive(Clone)]
struct Operator {
    name: String,
    hash: [u8; 32],
}

/// Operator keys that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OperatorsInvalid {
    /// Not `name:key` pairs.
    #[error("must read name:key[,name:key], names of letters, digits, '-' and '_'")]
    Form,
    /// A key that could be guessed.
    #[error("has a key of fewer than 16 characters")]
    Short,
}

impl Operators {
    /// The name behind a key. Every hash is compared, so time does not tell how near a guess is.
    pub fn name_of(&self, key: &str) -> Option<&str> {
        let hash: [u8; 32] = Sha256::digest(key.as_bytes()).into();
        let mut found = None;
        for operator in &self.0 {
            if bool::from(operator.hash.ct_eq(&hash)) {
                found = Some(operator.name.as_str());
            }
        }
        found
    }
}

impl FromStr for Operators {
    type Err = OperatorsInvalid;

    fn from_str(text: &str) -> Result<Self, OperatorsInvalid> {
        let operator = |pair: &str| {
            let (name, key) = pair.trim().split_once(':').ok_or(OperatorsInvalid::Form)?;
            let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
            if name.is_empty() || !name.bytes().all(letter) {
                return Err(OperatorsInvalid::Form);
            }
            if key.len() < SHORTEST_KEY {
                return Err(OperatorsInvalid::Short);
            }
            Ok(Operator {
                name: name.to_owned(),
                hash: Sha256::digest(key.as_bytes()).into(),
            })
        };
        text.split(',')
            .map(operator)
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::{Operators, OperatorsInvalid};

    #[test]
    fn a_key_names_its_operator_and_any_other_nobody() {
        let operators: Operators = "ann:0123456789abcdef,bob:fedcba9876543210"
            .parse()
            .expect("two operators");
        assert_eq!(operators.name_of("fedcba9876543210"), Some("bob"));
        assert_eq!(operators.name_of("fedcba987654321"), None);
        assert_eq!(operators.name_of(""), None);
        assert_eq!(Operators::default().name_of(""), None);
    }

    #[test]
    fn a_key_without_a_name_or_too_short_is_refused() {
        let refused = |text: &str| text.parse::<Operators>().err();
        assert_eq!(refused("0123456789abcdef"), Some(OperatorsInvalid::Form));
        assert_eq!(
            refused("a b:0123456789abcdef"),
            Some(OperatorsInvalid::Form)
        );
        assert_eq!(refused("ann:short"), Some(OperatorsInvalid::Short));
    }
}
