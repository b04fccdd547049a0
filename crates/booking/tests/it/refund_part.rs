//! A payment that is given back in parts: never more than was captured, each seat once, and the books agree all the time.

use booking::cancellation::CancelError;
use booking::concert::{NewSchedule, RefundRules};
use booking::payment::{Extent, PaymentState, RefundError};
use booking::programme::{self, EditDate, Expected};
use booking::reservation::ReservationState;
use booking::seat::{SeatNumbers, SeatState};
use chrono::TimeDelta;

use crate::fixture::{Fixture, OPERATOR, PLENTY, all_at_once};

const PRICE: i64 = 150_000;

fn seats(numbers: &[i64]) -> Extent {
    Extent::Seats(SeatNumbers::parse(numbers, 10).unwrap())
}

/// A date in ten days: all comes back for eight of them, a third in the ninth, nothing in the tenth.
async fn with_rules() -> Fixture {
    let fixture = Fixture::open().await;
    let starts_at = fixture.now + TimeDelta::days(10);
    let rules = RefundRules {
        full_until_s: 2 * 86_400,
        share_until_s: 86_400,
        share_percent: 33,
    };
    let change = |new: &mut NewSchedule| (new.starts_at, new.refund_rules) = (starts_at, rules);
    fixture.schedule_with(change).await
}

#[tokio::test]
async fn one_seat_of_three_comes_back_and_the_others_stay() {
    let fixture = Fixture::open().await;
    let (held, payment) = fixture.paid(&[1, 2, 3]).await;
    let now = fixture.now;
    let refunded = fixture.refund_part(0, &payment, seats(&[2]), now).await;
    let refunded = refunded.unwrap();
    assert_eq!((refunded.amount, refunded.seat_numbers), (PRICE, vec![2]));
    assert_eq!(refunded.payment.state, PaymentState::PartiallyRefunded);
    assert_eq!(refunded.payment.refunded_amount, PRICE);
    assert_eq!(fixture.balance(held.user_id).await, PLENTY - 2 * PRICE);
    assert_eq!(fixture.seat_state(2, now).await, SeatState::Available);
    assert_eq!(fixture.seat_state(3, now).await, SeatState::Sold);
    let rest = fixture.reservation(&held, now).await;
    assert_eq!(rest.state, ReservationState::Confirmed);
    assert_eq!((rest.seat_numbers(), rest.amount), (vec![1, 3], 2 * PRICE));
    fixture.reconciled().await;

    let again = fixture.refund_part(0, &payment, seats(&[2]), now).await;
    assert!(matches!(again, Err(RefundError::SeatsUnknown(numbers)) if numbers == [2]));
    // The seat is another buyer's now, and the limit has room again for the first.
    fixture.paid(&[2]).await;
    let more = fixture.wish(held.user_id, &[11, 12]);
    let more = fixture.try_reserve(0, more, now).await;
    more.expect("two and two");
    let last = fixture.refund(0, &payment, now).await.unwrap();
    assert_eq!((last.amount, last.seat_numbers), (2 * PRICE, vec![1, 3]));
    assert_eq!(last.payment.state, PaymentState::Refunded);
    assert_eq!(fixture.seat_state(2, now).await, SeatState::Sold);
    assert_eq!(fixture.balance(held.user_id).await, PLENTY);
    fixture.reconciled().await;
    let events = "'reservation.held,payment.captured,payment.partially_refunded,payment.refunded'";
    let told = format!(
        "SELECT GROUP_CONCAT(type ORDER BY seq) = {events} FROM outbox WHERE aggregate_id = x'{}'",
        held.id.simple()
    );
    assert_eq!(fixture.number(&told).await, 1);
}

#[tokio::test]
async fn money_comes_back_in_parts_until_it_is_all_and_then_the_seats_with_it() {
    let fixture = Fixture::open().await;
    let (held, payment) = fixture.paid(&[1, 2]).await;
    let part = |minor| fixture.refund_part(0, &payment, Extent::Amount(minor), fixture.now);
    let first = part(100_000).await.unwrap();
    assert_eq!(first.payment.state, PaymentState::PartiallyRefunded);
    assert!(first.seat_numbers.is_empty());
    let too_much = part(200_001).await;
    let refundable = 200_000;
    assert!(
        matches!(too_much, Err(RefundError::TooMuch { refundable: told }) if told == refundable)
    );
    fixture.reconciled().await;
    let last = part(refundable).await.unwrap();
    assert_eq!(last.payment.state, PaymentState::Refunded);
    assert_eq!(last.seat_numbers, [1, 2]);
    assert_eq!(fixture.balance(held.user_id).await, PLENTY);
    assert!(matches!(part(1).await, Err(RefundError::AlreadyRefunded)));
    fixture.reconciled().await;
}

