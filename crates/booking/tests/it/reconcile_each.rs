//! Each comparison of the books: damage that it is there to find, and everything that finds it. A damage of one row is often
//! seen from several sides; no other side may see it than those that are named.

use std::collections::BTreeSet;

use booking::concert::{NewSchedule, Title};
use booking::db::Tx;
use booking::payment::Extent;
use booking::programme;
use booking::provider::{self, Said};
use booking::reconciliation;
use booking::reservation::{self, Limits};
use booking::seat::SeatNumbers;
use booking::waitlist::{self, WaitlistError};
use booking::wallet::{self, Amount, Charge, Correction, CorrectionCause};
use chassis::time::Clock;
use chrono::TimeDelta;
use uuid::Uuid;

use crate::fixture::{Fixture, OPERATOR, queue};

/// One of everything: a live hold, holds that moved on, three purchases, of which one seat and a part of the money came back, a whole refund, a
/// place in a waiting list and one that was left, a charge that a provider has yet to confirm and one that it has, a date whose cancellation is done. What was
/// given back as a whole was paid two days ago.
async fn books() -> Fixture {
    let fixture = Fixture::open().await;
    let now = fixture.now;
    fixture.reserve(Uuid::new_v4(), &[1]).await;
    fixture.paid(&[11]).await;
    let (_, parted) = fixture.paid(&[2, 3]).await;
    let (_, whole) = fixture.paid(&[4]).await;
    let seat = Extent::Seats(SeatNumbers::parse(&[3], 1).unwrap());
    for part in [seat, Extent::Amount(7)] {
        fixture.refund_part(0, &parted, part, now).await.unwrap();
    }
    fixture.refund(0, &whole, now).await.unwrap();
    let (limits, clock) = (fixture.limits, Clock::stopped_at(now));
    holds_that_moved_on(&fixture).await;
    let small = small_date(&fixture).await;
    small.paid(&[1]).await;
    let db = &fixture.instances[0];
    for stays in [true, false] {
        let join = waitlist::Join {
            user_id: Uuid::new_v4(),
            schedule_id: small.schedule_id,
            count: 1,
            grade: None,
            queue: queue("main"),
        };
        let waiting = clock.clone();
        let act = move |tx: &mut Tx| {
            let place = waitlist::join(tx, &join, &limits, &waiting)?;
            match stays {
                true => Ok::<_, WaitlistError>(()),
                false => waitlist::leave(tx, join.user_id, place.entry.id, &waiting),
            }
        };
        db.transaction(act).await.expect("a place");
    }
    // Places are compared from an hour after the first row of one.
    let first = "UPDATE audit_log SET at = at - INTERVAL 2 HOUR WHERE action = 'waitlist_joined' ORDER BY seq LIMIT 1";
    assert_eq!(fixture.raw(first).await.expect(first), 1);
    order(&fixture).await;
    let collected = order(&fixture).await;
    let has_it = move |tx: &mut _| {
        let clock = Clock::stopped_at(now);
        provider::confirm(tx, collected, 500, Said::HasMoney, &clock)
    };
    db.transaction(has_it).await.expect("a charge");
    let called_off = fixture.another_schedule().await;
    called_off.paid(&[1]).await;
    let id = called_off.schedule_id;
    let reason = Title::try_from("Storm".to_owned()).unwrap();
    db.transaction(move |tx| programme::cancel_date(tx, id, &reason, "operator:tests", now))
        .await
        .expect("an act");
    loop {
        let clock = clock.clone();
        let step = db.transaction(move |tx| programme::advance(tx, &clock));
        if !step.await.unwrap().worked {
            break;
        }
    }
    let long_ago =
        "UPDATE payments SET created_at = created_at - INTERVAL 2 DAY WHERE state = 'refunded'";
    fixture.raw(long_ago).await.expect(long_ago);
    fixture
}

