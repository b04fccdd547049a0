//! What operators ask when they change what is sold.

use booking::concert::{Grade, Price};
use booking::programme::{self, EditConcert, EditDate, Expected};
use booking::seat::SeatNumbers;
use chassis::time::Clock;

use super::plan::Step;
use super::{Books, fill, id, page, rows};
use crate::fixture::{OPERATOR, title};

/// The programme.
async fn looks(books: &Books) -> Vec<Step> {
    let (now, concert) = (books.fixture.now, books.fixture.concert_id);
    let date = id("schedule", fill::WAITED_FOR);
    [
        books
            .verb("programme", move |tx| programme::concerts(tx, page()))
            .await,
        books
            .verb("dates of the programme", move |tx| {
                programme::dates(tx, concert, now)
            })
            .await,
        books
            .verb("seats of the programme", move |tx| {
                programme::seats(tx, date, now)
            })
            .await,
    ]
    .concat()
}

/// The programme, and changes of it.
pub async fn edits(books: &Books) -> Vec<Step> {
    let (now, concert) = (books.fixture.now, books.fixture.concert_id);
    let date = id("schedule", fill::WAITED_FOR);
    let [changed, closed, removed] =
        [0, 1, 2].map(|after| id("schedule", fill::without_seats(rows()) + after));
    let renamed = EditConcert {
        title: Some(title("Another evening")),
        ..EditConcert::default()
    };
    let grade = Grade::try_from("ALL".to_owned()).expect("a grade");
    let price = Price::try_from(110).expect("a price");
    let repriced = EditDate {
        prices: vec![(grade, price)],
        ..EditDate::default()
    };
    let shown = EditDate {
        hidden: Some(false),
        ..EditDate::default()
    };
    let last = fill::free_seat() + 2;
    let seats = SeatNumbers::parse(&[last, last + 1], 2).expect("seats");
    let reason = title("A camera stands there");
    let freed = seats.clone();
    [
        looks(books).await,
        books
            .verb("edit a concert", move |tx| {
                programme::edit_concert(tx, concert, &renamed, &Expected::Any, OPERATOR, now)
            })
            .await,
        books
            .verb("edit a date", move |tx| {
                programme::edit_date(tx, changed, &shown, &Expected::Any, OPERATOR, now)
            })
            .await,
        books
            .verb("change prices", move |tx| {
                programme::edit_date(tx, date, &repriced, &Expected::Any, OPERATOR, now)
            })
            .await,
        books
            .verb("close a date", move |tx| {
                programme::close(tx, closed, OPERATOR, now)
            })
            .await,
        books
            .verb("block seats", move |tx| {
                programme::block(tx, date, &seats, &reason, OPERATOR, now)
            })
            .await,
        books
            .verb("release seats", move |tx| {
                programme::release(tx, date, &freed, OPERATOR, now)
            })
            .await,
        books
            .verb("remove a date", move |tx| {
                programme::remove_date(tx, removed, &Expected::Any, OPERATOR, now)
            })
            .await,
    ]
    .concat()
}

/// The cancellation of a date of which nothing was sold: what a step gives back is asked as by those who give back.
pub async fn cancellation(books: &Books) -> Vec<Step> {
    let now = books.fixture.now;
    let date = id("schedule", fill::without_seats(rows()) + 3);
    let (reason, clock) = (title("The singer is ill"), Clock::stopped_at(now));
    [
        books
            .verb("cancel a date", move |tx| {
                programme::cancel_date(tx, date, &reason, "tests", now)
            })
            .await,
        books
            .verb("a cancellation to go on with", programme::is_cancelling)
            .await,
        books
            .verb("how far a cancellation is", move |tx| {
                programme::cancellation(tx, date)
            })
            .await,
        books
            .verb("what is left of a cancellation", move |tx| {
                programme::left(tx, date)
            })
            .await,
        books
            .verb("a step of a cancellation", move |tx| {
                programme::advance(tx, &clock)
            })
            .await,
    ]
    .concat()
}
