//! Seats: who had which from when to when.

use std::collections::HashMap;

use chrono::TimeDelta;
use uuid::Uuid;

use super::client::{Mine, Refusal};
use super::{HOLD, Step, World};
use crate::seat_owners::{Owners, changes};

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

/// What happens here.
const ACTIONS: [&str; 5] = ["held", "confirmed", "refunded", "cancelled", "expired"];

/// Replayed from its beginning the log must make sense, and say as much as the clients were told.
pub async fn the_audit_log_agrees(world: &World, bought: &[Mine]) {
    let mut owners = Owners::nobody(HOLD, TimeDelta::zero());
    let mut counts: HashMap<String, usize> = HashMap::new();
    for change in changes(&world.fixture.instances[0]).await {
        assert!(
            ACTIONS.contains(&change.action.as_str()),
            "{}",
            change.action
        );
        owners.replay(&change);
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