/// A charge that a provider has yet to confirm.
async fn order(fixture: &Fixture) -> Uuid {
    let charge = Charge {
        request_id: Uuid::new_v4(),
        user_id: fixture.rich().await,
        amount: Amount::try_from(500).unwrap(),
    };
    let clock = Clock::stopped_at(fixture.now);
    let made = fixture.instances[0]
        .transaction(move |tx| provider::order_charge(tx, &charge, &clock))
        .await;
    made.expect("an order").id
}

/// A hold that was made longer, one that was given back, one that ended; and a gift of the house.
async fn holds_that_moved_on(fixture: &Fixture) {
    let (limits, now, db) = (fixture.limits, fixture.now, &fixture.instances[0]);
    let user = Uuid::new_v4();
    let hold = TimeDelta::milliseconds(1);
    let brief = Fixture {
        limits: Limits { hold, ..limits },
        ..fixture.clone()
    };
    brief.reserve(user, &[33]).await;
    assert_eq!(fixture.expire(0, now + hold, 10).await.unwrap(), 1);
    let held = fixture.reserve(user, &[31]).await;
    let clock = Clock::stopped_at(now);
    db.transaction(move |tx| reservation::extend(tx, user, held.id, &limits, &clock))
        .await
        .expect("a longer hold");
    let held = fixture.reserve(user, &[32]).await;
    fixture.cancel(0, &held, now).await.expect("given back");
    let gift = Correction {
        request_id: Uuid::new_v4(),
        user_id: user,
        cause: CorrectionCause::Goodwill,
        amount: Amount::try_from(5).unwrap(),
        reason: Title::try_from("Sorry".to_owned()).unwrap(),
        by: "operator:tests".to_owned(),
    };
    db.transaction(move |tx| wallet::correct(tx, &gift, now))
        .await
        .expect("a gift");
}

/// A date with one seat, of which a user may have one.
async fn small_date(fixture: &Fixture) -> Fixture {
    let one = crate::fixture::layout([("A", 100, 1..=1)]);
    let new = NewSchedule {
        max_seats_per_user: Some(1),
        ..crate::fixture::schedule(fixture.now, one)
    };
    let (concert_id, now) = (fixture.concert_id, fixture.now);
    let added = fixture.instances[0]
        .transaction(move |tx| booking::concert::add_schedule(tx, concert_id, &new, OPERATOR, now))
        .await;
    Fixture {
        schedule_id: added.expect("a date").id,
        ..fixture.clone()
    }
}

const SOLD: &str = "seats sold, and seats of confirmed reservations";
const CAPTURED: &str = "captured by payments, and by the ledger";
const REFUNDED: &str = "refunded by payments, and by the ledger";
const NET: &str = "the ledger's net of all wallets, and their balances";
const ITS_SEATS: &str = "seats of a confirmed reservation, and those of them that are sold to it";
const PRICE: &str = "price of a reservation, and the sum of its seats";
const PAID: &str = "price of all seats that a reservation ever had, and what was paid for it";
const PARTS: &str = "what a payment says was given back, and its refunds";
const BOOKED: &str = "a payment and its refunds, and what the ledger says of them";
const PART: &str = "a refund, and its part in the ledger";
const WALLET: &str = "the ledger's net of a wallet, and its balance";
const BALANCE: &str =
    "a balance that may not be: below zero, or above the limit without money that came back";
const PAYER: &str = "a payment of another user than its reservation's";
const OWNER: &str = "an entry of the ledger in another wallet than its payment's";
const HOLDER: &str = "a sold seat whose holder has no confirmed reservation of it";
const UNHELD: &str = "a held seat without a reservation that holds it";
const LIVE: &str = "seats of a live hold, and those that are held for it";
const SIZE: &str = "seats that a schedule says it has, and those it has";
const LIMIT: &str = "seats that a user may have of a schedule, and those bought or held";
const AUDITED: &str = "changes of a reservation, and their rows in the audit log";
const PAYMENT_AUDITED: &str = "changes of a payment, and their rows in the audit log";
const CHARGE_AUDITED: &str = "charges of a wallet, and their rows in the audit log";
const HELD_TOLD: &str = "a hold of the last day, and its event";
const PAID_TOLD: &str = "a payment of the last day, and its event";
const REFUND_TOLD: &str = "refunds of a payment in the last day, and their events";
const CHARGE_TOLD: &str = "charges of a wallet in the last day, and their events";
const MOVED_AUDITED: &str = "what operators moved in a wallet, and its rows in the audit log";
const MOVED_TOLD: &str = "what operators moved in a wallet in the last day, and its events";
const END_TOLD: &str = "the end of a hold of the last day, and its event";
const LONGER: &str =
    "a hold that was made longer in the last day, and its row in the audit log with its event";
