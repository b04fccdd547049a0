//! Payments, bookers and sweepers of two instances whose clocks disagree a little, around the end of a hold.

use std::time::Duration;

use booking::payment::PayError;
use booking::reservation::{Reservation, ReservationState};
use booking::seat::SeatState;
use chrono::TimeDelta;
use futures_util::future::join_all;
use testbed::eventually;
use uuid::Uuid;

use crate::fixture::{Fixture, PLENTY};

/// What one race came to.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Paid,
    Expired,
}

/// A payment, a buyer who takes the seat over, and a sweeper, all at the end of the hold, give or take a few microseconds.
async fn race(fixture: Fixture, round: usize) -> End {
    let seat = (round % 50) as i64 + 1;
    let payer = fixture.rich().await;
    let held = fixture.reserve(payer, &[seat]).await;
    // By these clocks the payment is mostly just in time, and the hold mostly over for the others: both are in the right.
    let pay_at =
        fixture.hold_end() + TimeDelta::microseconds([-3, -2, -1, -1, -1, 0, 1][round % 7]);
    let skew = |step: usize| TimeDelta::microseconds([-1, 0, 0, 1, 1, 2, 3][round * step % 7]);
    let (take_at, sweep_at) = (fixture.hold_end() + skew(3), fixture.hold_end() + skew(5));

    let pay = {
        let (fixture, held) = (fixture.clone(), held.clone());
        tokio::spawn(async move { fixture.try_pay(round, &held, pay_at).await })
    };
    let take = {
        let fixture = fixture.clone();
        tokio::spawn(async move {
            fixture
                .try_reserve(round + 1, fixture.wish(Uuid::new_v4(), &[seat]), take_at)
                .await
        })
    };
    let sweep = {
        let fixture = fixture.clone();
        tokio::spawn(async move { fixture.expire(round + 1, sweep_at, 20).await })
    };
    let (pay, take, sweep) = (
        pay.await.unwrap(),
        take.await.unwrap(),
        sweep.await.unwrap(),
    );
    sweep.expect("a step always ends well");

    let after = fixture.hold_end() + TimeDelta::seconds(1);
    let seen = fixture.reservation(&held, after).await;
    let state = fixture.seat_state(seat as usize, take_at.max(pay_at)).await;
    match pay {
        Ok(_) => {
            assert!(take.is_err(), "the seat was sold twice");
            assert_eq!(
                (seen.state, state),
                (ReservationState::Confirmed, SeatState::Sold)
            );
            assert_eq!(fixture.balance(payer).await, PLENTY - held.amount);
            End::Paid
        }
        Err(PayError::HoldExpired) => {
            let left = if take.is_ok() {
                SeatState::Held
            } else {
                SeatState::Available
            };
            assert_eq!(seen.state, ReservationState::Expired);
            assert!(state == left || state == SeatState::Available, "{state:?}");
            assert_eq!(fixture.balance(payer).await, PLENTY);
            End::Expired
        }
        Err(other) => panic!("not an answer to a race: {other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_five_hundred_payments_at_the_end_of_their_hold_each_is_paid_and_sold_or_over_and_untouched()
 {
    let first = Fixture::open().await;
    let mut venues = vec![first.clone()];
    for _ in 1..10 {
        venues.push(first.another_schedule().await);
    }
    let mut ends = Vec::new();
    for start in (0..500).step_by(20) {
        let some = (start..start + 20).map(|round| race(venues[round / 50].clone(), round));
        ends.extend(join_all(some).await);
    }
    let paid = ends.iter().filter(|end| **end == End::Paid).count();
    assert_eq!(ends.len(), 500);
    assert!(
        (1..500).contains(&paid),
        "the race was one-sided: {paid} paid"
    );
    let totals = first.reconciled().await.totals;
    assert_eq!(totals.seats_sold, paid as i64);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancellation_against_a_payment_ends_with_all_of_the_money_or_all_of_the_seats() {
    let fixture = Fixture::open().await;
    for seat in 1..=50 {
        let payer = fixture.rich().await;
        let held: Reservation = fixture.reserve(payer, &[seat]).await;
        let (pay, cancel) = tokio::join!(
            fixture.try_pay(0, &held, fixture.now),
            fixture.cancel(1, &held, fixture.now),
        );
        assert!(cancel.expect("a cancellation always ends well").changed);
        // Cancelled first, so there was nothing to pay; or paid first, and refunded.
        assert!(
            matches!(
                pay,
                Ok(_) | Err(PayError::Cancelled | PayError::AlreadyPaid { .. })
            ),
            "{pay:?}"
        );
        assert_eq!(fixture.balance(payer).await, PLENTY);
        assert_eq!(
            fixture.seat_state(seat as usize, fixture.now).await,
            SeatState::Available
        );
    }
    fixture.reconciled().await;
}

/// Charge, reserve, pay, and now and then give back; whatever is refused on the way is fine.
async fn story(fixture: Fixture, round: usize) {
    let user = Uuid::new_v4();
    let seat = (round % 50) as i64 + 1;
    if fixture.charge(round, user, PLENTY).await.is_err() {
        return;
    }
    let Ok(held) = fixture
        .try_reserve(round, fixture.wish(user, &[seat]), fixture.now)
        .await
    else {
        return;
    };
    let paid = fixture.try_pay(round + 1, &held, fixture.now).await;
    if round.is_multiple_of(3)
        && let Ok(payment) = paid
    {
        let _ = fixture.refund(round, &payment, fixture.now).await;
    } else if round.is_multiple_of(5) {
        let _ = fixture.cancel(round, &held, fixture.now).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reconciliation_in_the_middle_of_a_sale_raises_no_false_alarm() {
    let fixture = Fixture::open().await;
    let stories: Vec<_> = (0..300)
        .map(|round| tokio::spawn(story(fixture.clone(), round)))
        .collect();
    let mut checks = 0;
    while checks == 0 || stories.iter().any(|story| !story.is_finished()) {
        fixture.reconciled().await;
        checks += 1;
    }
    assert!(fixture.reconciled().await.totals.seats_sold > 0);
    assert!(checks > 1, "the sale was over before it was looked at");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_killed_in_the_middle_of_a_sale_comes_back_with_all_or_nothing_of_each_step()
 {
    let scratch = testbed::Scratch::new().expect("a folder");
    let mut server = testbed::MariaDb::start(scratch.path(), testbed::MariaDbOptions::default())
        .expect("a server");
    let fixture = Fixture::at(server.create_database(), booking::concert::default_layout()).await;
    let stories: Vec<_> = (0..300)
        .map(|round| tokio::spawn(story(fixture.clone(), round)))
        .collect();
    let sold = async || {
        let statement = "SELECT COUNT(*) FROM seats WHERE state = 'sold'";
        fixture.number(statement).await
    };
    eventually(Duration::from_secs(60), "five seats sold", async || {
        (sold().await >= 5).then_some(())
    })
    .await;
    server.kill();
    server.restart().expect("a restart");
    for story in stories {
        story.await.expect("no panic");
    }
    let totals = fixture.reconciled().await.totals;
    assert!(totals.seats_sold >= 1);
}
