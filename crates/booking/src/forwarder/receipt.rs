//! Receipts: which event was passed to which receiver, so that none is passed twice.
//!
//! A receipt is claimed before each try and written after it. A claim ends by itself, so an event whose forwarder was
//! killed in between is tried again by another.

use chassis::time::Timestamp;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Datetime};
use uuid::Uuid;

use crate::db::{At, DbError, Id, Tx, stored_as_text};
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

type Row = (Passing, u32, Option<Id>, Option<At>);

/// Asks for an event until `until`. One statement for a new one, else two or three.
pub fn claim(
    tx: &mut Tx,
    receipt: &Receipt,
    now: Timestamp,
    until: Timestamp,
) -> Result<Claimed, DbError> {
    let fresh = diesel::insert_or_ignore_into(receipts::table)
        .values((
            receipts::event_id.eq(Id(receipt.event_id)),
            receipts::receiver.eq(&receipt.receiver),
            receipts::state.eq(Passing::Sending),
            receipts::claimed_by.eq(Id(receipt.owner)),
            receipts::claimed_until.eq(At(until)),
            receipts::updated_at.eq(At(now)),
        ))
        .execute(tx)?;
    if fresh == 1 {
        return Ok(Claimed::Mine { attempts: 0 });
    }
    let (state, attempts, claimed_by, claimed_until): Row = row(receipt)
        .select((
            receipts::state,
            receipts::attempts,
            receipts::claimed_by,
            receipts::claimed_until,
        ))
        .for_update()
        .first(tx)?;
    if state != Passing::Sending {
        return Ok(Claimed::Done);
    }
    if let (Some(by), Some(At(theirs))) = (claimed_by, claimed_until)
        && by.0 != receipt.owner
        && theirs > now
    {
        return Ok(Claimed::Others { until: theirs });
    }
    diesel::update(row(receipt))
        .set((
            receipts::claimed_by.eq(Id(receipt.owner)),
            receipts::claimed_until.eq(At(until)),
            receipts::updated_at.eq(At(now)),
        ))
        .execute(tx)?;
    Ok(Claimed::Mine { attempts })
}

/// The receiver has it. One statement.
pub fn delivered(tx: &mut Tx, receipt: &Receipt, now: Timestamp) -> Result<(), DbError> {
    end(tx, receipt, Passing::Delivered, None, now)
}

/// A try failed; `refused` counts towards giving up. The event is anybody's again. One statement.
pub fn failed(
    tx: &mut Tx,
    receipt: &Receipt,
    refused: bool,
    reason: &str,
    now: Timestamp,
) -> Result<(), DbError> {
    diesel::update(row(receipt))
        .filter(receipts::state.eq(Passing::Sending))
        .filter(receipts::claimed_by.eq(Id(receipt.owner)))
        .set((
            receipts::tries.eq(receipts::tries + 1),
            receipts::attempts.eq(receipts::attempts + u32::from(refused)),
            receipts::claimed_by.eq(None::<Id>),
            receipts::claimed_until.eq(None::<At>),
            receipts::last_error.eq(cut(reason)),
            receipts::updated_at.eq(At(now)),
        ))
        .execute(tx)?;
    Ok(())
}

/// It was given up after a last try and is with the dead letters; the outbox shows it to operators, with all tries that
/// failed. Three statements.
pub fn dead(tx: &mut Tx, receipt: &Receipt, reason: &str, now: Timestamp) -> Result<(), DbError> {
    end(tx, receipt, Passing::Dead, Some(reason), now)?;
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
        .bind::<diesel::sql_types::Text, _>(state)
        .bind::<Datetime, _>(At(older_than))
        .bind::<BigInt, _>(i64::from(batch))
        .execute(tx)?;
    }
    Ok(forgotten)
}

fn end(
    tx: &mut Tx,
    receipt: &Receipt,
    state: Passing,
    reason: Option<&str>,
    now: Timestamp,
) -> Result<(), DbError> {
    diesel::update(row(receipt))
        .set((
            receipts::tries.eq(receipts::tries + 1),
            receipts::state.eq(state),
            receipts::claimed_by.eq(None::<Id>),
            receipts::claimed_until.eq(None::<At>),
            receipts::last_error.eq(reason.map(cut)),
            receipts::updated_at.eq(At(now)),
        ))
        .execute(tx)?;
    Ok(())
}

#[diesel::dsl::auto_type(no_type_alias)]
fn row<'a>(receipt: &'a Receipt) -> _ {
    let event_id: Id = Id(receipt.event_id);
    let receiver: &'a str = receipt.receiver.as_str();
    receipts::table
        .filter(receipts::event_id.eq(event_id))
        .filter(receipts::receiver.eq(receiver))
}
