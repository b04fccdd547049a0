//! Owns the patterns of paths: how they are written, what they match, and which of two is wider.

use std::borrow::Cow;

use super::path::normalize;

/// The name of the segment that names a queue.
const QUEUE: &str = "queue";

/// A pattern of paths: literal segments, `{name}` for any one segment, `**` at the end for the rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// As it was written, which also names the route in logs and metrics.
    pub text: String,
    segments: Vec<Segment>,
    ignores_case: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Literal(String),
    /// Any one segment, and whether it names a queue.
    One {
        is_queue: bool,
    },
    /// All that follows, also nothing.
    Rest,
}

/// Why a pattern is refused: it could never match, or not what it seems to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PatternInvalid {
    /// No leading slash.
    #[error("must begin with /")]
    Slash,
    /// A `*` that means nothing here.
    #[error("may have ** only as its last segment, and no other *")]
    Star,
    /// Letters that no request has as they are.
    #[error("must have everything but ASCII escaped, as in caf%C3%A9")]
    NotAscii,
    /// A query, a fragment, a space, or a character that ends a path.
    #[error("must be a path alone, without ?, #, spaces or control characters")]
    NotAPath,
    /// A broken escape.
    #[error("has an escape that is none")]
    Escape,
    /// A dot segment, which is refused in every request.
    #[error("can never match: a request with a dot segment is refused")]
    Dots,
    /// An empty segment.
    #[error("can never match: it has an empty segment before its end")]
    Empty,
    /// Braces that do not name one segment.
    #[error("must have braces around a whole segment, as in {{name}}")]
    Braces,
    /// Two segments that name a queue.
    #[error("names the queue twice")]
    TwoQueues,
}

/// What a path has where a pattern matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Matched<'p> {
    /// The segment that names a queue.
    pub queue: Option<&'p str>,
}

impl Pattern {
    /// Understands a pattern.
    ///
    /// # Errors
    /// See [`PatternInvalid`].
    pub fn parse(text: &str, ignores_case: bool) -> Result<Self, PatternInvalid> {
        if !text.is_ascii() {
            return Err(PatternInvalid::NotAscii);
        }
        let odd = |byte: u8| byte.is_ascii_control() || b" ?#\\".contains(&byte);
        if text.bytes().any(odd) {
            return Err(PatternInvalid::NotAPath);
        }
        let form = normalize(text).map_err(|_| PatternInvalid::Escape)?;
        let rest = form.strip_prefix('/').ok_or(PatternInvalid::Slash)?;
        let parts: Vec<&str> = rest.split('/').collect();
        let last = parts.len() - 1;
        let segments = parts.iter().enumerate();
        let segments: Vec<Segment> = segments
            .map(|(at, part)| Segment::parse(part, at == last))
            .collect::<Result<_, _>>()?;
        let queues = segments.iter().filter(|it| it.is_queue()).count();
        if queues > 1 {
            return Err(PatternInvalid::TwoQueues);
        }
        Ok(Self {
            text: text.to_owned(),
            segments,
            ignores_case,
        })
    }

    /// What a path has, if this fits it.
    pub fn matched<'p>(&self, path: &'p str) -> Option<Matched<'p>> {
        let mut given = path.strip_prefix('/').unwrap_or(path).split('/');
        let mut matched = Matched { queue: None };
        for segment in &self.segments {
            match (segment, given.next()) {
                (Segment::Rest, _) => return Some(matched),
                (Segment::Literal(wanted), Some(given)) if self.is_same(wanted, given) => {}
                (Segment::One { is_queue }, Some(given)) if !given.is_empty() => {
                    if *is_queue {
                        matched.queue = Some(given);
                    }
                }
                _ => return None,
            }
        }
        given.next().is_none().then_some(matched)
    }

    /// Whether every path that `other` fits is one that this fits too.
    pub fn covers(&self, other: &Self) -> bool {
        // What is read in two cases is wider than one of them.
        if other.ignores_case && !self.ignores_case && other.has_letters() {
            return matches!(self.segments[..], [Segment::Rest]);
        }
        let mut theirs = other.segments.iter();
        for own in &self.segments {
            match (own, theirs.next()) {
                (Segment::Rest, _) => return true,
                (Segment::Literal(own), Some(Segment::Literal(their)))
                    if self.is_same(own, their) => {}
                (Segment::One { .. }, Some(Segment::One { .. })) => {}
                (Segment::One { .. }, Some(Segment::Literal(their))) if !their.is_empty() => {}
                _ => return false,
            }
        }
        theirs.next().is_none()
    }

    /// Whether each path that it fits begins with this prefix of whole segments.
    pub fn begins_with(&self, prefix: &[String]) -> bool {
        let same = |(own, wanted): (&Segment, &String)| match own {
            Segment::Literal(own) => self.is_same(own, wanted),
            _ => false,
        };
        prefix.len() <= self.segments.len() && self.segments.iter().zip(prefix).all(same)
    }

    /// Whether it takes the queue from the path.
    pub fn names_queue(&self) -> bool {
        self.segments.iter().any(Segment::is_queue)
    }

    fn is_same(&self, own: &str, given: &str) -> bool {
        if self.ignores_case {
            own.eq_ignore_ascii_case(given)
        } else {
            own == given
        }
    }

    fn has_letters(&self) -> bool {
        let is_literal = |segment: &Segment| matches!(segment, Segment::Literal(text) if text.bytes().any(|it| it.is_ascii_alphabetic()));
        self.segments.iter().any(is_literal)
    }
}

