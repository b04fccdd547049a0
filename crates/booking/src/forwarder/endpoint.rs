//! What is known of each receiver: how far it is behind, and whether it said that it wants no more (410).
//!
//! A forwarder writes it and operators read it, so that nobody has to ask the brokers. A receiver that is stopped stays
//! so until an operator resumes it; its events wait on the topic meanwhile.

use std::collections::BTreeMap;

use chassis::time::Timestamp;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Datetime, Nullable, Text};
use uuid::Uuid;

use super::lag::Lag;
use crate::audit::{self, Action, Actor, Change, Entity};
use crate::db::{At, Conn, DbError, Tx, upsert};
use crate::outbox::cut;
use crate::schema::{webhook_endpoints as endpoints, webhook_lag as lags};

/// A receiver as operators see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Its name: the consumer group.
    pub receiver: String,
    /// Events on the topic that it does not have.
    pub waiting: i64,
    /// Since when the oldest of them has been waiting.
    pub oldest_at: Option<Timestamp>,
    /// When that was last measured, of the partition that was measured longest ago.
    pub measured_at: Option<Timestamp>,
    /// When it was stopped, and why.
    pub stopped: Option<(Timestamp, String)>,
}

#[derive(QueryableByName)]
struct LagRow {
    #[diesel(sql_type = Text)]
    receiver: String,
    #[diesel(sql_type = BigInt)]
    waiting: i64,
    #[diesel(sql_type = Nullable<Datetime>)]
    oldest_at: Option<At>,
    #[diesel(sql_type = Nullable<Datetime>)]
    measured_at: Option<At>,
}

const LAGS: &str = "SELECT receiver, CAST(SUM(waiting) AS SIGNED) AS waiting, MIN(oldest_at) AS oldest_at, \
    MIN(measured_at) AS measured_at FROM webhook_lag GROUP BY receiver ORDER BY receiver";

type StoppedRow = (String, Option<At>, Option<String>);

/// All receivers by name. Two statements.
pub fn list(conn: &mut Conn) -> Result<Vec<Endpoint>, DbError> {
    let rows: Vec<LagRow> = sql_query(LAGS).load(conn)?;
    let of_lag = rows.into_iter().map(|row| {
        let endpoint = Endpoint {
            receiver: row.receiver,
            waiting: row.waiting,
            oldest_at: row.oldest_at.map(Timestamp::from),
            measured_at: row.measured_at.map(Timestamp::from),
            stopped: None,
        };
        (endpoint.receiver.clone(), endpoint)
    });
    let mut all: BTreeMap<String, Endpoint> = of_lag.collect();
    let stopped: Vec<StoppedRow> = endpoints::table
        .filter(endpoints::stopped_at.is_not_null())
        .select((
            endpoints::receiver,
            endpoints::stopped_at,
            endpoints::stopped_reason,
        ))
        .load(conn)?;
    for (receiver, at, reason) in stopped {
        let endpoint = all.entry(receiver.clone()).or_insert(Endpoint {
            receiver,
            waiting: 0,
            oldest_at: None,
            measured_at: None,
            stopped: None,
        });
        endpoint.stopped = at.map(|At(at)| (at, reason.unwrap_or_default()));
    }
    Ok(all.into_values().collect())
}

/// Whether this receiver is stopped. One statement.
pub fn is_stopped(conn: &mut Conn, receiver: &str) -> Result<bool, DbError> {
    let stopped: Option<Option<At>> = endpoints::table
        .find(receiver)
        .select(endpoints::stopped_at)
        .first(conn)
        .optional()?;
    Ok(stopped.flatten().is_some())
}

/// Stops a receiver, unless it is stopped already. One statement.
pub fn stop(tx: &mut Tx, receiver: &str, reason: &str, now: Timestamp) -> Result<(), DbError> {
    sql_query(
        "INSERT INTO webhook_endpoints (receiver, stopped_at, stopped_reason) VALUES (?, ?, ?) \
         ON DUPLICATE KEY UPDATE stopped_reason = IF(stopped_at IS NULL, VALUES(stopped_reason), stopped_reason), \
         stopped_at = COALESCE(stopped_at, VALUES(stopped_at))",
    )
    .bind::<Text, _>(receiver)
    .bind::<Datetime, _>(At(now))
    .bind::<Text, _>(cut(reason))
    .execute(tx)?;
    Ok(())
}

/// Resumes every receiver that is stopped, and gives back their names. At most three statements.
pub fn resume(tx: &mut Tx, by: Actor, now: Timestamp) -> Result<Vec<String>, DbError> {
    let stopped: Vec<String> = endpoints::table
        .filter(endpoints::stopped_at.is_not_null())
        .select(endpoints::receiver)
        .order(endpoints::receiver)
        .for_update()
        .load(tx)?;
    if stopped.is_empty() {
        return Ok(stopped);
    }
    diesel::update(endpoints::table.filter(endpoints::stopped_at.is_not_null()))
        .set((
            endpoints::stopped_at.eq(None::<At>),
            endpoints::stopped_reason.eq(None::<String>),
        ))
        .execute(tx)?;
    let change = Change {
        entity: Entity::Event,
        entity_id: Uuid::nil(),
        action: Action::Resumed,
        actor: by,
        detail: serde_json::json!({ "receivers": stopped }),
    };
    audit::record(tx, &[change], now)?;
    Ok(stopped)
}

/// Writes how far the partitions of one forwarder are behind. One statement for each.
pub fn write_lag(tx: &mut Tx, receiver: &str, lag: &Lag, now: Timestamp) -> Result<(), DbError> {
    for behind in &lag.partitions {
        let (waiting, oldest_at) = (behind.waiting, behind.oldest_at.map(At));
        let insert = diesel::insert_into(lags::table).values((
            lags::receiver.eq(receiver),
            lags::partition_no.eq(behind.partition),
            lags::waiting.eq(waiting),
            lags::oldest_at.eq(oldest_at),
            lags::measured_at.eq(At(now)),
        ));
        let changes = (
            lags::waiting.eq(waiting),
            lags::oldest_at.eq(oldest_at),
            lags::measured_at.eq(At(now)),
        );
        upsert(insert, changes).execute(tx)?;
    }
    Ok(())
}
