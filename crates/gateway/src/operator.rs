//! Owns who may steer, and what: operator keys by name, kept as hashes, compared in constant time.
//!
//! A key has all rights, or those alone that stand behind it. The gateway asks for `read` and `queue`
//! itself; the others are for the services behind, which are told of them in the pass.

use std::collections::BTreeSet;
use std::str::FromStr;

use serde::Serialize;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// A shorter key could be guessed.
const SHORTEST_KEY: usize = 16;

/// What stands before a key that is given as its hash.
const HASHED: &str = "sha256=";

/// Everybody who may steer. Without keys, nobody.
#[derive(Clone, Default)]
pub struct Operators(Vec<Operator>);

/// One operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// As the record of changes names them.
    pub name: String,
    /// What they may do; `None` is everything.
    pub rights: Option<BTreeSet<Right>>,
    hash: [u8; 32],
}

/// What an operator's key may be good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Right {
    /// Look at what operators see.
    Read,
    /// Steer queues.
    Queue,
    /// Change what is sold.
    Sale,
    /// Serve customers.
    Desk,
    /// Move money.
    Money,
}

/// The key is good, and not for this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the key lacks a right")]
pub struct RightMissing(pub Right);

/// Operator keys that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OperatorsInvalid {
    /// Not `name:key` pairs.
    #[error(
        "must read name:key or name:sha256=HASH, each with :RIGHT+RIGHT behind it or not, apart by commas, \
         names of letters, digits, '-' and '_'"
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
    /// Who has this key. Every hash is compared, so time does not tell how near a guess is.
    pub fn find(&self, key: &str) -> Option<&Operator> {
        let hash: [u8; 32] = Sha256::digest(key.as_bytes()).into();
        let mut found = None;
        for operator in &self.0 {
            if bool::from(operator.hash.ct_eq(&hash)) {
                found = Some(operator);
            }
        }
        found
    }

    /// Names, rights and hashes of all keys, for comparing two gateways.
    pub fn described(&self) -> String {
        format!("{:?}", self.0)
    }
}

impl Operator {
    /// Whether this operator may do that.
    ///
    /// # Errors
    /// The right that is missing.
    pub fn allowed(&self, right: Right) -> Result<(), RightMissing> {
        match &self.rights {
            Some(rights) if !rights.contains(&right) => Err(RightMissing(right)),
            _ => Ok(()),
        }
    }
}

impl Right {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Queue => "queue",
            Self::Sale => "sale",
            Self::Desk => "desk",
            Self::Money => "money",
        }
    }

    fn of(word: &str) -> Option<Self> {
        let all = [Self::Read, Self::Queue, Self::Sale, Self::Desk, Self::Money];
        all.into_iter().find(|right| right.as_str() == word)
    }
}

/// A key without its rights, and the rights. The last part is rights only if all its words are, so that
/// a key may hold colons.
fn with_rights(text: &str) -> (&str, Option<BTreeSet<Right>>) {
    let Some((key, words)) = text.rsplit_once(':') else {
        return (text, None);
    };
    let rights: Option<BTreeSet<_>> = words.split('+').map(Right::of).collect();
    match rights {
        Some(rights) => (key, Some(rights)),
        None => (text, None),
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
            let (key, rights) = with_rights(key);
            let hash = match key.strip_prefix(HASHED) {
                Some(hash) => hash_of_hex(hash).ok_or(OperatorsInvalid::Hash)?,
                None if key.len() < SHORTEST_KEY => return Err(OperatorsInvalid::Short),
                None => Sha256::digest(key.as_bytes()).into(),
            };
            Ok(Operator {
                name: name.to_owned(),
                rights,
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
    use super::{Operators, OperatorsInvalid, Right, RightMissing};

    fn name(operators: &Operators, key: &str) -> Option<String> {
        operators.find(key).map(|it| it.name.clone())
    }

    #[test]
    fn a_key_names_its_operator_and_any_other_nobody() {
        let operators: Operators = "ann:0123456789abcdef,bob:fedcba9876543210"
            .parse()
            .expect("two operators");
        assert_eq!(name(&operators, "fedcba9876543210"), Some("bob".to_owned()));
        assert_eq!(name(&operators, "fedcba987654321"), None);
        assert_eq!(name(&operators, ""), None);
        assert_eq!(name(&Operators::default(), ""), None);
    }

    #[test]
    fn a_key_may_be_configured_as_its_hash() {
        // `printf %s fedcba9876543210 | sha256sum`
        let hash = "3465f6e6975baa864ca957f0914ecda9bf7eb601ac31ac20a5dc3d329279a843";
        let operators: Operators = format!("ann:0123456789abcdef,bob:sha256={hash}")
            .parse()
            .expect("two operators");
        assert_eq!(name(&operators, "fedcba9876543210"), Some("bob".to_owned()));
        assert_eq!(name(&operators, "0123456789abcdef"), Some("ann".to_owned()));
        assert_eq!(name(&operators, hash), None, "a hash is no key");
        assert_eq!(name(&operators, &format!("sha256={hash}")), None);
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

    #[test]
    fn a_key_may_be_narrowed_to_some_rights() {
        let text = "all:0123456789abcdef,few:fedcba9876543210:read+queue,odd:0123456789:read+all";
        let operators: Operators = text.parse().expect("three operators");
        let allowed = |key, right| operators.find(key).map(|it| it.allowed(right));
        assert_eq!(allowed("0123456789abcdef", Right::Money), Some(Ok(())));
        assert_eq!(allowed("fedcba9876543210", Right::Queue), Some(Ok(())));
        assert_eq!(
            allowed("fedcba9876543210", Right::Money),
            Some(Err(RightMissing(Right::Money)))
        );
        assert_eq!(allowed("fedcba9876543210:read+queue", Right::Read), None);
        let whole = allowed("0123456789:read+all", Right::Sale);
        assert_eq!(whole, Some(Ok(())), "not all are rights, so it is the key");
    }
}
