//! Words and prices that an operator gives, checked once at the door.

use serde::{Deserialize, Serialize};

/// The dearest seat, in minor units: four of these stay below the limit of a wallet, so every seat can be paid.
const PRICE_MAX: i64 = 100_000_000;

/// Why a word or a price is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WordingError {
    /// A title or venue: 1 to 200 characters, without control characters.
    #[error("must be 1 to 200 characters without control characters")]
    Title,
    /// A queue name.
    #[error("must be 1 to 32 of a-z, 0-9 and -, and start with a letter or digit")]
    QueueName,
    /// A grade.
    #[error("must be 1 to 32 of A-Z, a-z, 0-9, _ and -")]
    Grade,
    /// A price in minor units.
    #[error("must be a whole number from 0 to {PRICE_MAX}")]
    Price,
}

/// What a concert or a venue is called.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String")]
pub struct Title(String);

impl Title {
    /// The text, without blanks around it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Title {
    type Error = WordingError;

    fn try_from(text: String) -> Result<Self, WordingError> {
        let text = text.trim();
        let sound =
            (1..=200).contains(&text.chars().count()) && !text.chars().any(char::is_control);
        if sound {
            Ok(Self(text.to_owned()))
        } else {
            Err(WordingError::Title)
        }
    }
}

/// The name of a queue of the waiting room.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct QueueName(String);

impl QueueName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for QueueName {
    type Error = WordingError;

    fn try_from(text: String) -> Result<Self, WordingError> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let sound =
            (1..=32).contains(&text.len()) && text.bytes().all(allowed) && !text.starts_with('-');
        if sound {
            Ok(Self(text))
        } else {
            Err(WordingError::QueueName)
        }
    }
}

/// What seats of one price are called, such as `VIP`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String")]
pub struct Grade(String);

impl Grade {
    /// The word.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Grade {
    type Error = WordingError;

    fn try_from(text: String) -> Result<Self, WordingError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        let sound = (1..=32).contains(&text.len()) && text.bytes().all(allowed);
        if sound {
            Ok(Self(text))
        } else {
            Err(WordingError::Grade)
        }
    }
}

/// The price of a seat in minor units; 0 is a free seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "i64")]
pub struct Price(i64);

impl Price {
    /// Minor units.
    pub fn minor(self) -> i64 {
        self.0
    }
}

impl TryFrom<i64> for Price {
    type Error = WordingError;

    fn try_from(minor: i64) -> Result<Self, WordingError> {
        if (0..=PRICE_MAX).contains(&minor) {
            Ok(Self(minor))
        } else {
            Err(WordingError::Price)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Grade, Price, QueueName, Title};

    #[test]
    fn words_that_would_make_trouble_later_are_refused_at_the_door() {
        for odd in ["", "  ", "a\u{0}b", "line\nbreak", &"x".repeat(201)] {
            assert!(Title::try_from(odd.to_owned()).is_err(), "{odd:?}");
        }
        for odd in ["", "-a", "Main", "a b", "a'--", "ü", &"x".repeat(33)] {
            assert!(QueueName::try_from(odd.to_owned()).is_err(), "{odd:?}");
        }
        for odd in ["", "A B", "é", &"x".repeat(33)] {
            assert!(Grade::try_from(odd.to_owned()).is_err(), "{odd:?}");
        }
        for odd in [-1, 100_000_001, i64::MAX, i64::MIN] {
            assert!(Price::try_from(odd).is_err(), "{odd}");
        }
    }

    #[test]
    fn ordinary_words_pass() {
        assert_eq!(
            Title::try_from(" 'Ω' & \"x\"; -- ".to_owned()).map(|t| t.0),
            Ok("'Ω' & \"x\"; --".into())
        );
        assert!(QueueName::try_from("concert-2026".to_owned()).is_ok());
        assert!(Grade::try_from("VIP_1".to_owned()).is_ok());
        assert!(Price::try_from(0).is_ok());
    }
}
