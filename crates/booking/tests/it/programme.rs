//! Operators who change what buyers are taking at that very moment.

use booking::concert::Title;
use booking::programme::{self, Expected, ProgrammeError};
use booking::reservation::ReserveError;
use booking::seat::SeatNumbers;
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
