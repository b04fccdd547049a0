//! Seats: who had which from when to when.

use std::collections::HashMap;

use booking::db::{At, DbError, Id};
use chassis::time::Timestamp;
use diesel::deserialize::QueryableByName;
use diesel::sql_types::{Binary, Datetime, Text};
use diesel::{RunQueryDsl, sql_query};
use serde_json::Value;
use uuid::Uuid;

use super::client::{Mine, Refusal};
use super::{HOLD, Step, World};

/// In the time between an answer that gave the seats and the request that ended it, they were theirs for certain; so
/// the times of two owners of a seat must not overlap.
pub fn never_two_at_once(bought: &[Mine]) {
    let mut by_seat: HashMap<u16, Vec<(Step, Step, Uuid)>> = HashMap::new();
    for mine in bought {
        let end = mine.given_back.map(|(begin, _)| begin);
        let end = match mine.paid {
            Some(_) => end.unwrap_or(Step::MAX),
            None => end.unwrap_or(Step::MAX).min(mine.over),
        };
        for seat in mine.reservation.seat_numbers() {
            let times = by_seat.entry(seat).or_default();
            times.push((mine.held.1, end, mine.reservation.id));
        }
    }
    for (seat, mut times) in by_seat {
        times.retain(|(begin, end, _)| begin < end);
        times.sort_unstable();
        for pair in times.windows(2) {
            assert!(
                pair[0].1 <= pair[1].0,
                "seat {seat} had two owners: {pair:?}"
            );
        }
    }
}

/// A seat is refused only if another client may have had it while it was asked for.
pub fn every_refusal_had_a_reason(bought: &[Mine], refusals: &[Refusal]) {
    for refusal in refusals {
        let (begin, end) = refusal.asked;
        let may_have_had = |mine: &&Mine| {
            let until = mine.given_back.map_or(Step::MAX, |(_, end)| end);
            let sold = mine.paid.is_some_and(|(paid, _)| paid < end);
            mine.reservation
                .seat_numbers()
                .contains(&refusal.seat_number)
                && mine.held.0 < end
                && begin < until
                && (sold || begin < mine.over)
        };
        let owner = bought.iter().find(may_have_had);
        assert!(owner.is_some(), "no client had the seat: {refusal:?}");
    }
}

#[derive(QueryableByName)]
struct Change {
    #[diesel(sql_type = Binary)]
    entity_id: Id,
    #[diesel(sql_type = Text)]
    action: String,
    #[diesel(sql_type = Datetime)]
    at: At,
    #[diesel(sql_type = Text)]
    detail: String,
}

struct Owner {
    id: Uuid,
    over: Timestamp,
    sold: bool,
}

/// A writer of a seat holds the lock on it, so the log tells of each seat in the order in which it changed hands.
/// Replayed from its beginning it must make sense, and say as much as the clients were told.
pub async fn the_audit_log_agrees(world: &World, bought: &[Mine]) {
    let rows: Result<Vec<Change>, DbError> = world.fixture.instances[0]
        .read(|conn| {
            let log = "SELECT entity_id, action, at, detail FROM audit_log WHERE entity = 'reservation' ORDER BY seq";
            Ok(sql_query(log).load(conn)?)
        })
        .await;
    let mut seats: HashMap<u64, Owner> = HashMap::new();
    let mut counts: HashMap<String, usize> = HashMap::new();
    for change in rows.expect("a log") {
        let (id, at) = (change.entity_id.0, change.at.0);
        let detail: Value = serde_json::from_str(&change.detail).unwrap();
        for seat in detail["seatNumbers"].as_array().unwrap() {
            replay(&mut seats, seat.as_u64().unwrap(), id, &change.action, at);
        }
        *counts.entry(change.action).or_default() += 1;
    }
    let count = |action: &str| counts.get(action).copied().unwrap_or_default();
    let told = |what: &dyn Fn(&Mine) -> bool| bought.iter().filter(|mine| what(mine)).count();
    assert_eq!(count("held"), bought.len());
    assert_eq!(count("confirmed"), told(&|mine| mine.paid.is_some()));
    let given_back = |mine: &Mine| mine.given_back.is_some();
    assert_eq!(
        count("refunded"),
        told(&|mine| given_back(mine) && mine.paid.is_some())
    );
    assert_eq!(
        count("cancelled"),
        told(&|mine| given_back(mine) && mine.paid.is_none())
    );
}

fn replay(seats: &mut HashMap<u64, Owner>, seat: u64, id: Uuid, action: &str, at: Timestamp) {
    let owner = seats.get_mut(&seat);
    let is_mine = owner.as_ref().is_some_and(|owner| owner.id == id);
    match (action, owner) {
        ("held", owner) => {
            let free = owner.is_none_or(|owner| !owner.sold && owner.over <= at);
            assert!(free, "seat {seat} was taken from its owner by {id} at {at}");
            let over = at + HOLD;
            seats.insert(
                seat,
                Owner {
                    id,
                    over,
                    sold: false,
                },
            );
        }
        ("confirmed", Some(owner)) => {
            assert!(is_mine && !owner.sold, "seat {seat} was sold to {id}");
            owner.sold = true;
        }
        ("refunded", Some(owner)) => {
            assert!(is_mine && owner.sold, "seat {seat} was given back by {id}");
            seats.remove(&seat);
        }
        ("cancelled" | "expired", owner) => {
            // A reservation that took the seat over in the meantime keeps it.
            if is_mine {
                assert!(
                    owner.is_some_and(|owner| !owner.sold),
                    "seat {seat} of {id}"
                );
                seats.remove(&seat);
            }
        }
        (other, _) => panic!("seat {seat} without an owner: {other} by {id}"),
    }
}

/// The checks themselves: a history that cannot be is found out.
mod tests {
    use booking::reservation::{Reservation, ReservationState, ReservedSeat};
    use chassis::time::Clock;

    use super::{Mine, Refusal, Step, Uuid, every_refusal_had_a_reason, never_two_at_once};

    /// A client who held seat 7 from the one step until the hold was over at the other.
    fn held(from: Step, over: Step) -> Mine {
        let now = Clock::system().now();
        let seat = ReservedSeat {
            number: 7,
            grade: "A".to_owned(),
            price: 1,
        };
        let reservation = Reservation {
            id: Uuid::new_v4(),
            schedule_id: Uuid::nil(),
            user_id: Uuid::nil(),
            state: ReservationState::Held,
            seats: vec![seat],
            amount: 1,
            hold_expires_at: now,
            created_at: now,
            payment_id: None,
        };
        Mine {
            reservation,
            held: (from, from + 1),
            over,
            paid: None,
            given_back: None,
            payment: None,
        }
    }

    #[test]
    fn a_hold_after_the_end_of_another_is_sound() {
        never_two_at_once(&[held(40, 60), held(0, 40)]);
    }

    #[test]
    #[should_panic(expected = "seat 7 had two owners")]
    fn a_hold_before_the_end_of_another_is_found_out() {
        never_two_at_once(&[held(30, 60), held(0, 40)]);
    }

    #[test]
    #[should_panic(expected = "seat 7 had two owners")]
    fn a_hold_of_what_was_paid_is_found_out() {
        let mut sold = held(0, 40);
        sold.paid = Some((10, 11));
        never_two_at_once(&[sold, held(50, 90)]);
    }

    #[test]
    #[should_panic(expected = "no client had the seat")]
    fn a_refusal_of_a_free_seat_is_found_out() {
        let refusal = Refusal {
            seat_number: 7,
            asked: (50, 52),
        };
        every_refusal_had_a_reason(&[held(0, 40)], &[refusal]);
    }
}
