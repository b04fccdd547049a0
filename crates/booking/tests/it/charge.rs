use booking::db::Page;
use booking::idempotency::{self, Answer, Claim, Fingerprint, IdempotencyKey, OnceError, Outcome};
use booking::ledger::{self, Account, Cause};
use booking::wallet::{Amount, BALANCE_LIMIT, CHARGE_MAX, Charge, ChargeError, Charged};
use serde_json::json;
use uuid::Uuid;

use crate::fixture::{Fixture, all_at_once, answered, keyed};

/// A charge as the API makes it: once for each key.
async fn charge_once(
    fixture: &Fixture,
    turn: usize,
    user_id: Uuid,
    minor: i64,
) -> Result<Outcome<Charged>, OnceError<ChargeError>> {
    let claim = Claim {
        user_id,
        route: "POST /users/{userId}/balance/charges",
        key: IdempotencyKey::try_from("one-click".to_owned()).unwrap(),
        fingerprint: Fingerprint::of(&json!({ "amount": minor })),
    };
    let request = keyed(claim, |made: &Charged| {
        answered(format!("{} {}", made.entry_id, made.balance))
    });
    let charge = Charge {
        request_id: request.id(),
        user_id,
        amount: Amount::try_from(minor).unwrap(),
    };
    let sale = fixture.sale(turn, fixture.now);
    sale.charge(charge, request).await
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_hundred_repetitions_of_a_charge_one_is_booked_and_all_get_its_answer() {
    let fixture = Fixture::open().await;
    let user = Uuid::new_v4();
    let outcomes = all_at_once((0..200).map(|turn| {
        let fixture = fixture.clone();
        async move {
            charge_once(&fixture, turn, user, 5_000)
                .await
                .expect("an answer")
        }
    }))
    .await;
    let fresh = outcomes
        .iter()
        .filter(|outcome| outcome.fresh().is_some())
        .count();
    assert_eq!(fresh, 1);
    let answers: Vec<&Answer> = outcomes
        .iter()
        .map(|outcome| match outcome {
            Outcome::Fresh(_, answer) | Outcome::Replayed(answer) => answer,
        })
        .collect();
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    assert_eq!(
        fixture.number("SELECT COUNT(*) FROM ledger_entries").await,
        1
    );
    assert_eq!(fixture.balance(user).await, 5_000);
}

#[tokio::test]
async fn a_charge_is_not_booked_again_when_its_key_was_forgotten() {
    let fixture = Fixture::open().await;
    let user = Uuid::new_v4();
    let fresh = charge_once(&fixture, 0, user, 5_000).await.unwrap();
    assert!(fresh.fresh().is_some());
    let later = fixture.now + chrono::TimeDelta::hours(25);
    let forgotten = fixture
        .db(0)
        .transaction(move |tx| idempotency::forget(tx, later, 10));
    assert_eq!(forgotten.await.unwrap(), 1);
    let again = charge_once(&fixture, 1, user, 5_000).await;
    assert!(
        matches!(again, Err(OnceError::Refused(ChargeError::Repeated))),
        "{again:?}"
    );
    assert_eq!(fixture.balance(user).await, 5_000);
    fixture.reconciled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn charges_of_one_user_at_once_all_count() {
    let fixture = Fixture::open().await;
    let user = Uuid::new_v4();
    let outcomes = all_at_once((0..100).map(|turn| {
        let fixture = fixture.clone();
        async move {
            fixture
                .charge(turn, user, 1_000)
                .await
                .expect("a charge")
                .balance
        }
    }))
    .await;
    let mut balances = outcomes;
    balances.sort_unstable();
    assert!(
        balances
            .into_iter()
            .eq((1..=100).map(|times| times * 1_000)),
        "each saw its own balance"
    );
    assert_eq!(fixture.balance(user).await, 100_000);
    fixture.reconciled().await;
}

#[tokio::test]
async fn a_wallet_holds_its_limit_and_not_one_more() {
    let fixture = Fixture::open().await;
    let user = Uuid::new_v4();
    assert_eq!(fixture.balance(user).await, 0, "a new user has nothing");
    for _ in 0..BALANCE_LIMIT / CHARGE_MAX {
        fixture.charge(0, user, CHARGE_MAX).await.unwrap();
    }
    let before = fixture.traces().await;
    assert!(matches!(
        fixture.charge(0, user, 1).await,
        Err(ChargeError::BalanceLimit)
    ));
    assert_eq!(
        (fixture.balance(user).await, fixture.traces().await),
        (BALANCE_LIMIT, before)
    );
    fixture.reconciled().await;
}

#[tokio::test]
async fn the_ledger_tells_every_movement_newest_first_and_page_by_page() {
    let mut fixture = Fixture::open().await;
    let user = fixture.rich().await;
    fixture.now += chrono::TimeDelta::seconds(1);
    let held = fixture.reserve(user, &[1]).await;
    let payment = fixture.try_pay(0, &held, fixture.now).await.unwrap();
    fixture.now += chrono::TimeDelta::seconds(1);
    fixture.refund(0, &payment, fixture.now).await.unwrap();
    let page = |after| async move { (user, Page { limit: 2, after }) };
    let read =
        |(user, page)| fixture.instances[0].read(move |conn| ledger::entries(conn, user, page));
    let first = read(page(None).await).await.unwrap();
    assert_eq!(
        first.iter().map(|entry| entry.cause).collect::<Vec<_>>(),
        [Cause::Refunded, Cause::Captured]
    );
    assert_eq!(
        (first[1].debit_account, first[1].credit_account),
        (Account::Wallet, Account::Revenue)
    );
    assert!(
        first
            .iter()
            .all(|entry| entry.reference_id == payment.id && entry.amount == 150_000)
    );
    let rest = read(page(Some(first[1].id)).await).await.unwrap();
    assert_eq!(
        rest.iter().map(|entry| entry.cause).collect::<Vec<_>>(),
        [Cause::Charged]
    );
    let other = fixture.instances[0]
        .read(|conn| {
            ledger::entries(
                conn,
                Uuid::new_v4(),
                Page {
                    limit: 9,
                    after: None,
                },
            )
        })
        .await;
    assert_eq!(other.unwrap(), []);
}

#[test]
fn no_code_changes_or_removes_a_line_of_the_ledger_or_of_the_audit_log() {
    let sources = testbed::checkout().join("crates/booking/src");
    let texts = testbed::texts_below(&sources, "rs").unwrap();
    assert!(texts.len() > 20, "the sources were found");
    for (_, text) in texts {
        let flat: String = text
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
            .to_lowercase();
        // A seal is put on a row afterwards, and on none a second time; nothing else of a row is ever set.
        let flat = flat
            .replace(
                "diesel::update(audit_log::table.filter(audit_log::seq.eq_any(rows))) .filter(audit_log::seal.is_null()) .set(audit_log::seal.eq(number))",
                "",
            )
            .replace(
                "diesel::update(ledger_entries::table.filter(ledger_entries::id.eq_any(entries))) .filter(ledger_entries::seal.is_null()) .set(ledger_entries::seal.eq(number))",
                "",
            );
        for table in ["ledger_entries", "audit_log"] {
            for verb in [
                "update(",
                "delete(",
                "replace_into(",
                "insert_or_ignore_into(",
            ] {
                assert!(!flat.contains(&format!("{verb}{table}")), "{verb}{table}");
                assert!(
                    !flat.contains(&format!("{verb}crate::schema::{table}")),
                    "{verb}{table}"
                );
            }
            for words in [
                "update",
                "delete from",
                "truncate",
                "truncate table",
                "replace into",
            ] {
                assert!(
                    !flat.contains(&format!("{words} {table}")),
                    "{words} {table}"
                );
            }
        }
    }
}
