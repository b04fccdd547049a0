//! Owns requests that may be repeated: one effect for each key, and the same answer every time.
//!
//! A key is claimed by writing its row before anything else happens, so a twin of the request waits on that row, on
//! whatever instance it runs, and then reads the stored answer. Claim, effect and answer are one transaction.
//! A refusal undoes what the request did but keeps the claimed row without an answer: if the row went away, everyone
//! who waits for it would be handed the gap it leaves, and all but one of them would end in a deadlock.

use chassis::time::{Clock, Timestamp};
use diesel::prelude::*;
use serde_json::Value;
use sha2::{Digest, Sha256};
use uuid::{Builder, Uuid};

use crate::crash;
use crate::db::{At, Db, DbError, Failure, Id, Tx, fails_with_db, send, update, upsert};
use crate::schema::idempotency_keys;

/// The key that a client gives a request: 1 to 255 visible ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(String);

/// The text is not a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to 255 visible ASCII characters")]
pub struct KeyInvalid;

impl TryFrom<String> for IdempotencyKey {
    type Error = KeyInvalid;

    fn try_from(text: String) -> Result<Self, KeyInvalid> {
        let sound =
            (1..=255).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        if sound {
            Ok(Self(text))
        } else {
            Err(KeyInvalid)
        }
    }
}

/// What a body says, whatever the order and spacing of its fields: SHA-256 of its canonical JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The fingerprint of a body, with what else of the request decides its meaning, such as ids in the path.
    pub fn of(body: &Value) -> Self {
        let mut canonical = String::new();
        write_canonical(body, &mut canonical);
        Self(Sha256::digest(canonical).into())
    }
}

/// A request that may be repeated.
#[derive(Debug, Clone)]
pub struct Claim {
    /// Whose request: keys of different users never meet.
    pub user_id: Uuid,
    /// The route pattern, at most 64 characters: keys of different routes never meet.
    pub route: &'static str,
    /// What the client calls it.
    pub key: IdempotencyKey,
    /// What it asks for.
    pub fingerprint: Fingerprint,
}

impl Claim {
    /// The same id for each repetition of the request, for ever: money must not move again when the key has long been
    /// forgotten.
    pub fn request_id(&self) -> Uuid {
        let mut hash = Sha256::new();
        for part in [
            self.user_id.as_bytes().as_slice(),
            self.route.as_bytes(),
            self.key.0.as_bytes(),
        ] {
            hash.update(part);
            hash.update([0]);
        }
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash.finalize()[..16]);
        Builder::from_custom_bytes(bytes).into_uuid()
    }
}

/// A success that is stored and given again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status, 200 to 299.
    pub status: u16,
    /// The body as it is sent.
    pub body: String,
    /// Where the new thing is, when the answer says so.
    pub location: Option<String>,
}

/// A request of a verb that makes a `T`: how it may be repeated, and what its success is answered with.
pub struct Request<T> {
    /// Its key, if it has one.
    pub claim: Option<Claim>,
    /// The answer to a success.
    pub answer: fn(&T) -> Answer,
}

impl<T> Clone for Request<T> {
    fn clone(&self) -> Self {
        Self {
            claim: self.claim.clone(),
            answer: self.answer,
        }
    }
}

/// What became of a request that was not refused.
#[derive(Debug)]
pub enum Outcome<T> {
    /// It had its effect now.
    Fresh(T, Answer),
    /// It had its effect before; this is what was answered then.
    Replayed(Answer),
}

impl<T> Outcome<T> {
    /// What the request made now; nothing for a repetition.
    pub fn fresh(&self) -> Option<&T> {
        match self {
            Self::Fresh(made, _) => Some(made),
            Self::Replayed(_) => None,
        }
    }
}

/// Why a request had no effect.
#[derive(Debug, thiserror::Error)]
pub enum OnceError<E> {
    /// The verb refused it; the key is free for another try.
    #[error(transparent)]
    Refused(E),
    /// The key was used for a request that asked for something else.
    #[error("the key was used for another request")]
    KeyReused,
    /// The first request with this key is still running.
    #[error("the first request with this key is still running")]
    InProgress,
    /// The database failed.
    #[error(transparent)]
    Db(DbError),
}

