//! How a publisher takes events, keeps them while it sends, and writes what became of them.
//!
//! Only the head of an aggregate is ever taken: its earliest pending event. So at most one event of an aggregate is
//! in flight, over all instances, and the next one is not sent before that one was delivered or given up. A lease that
//! ends gives the event to the next that asks; it is then sent again under the same id.

use chassis::time::Timestamp;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Datetime, Integer, Nullable, Text, Unsigned};
use uuid::Uuid;

use super::{EventState, EventType};
use crate::db::{At, DbError, Id, Kept, Tx, kept, padded, times, update};
use crate::schema::outbox;
use crate::subject;

/// What the column of the last error holds, in characters.
const ERROR_LENGTH: usize = 500;

/// An event that a publisher has taken.
#[derive(Debug, Clone, QueryableByName)]
pub struct Leased {
    /// Its place in the order of all events.
    #[diesel(sql_type = BigInt)]
    pub seq: i64,
    /// Its id, the same however often it is sent.
    #[diesel(sql_type = Binary, deserialize_as = Id)]
    pub id: Uuid,
    /// Its type.
    #[diesel(sql_type = Text)]
    pub event_type: EventType,
    /// What it is about.
    #[diesel(sql_type = Binary, deserialize_as = Id)]
    pub aggregate_id: Uuid,
    /// A JSON object.
    #[diesel(sql_type = Text)]
    pub payload: String,
    /// Failures so far.
    #[diesel(sql_type = Unsigned<Integer>)]
    pub attempts: u32,
    /// Those of them in which a broker said no.
    #[diesel(sql_type = Unsigned<Integer>)]
    pub refusals: u32,
    /// When it happened.
    #[diesel(sql_type = Datetime, deserialize_as = At)]
    pub created_at: Timestamp,
    /// The trace of the request that it was written for.
    #[diesel(sql_type = Nullable<Text>)]
    pub traceparent: Option<String>,
}

/// What became of one try to send an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// All replicas have it.
    Delivered,
    /// Not now; the next try is at this instant.
    Failed {
        /// When to try again.
        again_at: Timestamp,
        /// Whether a broker said no, which counts towards giving up.
        refused: bool,
        /// Why.
        reason: String,
    },
    /// Given up; the dead letters have it.
    Dead {
        /// Why.
        reason: String,
    },
}

/// An event and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Which.
    pub seq: i64,
    /// What.
    pub ending: Ending,
}

/// Locks the rows only while they are marked. Events behind another pending one of their aggregate are passed over, and
/// so is what somebody else is marking right now.
const HEADS: &str = "SELECT o.seq, o.id, o.type AS event_type, o.aggregate_id, o.payload, o.attempts, o.refusals, o.created_at, o.traceparent \
    FROM outbox o \
    WHERE o.state = 'pending' AND o.next_attempt_at <= ? AND (o.claimed_until IS NULL OR o.claimed_until <= ?) \
        AND NOT EXISTS (SELECT 1 FROM outbox e WHERE e.aggregate_id = o.aggregate_id AND e.state = 'pending' AND e.seq < o.seq) \
    ORDER BY o.next_attempt_at, o.seq LIMIT ? FOR UPDATE SKIP LOCKED";

/// Writes what became of events, keeps what `owner` still has in flight, and takes at most `room` more: one transaction
/// for what would be three.
pub(super) fn exchange(
    tx: &mut Tx,
    owner: Uuid,
    ended: &[Ended],
    in_flight: &[i64],
    (now, until): (Timestamp, Timestamp),
    room: u32,
) -> Result<Vec<Leased>, DbError> {
    write_endings(tx, owner, ended, now)?;
    renew(tx, owner, in_flight, until)?;
    match room {
        0 => Ok(Vec::new()),
        room => claim(tx, owner, now, until, room),
    }
}