const CANCELLED: &str =
    "a date that was cancelled in the last day, and its row in the audit log with its event";
const WAITING: &str = "those who wait for seats of a date, and how many the date counts";
const WAITING_AUDITED: &str =
    "places in waiting lists of the last day, and their rows in the audit log";
const COLLECTED: &str = "money that a provider has collected, and what the ledger charged for it";
const ORDER_AUDITED: &str = "changes of an order of the last day, and their rows in the audit log";
const CALLED_OFF: &str = "live reservations of a date whose cancellation is done";
/// Of the chain, which every change of an entry breaks.
const ENTRY: &str = "an entry of the ledger, and the one before it in its wallet";
const CHAIN_END: &str = "a wallet, and the last entry of its chain";

/// The comparison, damage that it is there to find, and what else sees the same damage.
const DAMAGE: &[(&str, &str, &[&str])] = &[
    (
        SOLD,
        "UPDATE seats t JOIN reservations r ON r.state = 'held' SET t.state = 'sold', t.reservation_id = r.id, t.holder_id = r.user_id WHERE t.number = 20 AND t.schedule_id = r.schedule_id",
        &[HOLDER],
    ),
    (
        CAPTURED,
        "UPDATE payments p JOIN reservations r ON r.id = p.reservation_id JOIN reservation_seats s ON s.reservation_id = r.id SET p.amount = p.amount + 1, r.amount = r.amount + 1, s.price = s.price + 1 WHERE s.seat_number = 11",
        &[BOOKED],
    ),
    (
        REFUNDED,
        "UPDATE refunds b JOIN payments p ON p.id = b.payment_id SET b.amount = b.amount - 1, p.refunded_amount = p.refunded_amount - 1 WHERE b.amount = 7",
        &[BOOKED, PART],
    ),
    (
        NET,
        "UPDATE wallets SET balance = balance + 1 ORDER BY user_id LIMIT 1",
        &[WALLET],
    ),
    (
        ITS_SEATS,
        "UPDATE seats a JOIN seats b ON a.number = 11 AND b.number = 2 AND a.state = 'sold' AND b.state = 'sold' SET a.reservation_id = b.reservation_id, a.holder_id = b.holder_id",
        &[HOLDER],
    ),
    (
        PRICE,
        "UPDATE reservations SET amount = amount + 1 WHERE state = 'confirmed' ORDER BY id LIMIT 1",
        &[],
    ),
    (
        PAID,
        "UPDATE reservations r JOIN reservation_seats s ON s.reservation_id = r.id SET r.amount = r.amount + 1, s.price = s.price + 1 WHERE s.sold_number = 11",
        &[],
    ),
    (
        PARTS,
        "UPDATE payments SET state = 'partially_refunded' WHERE state = 'captured'",
        &[],
    ),
    (
        BOOKED,
        "UPDATE ledger_entries a JOIN ledger_entries b ON a.cause = 'captured' AND b.cause = 'captured' AND a.amount = 300000 AND b.amount = 120000 SET a.amount = a.amount + 1, b.amount = b.amount - 1",
        &[WALLET, ENTRY],
    ),
    (
        PART,
        "UPDATE refunds SET part = part + 10 WHERE amount = 7",
        &[],
    ),
    (
        WALLET,
        "UPDATE wallets a JOIN (SELECT MIN(user_id) AS least, MAX(user_id) AS most FROM wallets) m ON a.user_id IN (m.least, m.most) SET a.balance = a.balance + IF(a.user_id = m.least, 1, -1)",
        &[],
    ),
    (
        BALANCE,
        "UPDATE wallets w JOIN payments p ON p.user_id = w.user_id AND p.state = 'captured' SET w.balance = 1000000001 WHERE p.amount = 120000",
        &[NET, WALLET],
    ),
    (
        // Money that once came back excuses no charge.
        BALANCE,
        "UPDATE ledger_entries e JOIN payments p ON p.user_id = e.user_id JOIN wallets w ON w.user_id = e.user_id SET e.amount = e.amount + 1000000000, w.balance = w.balance + 1000000000 WHERE e.cause = 'charged' AND p.state = 'partially_refunded'",
        &[ENTRY],
    ),
    (
        PAYER,
        "UPDATE payments p JOIN (SELECT MIN(user_id) AS other FROM wallets WHERE user_id NOT IN (SELECT user_id FROM payments WHERE amount = 120000)) w SET p.user_id = w.other WHERE p.amount = 120000",
        &[OWNER],
    ),
    (
        OWNER,
        "UPDATE ledger_entries e JOIN (SELECT MIN(user_id) AS other FROM wallets WHERE user_id NOT IN (SELECT user_id FROM payments WHERE amount = 120000)) w SET e.user_id = w.other WHERE e.cause = 'captured' AND e.amount = 120000",
        &[WALLET, ENTRY, CHAIN_END],
    ),
    (
        HOLDER,
        "UPDATE seats SET holder_id = REPEAT('x', 16) WHERE state = 'sold' AND number = 11",
        &[],
    ),
    (
        UNHELD,
        "UPDATE seats SET hold_expires_at = hold_expires_at + INTERVAL 1 SECOND WHERE state = 'held'",
        &[],
    ),
    (
        LIVE,
        "UPDATE seats SET state = 'available', reservation_id = NULL, holder_id = NULL, hold_expires_at = NULL WHERE state = 'held'",
        &[],
    ),
    (
        SIZE,
        "UPDATE schedules SET seats_total = seats_total + 1 WHERE seats_total = 1",
        &[],
    ),
    (
        LIMIT,
        "UPDATE reservations SET seat_count = 5 WHERE state = 'confirmed' AND max_seats = 4 ORDER BY id LIMIT 1",
        &[PRICE],
    ),
    (
        // Of a date that allows one seat.
        LIMIT,
        "UPDATE reservations SET seat_count = 2 WHERE state = 'confirmed' AND max_seats = 1",
        &[PRICE],
    ),
    (
        LIMIT,
        "UPDATE reservations SET seat_count = 5 WHERE state = 'held' ORDER BY id LIMIT 1",
        &[PRICE, LIVE],
    ),
    (
        // From before the limit stood in each reservation.
        LIMIT,
        "UPDATE reservations SET seat_count = 5, max_seats = NULL WHERE state = 'confirmed' AND max_seats = 4 ORDER BY id LIMIT 1",
        &[PRICE],
    ),
    (
        AUDITED,
        "DELETE FROM audit_log WHERE entity = 'reservation' AND action = 'confirmed' LIMIT 1",
        &[],
    ),
    (
        PAYMENT_AUDITED,
        "DELETE FROM audit_log WHERE entity = 'payment' AND action = 'partially_refunded' LIMIT 1",
        &[],
    ),
    (
        CHARGE_AUDITED,
        "DELETE FROM audit_log WHERE action = 'charged' LIMIT 1",
        &[],
    ),
    (
        HELD_TOLD,
        "DELETE FROM outbox WHERE type = 'reservation.held' LIMIT 1",
        &[],
    ),
    (
        PAID_TOLD,
        "DELETE FROM outbox WHERE type = 'payment.captured' LIMIT 1",
        &[],
    ),
    (
        REFUND_TOLD,
        "DELETE FROM outbox WHERE type = 'payment.partially_refunded' LIMIT 1",
        &[],
    ),
    (
        // Of payments that are older than a day.
        REFUND_TOLD,
        "DELETE FROM outbox WHERE type = 'payment.refunded' LIMIT 1",
        &[],
    ),
    (
        CHARGE_TOLD,
        "DELETE FROM outbox WHERE type = 'wallet.charged' LIMIT 1",
        &[],
    ),
    (
        MOVED_AUDITED,
        "DELETE FROM audit_log WHERE action = 'corrected' LIMIT 1",
        &[],
    ),
    (
        MOVED_TOLD,
        "DELETE FROM outbox WHERE type = 'wallet.corrected' LIMIT 1",
        &[],
    ),
    (
        END_TOLD,
        "DELETE FROM outbox WHERE type = 'reservation.cancelled' LIMIT 1",
        &[],
    ),
    (
        END_TOLD,
        "DELETE FROM outbox WHERE type = 'reservation.expired' LIMIT 1",
        &[],
    ),
    (
        LONGER,
        "DELETE FROM outbox WHERE type = 'reservation.extended'",
        &[],
    ),
    (
        LONGER,
        "DELETE FROM audit_log WHERE action = 'extended'",
        &[],
    ),
    (
        CANCELLED,
        "DELETE FROM outbox WHERE type = 'schedule.cancelled'",
        &[],
    ),
    (
        CANCELLED,
        "DELETE FROM audit_log WHERE entity = 'schedule' AND action = 'cancelled'",
        &[],
    ),
    (
        WAITING,
        "UPDATE schedules SET waiting = waiting + 1 WHERE waiting > 0",
        &[],
    ),
    (
        WAITING_AUDITED,
        "DELETE FROM audit_log WHERE action = 'waitlist_joined' ORDER BY seq DESC LIMIT 1",
        &[],
    ),
    (
        WAITING_AUDITED,
        "DELETE FROM audit_log WHERE action = 'waitlist_left'",
        &[],
    ),
    (
        COLLECTED,
        "UPDATE provider_orders SET state = 'succeeded' WHERE state = 'pending'",
        &[ORDER_AUDITED],
    ),
    (
        ORDER_AUDITED,
        "DELETE FROM audit_log WHERE entity = 'order' AND action = 'confirmed'",
        &[],
    ),
    (
        ORDER_AUDITED,
        "DELETE FROM audit_log WHERE entity = 'order' AND action = 'created' LIMIT 1",
        &[],
    ),
    (
        CALLED_OFF,
        "UPDATE schedule_cancellations c JOIN schedules d ON d.seats_total = 1 SET c.schedule_id = d.id",
        &[CANCELLED],
    ),
];

async fn found(fixture: &Fixture) -> BTreeSet<&'static str> {
    let (now, most) = (fixture.now, fixture.limits.seats_per_user);
    let check = move |conn: &mut _| reconciliation::check(conn, now, most);
    let report = fixture.instances[0].read(check).await.expect("a report");
    report.differences.iter().map(|it| it.subject).collect()
}

#[tokio::test]
async fn each_comparison_finds_the_damage_that_it_is_there_for_and_no_other_cries() {
    for (comparison, damage, also) in DAMAGE {
        let fixture = books().await;
        assert_eq!(found(&fixture).await, BTreeSet::new(), "before {damage}");
        let damaged = fixture.raw(damage).await.expect(damage);
        assert!(damaged > 0, "nothing was damaged: {damage}");
        let expected = also.iter().chain([comparison]).copied().collect();
        assert_eq!(found(&fixture).await, expected, "{comparison}: {damage}");
    }
}

#[test]
fn every_comparison_has_damage_of_its_own() {
    let tried: BTreeSet<_> = DAMAGE.iter().map(|(comparison, ..)| *comparison).collect();
    assert_eq!(tried, reconciliation::subjects().collect());
}