impl<T> Request<T> {
    /// The id of what the request makes: the same for each repetition of a key, new without one.
    pub fn id(&self) -> Uuid {
        let claim = self.claim.as_ref();
        claim.map_or_else(Uuid::new_v4, Claim::request_id)
    }
}

impl<T: Send + 'static> Request<T> {
    /// Lets `act` have its effect once for the key, in one transaction with the answer that is stored. Three statements
    /// around those of `act`; two for a repetition. Without a key it is a plain transaction.
    ///
    /// A failure of the database inside `act` is [`OnceError::Db`]: the whole transaction is undone or runs again.
    pub async fn run<E: Failure + Send + 'static>(
        self,
        db: &Db,
        clock: &Clock,
        act: impl Fn(&mut Tx) -> Result<T, E> + Send + Sync + 'static,
    ) -> Result<Outcome<T>, OnceError<E>> {
        let Self { claim, answer } = self;
        let Some(claim) = claim else {
            let made = db.transaction(act).await.map_err(OnceError::Refused)?;
            let answer = answer(&made);
            return Ok(Outcome::Fresh(made, answer));
        };
        let clock = clock.clone();
        let outcome = db
            .transaction(move |tx| once(tx, &claim, clock.now(), answer, &act))
            .await;
        crash::point("once.committed");
        match outcome {
            Ok(Ok(outcome)) => Ok(outcome),
            Ok(Err(refusal)) => Err(OnceError::Refused(refusal)),
            Err(ClaimError::KeyReused) => Err(OnceError::KeyReused),
            Err(ClaimError::InProgress) => Err(OnceError::InProgress),
            Err(ClaimError::Db(cause)) => Err(OnceError::Db(cause)),
        }
    }
}

/// Why a key cannot be claimed; [`OnceError`] says the same to callers of [`Request::run`].
#[derive(Debug)]
#[expect(missing_docs, reason = "as in OnceError")]
pub enum ClaimError {
    KeyReused,
    InProgress,
    Db(DbError),
}

fails_with_db!(ClaimError);

type Stored = (Vec<u8>, Option<u16>, Option<String>, Option<String>);

/// The step inside the transaction. The inner result is a refusal that is committed: the key stays claimed and has no
/// answer.
pub fn once<T, E: Failure>(
    tx: &mut Tx,
    claim: &Claim,
    now: Timestamp,
    answer: fn(&T) -> Answer,
    act: impl FnOnce(&mut Tx) -> Result<T, E>,
) -> Result<Result<Outcome<T>, E>, ClaimError> {
    if !claim_key(tx, claim, now)?
        && let Some(answer) = stored_answer(tx, claim)?
    {
        return Ok(Ok(Outcome::Replayed(answer)));
    }
    crash::point("once.claimed");
    send(tx, "SAVEPOINT claimed")?;
    match act(tx).map_err(Failure::into_db) {
        Ok(made) => {
            let answer = answer(&made);
            store_answer(tx, claim, &answer, now)?;
            crash::point("once.answered");
            Ok(Ok(Outcome::Fresh(made, answer)))
        }
        Err(Ok(cause)) => Err(cause.into()),
        Err(Err(refusal)) => {
            send(tx, "ROLLBACK TO SAVEPOINT claimed")?;
            Ok(Err(refusal))
        }
    }
}

/// Forgets at most `batch` keys that were first used before `older_than`, and says how many.
pub fn forget(tx: &mut Tx, older_than: Timestamp, batch: u32) -> Result<usize, DbError> {
    let forgotten = diesel::sql_query(
        "DELETE FROM idempotency_keys WHERE created_at < ? ORDER BY created_at LIMIT ?",
    )
    .bind::<diesel::sql_types::Datetime, _>(At(older_than))
    .bind::<diesel::sql_types::BigInt, _>(i64::from(batch))
    .execute(tx)?;
    Ok(forgotten)
}

