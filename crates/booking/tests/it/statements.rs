//! What each verb costs: statements between the begin and the end of its transaction. Fewer is faster, so a change of
//! these numbers needs a reason.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use booking::cancellation;
use booking::db::{DbError, Failure, Tx, new_id};
use booking::payment::{self, Extent, Pay, Refund};
use booking::reservation::{self, Best, Reserve, Wanted};
use booking::wallet::{self, Amount, Charge};
use chassis::time::Clock;
use diesel::connection::{Connection, InstrumentationEvent};
use uuid::Uuid;

use crate::fixture::Fixture;

/// Runs `act` in a transaction; returns what it did and how many statements that took.
async fn counted<T, E>(
    fixture: &Fixture,
    act: impl Fn(&mut Tx) -> Result<T, E> + Send + Sync + 'static,
) -> (T, usize)
where
    T: Send + 'static,
    E: Failure + std::fmt::Debug + Send + 'static,
{
    let counter = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&counter);
    let done = fixture.instances[0]
        .transaction(move |tx| {
            let seen = Arc::clone(&counting);
            tx.set_instrumentation(move |event: InstrumentationEvent<'_>| {
                if matches!(event, InstrumentationEvent::StartQuery { .. }) {
                    seen.fetch_add(1, Ordering::Relaxed);
                }
            });
            let done = act(tx);
            tx.set_instrumentation(|_: InstrumentationEvent<'_>| ());
            done
        })
        .await
        .expect("success");
    (done, counter.load(Ordering::Relaxed))
}

#[tokio::test]
async fn each_verb_takes_the_statements_that_its_documentation_says() {
    let fixture = Fixture::open().await;
    let (now, limits, user) = (fixture.now, fixture.limits, fixture.rich().await);
    let clock = Clock::stopped_at(now);
    let [reserving, again, choosing, paying, refunding, cancelling] =
        [(); 6].map(|()| clock.clone());

    let (first, second) = (fixture.wish(user, &[1, 2]), fixture.wish(user, &[13]));
    let (held, reserve) = counted(&fixture, move |tx| {
        reservation::reserve(tx, &first, &limits, &reserving)
    })
    .await;
    assert_eq!(reserve, 7, "reserve");
    let chosen = Reserve {
        seats: Wanted::Best(Best::parse(2, None, 4).unwrap()),
        ..fixture.wish(Uuid::new_v4(), &[1])
    };
    let (_, best) = counted(&fixture, move |tx| {
        reservation::reserve(tx, &chosen, &limits, &choosing)
    })
    .await;
    assert_eq!(best, 7 + 2, "reserve the best");
    let pay = Pay {
        payment_id: new_id(now),
        user_id: user,
        reservation_id: held.id,
    };
    let (bought, paid) = counted(&fixture, move |tx| payment::pay(tx, &pay, &paying)).await;
    assert_eq!(paid, 7, "pay");
    let refund = Refund {
        refund_id: new_id(now),
        user_id: user,
        payment_id: bought.payment.id,
        extent: Extent::Rest,
    };
    let (_, refunded) = counted(&fixture, move |tx| payment::refund(tx, &refund, &refunding)).await;
    assert_eq!(refunded, 14, "refund");

    let charge = Charge {
        request_id: Uuid::new_v4(),
        user_id: user,
        amount: Amount::try_from(1).unwrap(),
    };
    let (_, charged) = counted(&fixture, move |tx| wallet::charge(tx, &charge, now)).await;
    assert_eq!(charged, 5, "charge");

    // Somebody who had seats of this date before.
    let (held, reserve) = counted(&fixture, move |tx| {
        reservation::reserve(tx, &second, &limits, &again)
    })
    .await;
    assert_eq!(reserve, 7, "reserve again");
    let (_, cancelled) = counted(&fixture, move |tx| {
        cancellation::cancel(tx, user, held.id, &cancelling)
    })
    .await;
    assert_eq!(cancelled, 6, "cancel");

    fixture.reserve(user, &[14]).await;
    fixture
        .another_schedule()
        .await
        .reserve(user, &[4, 5])
        .await;
    let over = fixture.hold_end();
    let (expired, swept) = counted(&fixture, move |tx| reservation::expire(tx, over, 10)).await;
    assert_eq!((expired, swept), (3, 5 + 2), "expire");
    let (none, idle) = counted(&fixture, move |tx| reservation::expire(tx, over, 10)).await;
    assert_eq!((none, idle), (0, 1), "expire, nothing to do");
}

#[tokio::test]
async fn a_seat_that_is_plainly_taken_costs_one_statement() {
    let fixture = Fixture::open().await;
    fixture.reserve(Uuid::new_v4(), &[1]).await;
    let (wish, limits, clock) = (
        fixture.wish(Uuid::new_v4(), &[1]),
        fixture.limits,
        Clock::stopped_at(fixture.now),
    );
    let (refused, statements) = counted(&fixture, move |tx| {
        Ok::<_, DbError>(reservation::reserve(tx, &wish, &limits, &clock).is_err())
    })
    .await;
    assert_eq!((refused, statements), (true, 1));
}
