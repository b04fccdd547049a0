//! Owns how a path may be read: in the spelling in which it came, and as other programs read it.
//!
//! A path is passed on as it came, and nobody knows how the service behind reads it. So it is
//! judged in every way in which a usual program might: with empty segments folded, with `\` and an
//! escaped `/` or `\` as `/`, without `;parameters`, without a slash at its end. The strictest
//! judgement holds. What would lead to another place than it says, a dot segment in any spelling,
//! is refused.

use std::borrow::Cow;

/// All readings of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readings<'a> {
    plain: Cow<'a, str>,
    others: Vec<String>,
}

/// A path that no two programs need to read alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the path has a dot segment, a bad escape or a control character")]
pub struct PathInvalid;

impl<'a> Readings<'a> {
    /// The readings of a path as it came.
    ///
    /// # Errors
    /// It has a dot segment in some spelling, an escape that is none, or a control character.
    pub fn of(path: &'a str) -> Result<Self, PathInvalid> {
        if !path.starts_with('/') {
            return Err(PathInvalid);
        }
        let is_odd = path.contains(['%', '\\', ';']) || path.contains("//");
        let mut readings = Self {
            plain: Cow::Borrowed(path),
            others: Vec::new(),
        };
        if is_odd {
            readings.plain = Cow::Owned(normalize(path)?);
        }
        if has_dot_segment(&readings.plain) {
            return Err(PathInvalid);
        }
        if is_odd {
            let folded = fold(&readings.plain);
            let bare = without_parameters(&folded);
            readings.others.extend([folded, bare]);
        }
        readings.add_without_end();
        Ok(readings)
    }

    /// The path in its own spelling, escapes of letters and digits resolved.
    pub fn plain(&self) -> &str {
        &self.plain
    }

    /// All readings, the plain one first.
    pub fn all(&self) -> impl Iterator<Item = &str> {
        let others = self.others.iter().map(String::as_str);
        std::iter::once(&*self.plain).chain(others)
    }

    /// A slash at the end means nothing to many programs.
    fn add_without_end(&mut self) {
        let shorter = |path: &str| {
            let shorter = path.trim_end_matches('/');
            (!shorter.is_empty() && shorter.len() < path.len()).then(|| shorter.to_owned())
        };
        let more: Vec<_> = self.all().filter_map(shorter).collect();
        self.others.extend(more);
    }
}

/// Escapes of unreserved characters (RFC 3986, section 2.3) decoded, all others in capitals.
pub fn normalize(path: &str) -> Result<String, PathInvalid> {
    let mut form = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = rest.find('%') {
        let (before, escape) = rest.split_at(at);
        form.push_str(before);
        let byte = escaped(escape).ok_or(PathInvalid)?;
        match byte {
            0..=0x1f | 0x7f => return Err(PathInvalid),
            b'-' | b'.' | b'_' | b'~' => form.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => form.push(char::from(byte)),
            _ => {
                form.push('%');
                form.push_str(&escape[1..3].to_ascii_uppercase());
            }
        }
        rest = &escape[3..];
    }
    form.push_str(rest);
    Ok(form)
}

/// The byte of the escape with which `text` begins.
fn escaped(text: &str) -> Option<u8> {
    let digits = text.get(1..3)?;
    let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex
        .then(|| u8::from_str_radix(digits, 16).ok())
        .flatten()
}

/// Everything that may divide segments as `/`, and no empty ones.
fn fold(path: &str) -> String {
    let path = path
        .replace('\\', "/")
        .replace("%2F", "/")
        .replace("%5C", "/");
    let mut folded = String::with_capacity(path.len());
    for letter in path.chars() {
        if letter != '/' || !folded.ends_with('/') {
            folded.push(letter);
        }
    }
    folded
}

fn without_parameters(path: &str) -> String {
    let bare = |segment: &str| segment.split(';').next().unwrap_or_default().to_owned();
    fold(&path.split('/').map(bare).collect::<Vec<_>>().join("/"))
}

