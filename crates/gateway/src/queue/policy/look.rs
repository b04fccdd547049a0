//! How the waiting page of a queue looks: what an organiser may say of it.

use super::{PolicyChange, PolicyError, ensure};
use crate::queue::policy::Policy;

/// Longest title, in characters.
const LONGEST_TITLE: usize = 100;
/// Longest address, in bytes.
const LONGEST_ADDRESS: usize = 500;

/// Puts what was named in place; an empty text takes it back.
pub(super) fn change(policy: &mut Policy, change: &PolicyChange) {
    let pairs = [
        (&mut policy.title, &change.title),
        (&mut policy.logo_url, &change.logo_url),
        (&mut policy.accent_color, &change.accent_color),
        (&mut policy.home_url, &change.home_url),
    ];
    for (kept, wanted) in pairs {
        if let Some(wanted) = wanted {
            *kept = wanted.clone().filter(|text| !text.is_empty());
        }
    }
}

/// Whether all of it can be shown.
pub(super) fn check(policy: &Policy) -> Result<(), PolicyError> {
    let holds =
        |text: &Option<String>, rule: &dyn Fn(&str) -> bool| text.as_deref().is_none_or(rule);
    let is_title =
        |text: &str| text.chars().count() <= LONGEST_TITLE && !text.chars().any(char::is_control);
    ensure(
        holds(&policy.title, &is_title),
        "title",
        "has at most 100 characters and no control characters",
    )?;
    ensure(
        holds(&policy.logo_url, &is_address),
        "logoUrl",
        "is an address that begins with https://, http:// or /, of at most 500 characters",
    )?;
    ensure(
        holds(&policy.accent_color, &is_colour),
        "accentColor",
        "is a colour such as #1a7f5a",
    )?;
    ensure(
        holds(&policy.home_url, &is_address),
        "homeUrl",
        "is an address that begins with https://, http:// or /, of at most 500 characters",
    )
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
