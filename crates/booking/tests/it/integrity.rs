//! Books that prove themselves: whatever somebody does to a row behind the service's back, the chain no longer holds.

use std::collections::BTreeSet;

use booking::db::DbError;
use booking::integrity::{self, Break, Sealed};
use booking::payment::Extent;
use chrono::{TimeDelta, Timelike as _};
use diesel::connection::SimpleConnection;
use uuid::Uuid;

use crate::fixture::{Fixture, all_at_once, numbers};

const SEAL: &str = "a seal, and the rows under it";
const LATE: &str = "a row of the audit log that came long after its time, by its seal";
const ENTRY: &str = "an entry of the ledger, and the one before it in its wallet";
const WALLET: &str = "a wallet, and the last entry of its chain";
const ORPHAN: &str = "rows under a seal that is not there";

async fn seal(fixture: &Fixture, turn: usize) -> Sealed {
    let now = fixture.now;
    let sealed = fixture
        .db(turn)
        .transaction(move |tx| integrity::seal(tx, now));
    sealed.await.expect("a seal")
}

async fn breaks(fixture: &Fixture) -> Vec<Break> {
    let found = fixture.instances[0].read(integrity::verify_all).await;
    found.expect("an answer")
}

/// A sale in five seals: what an operator made, what a user charged, held and paid, and a part that came back.
async fn sealed() -> (Fixture, Uuid) {
    let fixture = Fixture::open().await;
    seal(&fixture, 0).await;
    let user = fixture.rich().await;
    seal(&fixture, 1).await;
    let held = fixture.reserve(user, &[1, 2]).await;
    seal(&fixture, 0).await;
    let payment = fixture.try_pay(0, &held, fixture.now).await.unwrap();
    seal(&fixture, 1).await;
    let part = fixture.refund_part(0, &payment, Extent::Amount(10), fixture.now);
    part.await.unwrap();
    seal(&fixture, 0).await;
    assert_eq!(breaks(&fixture).await, []);
    let seals = "SELECT COUNT(*) FROM seals WHERE number > 0";
    assert_eq!(fixture.number(seals).await, 5);
    (fixture, user)
}

/// What somebody does to the rows, and everything that then no longer fits.
const FORGERIES: &[(&str, &[&str])] = &[
    // Of the audit log: changed, removed, swapped, put in.
    (
        "UPDATE audit_log SET detail = REPLACE(detail, '1', '2') WHERE action = 'charged'",
        &[SEAL],
    ),
    (
        "UPDATE audit_log SET at = at + INTERVAL 1 MICROSECOND WHERE action = 'held'",
        &[SEAL],
    ),
    (
        "UPDATE audit_log SET actor_name = 'operator:x' WHERE actor = 'operator'",
        &[SEAL],
    ),
    ("DELETE FROM audit_log WHERE action = 'held'", &[SEAL]),
    (
        "UPDATE audit_log a JOIN audit_log b ON a.action = 'confirmed' AND b.action = 'held' SET a.detail = b.detail, b.detail = a.detail, a.action = 'held', b.action = 'confirmed'",
        &[SEAL],
    ),
    (
        "INSERT INTO audit_log (entity, entity_id, action, actor, actor_id, at, detail, seal) SELECT entity, entity_id, action, actor, actor_id, at, detail, seal FROM audit_log WHERE action = 'charged'",
        &[SEAL],
    ),
    ("UPDATE audit_log SET seal = 2 WHERE seal = 3", &[SEAL]),
    (
        "UPDATE audit_log SET seal = 7 WHERE seal = 3",
        &[SEAL, ORPHAN],
    ),
    // Of the ledger.
    (
        "UPDATE ledger_entries SET amount = amount + 1 WHERE cause = 'charged'",
        &[SEAL, ENTRY],
    ),
    (
        "UPDATE ledger_entries SET reference_id = id WHERE cause = 'captured'",
        &[SEAL, ENTRY],
    ),
    (
        "DELETE FROM ledger_entries WHERE cause = 'refunded'",
        &[SEAL, WALLET],
    ),
    (
        "DELETE FROM ledger_entries WHERE cause = 'captured'",
        &[SEAL, ENTRY, WALLET],
    ),
    (
        "UPDATE ledger_entries SET position = 3 - position WHERE cause IN ('charged', 'captured')",
        &[SEAL, ENTRY],
    ),
    (
        "INSERT INTO ledger_entries (id, user_id, cause, reference_id, debit_account, credit_account, amount, created_at) SELECT REPEAT('x', 16), user_id, cause, REPEAT('y', 16), debit_account, credit_account, amount, created_at FROM ledger_entries WHERE cause = 'charged'",
        &[WALLET],
    ),
    (
        "INSERT INTO ledger_entries (id, user_id, cause, reference_id, debit_account, credit_account, amount, created_at, position, hash) SELECT REPEAT('x', 16), user_id, cause, REPEAT('y', 16), debit_account, credit_account, amount, created_at, 4, hash FROM ledger_entries WHERE cause = 'charged'",
        &[ENTRY, WALLET],
    ),
    ("UPDATE wallets SET head = REPEAT('h', 32)", &[WALLET]),
    // Of the seals.
    (
        "UPDATE seals SET hash = REPEAT('h', 32) WHERE number = 5",
        &[SEAL],
    ),
    (
        "UPDATE seals SET sealed_at = sealed_at + INTERVAL 1 SECOND WHERE number = 5",
        &[SEAL],
    ),
    ("DELETE FROM seals WHERE number = 3", &[SEAL]),
    ("DELETE FROM seals WHERE number = 5", &[ORPHAN]),
    (
        "UPDATE seals SET rows_so_far = rows_so_far - 1 WHERE number = 5",
        &[SEAL],
    ),
];

