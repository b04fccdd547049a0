//! What operators see of the outbox, and what they may do: send a dead letter again.

use chassis::time::Timestamp;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Datetime, Nullable};
use serde_json::json;
use uuid::Uuid;

use super::{EventState, EventType, cut};
use crate::audit::{self, Action, Actor, Change, Entity};
use crate::db::{At, Conn, DbError, Id, Page, Tx, fails_with_db};
use crate::schema::{forwarded_events, outbox};

/// How much waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backlog {
    /// Events that are to be delivered.
    pub pending: i64,
    /// When the oldest of them happened.
    pub oldest_at: Option<Timestamp>,
    /// Events that were given up.
    pub dead: i64,
}

impl Backlog {
    /// For how long the oldest event has been waiting, in seconds.
    pub fn lag_s(&self, now: Timestamp) -> i64 {
        self.oldest_at
            .map_or(0, |oldest| (now - oldest).num_seconds().max(0))
    }
}

/// An event that was given up.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = outbox)]
pub struct DeadLetter {
    /// Its id.
    #[diesel(deserialize_as = Id)]
    pub id: Uuid,
    /// Its type.
    #[diesel(column_name = type_)]
    pub event_type: EventType,
    /// What it is about.
    #[diesel(deserialize_as = Id)]
    pub aggregate_id: Uuid,
    /// How often it was tried.
    pub attempts: u32,
    /// Why it was given up.
    pub last_error: Option<String>,
    /// When it happened.
    #[diesel(deserialize_as = At)]
    pub created_at: Timestamp,
}

impl DeadLetter {
    /// What the audit log says when it is sent again.
    fn redelivered<'a>(&self, by: Actor<'a>) -> Change<'a> {
        Change {
            entity: Entity::Event,
            entity_id: self.id,
            action: Action::Redelivered,
            actor: by,
            detail: json!({ "type": self.event_type.as_str(), "lastError": self.last_error }),
        }
    }
}

/// Why an event is not sent again.
#[derive(Debug, thiserror::Error)]
pub enum RedeliverError {
    /// There is no such event, or no longer.
    #[error("no such event")]
    NotFound,
    /// It was not given up: it waits or is delivered.
    #[error("not a dead letter")]
    NotDead,
    /// The database failed.
    #[error(transparent)]
    Db(DbError),
}

fails_with_db!(RedeliverError);

#[derive(QueryableByName)]
struct BacklogRow {
    #[diesel(sql_type = BigInt)]
    pending: i64,
    #[diesel(sql_type = Nullable<Datetime>)]
    oldest_at: Option<At>,
    #[diesel(sql_type = BigInt)]
    dead: i64,
}

const BACKLOG: &str = "SELECT (SELECT COUNT(*) FROM outbox WHERE state = 'pending') AS pending, \
    (SELECT created_at FROM outbox WHERE state = 'pending' ORDER BY seq LIMIT 1) AS oldest_at, \
    (SELECT COUNT(*) FROM outbox WHERE state = 'dead') AS dead";

/// How much waits and how much was given up. One statement.
pub fn backlog(conn: &mut Conn) -> Result<Backlog, DbError> {
    let row: BacklogRow = sql_query(BACKLOG).get_result(conn)?;
    Ok(Backlog {
        pending: row.pending,
        oldest_at: row.oldest_at.map(Timestamp::from),
        dead: row.dead,
    })
}

/// Events that were given up, newest first. One statement.
pub fn dead_letters(conn: &mut Conn, page: Page) -> Result<Vec<DeadLetter>, DbError> {
    let mut dead = outbox::table
        .filter(outbox::state.eq(EventState::Dead))
        .order(outbox::id.desc())
        .limit(page.limit.into())
        .select(DeadLetter::as_select())
        .into_boxed();
    if let Some(after) = page.after {
        dead = dead.filter(outbox::id.lt(Id(after)));
    }
    Ok(dead.load(conn)?)
}