#[tokio::test]
async fn seats_after_money_give_back_no_more_than_was_captured() {
    let fixture = Fixture::open().await;
    let (held, payment) = fixture.paid(&[1, 2]).await;
    let now = fixture.now;
    let money = Extent::Amount(2 * PRICE - 1);
    fixture.refund_part(0, &payment, money, now).await.unwrap();
    let seat = fixture.refund_part(0, &payment, seats(&[1]), now).await;
    assert_eq!(seat.unwrap().amount, 1, "all that was left");
    let last = fixture.refund(0, &payment, now).await.unwrap();
    assert_eq!((last.amount, last.seat_numbers), (0, vec![2]));
    assert_eq!(fixture.balance(held.user_id).await, PLENTY);
    fixture.reconciled().await;
}

#[tokio::test]
async fn the_rules_of_a_date_say_how_much_comes_back() {
    let fixture = with_rules().await;
    let starts_at = fixture.now + TimeDelta::days(10);
    let (held, payment) = fixture.paid(&[1, 2, 11, 12]).await;
    let late = starts_at - TimeDelta::days(2);
    let seat = fixture.refund_part(0, &payment, seats(&[1]), late).await;
    assert_eq!(seat.unwrap().amount, 49_500, "33 % of 150,000");
    let rest = fixture.refund(0, &payment, late).await.unwrap();
    assert_eq!(rest.amount, ((held.amount - PRICE) * 33 + 99) / 100);
    assert_eq!(rest.payment.state, PaymentState::Refunded);
    assert!(rest.payment.refunded_amount < held.amount);
    fixture.reconciled().await;

    let (other, payment) = fixture.paid(&[1]).await;
    let too_late = starts_at - TimeDelta::days(1);
    let refused = fixture.refund(0, &payment, too_late).await;
    assert!(matches!(refused, Err(RefundError::TooLate)));
    let cancelled = fixture.cancel(0, &other, too_late).await;
    assert!(matches!(cancelled, Err(CancelError::TooLate)));
    let early = late - TimeDelta::microseconds(1);
    let all = fixture.refund(0, &payment, early).await.unwrap();
    assert_eq!(all.amount, PRICE);
}

#[tokio::test]
async fn money_that_came_back_counts_against_the_share_of_the_seats() {
    let fixture = with_rules().await;
    let late = fixture.now + TimeDelta::days(8);
    let (_, payment) = fixture.paid(&[1, 2]).await;
    let share = (2 * PRICE * 33 + 99) / 100;
    let more = fixture.refund_part(0, &payment, Extent::Amount(share + 1), late);
    assert!(matches!(more.await, Err(RefundError::TooMuch { refundable }) if refundable == share));
    let money = fixture
        .refund_part(0, &payment, Extent::Amount(share), late)
        .await;
    assert_eq!(money.unwrap().amount, share);
    let seat = fixture.refund_part(0, &payment, seats(&[1]), late).await;
    assert_eq!(seat.unwrap().amount, 0, "its share is back already");
    let rest = fixture.refund(0, &payment, late).await.unwrap();
    assert_eq!((rest.amount, rest.payment.refunded_amount), (0, share));
    fixture.reconciled().await;
}