#[tokio::test]
async fn whatever_is_done_to_a_row_no_longer_fits() {
    for (forgery, subjects) in FORGERIES {
        let (fixture, _) = sealed().await;
        fixture.raw(forgery).await.unwrap();
        let found = breaks(&fixture).await;
        let found: BTreeSet<&str> = found.iter().map(|it| it.subject).collect();
        assert_eq!(found, subjects.iter().copied().collect(), "{forgery}");
    }
}

#[tokio::test]
async fn a_row_of_yesterday_that_is_put_in_today_is_found() {
    let (fixture, _) = sealed().await;
    fixture
        .raw("INSERT INTO audit_log (seq, entity, entity_id, action, actor, actor_id, at, detail) SELECT -1, entity, entity_id, action, actor, actor_id, at - INTERVAL 1 DAY, detail FROM audit_log WHERE action = 'charged'")
        .await
        .unwrap();
    seal(&fixture, 0).await;
    let found = breaks(&fixture).await;
    let found: Vec<_> = found.iter().map(|it| (it.subject, it.seal)).collect();
    assert_eq!(found, [(LATE, Some(6))]);
}

#[tokio::test]
async fn an_entry_whose_wallet_was_chained_anew_does_not_fit_its_seal() {
    let (fixture, user) = sealed().await;
    let of_user = format!("user_id = x'{}'", user.simple());
    // All that a forger can compute from the wallet alone.
    for statement in [
        format!("DELETE FROM ledger_entries WHERE {of_user} AND position = 3"),
        format!(
            "UPDATE wallets SET entries = 2, balance = balance - 10, head = (SELECT hash FROM ledger_entries WHERE {of_user} AND position = 2) WHERE {of_user}"
        ),
    ] {
        fixture.raw(&statement).await.unwrap();
    }
    let found = breaks(&fixture).await;
    let found: Vec<_> = found.iter().map(|it| (it.subject, it.seal)).collect();
    assert_eq!(found, [(SEAL, Some(5))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_sealers_at_once_make_one_chain_and_lose_no_row() {
    let fixture = Fixture::open().await;
    let users = all_at_once((0..40).map(|turn| {
        let fixture = fixture.clone();
        async move {
            let user = Uuid::new_v4();
            for _ in 0..5 {
                fixture.charge(turn, user, 100).await.expect("a charge");
                seal(&fixture, turn).await;
            }
        }
    }));
    users.await;
    seal(&fixture, 0).await;
    assert_eq!(breaks(&fixture).await, []);
    let unsealed = "(SELECT COUNT(*) FROM audit_log WHERE seal IS NULL) + (SELECT COUNT(*) FROM ledger_entries WHERE seal IS NULL)";
    assert_eq!(fixture.number(&format!("SELECT {unsealed}")).await, 0);
    let under = "SELECT (SELECT COUNT(*) FROM audit_log) + (SELECT COUNT(*) FROM ledger_entries) - (SELECT MAX(rows_so_far) FROM seals)";
    assert_eq!(fixture.number(under).await, 0);
    fixture.reconciled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sealing_waits_for_no_sale_and_seals_what_commits_late() {
    let fixture = Fixture::open().await;
    seal(&fixture, 0).await;
    let row = "INSERT INTO audit_log (entity, entity_id, action, actor, actor_id, at, detail) \
        VALUES ('route', REPEAT('s', 16), 'refused', 'user', REPEAT('s', 16), NOW(6), '{}')";
    let slow = fixture.begin(1, move |tx| Ok::<_, DbError>(tx.batch_execute(row)?));
    let slow = slow.await;
    fixture.rich().await;
    // The row of the open transaction has the lower number, and is not waited for.
    assert_eq!(seal(&fixture, 0).await.rows, 2);
    slow.commit().await;
    assert_eq!(seal(&fixture, 0).await.rows, 1);
    assert_eq!(breaks(&fixture).await, []);
}

#[tokio::test]
async fn more_rows_than_one_seal_has_room_for_take_several_and_are_verified_in_parts() {
    let fixture = Fixture::open().await;
    let rows = "INSERT INTO audit_log (entity, entity_id, action, actor, at, detail) \
        SELECT 'route', REPEAT('r', 16), 'refused', 'operator', NOW(6), '{}'";
    fixture
        .raw(&format!("{rows} FROM {}", numbers(1_200)))
        .await
        .unwrap();
    let mut full = 0;
    while seal(&fixture, 0).await.is_full {
        full += 1;
    }
    assert_eq!(full, 2);
    // A hundred and one more seals: the chain is longer than one look.
    for _ in 0..101 {
        fixture.charge(0, Uuid::new_v4(), 1).await.unwrap();
        seal(&fixture, 0).await;
    }
    let first = fixture.instances[0]
        .read(|conn| integrity::verify(conn, 0))
        .await;
    let first = first.unwrap();
    assert_eq!((first.through, first.is_end), (100, false));
    let rest = fixture.instances[0]
        .read(|conn| integrity::verify(conn, 100))
        .await;
    let rest = rest.unwrap();
    assert_eq!((rest.through, rest.is_end), (104, true));
    assert_eq!((first.breaks, rest.breaks), (vec![], vec![]));
}

#[tokio::test]
async fn the_head_of_a_day_never_changes_once_the_day_is_over() {
    let fixture = Fixture::open().await;
    let midnight = fixture.now + TimeDelta::hours(5);
    let sealed_at = |at| {
        let db = fixture.instances[0].clone();
        async move {
            db.transaction(move |tx| integrity::seal(tx, at))
                .await
                .unwrap()
        }
    };
    let head = async || {
        let head = fixture.instances[0].read(move |conn| integrity::head_before(conn, midnight));
        head.await.unwrap()
    };
    assert_eq!(head().await.number, 0);
    sealed_at(midnight - TimeDelta::microseconds(1)).await;
    let last = head().await;
    assert_eq!(last.number, 1);
    fixture.rich().await;
    // The clock of this instance is behind that of the other.
    let behind = midnight.with_nanosecond(0).unwrap() - TimeDelta::seconds(5);
    sealed_at(behind).await;
    fixture.rich().await;
    sealed_at(midnight).await;
    assert_eq!(breaks(&fixture).await, []);
    let newest = fixture.instances[0].read(integrity::last).await.unwrap();
    assert_eq!(newest.number, 3);
    assert_eq!(head().await.number, 2);
}

#[tokio::test]
async fn entries_from_before_the_chain_are_sealed_and_the_wallet_goes_on() {
    let fixture = Fixture::open().await;
    let (held, payment) = fixture.paid(&[1]).await;
    let folder = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../migrations/2026-11-26-000100_chains"
    );
    for step in ["down.sql", "up.sql"] {
        let step = std::fs::read_to_string(format!("{folder}/{step}")).unwrap();
        let taken: Result<(), DbError> = fixture.instances[0]
            .read(move |conn| Ok(conn.batch_execute(&step)?))
            .await;
        taken.unwrap();
    }
    seal(&fixture, 0).await;
    fixture.refund(0, &payment, fixture.now).await.unwrap();
    seal(&fixture, 0).await;
    fixture.charge(0, held.user_id, 5).await.unwrap();
    assert_eq!(breaks(&fixture).await, []);
    fixture.reconciled().await;
    fixture
        .raw("UPDATE ledger_entries SET created_at = created_at + INTERVAL 1 SECOND WHERE cause = 'captured'")
        .await
        .unwrap();
    let found = breaks(&fixture).await;
    let found: Vec<_> = found.iter().map(|it| (it.subject, it.seal)).collect();
    assert_eq!(found, [(SEAL, Some(1))]);
}
