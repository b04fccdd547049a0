use std::sync::mpsc;

use booking::db::{DbError, Failure, Tx};
use booking::idempotency::{self, Answer, Claim, Fingerprint, IdempotencyKey, OnceError, Outcome};
use booking::wallet::{self, Amount, Charge, ChargeError};
use chrono::TimeDelta;
use serde_json::json;
use uuid::Uuid;

use crate::fixture::{Fixture, all_at_once};

fn claim(user_id: Uuid, key: &str, body: i64) -> Claim {
    Claim {
        user_id,
        route: "POST /things",
        key: IdempotencyKey::try_from(key.to_owned()).unwrap(),
        fingerprint: Fingerprint::of(&json!({ "body": body })),
    }
}

fn answer(body: &str) -> Answer {
    Answer {
        status: 201,
        body: body.to_owned(),
    }
}

/// An effect that shows, and then `answer` or a refusal.
fn act(
    tx: &mut Tx,
    fixture: &Fixture,
    user_id: Uuid,
    answer: Option<Answer>,
) -> Result<Answer, ChargeError> {
    let charge = Charge {
        request_id: Uuid::new_v4(),
        user_id,
        amount: Amount::try_from(1).unwrap(),
    };
    wallet::charge(tx, &charge, fixture.now)?;
    answer.ok_or(ChargeError::BalanceLimit)
}

async fn once(
    fixture: &Fixture,
    turn: usize,
    claim: Claim,
    answer: Option<Answer>,
) -> Result<Outcome<ChargeError>, OnceError> {
    let inside = fixture.clone();
    fixture
        .db(turn)
        .transaction(move |tx| {
            idempotency::once(tx, &claim, inside.now, |tx| {
                act(tx, &inside, claim.user_id, answer.clone())
            })
        })
        .await
}

#[tokio::test]
async fn a_repetition_gets_the_first_answer_and_has_no_effect() {
    let fixture = Fixture::open().await;
    let user = Uuid::new_v4();
    let first = once(&fixture, 0, claim(user, "k", 1), Some(answer("first"))).await;
    assert!(matches!(first, Ok(Outcome::Fresh(given)) if given == answer("first")));
    let again = once(&fixture, 1, claim(user, "k", 1), Some(answer("second"))).await;
    assert!(matches!(again, Ok(Outcome::Replayed(given)) if given == answer("first")));
    assert_eq!(fixture.balance(user).await, 1);
}

#[tokio::test]
async fn a_key_means_one_request_of_one_user_on_one_route() {
    let fixture = Fixture::open().await;
    let user = Uuid::new_v4();
    once(&fixture, 0, claim(user, "k", 1), Some(answer("a")))
        .await
        .unwrap();
    let reused = once(&fixture, 0, claim(user, "k", 2), Some(answer("b"))).await;
    assert!(matches!(reused, Err(OnceError::KeyReused)));
    let elsewhere = Claim {
        route: "POST /others",
        ..claim(user, "k", 2)
    };
    for other in [
        claim(Uuid::new_v4(), "k", 2),
        claim(user, "K", 2),
        elsewhere,
    ] {
        let fresh = once(&fixture, 0, other, Some(answer("c"))).await;
        assert!(matches!(fresh, Ok(Outcome::Fresh(_))));
    }
}

