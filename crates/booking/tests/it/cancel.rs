use booking::reservation::{CancelError, ReservationState};
use booking::seat::SeatState;
use chrono::TimeDelta;
use uuid::Uuid;

use crate::house::{House, PLENTY, all_at_once};

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_that_is_given_back_many_times_at_once_is_given_back_once() {
    let house = House::open().await;
    let held = house.reserve(Uuid::new_v4(), &[1, 2]).await;
    let outcomes = all_at_once((0..50).map(|turn| {
        let (house, held) = (house.clone(), held.clone());
        async move {
            house
                .cancel(turn, &held, house.now)
                .await
                .expect("twice is fine")
        }
    }))
    .await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.changed).count(), 1);
    assert!(
        outcomes
            .iter()
            .all(|outcome| outcome.reservation.state == ReservationState::Cancelled)
    );
    assert_eq!(
        house
            .number("SELECT COUNT(*) FROM outbox WHERE type = 'reservation.cancelled'")
            .await,
        1
    );
    assert_eq!(house.seat_state(1, house.now).await, SeatState::Available);
}

#[tokio::test]
async fn a_second_cancellation_does_not_give_back_what_the_next_one_holds() {
    let house = House::open().await;
    let first = house.reserve(Uuid::new_v4(), &[7]).await;
    house.cancel(0, &first, house.now).await.unwrap();
    let next = house.reserve(Uuid::new_v4(), &[7]).await;
    assert!(!house.cancel(1, &first, house.now).await.unwrap().changed);
    assert_eq!(house.seat_state(7, house.now).await, SeatState::Held);
    assert_eq!(
        house.reservation(&next, house.now).await.state,
        ReservationState::Held
    );
}

#[tokio::test]
async fn a_hold_that_is_over_and_was_taken_over_is_left_alone() {
    let house = House::open().await;
    let first = house.reserve(Uuid::new_v4(), &[7]).await;
    house
        .try_reserve(0, house.wish(Uuid::new_v4(), &[7]), house.hold_end())
        .await
        .unwrap();
    // By this instance's clock the hold is not over, so it cancels; the seat is no longer its own.
    assert!(house.cancel(1, &first, house.now).await.unwrap().changed);
    assert_eq!(house.seat_state(7, house.hold_end()).await, SeatState::Held);
    house.reconciled().await;
}

#[tokio::test]
async fn cancelling_a_paid_reservation_refunds_it_in_full_until_the_show() {
    let house = House::open().await;
    let (held, _) = house.paid(&[1]).await;
    let started = house
        .cancel(0, &held, house.now + TimeDelta::days(30))
        .await;
    assert!(matches!(started, Err(CancelError::ShowStarted)));
    let cancelled = house.cancel(0, &held, house.now).await.unwrap();
    assert_eq!(
        (cancelled.reservation.state, cancelled.changed),
        (ReservationState::Refunded, true)
    );
    assert!(!house.cancel(0, &held, house.now).await.unwrap().changed);
    assert_eq!(house.balance(held.user_id).await, PLENTY);
    house.reconciled().await;
}

#[tokio::test]
async fn another_users_reservation_is_not_found() {
    let house = House::open().await;
    let mut stolen = house.reserve(Uuid::new_v4(), &[7]).await;
    stolen.user_id = Uuid::new_v4();
    assert!(matches!(
        house.cancel(0, &stolen, house.now).await,
        Err(CancelError::ReservationNotFound)
    ));
    assert_eq!(house.seat_state(7, house.now).await, SeatState::Held);
}

#[tokio::test]
async fn a_hold_that_is_over_has_nothing_to_give_back() {
    let house = House::open().await;
    let held = house.reserve(Uuid::new_v4(), &[7]).await;
    let late = house.cancel(0, &held, house.hold_end()).await.unwrap();
    assert_eq!(
        (late.reservation.state, late.changed),
        (ReservationState::Expired, false)
    );
}
