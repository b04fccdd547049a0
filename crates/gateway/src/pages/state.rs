//! Owns what a visitor is told in one word, and the place that it follows from, as every client gets it.

use serde::Deserialize;

/// What a visitor is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// In line, and the line moves.
    Line,
    /// In line, and nobody enters.
    Paused,
    /// In the line of a queue that has not opened.
    Scheduled,
    /// The same, and places will be drawn.
    Draw,
    /// In line, and nothing is left.
    SoldOut,
    /// Inside: on the way there.
    Turn,
    /// Not in line yet; the page loads itself again, or its script joins.
    Join,
    /// Not in line yet; a place costs a proof of work.
    Work,
    /// Not in line yet; a place costs a challenge by others.
    Challenge,
    /// Not in line yet; somebody must say who this is.
    Login,
    /// The visit is over.
    Expired,
    /// The line takes nobody at the moment.
    Full,
    /// The line takes nobody any more.
    Closed,
    /// The store does not answer.
    Away,
    /// Too many from one source.
    Limited,
    /// The visitor went.
    Left,
}

impl State {
    /// Its name in texts, styles and scripts.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Line => "line",
            Self::Paused => "paused",
            Self::Scheduled => "scheduled",
            Self::Draw => "draw",
            Self::SoldOut => "soldout",
            Self::Turn => "turn",
            Self::Join => "join",
            Self::Work => "work",
            Self::Challenge => "challenge",
            Self::Login => "login",
            Self::Expired => "expired",
            Self::Full => "full",
            Self::Closed => "closed",
            Self::Away => "away",
            Self::Limited => "limited",
            Self::Left => "left",
        }
    }

    /// Of somebody who has a place.
    pub fn of(place: &Place) -> Self {
        match (place.state.as_str(), place.remaining) {
            ("active", _) => Self::Turn,
            ("scheduled", _) if place.ahead.is_none() => Self::Draw,
            ("scheduled", _) => Self::Scheduled,
            (_, Some(0)) => Self::SoldOut,
            _ if place.paused => Self::Paused,
            _ => Self::Line,
        }
    }

    pub(super) fn icon(self) -> &'static str {
        match self {
            Self::Turn => "turn",
            Self::Paused | Self::Away | Self::Limited | Self::Full => "paused",
            Self::Closed | Self::SoldOut | Self::Expired | Self::Left => "over",
            Self::Line | Self::Scheduled | Self::Draw => "line",
            Self::Join | Self::Work | Self::Challenge | Self::Login => "line",
        }
    }

    /// Whether there is a place that can be given up.
    pub(super) fn can_leave(self) -> bool {
        matches!(
            self,
            Self::Line | Self::Paused | Self::Scheduled | Self::Draw | Self::SoldOut | Self::Turn
        )
    }
}

/// A place as every client gets it, as far as it is shown.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    state: String,
    pub(super) ticket_number: u64,
    pub(super) position: Option<u64>,
    pub(super) ahead: Option<u64>,
    pub(super) waiting: u64,
    pub(super) eta_seconds: Option<Eta>,
    paused: bool,
    pub(super) message: Option<String>,
    pub(super) remaining: Option<u64>,
    pub(super) outlook: Option<String>,
}

impl Place {
    /// The number of the ticket.
    pub fn ticket_number(&self) -> u64 {
        self.ticket_number
    }
}

#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct Eta {
    pub min: u64,
    pub max: u64,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Place, State};

    fn place(change: serde_json::Value) -> Place {
        let mut all = json!({
            "state": "waiting", "ticketNumber": 7, "position": 42, "ahead": 41, "waiting": 1300,
            "etaSeconds": { "min": 40, "max": 75 }, "paused": false, "message": null,
        });
        let members = all.as_object_mut().expect("an object");
        members.extend(change.as_object().expect("an object").clone());
        serde_json::from_value(all).expect("a place")
    }

    #[test]
    fn a_place_is_told_as_what_it_is() {
        for (change, state) in [
            (json!({}), State::Line),
            (json!({ "paused": true }), State::Paused),
            (json!({ "remaining": 0 }), State::SoldOut),
            (json!({ "state": "scheduled" }), State::Scheduled),
            (json!({ "state": "scheduled", "ahead": null }), State::Draw),
            (json!({ "state": "active" }), State::Turn),
        ] {
            assert_eq!(State::of(&place(change.clone())), state, "{change}");
        }
    }
}
