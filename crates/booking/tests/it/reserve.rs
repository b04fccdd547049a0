use std::time::Duration;

use booking::concert::NewSchedule;
use booking::reservation::{self, Conflict, Limits, Reason, ReservationState, ReserveError};
use booking::seat::SeatState;
use chassis::time::Clock;
use chrono::TimeDelta;
use testbed::eventually;
use uuid::Uuid;

use crate::fixture::{Fixture, all_at_once, queue};

#[tokio::test(flavor = "multi_thread")]
async fn of_a_thousand_who_want_one_seat_exactly_one_gets_it() {
    let fixture = Fixture::open().await;
    let outcomes = all_at_once((0..1_000).map(|turn| {
        let fixture = fixture.clone();
        async move {
            fixture
                .try_reserve(turn, fixture.wish(Uuid::new_v4(), &[7]), fixture.now)
                .await
        }
    }))
    .await;

    let winners = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    let seven = [Conflict {
        seat_number: 7,
        reason: Reason::Held,
        reservation_id: None,
    }];
    let losers = outcomes
        .iter()
        .filter(|outcome| matches!(outcome, Err(ReserveError::SeatTaken(seats)) if *seats == seven))
        .count();
    assert_eq!((winners, losers), (1, 999));
    assert_eq!(fixture.number("SELECT COUNT(*) FROM reservations").await, 1);
    assert_eq!(
        fixture
            .number("SELECT COUNT(*) FROM outbox WHERE type = 'reservation.held'")
            .await,
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn wishes_that_overlap_are_fulfilled_as_a_whole_or_not_at_all() {
    let fixture = Fixture::open().await;
    // Every wish shares seats with its neighbours, and half of them name their seats backwards.
    let outcomes = all_at_once((0..300_usize).map(|turn| {
        let fixture = fixture.clone();
        async move {
            let first = (turn % 20) as i64 + 1;
            let mut seats = [first, first + 1, first + 2, first + 3];
            if turn % 2 == 0 {
                seats.reverse();
            }
            fixture
                .try_reserve(turn, fixture.wish(Uuid::new_v4(), &seats), fixture.now)
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
    let states = fixture.seat_states(fixture.now).await;
    assert_eq!(
        states
            .iter()
            .filter(|state| **state == SeatState::Held)
            .count(),
        all,
        "no seat is held without a reservation"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_a_seat_that_another_is_taking_gets_none_of_the_wanted() {
    let fixture = Fixture::open().await;
    let (wish, limits) = (fixture.wish(Uuid::new_v4(), &[7]), fixture.limits);
    let clock = Clock::stopped_at(fixture.now);
    let first = fixture.begin(0, move |tx| {
        reservation::reserve(tx, &wish, &limits, &clock)
    });
    let first = first.await;
    // Both seats are free to whoever looks now, so nothing but the row count refuses the second buyer.
    let (second, wish) = (fixture.clone(), fixture.wish(Uuid::new_v4(), &[7, 8]));
    let second = tokio::spawn(async move { second.try_reserve(1, wish, second.now).await });
    eventually(Duration::from_secs(30), "a wait for the seat", async || {
        fixture.is_at("UPDATE `seats`").await.then_some(())
    })
    .await;
    let first = first.commit().await;

    let second = second.await.expect("no panic");
    let seven = [Conflict {
        seat_number: 7,
        reason: Reason::Held,
        reservation_id: None,
    }];
    assert!(
        matches!(&second, Err(ReserveError::SeatTaken(seats)) if *seats == seven),
        "{second:?}"
    );
    assert_eq!(fixture.reservation(&first, fixture.now).await, first);
    let states = fixture.seat_states(fixture.now).await;
    assert_eq!(
        (states[6], states[7]),
        (SeatState::Held, SeatState::Available)
    );
    assert_eq!(fixture.number("SELECT COUNT(*) FROM reservations").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_seats_already_gets_no_seat_that_another_is_taking() {
    let fixture = Fixture::open().await;
    let user = Uuid::new_v4();
    fixture.reserve(user, &[1]).await;
    for (other, wanted) in [(7, vec![7]), (9, vec![8, 9])] {
        let (wish, limits) = (fixture.wish(Uuid::new_v4(), &[other]), fixture.limits);
        let clock = Clock::stopped_at(fixture.now);
        let first = fixture.begin(0, move |tx| {
            reservation::reserve(tx, &wish, &limits, &clock)
        });
        let first = first.await;
        let (second, wish) = (fixture.clone(), fixture.wish(user, &wanted));
        let second = tokio::spawn(async move { second.try_reserve(1, wish, second.now).await });
        eventually(Duration::from_secs(30), "a wait for the seat", async || {
            fixture.is_at("UPDATE `seats`").await.then_some(())
        })
        .await;
        first.commit().await;
        let second = second.await.expect("no panic");
        let lost = [Conflict {
            seat_number: other as u16,
            reason: Reason::Held,
            reservation_id: None,
        }];
        assert!(
            matches!(&second, Err(ReserveError::SeatTaken(seats)) if *seats == lost),
            "{second:?}"
        );
    }
    assert_eq!(fixture.number("SELECT COUNT(*) FROM reservations").await, 3);
    fixture.reserve(user, &[2, 3, 4]).await;
    fixture.reconciled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_twenty_seats_that_one_user_wants_at_once_they_get_four() {
    let fixture = Fixture::open().await;
    let user = Uuid::new_v4();
    let outcomes = all_at_once((0..20_usize).map(|turn| {
        let fixture = fixture.clone();
        async move {
            fixture
                .try_reserve(turn, fixture.wish(user, &[turn as i64 + 1]), fixture.now)
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
    let fixture = Fixture::open().await;
    let user = Uuid::new_v4();
    let first = fixture.reserve(user, &[1, 2]).await;
    fixture.reserve(user, &[3, 4]).await;
    let fifth = fixture.wish(user, &[5]);
    let refused = fixture.try_reserve(0, fifth.clone(), fixture.now).await;
    assert!(matches!(
        refused,
        Err(ReserveError::TooManySeats { max: 4, has: 4 })
    ));
    fixture.cancel(0, &first, fixture.now).await.unwrap();
    fixture
        .try_reserve(0, fifth, fixture.now)
        .await
        .expect("two were given back");
    fixture
        .try_reserve(0, fixture.wish(user, &[6, 7, 8, 9]), fixture.hold_end())
        .await
        .expect("all holds are over");
    let elsewhere = fixture.another_schedule().await;
    elsewhere.reserve(user, &[1, 2, 3, 4]).await;
}

#[tokio::test]
async fn a_seat_is_free_at_the_very_instant_its_hold_ends_and_not_before() {
    let fixture = Fixture::open().await;
    let first = fixture.reserve(Uuid::new_v4(), &[7]).await;
    assert_eq!(first.hold_expires_at, fixture.hold_end());
    let just_before = fixture.hold_end() - TimeDelta::microseconds(1);
    assert_eq!(fixture.seat_state(7, just_before).await, SeatState::Held);
    let early = fixture
        .try_reserve(1, fixture.wish(Uuid::new_v4(), &[7]), just_before)
        .await;
    assert!(matches!(early, Err(ReserveError::SeatTaken(_))));

    assert_eq!(
        fixture.seat_state(7, fixture.hold_end()).await,
        SeatState::Available
    );
    let taken_over = fixture
        .try_reserve(1, fixture.wish(Uuid::new_v4(), &[7]), fixture.hold_end())
        .await;
    assert_eq!(taken_over.unwrap().state, ReservationState::Held);
    assert_eq!(
        fixture.reservation(&first, fixture.hold_end()).await.state,
        ReservationState::Expired
    );
}

#[tokio::test]
async fn a_reservation_costs_what_its_seats_cost_and_keeps_for_the_set_time() {
    let mut fixture = Fixture::open().await;
    fixture.limits = Limits {
        hold: TimeDelta::seconds(90),
        ..fixture.limits
    };
    let held = fixture.reserve(Uuid::new_v4(), &[50, 1, 21]).await;
    assert_eq!(held.amount, 150_000 + 90_000 + 60_000);
    assert_eq!(held.seat_numbers(), [1, 21, 50]);
    assert_eq!(held.hold_expires_at, fixture.now + TimeDelta::seconds(90));
    assert_eq!(fixture.reservation(&held, fixture.now).await, held);
}

#[tokio::test]
async fn each_reason_for_a_refusal_is_told_and_leaves_no_trace() {
    let fixture = Fixture::open().await;
    fixture.paid(&[1]).await;
    fixture.reserve(Uuid::new_v4(), &[2]).await;
    let before = fixture.traces().await;
    let now = fixture.now;
    let someone = Uuid::new_v4();

    let both = fixture
        .try_reserve(0, fixture.wish(someone, &[1, 2, 3]), now)
        .await;
    let taken = [
        Conflict {
            seat_number: 1,
            reason: Reason::Sold,
            reservation_id: None,
        },
        Conflict {
            seat_number: 2,
            reason: Reason::Held,
            reservation_id: None,
        },
    ];
    assert!(matches!(both, Err(ReserveError::SeatTaken(seats)) if seats == taken));
    let beyond = fixture
        .try_reserve(0, fixture.wish(someone, &[50, 51]), now)
        .await;
    assert!(matches!(beyond, Err(ReserveError::SeatUnknown(seats)) if seats == [51]));
    let nowhere = fixture
        .try_reserve(0, fixture.wish(someone, &[51, 52]), now)
        .await;
    assert!(matches!(nowhere, Err(ReserveError::SeatUnknown(seats)) if seats == [51, 52]));
    let greedy = fixture
        .try_reserve(0, fixture.wish(someone, &[3, 4, 5, 6, 7]), now)
        .await;
    assert!(matches!(
        greedy,
        Err(ReserveError::TooManySeats { max: 4, has: 0 })
    ));
    let mut wish = fixture.wish(someone, &[3]);
    wish.schedule_id = Uuid::new_v4();
    assert!(matches!(
        fixture.try_reserve(0, wish, now).await,
        Err(ReserveError::ScheduleNotFound)
    ));
    let mut wish = fixture.wish(someone, &[3]);
    wish.queue = queue("other");
    assert!(matches!(
        fixture.try_reserve(0, wish, now).await,
        Err(ReserveError::QueueMismatch)
    ));
    assert_eq!(fixture.traces().await, before);
}

#[tokio::test]
async fn seats_are_sold_from_the_opening_of_sales_until_their_close() {
    let fixture = Fixture::open().await;
    let [open, close] = [1, 2].map(|hours| fixture.now + TimeDelta::hours(hours));
    let sales = |new: &mut NewSchedule| {
        (new.sales_open_at, new.sales_close_at) = (Some(open), Some(close));
    };
    let fixture = fixture.schedule_with(sales).await;

    let instant = TimeDelta::microseconds(1);
    for closed in [open - instant, close] {
        let refused = fixture
            .try_reserve(0, fixture.wish(Uuid::new_v4(), &[1]), closed)
            .await;
        assert!(matches!(refused, Err(ReserveError::SalesClosed(_))));
    }
    for (seat, at) in [(1, open), (2, close - instant)] {
        fixture
            .try_reserve(0, fixture.wish(Uuid::new_v4(), &[seat]), at)
            .await
            .expect("sales are open");
    }
}
