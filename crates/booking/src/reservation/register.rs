//! The reservations and buyers of a date, as the desk lists them: buyer by buyer, which is the order of an index.

use chassis::time::Timestamp;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Binary, Datetime, Nullable};
use uuid::Uuid;

use super::{Reservation, ReservationRow, ReservationState, with_seats};
use crate::db::{At, Conn, DbError, Id};
use crate::schema::{payments, reservations};

/// Which reservations of a date.
#[derive(Debug, Clone, Copy, Default)]
pub struct Filter {
    /// As it is at the instant that was asked for: a hold that is over is expired.
    pub state: Option<ReservationState>,
    /// Of one user.
    pub user_id: Option<Uuid>,
}

/// Where a part of the register begins: after this reservation of this user.
#[derive(Debug, Clone, Copy, Default)]
pub struct After {
    /// Whose.
    pub user_id: Uuid,
    /// Which of theirs.
    pub reservation_id: Uuid,
}

/// Of a date, and behind this reservation of this user in the order of the register.
#[diesel::dsl::auto_type]
pub(crate) fn behind(schedule_id: Id, user_id: Id, reservation_id: Id) -> _ {
    let of_date = reservations::schedule_id.eq(schedule_id);
    let further = reservations::user_id.gt(user_id);
    let further = further.or(reservations::id.gt(reservation_id));
    of_date.and(reservations::user_id.ge(user_id)).and(further)
}

/// Somebody who has bought seats of a date or holds some.
#[derive(Debug, Clone, PartialEq, Eq, QueryableByName)]
pub struct Buyer {
    /// Who.
    #[diesel(sql_type = Binary)]
    pub user_id: Id,
    /// Seats that are paid.
    #[diesel(sql_type = BigInt)]
    pub seats_bought: i64,
    /// Seats that are held and not paid yet.
    #[diesel(sql_type = BigInt)]
    pub seats_held: i64,
    /// What the paid seats cost, in minor units.
    #[diesel(sql_type = BigInt)]
    pub amount: i64,
}

/// At most `limit` reservations of a date as they are at `now`, by buyer. Two statements.
pub fn of_date(
    conn: &mut Conn,
    schedule_id: Uuid,
    filter: Filter,
    after: After,
    limit: u32,
    now: Timestamp,
) -> Result<Vec<Reservation>, DbError> {
    let mut rows = reservations::table
        .left_join(payments::table)
        .filter(behind(
            Id(schedule_id),
            Id(after.user_id),
            Id(after.reservation_id),
        ))
        .order((reservations::user_id, reservations::id))
        .limit(limit.into())
        .select((ReservationRow::as_select(), payments::id.nullable()))
        .into_boxed();
    if let Some(user_id) = filter.user_id {
        rows = rows.filter(reservations::user_id.eq(Id(user_id)));
    }
    rows = match filter.state {
        None => rows,
        Some(ReservationState::Held) => rows
            .filter(reservations::state.eq(ReservationState::Held))
            .filter(reservations::hold_expires_at.gt(At(now))),
        Some(ReservationState::Expired) => rows.filter(
            reservations::state
                .eq(ReservationState::Expired)
                .or(reservations::state
                    .eq(ReservationState::Held)
                    .and(reservations::hold_expires_at.le(At(now)))),
        ),
        Some(state) => rows.filter(reservations::state.eq(state)),
    };
    let rows: Vec<(ReservationRow, Option<Id>)> = rows.load(conn)?;
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let found = with_seats(conn, rows)?;
    Ok(found.into_iter().map(|it| it.seen_at(now)).collect())
}

/// At most `limit` users who have bought seats of a date or hold some at `now`, those after this one; or only the user who is
/// named, if any is. One statement.
pub fn buyers_of(
    conn: &mut Conn,
    (schedule_id, user_id): (Uuid, Option<Uuid>),
    after: Uuid,
    limit: u32,
    now: Timestamp,
) -> Result<Vec<Buyer>, DbError> {
    let found = sql_query(
        "SELECT user_id, \
            CAST(SUM(IF(state = 'confirmed', seat_count, 0)) AS SIGNED) AS seats_bought, \
            CAST(SUM(IF(state = 'held', seat_count, 0)) AS SIGNED) AS seats_held, \
            CAST(SUM(IF(state = 'confirmed', amount, 0)) AS SIGNED) AS amount \
         FROM reservations WHERE schedule_id = ? AND user_id > ? AND (? IS NULL OR user_id = ?) \
            AND (state = 'confirmed' OR (state = 'held' AND hold_expires_at > ?)) \
         GROUP BY user_id ORDER BY user_id LIMIT ?",
    )
    .bind::<Binary, _>(Id(schedule_id))
    .bind::<Binary, _>(Id(after))
    .bind::<Nullable<Binary>, _>(user_id.map(Id))
    .bind::<Nullable<Binary>, _>(user_id.map(Id))
    .bind::<Datetime, _>(At(now))
    .bind::<BigInt, _>(i64::from(limit))
    .load(conn)?;
    Ok(found)
}
