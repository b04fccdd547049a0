use booking::reservation::ReservationState;
use booking::seat::SeatState;
use uuid::Uuid;

use crate::fixture::{Fixture, all_at_once};

#[tokio::test]
async fn a_step_tidies_only_holds_that_are_over_and_records_the_event() {
    let fixture = Fixture::open().await;
    let held = fixture.reserve(Uuid::new_v4(), &[1, 2]).await;
    let (paid, _) = fixture.paid(&[3]).await;
    assert_eq!(
        fixture
            .expire(
                0,
                fixture.hold_end() - chrono::TimeDelta::microseconds(1),
                100
            )
            .await
            .unwrap(),
        0
    );
    assert_eq!(fixture.expire(0, fixture.hold_end(), 100).await.unwrap(), 1);
    assert_eq!(fixture.expire(0, fixture.hold_end(), 100).await.unwrap(), 0);
    assert_eq!(
        fixture.reservation(&held, fixture.now).await.state,
        ReservationState::Expired
    );
    assert_eq!(
        fixture.reservation(&paid, fixture.hold_end()).await.state,
        ReservationState::Confirmed
    );
    assert_eq!(
        fixture.seat_states(fixture.now).await[..3],
        [SeatState::Available, SeatState::Available, SeatState::Sold]
    );
    assert_eq!(
        fixture
            .number("SELECT COUNT(*) FROM outbox WHERE type = 'reservation.expired'")
            .await,
        1
    );
    assert_eq!(
        fixture
            .number("SELECT COUNT(*) FROM audit_log WHERE action = 'expired' AND actor = 'sweeper'")
            .await,
        1
    );
}

#[tokio::test]
async fn a_step_does_no_more_than_its_batch_and_the_oldest_first() {
    let fixture = Fixture::open().await;
    let first = fixture.reserve(Uuid::new_v4(), &[1]).await;
    let later = fixture.now + chrono::TimeDelta::seconds(1);
    for seat in 2..=5 {
        fixture
            .try_reserve(0, fixture.wish(Uuid::new_v4(), &[seat]), later)
            .await
            .unwrap();
    }
    let long_after = fixture.hold_end() + chrono::TimeDelta::hours(1);
    assert_eq!(fixture.expire(0, long_after, 1).await.unwrap(), 1);
    assert_eq!(
        fixture.reservation(&first, fixture.now).await.state,
        ReservationState::Expired
    );
    assert_eq!(fixture.expire(1, long_after, 3).await.unwrap(), 3);
    assert_eq!(fixture.expire(0, long_after, 3).await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn sweepers_of_several_instances_expire_each_hold_once() {
    let fixture = Fixture::open().await;
    for seat in 1..=40 {
        fixture.reserve(Uuid::new_v4(), &[seat]).await;
    }
    let counts = all_at_once((0..16).map(|turn| {
        let fixture = fixture.clone();
        async move {
            let mut expired = 0;
            loop {
                match fixture.expire(turn, fixture.hold_end(), 5).await.unwrap() {
                    0 => return expired,
                    some => expired += some,
                }
            }
        }
    }))
    .await;
    assert_eq!(counts.iter().sum::<usize>(), 40);
    assert_eq!(
        fixture
            .number("SELECT COUNT(*) FROM outbox WHERE type = 'reservation.expired'")
            .await,
        40
    );
    assert!(
        fixture
            .seat_states(fixture.now)
            .await
            .iter()
            .all(|state| *state == SeatState::Available)
    );
}

#[tokio::test]
async fn a_seat_that_was_taken_over_stays_with_its_new_holder() {
    let fixture = Fixture::open().await;
    fixture.reserve(Uuid::new_v4(), &[7, 8]).await;
    let next = fixture
        .try_reserve(0, fixture.wish(Uuid::new_v4(), &[7]), fixture.hold_end())
        .await
        .unwrap();
    assert_eq!(fixture.expire(0, fixture.hold_end(), 100).await.unwrap(), 1);
    assert_eq!(
        fixture.seat_state(7, fixture.hold_end()).await,
        SeatState::Held
    );
    assert_eq!(
        fixture.seat_state(8, fixture.now).await,
        SeatState::Available
    );
    assert_eq!(
        fixture.reservation(&next, fixture.hold_end()).await.state,
        ReservationState::Held
    );
}
