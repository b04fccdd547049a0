//! How the seats of a reservation change hands. Each statement touches only seats that are still this reservation's,
//! by number, and says how many it changed.

use chassis::time::Timestamp;
use diesel::dsl::auto_type;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Datetime, Text};
use uuid::Uuid;

use super::Reservation;
use crate::db::{At, Conn, DbError, Id, Tx, kept, one_of, update};
use crate::ledger::Entry;
use crate::schema::{reservation_seats, seats};
use crate::seat::SeatState;

/// What became of a hold that was to be sold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sale {
    /// It is confirmed, all its seats are sold, and they are paid.
    Done,
    /// It no longer had all its seats; some may be sold, so the transaction must be undone.
    Short,
    /// It was no longer held, its time was over, it had none of its seats, or there was too little money; nothing was changed.
    Nothing,
}

/// Of a hold whose time is not over: the reservation, its seats by number, and that they are sold.
const SELL: &str = "UPDATE reservations r \
    JOIN reservation_seats i ON i.reservation_id = r.id \
    JOIN seats s ON s.schedule_id = i.schedule_id AND s.number = i.seat_number AND s.reservation_id = i.reservation_id \
    SET r.state = 'confirmed', s.state = 'sold', s.hold_expires_at = NULL, i.sold_number = i.seat_number \
    WHERE r.id = ? AND r.state = 'held' AND r.hold_expires_at > ? AND s.state = 'held'";

/// The same, where the wallet of its user has enough: the money goes out of it, and its chain moves on.
const SELL_FOR_MONEY: &str = "UPDATE reservations r \
    JOIN wallets w ON w.user_id = r.user_id \
    JOIN reservation_seats i ON i.reservation_id = r.id \
    JOIN seats s ON s.schedule_id = i.schedule_id AND s.number = i.seat_number AND s.reservation_id = i.reservation_id \
    SET r.state = 'confirmed', s.state = 'sold', s.hold_expires_at = NULL, i.sold_number = i.seat_number, \
        w.balance = w.balance - ?, w.entries = w.entries + 1, w.head = UNHEX(SHA2(CONCAT(w.head, UNHEX(?)), 256)) \
    WHERE r.id = ? AND r.state = 'held' AND r.hold_expires_at > ? AND s.state = 'held' AND w.balance >= ?";

/// Confirms a hold, sells its seats and takes what they cost, which the entry says, out of the wallet; free seats have no
/// entry. One statement: each of its rows tests what it changes, and the count decides.
pub(crate) fn sell(
    tx: &mut Tx,
    reservation: &Reservation,
    entry: Option<&Entry>,
    now: Timestamp,
) -> Result<Sale, DbError> {
    let sell = match entry {
        None => kept(SELL)
            .bind::<Binary, _>(Id(reservation.id))
            .bind::<Datetime, _>(At(now)),
        Some(entry) => kept(SELL_FOR_MONEY)
            .bind::<BigInt, _>(entry.amount)
            .bind::<Text, _>(entry.digest_hex())
            .bind::<Binary, _>(Id(reservation.id))
            .bind::<Datetime, _>(At(now))
            .bind::<BigInt, _>(entry.amount),
    };
    let changed = sell.execute(tx)?;
    // Each seat counts twice: as a seat, and as one of the reservation.
    let all = 1 + usize::from(entry.is_some()) + 2 * reservation.seats.len();
    Ok(match changed {
        0 => Sale::Nothing,
        some if some == all => Sale::Done,
        _ => Sale::Short,
    })
}

/// Whether it still has all its seats. One statement.
pub(crate) fn has_all(conn: &mut Conn, reservation: &Reservation) -> Result<bool, DbError> {
    let its: i64 = seats::table
        .filter(seats::schedule_id.eq(Id(reservation.schedule_id)))
        .filter(one_of(seats::number, reservation.seat_numbers()))
        .filter(seats::reservation_id.eq(Id(reservation.id)))
        .count()
        .get_result(conn)?;
    Ok(usize::try_from(its) == Ok(reservation.seats.len()))
}

/// Frees these sold seats of a reservation, and says how many. `returned_by` is the refund that takes them out of a
/// reservation that goes on without them. Two statements.
pub(crate) fn unsell(
    tx: &mut Tx,
    part: &Reservation,
    returned_by: Option<Uuid>,
) -> Result<usize, DbError> {
    let freed = free(tx, part)?;
    let its = reservation_seats::table
        .filter(reservation_seats::reservation_id.eq(Id(part.id)))
        .filter(one_of(reservation_seats::seat_number, part.seat_numbers()));
    let changes = (
        reservation_seats::sold_number.eq(None::<u16>),
        reservation_seats::returned_by.eq(returned_by.map(Id)),
    );
    update(its, changes).execute(tx)?;
    Ok(freed)
}

/// Frees the seats that the reservation still has. One statement.
pub(crate) fn free(tx: &mut Tx, reservation: &Reservation) -> Result<usize, DbError> {
    let its = seats::table
        .filter(seats::schedule_id.eq(Id(reservation.schedule_id)))
        .filter(one_of(seats::number, reservation.seat_numbers()))
        .filter(seats::reservation_id.eq(Id(reservation.id)));
    Ok(update(its, made_available()).execute(tx)?)
}

/// Frees those of the numbered seats that one of these reservations still has. One statement, which is prepared anew
/// each time, because any number of seats may be freed.
pub(super) fn free_of_many(
    tx: &mut Tx,
    schedule_id: Uuid,
    numbers: &[u16],
    reservation_ids: &[Id],
) -> Result<usize, DbError> {
    let freed = diesel::update(seats::table)
        .filter(seats::schedule_id.eq(Id(schedule_id)))
        .filter(seats::number.eq_any(numbers))
        .filter(seats::reservation_id.eq_any(reservation_ids))
        .set(made_available())
        .execute(tx)?;
    Ok(freed)
}

#[auto_type]
fn made_available() -> _ {
    let available: SeatState = SeatState::Available;
    let (none, never): (Option<Id>, Option<At>) = (None, None);
    (
        seats::state.eq(available),
        seats::reservation_id.eq(none),
        seats::holder_id.eq(none),
        seats::hold_expires_at.eq(never),
    )
}
