//! The waiting list with two instances that offer at the same moment, and users who join and leave meanwhile.

use std::time::Duration;

use booking::audit;
use booking::concert::Grade;
use booking::db::{DbError, Id};
use booking::integrity;
use booking::payment::{Extent, Payment};
use booking::reservation::{Best, Reserve, ReserveError, Wanted};
use booking::seat::SeatNumbers;
use booking::waitlist::{self, Join, WaitlistError};
use chassis::time::Clock;
use chrono::TimeDelta;
use diesel::sql_types::Binary;
use diesel::{RunQueryDsl, sql_query};
use serde_json::{Value, json};
use testbed::eventually;
use uuid::Uuid;

use crate::fixture::{Fixture, all_at_once, queue};

const HOLD: TimeDelta = TimeDelta::minutes(10);

async fn join(fixture: &Fixture, turn: usize, user_id: Uuid) -> Result<Uuid, WaitlistError> {
    join_for(fixture, turn, user_id, (1, None)).await
}

async fn join_for(
    fixture: &Fixture,
    turn: usize,
    user_id: Uuid,
    (count, grade): (u16, Option<&str>),
) -> Result<Uuid, WaitlistError> {
    let grade = grade.map(|grade| Grade::try_from(grade.to_owned()).expect("a grade"));
    let wish = Join {
        user_id,
        schedule_id: fixture.schedule_id,
        count,
        grade,
        queue: queue("main"),
    };
    let (limits, clock) = (fixture.limits, Clock::stopped_at(fixture.now));
    let joined = fixture
        .db(turn)
        .transaction(move |tx| waitlist::join(tx, &wish, &limits, &clock));
    joined.await.map(|waiting| waiting.entry.id)
}

async fn leave(fixture: &Fixture, turn: usize, user: Uuid, id: Uuid) -> Result<(), WaitlistError> {
    let clock = Clock::stopped_at(fixture.now);
    fixture
        .db(turn)
        .transaction(move |tx| waitlist::leave(tx, user, id, &clock))
        .await
}

/// One step; whom it offered seats.
async fn offer(fixture: &Fixture, turn: usize) -> Vec<Uuid> {
    let (id, limits) = (fixture.schedule_id, fixture.limits);
    let clock = Clock::stopped_at(fixture.now);
    let offered = fixture
        .db(turn)
        .transaction(move |tx| waitlist::offer(tx, id, &limits, HOLD, &clock))
        .await
        .expect("a step ends well");
    let held = offered.reservations.into_iter();
    held.map(|reservation| reservation.user_id).collect()
}

/// A house whose fifty seats are sold, two by two. Returns the payments.
async fn sold_out(fixture: &Fixture) -> Vec<Payment> {
    let mut payments = Vec::new();
    for seat in (1..=50).step_by(2) {
        payments.push(fixture.paid(&[seat, seat + 1]).await.1);
    }
    payments
}

