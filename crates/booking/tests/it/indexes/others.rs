//! What the forwarder, the publisher, the desk and the steps behind a sale ask.

use booking::audit;
use booking::forwarder::{self, Receipt};
use booking::outbox::{self, Ended, Ending};
use booking::payment;
use booking::reservation::{self, After, Filter};
use booking::{integrity, subject, waitlist};
use chrono::TimeDelta;

use super::plan::Step;
use super::{Books, fill, id, number, page, user};

/// The forwarder and the publisher.
pub async fn events(books: &Books) -> Vec<Step> {
    let (now, owner) = (books.fixture.now, id("owner", 2));
    let until = now + TimeDelta::seconds(30);
    let long_ago = fill::long_ago(now);
    let receipt = |number: u32| Receipt {
        event_id: id("event", number),
        receiver: fill::RECEIVER.to_owned(),
        owner,
    };
    let (tried, hopeless) = (receipt(number()), receipt(number() + 1));
    let asked = [tried.event_id, id("unseen", 1)];
    let delivered = [asked[1]];
    let seq = i64::from(number());
    let ended = |seq: i64, ending| Ended { seq, ending };
    let reason = || "away".to_owned();
    let ended = [
        ended(seq, Ending::Delivered),
        ended(
            seq + 1,
            Ending::Failed {
                again_at: until,
                refused: true,
                reason: reason(),
            },
        ),
        ended(seq + 2, Ending::Dead { reason: reason() }),
    ];
    [
        books
            .verb("renew events", move |tx| {
                outbox::renew(tx, owner, &[seq, seq + 1], until)
            })
            .await,
        books
            .verb("write off events", move |tx| {
                outbox::write_endings(tx, owner, &ended, now)
            })
            .await,
        books
            .verb("dead letters", move |tx| outbox::dead_letters(tx, page()))
            .await,
        books
            .verb("claim receipts", move |tx| {
                forwarder::claim_all(tx, (fill::RECEIVER, owner), &asked, now, until)
            })
            .await,
        books
            .verb("write receipts", move |tx| {
                forwarder::delivered_all(tx, fill::RECEIVER, &delivered, now)
            })
            .await,
        books
            .verb("a delivery failed", move |tx| {
                forwarder::failed(tx, &tried, true, "away", now)
            })
            .await,
        books
            .verb("a delivery is given up", move |tx| {
                forwarder::dead(tx, &hopeless, "away", now)
            })
            .await,
        books
            .verb("forget receipts", move |tx| {
                forwarder::forget(tx, long_ago, 1_000)
            })
            .await,
    ]
    .concat()
}

/// Whom the books are about, and what the desk is shown.
pub async fn desk(books: &Books) -> Vec<Step> {
    let (now, date, user) = (books.fixture.now, books.fixture.schedule_id, user());
    // Before all others, in letters that the log shows.
    let before_all = id("", 0);
    let first = After {
        user_id: before_all,
        reservation_id: before_all,
    };
    let filter = audit::Filter {
        entity_id: Some(id("reserved", number())),
        ..audit::Filter::default()
    };
    [
        books
            .verb("who writes", move |tx| {
                subject::find(tx, id("person", number()))
            })
            .await,
        books
            .verb("who asks", move |tx| {
                subject::look(tx, id("person", number()))
            })
            .await,
        books
            .verb("who subjects are", move |tx| {
                subject::persons(tx, &[user, id("user", number() - 1)])
            })
            .await,
        books
            .verb("reservations of a date", move |tx| {
                reservation::of_date(tx, date, Filter::default(), first, 50, now)
            })
            .await,
        books
            .verb("payments of a date", move |tx| {
                payment::of_date(tx, date, None, None, first, 50)
            })
            .await,
        books
            .verb("buyers of a date", move |tx| {
                reservation::buyers_of(tx, (date, None), before_all, 50, now)
            })
            .await,
        books
            .verb("payments of a customer", move |tx| {
                payment::of_user(tx, user)
            })
            .await,
        books
            .verb("history of a thing", move |tx| audit::list(tx, &filter, 50))
            .await,
        books
            .verb("own places in waiting lists", move |tx| {
                waitlist::entries(tx, user, page())
            })
            .await,
    ]
    .concat()
}

/// Waiting lists and seals.
pub async fn steps(books: &Books) -> Vec<Step> {
    let now = books.fixture.now;
    [
        books
            .verb("dates that are waited for", waitlist::waited_for)
            .await,
        books
            .verb("offers that ended", waitlist::ended_offers)
            .await,
        books.verb("something to seal", integrity::is_due).await,
        books
            .verb("how far seals are behind", move |tx| {
                integrity::lag(tx, now)
            })
            .await,
        books.verb("seal", move |tx| integrity::seal(tx, now)).await,
    ]
    .concat()
}
