//! Owns who is behind an id of the books: one row joins a person, known by the id in the token, and a subject.
//!
//! Everything else in the database, and all verbs, know the subject alone: reservations, payments, ledger, audit log. It is
//! random and never changes. Requests are translated at the door, answers and events where they leave. Once the row is gone,
//! nobody can tell whose entries they are, and no entry, hash or seal had to change for it. A person who comes again
//! under the same id is somebody new.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chassis::time::{Clock, Timestamp};
use chrono::TimeDelta;
use diesel::dsl::{exists, select};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Nullable};
use uuid::Uuid;

use crate::db::{At, Conn, Db, DbError, Id, kept, padded, times};
use crate::schema::{reservations, subjects, wallets};

/// How long an instance remembers a subject while nobody is forgotten.
const REMEMBERED: TimeDelta = TimeDelta::seconds(60);
/// How long it believes that nobody was: so long another instance may act on a person who was forgotten.
const BELIEVED: TimeDelta = TimeDelta::seconds(5);
/// People who are remembered at most; then all are asked for again.
const REMEMBERED_MOST: usize = 100_000;

/// Who subjects are.
pub type Persons = HashMap<Uuid, Uuid>;

/// The person behind a subject, or the subject of whom nobody knows who it is.
pub fn who(subject: Uuid, persons: &Persons) -> Uuid {
    persons.get(&subject).copied().unwrap_or(subject)
}

/// The subject of a person, if there is one. One statement.
pub fn find(conn: &mut Conn, person: Uuid) -> Result<Option<Uuid>, DbError> {
    let found: Option<Id> = subjects::table
        .find(Id(person))
        .select(subjects::subject)
        .first(conn)
        .optional()?;
    Ok(found.map(Uuid::from))
}

/// What is read of a person whom an instance does not remember.
#[derive(Debug, Clone, Copy, QueryableByName)]
pub struct Look {
    #[diesel(sql_type = Nullable<Binary>)]
    subject: Option<Id>,
    /// How many people were forgotten so far.
    #[diesel(sql_type = BigInt)]
    forgets: i64,
}

/// The subject of a person, if there is one, and how many were forgotten, at the same instant. One statement.
pub fn look(conn: &mut Conn, person: Uuid) -> Result<Look, DbError> {
    let statement = kept(
        "SELECT (SELECT subject FROM subjects WHERE person = ?) AS subject, \
         COALESCE((SELECT times FROM forgets WHERE id = 1), 0) AS forgets",
    );
    let mut rows = statement.bind::<Binary, _>(Id(person)).load(conn)?;
    rows.pop()
        .ok_or(DbError::Unexpected("a SELECT without a row"))
}

/// Joins a person and a new subject; `Duplicate` when the person has one. One statement.
pub fn join(conn: &mut Conn, person: Uuid, subject: Uuid, now: Timestamp) -> Result<(), DbError> {
    diesel::insert_into(subjects::table)
        .values((
            subjects::person.eq(Id(person)),
            subjects::subject.eq(Id(subject)),
            subjects::created_at.eq(At(now)),
        ))
        .execute(conn)?;
    Ok(())
}

/// The subject of a person, a new one if need be: of two who make it at once the primary key lets one. One statement, two for
/// who was not the first.
pub fn of(conn: &mut Conn, person: Uuid, now: Timestamp) -> Result<Uuid, DbError> {
    let subject = Uuid::new_v4();
    match join(conn, person, subject, now) {
        Ok(()) => Ok(subject),
        Err(DbError::Duplicate(_)) => {
            find(conn, person)?.ok_or(DbError::Unexpected("a subject that was just made is gone"))
        }
        Err(cause) => Err(cause),
    }
}

#[derive(QueryableByName)]
struct Joined {
    #[diesel(sql_type = Binary)]
    subject: Id,
    #[diesel(sql_type = Binary)]
    person: Id,
}

/// Who these subjects are; those that were forgotten are left out. One statement, none for an empty list.
pub fn persons(conn: &mut Conn, of: &[Uuid]) -> Result<Persons, DbError> {
    if of.is_empty() {
        return Ok(HashMap::new());
    }
    let of: Vec<Id> = padded(of).into_iter().map(Id).collect();
    let marks = times(of.len(), "?");
    let statement = kept(format!(
        "SELECT subject, person FROM subjects WHERE subject IN ({marks})"
    ));
    let rows: Vec<Joined> = statement.bind_all::<Binary, _>(&of).load(conn)?;
    let known = rows.into_iter();
    Ok(known.map(|row| (row.subject.0, row.person.0)).collect())
}

/// Before an id in JSON of ours.
const MEMBER: &str = "\"userId\":\"";
const ID_LENGTH: usize = 36;

