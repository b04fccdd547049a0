//! Owns what the page says in each language: one catalogue, which the browser reads too.
//!
//! A text that depends on a number has one form for each category of the language's plural rules
//! (Unicode CLDR 47, cardinal, whole numbers). `Intl` decides in the browser, `Plural` here; a test here
//! and one in a browser compare both with one table. It must not know what is told with its texts.

use std::collections::BTreeMap;

use serde::Deserialize;

/// Most ranges of an `Accept-Language` that are looked at.
const MOST_RANGES: usize = 16;
/// U+202F stands between the digits of a French number.
const NARROW_SPACE: &str = "\u{202f}";

/// Every language: its tag, direction, plural rule, what divides groups of digits, from how many
/// digits on, and its texts. The first is told to those who ask for none of them.
const SOURCES: [Source; 11] = [
    Source::new(
        "en",
        Plural::One,
        ",",
        include_str!("../../web/text/en.json"),
    ),
    Source::new(
        "ko",
        Plural::Never,
        ",",
        include_str!("../../web/text/ko.json"),
    ),
    Source::new(
        "ja",
        Plural::Never,
        ",",
        include_str!("../../web/text/ja.json"),
    ),
    Source::new(
        "zh-Hans",
        Plural::Never,
        ",",
        include_str!("../../web/text/zh-Hans.json"),
    ),
    Source::new(
        "zh-Hant",
        Plural::Never,
        ",",
        include_str!("../../web/text/zh-Hant.json"),
    ),
    Source {
        grouped_from: 5,
        ..Source::new(
            "es",
            Plural::Spanish,
            ".",
            include_str!("../../web/text/es.json"),
        )
    },
    Source::new(
        "fr",
        Plural::French,
        NARROW_SPACE,
        include_str!("../../web/text/fr.json"),
    ),
    Source::new(
        "de",
        Plural::One,
        ".",
        include_str!("../../web/text/de.json"),
    ),
    Source::new(
        "pt",
        Plural::French,
        ".",
        include_str!("../../web/text/pt.json"),
    ),
    Source::new(
        "id",
        Plural::Never,
        ".",
        include_str!("../../web/text/id.json"),
    ),
    Source::new(
        "ar",
        Plural::Arabic,
        ",",
        include_str!("../../web/text/ar.json"),
    ),
];

struct Source {
    tag: &'static str,
    plural: Plural,
    divider: &'static str,
    grouped_from: usize,
    json: &'static str,
}

impl Source {
    const fn new(
        tag: &'static str,
        plural: Plural,
        divider: &'static str,
        json: &'static str,
    ) -> Self {
        Self {
            tag,
            plural,
            divider,
            grouped_from: 4,
            json,
        }
    }
}

/// The plural rule of a language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plural {
    /// Korean, Japanese, Chinese, Indonesian: every number alike.
    Never,
    /// English, German: 1 and the rest.
    One,
    /// 1, whole millions, the rest.
    Spanish,
    /// French, Portuguese: 0 and 1, whole millions, the rest.
    French,
    /// Six forms.
    Arabic,
}

