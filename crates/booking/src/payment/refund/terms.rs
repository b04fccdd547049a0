//! How much of the price comes back to a buyer at an instant: by the rules of the date as they are, or by those that it had
//! when it was paid, whichever give more. So no later edit of the rules or of the start takes away what a buyer was told.

use chassis::time::Timestamp;
use diesel::prelude::*;
use uuid::Uuid;

use super::RefundError;
use crate::concert::{Promise, RefundRules, Share, refund_columns};
use crate::db::{At, Conn, Id};
use crate::schema::{payments, schedules};

/// Percent of the price, at least one. After the start of the show nothing comes back, whatever was said. One statement.
pub(super) fn percent_at(
    conn: &mut Conn,
    payment_id: Uuid,
    schedule_id: Uuid,
    now: Timestamp,
) -> Result<u16, RefundError> {
    type Row = (At, (u32, u32, u16), (Option<At>, Option<At>, Option<u16>));
    let (starts_at, rules, promised): Row = payments::table
        .inner_join(schedules::table.on(schedules::id.eq(Id(schedule_id))))
        .filter(payments::id.eq(Id(payment_id)))
        .select((
            schedules::starts_at,
            refund_columns(),
            (
                payments::refund_full_until,
                payments::refund_share_until,
                payments::refund_share_percent,
            ),
        ))
        .first(conn)?;
    let promised = match promised {
        (Some(full_until), Some(share_until), Some(share_percent)) => Promise {
            full_until: full_until.0,
            share_until: share_until.0,
            share_percent,
        }
        .percent_at(now),
        _ => 0,
    };
    let percent = match RefundRules::from(rules).share_at(starts_at.0, now) {
        Share::Started => return Err(RefundError::ShowStarted),
        Share::Percent(percent) => percent.max(promised),
        Share::Nothing => promised,
    };
    match percent {
        0 => Err(RefundError::TooLate),
        percent => Ok(percent),
    }
}
