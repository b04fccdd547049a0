//! What the schema refuses of dates, blocked seats, orders of a provider, waiting lists and corrections, whatever the code
//! does.

use booking::db::DbError;
use uuid::Uuid;

use crate::fixture::Fixture;

/// Each CHECK, and a statement that breaks it in a house with one order and one entry of a waiting list.
const BREACHES: [(&str, &str); 19] = [
    (
        "schedules_max_seats_per_user",
        "UPDATE schedules SET max_seats_per_user = 0",
    ),
    (
        "schedules_max_seats_per_user",
        "UPDATE schedules SET max_seats_per_user = 51",
    ),
    (
        "seats_shape",
        "UPDATE seats SET state = 'blocked' WHERE number = 1",
    ),
    (
        "seats_shape",
        "UPDATE seats SET blocked_reason = 'x' WHERE number = 1",
    ),
    (
        "seats_shape",
        "UPDATE seats SET state = 'blocked', blocked_reason = 'x' WHERE number = 2",
    ),
    (
        "audit_log_actor",
        "UPDATE audit_log SET actor_name = 'x' WHERE actor = 'user'",
    ),
    (
        "audit_log_actor",
        "UPDATE audit_log SET actor_id = REPEAT('x', 16) WHERE actor = 'operator'",
    ),
    ("audit_log_actor", "UPDATE audit_log SET actor = 'robot'"),
    (
        "provider_orders_kind",
        "UPDATE provider_orders SET kind = 'charge'",
    ),
    (
        "provider_orders_kind",
        "UPDATE provider_orders SET reservation_id = NULL",
    ),
    (
        "provider_orders_amount",
        "UPDATE provider_orders SET amount = 0",
    ),
    (
        "provider_orders_state",
        "UPDATE provider_orders SET state = 'lost'",
    ),
    (
        "provider_orders_instruction",
        "UPDATE provider_orders SET instruction = 'keep'",
    ),
    (
        "waitlist_entries_seat_count",
        "UPDATE waitlist_entries SET seat_count = 0",
    ),
    (
        "waitlist_entries_state",
        "UPDATE waitlist_entries SET state = 'lost'",
    ),
    (
        "waitlist_entries_state",
        "UPDATE waitlist_entries SET state = 'offered'",
    ),
    (
        "schedule_cancellations_amount",
        "UPDATE schedule_cancellations SET amount_refunded = -1",
    ),
    (
        "ledger_entries_accounts",
        "UPDATE ledger_entries SET cause = 'goodwill'",
    ),
    (
        "ledger_entries_note",
        "UPDATE ledger_entries SET reason = 'x', actor_name = 'y'",
    ),
];

async fn furnished() -> Fixture {
    let fixture = Fixture::open().await;
    fixture.reserve(Uuid::new_v4(), &[2]).await;
    fixture.rich().await;
    for statement in [
        "INSERT INTO provider_orders (id, kind, user_id, reservation_id, amount, state, next_attempt_at, created_at) \
         SELECT REPEAT('o', 16), 'payment', user_id, id, amount, 'pending', NOW(), NOW() FROM reservations",
        "INSERT INTO waitlist_entries (id, schedule_id, user_id, seat_count, state, created_at) \
         SELECT REPEAT('w', 16), id, REPEAT('u', 16), 1, 'waiting', NOW() FROM schedules",
        "INSERT INTO schedule_cancellations (schedule_id, reason, requested_by, requested_at) \
         SELECT id, 'x', 'y', NOW() FROM schedules",
    ] {
        fixture.raw(statement).await.expect(statement);
    }
    fixture
}

#[tokio::test]
async fn every_check_of_what_a_venue_needs_is_enforced() {
    let fixture = furnished().await;
    for (name, statement) in BREACHES {
        let refused = fixture.raw(statement).await;
        assert!(
            matches!(&refused, Err(DbError::Check(check)) if check == name),
            "{statement}: {refused:?}"
        );
    }
}

#[tokio::test]
async fn one_order_at_a_time_pays_for_a_reservation_and_a_user_stands_once_in_a_list() {
    let fixture = furnished().await;
    let order = "INSERT INTO provider_orders (id, kind, user_id, reservation_id, amount, state, next_attempt_at, created_at) \
        SELECT REPEAT('p', 16), kind, user_id, reservation_id, amount, 'pending', NOW(), NOW() FROM provider_orders";
    let entry = "INSERT INTO waitlist_entries (id, schedule_id, user_id, seat_count, state, created_at) \
        SELECT REPEAT('v', 16), schedule_id, user_id, 1, 'waiting', NOW() FROM waitlist_entries";
    for (key, statement) in [
        ("provider_orders_one_at_a_time", order),
        ("waitlist_entries_live_once", entry),
    ] {
        let refused = fixture.raw(statement).await;
        assert!(
            matches!(&refused, Err(DbError::Duplicate(name)) if name == key),
            "{statement}: {refused:?}"
        );
    }
    for over in [
        "UPDATE provider_orders SET state = 'failed'",
        "UPDATE waitlist_entries SET state = 'left'",
    ] {
        fixture.raw(over).await.expect(over);
    }
    for statement in [order, entry] {
        fixture
            .raw(statement)
            .await
            .expect("one that is over is no obstacle");
    }
}
