//! What those ask who wait: for money of a provider, and for seats that come back.

use booking::provider::{self, Provider, Said};
use booking::reservation::{self, Limits, ReserveError, Wanted};
use booking::seat::SeatNumbers;
use booking::waitlist::{self, Join};
use booking::wallet::{Amount, Charge};
use chassis::time::Clock;
use chrono::TimeDelta;

use super::plan::Step;
use super::{Books, fill, id, page, user};
use crate::fixture::queue;

/// Orders of money, what the provider says of one, and what it is told.
pub async fn provider(books: &Books) -> Vec<Step> {
    let clock = Clock::stopped_at(books.fixture.now);
    let charge = Charge {
        request_id: id("ordered", 1),
        user_id: user(),
        amount: Amount::try_from(100).expect("an amount"),
    };
    let order = id("order", fill::PENDING_ORDER);
    let [ordering, confirming] = [(); 2].map(|()| clock.clone());
    let told = async {
        // Nobody listens there, so each order is written down as one to be tried again.
        let (url, secrets) = ("http://127.0.0.1:9".parse(), fill::SECRET.parse());
        let provider = Provider::new(url.expect("a URL"), secrets.expect("a secret"));
        let provider = provider.expect("a client");
        let step = provider.step(&books.fixture.instances[0], &clock);
        step.await.expect("a step")
    };
    [
        books
            .verb("order a charge", move |tx| {
                provider::order_charge(tx, &charge, &ordering)
            })
            .await,
        books
            .verb("show an order", move |tx| {
                provider::find(tx, user(), id("ordered", 1))
            })
            .await,
        books
            .verb("the provider has money", move |tx| {
                provider::confirm(tx, order, 100, Said::HasMoney, &confirming)
            })
            .await,
        books.written_down("tell the provider", told).await,
    ]
    .concat()
}

/// Waiting lists, and who may not buy past one.
pub async fn lists(books: &Books) -> Vec<Step> {
    let clock = Clock::stopped_at(books.fixture.now);
    let [joining, leaving, buying, offering] = [(); 4].map(|()| clock.clone());
    let date = id("schedule", fill::WAITED_FOR);
    let waiter = |number| (id("waiter", number), id("queued", number));
    let (reader, leaver) = (waiter(fill::WAITER), waiter(fill::WAITER + 4));
    let wish = Join {
        user_id: id("newcomer", 1),
        schedule_id: date,
        count: 1,
        grade: None,
        queue: queue("main"),
    };
    let mut past = books.wish(3, Wanted::Numbers(one(fill::free_seat() + 1)));
    past.schedule_id = date;
    // Those to whom seats are offered may have none, so that no hold with an id by chance comes into being.
    let none = Limits {
        unpaid_holds: 0,
        ..Limits::default()
    };
    [
        books
            .verb("join a waiting list", move |tx| {
                waitlist::join(tx, &wish, &Limits::default(), &joining)
            })
            .await,
        books
            .verb("own places in waiting lists", move |tx| {
                waitlist::entries(tx, reader.0, page())
            })
            .await,
        books
            .verb("leave a waiting list", move |tx| {
                waitlist::leave(tx, leaver.0, leaver.1, &leaving)
            })
            .await,
        books
            .verb(
                "reserve where others wait",
                move |tx| match reservation::reserve(tx, &past, &Limits::default(), &buying) {
                    Err(ReserveError::WaitlistFirst) => Ok(()),
                    other => other.map(drop),
                },
            )
            .await,
        books
            .verb("dates that are waited for", waitlist::waited_for)
            .await,
        books
            .verb("offer seats", move |tx| {
                waitlist::offer(tx, date, &none, TimeDelta::minutes(10), &offering)
            })
            .await,
        books
            .verb("offers that ended", waitlist::ended_offers)
            .await,
    ]
    .concat()
}

fn one(number: i64) -> SeatNumbers {
    SeatNumbers::parse(&[number], 1).expect("a seat")
}