/// Whether some program would find `.` or `..` among the segments: decoded once or more often, or
/// from the overlong forms of UTF-8, with anything behind a `;` and any space around.
fn has_dot_segment(path: &str) -> bool {
    if !path.contains('.') && !path.contains('%') {
        return false;
    }
    let mut bytes = path.as_bytes().to_vec();
    loop {
        let dots = bytes
            .split(|byte| matches!(byte, b'/' | b'\\'))
            .map(|segment| {
                segment
                    .split(|byte| *byte == b';')
                    .next()
                    .unwrap_or_default()
            })
            .any(|segment| matches!(segment.trim_ascii(), b"." | b".."));
        if dots {
            return true;
        }
        let decoded = decode(&bytes);
        if decoded == bytes {
            return false;
        }
        bytes = decoded;
    }
}

/// One round of decoding. Each makes the text shorter, so rounds come to an end.
fn decode(bytes: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escape = bytes
            .get(at..at + 3)
            .and_then(|it| std::str::from_utf8(it).ok());
        let (byte, length) = match escape.filter(|it| it.starts_with('%')).and_then(escaped) {
            Some(byte) => (byte, 3),
            None => (bytes[at], 1),
        };
        decoded.push(byte);
        at += length;
        match decoded[..] {
            [.., 0xc0, 0xae] => replace_overlong(&mut decoded, b'.'),
            [.., 0xc0, 0xaf] => replace_overlong(&mut decoded, b'/'),
            [.., 0xc1, 0x9c] => replace_overlong(&mut decoded, b'\\'),
            _ => {}
        }
    }
    decoded
}

fn replace_overlong(decoded: &mut Vec<u8>, by: u8) {
    decoded.truncate(decoded.len() - 2);
    decoded.push(by);
}

#[cfg(test)]
mod tests {
    use super::Readings;

    fn all(path: &str) -> Vec<String> {
        let readings = Readings::of(path).unwrap_or_else(|_| panic!("{path}"));
        readings.all().map(str::to_owned).collect()
    }

    #[test]
    fn a_usual_path_has_one_reading() {
        assert_eq!(all("/api/v1/seats"), ["/api/v1/seats"]);
        assert_eq!(all("/a.b/..c/d..e"), ["/a.b/..c/d..e"]);
        assert_eq!(all("/"), ["/"]);
    }

    #[test]
    fn a_path_is_read_as_other_programs_would() {
        assert_eq!(all("/%61dmin")[0], "/admin");
        assert_eq!(all("/a%20b%c3%a9")[0], "/a%20b%C3%A9");
        for (path, reading) in [
            ("/admin/", "/admin"),
            ("//admin", "/admin"),
            ("/api//admin", "/api/admin"),
            ("/api%2fadmin", "/api/admin"),
            ("/api\\admin", "/api/admin"),
            ("/api%5Cadmin", "/api/admin"),
            ("/admin;x=1/keys", "/admin/keys"),
            ("/admin;x=1/", "/admin"),
            ("/;a/admin", "/admin"),
        ] {
            assert!(
                all(path).iter().any(|it| it == reading),
                "{path}: {:?}",
                all(path)
            );
        }
    }

    #[test]
    fn what_leads_elsewhere_is_refused_in_every_spelling() {
        for odd in [
            "",
            "a",
            "*",
            "/a/../b",
            "/./a",
            "/..",
            "/%2e%2E/a",
            "/.%2e/a",
            "/a/..;/b",
            "/a/..;x=1/b",
            "/a/.;/b",
            "/a%2f..%2fb",
            "/a\\..\\b",
            "/a%5c..%5cb",
            "/a/%252e%252e/b",
            "/a/%25252e./b",
            "/a%252f..%252fb",
            "/a/%c0%ae%c0%ae/b",
            "/a%c0%af..%c0%afb",
            "/a/..%20/b",
            "/a%00",
            "/a%0d%0ab",
            "/a%",
            "/a%4",
            "/a%zz",
            "/a%+1",
            "/a%é",
        ] {
            assert!(Readings::of(odd).is_err(), "{odd:?}");
        }
    }
}