/// Subjects that a JSON text of ours names as `userId`.
pub fn named(json: &str) -> Vec<Uuid> {
    let behind = json.split(MEMBER).skip(1);
    let ids = behind.filter_map(|rest| rest.get(..ID_LENGTH)?.parse().ok());
    ids.collect()
}

/// The same text with people in place of subjects.
pub fn as_persons(json: &str, persons: &Persons) -> String {
    let mut parts = json.split(MEMBER);
    let mut text = parts.next().unwrap_or_default().to_owned();
    for rest in parts {
        text.push_str(MEMBER);
        let id = rest.get(..ID_LENGTH).and_then(|id| id.parse().ok());
        match id.and_then(|id: Uuid| persons.get(&id)) {
            Some(person) => {
                text.push_str(&person.to_string());
                text.push_str(&rest[ID_LENGTH..]);
            }
            None => text.push_str(rest),
        }
    }
    text
}

/// Whether this is a subject: also one of whom nobody knows who it is. One statement.
fn has_books(conn: &mut Conn, id: Uuid) -> Result<bool, DbError> {
    let money = wallets::table.find(Id(id));
    let seats = reservations::table.filter(reservations::user_id.eq(Id(id)));
    Ok(select(exists(money).or(exists(seats))).get_result(conn)?)
}

/// Subjects of those who ask, remembered for a while.
///
/// A read says who the subject is and how many people were forgotten at that instant. What is remembered holds while that
/// number stays the same, and that it does is believed for a moment after each read.
pub struct Subjects {
    db: Db,
    clock: Clock,
    memory: Mutex<Memory>,
}

/// What one number of people who were forgotten goes with.
#[derive(Default)]
struct Memory {
    /// None before the first read.
    forgets: Option<i64>,
    /// Until when that number is believed.
    believed_until: Timestamp,
    subjects: HashMap<Uuid, (Uuid, Timestamp)>,
}

impl Memory {
    fn subject(&self, person: Uuid, now: Timestamp) -> Option<Uuid> {
        let (subject, until) = self.subjects.get(&person)?;
        (now < *until && now < self.believed_until).then_some(*subject)
    }

    /// A read that began at `now` has said this. One that comes late shortens what is believed, and never stretches it: each
    /// number is believed from the beginning of a read that said it.
    fn learn(&mut self, person: Uuid, look: Look, now: Timestamp) {
        if self.forgets == Some(look.forgets) {
            self.believed_until = self.believed_until.max(now + BELIEVED);
        } else {
            *self = Self {
                forgets: Some(look.forgets),
                believed_until: now + BELIEVED,
                subjects: HashMap::new(),
            };
        }
        if let Some(subject) = look.subject {
            self.remember(person, subject.into(), now);
        }
    }

    fn remember(&mut self, person: Uuid, subject: Uuid, now: Timestamp) {
        if self.subjects.len() >= REMEMBERED_MOST {
            self.subjects.clear();
        }
        self.subjects.insert(person, (subject, now + REMEMBERED));
    }
}

impl Subjects {
    /// Remembers nobody yet.
    pub fn new(db: Db, clock: Clock) -> Self {
        Self {
            db,
            clock,
            memory: Mutex::default(),
        }
    }

