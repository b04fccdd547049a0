//! A date that is cancelled in the middle of its sale: nobody buys any more, and everybody gets their money back.

use booking::concert::Title;
use booking::payment::Extent;
use booking::programme::{self, DateCancellation, ProgrammeError};
use booking::reservation::ReservationState;
use booking::seat::{SeatNumbers, SeatState};
use chassis::time::{Clock, Timestamp};
use chrono::TimeDelta;
use uuid::Uuid;

use crate::fixture::{Fixture, OPERATOR, PLENTY, all_at_once};

async fn cancel(fixture: &Fixture, turn: usize) -> Result<DateCancellation, ProgrammeError> {
    let (id, now) = (fixture.schedule_id, fixture.now);
    let reason = Title::try_from("Storm".to_owned()).expect("a reason");
    fixture
        .db(turn)
        .transaction(move |tx| programme::cancel_date(tx, id, &reason, "operator:tests", now))
        .await
}

/// One step; whether there was anything to work on.
async fn advance(fixture: &Fixture, turn: usize, now: Timestamp) -> bool {
    let clock = Clock::stopped_at(now);
    let step = fixture
        .db(turn)
        .transaction(move |tx| programme::advance(tx, &clock))
        .await;
    step.expect("a step ends well").worked
}

async fn until_over(fixture: &Fixture) -> DateCancellation {
    while advance(fixture, 0, fixture.now).await {}
    let id = fixture.schedule_id;
    let found = fixture.instances[0]
        .read(move |conn| programme::cancellation(conn, id))
        .await;
    found.expect("a cancellation")
}

async fn all_blocked(fixture: &Fixture) {
    let states = fixture.seat_states(fixture.now + TimeDelta::days(1)).await;
    assert!(states.iter().all(|state| *state == SeatState::Blocked));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_got_a_part_back_before_gets_the_rest_and_no_more() {
    let fixture = Fixture::open().await;
    let (_, by_seat) = fixture.paid(&[1, 2]).await;
    let (_, by_money) = fixture.paid(&[3, 4]).await;
    let seat = Extent::Seats(SeatNumbers::parse(&[2], 1).unwrap());
    for (payment, part) in [(&by_seat, seat), (&by_money, Extent::Amount(100_000))] {
        let part = fixture.refund_part(0, payment, part, fixture.now).await;
        part.expect("a part");
    }
    // The seat that came back is another buyer's now.
    let (other, _) = fixture.paid(&[2]).await;
    cancel(&fixture, 0).await.expect("an act");
    let over = until_over(&fixture).await;
    for user in [by_seat.user_id, by_money.user_id, other.user_id] {
        assert_eq!(fixture.balance(user).await, PLENTY);
    }
    assert_eq!(over.payments_refunded, 3);
    assert_eq!(over.amount_refunded, 150_000 + 200_000 + 150_000);
    all_blocked(&fixture).await;
    fixture.reconciled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_gets_back_what_they_paid_and_no_seat_is_left_to_buy() {
    let fixture = Fixture::open().await;
    let (first, payment) = fixture.paid(&[1, 2]).await;
    let (second, _) = fixture.paid(&[50]).await;
    let (refunded, earlier) = fixture.paid(&[30]).await;
    fixture
        .refund(0, &earlier, fixture.now)
        .await
        .expect("a refund");
    let held = fixture.reserve(Uuid::new_v4(), &[20]).await;

    let begun = cancel(&fixture, 0).await.expect("an act");
    assert_eq!((begun.finished_at, begun.reason.as_str()), (None, "Storm"));
    let late = fixture.wish(Uuid::new_v4(), &[10]);
    assert!(fixture.try_reserve(1, late, fixture.now).await.is_err());
    assert_eq!(cancel(&fixture, 1).await.expect("the same act"), begun);

    let over = until_over(&fixture).await;
    assert!(over.finished_at.is_some());
    assert_eq!((over.holds_ended, over.payments_refunded), (1, 2));
    assert_eq!(over.amount_refunded, payment.amount + second.amount);
    for (reservation, state) in [
        (&first, ReservationState::Refunded),
        (&second, ReservationState::Refunded),
        (&refunded, ReservationState::Refunded),
        (&held, ReservationState::Cancelled),
    ] {
        let seen = fixture.reservation(reservation, fixture.now).await;
        assert_eq!(seen.state, state);
    }
    for user in [first.user_id, second.user_id, refunded.user_id] {
        assert_eq!(fixture.balance(user).await, PLENTY);
    }
    all_blocked(&fixture).await;
    fixture.reconciled().await;
    let told = "SELECT COUNT(*) FROM outbox WHERE type = 'schedule.cancelled'";
    assert_eq!(fixture.number(told).await, 1);
    assert!(!advance(&fixture, 0, fixture.now).await, "nothing is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_that_buys_while_the_date_is_cancelled_ends_with_all_of_its_money() {
    let fixture = Fixture::open().await;
    let crowd = (0..200).map(|round: usize| {
        let fixture = fixture.clone();
        async move {
            if round == 60 {
                cancel(&fixture, round).await.expect("an act");
            }
            let user = fixture.rich().await;
            let seat = (round % 50) as i64 + 1;
            let wish = fixture.wish(user, &[seat]);
            if let Ok(held) = fixture.try_reserve(round, wish, fixture.now).await {
                let paid = fixture.try_pay(round + 1, &held, fixture.now).await;
                if round.is_multiple_of(7)
                    && let Ok(payment) = paid
                {
                    let _ = fixture.refund(round, &payment, fixture.now).await;
                }
            }
            advance(&fixture, round, fixture.now).await;
            user
        }
    });
    let users = all_at_once(crowd).await;
    let over = until_over(&fixture).await;
    assert!(over.finished_at.is_some());
    for user in users {
        assert_eq!(fixture.balance(user).await, PLENTY);
    }
    all_blocked(&fixture).await;
    let live = "SELECT COUNT(*) FROM reservations WHERE state IN ('held', 'confirmed')";
    assert_eq!(fixture.number(live).await, 0);
    let totals = fixture.reconciled().await.totals;
    assert_eq!(totals.payments_captured, totals.payments_refunded);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_money_goes_back_after_the_start_of_the_show_too() {
    let fixture = Fixture::open().await;
    let (reservation, _) = fixture.paid(&[1]).await;
    cancel(&fixture, 0).await.expect("an act");
    let after = fixture.now + TimeDelta::days(31);
    while advance(&fixture, 0, after).await {}
    assert_eq!(fixture.balance(reservation.user_id).await, PLENTY);
    fixture.reconciled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn blocked_seats_of_a_cancelled_date_are_never_released() {
    let fixture = Fixture::open().await;
    cancel(&fixture, 0).await.expect("an act");
    until_over(&fixture).await;
    let (id, now) = (fixture.schedule_id, fixture.now);
    let numbers = booking::seat::SeatNumbers::parse(&[1], 1).expect("a seat");
    let released = fixture.instances[0]
        .transaction(move |tx| programme::release(tx, id, &numbers, OPERATOR, now))
        .await;
    assert!(matches!(released, Err(ProgrammeError::Cancelled)));
    all_blocked(&fixture).await;
}
