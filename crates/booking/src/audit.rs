//! Owns the audit log: who changed the state of what, when and why.
//!
//! Append only: there is no verb that changes or removes a row, and none may be added. Rows are written in the same
//! transaction as the change they tell of. Never holds a secret, a token or a key.

mod tail;

use chassis::time::Timestamp;
use diesel::prelude::*;
use serde_json::Value;
use uuid::Uuid;

use crate::db::{At, Conn, DbError, Id, Tx, insert_rows, stored_as_text};
use crate::schema::audit_log;
pub use tail::{Tail, Touched};

/// Characters of an operator's name that are kept.
const NAME_CHARACTERS: usize = 128;

stored_as_text! {
    /// What was changed.
    pub enum Entity {
        /// A concert.
        Concert = "concert",
        /// A date of a concert, and its waiting list.
        Schedule = "schedule",
        /// A reservation and the seats of it.
        Reservation = "reservation",
        /// A payment.
        Payment = "payment",
        /// A wallet, by the id of its user.
        Wallet = "wallet",
        /// An event in the outbox.
        Event = "event",
        /// A route that somebody asked for.
        Route = "route",
        /// An order of a payment provider.
        Order = "order",
        /// Who stands behind an id of the books.
        Subject = "subject",
    }
}

stored_as_text! {
    /// What happened to it.
    pub enum Action {
        /// Added by an operator.
        Created = "created",
        /// Seats were taken.
        Held = "held",
        /// A hold was paid.
        Confirmed = "confirmed",
        /// A hold was given back.
        Cancelled = "cancelled",
        /// A hold ended.
        Expired = "expired",
        /// Money was put in.
        Charged = "charged",
        /// Money was taken for seats.
        Captured = "captured",
        /// Money was given back and seats with it.
        Refunded = "refunded",
        /// A part of the money was given back, with seats or without.
        PartiallyRefunded = "partially_refunded",
        /// A hold was made longer.
        Extended = "extended",
        /// Made due again after it was given up.
        Redelivered = "redelivered",
        /// Changed by an operator.
        Edited = "edited",
        /// Sales were ended by an operator.
        Closed = "closed",
        /// Taken off the programme.
        Removed = "removed",
        /// Given more seats.
        Enlarged = "enlarged",
        /// Seats were taken off sale.
        Blocked = "blocked",
        /// Blocked seats were put on sale again.
        Released = "released",
        /// Money was moved by an operator.
        Corrected = "corrected",
        /// The provider did not get the money.
        Failed = "failed",
        /// The provider lets the money go.
        Voided = "voided",
        /// Not done, because the operator's key lacks the right.
        Refused = "refused",
        /// A receiver of webhooks that was stopped gets events again.
        Resumed = "resumed",
        /// Nobody knows any more who it is.
        Forgotten = "forgotten",
        /// A user went into the waiting list.
        WaitlistJoined = "waitlist_joined",
        /// A user went out of it.
        WaitlistLeft = "waitlist_left",
    }
}

/// Who did it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actor<'a> {
    /// A visitor.
    User(Uuid),
    /// The holder of the operator key of this name.
    Operator(&'a str),
    /// The step that tidies holds that are over.
    Sweeper,
    /// The payment provider.
    Provider,
}

impl Actor<'_> {
    fn as_str(self) -> &'static str {
        match self {
            Self::User(_) => "user",
            Self::Operator(_) => "operator",
            Self::Sweeper => "sweeper",
            Self::Provider => "provider",
        }
    }

    fn id(self) -> Option<Id> {
        match self {
            Self::User(id) => Some(Id(id)),
            Self::Operator(_) | Self::Sweeper | Self::Provider => None,
        }
    }

    /// What of the key's name the log has room for.
    fn name(self) -> Option<String> {
        match self {
            Self::Operator(name) => Some(name.chars().take(NAME_CHARACTERS).collect()),
            Self::User(_) | Self::Sweeper | Self::Provider => None,
        }
    }
}

/// One row of the log.
#[derive(Debug, Clone)]
pub struct Change<'a> {
    /// What was changed.
    pub entity: Entity,
    /// Which one.
    pub entity_id: Uuid,
    /// What happened to it.
    pub action: Action,
    /// Who did it.
    pub actor: Actor<'a>,
    /// The rest, as a JSON object.
    pub detail: Value,
}

