//! Owns what a recount says when all agrees.

use std::fmt;

/// What came out, when all agrees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    pub(super) commitment: String,
    pub(super) root: String,
    pub(super) entrants: u64,
    /// Whether the list of all who took part was checked.
    pub(super) is_complete: bool,
    /// Whether the proof of the ticket was checked.
    pub(super) is_proven: bool,
    pub(super) listed: usize,
    pub(super) ticket: u64,
    pub(super) lot: u64,
    /// Among all who took part, counted from 1.
    pub(super) drawn_place: Option<usize>,
    pub(super) place: Place,
}

/// The place of a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Counted from 1.
    InLine(usize),
    /// Drawn and not in line any more: inside, left or passed by. So many have a lower lot.
    NotInLine(usize),
    /// It came after the doors had opened: behind all who were drawn.
    NotDrawn,
}

impl fmt::Display for Counted {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            commitment,
            root,
            entrants,
            listed,
            ticket,
            lot,
            place,
            ..
        } = self;
        writeln!(to, "The seed is the one that was promised: {commitment}.")?;
        writeln!(
            to,
            "The key is made of it and of the root over all who took part: {root}."
        )?;
        if self.is_complete {
            writeln!(to, "The list of all who took part is complete.")?;
        } else {
            writeln!(
                to,
                "Whether anybody is missing was not checked: give --entrants."
            )?;
        }
        if self.is_proven {
            writeln!(to, "The proof of ticket {ticket} leads to the root.")?;
        }
        if let Some(drawn) = self.drawn_place {
            writeln!(
                to,
                "Ticket {ticket} was drawn as number {drawn} of {entrants}."
            )?;
        }
        writeln!(
            to,
            "{entrants} took part, {listed} of them are still in line, all in the order of their lots."
        )?;
        write!(to, "Ticket {ticket} ")?;
        match place {
            Place::InLine(place) => write!(to, "has lot {lot} and place {place}."),
            Place::NotInLine(before) => write!(
                to,
                "has lot {lot} and is not in line; {before} of those in line have a lower one."
            ),
            Place::NotDrawn => write!(
                to,
                "came after the doors had opened: it stands behind all who were drawn."
            ),
        }
    }
}