#[tokio::test(flavor = "multi_thread")]
async fn steps_of_two_instances_offer_each_seat_once_and_to_the_first_who_wait() {
    let fixture = Fixture::open().await;
    let payments = sold_out(&fixture).await;
    let mut waiting = Vec::new();
    for turn in 0..10 {
        let user = Uuid::new_v4();
        join(&fixture, turn, user).await.expect("a place");
        waiting.push(user);
    }
    let acts = (0..16).map(|turn| {
        let (fixture, payment) = (fixture.clone(), payments.get(turn / 4).cloned());
        async move {
            if let (0, Some(payment)) = (turn % 4, payment) {
                fixture
                    .refund(turn, &payment, fixture.now)
                    .await
                    .expect("a refund");
            }
            let stranger = fixture.wish(Uuid::new_v4(), &[(turn % 8) as i64 + 1]);
            let past = fixture.try_reserve(turn, stranger, fixture.now).await;
            assert!(past.is_err(), "somebody bought past the list");
            offer(&fixture, turn).await
        }
    });
    let mut served: Vec<Uuid> = all_at_once(acts).await.into_iter().flatten().collect();
    served.extend(offer(&fixture, 0).await);
    let (mut served, mut first) = (served, waiting[..8].to_vec());
    served.sort_unstable();
    first.sort_unstable();
    assert_eq!(
        served, first,
        "eight seats came back, so the first eight have one each"
    );
    assert_eq!(fixture.number("SELECT waiting FROM schedules").await, 2);
    fixture.reconciled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_twenty_equal_wishes_of_a_user_one_place_comes_and_leaving_twice_is_one() {
    let fixture = Fixture::open().await;
    sold_out(&fixture).await;
    let user = Uuid::new_v4();
    let joins = (0..20).map(|turn| {
        let fixture = fixture.clone();
        async move { join(&fixture, turn, user).await.expect("a place") }
    });
    let places = all_at_once(joins).await;
    assert!(places.iter().all(|id| *id == places[0]), "{places:?}");
    assert_eq!(fixture.number("SELECT waiting FROM schedules").await, 1);
    let leaves = (0..10).map(|turn| {
        let (fixture, id) = (fixture.clone(), places[0]);
        async move { leave(&fixture, turn, user, id).await }
    });
    for left in all_at_once(leaves).await {
        left.expect("leaving is always fine");
    }
    assert_eq!(fixture.number("SELECT waiting FROM schedules").await, 0);
    assert_eq!(
        acts(&fixture, user).await,
        ["waitlist_left", "waitlist_joined"]
    );
    fixture.reconciled().await;
}

/// What the audit log says that this user did, the latest first.
async fn acts(fixture: &Fixture, user: Uuid) -> Vec<String> {
    let id = fixture.schedule_id;
    let rows = fixture.instances[0].read(move |conn| audit::by(conn, user, &[id]));
    let rows = rows.await.expect("rows").into_iter();
    rows.map(|row| row.action).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_joins_and_who_leaves_is_in_the_audit_log_and_under_its_seals() {
    let fixture = Fixture::open().await;
    sold_out(&fixture).await;
    let (user, other) = (Uuid::new_v4(), Uuid::new_v4());
    let place = join_for(&fixture, 0, user, (2, Some("VIP"))).await;
    let place = place.expect("a place");
    join(&fixture, 1, other).await.expect("a place");
    let strange = leave(&fixture, 0, other, place).await;
    assert!(matches!(strange, Err(WaitlistError::EntryNotFound)));
    leave(&fixture, 1, user, place).await.expect("out");
    assert_eq!(acts(&fixture, other).await, ["waitlist_joined"]);

    let (id, filter) = (
        fixture.schedule_id,
        audit::Filter {
            user_id: Some(user),
            ..audit::Filter::default()
        },
    );
    let rows = fixture.instances[0].read(move |conn| audit::list(conn, &filter, 10));
    let rows = rows.await.expect("rows");
    assert_eq!(rows.len(), 2, "{rows:?}");
    let wish = json!({ "entryId": place, "count": 2, "grade": "VIP" });
    for (row, action) in rows.iter().zip(["waitlist_left", "waitlist_joined"]) {
        let detail: Value = serde_json::from_str(&row.detail).expect("JSON");
        assert_eq!((row.action.as_str(), &detail), (action, &wish));
        let entity = (row.entity.as_str(), row.entity_id, row.actor.as_str());
        assert_eq!((entity, row.at), (("schedule", id, "user"), fixture.now));
    }

    let now = fixture.now;
    let seal = fixture.instances[0].transaction(move |tx| integrity::seal(tx, now));
    seal.await.expect("a seal");
    fixture.reconciled().await;
    let forged =
        "UPDATE audit_log SET detail = REPLACE(detail, 'VIP', 'R') WHERE action = 'waitlist_left'";
    assert_eq!(fixture.raw(forged).await.expect("it runs"), 1);
    let breaks = fixture.instances[0].read(integrity::verify_all).await;
    assert_eq!(breaks.expect("an answer").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_list_for_one_grade_keeps_nobody_from_seats_of_another() {
    let fixture = Fixture::open().await;
    let payments = sold_out(&fixture).await;
    for turn in 0..205 {
        let vip = join_for(&fixture, turn, Uuid::new_v4(), (1, Some("VIP"))).await;
        vip.expect("a place");
    }
    let last = Uuid::new_v4();
    let economy = join_for(&fixture, 0, last, (1, Some("ECONOMY"))).await;
    economy.expect("a place");
    let cheapest = payments.last().expect("a payment");
    fixture
        .refund(0, cheapest, fixture.now)
        .await
        .expect("a refund");
    assert_eq!(offer(&fixture, 0).await, [last]);
    // The other of the two seats serves nobody in the list.
    let stranger = fixture.wish(Uuid::new_v4(), &[49]);
    let other = fixture.wish(Uuid::new_v4(), &[50]);
    let [first, second] = [stranger, other].map(|wish| fixture.try_reserve(1, wish, fixture.now));
    assert_eq!(
        [first.await.is_ok(), second.await.is_ok()]
            .iter()
            .filter(|it| **it)
            .count(),
        1
    );
    fixture.reconciled().await;
}

/// What becomes of a wish that waits for its buyer's lock while a payment, or a part of it, is given back.
async fn overtaken_by_a_refund(
    fixture: &Fixture,
    wish: Reserve,
    payment: &Payment,
    part: Extent,
) -> Result<Vec<u16>, ReserveError> {
    let (user, date) = (wish.user_id, wish.schedule_id);
    let lock = fixture.begin(1, move |tx| {
        let insert = sql_query("INSERT INTO buyers VALUES (?, ?, NOW(6))")
            .bind::<Binary, _>(Id(date))
            .bind::<Binary, _>(Id(user));
        Ok::<_, DbError>(insert.execute(tx)?)
    });
    let lock = lock.await;
    let (reserving, now) = (fixture.clone(), fixture.now);
    let reserving = tokio::spawn(async move { reserving.try_reserve(0, wish, now).await });
    eventually(Duration::from_secs(30), "a wait for the lock", async || {
        fixture.is_at("INSERT INTO buyers (").await.then_some(())
    })
    .await;
    let back = fixture.refund_part(1, payment, part, now).await;
    back.expect("a refund");
    lock.commit().await;
    let held = reserving.await.unwrap()?;
    Ok(held.seat_numbers())
}

fn best(fixture: &Fixture, count: i64) -> Reserve {
    Reserve {
        seats: Wanted::Best(Best::parse(count, None, 4).unwrap()),
        ..fixture.wish(Uuid::new_v4(), &[1])
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_best_seats_that_come_back_while_a_wish_waits_for_its_buyer_are_those_of_the_list() {
    let fixture = Fixture::open().await;
    let payments = sold_out(&fixture).await;
    let first = Uuid::new_v4();
    let place = join_for(&fixture, 0, first, (1, Some("VIP"))).await;
    place.expect("a place");
    // Seats of another grade serve nobody in the list.
    let economy = overtaken_by_a_refund(&fixture, best(&fixture, 1), &payments[24], Extent::Rest);
    assert_eq!(economy.await.expect("a seat"), [49]);
    let past = overtaken_by_a_refund(&fixture, best(&fixture, 2), &payments[0], Extent::Rest).await;
    assert!(matches!(past, Err(ReserveError::WaitlistFirst)), "{past:?}");
    assert_eq!(offer(&fixture, 0).await, [first]);
    fixture.reconciled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seat_that_only_with_another_serves_the_list_is_not_taken_once_the_other_is_back() {
    let fixture = Fixture::open().await;
    let payments = sold_out(&fixture).await;
    let pair = Uuid::new_v4();
    let place = join_for(&fixture, 0, pair, (2, None)).await;
    place.expect("a place");
    let [one, two] = [1, 2].map(|seat| Extent::Seats(SeatNumbers::parse(&[seat], 1).unwrap()));
    let back = fixture.refund_part(0, &payments[0], one, fixture.now).await;
    back.expect("a refund");
    assert_eq!(offer(&fixture, 0).await, Vec::<Uuid>::new());
    let wish = fixture.wish(Uuid::new_v4(), &[1]);
    let past = overtaken_by_a_refund(&fixture, wish, &payments[0], two).await;
    assert!(matches!(past, Err(ReserveError::WaitlistFirst)), "{past:?}");
    assert_eq!(offer(&fixture, 0).await, [pair]);
    fixture.reconciled().await;
}
