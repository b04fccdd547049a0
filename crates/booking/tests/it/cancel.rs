use booking::cancellation::CancelError;
use booking::reservation::ReservationState;
use booking::seat::SeatState;
use chrono::TimeDelta;
use uuid::Uuid;

use crate::fixture::{Fixture, PLENTY, all_at_once};

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_that_is_given_back_many_times_at_once_is_given_back_once() {
    let fixture = Fixture::open().await;
    let held = fixture.reserve(Uuid::new_v4(), &[1, 2]).await;
    let outcomes = all_at_once((0..50).map(|turn| {
        let (fixture, held) = (fixture.clone(), held.clone());
        async move {
            fixture
                .cancel(turn, &held, fixture.now)
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
        fixture
            .number("SELECT COUNT(*) FROM outbox WHERE type = 'reservation.cancelled'")
            .await,
        1
    );
    assert_eq!(
        fixture.seat_state(1, fixture.now).await,
        SeatState::Available
    );
}

#[tokio::test]
async fn a_second_cancellation_does_not_give_back_what_the_next_one_holds() {
    let fixture = Fixture::open().await;
    let first = fixture.reserve(Uuid::new_v4(), &[7]).await;
    fixture.cancel(0, &first, fixture.now).await.unwrap();
    let next = fixture.reserve(Uuid::new_v4(), &[7]).await;
    assert!(
        !fixture
            .cancel(1, &first, fixture.now)
            .await
            .unwrap()
            .changed
    );
    assert_eq!(fixture.seat_state(7, fixture.now).await, SeatState::Held);
    assert_eq!(
        fixture.reservation(&next, fixture.now).await.state,
        ReservationState::Held
    );
}

#[tokio::test]
async fn a_hold_that_is_over_and_was_taken_over_is_left_alone() {
    let fixture = Fixture::open().await;
    let first = fixture.reserve(Uuid::new_v4(), &[7]).await;
    fixture
        .try_reserve(0, fixture.wish(Uuid::new_v4(), &[7]), fixture.hold_end())
        .await
        .unwrap();
    // By this instance's clock the hold is not over, so it cancels; the seat is no longer its own.
    assert!(
        fixture
            .cancel(1, &first, fixture.now)
            .await
            .unwrap()
            .changed
    );
    assert_eq!(
        fixture.seat_state(7, fixture.hold_end()).await,
        SeatState::Held
    );
    fixture.reconciled().await;
}

#[tokio::test]
async fn cancelling_a_paid_reservation_refunds_it_in_full_until_the_show() {
    let fixture = Fixture::open().await;
    let (held, _) = fixture.paid(&[1]).await;
    let started = fixture
        .cancel(0, &held, fixture.now + TimeDelta::days(30))
        .await;
    assert!(matches!(started, Err(CancelError::ShowStarted)));
    let cancelled = fixture.cancel(0, &held, fixture.now).await.unwrap();
    assert_eq!(
        (cancelled.reservation.state, cancelled.changed),
        (ReservationState::Refunded, true)
    );
    assert!(!fixture.cancel(0, &held, fixture.now).await.unwrap().changed);
    assert_eq!(fixture.balance(held.user_id).await, PLENTY);
    fixture.reconciled().await;
}

#[tokio::test]
async fn another_users_reservation_is_not_found() {
    let fixture = Fixture::open().await;
    let mut stolen = fixture.reserve(Uuid::new_v4(), &[7]).await;
    stolen.user_id = Uuid::new_v4();
    assert!(matches!(
        fixture.cancel(0, &stolen, fixture.now).await,
        Err(CancelError::ReservationNotFound)
    ));
    assert_eq!(fixture.seat_state(7, fixture.now).await, SeatState::Held);
}

#[tokio::test]
async fn a_hold_that_is_over_has_nothing_to_give_back() {
    let fixture = Fixture::open().await;
    let held = fixture.reserve(Uuid::new_v4(), &[7]).await;
    let late = fixture.cancel(0, &held, fixture.hold_end()).await.unwrap();
    assert_eq!(
        (late.reservation.state, late.changed),
        (ReservationState::Expired, false)
    );
}