impl Plural {
    /// The categories that every text with a number must have.
    #[cfg(test)]
    fn categories(self) -> &'static [&'static str] {
        match self {
            Self::Never => &["other"],
            Self::One => &["one", "other"],
            Self::Spanish | Self::French => &["many", "one", "other"],
            Self::Arabic => &["few", "many", "one", "other", "two", "zero"],
        }
    }

    fn category(self, number: u64) -> &'static str {
        let is_million = number != 0 && number.is_multiple_of(1_000_000);
        match (self, number) {
            (Self::One | Self::Spanish, 1) | (Self::French, 0 | 1) | (Self::Arabic, 1) => "one",
            (Self::Spanish | Self::French, _) if is_million => "many",
            (Self::Arabic, 0) => "zero",
            (Self::Arabic, 2) => "two",
            (Self::Arabic, _) => match number % 100 {
                3..=10 => "few",
                11..=99 => "many",
                _ => "other",
            },
            _ => "other",
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Text {
    Plain(String),
    Counted(BTreeMap<String, String>),
}

/// One language.
pub struct Language {
    tag: &'static str,
    plural: Plural,
    divider: &'static str,
    grouped_from: usize,
    texts: BTreeMap<String, Text>,
}

/// All languages of the page.
pub struct Languages(Vec<Language>);

impl Default for Languages {
    /// # Panics
    /// When a catalogue that was built in is no JSON, which a test prevents.
    fn default() -> Self {
        let read = |source: &Source| Language {
            tag: source.tag,
            plural: source.plural,
            divider: source.divider,
            grouped_from: source.grouped_from,
            texts: serde_json::from_str(source.json).expect("a built-in catalogue"),
        };
        Self(SOURCES.iter().map(read).collect())
    }
}

impl Languages {
    /// The catalogue of each language as the browser gets it.
    pub fn files() -> impl Iterator<Item = (String, &'static str)> {
        let file = |source: &Source| (format!("text/{}.json", source.tag), source.json);
        SOURCES.iter().map(file)
    }

    /// Every language, in the order of the switch.
    pub fn iter(&self) -> impl Iterator<Item = &Language> {
        self.0.iter()
    }

    /// The language that was chosen, if it is one of these.
    pub fn chosen(&self, tag: &str) -> Option<&Language> {
        self.0.iter().find(|it| it.tag == tag)
    }

    /// The best for what a browser accepts, most wanted first (RFC 9110, section 12.5.4).
    pub fn accepted(&self, accept_language: &str) -> &Language {
        let mut wanted: Vec<(f32, &str)> = accept_language
            .split(',')
            .take(MOST_RANGES)
            .map(weighed)
            .filter(|(weight, _)| *weight > 0.0)
            .collect();
        // Stable: ranges of one weight stay in the order in which they were named.
        wanted.sort_by(|(one, _), (other, _)| other.total_cmp(one));
        let found = wanted.into_iter().find_map(|(_, range)| self.of(range));
        found.unwrap_or(&self.0[0])
    }

    fn of(&self, range: &str) -> Option<&Language> {
        let range = range.to_ascii_lowercase();
        let (primary, rest) = range.split_once('-').unwrap_or((&range, ""));
        let tag = match primary {
            "zh" if ["hant", "tw", "hk", "mo"]
                .iter()
                .any(|it| rest.contains(it)) =>
            {
                "zh-Hant"
            }
            "zh" => "zh-Hans",
            // The tag of old for Indonesian, which some systems still send.
            "in" => "id",
            primary => primary,
        };
        self.chosen(tag)
    }
}

/// `ko;q=0.8` as a weight and a range; what cannot be read weighs nothing.
pub(super) fn weighed(part: &str) -> (f32, &str) {
    let mut pieces = part.split(';').map(str::trim);
    let name = pieces.next().unwrap_or_default();
    let weight = pieces.find_map(|it| it.strip_prefix("q=").or_else(|| it.strip_prefix("Q=")));
    (weight.map_or(1.0, |it| it.parse().unwrap_or(0.0)), name)
}

impl Language {
    /// Its tag (BCP 47).
    pub fn tag(&self) -> &'static str {
        self.tag
    }

    /// In which direction it is written: `ltr` or `rtl`.
    pub fn direction(&self) -> &'static str {
        if self.tag == "ar" { "rtl" } else { "ltr" }
    }

    /// A text without a number. A test sees that every text that is asked for is there.
    pub fn say(&self, key: &str) -> &str {
        match self.texts.get(key) {
            Some(Text::Plain(text)) => text,
            _ => {
                debug_assert!(false, "{}: no text {key}", self.tag);
                ""
            }
        }
    }

    /// A text in the form that `number` needs, with the number in place of `{n}`.
    pub fn count(&self, key: &str, number: u64) -> String {
        let Some(Text::Counted(forms)) = self.texts.get(key) else {
            debug_assert!(false, "{}: no forms {key}", self.tag);
            return String::new();
        };
        let form = forms.get(self.plural.category(number));
        let form = form.or_else(|| forms.get("other")).map_or("", |it| it);
        form.replace("{n}", &self.number(number))
    }

    /// A number as it is written in this language, with digits 0 to 9.
    pub fn number(&self, number: u64) -> String {
        let digits = number.to_string();
        if digits.len() < self.grouped_from {
            return digits;
        }
        let mut written = String::with_capacity(digits.len() * 2);
        for (at, digit) in digits.chars().enumerate() {
            if at > 0 && (digits.len() - at).is_multiple_of(3) {
                written.push_str(self.divider);
            }
            written.push(digit);
        }
        written
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::{Languages, Text};

    /// The variables of a text, such as `{n}`.
    fn variables(text: &str) -> BTreeSet<&str> {
        let pieces = text.split('{').skip(1);
        pieces.filter_map(|it| it.split('}').next()).collect()
    }

    #[test]
    fn every_language_says_everything_in_every_form_it_needs() {
        let languages = Languages::default();
        let model = &languages.0[0];
        for language in languages.iter() {
            let tag = language.tag;
            assert!(
                language.texts.keys().eq(model.texts.keys()),
                "{tag} has other texts than en"
            );
            for (key, text) in &language.texts {
                match (text, &model.texts[key]) {
                    (Text::Plain(text), Text::Plain(model)) => {
                        assert!(!text.trim().is_empty(), "{tag}: {key} is empty");
                        assert_eq!(variables(text), variables(model), "{tag}: {key}");
                    }
                    (Text::Counted(forms), Text::Counted(model)) => {
                        let wanted = language.plural.categories();
                        assert!(forms.keys().eq(wanted), "{tag}: {key} needs {wanted:?}");
                        assert!(variables(&forms["other"]).contains("n"), "{tag}: {key}");
                        // A form may be a word in place of a number, and names nothing that there is not.
                        let (own, known) = (variables(&forms["other"]), variables(&model["other"]));
                        assert_eq!(own, known, "{tag}: {key}");
                        for form in forms.values() {
                            assert!(variables(form).is_subset(&known), "{tag}: {key}");
                        }
                    }
                    _ => panic!("{tag}: {key} is counted in one language only"),
                }
            }
        }
    }

    #[test]
    fn a_browser_gets_the_language_that_it_wants_most_of_those_there_are() {
        let languages = Languages::default();
        for (accepted, tag) in [
            ("ko-KR,ko;q=0.9,en;q=0.5", "ko"),
            ("xx, de;q=0.3, fr;q=0.7", "fr"),
            ("zh-TW,zh;q=0.9", "zh-Hant"),
            ("zh-CN", "zh-Hans"),
            ("zh-Hant-HK", "zh-Hant"),
            ("PT-BR", "pt"),
            ("in", "id"),
            ("ja;q=0, es;q=odd, ar;q=0.1", "ar"),
            ("*", "en"),
            ("", "en"),
            ("q=1;;,,;", "en"),
        ] {
            assert_eq!(languages.accepted(accepted).tag, tag, "{accepted:?}");
        }
    }

    #[test]
    fn counting_agrees_with_the_table_that_browsers_agree_with() {
        let table = include_str!("../../tests/counted.json");
        let table: BTreeMap<String, Vec<(u64, String, String)>> =
            serde_json::from_str(table).expect("the table");
        let languages = Languages::default();
        assert_eq!(table.len(), languages.0.len());
        for language in languages.iter() {
            for (number, category, written) in &table[language.tag] {
                let told = (language.plural.category(*number), language.number(*number));
                assert_eq!(
                    told,
                    (category.as_str(), written.clone()),
                    "{}",
                    language.tag
                );
            }
        }
    }

    #[test]
    fn numbers_and_plurals_follow_the_language() {
        let languages = Languages::default();
        let said = |tag: &str, number| {
            let language = languages.chosen(tag).expect("a language");
            language.count("ahead", number)
        };
        assert_eq!(said("en", 1), "1 person is ahead of you");
        assert_eq!(said("en", 12_345), "12,345 people are ahead of you");
        assert_eq!(said("ko", 1), "앞에 1명이 있습니다");
        assert_eq!(said("fr", 0), "0 personne est devant vous");
        assert!(said("fr", 1_000_000).contains("de personnes"));
        assert!(said("es", 1_234).contains("1234"), "grouped from five on");
        assert!(said("de", 1_234).contains("1.234"));
        assert_eq!(said("ar", 2), "أمامك شخصان");
        assert!(said("ar", 103).contains("أشخاص"));
        assert!(said("ar", 100).ends_with("شخص"));
    }
}