/// Takes at most `batch` events that are due at `now`, one of each aggregate, for `owner` until `until`.
///
/// Events name people, as their receivers know them; the books know subjects. Three statements, one when there is nothing to
/// do.
pub fn claim(
    tx: &mut Tx,
    owner: Uuid,
    now: Timestamp,
    until: Timestamp,
    batch: u32,
) -> Result<Vec<Leased>, DbError> {
    let mut heads: Vec<Leased> = kept(HEADS)
        .bind::<Datetime, _>(At(now))
        .bind::<Datetime, _>(At(now))
        .bind::<BigInt, _>(i64::from(batch))
        .load(tx)?;
    if heads.is_empty() {
        return Ok(heads);
    }
    let seqs: Vec<i64> = heads.iter().map(|head| head.seq).collect();
    let claim = of(&seqs, "UPDATE outbox SET claimed_by = ?, claimed_until = ?");
    claim
        .bind::<Binary, _>(Id(owner))
        .bind::<Datetime, _>(At(until))
        .bind_all::<BigInt, _>(&padded(&seqs))
        .execute(tx)?;
    let named: Vec<Uuid> = heads
        .iter()
        .flat_map(|head| subject::named(&head.payload))
        .collect();
    let persons = subject::persons(tx, &named)?;
    for head in &mut heads {
        head.payload = subject::as_persons(&head.payload, &persons);
    }
    Ok(heads)
}

/// Keeps what `owner` still has in flight until `until`. One statement, none where there is nothing.
pub fn renew(tx: &mut Tx, owner: Uuid, seqs: &[i64], until: Timestamp) -> Result<(), DbError> {
    if seqs.is_empty() {
        return Ok(());
    }
    of(seqs, "UPDATE outbox SET claimed_until = ?")
        .and("state = 'pending' AND claimed_by = ?")
        .bind::<Datetime, _>(At(until))
        .bind_all::<BigInt, _>(&padded(seqs))
        .bind::<Binary, _>(Id(owner))
        .execute(tx)?;
    Ok(())
}

/// A statement about these events.
fn of(seqs: &[i64], act: &str) -> Kept {
    let marks = times(padded(seqs).len(), "?");
    kept(format!("{act} WHERE seq IN ({marks})"))
}

/// Writes what became of events.
///
/// An event that arrived is delivered, also when another publisher has its lease by now. Any other ending is written only by the owner of the lease.
/// One statement for all that were delivered, one for each of the others.
pub fn write_endings(
    tx: &mut Tx,
    owner: Uuid,
    ended: &[Ended],
    now: Timestamp,
) -> Result<(), DbError> {
    let mut delivered = Vec::new();
    for Ended { seq, ending } in ended {
        match ending {
            Ending::Delivered => delivered.push(*seq),
            Ending::Failed {
                again_at,
                refused,
                reason,
            } => postpone(tx, owner, *seq, *again_at, *refused, reason)?,
            Ending::Dead { reason } => give_up(tx, owner, *seq, reason)?,
        }
    }
    if delivered.is_empty() {
        return Ok(());
    }
    let deliver = "UPDATE outbox SET state = 'delivered', delivered_at = ?, claimed_by = NULL, claimed_until = NULL";
    of(&delivered, deliver)
        .and("state = 'pending'")
        .bind::<Datetime, _>(At(now))
        .bind_all::<BigInt, _>(&padded(&delivered))
        .execute(tx)?;
    Ok(())
}

fn postpone(
    tx: &mut Tx,
    owner: Uuid,
    seq: i64,
    again_at: Timestamp,
    refused: bool,
    reason: &str,
) -> Result<(), DbError> {
    let mine = outbox::table
        .find(seq)
        .filter(outbox::state.eq(EventState::Pending))
        .filter(outbox::claimed_by.eq(Id(owner)));
    let changes = (
        outbox::attempts.eq(outbox::attempts + 1),
        outbox::refusals.eq(outbox::refusals + u32::from(refused)),
        outbox::next_attempt_at.eq(At(again_at)),
        outbox::last_error.eq(cut(reason)),
        outbox::claimed_by.eq(None::<Id>),
        outbox::claimed_until.eq(None::<At>),
    );
    update(mine, changes).execute(tx)?;
    Ok(())
}

fn give_up(tx: &mut Tx, owner: Uuid, seq: i64, reason: &str) -> Result<(), DbError> {
    let mine = outbox::table
        .find(seq)
        .filter(outbox::state.eq(EventState::Pending))
        .filter(outbox::claimed_by.eq(Id(owner)));
    let changes = (
        outbox::state.eq(EventState::Dead),
        outbox::attempts.eq(outbox::attempts + 1),
        outbox::last_error.eq(cut(reason)),
        outbox::claimed_by.eq(None::<Id>),
        outbox::claimed_until.eq(None::<At>),
    );
    update(mine, changes).execute(tx)?;
    Ok(())
}

/// As much of a reason as its column holds.
pub(crate) fn cut(reason: &str) -> String {
    reason.chars().take(ERROR_LENGTH).collect()
}
