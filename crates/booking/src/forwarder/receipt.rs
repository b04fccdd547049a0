//! Receipts: which event was passed to which receiver, so that none is passed twice.
//!
//! A receipt is claimed before each try and written after it. A claim ends by itself, so an event whose forwarder was
//! killed in between is tried again by another.

use chassis::time::Timestamp;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Binary, Datetime, Integer, Nullable, Text, Unsigned};
use uuid::Uuid;

use crate::db::{At, DbError, Id, Kept, Tx, kept, padded, stored_as_text, times, update};
use crate::outbox::{self, cut};
use crate::schema::forwarded_events as receipts;

stored_as_text! {
    /// How far an event has come.
    pub enum Passing {
        /// Being tried.
        Sending = "sending",
        /// The receiver has it.
        Delivered = "delivered",
        /// Given up.
        Dead = "dead",
    }
}

/// An event on its way to a receiver, in the hands of one forwarder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Which event.
    pub event_id: Uuid,
    /// Which receiver, by the name of its group.
    pub receiver: String,
    /// Which forwarder.
    pub owner: Uuid,
}

/// What came of asking for an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claimed {
    /// It may be tried; so often the receiver has refused it.
    Mine {
        /// Refusals so far.
        attempts: u32,
    },
    /// Another forwarder is trying it until then.
    Others {
        /// The end of its claim.
        until: Timestamp,
    },
    /// It was passed on or given up before.
    Done,
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Binary)]
    event_id: Id,
    #[diesel(sql_type = Text)]
    state: Passing,
    #[diesel(sql_type = Unsigned<Integer>)]
    attempts: u32,
    #[diesel(sql_type = Nullable<Binary>)]
    claimed_by: Option<Id>,
    #[diesel(sql_type = Nullable<Datetime>)]
    claimed_until: Option<At>,
}

/// Asks for an event until `until`. One statement for a new one, else two or three.
pub fn claim(
    tx: &mut Tx,
    receipt: &Receipt,
    now: Timestamp,
    until: Timestamp,
) -> Result<Claimed, DbError> {
    let (events, of) = ([receipt.event_id], (&*receipt.receiver, receipt.owner));
    let claimed = claim_all(tx, of, &events, now, until)?;
    Ok(claimed[0])
}

/// Asks for these events, each of them named once, for a receiver and a forwarder until `until`; the answers in the same
/// order. One statement where all are new, else two or three.
pub fn claim_all(
    tx: &mut Tx,
    (receiver, owner): (&str, Uuid),
    events: &[Uuid],
    now: Timestamp,
    until: Timestamp,
) -> Result<Vec<Claimed>, DbError> {
    if insert(tx, (receiver, owner), events, now, until)? == events.len() {
        return Ok(vec![Claimed::Mine { attempts: 0 }; events.len()]);
    }
    let rows: Vec<Row> = about(
        events,
        "SELECT event_id, state, attempts, claimed_by, claimed_until FROM forwarded_events",
        " FOR UPDATE",
    )
    .bind::<Text, _>(receiver.to_owned())
    .bind_all::<Binary, _>(&ids(events))
    .load(tx)?;
    let claimed = events.iter().map(|event| {
        let row = rows.iter().find(|row| row.event_id.0 == *event);
        let row = row.ok_or(DbError::Unexpected(
            "a receipt that was just written is gone",
        ))?;
        Ok(row.claimed(owner, now))
    });
    let claimed = claimed.collect::<Result<Vec<_>, DbError>>()?;
    let is_mine = |(_, claimed): &(&Uuid, &Claimed)| matches!(claimed, Claimed::Mine { .. });
    let mine = events.iter().zip(&claimed).filter(is_mine);
    let mine: Vec<Uuid> = mine.map(|(event, _)| *event).collect();
    if !mine.is_empty() {
        let keep = "UPDATE forwarded_events SET claimed_by = ?, claimed_until = ?, updated_at = ?";
        about(&mine, keep, "")
            .bind::<Binary, _>(Id(owner))
            .bind::<Datetime, _>(At(until))
            .bind::<Datetime, _>(At(now))
            .bind::<Text, _>(receiver.to_owned())
            .bind_all::<Binary, _>(&ids(&mine))
            .execute(tx)?;
    }
    Ok(claimed)
}

/// Writes those receipts that are not there, and says how many. A row that is named again is not written again.
fn insert(
    tx: &mut Tx,
    (receiver, owner): (&str, Uuid),
    events: &[Uuid],
    now: Timestamp,
    until: Timestamp,
) -> Result<usize, DbError> {
    let events = ids(events);
    let rows = times(events.len(), "(?, ?, 'sending', ?, ?, ?)");
    let mut insert = kept(format!(
        "INSERT IGNORE INTO forwarded_events \
         (event_id, receiver, state, claimed_by, claimed_until, updated_at) VALUES {rows}"
    ));
    for event in events {
        insert = insert
            .bind::<Binary, _>(event)
            .bind::<Text, _>(receiver.to_owned())
            .bind::<Binary, _>(Id(owner))
            .bind::<Datetime, _>(At(until))
            .bind::<Datetime, _>(At(now));
    }
    Ok(insert.execute(tx)?)
}