impl Segment {
    fn parse(text: &str, is_last: bool) -> Result<Self, PatternInvalid> {
        if text == "**" && is_last {
            return Ok(Self::Rest);
        }
        if text.contains('*') {
            return Err(PatternInvalid::Star);
        }
        if let Some(name) = text.strip_prefix('{').and_then(|it| it.strip_suffix('}')) {
            if name.is_empty() || name.contains(['{', '}']) {
                return Err(PatternInvalid::Braces);
            }
            return Ok(Self::One {
                is_queue: name == QUEUE,
            });
        }
        let bare: Cow<'_, str> = text.split(';').next().unwrap_or_default().into();
        match text {
            _ if text.contains(['{', '}']) => Err(PatternInvalid::Braces),
            "" if !is_last => Err(PatternInvalid::Empty),
            _ if bare == "." || bare == ".." => Err(PatternInvalid::Dots),
            _ => Ok(Self::Literal(text.to_owned())),
        }
    }

    fn is_queue(&self) -> bool {
        matches!(self, Self::One { is_queue: true })
    }
}

#[cfg(test)]
mod tests {
    use super::{Pattern, PatternInvalid};

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text, false).expect(text)
    }

    #[test]
    fn a_pattern_that_could_never_match_is_refused_with_the_reason() {
        for (text, reason) in [
            ("a", PatternInvalid::Slash),
            ("", PatternInvalid::Slash),
            ("/**/a", PatternInvalid::Star),
            ("/a*", PatternInvalid::Star),
            ("/*", PatternInvalid::Star),
            ("/café", PatternInvalid::NotAscii),
            ("/a?b", PatternInvalid::NotAPath),
            ("/a\\b", PatternInvalid::NotAPath),
            ("/a%zz", PatternInvalid::Escape),
            ("/a/../b", PatternInvalid::Dots),
            ("/%2e%2e/b", PatternInvalid::Dots),
            ("/..;x", PatternInvalid::Dots),
            ("//a", PatternInvalid::Empty),
            ("/a//b", PatternInvalid::Empty),
            ("/{}", PatternInvalid::Braces),
            ("/a{b}", PatternInvalid::Braces),
            ("/{queue}/{queue}", PatternInvalid::TwoQueues),
        ] {
            assert_eq!(Pattern::parse(text, false), Err(reason), "{text}");
        }
    }

    #[test]
    fn one_segment_or_the_rest() {
        assert!(pattern("/a/{id}").matched("/a/1").is_some());
        assert!(pattern("/a/{id}").matched("/a/").is_none());
        assert!(pattern("/a/{id}").matched("/a/1/2").is_none());
        for path in ["/a", "/a/", "/a/1", "/a/1/2"] {
            assert!(pattern("/a/**").matched(path).is_some(), "{path}");
        }
        assert!(pattern("/a/**").matched("/ab").is_none());
        assert!(pattern("/caf%c3%a9").matched("/caf%C3%A9").is_some());
        let matched = pattern("/q/{queue}/x").matched("/q/vip/x");
        assert_eq!(matched.and_then(|it| it.queue), Some("vip"));
        assert!(
            Pattern::parse("/Admin", true)
                .expect("sound")
                .matched("/aDMIN")
                .is_some()
        );
        assert!(pattern("/Admin").matched("/admin").is_none());
    }

    #[test]
    fn a_wider_pattern_covers_a_narrower_one() {
        for (wide, narrow) in [
            ("/**", "/a"),
            ("/**", "/"),
            ("/a/**", "/a"),
            ("/a/**", "/a/{id}/b"),
            ("/a/{x}", "/a/{y}"),
            ("/a/{x}", "/a/b"),
            ("/a/**", "/a/b/**"),
        ] {
            assert!(pattern(wide).covers(&pattern(narrow)), "{wide} {narrow}");
        }
        for (one, other) in [
            ("/a/{x}", "/a/**"),
            ("/a/b", "/a/{x}"),
            ("/a", "/b"),
            ("/a/{x}", "/a/"),
        ] {
            assert!(!pattern(one).covers(&pattern(other)), "{one} {other}");
        }
        let both = Pattern::parse("/a", true).expect("sound");
        assert!(both.covers(&pattern("/A")) && !pattern("/a").covers(&both));
    }
}
