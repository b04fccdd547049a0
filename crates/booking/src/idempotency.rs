//! Owns requests that may be repeated: one effect for each key, and the same answer every time.
//!
//! The key's row is written last, with the answer, in the transaction of the effect; its primary key lets one of all equal
//! requests do so. A twin waits for the rows that the verb locks, on whatever instance it runs, and a repetition finds them
//! changed: either is refused by the verb or by the primary key. So a request that does not succeed asks for the stored answer before
//! the transaction is undone. A success costs one statement more than without a key, and a refusal leaves nothing behind.

use chassis::time::{Clock, Timestamp};
use diesel::prelude::*;
use diesel::result::Error;
use serde_json::Value;
use sha2::{Digest, Sha256};
use uuid::{Builder, Uuid};

use crate::crash;
use crate::db::{At, Db, DbError, Failure, Id, Tx, update};
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
    /// Lets `act` have its effect once for the key, in one transaction with the answer that is stored. One statement more
    /// than those of `act`, for a success and for whatever else. Without a key it is a plain transaction.
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
            Ok((made, answer)) => Ok(Outcome::Fresh(made, answer)),
            Err(Undone::Replayed(answer)) => Ok(Outcome::Replayed(answer)),
            Err(Undone::Refused(refusal)) => Err(OnceError::Refused(refusal)),
            Err(Undone::KeyReused) => Err(OnceError::KeyReused),
            Err(Undone::InProgress) => Err(OnceError::InProgress),
            Err(Undone::Db(cause)) => Err(OnceError::Db(cause)),
        }
    }
}

/// Why a transaction with a key is undone; [`OnceError`] says the same to callers of [`Request::run`].
#[derive(Debug)]
#[expect(missing_docs, reason = "as in OnceError")]
pub enum Undone<E> {
    /// An equal request had its effect before; this is what was answered then.
    Replayed(Answer),
    Refused(E),
    KeyReused,
    InProgress,
    Db(DbError),
}

impl<E> From<DbError> for Undone<E> {
    fn from(cause: DbError) -> Self {
        match cause {
            // What a request waits for belongs to its user, so it is another one of the same user that takes so long.
            DbError::LockWait => Self::InProgress,
            cause => Self::Db(cause),
        }
    }
}

impl<E> From<Error> for Undone<E> {
    fn from(cause: Error) -> Self {
        DbError::from(cause).into()
    }
}

impl<E> Failure for Undone<E> {
    fn into_db(self) -> Result<DbError, Self> {
        match self {
            Self::Db(cause) => Ok(cause),
            undone => Err(undone),
        }
    }
}

type Stored = (Vec<u8>, Option<u16>, Option<String>, Option<String>);

/// The step inside the transaction.
pub fn once<T, E: Failure>(
    tx: &mut Tx,
    claim: &Claim,
    now: Timestamp,
    answer: fn(&T) -> Answer,
    act: impl FnOnce(&mut Tx) -> Result<T, E>,
) -> Result<(T, Answer), Undone<E>> {
    match act(tx).map_err(Failure::into_db) {
        Ok(made) => {
            crash::point("once.acted");
            let answer = answer(&made);
            if store(tx, claim, &answer, now)? {
                crash::point("once.answered");
                return Ok((made, answer));
            }
            let twin = "a key was taken and is gone";
            Err(stored(tx, claim)?.unwrap_or(Undone::Db(DbError::Unexpected(twin))))
        }
        // The second may be told so by a unique key.
        Err(Ok(cause @ DbError::Duplicate(_))) => {
            Err(stored(tx, claim)?.unwrap_or(Undone::Db(cause)))
        }
        Err(Ok(cause)) => Err(cause.into()),
        Err(Err(refusal)) => Err(stored(tx, claim)?.unwrap_or(Undone::Refused(refusal))),
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

/// Writes the key with its answer, and says whether this request was the first. One statement.
fn store(tx: &mut Tx, claim: &Claim, answer: &Answer, now: Timestamp) -> Result<bool, DbError> {
    let written = diesel::insert_into(idempotency_keys::table)
        .values((
            idempotency_keys::user_id.eq(Id(claim.user_id)),
            idempotency_keys::route.eq(claim.route),
            idempotency_keys::idempotency_key.eq(&claim.key.0),
            idempotency_keys::fingerprint.eq(claim.fingerprint.0.as_slice()),
            idempotency_keys::status.eq(answer.status),
            idempotency_keys::body.eq(&answer.body),
            idempotency_keys::location.eq(&answer.location),
            idempotency_keys::created_at.eq(At(now)),
        ))
        .execute(tx);
    match written.map_err(DbError::from) {
        Ok(_) => Ok(true),
        Err(DbError::Duplicate(_)) => fill(tx, claim, answer, now),
        Err(cause) => Err(cause),
    }
}

/// Answers a key that is there without an answer: the releases before kept those of refused requests. The row count
/// decides.
fn fill(tx: &mut Tx, claim: &Claim, answer: &Answer, now: Timestamp) -> Result<bool, DbError> {
    let unanswered = row(claim).filter(idempotency_keys::status.is_null());
    let changes = (
        idempotency_keys::fingerprint.eq(claim.fingerprint.0.as_slice()),
        idempotency_keys::status.eq(answer.status),
        idempotency_keys::body.eq(&answer.body),
        idempotency_keys::location.eq(&answer.location),
        idempotency_keys::created_at.eq(At(now)),
    );
    Ok(update(unanswered, changes).execute(tx)? == 1)
}

/// What an equal request was answered, or that the key was used for another one. One statement.
fn stored<E>(tx: &mut Tx, claim: &Claim) -> Result<Option<Undone<E>>, DbError> {
    let found: Option<Stored> = row(claim)
        .select((
            idempotency_keys::fingerprint,
            idempotency_keys::status,
            idempotency_keys::body,
            idempotency_keys::location,
        ))
        .first(tx)
        .optional()?;
    let Some((fingerprint, Some(status), Some(body), location)) = found else {
        return Ok(None);
    };
    if fingerprint != claim.fingerprint.0 {
        return Ok(Some(Undone::KeyReused));
    }
    Ok(Some(Undone::Replayed(Answer {
        status,
        body,
        location,
    })))
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
