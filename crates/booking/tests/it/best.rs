//! Seats that are chosen for those who do not name them: the best, side by side, and never the same for two.

use std::collections::BTreeSet;

use booking::concert::Grade;
use booking::reservation::{Best, Reservation, Reserve, ReserveError, Wanted};
use uuid::Uuid;

use crate::fixture::{Fixture, all_at_once, layout};

fn best(count: usize, grade: Option<&str>) -> Best {
    let grade = grade.map(|grade| Grade::try_from(grade.to_owned()).unwrap());
    Best::parse(count as i64, grade, 4).unwrap()
}

/// As the API does it: the swift way, then the patient one.
async fn reserve_best(
    fixture: &Fixture,
    turn: usize,
    user_id: Uuid,
    best: Best,
) -> Result<Reservation, ReserveError> {
    let wish = Reserve {
        seats: Wanted::Best(best.clone()),
        ..fixture.wish(user_id, &[1])
    };
    let patient = Reserve {
        seats: Wanted::Best(best.patiently()),
        ..wish.clone()
    };
    match fixture.try_reserve(turn, wish, fixture.now).await {
        Err(ReserveError::Crowded) => fixture.try_reserve(turn, patient, fixture.now).await,
        outcome => outcome,
    }
}

async fn numbers(fixture: &Fixture, count: usize, grade: Option<&str>) -> Vec<u16> {
    reserve_best(fixture, 0, Uuid::new_v4(), best(count, grade))
        .await
        .expect("free seats")
        .seat_numbers()
}

#[tokio::test]
async fn the_dearest_are_chosen_first_and_of_one_price_the_lowest_numbers() {
    let fixture = Fixture::with(layout([("CHEAP", 10, 1..=3), ("DEAR", 20, 4..=7)])).await;
    assert_eq!(numbers(&fixture, 1, None).await, [4]);
    assert_eq!(numbers(&fixture, 2, None).await, [5, 6]);
    assert_eq!(
        numbers(&fixture, 2, None).await,
        [1, 2],
        "side by side first"
    );
    assert_eq!(numbers(&fixture, 1, Some("CHEAP")).await, [3]);
    assert_eq!(numbers(&fixture, 1, None).await, [7]);
    fixture.reconciled().await;
}

#[tokio::test]
async fn seats_of_two_grades_are_not_side_by_side() {
    let fixture = Fixture::with(layout([("A", 10, 1..=3), ("B", 10, 4..=6)])).await;
    assert_eq!(numbers(&fixture, 2, None).await, [1, 2]);
    assert_eq!(numbers(&fixture, 2, None).await, [4, 5], "not 3 and 4");
}

#[tokio::test]
async fn when_none_are_side_by_side_the_best_are_chosen_wherever_they_are() {
    let fixture = Fixture::open().await;
    for first in (1..50_i64).step_by(4) {
        let taken: Vec<i64> = [first, first + 2]
            .into_iter()
            .filter(|n| *n <= 50)
            .collect();
        fixture.reserve(Uuid::new_v4(), &taken).await;
    }
    assert_eq!(numbers(&fixture, 3, None).await, [2, 4, 6]);
    assert_eq!(numbers(&fixture, 2, Some("ECONOMY")).await, [36, 38]);
}

#[tokio::test]
async fn a_seat_whose_hold_is_over_is_chosen_again() {
    let mut fixture = Fixture::open().await;
    fixture.reserve(Uuid::new_v4(), &[1, 2]).await;
    fixture.now = fixture.hold_end();
    assert_eq!(numbers(&fixture, 2, None).await, [1, 2]);
}

#[tokio::test]
async fn a_run_beyond_the_first_look_is_found() {
    let fixture = Fixture::with(layout([("ALL", 10, 1..=1_300)])).await;
    fixture
        .raw("UPDATE seats SET state = 'sold', reservation_id = schedule_id, holder_id = schedule_id WHERE number % 2 = 1 AND number < 1290")
        .await
        .unwrap();
    assert_eq!(numbers(&fixture, 2, None).await, [1290, 1291]);
}

