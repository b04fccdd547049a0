use std::sync::mpsc;

use booking::db::{DbError, Tx};
use booking::idempotency::{self, Claim, Fingerprint, IdempotencyKey, OnceError, Outcome};
use booking::wallet::{self, Amount, Charge, ChargeError};
use chassis::time::Clock;
use chrono::TimeDelta;
use serde_json::json;
use uuid::Uuid;

use crate::fixture::{Fixture, all_at_once, answered, keyed};

fn claim(user_id: Uuid, key: &str, body: i64) -> Claim {
    Claim {
        user_id,
        route: "POST /things",
        key: IdempotencyKey::try_from(key.to_owned()).unwrap(),
        fingerprint: Fingerprint::of(&json!({ "body": body })),
    }
}

/// An effect that shows, and then its words or a refusal.
fn act(
    tx: &mut Tx,
    fixture: &Fixture,
    user_id: Uuid,
    words: Option<&'static str>,
) -> Result<&'static str, ChargeError> {
    let charge = Charge {
        request_id: Uuid::new_v4(),
        user_id,
        amount: Amount::try_from(1).unwrap(),
    };
    wallet::charge(tx, &charge, fixture.now)?;
    words.ok_or(ChargeError::BalanceLimit)
}

type Once = Result<Outcome<&'static str>, OnceError<ChargeError>>;

async fn once(fixture: &Fixture, turn: usize, claim: Claim, words: Option<&'static str>) -> Once {
    let (inside, user_id) = (fixture.clone(), claim.user_id);
    let request = keyed(claim, |words: &&'static str| answered(*words));
    let clock = Clock::stopped_at(fixture.now);
    let act = move |tx: &mut Tx| act(tx, &inside, user_id, words);
    request.run(fixture.db(turn), &clock, act).await
}

fn is_fresh(once: &Once, words: &str) -> bool {
    matches!(once, Ok(Outcome::Fresh(made, given)) if *made == words && *given == answered(words))
}

fn is_replay(once: &Once, words: &str) -> bool {
    matches!(once, Ok(Outcome::Replayed(given)) if *given == answered(words))
}

#[tokio::test]
async fn a_repetition_gets_the_first_answer_and_has_no_effect() {
    let fixture = Fixture::open().await;
    let user = Uuid::new_v4();
    let first = once(&fixture, 0, claim(user, "k", 1), Some("first")).await;
    assert!(is_fresh(&first, "first"));
    let again = once(&fixture, 1, claim(user, "k", 1), Some("second")).await;
    assert!(is_replay(&again, "first"));
    assert_eq!(fixture.balance(user).await, 1);
}

#[tokio::test]
async fn a_key_means_one_request_of_one_user_on_one_route() {
    let fixture = Fixture::open().await;
    let user = Uuid::new_v4();
    once(&fixture, 0, claim(user, "k", 1), Some("a"))
        .await
        .unwrap();
    let reused = once(&fixture, 0, claim(user, "k", 2), Some("b")).await;
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
        let fresh = once(&fixture, 0, other, Some("c")).await;
        assert!(is_fresh(&fresh, "c"));
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
        Err(OnceError::Refused(ChargeError::BalanceLimit))
    ));
    assert_eq!(
        (fixture.balance(user).await, fixture.traces().await),
        (0, before)
    );
    let other_body = once(&fixture, 1, claim(user, "k", 2), Some("now")).await;
    assert!(is_fresh(&other_body, "now"));
    let again = once(&fixture, 0, claim(user, "k", 2), None).await;
    assert!(is_replay(&again, "now"));
    assert!(matches!(
        once(&fixture, 0, claim(user, "k", 1), None).await,
        Err(OnceError::KeyReused)
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_twins_of_a_request_that_is_always_refused_all_end_with_the_refusal() {
    let fixture = Fixture::open().await;
    // Somebody with a wallet: a first charge is never refused.
    let user = fixture.rich().await;
    let outcomes = all_at_once((0..200).map(|turn| {
        let fixture = fixture.clone();
        async move { once(&fixture, turn, claim(user, "k", 1), None).await }
    }))
    .await;
    let refused = outcomes
        .iter()
        .filter(|outcome| matches!(outcome, Err(OnceError::Refused(_))))
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
                (turn % 3 == 2).then_some("done"),
            )
            .await
        }
    }))
    .await;
    let fresh = outcomes
        .iter()
        .filter(|outcome| matches!(outcome, Ok(Outcome::Fresh(..))))
        .count();
    assert_eq!(fresh, 1);
    let sound = |once: &Once| matches!(once, Ok(_) | Err(OnceError::Refused(_)));
    assert!(outcomes.iter().all(sound));
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
    let clock = Clock::stopped_at(fixture.now);
    let request = keyed(claim(user, "k", 1), |words: &&'static str| answered(*words));
    let first = request.run(&fixture.instances[0], &clock, move |tx: &mut Tx| {
        let done = act(tx, &inside, user, Some("slow"));
        started.send(()).unwrap();
        finished.lock().unwrap().recv().unwrap();
        done
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
    assert!(is_fresh(&first, "slow"));
}

#[tokio::test]
async fn a_database_failure_inside_undoes_the_claim_as_well() {
    let fixture = Fixture::open().await;
    let user = Uuid::new_v4();
    let clock = Clock::stopped_at(fixture.now);
    let request = keyed(claim(user, "k", 1), |words: &&'static str| answered(*words));
    let failed: Once = request
        .run(&fixture.instances[0], &clock, |_: &mut Tx| {
            Err(DbError::Unexpected("nothing of the kind").into())
        })
        .await;
    assert!(matches!(failed, Err(OnceError::Db(DbError::Unexpected(_)))));
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
        once(&fixture, 0, claim(user, key, 1), Some(key))
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
