//! Owns how addresses are written into pages, and which of them a redirect may lead to.

/// Text as it may stand in the query of an address.
pub fn encoded(text: &str) -> String {
    let mut all = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            all.push(char::from(byte));
        } else {
            all.push_str(&format!("%{byte:02X}"));
        }
    }
    all
}

/// An address of this very site, which a redirect may lead to.
pub fn is_local(address: &str) -> bool {
    address.starts_with('/')
        && !address.starts_with("//")
        && !address.contains('\\')
        && !address.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::{encoded, is_local};

    #[test]
    fn only_an_address_of_this_site_is_one_to_go_back_to() {
        assert!(is_local("/a?b=c%20d"));
        for odd in [
            "",
            "a",
            "//evil.example",
            "/\\evil.example",
            "https://e.example",
            "/a\nb",
        ] {
            assert!(!is_local(odd), "{odd:?}");
        }
        assert_eq!(encoded("/a?b=c&d=é"), "/a%3Fb%3Dc%26d%3D%C3%A9");
    }
}
