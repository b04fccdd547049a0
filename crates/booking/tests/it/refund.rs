use booking::payment::{PaymentState, RefundError};
use booking::reservation::ReservationState;
use booking::seat::SeatState;
use booking::wallet::{BALANCE_LIMIT, CHARGE_MAX, ChargeError};
use chrono::TimeDelta;

use crate::fixture::{Fixture, PLENTY, all_at_once};

#[tokio::test(flavor = "multi_thread")]
async fn of_many_refunds_of_one_payment_one_pays_back() {
    let fixture = Fixture::open().await;
    let (held, payment) = fixture.paid(&[1, 2]).await;
    let outcomes = all_at_once((0..50).map(|turn| {
        let (fixture, payment) = (fixture.clone(), payment.clone());
        async move { fixture.refund(turn, &payment, fixture.now).await }
    }))
    .await;
    let refunded = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    let refused = outcomes
        .iter()
        .filter(|outcome| matches!(outcome, Err(RefundError::AlreadyRefunded)))
        .count();
    assert_eq!((refunded, refused), (1, 49));
    assert_eq!(fixture.balance(held.user_id).await, PLENTY);
    let totals = fixture.reconciled().await.totals;
    assert_eq!(
        (
            totals.seats_sold,
            totals.ledger_captured,
            totals.ledger_refunded
        ),
        (0, 300_000, 300_000)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_and_a_cancellation_at_once_pay_back_once() {
    let fixture = Fixture::open().await;
    for seat in 1..=20 {
        let (held, payment) = fixture.paid(&[seat]).await;
        let (refund, cancel) = tokio::join!(
            fixture.refund(0, &payment, fixture.now),
            fixture.cancel(1, &held, fixture.now),
        );
        let cancelled = cancel.expect("cancelling twice is fine").changed;
        assert!(refund.is_ok() != cancelled, "one of them did it");
        assert_eq!(fixture.balance(held.user_id).await, PLENTY);
    }
    fixture.reconciled().await;
}

#[tokio::test]
async fn a_refunded_seat_can_be_sold_again_and_nothing_is_forgotten() {
    let fixture = Fixture::open().await;
    let (held, payment) = fixture.paid(&[7]).await;
    let refunded = fixture.refund(0, &payment, fixture.now).await.unwrap();
    assert_eq!(refunded.payment.state, PaymentState::Refunded);
    let over = "SELECT COUNT(*) FROM reservations WHERE state = 'refunded'";
    assert_eq!(fixture.number(over).await, 1);
    assert_eq!(
        fixture.seat_state(7, fixture.now).await,
        SeatState::Available
    );
    assert_eq!(
        fixture.reservation(&held, fixture.now).await.state,
        ReservationState::Refunded
    );
    fixture.paid(&[7]).await;
    assert_eq!(fixture.seat_state(7, fixture.now).await, SeatState::Sold);
    let totals = fixture.reconciled().await.totals;
    assert_eq!(
        (
            totals.payments_captured,
            totals.payments_refunded,
            totals.seats_sold
        ),
        (300_000, 150_000, 1)
    );
    assert_eq!(
        fixture
            .number("SELECT COUNT(*) FROM outbox WHERE type = 'payment.refunded'")
            .await,
        1
    );
}

#[tokio::test]
async fn money_comes_back_only_before_the_show_and_only_to_who_paid() {
    let fixture = Fixture::open().await;
    let (_, payment) = fixture.paid(&[7]).await;
    let starts_at = fixture.now + TimeDelta::days(30);
    assert!(matches!(
        fixture.refund(0, &payment, starts_at).await,
        Err(RefundError::ShowStarted)
    ));
    let mut stolen = payment.clone();
    stolen.user_id = fixture.rich().await;
    assert!(matches!(
        fixture.refund(0, &stolen, fixture.now).await,
        Err(RefundError::PaymentNotFound)
    ));
    assert_eq!(fixture.balance(payment.user_id).await, PLENTY - 150_000);
    fixture
        .refund(0, &payment, starts_at - TimeDelta::microseconds(1))
        .await
        .expect("just before the show");
}

#[tokio::test]
async fn a_refund_goes_into_a_full_wallet() {
    let fixture = Fixture::open().await;
    let (held, payment) = fixture.paid(&[7]).await;
    let room = BALANCE_LIMIT - fixture.balance(held.user_id).await;
    for _ in 0..room / CHARGE_MAX {
        fixture.charge(0, held.user_id, CHARGE_MAX).await.unwrap();
    }
    let rest = room % CHARGE_MAX;
    fixture.charge(0, held.user_id, rest).await.unwrap();
    let refunded = fixture.refund(0, &payment, fixture.now).await;
    refunded.expect("the limit is one of charging");
    let full = BALANCE_LIMIT + payment.amount;
    assert_eq!(fixture.balance(held.user_id).await, full);
    let refused = fixture.charge(0, held.user_id, 1).await;
    assert!(matches!(refused, Err(ChargeError::BalanceLimit)));
    fixture.reconciled().await;
}