/// Writes the key's row, or waits for the request that has it and locks it; says whether it was new.
fn claim_key(tx: &mut Tx, claim: &Claim, now: Timestamp) -> Result<bool, ClaimError> {
    let row = diesel::insert_into(idempotency_keys::table).values((
        idempotency_keys::user_id.eq(Id(claim.user_id)),
        idempotency_keys::route.eq(claim.route),
        idempotency_keys::idempotency_key.eq(&claim.key.0),
        idempotency_keys::fingerprint.eq(claim.fingerprint.0.as_slice()),
        idempotency_keys::created_at.eq(At(now)),
    ));
    // A plain INSERT would make waiters share a lock that none of them could then turn into its own.
    let claimed = upsert(
        row,
        idempotency_keys::claims.eq(idempotency_keys::claims + 1),
    );
    match claimed.execute(tx).map_err(DbError::from) {
        // MySQL counts one row for an insert and two for an update.
        Ok(rows) => Ok(rows == 1),
        Err(DbError::LockWait) => Err(ClaimError::InProgress),
        Err(cause) => Err(cause.into()),
    }
}

fn stored_answer(tx: &mut Tx, claim: &Claim) -> Result<Option<Answer>, ClaimError> {
    let (fingerprint, status, body, location): Stored = row(claim)
        .select((
            idempotency_keys::fingerprint,
            idempotency_keys::status,
            idempotency_keys::body,
            idempotency_keys::location,
        ))
        .first(tx)?;
    match status.zip(body) {
        None => Ok(None),
        Some(_) if fingerprint != claim.fingerprint.0 => Err(ClaimError::KeyReused),
        Some((status, body)) => Ok(Some(Answer {
            status,
            body,
            location,
        })),
    }
}

/// Also puts the fingerprint: an earlier request with this key may have been refused and have asked for something else.
fn store_answer(
    tx: &mut Tx,
    claim: &Claim,
    answer: &Answer,
    now: Timestamp,
) -> Result<(), DbError> {
    let changes = (
        idempotency_keys::fingerprint.eq(claim.fingerprint.0.as_slice()),
        idempotency_keys::status.eq(answer.status),
        idempotency_keys::body.eq(&answer.body),
        idempotency_keys::location.eq(&answer.location),
        idempotency_keys::created_at.eq(At(now)),
    );
    update(row(claim), changes).execute(tx)?;
    Ok(())
}

#[diesel::dsl::auto_type(no_type_alias)]
fn row<'a>(claim: &'a Claim) -> _ {
    let user_id: Id = Id(claim.user_id);
    let route: &'a str = claim.route;
    let key: &'a str = claim.key.0.as_str();
    idempotency_keys::table
        .filter(idempotency_keys::user_id.eq(user_id))
        .filter(idempotency_keys::route.eq(route))
        .filter(idempotency_keys::idempotency_key.eq(key))
}

/// JSON with the fields of each object in the order of their names and nothing between.
fn write_canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(fields) => {
            let mut sorted: Vec<_> = fields.iter().collect();
            sorted.sort_by_key(|(name, _)| *name);
            out.push('{');
            for (name, field) in sorted {
                out.push_str(&Value::from(name.as_str()).to_string());
                out.push(':');
                write_canonical(field, out);
                out.push(',');
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for item in items {
                write_canonical(item, out);
                out.push(',');
            }
            out.push(']');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            out.push_str(&value.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Fingerprint, IdempotencyKey};

    #[test]
    fn the_order_of_fields_and_the_blanks_between_do_not_matter() {
        let parse = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
        let one = Fingerprint::of(&parse(r#"{"a":1,"b":[1,{"c":2,"d":3}]}"#));
        assert_eq!(
            one,
            Fingerprint::of(&parse(r#" { "b": [1, {"d":3, "c":2}], "a": 1 } "#))
        );
        assert_ne!(
            one,
            Fingerprint::of(&json!({ "a": 1, "b": [{ "c": 2, "d": 3 }, 1] }))
        );
        assert_ne!(Fingerprint::of(&json!("1")), Fingerprint::of(&json!(1)));
    }

    #[test]
    fn a_key_is_visible_ascii() {
        for odd in ["", "a b", "ä", "a\n", &"x".repeat(256)] {
            assert!(IdempotencyKey::try_from(odd.to_owned()).is_err(), "{odd:?}");
        }
        assert!(IdempotencyKey::try_from("x".repeat(255)).is_ok());
        assert!(IdempotencyKey::try_from("'; DROP--".to_owned().replace(' ', "_")).is_ok());
    }
}
