//! What a provider says against what its customer does at the same moment, on two instances.

use booking::payment::Pay;
use booking::provider::{self, Confirmed, Said};
use booking::reservation::{Reservation, ReservationState};
use chassis::time::Clock;
use uuid::Uuid;

use crate::fixture::{Fixture, PLENTY, all_at_once};

async fn order(fixture: &Fixture, held: &Reservation) -> Uuid {
    let wish = Pay {
        payment_id: Uuid::new_v4(),
        user_id: held.user_id,
        reservation_id: held.id,
    };
    let clock = Clock::stopped_at(fixture.now);
    let order = fixture.instances[0]
        .transaction(move |tx| provider::order_payment(tx, &wish, &clock))
        .await;
    order.expect("an order").id
}

async fn has_money(fixture: &Fixture, turn: usize, id: Uuid, amount: i64) -> Confirmed {
    let clock = Clock::stopped_at(fixture.now);
    let confirm = move |tx: &mut _| provider::confirm(tx, id, amount, Said::HasMoney, &clock);
    let confirmed = fixture.db(turn).transaction(confirm).await;
    confirmed.expect("an event is always taken")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reservation_is_paid_once_whether_by_the_provider_the_wallet_or_given_back() {
    let fixture = Fixture::open().await;
    let races = (1..=50_i64).map(|seat| {
        let fixture = fixture.clone();
        async move {
            let turn = seat as usize;
            let user = fixture.rich().await;
            let held = fixture.reserve(user, &[seat]).await;
            let id = order(&fixture, &held).await;
            let (first, second, wallet, cancelled) = tokio::join!(
                has_money(&fixture, turn, id, held.amount),
                has_money(&fixture, turn + 1, id, held.amount),
                fixture.try_pay(turn + 1, &held, fixture.now),
                async {
                    match seat % 3 {
                        0 => fixture.cancel(turn, &held, fixture.now).await.map(Some),
                        _ => Ok(None),
                    }
                },
            );
            cancelled.expect("a cancellation always ends well");
            let by_provider = [&first, &second]
                .iter()
                .filter(|it| matches!(it, Confirmed::Paid(_)))
                .count();
            let known = [first, second]
                .iter()
                .filter(|it| matches!(it, Confirmed::Nothing))
                .count();
            assert_eq!(known, 1, "one of two equal events says nothing new");
            let paid = by_provider + usize::from(wallet.is_ok());
            assert!(paid <= 1, "seat {seat} was paid twice");
            let seen = fixture.reservation(&held, fixture.now).await;
            let balance = fixture.balance(user).await;
            match seen.state {
                // Only the wallet's money is missing from it; the provider's came and went.
                ReservationState::Confirmed if by_provider == 1 => assert_eq!(balance, PLENTY),
                ReservationState::Confirmed => assert_eq!(balance, PLENTY - held.amount),
                ReservationState::Refunded if by_provider == 1 => {
                    assert_eq!(balance, PLENTY + held.amount);
                }
                _ => assert_eq!(balance, PLENTY),
            }
            by_provider
        }
    });
    let by_provider: usize = all_at_once(races).await.into_iter().sum();
    let ordered = "SELECT COUNT(*) FROM provider_orders WHERE state = 'succeeded' AND instruction = 'capture'";
    assert_eq!(fixture.number(ordered).await, by_provider as i64);
    let let_go =
        "SELECT COUNT(*) FROM provider_orders WHERE state = 'voided' AND instruction = 'void'";
    assert_eq!(fixture.number(let_go).await, 50 - by_provider as i64);
    fixture.reconciled().await;
}
