//! How the seats of a reservation change hands. Each statement touches only seats that are still this reservation's,
//! by number, and says how many it changed.

use diesel::prelude::*;
use uuid::Uuid;

use super::Reservation;
use crate::crash;
use crate::db::{At, DbError, Id, Tx};
use crate::schema::{reservation_seats, seats};
use crate::seat::SeatState;

/// Sells the seats that the reservation holds, and says whether it still held all of them. Two statements.
pub(crate) fn sell(tx: &mut Tx, reservation: &Reservation) -> Result<bool, DbError> {
    let sold = diesel::update(seats::table)
        .filter(seats::schedule_id.eq(Id(reservation.schedule_id)))
        .filter(seats::number.eq_any(reservation.seat_numbers()))
        .filter(seats::reservation_id.eq(Id(reservation.id)))
        .filter(seats::state.eq(SeatState::Held))
        .set((
            seats::state.eq(SeatState::Sold),
            seats::hold_expires_at.eq(None::<At>),
        ))
        .execute(tx)?;
    crash::point("pay.seats-sold");
    let marked = diesel::update(reservation_seats::table)
        .filter(reservation_seats::reservation_id.eq(Id(reservation.id)))
        .set(reservation_seats::sold_number.eq(reservation_seats::seat_number.nullable()))
        .execute(tx)?;
    Ok(sold == reservation.seats.len() && marked == reservation.seats.len())
}

/// Frees the sold seats of a reservation, and says how many. Two statements.
pub(crate) fn unsell(tx: &mut Tx, reservation: &Reservation) -> Result<usize, DbError> {
    let freed = free(
        tx,
        reservation.schedule_id,
        &reservation.seat_numbers(),
        &[Id(reservation.id)],
    )?;
    diesel::update(reservation_seats::table)
        .filter(reservation_seats::reservation_id.eq(Id(reservation.id)))
        .set(reservation_seats::sold_number.eq(None::<u16>))
        .execute(tx)?;
    Ok(freed)
}

/// Frees those of the numbered seats that one of these reservations still has. One statement.
pub(super) fn free(
    tx: &mut Tx,
    schedule_id: Uuid,
    numbers: &[u16],
    reservation_ids: &[Id],
) -> Result<usize, DbError> {
    let freed = diesel::update(seats::table)
        .filter(seats::schedule_id.eq(Id(schedule_id)))
        .filter(seats::number.eq_any(numbers))
        .filter(seats::reservation_id.eq_any(reservation_ids))
        .set((
            seats::state.eq(SeatState::Available),
            seats::reservation_id.eq(None::<Id>),
            seats::holder_id.eq(None::<Id>),
            seats::hold_expires_at.eq(None::<At>),
        ))
        .execute(tx)?;
    Ok(freed)
}
