//! Nobody has more seats of a date than allowed, whatever is paid, held and over at the same moment.

use std::time::Duration;

use booking::db::{DbError, Id, new_id};
use booking::payment::{Pay, PayError};
use booking::programme::{self, EditDate, Expected};
use booking::reconciliation;
use booking::reservation::{Limits, ReservationState, ReserveError};
use booking::sale::Sale;
use chassis::time::{Clock, Timestamp};
use chrono::TimeDelta;
use diesel::sql_types::Binary;
use diesel::{RunQueryDsl, sql_query};
use testbed::eventually;
use uuid::Uuid;

use crate::fixture::{Fixture, OPERATOR, all_at_once, fresh, plain};

const FOUR: [i64; 4] = [1, 2, 3, 4];
const FOUR_OTHERS: [i64; 4] = [11, 12, 13, 14];
const INSTANT: TimeDelta = TimeDelta::microseconds(1);

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_waits_for_the_buyers_lock_is_judged_by_the_time_after_it() {
    let fixture = Fixture::open().await;
    let user = fixture.rich().await;
    let held = fixture.reserve(user, &FOUR).await;
    let clock = Clock::stopped_at(fixture.hold_end() - INSTANT);
    let sale = Sale {
        clock: clock.clone(),
        ..fixture.sale(0, fixture.now)
    };
    let lock = fixture.begin(1, move |tx| {
        let locked = sql_query("SELECT 1 FROM buyers WHERE user_id = ? FOR UPDATE")
            .bind::<Binary, _>(Id(user))
            .execute(tx);
        Ok::<_, DbError>(locked?)
    });
    let lock = lock.await;
    let pay = Pay {
        payment_id: new_id(fixture.now),
        user_id: user,
        reservation_id: held.id,
    };
    let paying = tokio::spawn(async move { fresh(sale.pay(pay, plain()).await) });
    eventually(Duration::from_secs(30), "a wait for the lock", async || {
        fixture.is_at("INSERT INTO buyers").await.then_some(())
    })
    .await;
    clock.advance(Duration::from_micros(1));
    lock.commit().await;
    let paid = paying.await.unwrap();
    assert!(matches!(paid, Err(PayError::HoldExpired)), "{paid:?}");
}

#[tokio::test]
async fn a_hold_that_the_limit_no_longer_counts_is_over_by_every_clock() {
    let fixture = Fixture::open().await;
    let user = fixture.rich().await;
    let first = fixture.reserve(user, &FOUR).await;
    let wish = fixture.wish(user, &FOUR_OTHERS);
    let second = fixture.try_reserve(0, wish, fixture.hold_end()).await;
    let second = second.expect("the first is over");
    // The clock of the other instance is five seconds behind.
    let behind = fixture.hold_end() - TimeDelta::seconds(5);
    let late = fixture.try_pay(1, &first, behind).await;
    assert!(matches!(late, Err(PayError::HoldExpired)), "{late:?}");
    let stored = fixture.reservation(&first, fixture.now).await;
    assert_eq!(stored.state, ReservationState::Expired);
    fixture.try_pay(1, &second, behind).await.unwrap();
    let expired = "SELECT COUNT(*) FROM outbox WHERE type = 'reservation.expired'";
    assert_eq!(fixture.number(expired).await, 1);
    fixture.reconciled().await;
}