/// An event that was given up further along the way is shown as a dead letter, also when its publisher has not yet
/// written that it was delivered. One statement.
pub fn mark_dead(tx: &mut Tx, id: Uuid, tries: u32, reason: &str) -> Result<(), DbError> {
    diesel::update(outbox::table.filter(outbox::id.eq(Id(id))))
        .set((
            outbox::state.eq(EventState::Dead),
            outbox::attempts.eq(tries),
            outbox::delivered_at.eq(None::<At>),
            outbox::claimed_by.eq(None::<Id>),
            outbox::claimed_until.eq(None::<At>),
            outbox::last_error.eq(cut(reason)),
        ))
        .execute(tx)?;
    Ok(())
}

/// Makes a dead letter due again, as if it had never been tried. It keeps its id.
///
/// What came after it may have been delivered meanwhile: order is not kept for what was given up.
/// Four statements.
pub fn redeliver(
    tx: &mut Tx,
    id: Uuid,
    by: Actor<'_>,
    now: Timestamp,
) -> Result<DeadLetter, RedeliverError> {
    let event = outbox::table.filter(outbox::id.eq(Id(id)));
    let risen = diesel::update(event)
        .filter(outbox::state.eq(EventState::Dead))
        .set((
            outbox::state.eq(EventState::Pending),
            outbox::attempts.eq(0),
            outbox::refusals.eq(0),
            outbox::next_attempt_at.eq(At(now)),
        ))
        .execute(tx)?;
    let found: Option<DeadLetter> = event.select(DeadLetter::as_select()).first(tx).optional()?;
    let event = found.ok_or(RedeliverError::NotFound)?;
    if risen == 0 {
        return Err(RedeliverError::NotDead);
    }
    // The forwarder that gave it up must take it for a new one.
    diesel::delete(forwarded_events::table.filter(forwarded_events::event_id.eq(Id(id))))
        .filter(forwarded_events::state.eq(EventState::Dead.as_str()))
        .execute(tx)?;
    audit::record(tx, &[event.redelivered(by)], now)?;
    Ok(event)
}

/// The same of at most `limit` dead letters, the oldest first, and says how many. Four statements.
///
/// Those that another operator sends again right now are passed over.
pub fn redeliver_oldest(
    tx: &mut Tx,
    limit: u32,
    by: Actor,
    now: Timestamp,
) -> Result<usize, DbError> {
    let dead: Vec<DeadLetter> = outbox::table
        .filter(outbox::state.eq(EventState::Dead))
        .order(outbox::seq)
        .limit(limit.into())
        .select(DeadLetter::as_select())
        .for_update()
        .skip_locked()
        .load(tx)?;
    if dead.is_empty() {
        return Ok(0);
    }
    let ids = || dead.iter().map(|event| Id(event.id));
    diesel::update(outbox::table.filter(outbox::id.eq_any(ids())))
        .set((
            outbox::state.eq(EventState::Pending),
            outbox::attempts.eq(0),
            outbox::refusals.eq(0),
            outbox::next_attempt_at.eq(At(now)),
        ))
        .execute(tx)?;
    diesel::delete(forwarded_events::table.filter(forwarded_events::event_id.eq_any(ids())))
        .filter(forwarded_events::state.eq(EventState::Dead.as_str()))
        .execute(tx)?;
    let changes: Vec<_> = dead.iter().map(|event| event.redelivered(by)).collect();
    audit::record(tx, &changes, now)?;
    Ok(dead.len())
}

/// Removes at most `batch` events that were delivered before `older_than`, and says how many. One statement.
///
/// An event is due before it is delivered, so the index by due time finds the old ones.
pub fn forget(tx: &mut Tx, older_than: Timestamp, batch: u32) -> Result<usize, DbError> {
    let forgotten = sql_query(
        "DELETE FROM outbox WHERE state = 'delivered' AND next_attempt_at < ? AND delivered_at < ? \
         ORDER BY next_attempt_at LIMIT ?",
    )
    .bind::<Datetime, _>(At(older_than))
    .bind::<Datetime, _>(At(older_than))
    .bind::<BigInt, _>(i64::from(batch))
    .execute(tx)?;
    Ok(forgotten)
}
