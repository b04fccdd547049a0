//! The payments of a date, as the desk lists them: buyer by buyer, which is the order of an index of reservations.

use chassis::time::Timestamp;
use diesel::prelude::*;
use uuid::Uuid;

use super::{Payment, PaymentState};
use crate::db::{At, Conn, DbError, Id};
use crate::reservation::{After, behind};
use crate::schema::{payments, refunds, reservations};

/// At most `limit` payments of a date, by buyer. One statement.
pub fn of_date(
    conn: &mut Conn,
    schedule_id: Uuid,
    state: Option<PaymentState>,
    user_id: Option<Uuid>,
    after: After,
    limit: u32,
) -> Result<Vec<Payment>, DbError> {
    let mut found = payments::table
        .inner_join(reservations::table)
        .filter(behind(
            Id(schedule_id),
            Id(after.user_id),
            Id(after.reservation_id),
        ))
        .order((reservations::user_id, reservations::id))
        .limit(limit.into())
        .select(Payment::as_select())
        .into_boxed();
    if let Some(state) = state {
        found = found.filter(payments::state.eq(state));
    }
    if let Some(user_id) = user_id {
        found = found.filter(reservations::user_id.eq(Id(user_id)));
    }
    Ok(found.load(conn)?)
}

/// All payments of a user, newest first. One statement.
pub fn of_user(conn: &mut Conn, user_id: Uuid) -> Result<Vec<Payment>, DbError> {
    let found = payments::table
        .inner_join(reservations::table)
        .filter(reservations::user_id.eq(Id(user_id)))
        .order(payments::id.desc())
        .select(Payment::as_select())
        .load(conn)?;
    Ok(found)
}

/// Money that went back.
#[derive(Debug, Clone, PartialEq, Eq, Queryable)]
pub struct MadeRefund {
    /// Its id.
    #[diesel(deserialize_as = Id)]
    pub id: Uuid,
    /// Of which payment.
    #[diesel(deserialize_as = Id)]
    pub payment_id: Uuid,
    /// Minor units.
    pub amount: i64,
    /// When.
    #[diesel(deserialize_as = At)]
    pub created_at: Timestamp,
}

/// All refunds of a user's payments, newest first. One statement.
pub fn refunds_of_user(conn: &mut Conn, user_id: Uuid) -> Result<Vec<MadeRefund>, DbError> {
    let found = refunds::table
        .inner_join(payments::table.inner_join(reservations::table))
        .filter(reservations::user_id.eq(Id(user_id)))
        .order((refunds::created_at.desc(), refunds::id))
        .select((
            refunds::id,
            refunds::payment_id,
            refunds::amount,
            refunds::created_at,
        ))
        .load(conn)?;
    Ok(found)
}

/// The payment of this id, of any user. One statement.
pub fn any(conn: &mut Conn, id: Uuid) -> Result<Option<Payment>, DbError> {
    let found = payments::table
        .find(Id(id))
        .select(Payment::as_select())
        .first(conn)
        .optional()?;
    Ok(found)
}
