//! Owns who may steer: operator keys by name, kept as hashes, compared in constant time.

use std::collections::BTreeSet;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// A shorter key could be guessed.
const SHORTEST_KEY: usize = 16;

/// What stands before a key that is given as its hash.
const HASHED: &str = "sha256=";

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
    #[error(
        "must read name:key or name:sha256=HASH, apart by commas, names of letters, digits, '-' and '_'"
    )]
    Form,
    /// A key that could be guessed.
    #[error("has a key of fewer than 16 characters")]
    Short,
    /// Not the hash of a key.
    #[error("has a hash that is not 64 hex digits")]
    Hash,
    /// Two operators with one name: the record could not tell them apart.
    #[error("has a name twice")]
    Twice,
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
            let hash = match key.strip_prefix(HASHED) {
                Some(hash) => hash_of_hex(hash).ok_or(OperatorsInvalid::Hash)?,
                None if key.len() < SHORTEST_KEY => return Err(OperatorsInvalid::Short),
                None => Sha256::digest(key.as_bytes()).into(),
            };
            Ok(Operator {
                name: name.to_owned(),
                hash,
            })
        };
        let operators: Vec<_> = text.split(',').map(operator).collect::<Result<_, _>>()?;
        let names: BTreeSet<_> = operators.iter().map(|it| &it.name).collect();
        if names.len() < operators.len() {
            return Err(OperatorsInvalid::Twice);
        }
        Ok(Self(operators))
    }
}

fn hash_of_hex(hex: &str) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    // Only digits: a number of Rust may also begin with a sign.
    let is_hex = hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    for (at, byte) in hash.iter_mut().enumerate().filter(|_| is_hex) {
        *byte = u8::from_str_radix(hex.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    is_hex.then_some(hash)
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
    fn a_key_may_be_configured_as_its_hash() {
        // `printf %s fedcba9876543210 | sha256sum`
        let hash = "3465f6e6975baa864ca957f0914ecda9bf7eb601ac31ac20a5dc3d329279a843";
        let operators: Operators = format!("ann:0123456789abcdef,bob:sha256={hash}")
            .parse()
            .expect("two operators");
        assert_eq!(operators.name_of("fedcba9876543210"), Some("bob"));
        assert_eq!(operators.name_of("0123456789abcdef"), Some("ann"));
        assert_eq!(operators.name_of(hash), None, "a hash is no key");
        assert_eq!(operators.name_of(&format!("sha256={hash}")), None);
        for odd in ["", "ab", &hash[1..], &format!("+{}", &hash[1..])] {
            let refused = format!("bob:sha256={odd}").parse::<Operators>().err();
            assert_eq!(refused, Some(OperatorsInvalid::Hash), "{odd}");
        }
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
        let twice = "ann:0123456789abcdef,ann:fedcba9876543210";
        assert_eq!(refused(twice), Some(OperatorsInvalid::Twice));
    }
}
