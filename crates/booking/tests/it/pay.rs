use booking::concert::{Grade, Layout, Price, Section};
use booking::payment::{self, PayError, PaymentState};
use booking::reservation::ReservationState;
use booking::seat::SeatState;
use uuid::Uuid;

use crate::house::{House, PLENTY, all_at_once};

#[tokio::test(flavor = "multi_thread")]
async fn of_two_hundred_payments_for_one_reservation_one_is_captured() {
    let house = House::open().await;
    let user = house.rich().await;
    let held = house.reserve(user, &[1, 2]).await;
    let outcomes = all_at_once((0..200).map(|turn| {
        let (house, held) = (house.clone(), held.clone());
        async move { house.try_pay(turn, &held, house.now).await }
    }))
    .await;

    let paid = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    let refused = outcomes
        .iter()
        .filter(|outcome| matches!(outcome, Err(PayError::AlreadyPaid)))
        .count();
    assert_eq!((paid, refused), (1, 199));
    assert_eq!(house.balance(user).await, PLENTY - 300_000);
    assert_eq!(house.reconciled().await.totals.payments_captured, 300_000);
}

#[tokio::test]
async fn a_payment_moves_the_money_the_seats_and_the_reservation_together() {
    let house = House::open().await;
    let (held, payment) = house.paid(&[11, 12]).await;
    assert_eq!(
        (payment.amount, payment.state),
        (240_000, PaymentState::Captured)
    );
    assert_eq!(house.balance(held.user_id).await, PLENTY - 240_000);
    assert_eq!(
        house.seat_state(11, house.hold_end()).await,
        SeatState::Sold
    );
    assert_eq!(
        house.reservation(&held, house.hold_end()).await.state,
        ReservationState::Confirmed
    );
    let totals = house.reconciled().await.totals;
    assert_eq!((totals.seats_sold, totals.ledger_captured), (2, 240_000));
    let events = "SELECT COUNT(*) FROM outbox WHERE aggregate_type = 'reservation' AND type IN ('reservation.held', 'payment.captured')";
    assert_eq!(house.number(events).await, 2);
    assert_eq!(
        house
            .number(
                "SELECT COUNT(*) FROM audit_log WHERE action IN ('held', 'confirmed', 'captured')"
            )
            .await,
        3
    );
    let (user_id, id) = (payment.user_id, payment.id);
    let found = house.instances[1]
        .read(move |conn| payment::find(conn, user_id, id))
        .await
        .unwrap();
    assert_eq!(found, Some(payment));
    let other = house.instances[1]
        .read(move |conn| payment::find(conn, Uuid::new_v4(), id))
        .await
        .unwrap();
    assert_eq!(other, None);
}

#[tokio::test]
async fn a_purse_that_is_too_small_is_told_how_much_is_missing_and_keeps_what_it_has() {
    let house = House::open().await;
    let user = Uuid::new_v4();
    let held = house.reserve(user, &[1]).await;
    let empty = house.try_pay(0, &held, house.now).await;
    assert!(matches!(
        empty,
        Err(PayError::BalanceShort { missing: 150_000 })
    ));
    house.charge(0, user, 149_999).await.unwrap();
    let before = house.traces().await;
    let short = house.try_pay(0, &held, house.now).await;
    assert!(matches!(short, Err(PayError::BalanceShort { missing: 1 })));
    assert_eq!(
        (house.balance(user).await, house.traces().await),
        (149_999, before)
    );
    assert_eq!(
        house.reservation(&held, house.now).await.state,
        ReservationState::Held
    );
    house.charge(0, user, 1).await.unwrap();
    house
        .try_pay(0, &held, house.now)
        .await
        .expect("now it is enough");
    assert_eq!(house.balance(user).await, 0);
    house.reconciled().await;
}

#[tokio::test]
async fn a_hold_that_is_over_is_not_paid_and_the_wallet_is_untouched() {
    let house = House::open().await;
    let user = house.rich().await;
    let held = house.reserve(user, &[7]).await;
    let late = house.try_pay(0, &held, house.hold_end()).await;
    assert!(matches!(late, Err(PayError::HoldExpired)));
    house.expire(0, house.hold_end(), 10).await.unwrap();
    let later = house.try_pay(0, &held, house.hold_end()).await;
    assert!(matches!(later, Err(PayError::HoldExpired)));
    assert_eq!(house.balance(user).await, PLENTY);
}

#[tokio::test]
async fn an_instance_whose_clock_is_behind_does_not_sell_a_seat_that_was_taken_over() {
    let house = House::open().await;
    let user = house.rich().await;
    let held = house.reserve(user, &[7]).await;
    let next = house
        .try_reserve(1, house.wish(Uuid::new_v4(), &[7]), house.hold_end())
        .await
        .unwrap();
    let behind = house.try_pay(0, &held, house.now).await;
    assert!(matches!(behind, Err(PayError::HoldExpired)));
    assert_eq!(house.balance(user).await, PLENTY);
    assert_eq!(
        house.reservation(&next, house.hold_end()).await.state,
        ReservationState::Held
    );
    house.reconciled().await;
}

#[tokio::test]
async fn only_the_holder_pays_and_only_what_is_held() {
    let house = House::open().await;
    let held = house.reserve(house.rich().await, &[7]).await;
    let mut stolen = held.clone();
    stolen.user_id = house.rich().await;
    assert!(matches!(
        house.try_pay(0, &stolen, house.now).await,
        Err(PayError::ReservationNotFound)
    ));
    house.cancel(0, &held, house.now).await.unwrap();
    assert!(matches!(
        house.try_pay(0, &held, house.now).await,
        Err(PayError::Cancelled)
    ));
    let (paid, payment) = house.paid(&[8]).await;
    assert!(matches!(
        house.try_pay(1, &paid, house.now).await,
        Err(PayError::AlreadyPaid)
    ));
    house.refund(0, &payment, house.now).await.unwrap();
    assert!(matches!(
        house.try_pay(1, &paid, house.now).await,
        Err(PayError::AlreadyPaid)
    ));
    house.reconciled().await;
}

#[tokio::test]
async fn a_free_seat_is_paid_without_a_wallet() {
    let free = Section {
        grade: Grade::try_from("FREE".to_owned()).unwrap(),
        price: Price::try_from(0).unwrap(),
        from: 1,
        to: 2,
    };
    let house = House::with(Layout::try_from(vec![free]).unwrap()).await;
    let held = house.reserve(Uuid::new_v4(), &[1]).await;
    let payment = house.try_pay(0, &held, house.now).await.unwrap();
    assert_eq!(payment.amount, 0);
    house.refund(0, &payment, house.now).await.unwrap();
    assert_eq!(house.seat_state(1, house.now).await, SeatState::Available);
    house.reconciled().await;
}