#[tokio::test]
async fn what_cannot_be_had_is_told_apart() {
    let fixture = Fixture::with(layout([("A", 10, 1..=3), ("B", 10, 4..=4)])).await;
    let user = Uuid::new_v4();
    let unknown = reserve_best(&fixture, 0, user, best(1, Some("C"))).await;
    assert!(matches!(unknown, Err(ReserveError::GradeUnknown(grade)) if grade == "C"));
    let few = reserve_best(&fixture, 0, user, best(2, Some("B"))).await;
    assert!(matches!(few, Err(ReserveError::SoldOut { available: 1 })));
    fixture.reserve(user, &[4]).await;
    let none = reserve_best(&fixture, 0, Uuid::new_v4(), best(1, Some("B"))).await;
    assert!(matches!(none, Err(ReserveError::SoldOut { available: 0 })));
    let greedy = reserve_best(&fixture, 0, user, best(4, None)).await;
    assert!(matches!(
        greedy,
        Err(ReserveError::TooManySeats { max: 4, has: 1 })
    ));
    let mut nowhere = fixture.clone();
    nowhere.schedule_id = Uuid::new_v4();
    let nowhere = reserve_best(&nowhere, 0, user, best(1, None)).await;
    assert!(matches!(nowhere, Err(ReserveError::ScheduleNotFound)));
}

#[tokio::test(flavor = "multi_thread")]
async fn none_of_160_bookers_at_once_is_refused_and_all_sit_side_by_side() {
    let fixture = Fixture::with(layout([
        ("DEAR", 20, 1..=4_000),
        ("CHEAP", 10, 4_001..=8_000),
    ]))
    .await;
    let booked = all_at_once((0..160_usize).map(|booker| {
        let fixture = fixture.clone();
        async move {
            let mut mine = Vec::new();
            for round in 0..5 {
                let count = (booker + round) % 4 + 1;
                let user = Uuid::new_v4();
                let held = reserve_best(&fixture, booker, user, best(count, None)).await;
                mine.push(held.expect("there are seats enough"));
            }
            mine
        }
    }))
    .await;

    let booked: Vec<_> = booked.into_iter().flatten().collect();
    let mut seats = BTreeSet::new();
    for reservation in &booked {
        let numbers = reservation.seat_numbers();
        assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]));
        assert!(numbers.iter().all(|number| seats.insert(*number)));
        assert!(numbers.iter().all(|number| *number <= 4_000), "the dearest");
    }
    assert_eq!(booked.len(), 800);
}

#[tokio::test(flavor = "multi_thread")]
async fn buyers_who_come_at_once_buy_the_last_seat_and_none_is_refused_before() {
    let fixture = Fixture::with(layout([("ALL", 10, 1..=400)])).await;
    let booked = all_at_once((0..160_usize).map(|booker| {
        let fixture = fixture.clone();
        async move {
            let mut mine = 0;
            let mut count = booker % 4 + 1;
            loop {
                let user = Uuid::new_v4();
                match reserve_best(&fixture, booker, user, best(count, None)).await {
                    Ok(held) => mine += held.seats.len(),
                    Err(ReserveError::SoldOut { available }) => {
                        assert!(available < count, "{available} seats are free");
                        if count == 1 {
                            break mine;
                        }
                        count -= 1;
                    }
                    Err(other) => panic!("not a reason to send anybody away: {other}"),
                }
            }
        }
    }))
    .await;
    assert_eq!(booked.iter().sum::<usize>(), 400);
    let held = "SELECT COUNT(*) FROM seats WHERE state = 'held'";
    assert_eq!(fixture.number(held).await, 400);
    let sum = "SELECT SUM(seat_count) FROM reservations";
    assert_eq!(fixture.number(sum).await, 400);
}
