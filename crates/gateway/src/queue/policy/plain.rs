//! Owns the plain rules, which are a whole number or a text: each is one row, and the row is all that a change,
//! the check and the scripts need of it. The ranges stand in `PolicyChange` too, for the document; a test compares.

use super::{Policy, PolicyChange, PolicyError, ensure};

/// A rule that is a whole number.
struct Whole {
    /// As clients name it.
    field: &'static str,
    least: u32,
    most: u32,
    /// As scripts name it, where they decide by it; what is absent is 0 to them.
    script: Option<&'static str>,
    kept: fn(&Policy) -> Option<u32>,
    change: fn(&mut Policy, &PolicyChange),
}

/// A rule that is a text, which may be absent.
struct Text {
    /// As clients name it.
    field: &'static str,
    /// What must hold, as the rest of a sentence.
    must: &'static str,
    holds: fn(&str) -> bool,
    kept: fn(&Policy) -> Option<&str>,
    change: fn(&mut Policy, &PolicyChange),
}

/// A row of a number that is always there.
macro_rules! whole {
    ($rule:ident as $field:literal, $least:literal to $most:literal, $script:expr) => {
        Whole {
            field: $field,
            least: $least,
            most: $most,
            script: $script,
            kept: |policy| Some(policy.$rule),
            change: |policy, change| {
                if let Some(wanted) = change.$rule {
                    policy.$rule = within(wanted);
                }
            },
        }
    };
}

/// A row of a text; an empty one takes it back.
macro_rules! text {
    ($rule:ident, $field:literal, $holds:expr, $must:literal) => {
        Text {
            field: $field,
            must: $must,
            holds: $holds,
            kept: |policy| policy.$rule.as_deref(),
            change: |policy, change| {
                if let Some(wanted) = &change.$rule {
                    policy.$rule = wanted.clone().filter(|text| !text.is_empty());
                }
            },
        }
    };
}

/// All whole numbers.
static NUMBERS: [Whole; 6] = [
    // Who waits so long for the first byte is gone.
    whole!(target_latency_ms as "targetLatencyMs", 1 to 60_000, None),
    whole!(max_active as "maxActive", 1 to 1_000_000, Some("max_active")),
    // A day.
    whole!(lease_seconds as "leaseSeconds", 1 to 86_400, Some("lease_seconds")),
    // An hour.
    whole!(claim_seconds as "claimSeconds", 1 to 3_600, Some("claim_seconds")),
    // Shorter than the shortest would end visits between two clicks.
    Whole {
        field: "idleSeconds",
        least: 5,
        most: 86_400,
        script: Some("idle_seconds"),
        kept: |policy| policy.idle_seconds,
        change: |policy, change| {
            if let Some(wanted) = change.idle_seconds {
                policy.idle_seconds = wanted.map(within);
            }
        },
    },
    // 150 bytes each in Redis.
    whole!(max_waiting as "maxWaiting", 1 to 10_000_000, Some("max_waiting")),
];

/// All texts but the commitment of a seed, which is digits.
static TEXTS: [Text; 6] = [
    text!(
        message,
        "message",
        |text| is_line(text, 500),
        "has at most 500 characters and no control characters"
    ),
    text!(
        title,
        "title",
        |text| is_line(text, 100),
        "has at most 100 characters and no control characters"
    ),
    text!(
        logo_url,
        "logoUrl",
        is_address,
        "is an address that begins with https://, http:// or /, of at most 500 characters"
    ),
    text!(
        accent_color,
        "accentColor",
        is_colour,
        "is a colour such as #1a7f5a"
    ),
    text!(
        home_url,
        "homeUrl",
        is_address,
        "is an address that begins with https://, http:// or /, of at most 500 characters"
    ),
    text!(
        beacon,
        "beacon",
        |text| is_line(text, 200),
        "has at most 200 characters and no control characters"
    ),
];

/// Longest address, in bytes.
const LONGEST_ADDRESS: usize = 500;

/// Puts what was named in place.
pub(super) fn change(policy: &mut Policy, change: &PolicyChange) {
    for rule in &NUMBERS {
        (rule.change)(policy, change);
    }
    for rule in &TEXTS {
        (rule.change)(policy, change);
    }
}

/// Whether all numbers lie in their ranges.
pub(super) fn check_numbers(policy: &Policy) -> Result<(), PolicyError> {
    for rule in &NUMBERS {
        let (least, most) = (rule.least, rule.most);
        let is_in_range = |number: u32| (least..=most).contains(&number);
        if !(rule.kept)(policy).is_none_or(is_in_range) {
            let must = format!("is a whole number from {least} to {most}");
            return Err(PolicyError {
                field: rule.field,
                must: must.into(),
            });
        }
    }
    Ok(())
}

/// Whether all texts can be shown.
pub(super) fn check_texts(policy: &Policy) -> Result<(), PolicyError> {
    for rule in &TEXTS {
        let holds = (rule.kept)(policy).is_none_or(rule.holds);
        ensure(holds, rule.field, rule.must)?;
    }
    Ok(())
}

/// What scripts decide by.
pub(super) fn script_fields(policy: &Policy) -> Vec<(&'static str, String)> {
    let named = NUMBERS.iter().filter_map(|rule| {
        let number = (rule.kept)(policy).unwrap_or(0);
        Some((rule.script?, number.to_string()))
    });
    named.collect()
}

/// What no rule may be becomes 0 or the largest number, which no rule may be either.
fn within(wanted: i64) -> u32 {
    u32::try_from(wanted.max(0)).unwrap_or(u32::MAX)
}

fn is_line(text: &str, most: usize) -> bool {
    text.chars().count() <= most && !text.chars().any(char::is_control)
}

/// Letters that have a meaning in a policy of a page, or in a header, are none of an address.
fn is_address(text: &str) -> bool {
    let begins = ["https://", "http://"]
        .iter()
        .any(|it| text.starts_with(it));
    let is_local = text.starts_with('/') && !text.starts_with("//");
    let fits = |byte: u8| byte.is_ascii_graphic() && !b"\"'<>\\;,`{}|^".contains(&byte);
    (begins || is_local) && text.len() <= LONGEST_ADDRESS && text.bytes().all(fits)
}

fn is_colour(text: &str) -> bool {
    let digits = text.strip_prefix('#');
    digits.is_some_and(|it| it.len() == 6 && it.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use crate::queue::policy::{Policy, PolicyChange};

    fn changed(json: &str) -> Result<Policy, String> {
        let change: PolicyChange = serde_json::from_str(json).map_err(|it| it.to_string())?;
        Policy::default()
            .changed(&change)
            .map_err(|it| it.to_string())
    }

    #[test]
    fn what_cannot_be_shown_is_refused_and_an_empty_text_takes_back() {
        let good = r##"{ "title": "오로라", "logoUrl": "https://cdn.example/a.svg?b=c", "accentColor": "#1a7f5a", "homeUrl": "/" }"##;
        assert_eq!(
            changed(good).expect("a look").title.as_deref(),
            Some("오로라")
        );
        assert_eq!(
            changed(r#"{ "title": "" }"#).expect("taken back").title,
            None
        );
        for odd in [
            r#"{ "title": "a\nb" }"#,
            r#"{ "logoUrl": "javascript:alert(1)" }"#,
            r#"{ "logoUrl": "https://a.example; script-src *" }"#,
            r#"{ "logoUrl": "//a.example/b" }"#,
            r#"{ "accentColor": "red" }"#,
            r#"{ "homeUrl": "a.example" }"#,
        ] {
            assert!(changed(odd).is_err(), "{odd}");
        }
    }
}
