use booking::reservation::{Conflict, Limits, Reason, ReservationState, ReserveError};
use booking::seat::SeatState;
use chrono::TimeDelta;
use uuid::Uuid;

use crate::house::{House, all_at_once, queue, schedule};

#[tokio::test(flavor = "multi_thread")]
async fn of_a_thousand_who_want_one_seat_exactly_one_gets_it() {
    let house = House::open().await;
    let outcomes = all_at_once((0..1_000).map(|turn| {
        let house = house.clone();
        async move {
            house
                .try_reserve(turn, house.wish(Uuid::new_v4(), &[7]), house.now)
                .await
        }
    }))
    .await;

    let winners = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    let seven = [Conflict {
        seat_number: 7,
        reason: Reason::Held,
    }];
    let losers = outcomes
        .iter()
        .filter(|outcome| matches!(outcome, Err(ReserveError::SeatTaken(seats)) if *seats == seven))
        .count();
    assert_eq!((winners, losers), (1, 999));
    assert_eq!(house.number("SELECT COUNT(*) FROM reservations").await, 1);
    assert_eq!(
        house
            .number("SELECT COUNT(*) FROM outbox WHERE type = 'reservation.held'")
            .await,
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn wishes_that_overlap_are_fulfilled_as_a_whole_or_not_at_all() {
    let house = House::open().await;
    // Every wish shares seats with its neighbours, and half of them name their seats backwards.
    let outcomes = all_at_once((0..300_usize).map(|turn| {
        let house = house.clone();
        async move {
            let first = (turn % 20) as i64 + 1;
            let mut seats = [first, first + 1, first + 2, first + 3];
            if turn % 2 == 0 {
                seats.reverse();
            }
            house
                .try_reserve(turn, house.wish(Uuid::new_v4(), &seats), house.now)
                .await
        }
    }))
    .await;

    let held: Vec<_> = outcomes
        .iter()
        .filter_map(|outcome| outcome.as_ref().ok())
        .collect();
    let refused = outcomes
        .iter()
        .filter(|outcome| matches!(outcome, Err(ReserveError::SeatTaken(_))))
        .count();
    assert_eq!(
        held.len() + refused,
        300,
        "nothing but SeatTaken is a reason"
    );
    assert!(!held.is_empty());
    let mut seats: Vec<u16> = held
        .iter()
        .flat_map(|reservation| reservation.seat_numbers())
        .collect();
    let all = seats.len();
    seats.sort_unstable();
    seats.dedup();
    assert_eq!(seats.len(), all, "no seat is held twice");
    let states = house.seat_states(house.now).await;
    assert_eq!(
        states
            .iter()
            .filter(|state| **state == SeatState::Held)
            .count(),
        all,
        "no seat is held by nobody"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn of_twenty_seats_that_one_user_wants_at_once_they_get_four() {
    let house = House::open().await;
    let user = Uuid::new_v4();
    let outcomes = all_at_once((0..20_usize).map(|turn| {
        let house = house.clone();
        async move {
            house
                .try_reserve(turn, house.wish(user, &[turn as i64 + 1]), house.now)
                .await
        }
    }))
    .await;

    let got = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    let refused = outcomes
        .iter()
        .filter(|outcome| matches!(outcome, Err(ReserveError::TooManySeats { max: 4, has: 4 })))
        .count();
    assert_eq!((got, refused), (4, 16));
}

#[tokio::test]
async fn seats_that_were_given_back_or_whose_hold_is_over_count_no_longer() {
    let house = House::open().await;
    let user = Uuid::new_v4();
    let first = house.reserve(user, &[1, 2]).await;
    house.reserve(user, &[3, 4]).await;
    let fifth = house.wish(user, &[5]);
    let refused = house.try_reserve(0, fifth.clone(), house.now).await;
    assert!(matches!(
        refused,
        Err(ReserveError::TooManySeats { max: 4, has: 4 })
    ));
    house.cancel(0, &first, house.now).await.unwrap();
    house
        .try_reserve(0, fifth, house.now)
        .await
        .expect("two were given back");
    house
        .try_reserve(0, house.wish(user, &[6, 7, 8, 9]), house.hold_end())
        .await
        .expect("all holds are over");
    let elsewhere = house.another_schedule().await;
    elsewhere.reserve(user, &[1, 2, 3, 4]).await;
}

#[tokio::test]
async fn a_seat_is_free_at_the_very_instant_its_hold_ends_and_not_before() {
    let house = House::open().await;
    let first = house.reserve(Uuid::new_v4(), &[7]).await;
    assert_eq!(first.hold_expires_at, house.hold_end());
    let just_before = house.hold_end() - TimeDelta::microseconds(1);
    assert_eq!(house.seat_state(7, just_before).await, SeatState::Held);
    let early = house
        .try_reserve(1, house.wish(Uuid::new_v4(), &[7]), just_before)
        .await;
    assert!(matches!(early, Err(ReserveError::SeatTaken(_))));

    assert_eq!(
        house.seat_state(7, house.hold_end()).await,
        SeatState::Available
    );
    let taken_over = house
        .try_reserve(1, house.wish(Uuid::new_v4(), &[7]), house.hold_end())
        .await;
    assert_eq!(taken_over.unwrap().state, ReservationState::Held);
    assert_eq!(
        house.reservation(&first, house.hold_end()).await.state,
        ReservationState::Expired
    );
}

#[tokio::test]
async fn a_reservation_costs_what_its_seats_cost_and_keeps_for_the_set_time() {
    let mut house = House::open().await;
    house.limits = Limits {
        hold: TimeDelta::seconds(90),
        ..house.limits
    };
    let held = house.reserve(Uuid::new_v4(), &[50, 1, 21]).await;
    assert_eq!(held.amount, 150_000 + 90_000 + 60_000);
    assert_eq!(held.seat_numbers(), [1, 21, 50]);
    assert_eq!(held.hold_expires_at, house.now + TimeDelta::seconds(90));
    assert_eq!(house.reservation(&held, house.now).await, held);
}

#[tokio::test]
async fn each_reason_for_a_refusal_is_told_and_leaves_no_trace() {
    let house = House::open().await;
    house.paid(&[1]).await;
    house.reserve(Uuid::new_v4(), &[2]).await;
    let before = house.traces().await;
    let now = house.now;
    let someone = Uuid::new_v4();

    let both = house
        .try_reserve(0, house.wish(someone, &[1, 2, 3]), now)
        .await;
    let taken = [
        Conflict {
            seat_number: 1,
            reason: Reason::Sold,
        },
        Conflict {
            seat_number: 2,
            reason: Reason::Held,
        },
    ];
    assert!(matches!(both, Err(ReserveError::SeatTaken(seats)) if seats == taken));
    let beyond = house
        .try_reserve(0, house.wish(someone, &[50, 51]), now)
        .await;
    assert!(matches!(beyond, Err(ReserveError::SeatUnknown(seats)) if seats == [51]));
    let nowhere = house
        .try_reserve(0, house.wish(someone, &[51, 52]), now)
        .await;
    assert!(matches!(nowhere, Err(ReserveError::SeatUnknown(seats)) if seats == [51, 52]));
    let greedy = house
        .try_reserve(0, house.wish(someone, &[3, 4, 5, 6, 7]), now)
        .await;
    assert!(matches!(
        greedy,
        Err(ReserveError::TooManySeats { max: 4, has: 0 })
    ));
    let mut wish = house.wish(someone, &[3]);
    wish.schedule_id = Uuid::new_v4();
    assert!(matches!(
        house.try_reserve(0, wish, now).await,
        Err(ReserveError::ScheduleNotFound)
    ));
    let mut wish = house.wish(someone, &[3]);
    wish.queue = queue("other");
    assert!(matches!(
        house.try_reserve(0, wish, now).await,
        Err(ReserveError::QueueMismatch)
    ));
    assert_eq!(house.traces().await, before);
}

#[tokio::test]
async fn seats_are_sold_from_the_opening_of_sales_until_their_close() {
    let mut house = House::open().await;
    let (open, close) = (
        house.now + TimeDelta::hours(1),
        house.now + TimeDelta::hours(2),
    );
    let mut new = schedule(house.now, booking::concert::default_layout());
    (new.sales_open_at, new.sales_close_at) = (Some(open), Some(close));
    let (concert_id, now) = (house.concert_id, house.now);
    let added = house.instances[0]
        .transaction(move |tx| booking::concert::add_schedule(tx, concert_id, &new, now))
        .await;
    house.schedule_id = added.unwrap().id;

    let instant = TimeDelta::microseconds(1);
    for closed in [open - instant, close] {
        let refused = house
            .try_reserve(0, house.wish(Uuid::new_v4(), &[1]), closed)
            .await;
        assert!(matches!(refused, Err(ReserveError::SalesClosed)));
    }
    for (seat, at) in [(1, open), (2, close - instant)] {
        house
            .try_reserve(0, house.wish(Uuid::new_v4(), &[seat]), at)
            .await
            .expect("sales are open");
    }
}
