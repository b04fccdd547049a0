//! What the forwarder, the publisher, the desk and the steps behind a sale ask.

use booking::audit;
use booking::db::Tx;
use booking::erasure::{self, ForgetError};
use booking::forwarder::{self, Receipt};
use booking::outbox::{self, Ended, Ending};
use booking::payment;
use booking::reservation::{self, After, Filter};
use booking::subject;
use booking::wallet::{self, Amount, Correction, CorrectionCause};
use booking::{integrity, venue};
use chrono::TimeDelta;

use super::plan::Step;
use super::{Books, fill, id, number, page, user};
use crate::fixture::{OPERATOR, title};

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

/// What was given up, and is sent again.
pub async fn dead_letters(books: &Books) -> Vec<Step> {
    let now = books.fixture.now;
    // The oldest that are dead, so that nothing else is sent again.
    let [oldest, next] = [2, 1].map(|before| id("event", number() - before));
    for event_id in [oldest, next] {
        let receipt = Receipt {
            event_id,
            receiver: fill::RECEIVER.to_owned(),
            owner: id("owner", 2),
        };
        let give_up = move |tx: &mut Tx| forwarder::dead(tx, &receipt, "away", now);
        books.fixture.instances[0]
            .transaction(give_up)
            .await
            .expect("a dead letter");
    }
    [
        books
            .verb("dead letters", move |tx| outbox::dead_letters(tx, page()))
            .await,
        books
            .verb("send dead letters again", move |tx| {
                outbox::redeliver_oldest(tx, 1, OPERATOR, now)
            })
            .await,
        books
            .verb("send a dead letter again", move |tx| {
                outbox::redeliver(tx, next, OPERATOR, now)
            })
            .await,
    ]
    .concat()
}

/// Whom the books are about, and what the desk does for them.
pub async fn people(books: &Books) -> Vec<Step> {
    let (now, user) = (books.fixture.now, user());
    let correction = Correction {
        request_id: id("correct", 1),
        user_id: user,
        cause: CorrectionCause::CorrectedDown,
        amount: Amount::try_from(1).expect("an amount"),
        reason: title("A mistake"),
        by: "tests".to_owned(),
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
            .verb("forget a person", move |tx| {
                match erasure::forget(tx, id("person", number()), "tests", now) {
                    // They have money; what is asked is the same for whom it is done.
                    Ok(()) | Err(ForgetError::StillOwns(_)) => Ok(()),
                    Err(other) => Err(other),
                }
            })
            .await,
        books
            .verb("correct a wallet", move |tx| {
                wallet::correct(tx, &correction, now)
            })
            .await,
    ]
    .concat()
}

/// What the desk is shown.
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
            .verb("any payment", move |tx| {
                payment::any(tx, id("payment", number()))
            })
            .await,
        books
            .verb("history of a thing", move |tx| audit::list(tx, &filter, 50))
            .await,
        books
            .verb("the log", |tx| {
                audit::list(tx, &audit::Filter::default(), 50)
            })
            .await,
    ]
    .concat()
}

/// Seals, and what the metrics count.
pub async fn steps(books: &Books) -> Vec<Step> {
    let now = books.fixture.now;
    [
        books.verb("what waits", venue::waiting).await,
        books.verb("something to seal", integrity::is_due).await,
        books
            .verb("how far seals are behind", move |tx| {
                integrity::lag(tx, now)
            })
            .await,
        books.verb("seal", move |tx| integrity::seal(tx, now)).await,
        books
            .verb("head of a day", move |tx| integrity::head_before(tx, now))
            .await,
    ]
    .concat()
}
