use booking::payment::{PaymentState, RefundError};
use booking::reservation::ReservationState;
use booking::seat::SeatState;
use booking::wallet::{BALANCE_LIMIT, CHARGE_MAX};
use chrono::TimeDelta;

use crate::house::{House, PLENTY, all_at_once};

#[tokio::test(flavor = "multi_thread")]
async fn of_many_refunds_of_one_payment_one_pays_back() {
    let house = House::open().await;
    let (held, payment) = house.paid(&[1, 2]).await;
    let outcomes = all_at_once((0..50).map(|turn| {
        let (house, payment) = (house.clone(), payment.clone());
        async move { house.refund(turn, &payment, house.now).await }
    }))
    .await;
    let refunded = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    let refused = outcomes
        .iter()
        .filter(|outcome| matches!(outcome, Err(RefundError::AlreadyRefunded)))
        .count();
    assert_eq!((refunded, refused), (1, 49));
    assert_eq!(house.balance(held.user_id).await, PLENTY);
    let totals = house.reconciled().await.totals;
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
    let house = House::open().await;
    for seat in 1..=20 {
        let (held, payment) = house.paid(&[seat]).await;
        let (refund, cancel) = tokio::join!(
            house.refund(0, &payment, house.now),
            house.cancel(1, &held, house.now),
        );
        let cancelled = cancel.expect("cancelling twice is fine").changed;
        assert!(refund.is_ok() != cancelled, "one of them did it");
        assert_eq!(house.balance(held.user_id).await, PLENTY);
    }
    house.reconciled().await;
}

#[tokio::test]
async fn a_refunded_seat_can_be_sold_again_and_nothing_is_forgotten() {
    let house = House::open().await;
    let (held, payment) = house.paid(&[7]).await;
    let refunded = house.refund(0, &payment, house.now).await.unwrap();
    assert_eq!(refunded.payment.state, PaymentState::Refunded);
    assert_eq!(refunded.reservation.state, ReservationState::Refunded);
    assert_eq!(house.seat_state(7, house.now).await, SeatState::Available);
    assert_eq!(
        house.reservation(&held, house.now).await.state,
        ReservationState::Refunded
    );
    house.paid(&[7]).await;
    assert_eq!(house.seat_state(7, house.now).await, SeatState::Sold);
    let totals = house.reconciled().await.totals;
    assert_eq!(
        (
            totals.payments_captured,
            totals.payments_refunded,
            totals.seats_sold
        ),
        (300_000, 150_000, 1)
    );
    assert_eq!(
        house
            .number("SELECT COUNT(*) FROM outbox WHERE type = 'payment.refunded'")
            .await,
        1
    );
}

#[tokio::test]
async fn money_comes_back_only_before_the_show_and_only_to_who_paid() {
    let house = House::open().await;
    let (_, payment) = house.paid(&[7]).await;
    let starts_at = house.now + TimeDelta::days(30);
    assert!(matches!(
        house.refund(0, &payment, starts_at).await,
        Err(RefundError::ShowStarted)
    ));
    let mut stolen = payment.clone();
    stolen.user_id = house.rich().await;
    assert!(matches!(
        house.refund(0, &stolen, house.now).await,
        Err(RefundError::PaymentNotFound)
    ));
    assert_eq!(house.balance(payment.user_id).await, PLENTY - 150_000);
    house
        .refund(0, &payment, starts_at - TimeDelta::microseconds(1))
        .await
        .expect("just before the show");
}

#[tokio::test]
async fn a_wallet_without_room_keeps_the_ticket() {
    let house = House::open().await;
    let (held, payment) = house.paid(&[7]).await;
    let room = BALANCE_LIMIT - house.balance(held.user_id).await;
    for _ in 0..room / CHARGE_MAX {
        house.charge(0, held.user_id, CHARGE_MAX).await.unwrap();
    }
    house
        .charge(0, held.user_id, room % CHARGE_MAX)
        .await
        .unwrap();
    assert!(matches!(
        house.refund(0, &payment, house.now).await,
        Err(RefundError::BalanceLimit)
    ));
    assert_eq!(house.seat_state(7, house.now).await, SeatState::Sold);
    house.reconciled().await;
}
