//! The step that tells the provider what is due.
//!
//! An instruction is taken for a while, sent without holding any lock, and struck off if it is still the same: what the
//! provider said meanwhile may have made another of it. A process that dies in between leaves it to the next step.

use chassis::time::{Clock, Timestamp};
use diesel::dsl::{exists, select};
use diesel::prelude::*;
use futures_util::future::join_all;
use uuid::Uuid;

use super::{Instruction, LEASE, Order, Provider};
use crate::crash;
use crate::db::{At, Conn, Db, DbError, Id, Tx};
use crate::outbox::cut;
use crate::pause;
use crate::schema::provider_orders;

/// Instructions that are sent together.
const BATCH: i64 = 20;
/// The first pause after a failure, and the longest.
const PAUSES: (std::time::Duration, std::time::Duration) = (
    std::time::Duration::from_secs(1),
    std::time::Duration::from_secs(60),
);

impl Provider {
    /// Sends what is due, at most a batch, and says how many the provider took and whether there may be more.
    pub async fn step(&self, db: &Db, clock: &Clock) -> Result<(usize, bool), DbError> {
        let now = clock.now();
        // A look costs no commit, which an idle service would pay every second.
        if !db.read(move |conn| is_due(conn, now)).await? {
            return Ok((0, false));
        }
        let due = db.transaction(move |tx| claim(tx, now)).await?;
        crash::point("provider.claimed");
        let more = due.len() as i64 == BATCH;
        let sent = due
            .into_iter()
            .map(|(order, instruction, attempts)| async move {
                let told = self.tell(&order, instruction, clock.now()).await;
                crash::point("provider.told");
                let (id, now, taken) = (order.id, clock.now(), told.is_ok());
                let settled = db
                    .transaction(move |tx| settle(tx, id, instruction, attempts, &told, now))
                    .await;
                settled.map(|()| taken)
            });
        let mut taken = 0;
        for outcome in join_all(sent).await {
            taken += usize::from(outcome?);
        }
        Ok((taken, more))
    }
}

fn is_due(conn: &mut Conn, now: Timestamp) -> Result<bool, DbError> {
    let due = provider_orders::table
        .filter(provider_orders::instruction.is_not_null())
        .filter(provider_orders::next_attempt_at.le(At(now)));
    Ok(select(exists(due)).get_result(conn)?)
}

fn claim(tx: &mut Tx, now: Timestamp) -> Result<Vec<(Order, Instruction, u32)>, DbError> {
    let due: Vec<(Order, Option<Instruction>, u32)> = provider_orders::table
        .filter(provider_orders::instruction.is_not_null())
        .filter(provider_orders::next_attempt_at.le(At(now)))
        .order(provider_orders::next_attempt_at)
        .limit(BATCH)
        .for_update()
        .skip_locked()
        .select((
            Order::as_select(),
            provider_orders::instruction,
            provider_orders::attempts,
        ))
        .load(tx)?;
    let ids: Vec<Id> = due.iter().map(|(order, ..)| Id(order.id)).collect();
    if !ids.is_empty() {
        diesel::update(provider_orders::table.filter(provider_orders::id.eq_any(&ids)))
            .set(provider_orders::next_attempt_at.eq(At(now + LEASE)))
            .execute(tx)?;
    }
    let with_instruction = |(order, instruction, attempts): (Order, Option<_>, u32)| {
        instruction.map(|instruction| (order, instruction, attempts))
    };
    Ok(due.into_iter().filter_map(with_instruction).collect())
}

fn settle(
    tx: &mut Tx,
    id: Uuid,
    instruction: Instruction,
    attempts: u32,
    told: &Result<(), String>,
    now: Timestamp,
) -> Result<(), DbError> {
    let same = provider_orders::table
        .find(Id(id))
        .filter(provider_orders::instruction.eq(Some(instruction)));
    match told {
        Ok(()) => diesel::update(same)
            .set(provider_orders::instruction.eq(None::<Instruction>))
            .execute(tx)?,
        Err(reason) => {
            let attempts = attempts.saturating_add(1);
            let pause = pause::growing(PAUSES.0, PAUSES.1, attempts);
            diesel::update(same)
                .set((
                    provider_orders::attempts.eq(attempts),
                    provider_orders::next_attempt_at.eq(At(now + pause)),
                    provider_orders::last_error.eq(cut(reason)),
                ))
                .execute(tx)?
        }
    };
    Ok(())
}