impl Row {
    fn claimed(&self, owner: Uuid, now: Timestamp) -> Claimed {
        if self.state != Passing::Sending {
            return Claimed::Done;
        }
        match (self.claimed_by, self.claimed_until) {
            (Some(by), Some(At(until))) if by.0 != owner && until > now => {
                Claimed::Others { until }
            }
            _ => Claimed::Mine {
                attempts: self.attempts,
            },
        }
    }
}

/// As many as one statement is prepared for.
fn ids(events: &[Uuid]) -> Vec<Id> {
    padded(&events.iter().copied().map(Id).collect::<Vec<_>>())
}

/// A statement about the receipts of a receiver for these events.
fn about(events: &[Uuid], act: &str, end: &str) -> Kept {
    let marks = times(ids(events).len(), "?");
    kept(format!(
        "{act} WHERE receiver = ? AND event_id IN ({marks}){end}"
    ))
}

/// The receiver has it. One statement.
pub fn delivered(tx: &mut Tx, receipt: &Receipt, now: Timestamp) -> Result<(), DbError> {
    delivered_all(tx, &receipt.receiver, &[receipt.event_id], now)
}

/// The receiver has these, at least one. One statement.
pub fn delivered_all(
    tx: &mut Tx,
    receiver: &str,
    events: &[Uuid],
    now: Timestamp,
) -> Result<(), DbError> {
    let deliver = "UPDATE forwarded_events SET tries = tries + 1, state = 'delivered', \
         claimed_by = NULL, claimed_until = NULL, last_error = NULL, updated_at = ?";
    about(events, deliver, "")
        .bind::<Datetime, _>(At(now))
        .bind::<Text, _>(receiver.to_owned())
        .bind_all::<Binary, _>(&ids(events))
        .execute(tx)?;
    Ok(())
}

/// A try failed; `refused` counts towards giving up. The event is anybody's again. One statement.
pub fn failed(
    tx: &mut Tx,
    receipt: &Receipt,
    refused: bool,
    reason: &str,
    now: Timestamp,
) -> Result<(), DbError> {
    let mine = row(receipt)
        .filter(receipts::state.eq(Passing::Sending))
        .filter(receipts::claimed_by.eq(Id(receipt.owner)));
    let changes = (
        receipts::tries.eq(receipts::tries + 1),
        receipts::attempts.eq(receipts::attempts + u32::from(refused)),
        receipts::claimed_by.eq(None::<Id>),
        receipts::claimed_until.eq(None::<At>),
        receipts::last_error.eq(cut(reason)),
        receipts::updated_at.eq(At(now)),
    );
    update(mine, changes).execute(tx)?;
    Ok(())
}

/// It was given up after a last try and is with the dead letters; the outbox shows it to operators, with all tries that
/// failed. Three statements.
pub fn dead(tx: &mut Tx, receipt: &Receipt, reason: &str, now: Timestamp) -> Result<(), DbError> {
    let changes = (
        receipts::tries.eq(receipts::tries + 1),
        receipts::state.eq(Passing::Dead),
        receipts::claimed_by.eq(None::<Id>),
        receipts::claimed_until.eq(None::<At>),
        receipts::last_error.eq(cut(reason)),
        receipts::updated_at.eq(At(now)),
    );
    update(row(receipt), changes).execute(tx)?;
    let tries: u32 = row(receipt).select(receipts::tries).first(tx)?;
    outbox::mark_dead(tx, receipt.event_id, tries, reason)
}

/// Forgets at most `batch` receipts that were written before `older_than`, and says how many. Three statements.
pub fn forget(tx: &mut Tx, older_than: Timestamp, batch: u32) -> Result<usize, DbError> {
    let mut forgotten = 0;
    for state in [Passing::Delivered, Passing::Dead, Passing::Sending] {
        forgotten += sql_query(
            "DELETE FROM forwarded_events WHERE state = ? AND updated_at < ? ORDER BY updated_at LIMIT ?",
        )
        .bind::<Text, _>(state)
        .bind::<Datetime, _>(At(older_than))
        .bind::<BigInt, _>(i64::from(batch))
        .execute(tx)?;
    }
    Ok(forgotten)
}

#[diesel::dsl::auto_type(no_type_alias)]
fn row<'a>(receipt: &'a Receipt) -> _ {
    let event_id: Id = Id(receipt.event_id);
    let receiver: &'a str = receipt.receiver.as_str();
    receipts::table
        .filter(receipts::event_id.eq(event_id))
        .filter(receipts::receiver.eq(receiver))
}