/// SHA-256 of all that a row `a` says, in lower-case hexadecimal.
pub(crate) const DIGEST: &str = "SHA2(CONCAT_WS('|', a.seq, a.entity, HEX(a.entity_id), a.action, a.actor, \
    COALESCE(HEX(a.actor_id), '-'), COALESCE(HEX(a.actor_name), '-'), DATE_FORMAT(a.at, '%Y-%m-%d %H:%i:%s.%f'), a.detail), 256)";

/// Writes these rows. One statement, none for an empty list.
pub fn record(tx: &mut Tx, changes: &[Change<'_>], now: Timestamp) -> Result<(), DbError> {
    let rows: Vec<_> = changes
        .iter()
        .map(|change| {
            (
                audit_log::entity.eq(change.entity),
                audit_log::entity_id.eq(Id(change.entity_id)),
                audit_log::action.eq(change.action),
                audit_log::actor.eq(change.actor.as_str()),
                audit_log::actor_id.eq(change.actor.id()),
                audit_log::actor_name.eq(change.actor.name()),
                audit_log::at.eq(At(now)),
                audit_log::detail.eq(change.detail.to_string()),
            )
        })
        .collect();
    insert_rows!(tx, audit_log::table, rows.as_slice())?;
    Ok(())
}

/// Which rows to list; a row must meet all that is said.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// What was changed.
    pub entity: Option<String>,
    /// Which one.
    pub entity_id: Option<Uuid>,
    /// What happened to it.
    pub action: Option<String>,
    /// The user who did it.
    pub user_id: Option<Uuid>,
    /// The name of the operator's key.
    pub operator: Option<String>,
    /// From this instant on.
    pub from: Option<Timestamp>,
    /// Before this instant.
    pub until: Option<Timestamp>,
    /// Only rows that were written before this one.
    pub before: Option<i64>,
}

/// One row as it is read.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = audit_log)]
#[expect(missing_docs, reason = "the columns, whose words `Change` explains")]
pub struct Row {
    pub seq: i64,
    pub entity: String,
    #[diesel(deserialize_as = Id)]
    pub entity_id: Uuid,
    pub action: String,
    pub actor: String,
    pub actor_id: Option<Id>,
    pub actor_name: Option<String>,
    #[diesel(deserialize_as = At)]
    pub at: Timestamp,
    pub detail: String,
}

/// Rows of the log, newest first. One statement; with `entity_id` by an index, else along the log.
pub fn list(conn: &mut Conn, filter: &Filter, at_most: u32) -> Result<Vec<Row>, DbError> {
    let mut rows = audit_log::table.into_boxed();
    if let Some(entity) = &filter.entity {
        rows = rows.filter(audit_log::entity.eq(entity));
    }
    if let Some(id) = filter.entity_id {
        rows = rows.filter(audit_log::entity_id.eq(Id(id)));
    }
    if let Some(action) = &filter.action {
        rows = rows.filter(audit_log::action.eq(action));
    }
    if let Some(id) = filter.user_id {
        rows = rows.filter(audit_log::actor_id.eq(Id(id)));
    }
    if let Some(name) = &filter.operator {
        rows = rows.filter(audit_log::actor_name.eq(name));
    }
    if let Some(from) = filter.from {
        rows = rows.filter(audit_log::at.ge(At(from)));
    }
    if let Some(until) = filter.until {
        rows = rows.filter(audit_log::at.lt(At(until)));
    }
    let found = rows
        .filter(audit_log::seq.lt(filter.before.unwrap_or(i64::MAX)))
        .order(audit_log::seq.desc())
        .limit(at_most.into())
        .select(Row::as_select())
        .load(conn)?;
    Ok(found)
}

/// What a user did with these things, newest first. One statement, by an index.
pub fn by(conn: &mut Conn, user_id: Uuid, things: &[Uuid]) -> Result<Vec<Row>, DbError> {
    let things: Vec<Id> = things.iter().copied().map(Id).collect();
    let found = audit_log::table
        .filter(audit_log::entity_id.eq_any(things))
        .filter(audit_log::actor_id.eq(Id(user_id)))
        .order(audit_log::seq.desc())
        .select(Row::as_select())
        .load(conn)?;
    Ok(found)
}

/// All rows of these things, newest first. One statement, by an index.
pub fn of(conn: &mut Conn, things: &[Uuid]) -> Result<Vec<Row>, DbError> {
    let things: Vec<Id> = things.iter().copied().map(Id).collect();
    let found = audit_log::table
        .filter(audit_log::entity_id.eq_any(things))
        .order(audit_log::seq.desc())
        .select(Row::as_select())
        .load(conn)?;
    Ok(found)
}
