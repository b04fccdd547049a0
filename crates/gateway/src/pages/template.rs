//! Owns templates with variables in double braces, as in mustache: `{{name}}` is escaped text,
//! `{{#name}}…{{/name}}` is there where the name has a value (once for each item of a list),
//! `{{^name}}…{{/name}}` where it has none.
//!
//! A template is checked when it is read, so one that renders once renders always.

use std::collections::BTreeMap;

/// What a name stands for.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Text; escaped where it is shown.
    Text(String),
    /// One block for each; inside, its names come before those outside.
    Items(Vec<Values>),
}

/// The values of names. A name that is missing, or has an empty text, has none.
pub type Values = BTreeMap<&'static str, Value>;

/// A template that was read and checked.
#[derive(Debug, Clone)]
pub struct Template(Vec<Node>);

#[derive(Debug, Clone)]
enum Node {
    Text(String),
    Name(String),
    /// The nodes inside, and whether they are there where the name has no value.
    Section(String, Vec<Node>, bool),
}

/// A template that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateInvalid {
    /// `{{` without `}}`.
    #[error("line {0}: {{{{ without }}}}")]
    Open(usize),
    /// A name that the page does not have.
    #[error("line {line}: there is no {name:?}; there are {known}")]
    Name {
        /// Where.
        line: usize,
        /// What was written.
        name: String,
        /// What could have been.
        known: String,
    },
    /// A section that is not closed, or closed by another's end.
    #[error("line {line}: the section {name:?} is not closed in order")]
    Section {
        /// Where.
        line: usize,
        /// Of which name.
        name: String,
    },
}

impl Template {
    /// Reads a template that uses `names` only.
    ///
    /// # Errors
    /// The first mistake, with its line.
    pub fn read(text: &str, names: &[&str]) -> Result<Self, TemplateInvalid> {
        let mut reader = Reader {
            whole: text,
            at: 0,
            names,
        };
        reader.nodes(None).map(Self)
    }

    /// The page with these values.
    pub fn render(&self, values: &Values) -> String {
        let mut page = String::with_capacity(8 * 1024);
        render(&self.0, &[values], &mut page);
        page
    }
}

struct Reader<'a> {
    whole: &'a str,
    at: usize,
    names: &'a [&'a str],
}

impl Reader<'_> {
    /// The nodes up to the end of `section`, or of the text.
    fn nodes(&mut self, section: Option<&str>) -> Result<Vec<Node>, TemplateInvalid> {
        let mut nodes = Vec::new();
        loop {
            let rest = &self.whole[self.at..];
            let Some(open) = rest.find("{{") else {
                if let Some(name) = section {
                    return Err(self.unclosed(name));
                }
                nodes.push(Node::Text(rest.to_owned()));
                return Ok(nodes);
            };
            let inner = &rest[open + 2..];
            let Some(close) = inner.find("}}") else {
                self.at += open;
                return Err(TemplateInvalid::Open(self.line()));
            };
            nodes.push(Node::Text(rest[..open].to_owned()));
            self.at += open + 2 + close + 2;
            let tag = inner[..close].trim().to_owned();
            let (kind, name) = match tag.split_at_checked(1) {
                Some(("#", name)) => ('#', name.trim()),
                Some(("^", name)) => ('^', name.trim()),
                Some(("/", name)) => ('/', name.trim()),
                _ => ('=', tag.as_str()),
            };
            self.check(name)?;
            match kind {
                '/' if section == Some(name) => return Ok(nodes),
                '/' => return Err(self.unclosed(section.unwrap_or(name))),
                '=' => nodes.push(Node::Name(name.to_owned())),
                kind => {
                    let inside = self.nodes(Some(name))?;
                    nodes.push(Node::Section(name.to_owned(), inside, kind == '^'));
                }
            }
        }
    }

    fn check(&self, name: &str) -> Result<(), TemplateInvalid> {
        if self.names.contains(&name) {
            return Ok(());
        }
        Err(TemplateInvalid::Name {
            line: self.line(),
            name: name.to_owned(),
            known: self.names.join(", "),
        })
    }

    fn unclosed(&self, name: &str) -> TemplateInvalid {
        TemplateInvalid::Section {
            line: self.line(),
            name: name.to_owned(),
        }
    }

    fn line(&self) -> usize {
        self.whole[..self.at].matches('\n').count() + 1
    }
}

/// The innermost values come last.
fn render(nodes: &[Node], values: &[&Values], page: &mut String) {
    let value_of = |name: &str| values.iter().rev().find_map(|it| it.get(name));
    for node in nodes {
        match node {
            Node::Text(text) => page.push_str(text),
            Node::Name(name) => {
                if let Some(Value::Text(text)) = value_of(name) {
                    escape(text, page);
                }
            }
            Node::Section(name, inside, is_inverted) => match value_of(name) {
                Some(Value::Items(items)) if !is_inverted => {
                    for item in items {
                        render(inside, &[values, &[item]].concat(), page);
                    }
                }
                value => {
                    let has_value = match value {
                        None => false,
                        Some(Value::Text(text)) => !text.is_empty(),
                        Some(Value::Items(items)) => !items.is_empty(),
                    };
                    if has_value != *is_inverted {
                        render(inside, values, page);
                    }
                }
            },
        }
    }
}

/// Text as it may stand in an element and in a quoted attribute.
fn escape(text: &str, page: &mut String) {
    for letter in text.chars() {
        match letter {
            '&' => page.push_str("&amp;"),
            '<' => page.push_str("&lt;"),
            '>' => page.push_str("&gt;"),
            '"' => page.push_str("&quot;"),
            '\'' => page.push_str("&#39;"),
            letter => page.push(letter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Template, TemplateInvalid, Value, Values};

    const NAMES: [&str; 3] = ["name", "items", "item"];

    fn rendered(text: &str) -> String {
        let item = |text: &str| Values::from([("item", Value::Text(text.to_owned()))]);
        let values = Values::from([
            ("name", Value::Text("<a href='x'>\"&".to_owned())),
            ("items", Value::Items(vec![item("1"), item("2")])),
        ]);
        Template::read(text, &NAMES)
            .expect("a template")
            .render(&values)
    }

    #[test]
    fn a_value_cannot_break_out_of_its_place() {
        assert_eq!(
            rendered("<b title=\"{{name}}\">"),
            "<b title=\"&lt;a href=&#39;x&#39;&gt;&quot;&amp;\">"
        );
    }

    #[test]
    fn a_section_is_there_once_for_each_item_or_where_there_is_none() {
        assert_eq!(rendered("{{#items}}[{{ item }}]{{/items}}"), "[1][2]");
        assert_eq!(rendered("{{#name}}yes{{/name}}{{^name}}no{{/name}}"), "yes");
        assert_eq!(rendered("{{#item}}yes{{/item}}{{^item}}no{{/item}}"), "no");
        assert_eq!(rendered("{{#items}}{{#name}}n{{/name}}{{/items}}"), "nn");
    }

    #[test]
    fn a_mistake_is_told_with_its_line() {
        let mistake = |text| Template::read(text, &NAMES).expect_err("a mistake");
        assert_eq!(mistake("\n{{name"), TemplateInvalid::Open(2));
        let unknown = mistake("{{nam}}").to_string();
        assert!(unknown.contains("line 1") && unknown.contains("name, items, item"));
        for text in [
            "{{#name}}",
            "{{/name}}",
            "{{#name}}{{#item}}{{/name}}{{/item}}",
        ] {
            assert!(
                matches!(mistake(text), TemplateInvalid::Section { .. }),
                "{text}"
            );
        }
    }
}
