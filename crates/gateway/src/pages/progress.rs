//! Owns how far a visitor has come in line: what the bar of the waiting page shows, which never goes back.
//!
//! The line itself may, while older places come back after a loss. So the browser keeps in a cookie what the bar of
//! its visit has shown, as the script of the page does in the tab. No store remembers it and a visitor who changes the
//! cookie changes nothing but their own bar. Knows no request.

use std::fmt;

use super::state::{Place, State};

/// The least that is shown, in percent: a bar without anything in it looks like none.
const LEAST: u64 = 2;

/// How far one visit has come; as text `ticket.start.done`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    ticket: u64,
    /// The most visitors that were ahead.
    start: u64,
    /// The most that was done, in percent.
    done: u64,
}

impl Progress {
    /// Of this place in a browser that has kept this. `None` where there is no way to go, or nobody knows how long it is.
    pub fn of(place: &Place, kept: Option<&str>) -> Option<Self> {
        let (ticket, ahead) = (place.ticket_number, place.ahead?);
        let kept = kept
            .and_then(Self::read)
            .filter(|kept| kept.ticket == ticket);
        let (longest, done) = kept.map_or((0, 0), |kept| (kept.start, kept.done));
        let start = longest.max(ahead);
        if start == 0 || State::of(place) == State::Turn {
            return None;
        }
        let done = done.max(100 - (100 * ahead).div_ceil(start));
        Some(Self {
            ticket,
            start,
            done,
        })
    }

    fn read(text: &str) -> Option<Self> {
        let mut numbers = text.split('.').map(|it| it.parse().ok());
        let mut next = || numbers.next().flatten();
        let (ticket, start, done) = (next()?, next()?, next()?);
        (done <= 100).then_some(Self {
            ticket,
            start,
            done,
        })
    }

    /// The most visitors that were ahead; at least 1.
    pub(super) fn start(&self) -> u64 {
        self.start
    }

    /// What the bar shows, of 100.
    pub(super) fn shown(&self) -> u64 {
        self.done.max(LEAST)
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}.{}.{}", self.ticket, self.start, self.done)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Progress;
    use crate::pages::state::Place;

    fn place(ticket: u64, state: &str, ahead: Option<u64>) -> Place {
        let place = json!({
            "state": state, "ticketNumber": ticket, "position": ahead.map(|it| it + 1), "ahead": ahead,
            "waiting": 1300, "paused": false,
        });
        serde_json::from_value(place).expect("a place")
    }

    /// What the bar shows on each page of one browser.
    fn shown(ticket: u64, kept: &mut Option<String>, ahead: u64) -> Option<u64> {
        let progress = Progress::of(&place(ticket, "waiting", Some(ahead)), kept.as_deref());
        *kept = progress.map(|it| it.to_string()).or(kept.take());
        progress.map(|it| it.shown())
    }

    #[test]
    fn a_bar_grows_and_never_goes_back_whatever_the_line_does() {
        let kept = &mut None;
        for (ahead, bar) in [
            (200, 2),
            (150, 25),
            (99, 50),
            // Older places come back, more than were ever ahead.
            (160, 50),
            (400, 50),
            (199, 50),
            (100, 75),
            (0, 100),
            (3, 100),
        ] {
            assert_eq!(shown(7, kept, ahead), Some(bar), "{ahead} ahead");
        }
        assert_eq!(kept.as_deref(), Some("7.400.100"));
        assert_eq!(shown(8, kept, 50), Some(2), "another visit begins anew");
    }

    #[test]
    fn where_there_is_no_way_to_go_there_is_no_bar() {
        assert_eq!(shown(7, &mut None, 0), None);
        for (state, ahead) in [("scheduled", None), ("active", Some(0))] {
            let kept = Some("7.10.30");
            assert_eq!(Progress::of(&place(7, state, ahead), kept), None, "{state}");
        }
    }

    #[test]
    fn what_a_browser_never_got_from_here_counts_for_nothing() {
        for odd in [
            "",
            "7",
            "7.10",
            "7.10.101",
            "7.-1.5",
            "a.b.c",
            "10",
            "7.10.99999999999999999999",
        ] {
            let mut kept = Some(odd.to_owned());
            assert_eq!(shown(7, &mut kept, 10), Some(2), "{odd}");
        }
        let mut most = Some(format!("7.{}.5", u64::MAX));
        assert_eq!(shown(7, &mut most, 10), Some(99));
    }
}
