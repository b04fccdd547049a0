//! How the seats of a reservation change hands. Each statement touches only seats that are still this reservation's,
//! by number, and says how many it changed.

use diesel::dsl::auto_type;
use diesel::prelude::*;
use uuid::Uuid;

use super::Reservation;
use crate::crash;
use crate::db::{At, DbError, Id, Tx, one_of, update};
use crate::schema::{reservation_seats, seats};
use crate::seat::SeatState;

/// Sells the seats that the reservation holds, and says whether it still held all of them. Two statements.
pub(crate) fn sell(tx: &mut Tx, reservation: &Reservation) -> Result<bool, DbError> {
    let held = seats::table
        .filter(seats::schedule_id.eq(Id(reservation.schedule_id)))
        .filter(one_of(seats::number, reservation.seat_numbers()))
        .filter(seats::reservation_id.eq(Id(reservation.id)))
        .filter(seats::state.eq(SeatState::Held));
    let changes = (
        seats::state.eq(SeatState::Sold),
        seats::hold_expires_at.eq(None::<At>),
    );
    let sold = update(held, changes).execute(tx)?;
    crash::point("pay.seats-sold");
    let marked = update(
        reservation_seats::table.filter(reservation_seats::reservation_id.eq(Id(reservation.id))),
        reservation_seats::sold_number.eq(reservation_seats::seat_number.nullable()),
    );
    let marked = marked.execute(tx)?;
    Ok(sold == reservation.seats.len() && marked == reservation.seats.len())
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
