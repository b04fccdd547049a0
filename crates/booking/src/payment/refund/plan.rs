//! How much one refund gives back, and which seats: what is asked for, by what was given back before and by the terms.

use diesel::prelude::*;

use super::{Extent, RefundError, Terms};
use crate::concert::percent_of;
use crate::db::{DbError, Id, Tx};
use crate::payment::{Payment, PaymentState};
use crate::reservation::{Reservation, ReservedSeat};
use crate::schema::{refunds, reservation_seats};
use crate::seat::SeatNumbers;

/// What was given back of a payment before.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Before {
    /// In how many parts.
    pub(super) parts: u16,
    /// Minor units of those without seats. They count against the seats that are left.
    pub(super) without_seats: i64,
}

/// Two statements, none for a payment of which nothing was given back.
pub(super) fn before(
    tx: &mut Tx,
    payment: &Payment,
    reservation: &Reservation,
) -> Result<Before, RefundError> {
    if payment.state == PaymentState::Captured {
        return Ok(Before::default());
    }
    let made: Vec<(Id, i64)> = refunds::table
        .filter(refunds::payment_id.eq(Id(payment.id)))
        .select((refunds::id, refunds::amount))
        .load(tx)?;
    let with_seats: Vec<Option<Id>> = reservation_seats::table
        .filter(reservation_seats::reservation_id.eq(Id(reservation.id)))
        .filter(reservation_seats::returned_by.is_not_null())
        .select(reservation_seats::returned_by)
        .load(tx)?;
    let parts = u16::try_from(made.len()).map_err(|_| DbError::Unexpected("too many refunds"))?;
    let without_seats = made
        .iter()
        .filter(|(id, _)| !with_seats.contains(&Some(*id)));
    Ok(Before {
        parts,
        without_seats: without_seats.map(|(_, amount)| amount).sum(),
    })
}

/// What one refund does.
pub(super) struct Plan {
    pub(super) part: u16,
    pub(super) amount: i64,
    /// The seats that become free, with what they cost.
    pub(super) seats: Vec<ReservedSeat>,
    /// Whether nothing is left to refund afterwards.
    pub(super) is_last: bool,
}

/// For seats at most their share of the price, less what was given back without any; never more than what is left of what
/// was captured.
pub(super) fn planned(
    payment: &Payment,
    reservation: &Reservation,
    before: Before,
    extent: &Extent,
    (terms, percent): (Terms, u16),
) -> Result<Plan, RefundError> {
    let left = payment.amount - payment.refunded_amount;
    let of_rest = |percent| {
        let due = percent_of(reservation.amount, percent) - before.without_seats;
        due.clamp(0, left)
    };
    let of_seats = |seats: Vec<ReservedSeat>, is_last| {
        let price = seats.iter().map(|seat| seat.price).sum();
        let amount = if is_last {
            of_rest(percent)
        } else {
            percent_of(price, percent).min(of_rest(percent))
        };
        Plan {
            part: before.parts,
            amount,
            seats,
            is_last,
        }
    };
    match extent {
        Extent::Rest => Ok(of_seats(reservation.seats.clone(), true)),
        Extent::Seats(numbers) => {
            let seats = wanted_back(reservation, numbers)?;
            let is_last = seats.len() == reservation.seats.len();
            Ok(of_seats(seats, is_last))
        }
        Extent::Amount(amount) => {
            let refundable = match terms {
                Terms::Everything => left,
                Terms::OfDate => of_rest(percent),
            };
            if *amount > refundable {
                return Err(RefundError::TooMuch { refundable });
            }
            // Nobody keeps seats for which all the money is back.
            let is_last = *amount >= of_rest(100);
            let seats = if is_last {
                reservation.seats.clone()
            } else {
                Vec::new()
            };
            Ok(Plan {
                part: before.parts,
                amount: *amount,
                seats,
                is_last,
            })
        }
    }
}

fn wanted_back(
    reservation: &Reservation,
    numbers: &SeatNumbers,
) -> Result<Vec<ReservedSeat>, RefundError> {
    let is_wanted = |seat: &&ReservedSeat| numbers.as_slice().contains(&seat.number);
    let seats: Vec<_> = reservation
        .seats
        .iter()
        .filter(is_wanted)
        .cloned()
        .collect();
    let is_unknown = |number: &u16| !seats.iter().any(|seat| seat.number == *number);
    let unknown: Vec<u16> = numbers
        .as_slice()
        .iter()
        .copied()
        .filter(is_unknown)
        .collect();
    if unknown.is_empty() {
        Ok(seats)
    } else {
        Err(RefundError::SeatsUnknown(unknown))
    }
}