/// Pays four seats at the last moment and takes four others at the next, at once; whatever is held then is paid too.
async fn twice_four(fixture: Fixture, round: usize) {
    let user = fixture.rich().await;
    let first = fixture.reserve(user, &FOUR).await;
    let skew = TimeDelta::microseconds([-2, -1, 0, 1][round % 4]);
    let end = fixture.hold_end();
    let wish = fixture.wish(user, &FOUR_OTHERS);
    let (_, taken) = tokio::join!(
        fixture.try_pay(round, &first, end - INSTANT),
        fixture.try_reserve(round + 1, wish, end + skew),
    );
    if let Ok(second) = taken {
        let _ = fixture.try_pay(round, &second, end + skew).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn four_paid_at_the_end_of_their_hold_and_four_others_right_after_are_never_eight() {
    let fixture = Fixture::open().await;
    let mut venues = Vec::new();
    for _ in 0..40 {
        venues.push(fixture.another_schedule().await);
    }
    all_at_once(
        venues
            .into_iter()
            .enumerate()
            .map(|(n, it)| twice_four(it, n)),
    )
    .await;
    let most = "SELECT MAX(n) FROM (SELECT COUNT(*) AS n FROM seats WHERE state = 'sold' GROUP BY holder_id, schedule_id) AS sold";
    assert_eq!(fixture.number(most).await, 4);
    fixture.reconciled().await;
}

#[tokio::test]
async fn holding_again_and_again_without_paying_comes_to_an_end() {
    let mut fixture = Fixture::open().await;
    fixture.limits = Limits {
        unpaid_holds: 3,
        ..fixture.limits
    };
    let user = fixture.rich().await;
    let mut now = fixture.now;
    for round in 0..3 {
        let wish = fixture.wish(user, &[7]);
        let held = fixture.try_reserve(0, wish, now).await.unwrap();
        // Given back or left to expire: both count.
        if round == 1 {
            fixture.cancel(0, &held, now).await.unwrap();
        }
        now += fixture.limits.hold;
    }
    let refused = fixture.try_reserve(0, fixture.wish(user, &[7]), now).await;
    assert!(
        matches!(refused, Err(ReserveError::TooManyHolds { held: 3 })),
        "{refused:?}"
    );
    let other = fixture.wish(Uuid::new_v4(), &[7]);
    fixture
        .try_reserve(0, other, now)
        .await
        .expect("another user");
    let tomorrow = now + TimeDelta::hours(24);
    let forgiven = fixture.try_reserve(0, fixture.wish(user, &[8]), tomorrow);
    let held = forgiven.await.expect("a day later");
    fixture.try_pay(0, &held, tomorrow).await.unwrap();
    for _ in 0..3 {
        let again = fixture.try_reserve(0, fixture.wish(user, &[9]), tomorrow);
        let held = again.await.expect("the count begins anew after a payment");
        fixture.cancel(0, &held, tomorrow).await.unwrap();
    }
}

#[tokio::test]
async fn a_hold_ends_when_the_show_starts() {
    let fixture = Fixture::open().await;
    let start = fixture.now + TimeDelta::minutes(2);
    let fixture = fixture.schedule_with(|new| new.starts_at = start).await;
    let user = fixture.rich().await;
    let held = fixture.reserve(user, &[1]).await;
    assert_eq!(held.hold_expires_at, start);
    let late = fixture.try_pay(0, &held, start).await;
    assert!(matches!(late, Err(PayError::HoldExpired)), "{late:?}");
}

#[tokio::test]
async fn a_limit_that_is_lowered_under_what_people_have_is_no_difference() {
    let fixture = Fixture::open().await;
    fixture.paid(&FOUR).await;
    fixture.reserve(Uuid::new_v4(), &FOUR_OTHERS).await;
    let now = fixture.now;
    let lower = EditDate {
        max_seats_per_user: Some(Some(1)),
        ..EditDate::default()
    };
    edit_date(&fixture, lower).await;
    let wish = fixture.wish(Uuid::new_v4(), &[21, 22]);
    let refused = fixture.try_reserve(0, wish, now).await;
    assert!(
        matches!(refused, Err(ReserveError::TooManySeats { max: 1, has: 0 })),
        "{refused:?}"
    );
    fixture.paid(&[21]).await;
    let most = fixture.limits.seats_per_user;
    let check = move |conn: &mut _| reconciliation::check(conn, now, most);
    let report = fixture.instances[0].read(check).await.expect("a report");
    assert_eq!(report.differences, []);
}

/// Moves the start of the show, and its sales with it.
async fn move_start(fixture: &Fixture, to: Timestamp) {
    let earlier = EditDate {
        starts_at: Some(to),
        sales_open_at: Some(to - TimeDelta::hours(1)),
        sales_close_at: Some(to),
        ..EditDate::default()
    };
    edit_date(fixture, earlier).await;
}

/// Changes the date as an operator does.
async fn edit_date(fixture: &Fixture, edit: EditDate) {
    let (id, now) = (fixture.schedule_id, fixture.now);
    let edit = move |tx: &mut _| programme::edit_date(tx, id, &edit, &Expected::Any, OPERATOR, now);
    let edited = fixture.instances[0].transaction(edit);
    edited.await.expect("a change of the date");
}

#[tokio::test]
async fn a_show_that_starts_earlier_ends_the_holds_that_would_last_longer() {
    let fixture = Fixture::open().await;
    let user = fixture.rich().await;
    let held = fixture.reserve(user, &[1, 2]).await;
    let paid = fixture.reserve(user, &[3]).await;
    fixture.try_pay(0, &paid, fixture.now).await.unwrap();
    let start = fixture.now + TimeDelta::minutes(2);
    move_start(&fixture, start).await;
    let seen = fixture.reservation(&held, fixture.now).await;
    assert_eq!(seen.hold_expires_at, start);
    let of_seats = "SELECT COUNT(*) FROM seats t JOIN reservations r ON r.id = t.reservation_id \
        JOIN schedules d ON d.id = t.schedule_id \
        WHERE t.hold_expires_at = d.starts_at AND r.hold_expires_at = d.starts_at";
    assert_eq!(fixture.number(of_seats).await, 2);
    let late = fixture.try_pay(0, &held, start).await;
    assert!(matches!(late, Err(PayError::HoldExpired)), "{late:?}");
    // A start before the hold was made: it is over at once.
    let other = fixture.reserve(fixture.rich().await, &[5]).await;
    move_start(&fixture, fixture.now - TimeDelta::days(1)).await;
    let late = fixture.try_pay(1, &other, fixture.now + INSTANT).await;
    assert!(matches!(late, Err(PayError::HoldExpired)), "{late:?}");
    assert_eq!(
        fixture.expire(0, fixture.now + INSTANT, 10).await.unwrap(),
        2
    );
    fixture.reconciled().await;
}

#[tokio::test]
async fn a_hold_that_was_made_while_the_start_was_moved_is_over_at_the_start() {
    let fixture = Fixture::open().await;
    let held = fixture.reserve(fixture.rich().await, &[1]).await;
    let moved = "UPDATE schedules d JOIN reservations r ON r.schedule_id = d.id \
        SET d.sales_close_at = r.created_at + INTERVAL 1 MINUTE, d.starts_at = r.created_at + INTERVAL 1 MINUTE";
    fixture.raw(moved).await.unwrap();
    let start = fixture.now + TimeDelta::minutes(1);
    assert_eq!(
        fixture
            .reservation(&held, fixture.now)
            .await
            .hold_expires_at,
        start
    );
    let late = fixture.try_pay(0, &held, start).await;
    assert!(matches!(late, Err(PayError::HoldExpired)), "{late:?}");
    fixture.try_pay(0, &held, start - INSTANT).await.unwrap();
}