#[tokio::test]
async fn a_seat_that_came_back_in_full_takes_nothing_from_the_share_of_the_others() {
    let fixture = with_rules().await;
    let late = fixture.now + TimeDelta::days(8);
    let (_, payment) = fixture.paid(&[1, 2]).await;
    let early = fixture
        .refund_part(0, &payment, seats(&[1]), fixture.now)
        .await;
    assert_eq!(early.unwrap().amount, PRICE);
    let share = (PRICE * 33 + 99) / 100;
    let more = fixture
        .refund_part(0, &payment, Extent::Amount(share + 1), late)
        .await;
    assert!(matches!(more, Err(RefundError::TooMuch { refundable }) if refundable == share));
    let rest = fixture.refund(0, &payment, late).await.unwrap();
    assert_eq!((rest.amount, rest.seat_numbers), (share, vec![2]));
    fixture.reconciled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_forty_refunds_of_parts_at_once_each_seat_comes_back_once() {
    let fixture = Fixture::open().await;
    let (held, payment) = fixture.paid(&[1, 2, 3, 4]).await;
    let outcomes = all_at_once((0..40_usize).map(|turn| {
        let (fixture, payment) = (fixture.clone(), payment.clone());
        async move {
            let extent = match turn % 5 {
                4 => Extent::Amount(10_000),
                seat => seats(&[seat as i64 + 1]),
            };
            let now = fixture.now;
            fixture.refund_part(turn, &payment, extent, now).await
        }
    }))
    .await;
    let made = || outcomes.iter().flatten();
    let given: i64 = made().map(|done| done.amount).sum();
    let free = made().flat_map(|done| done.seat_numbers.clone());
    let mut free: Vec<u16> = free.collect();
    free.sort_unstable();
    assert_eq!(free, [1, 2, 3, 4]);
    let left = PLENTY - payment.amount + given;
    assert_eq!(fixture.balance(held.user_id).await, left);
    assert!(given <= payment.amount);
    fixture.reconciled().await;
}

/// An operator changes the date.
async fn edit(fixture: &Fixture, edit: EditDate) {
    let (id, now) = (fixture.schedule_id, fixture.now);
    let act = move |tx: &mut _| programme::edit_date(tx, id, &edit, &Expected::Any, OPERATOR, now);
    let edited = fixture.instances[0].transaction(act).await;
    edited.expect("a date");
}

#[tokio::test]
async fn rules_that_get_worse_after_a_payment_take_nothing_from_it_and_better_ones_are_for_all() {
    let fixture = with_rules().await;
    let (_, early) = fixture.paid(&[1]).await;
    let (_, half) = fixture.paid(&[2]).await;
    let strict = RefundRules {
        full_until_s: 9 * 86_400,
        share_until_s: 8 * 86_400,
        share_percent: 10,
    };
    let rules = |rules| EditDate {
        refund_rules: Some(rules),
        ..EditDate::default()
    };
    edit(&fixture, rules(strict)).await;
    let (_, later) = fixture.paid(&[3]).await;
    let after = |days| fixture.now + TimeDelta::days(days);
    let refused = fixture.refund(0, &later, after(5)).await;
    assert!(
        matches!(refused, Err(RefundError::TooLate)),
        "the strict rules were there when it was paid"
    );
    let all = fixture.refund(0, &early, after(5)).await.unwrap();
    assert_eq!(all.amount, PRICE, "as was said when it was paid");
    let share = fixture.refund(1, &half, after(8)).await.unwrap();
    assert_eq!(share.amount, 49_500, "33 % from the eighth day on");

    edit(&fixture, rules(RefundRules::default())).await;
    let last = after(10) - TimeDelta::microseconds(1);
    let all = fixture.refund(0, &later, last).await.unwrap();
    assert_eq!(all.amount, PRICE);
    fixture.reconciled().await;
}

#[tokio::test]
async fn a_show_that_is_moved_to_earlier_leaves_the_days_of_a_refund_until_it_starts() {
    let fixture = with_rules().await;
    let (_, first) = fixture.paid(&[1]).await;
    let (second, _) = fixture.paid(&[2]).await;
    let start = fixture.now + TimeDelta::days(1);
    let moved = EditDate {
        starts_at: Some(start),
        sales_close_at: Some(start),
        ..EditDate::default()
    };
    edit(&fixture, moved).await;
    let last = start - TimeDelta::microseconds(1);
    let all = fixture.refund(0, &first, last).await.unwrap();
    assert_eq!(all.amount, PRICE, "eight days were promised");
    let late = fixture.cancel(0, &second, start).await;
    assert!(matches!(late, Err(CancelError::ShowStarted)), "{late:?}");
    fixture.cancel(1, &second, last).await.expect("the same");
    fixture.reconciled().await;
}

#[tokio::test]
async fn a_payment_that_an_older_instance_took_comes_back_by_the_rules_of_the_date() {
    let fixture = with_rules().await;
    let (_, payment) = fixture.paid(&[1]).await;
    let older = "UPDATE payments SET refund_full_until = NULL, refund_share_until = NULL, refund_share_percent = NULL";
    assert_eq!(fixture.raw(older).await.unwrap(), 1);
    let none = RefundRules {
        full_until_s: 11 * 86_400,
        share_until_s: 11 * 86_400,
        share_percent: 0,
    };
    let strict = EditDate {
        refund_rules: Some(none),
        ..EditDate::default()
    };
    edit(&fixture, strict).await;
    let refused = fixture.refund(0, &payment, fixture.now).await;
    assert!(matches!(refused, Err(RefundError::TooLate)), "{refused:?}");
    let generous = EditDate {
        refund_rules: Some(RefundRules::default()),
        ..EditDate::default()
    };
    edit(&fixture, generous).await;
    let all = fixture.refund(0, &payment, fixture.now).await.unwrap();
    assert_eq!(all.amount, PRICE);
}
