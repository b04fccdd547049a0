//! Owns what the waiting page shows at first: from what a client knows of a place to the values of
//! the template. The script of the page goes on from there, by the same rules.

use chassis::time::{Timestamp, rfc3339};

use super::address::encoded;
use super::language::{Language, Languages};
use super::progress::Progress;
use super::state::{Eta, Place, State};
use super::template::{Value, Values};
use crate::challenge::ChallengePage;

/// The names that a template may use.
pub const NAMES: [&str; 64] = [
    "accent",
    "action",
    "action_text",
    "address",
    "again",
    "again_text",
    "ahead",
    "assets",
    "base",
    "can_leave",
    "can_rejoin",
    "challenge",
    "challenge_key",
    "clock",
    "clock_label",
    "dir",
    "drawn",
    "drawn_check",
    "event",
    "home",
    "home_text",
    "icon",
    "identity",
    "kind",
    "lang",
    "language_label",
    "language_set",
    "languages",
    "lead",
    "leave",
    "leave_sure",
    "leave_text",
    "logo",
    "long",
    "lot",
    "message",
    "message_label",
    "name",
    "note",
    "notify",
    "opens",
    "outlook",
    "place",
    "position",
    "position_label",
    "progress",
    "progress_label",
    "queue",
    "refresh",
    "reloads",
    "script",
    "selected",
    "sound",
    "start",
    "state",
    "stay",
    "tag",
    "ticket",
    "ticket_label",
    "title",
    "to",
    "wait",
    "wait_label",
    "waiting",
];

/// How an organiser looks.
#[derive(Debug, Clone, Default)]
pub struct Brand {
    /// What is waited for.
    pub title: Option<String>,
    /// Address of a picture.
    pub logo: Option<String>,
    /// Address of the style sheet with the colour.
    pub accent: Option<String>,
    /// Address of the start page.
    pub home: Option<String>,
}

/// All that one page is made of.
pub struct Scene<'a> {
    /// What is told.
    pub state: State,
    /// The place, and the same as the script reads it.
    pub place: Option<(&'a Place, String)>,
    /// Name of the queue.
    pub queue: &'a str,
    /// When a scheduled queue opens.
    pub opens_at: Option<Timestamp>,
    /// What was drawn, of a place that was.
    pub lot: Option<u64>,
    /// How a challenge by others is shown, with the key that it needs.
    pub challenge: Option<(&'a ChallengePage, &'a str)>,
    /// How far the visitor has come, where that is known.
    pub progress: Option<Progress>,
    /// Path and query that were asked for.
    pub address: &'a str,
    /// Where a form was sent from: there one goes on, because forms are not sent again.
    pub resend: Option<&'a str>,
    /// Seconds until the page loads itself again where there is no script.
    pub refresh: Option<u64>,
    /// Where one signs in.
    pub login: Option<&'a str>,
    /// `open`, `anonymous` or `jwt`: what the script needs to join.
    pub identity: &'a str,
    /// Whether the visitor has a token.
    pub is_known: bool,
    /// How it looks.
    pub brand: &'a Brand,
    /// Under which path the gateway stands.
    pub base: &'a str,
    /// Address of the files of the page.
    pub assets: &'a str,
}

