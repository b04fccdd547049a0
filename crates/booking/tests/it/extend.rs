//! A hold that is made longer: once, not beyond the start, and not while the last seats are wanted by others.

use booking::payment::PayError;
use booking::reservation::{ExtendError, Limits, Reservation};
use booking::seat::SeatState;
use chassis::time::Timestamp;
use chrono::TimeDelta;
use uuid::Uuid;

use crate::fixture::{Fixture, all_at_once};

const INSTANT: TimeDelta = TimeDelta::microseconds(1);

async fn extend(
    fixture: &Fixture,
    turn: usize,
    held: &Reservation,
    now: Timestamp,
) -> Result<Reservation, ExtendError> {
    fixture.sale(turn, now).extend(held.user_id, held.id).await
}

#[tokio::test]
async fn an_extended_hold_lasts_longer_and_can_be_paid_until_its_new_end() {
    let fixture = Fixture::open().await;
    let held = fixture.reserve(fixture.rich().await, &[7]).await;
    let end = fixture.hold_end();
    let extended = extend(&fixture, 0, &held, end - INSTANT).await.unwrap();
    let new_end = end + fixture.limits.extension;
    assert_eq!(extended.hold_expires_at, new_end);
    assert_eq!(fixture.seat_state(7, end).await, SeatState::Held);
    assert_eq!(fixture.expire(0, end, 10).await.unwrap(), 0);
    let other = fixture.wish(Uuid::new_v4(), &[7]);
    assert!(fixture.try_reserve(1, other, end).await.is_err());
    let again = extend(&fixture, 1, &held, end).await;
    assert!(
        matches!(again, Err(ExtendError::AlreadyExtended)),
        "{again:?}"
    );
    fixture.reconciled().await;
    let late = fixture.try_pay(0, &held, new_end).await;
    assert!(matches!(late, Err(PayError::HoldExpired)));
    let paid = fixture.try_pay(0, &held, new_end - INSTANT).await;
    paid.expect("in time");
    let events = "SELECT COUNT(*) FROM outbox WHERE type = 'reservation.extended'";
    assert_eq!(fixture.number(events).await, 1);
}

#[tokio::test]
async fn what_is_over_or_paid_or_anothers_is_not_extended() {
    let fixture = Fixture::open().await;
    let held = fixture.reserve(fixture.rich().await, &[7]).await;
    let over = extend(&fixture, 0, &held, fixture.hold_end()).await;
    assert!(matches!(over, Err(ExtendError::HoldExpired)), "{over:?}");
    let stolen = Reservation {
        user_id: Uuid::new_v4(),
        ..held.clone()
    };
    let stolen = extend(&fixture, 0, &stolen, fixture.now).await;
    assert!(matches!(stolen, Err(ExtendError::ReservationNotFound)));
    let payment = fixture.try_pay(0, &held, fixture.now).await.unwrap();
    let paid = extend(&fixture, 0, &held, fixture.now).await;
    let by = Some(payment.id);
    assert!(matches!(paid, Err(ExtendError::AlreadyPaid { payment_id }) if payment_id == by));
    let given_back = fixture.reserve(Uuid::new_v4(), &[8]).await;
    fixture.cancel(0, &given_back, fixture.now).await.unwrap();
    let cancelled = extend(&fixture, 0, &given_back, fixture.now).await;
    assert!(matches!(cancelled, Err(ExtendError::Cancelled)));
}

#[tokio::test]
async fn the_last_seats_are_not_kept_from_others() {
    let mut fixture = Fixture::open().await;
    fixture.limits = Limits {
        extension_free_seats: 50,
        ..fixture.limits
    };
    let held = fixture.reserve(Uuid::new_v4(), &[7]).await;
    let scarce = extend(&fixture, 0, &held, fixture.now).await;
    assert!(matches!(scarce, Err(ExtendError::SeatsScarce { free: 49 })));
    fixture.limits.extension_free_seats = 0;
    // As if somebody were in the waiting list.
    for (waiting, refused) in [(1, true), (0, false)] {
        let statement = format!("UPDATE schedules SET waiting = {waiting}");
        fixture.raw(&statement).await.unwrap();
        let other = fixture.reserve(Uuid::new_v4(), &[20 + waiting]).await;
        let outcome = extend(&fixture, 0, &other, fixture.now).await;
        assert_eq!(
            matches!(outcome, Err(ExtendError::SeatsScarce { .. })),
            refused
        );
    }
    fixture.limits.extension = TimeDelta::zero();
    let off = extend(&fixture, 0, &held, fixture.now).await;
    assert!(matches!(off, Err(ExtendError::NoLonger)));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_twenty_extensions_at_once_one_is_made() {
    let fixture = Fixture::open().await;
    let held = fixture.reserve(Uuid::new_v4(), &[7, 8]).await;
    let outcomes = all_at_once((0..20).map(|turn| {
        let (fixture, held) = (fixture.clone(), held.clone());
        async move { extend(&fixture, turn, &held, fixture.now).await }
    }))
    .await;
    assert_eq!(outcomes.iter().filter(|it| it.is_ok()).count(), 1);
    let seen = fixture.reservation(&held, fixture.now).await;
    let end = fixture.hold_end() + fixture.limits.extension;
    assert_eq!(seen.hold_expires_at, end);
    fixture.reconciled().await;
}
