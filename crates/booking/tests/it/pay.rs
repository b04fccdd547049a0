use booking::payment::{self, PayError, PaymentState};
use booking::reservation::ReservationState;
use booking::seat::SeatState;
use uuid::Uuid;

use crate::fixture::{Fixture, PLENTY, all_at_once, layout};

#[tokio::test(flavor = "multi_thread")]
async fn of_two_hundred_payments_for_one_reservation_one_is_captured() {
    let fixture = Fixture::open().await;
    let user = fixture.rich().await;
    let held = fixture.reserve(user, &[1, 2]).await;
    let outcomes = all_at_once((0..200).map(|turn| {
        let (fixture, held) = (fixture.clone(), held.clone());
        async move { fixture.try_pay(turn, &held, fixture.now).await }
    }))
    .await;

    let paid = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    let refused = outcomes
        .iter()
        .filter(|outcome| matches!(outcome, Err(PayError::AlreadyPaid { .. })))
        .count();
    assert_eq!((paid, refused), (1, 199));
    assert_eq!(fixture.balance(user).await, PLENTY - 300_000);
    assert_eq!(fixture.reconciled().await.totals.payments_captured, 300_000);
}

#[tokio::test]
async fn a_payment_moves_the_money_the_seats_and_the_reservation_together() {
    let fixture = Fixture::open().await;
    let (held, payment) = fixture.paid(&[11, 12]).await;
    assert_eq!(
        (payment.amount, payment.state),
        (240_000, PaymentState::Captured)
    );
    assert_eq!(fixture.balance(held.user_id).await, PLENTY - 240_000);
    assert_eq!(
        fixture.seat_state(11, fixture.hold_end()).await,
        SeatState::Sold
    );
    assert_eq!(
        fixture.reservation(&held, fixture.hold_end()).await.state,
        ReservationState::Confirmed
    );
    let totals = fixture.reconciled().await.totals;
    assert_eq!((totals.seats_sold, totals.ledger_captured), (2, 240_000));
    let events = "SELECT COUNT(*) FROM outbox WHERE aggregate_type = 'reservation' AND type IN ('reservation.held', 'payment.captured')";
    assert_eq!(fixture.number(events).await, 2);
    assert_eq!(
        fixture
            .number(
                "SELECT COUNT(*) FROM audit_log WHERE action IN ('held', 'confirmed', 'captured')"
            )
            .await,
        3
    );
    let (user_id, id) = (payment.user_id, payment.id);
    let found = fixture.instances[1]
        .read(move |conn| payment::find(conn, user_id, id))
        .await
        .unwrap();
    assert_eq!(found, Some(payment));
    let other = fixture.instances[1]
        .read(move |conn| payment::find(conn, Uuid::new_v4(), id))
        .await
        .unwrap();
    assert_eq!(other, None);
}

#[tokio::test]
async fn a_purse_that_is_too_small_is_told_how_much_is_missing_and_keeps_what_it_has() {
    let fixture = Fixture::open().await;
    let user = Uuid::new_v4();
    let held = fixture.reserve(user, &[1]).await;
    let empty = fixture.try_pay(0, &held, fixture.now).await;
    assert!(matches!(
        empty,
        Err(PayError::BalanceShort { missing: 150_000 })
    ));
    fixture.charge(0, user, 149_999).await.unwrap();
    let before = fixture.traces().await;
    let short = fixture.try_pay(0, &held, fixture.now).await;
    assert!(matches!(short, Err(PayError::BalanceShort { missing: 1 })));
    assert_eq!(
        (fixture.balance(user).await, fixture.traces().await),
        (149_999, before)
    );
    assert_eq!(
        fixture.reservation(&held, fixture.now).await.state,
        ReservationState::Held
    );
    fixture.charge(0, user, 1).await.unwrap();
    fixture
        .try_pay(0, &held, fixture.now)
        .await
        .expect("now it is enough");
    assert_eq!(fixture.balance(user).await, 0);
    fixture.reconciled().await;
}

#[tokio::test]
async fn a_hold_that_is_over_is_not_paid_and_the_wallet_is_untouched() {
    let fixture = Fixture::open().await;
    let user = fixture.rich().await;
    let held = fixture.reserve(user, &[7]).await;
    let late = fixture.try_pay(0, &held, fixture.hold_end()).await;
    assert!(matches!(late, Err(PayError::HoldExpired)));
    fixture.expire(0, fixture.hold_end(), 10).await.unwrap();
    let later = fixture.try_pay(0, &held, fixture.hold_end()).await;
    assert!(matches!(later, Err(PayError::HoldExpired)));
    assert_eq!(fixture.balance(user).await, PLENTY);
}

#[tokio::test]
async fn an_instance_whose_clock_is_behind_does_not_sell_a_seat_that_was_taken_over() {
    // All seats of a hold, one of them, and all of a hold whose user is too poor as well.
    for (seats, money) in [(&[7][..], PLENTY), (&[7, 8], PLENTY), (&[7], 1)] {
        let fixture = Fixture::open().await;
        let user = Uuid::new_v4();
        fixture.charge(0, user, money).await.unwrap();
        let held = fixture.reserve(user, seats).await;
        let next = fixture
            .try_reserve(1, fixture.wish(Uuid::new_v4(), &[7]), fixture.hold_end())
            .await
            .unwrap();
        let behind = fixture.try_pay(0, &held, fixture.now).await;
        assert!(matches!(behind, Err(PayError::HoldExpired)), "{behind:?}");
        assert_eq!(fixture.balance(user).await, money);
        assert_eq!(
            fixture.reservation(&next, fixture.hold_end()).await.state,
            ReservationState::Held
        );
        fixture.reconciled().await;
    }
}

#[tokio::test]
async fn only_the_holder_pays_and_only_what_is_held() {
    let fixture = Fixture::open().await;
    let held = fixture.reserve(fixture.rich().await, &[7]).await;
    let mut stolen = held.clone();
    stolen.user_id = fixture.rich().await;
    assert!(matches!(
        fixture.try_pay(0, &stolen, fixture.now).await,
        Err(PayError::ReservationNotFound)
    ));
    fixture.cancel(0, &held, fixture.now).await.unwrap();
    assert!(matches!(
        fixture.try_pay(0, &held, fixture.now).await,
        Err(PayError::Cancelled)
    ));
    let (paid, payment) = fixture.paid(&[8]).await;
    assert!(matches!(
        fixture.try_pay(1, &paid, fixture.now).await,
        Err(PayError::AlreadyPaid { .. })
    ));
    fixture.refund(0, &payment, fixture.now).await.unwrap();
    assert!(matches!(
        fixture.try_pay(1, &paid, fixture.now).await,
        Err(PayError::AlreadyPaid { .. })
    ));
    fixture.reconciled().await;
}

#[tokio::test]
async fn a_free_seat_is_paid_without_a_wallet() {
    let fixture = Fixture::with(layout([("FREE", 0, 1..=2)])).await;
    let held = fixture.reserve(Uuid::new_v4(), &[1]).await;
    let payment = fixture.try_pay(0, &held, fixture.now).await.unwrap();
    assert_eq!(payment.amount, 0);
    fixture.refund(0, &payment, fixture.now).await.unwrap();
    assert_eq!(
        fixture.seat_state(1, fixture.now).await,
        SeatState::Available
    );
    fixture.reconciled().await;
}