impl Scene<'_> {
    /// What the template shows, in this language.
    pub fn values(&self, language: &Language, languages: &Languages) -> Values {
        let mut values = Values::new();
        let mut put = |name, text: String| {
            values.insert(name, Value::Text(text));
        };
        self.put_words(language, &mut put);
        self.put_links(&mut put);
        if let Some((place, json)) = &self.place {
            put("place", json.clone());
            self.put_place(place, language, &mut put);
        }
        let tag = language.tag();
        let language = |it: &Language| {
            let mut values = Values::from([
                ("tag", Value::Text(it.tag().to_owned())),
                ("name", Value::Text(it.say("name").to_owned())),
            ]);
            if it.tag() == tag {
                values.insert("selected", Value::Text("selected".to_owned()));
            }
            values
        };
        let items = languages.iter().map(language).collect();
        values.insert("languages", Value::Items(items));
        values
    }

    fn put_words(&self, language: &Language, put: &mut impl FnMut(&'static str, String)) {
        let state = self.state.as_str();
        let titled = match self.state {
            State::Work | State::Challenge => "join",
            _ => state,
        };
        put("lang", language.tag().to_owned());
        put("dir", language.direction().to_owned());
        put("state", state.to_owned());
        put("icon", self.state.icon().to_owned());
        put("title", language.say(&format!("{titled}.title")).to_owned());
        let opens = self
            .opens_at
            .map(|at| at.format("%Y-%m-%d %H:%M UTC").to_string());
        let lead = language.say(&format!("{state}.lead"));
        put("lead", lead.replace("{time}", &opens.unwrap_or_default()));
        for (name, key) in [
            ("position_label", "position"),
            ("wait_label", "wait"),
            ("progress_label", "progress"),
            ("ticket_label", "ticket"),
            ("message_label", "message"),
            ("clock_label", "scheduled.left"),
            ("leave_text", "leave"),
            ("leave_sure", "leave.sure"),
            ("stay", "stay"),
            ("sound", "sound"),
            ("notify", "notify"),
            ("language_label", "language"),
            ("language_set", "language.set"),
            ("home_text", "home"),
            ("reloads", "reloads"),
            ("drawn_check", "drawn.check"),
            ("again_text", "again"),
        ] {
            put(name, language.say(key).to_owned());
        }
        let action = match self.state {
            State::Turn => Some("turn.enter"),
            State::Login => Some("login.go"),
            _ => None,
        };
        if let Some(key) = action {
            put("action_text", language.say(key).to_owned());
        }
        if matches!(self.state, State::Work | State::Challenge) {
            put("script", language.say("work.script").to_owned());
        }
        if self.resend.is_some() {
            put("note", language.say("resend").to_owned());
        }
    }

    fn put_links(&self, put: &mut impl FnMut(&'static str, String)) {
        let to = self.resend.unwrap_or(self.address);
        put("queue", self.queue.to_owned());
        put("base", self.base.to_owned());
        put("assets", self.assets.to_owned());
        put("identity", self.identity.to_owned());
        put("address", to.to_owned());
        if self.is_known {
            put("kind", "known".to_owned());
        }
        if let Some(from) = self.resend {
            put("to", from.to_owned());
        }
        if let Some(seconds) = self.refresh {
            let to = self
                .resend
                .map(|it| format!(";url={it}"))
                .unwrap_or_default();
            put("refresh", format!("{seconds}{to}"));
        }
        match self.state {
            State::Login => put("action", self.login.unwrap_or_default().to_owned()),
            State::Turn => put("action", to.to_owned()),
            _ => {}
        }
        let (base, queue) = (self.base, self.queue);
        put(
            "again",
            format!("{base}/usher/join?queue={queue}&to={}", encoded(to)),
        );
        if matches!(self.state, State::Expired | State::Left) {
            put("can_rejoin", "yes".to_owned());
        }
        if self.state.can_leave() {
            let to = encoded(to);
            put("can_leave", "yes".to_owned());
            put(
                "leave",
                format!("{base}/api/v1/queues/{queue}/tokens/me/leave?to={to}"),
            );
        }
        if let Some((page, key)) = self.challenge {
            put("challenge", page.script.to_string());
            put("challenge_key", key.to_owned());
        }
        let brand = self.brand;
        for (name, value) in [
            ("event", &brand.title),
            ("logo", &brand.logo),
            ("accent", &brand.accent),
            ("home", &brand.home),
        ] {
            if let Some(value) = value {
                put(name, value.clone());
            }
        }
        if let Some(at) = self.opens_at {
            put("opens", rfc3339(at));
        }
        if let Some(progress) = self.progress {
            put("start", progress.start().to_string());
        }
    }

    fn put_place(
        &self,
        place: &Place,
        language: &Language,
        put: &mut impl FnMut(&'static str, String),
    ) {
        if let Some(message) = &place.message {
            put("message", message.clone());
        }
        let is_in_line = self.state.can_leave() && self.state != State::Turn;
        let (Some(position), Some(ahead), true) = (place.position, place.ahead, is_in_line) else {
            return;
        };
        let position = language.number(position);
        if position.chars().count() > 5 {
            put("long", "long".to_owned());
        }
        put("position", position);
        put("ahead", ahead_text(language, ahead));
        put("waiting", language.count("waiting", place.waiting));
        put("ticket", place.ticket_number.to_string());
        if self.state == State::Line {
            put("wait", wait_text(language, place.eta_seconds));
        }
        if self.state != State::SoldOut
            && let Some(text) = outlook_text(language, place, ahead)
        {
            put("outlook", text);
        }
        if let Some(lot) = self.lot {
            put("drawn", language.say("drawn").to_owned());
            put(
                "lot",
                language.say("lot").replace("{lot}", &lot.to_string()),
            );
        }
        if let Some(progress) = self.progress.filter(|_| self.state != State::Scheduled) {
            put("progress", progress.shown().to_string());
        }
    }
}

/// Whether something will be left, with about how much is left for how many.
fn outlook_text(language: &Language, place: &Place, ahead: u64) -> Option<String> {
    let left = place.remaining.filter(|left| *left > 0)?;
    let left = language.count("left", left);
    let figures = match ahead {
        0 => language.say("left.next").to_owned(),
        ahead => language.count("left.ahead", ahead),
    };
    let figures = figures.replace("{left}", &left);
    Some(match place.outlook.as_deref()? {
        word @ ("unlikely" | "uncertain") => format!("{} {figures}", language.say(word)),
        _ => figures,
    })
}

fn ahead_text(language: &Language, ahead: u64) -> String {
    match ahead {
        0 => language.say("next").to_owned(),
        ahead => language.count("ahead", ahead),
    }
}

/// A range of seconds in words that promise no more than is known.
fn wait_text(language: &Language, eta: Option<Eta>) -> String {
    /// Longer than this it is told in hours.
    const IN_MINUTES_S: u64 = 90 * 60;
    let Some(Eta { min, max }) = eta else {
        return language.say("wait.unknown").to_owned();
    };
    if max < 60 {
        return language.say("wait.moment").to_owned();
    }
    let (unit, one, range) = if max > IN_MINUTES_S {
        (3_600, "wait.hours", "wait.hours.range")
    } else {
        (60, "wait.minutes", "wait.minutes.range")
    };
    let (from, to) = (min / unit, max.div_ceil(unit));
    if from < 1 || from >= to {
        return language.count(one, to);
    }
    let text = language.count(range, to);
    text.replace("{from}", &language.number(from))
}

#[cfg(test)]
mod tests {
    use super::super::language::Languages;
    use super::super::state::{Eta, Place, State};
    use super::{Brand, Scene, outlook_text, wait_text};

    #[test]
    fn a_wait_is_told_in_words_that_promise_no_more_than_is_known() {
        let languages = Languages::default();
        let english = languages.chosen("en").expect("English");
        let told = |min, max| wait_text(english, Some(Eta { min, max }));
        assert_eq!(told(0, 59), "less than a minute");
        assert_eq!(told(40, 75), "about 2 minutes");
        assert_eq!(told(61, 200), "1 to 4 minutes");
        assert_eq!(told(60, 60), "about 1 minute");
        assert_eq!(told(5_000, 9_000), "1 to 3 hours");
        assert_eq!(wait_text(english, None), "cannot be said yet");
    }

    #[test]
    fn what_is_left_is_told_with_how_many_are_ahead_in_every_language() {
        let languages = Languages::default();
        let told = |tag: &str, left: Option<u64>, ahead: u64, outlook: &str| {
            let place = serde_json::json!({
                "state": "waiting", "ticketNumber": 7, "position": ahead + 1, "ahead": ahead,
                "waiting": 1300, "paused": false, "remaining": left, "outlook": outlook,
            });
            let place: Place = serde_json::from_value(place).expect("a place");
            outlook_text(languages.chosen(tag).expect("a language"), &place, ahead)
        };
        assert_eq!(
            told("en", Some(12), 1, "uncertain").as_deref(),
            Some(
                "It is uncertain whether something is left when your turn comes. \
                 About 12 left, 1 person ahead of you."
            )
        );
        assert_eq!(
            told("en", Some(1_200), 0, "likely").as_deref(),
            Some("About 1,200 left, and you are next.")
        );
        assert_eq!(told("en", None, 3, "likely"), None);
        for language in languages.iter() {
            for outlook in ["likely", "uncertain", "unlikely"] {
                for number in [1, 2, 5, 11, 100, 1_000_000] {
                    let text = told(language.tag(), Some(number), number, outlook);
                    let text = text.expect("some words");
                    assert!(!text.contains('{') && text.len() > 10, "{text}");
                }
            }
        }
    }

    #[test]
    fn every_state_has_its_words_in_every_language() {
        let languages = Languages::default();
        let brand = Brand::default();
        for state in [
            State::Line,
            State::Paused,
            State::Scheduled,
            State::Draw,
            State::SoldOut,
            State::Turn,
            State::Join,
            State::Work,
            State::Challenge,
            State::Login,
            State::Expired,
            State::Full,
            State::Closed,
            State::Away,
            State::Limited,
            State::Left,
        ] {
            let scene = Scene {
                state,
                place: None,
                queue: "main",
                opens_at: None,
                lot: None,
                challenge: None,
                progress: None,
                address: "/",
                resend: None,
                refresh: None,
                login: None,
                identity: "open",
                is_known: false,
                brand: &brand,
                base: "",
                assets: "/usher/x",
            };
            for language in languages.iter() {
                // A text that is missing panics in debug builds.
                let values = scene.values(language, &languages);
                assert!(values.contains_key("lead"), "{state:?}");
            }
        }
    }
}