#[tokio::test]
async fn a_refusal_has_no_effect_and_leaves_the_key_free() {
    let fixture = Fixture::open().await;
    let user = Uuid::new_v4();
    let before = fixture.traces().await;
    let refused = once(&fixture, 0, claim(user, "k", 1), None).await;
    assert!(matches!(
        refused,
        Ok(Outcome::Refused(ChargeError::BalanceLimit))
    ));
    assert_eq!(
        (fixture.balance(user).await, fixture.traces().await),
        (0, before)
    );
    let other_body = once(&fixture, 1, claim(user, "k", 2), Some(answer("now"))).await;
    assert!(matches!(other_body, Ok(Outcome::Fresh(_))));
    let again = once(&fixture, 0, claim(user, "k", 2), None).await;
    assert!(matches!(again, Ok(Outcome::Replayed(given)) if given == answer("now")));
    assert!(matches!(
        once(&fixture, 0, claim(user, "k", 1), None).await,
        Err(OnceError::KeyReused)
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_twins_of_a_request_that_is_always_refused_all_end_with_the_refusal() {
    let fixture = Fixture::open().await;
    let user = Uuid::new_v4();
    let outcomes = all_at_once((0..200).map(|turn| {
        let fixture = fixture.clone();
        async move { once(&fixture, turn, claim(user, "k", 1), None).await }
    }))
    .await;
    let refused = outcomes
        .iter()
        .filter(|outcome| matches!(outcome, Ok(Outcome::Refused(_))))
        .count();
    assert_eq!(refused, 200);
    assert_eq!(
        fixture
            .instances
            .iter()
            .map(|db| db.deadlocks())
            .sum::<u64>(),
        0,
        "and none lost to a deadlock"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn twins_of_which_the_third_succeeds_have_one_effect() {
    let fixture = Fixture::open().await;
    let user = Uuid::new_v4();
    let outcomes = all_at_once((0..100).map(|turn| {
        let fixture = fixture.clone();
        async move {
            once(
                &fixture,
                turn,
                claim(user, "k", 1),
                (turn % 3 == 2).then(|| answer("done")),
            )
            .await
        }
    }))
    .await;
    let fresh = outcomes
        .iter()
        .filter(|outcome| matches!(outcome, Ok(Outcome::Fresh(_))))
        .count();
    assert_eq!(fresh, 1);
    assert!(outcomes.iter().all(Result::is_ok));
    assert_eq!(fixture.balance(user).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_twin_that_waits_too_long_is_told_that_the_first_is_in_progress() {
    let fixture = Fixture::open().await;
    let user = Uuid::new_v4();
    let (started, begun) = mpsc::channel();
    let (finish, finished) = mpsc::channel::<()>();
    let inside = fixture.clone();
    let finished = std::sync::Mutex::new(finished);
    let first = fixture.instances[0].transaction(move |tx| {
        idempotency::once(tx, &claim(user, "k", 1), inside.now, |tx| {
            started.send(()).unwrap();
            finished.lock().unwrap().recv().unwrap();
            act(tx, &inside, user, Some(answer("slow")))
        })
    });
    let twin = async {
        tokio::task::spawn_blocking(move || begun.recv())
            .await
            .unwrap()
            .unwrap();
        let outcome = once(&fixture, 1, claim(user, "k", 1), None).await;
        finish.send(()).unwrap();
        outcome
    };
    let (first, twin) = tokio::join!(first, twin);
    assert!(matches!(twin, Err(OnceError::InProgress)));
    assert!(matches!(first, Ok(Outcome::Fresh(_))));
}

#[tokio::test]
async fn a_database_failure_inside_undoes_the_claim_as_well() {
    let fixture = Fixture::open().await;
    let user = Uuid::new_v4();
    let now = fixture.now;
    let failed: Result<Outcome<ChargeError>, OnceError> = fixture.instances[0]
        .transaction(move |tx| {
            idempotency::once(tx, &claim(user, "k", 1), now, |_| {
                Err(DbError::LockWait.into())
            })
        })
        .await;
    assert!(matches!(
        failed.map_err(Failure::into_db),
        Err(Ok(DbError::LockWait))
    ));
    assert_eq!(
        fixture
            .number("SELECT COUNT(*) FROM idempotency_keys")
            .await,
        0
    );
}

#[tokio::test]
async fn keys_are_forgotten_by_age_in_batches() {
    let fixture = Fixture::open().await;
    let user = Uuid::new_v4();
    for key in ["a", "b", "c"] {
        once(&fixture, 0, claim(user, key, 1), Some(answer(key)))
            .await
            .unwrap();
    }
    let forget = |older_than| {
        fixture.instances[0].transaction(move |tx| idempotency::forget(tx, older_than, 2))
    };
    assert_eq!(forget(fixture.now).await.unwrap(), 0);
    let later = fixture.now + TimeDelta::microseconds(1);
    assert_eq!(forget(later).await.unwrap(), 2);
    assert_eq!(forget(later).await.unwrap(), 1);
    assert_eq!(
        fixture
            .number("SELECT COUNT(*) FROM idempotency_keys")
            .await,
        0
    );
}
