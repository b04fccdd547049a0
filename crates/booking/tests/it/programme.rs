//! Operators who change what buyers are taking at that very moment.

use std::time::Duration;

use booking::concert::Title;
use booking::db::{DbError, Id};
use booking::programme::{self, EditDate, Expected, ProgrammeError};
use booking::reservation::ReserveError;
use booking::seat::SeatNumbers;
use chrono::TimeDelta;
use diesel::sql_types::Binary;
use diesel::{RunQueryDsl, sql_query};
use testbed::eventually;
use uuid::Uuid;

use crate::fixture::{Fixture, OPERATOR, all_at_once};

async fn block(fixture: &Fixture, turn: usize, seat: i64) -> Result<(), ProgrammeError> {
    let (id, now) = (fixture.schedule_id, fixture.now);
    let numbers = SeatNumbers::parse(&[seat], 1).expect("a seat");
    let reason = Title::try_from("Camera".to_owned()).expect("a reason");
    fixture
        .db(turn)
        .transaction(move |tx| programme::block(tx, id, &numbers, &reason, OPERATOR, now))
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_buyer_and_an_operator_who_blocks_each_seat_goes_to_exactly_one() {
    let fixture = Fixture::open().await;
    let races = (1..=50_i64).map(|seat| {
        let fixture = fixture.clone();
        async move {
            let wish = fixture.wish(Uuid::new_v4(), &[seat]);
            let turn = seat as usize;
            let (bought, blocked) = tokio::join!(
                fixture.try_reserve(turn, wish, fixture.now),
                block(&fixture, turn + 1, seat),
            );
            match (bought, blocked) {
                (Ok(_), Err(ProgrammeError::SeatTaken(_))) => 1,
                (Err(ReserveError::SeatTaken(_)), Ok(())) => 0,
                other => panic!("seat {seat} went to both or to nobody: {other:?}"),
            }
        }
    });
    let bought: i64 = all_at_once(races).await.into_iter().sum();
    let held = "SELECT COUNT(*) FROM seats WHERE state = 'held'";
    assert_eq!(fixture.number(held).await, bought);
    let blocked = "SELECT COUNT(*) FROM seats WHERE state = 'blocked'";
    assert_eq!(fixture.number(blocked).await, 50 - bought);
    fixture.reconciled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_date_is_removed_or_bought_but_never_both() {
    let first = Fixture::open().await;
    let mut dates = Vec::new();
    for _ in 0..20 {
        dates.push(first.another_schedule().await);
    }
    let races = dates
        .into_iter()
        .enumerate()
        .map(|(turn, date)| async move {
            let wish = date.wish(Uuid::new_v4(), &[7]);
            let (id, now) = (date.schedule_id, date.now);
            let (bought, removed) = tokio::join!(
                date.try_reserve(turn, wish, now),
                date.db(turn + 1).transaction(move |tx| {
                    programme::remove_date(tx, id, &Expected::Any, OPERATOR, now)
                }),
            );
            match (&bought, &removed) {
                (Ok(_), Err(ProgrammeError::Sold)) | (Err(_), Ok(())) => {}
                other => panic!("both or neither: {other:?}"),
            }
            let left = format!(
                "SELECT COUNT(*) FROM seats WHERE schedule_id = UNHEX('{}')",
                id.simple()
            );
            assert_eq!(
                date.number(&left).await,
                if bought.is_ok() { 50 } else { 0 }
            );
        });
    all_at_once(races).await;
    first.reconciled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_ten_who_edit_one_version_exactly_one_does() {
    let fixture = Fixture::open().await;
    let edits = (0..10).map(|turn| {
        let fixture = fixture.clone();
        async move {
            let (id, now) = (fixture.schedule_id, fixture.now);
            let edit = programme::EditDate {
                max_seats_per_user: Some(Some(turn + 1)),
                ..programme::EditDate::default()
            };
            let expected = Expected::OneOf(vec![1]);
            fixture
                .db(turn.into())
                .transaction(move |tx| {
                    programme::edit_date(tx, id, &edit, &expected, OPERATOR, now)
                })
                .await
        }
    });
    let outcomes = all_at_once(edits).await;
    let won = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert_eq!(won, 1);
    for outcome in outcomes.into_iter().filter_map(Result::err) {
        assert!(matches!(outcome, ProgrammeError::VersionMismatch(2)));
    }
    assert_eq!(fixture.number("SELECT version FROM schedules").await, 2);
}

/// Holds, with their seats, that are stored to end when their show starts.
const UNTIL_START: &str = "SELECT COUNT(*) FROM reservations r JOIN schedules d ON d.id = r.schedule_id \
    JOIN seats t ON t.reservation_id = r.id WHERE r.state = 'held' AND t.state = 'held' \
    AND r.hold_expires_at = d.starts_at AND t.hold_expires_at = d.starts_at";

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_of_a_buyer_who_read_the_old_start_of_the_show_ends_at_the_new_one() {
    let fixture = Fixture::open().await;
    let (user, date, now) = (Uuid::new_v4(), fixture.schedule_id, fixture.now);
    let lock = fixture.begin(1, move |tx| {
        let insert = sql_query("INSERT INTO buyers VALUES (?, ?, NOW(6))")
            .bind::<Binary, _>(Id(date))
            .bind::<Binary, _>(Id(user));
        Ok::<_, DbError>(insert.execute(tx)?)
    });
    let lock = lock.await;
    let (reserving, wish) = (fixture.clone(), fixture.wish(user, &[1, 2]));
    let reserving = tokio::spawn(async move { reserving.try_reserve(0, wish, now).await });
    eventually(Duration::from_secs(30), "a wait for the lock", async || {
        fixture.is_at("INSERT INTO buyers (").await.then_some(())
    })
    .await;
    let moved = "UPDATE schedules SET starts_at = starts_at - INTERVAL 30 DAY + INTERVAL 1 MINUTE, \
        sales_close_at = starts_at";
    assert_eq!(fixture.raw(moved).await.expect("it runs"), 1);
    lock.commit().await;
    let held = reserving.await.expect("no panic").expect("free seats");
    assert_eq!(held.hold_expires_at, now + TimeDelta::minutes(1));
    assert_eq!(fixture.number(UNTIL_START).await, 2);
    fixture.reconciled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_of_a_new_buyer_who_comes_while_the_show_is_moved_waits_for_nothing_and_ends_at_its_start()
 {
    let fixture = Fixture::open().await;
    let (id, now) = (fixture.schedule_id, fixture.now);
    let start = now + TimeDelta::minutes(1);
    let edit = EditDate {
        starts_at: Some(start),
        sales_close_at: Some(start),
        ..EditDate::default()
    };
    let moving = fixture.begin(1, move |tx| {
        programme::edit_date(tx, id, &edit, &Expected::Any, OPERATOR, now)
    });
    let moving = moving.await;
    let held = fixture.reserve(Uuid::new_v4(), &[1]).await;
    assert_eq!(held.hold_expires_at, fixture.hold_end());
    moving.commit().await;
    let end = move |tx: &mut _| programme::end_at_start(tx, id, OPERATOR, now);
    let ended = fixture.db(0).transaction(end).await;
    assert_eq!(ended.expect("it ends"), 1);
    let again = fixture.db(1).transaction(end).await;
    assert_eq!(again.expect("it ends"), 0);
    assert_eq!(fixture.number(UNTIL_START).await, 1);
    fixture.reconciled().await;
}