    /// The subject of somebody who only looks: a random one for somebody of whom there is nothing.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn of_reader(&self, person: Uuid) -> Result<Uuid, DbError> {
        let known = self.known(person).await?;
        Ok(known.unwrap_or_else(Uuid::new_v4))
    }

    /// The subject of somebody who writes, from now on if there was none.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn of_writer(&self, person: Uuid) -> Result<Uuid, DbError> {
        let now = self.clock.now();
        if let Some(subject) = self.lock().subject(person, now) {
            return Ok(subject);
        }
        // The primary key lets one row of a person be, so a second time changes nothing.
        let make = move |conn: &mut Conn| {
            let mut read = look(conn, person)?;
            let subject = match read.subject {
                Some(subject) => subject.into(),
                None => of(conn, person, now)?,
            };
            read.subject = Some(Id(subject));
            Ok::<_, DbError>((subject, read))
        };
        let (subject, read) = match self.db.write_once(make).await {
            // Two nodes of a cluster at the same moment; a transaction runs again.
            Err(DbError::Deadlock) => self.db.transaction(make).await?,
            made => made?,
        };
        self.lock().learn(person, read, now);
        Ok(subject)
    }

    /// The subject of somebody who may come to have something, and whether it is new: then it is theirs once [`join`] is
    /// committed, and until then nothing is written of them.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn of_taker(&self, person: Uuid) -> Result<(Uuid, bool), DbError> {
        let known = self.known(person).await?;
        Ok(known.map_or_else(|| (Uuid::new_v4(), true), |subject| (subject, false)))
    }

    /// A newcomer was joined to this subject.
    pub fn joined(&self, person: Uuid, subject: Uuid) {
        self.lock().remember(person, subject, self.clock.now());
    }

    /// Whom an operator means: a person, or a subject of whom nobody knows who it is.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn meant(&self, id: Uuid) -> Result<Uuid, DbError> {
        Ok(self.known(id).await?.unwrap_or(id))
    }

    /// The same for an operator who writes: somebody of whom there is nothing yet is a person, and known from now on.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn meant_to_change(&self, id: Uuid) -> Result<Uuid, DbError> {
        if let Some(known) = self.known(id).await? {
            return Ok(known);
        }
        if self.db.read(move |conn| has_books(conn, id)).await? {
            return Ok(id);
        }
        self.of_writer(id).await
    }

    /// Asks the database the next time.
    pub fn drop_memory_of(&self, person: Uuid) {
        self.lock().subjects.remove(&person);
    }

    async fn known(&self, person: Uuid) -> Result<Option<Uuid>, DbError> {
        let now = self.clock.now();
        if let Some(subject) = self.lock().subject(person, now) {
            return Ok(Some(subject));
        }
        let read = self.db.read(move |conn| look(conn, person)).await?;
        self.lock().learn(person, read, now);
        Ok(read.subject.map(Uuid::from))
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use chassis::time::Timestamp;
    use chrono::TimeDelta;
    use uuid::Uuid;

    use super::{BELIEVED, Id, Look, Memory, REMEMBERED, REMEMBERED_MOST, as_persons, named};

    const SECOND: TimeDelta = TimeDelta::seconds(1);

    fn said(subject: Uuid, forgets: i64) -> Look {
        Look {
            subject: Some(Id(subject)),
            forgets,
        }
    }

    #[test]
    fn a_subject_is_remembered_while_reads_say_that_nobody_was_forgotten() {
        let (mut memory, now) = (Memory::default(), Timestamp::default());
        let [person, subject, other] = [(); 3].map(|()| Uuid::new_v4());
        assert_eq!(memory.subject(person, now), None);
        memory.learn(person, said(subject, 7), now);
        let last = now + BELIEVED - SECOND;
        assert_eq!(memory.subject(person, last), Some(subject));
        assert_eq!(memory.subject(person, now + BELIEVED), None);
        // A read about anybody renews what is believed of all; a late one takes nothing away.
        memory.learn(other, said(other, 7), last);
        memory.learn(other, said(other, 7), now);
        assert_eq!(memory.subject(person, now + BELIEVED), Some(subject));
        memory.learn(other, said(other, 7), now + REMEMBERED - SECOND);
        assert_eq!(
            memory.subject(person, now + REMEMBERED - SECOND),
            Some(subject)
        );
        assert_eq!(memory.subject(person, now + REMEMBERED), None);
    }

    #[test]
    fn another_number_of_people_who_were_forgotten_ends_all_that_is_remembered() {
        let (mut memory, now) = (Memory::default(), Timestamp::default());
        let [person, subject, other] = [(); 3].map(|()| Uuid::new_v4());
        memory.learn(person, said(subject, 7), now);
        let nobody = Look {
            subject: None,
            forgets: 8,
        };
        memory.learn(other, nobody, now + SECOND);
        assert_eq!(memory.subject(person, now + SECOND), None);
        assert_eq!(memory.subject(other, now + SECOND), None);
        // A read that began before and comes late is believed from its own beginning.
        memory.learn(person, said(subject, 7), now);
        assert_eq!(memory.subject(person, now + BELIEVED), None);
    }

    #[test]
    fn more_people_than_are_remembered_begin_anew() {
        let (mut memory, now) = (Memory::default(), Timestamp::default());
        for _ in 0..=REMEMBERED_MOST {
            memory.learn(Uuid::new_v4(), said(Uuid::new_v4(), 0), now);
        }
        assert_eq!(memory.subjects.len(), 1);
    }

    #[test]
    fn only_known_subjects_are_replaced_and_only_where_they_are_users() {
        let [subject, person, other] = [(); 3].map(|()| Uuid::new_v4());
        let text = format!(
            r#"[{{"userId":"{subject}","id":"{subject}"}},{{"userId":"{other}"}},{{"userId":"é"}},{{"userId":"#
        );
        assert_eq!(named(&text), [subject, other]);
        let told = as_persons(&text, &HashMap::from([(subject, person)]));
        let expected = format!(
            r#"[{{"userId":"{person}","id":"{subject}"}},{{"userId":"{other}"}},{{"userId":"é"}},{{"userId":"#
        );
        assert_eq!(told, expected);
        assert_eq!(as_persons("", &HashMap::new()), "");
    }
}
