//! Owns the limit of the sale: what booking sends to the database for a verb, sent again by a client that does nothing else.
//!
//! The server writes down one transaction of booking while the verb runs once; [`log`](super::log) reads it. What stood
//! for the user, the date, the seat, the reservation and the key is then filled in anew for each transaction, an id that
//! booking made is made anew, and everything else is sent as it was. One connection, one thread; every statement is
//! prepared once and then sent with its values in one round trip, by the same library as booking's.

use std::io;
use std::sync::Arc;

use diesel::connection::SimpleConnection as _;
use diesel::deserialize::{self, QueryableByName};
use diesel::mysql::{Mysql, MysqlConnection};
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::QueryResult;
use diesel::row::NamedRow;
use diesel::sql_types::{BigInt, Binary, Nullable, Text, Untyped};
use diesel::{Connection as _, RunQueryDsl};
use uuid::{NoContext, Timestamp, Uuid};

use super::log::{Literal, Sent};
use crate::fixture::now;

/// As booking sets up each of its connections.
const SETUP: &str = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED; \
     SET SESSION innodb_lock_wait_timeout = 2, time_zone = '+00:00'";

/// What differs from one transaction of a verb to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// Who acts.
    pub user: Uuid,
    /// Of which date.
    pub date: Uuid,
    /// Which seat.
    pub seat: u16,
    /// What is paid.
    pub reservation: Uuid,
    /// The `Idempotency-Key`.
    pub key: String,
}

/// A value of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Slot {
    User,
    Date,
    Seat,
    Reservation,
    Key,
    /// The n-th id that is made in the transaction.
    Made(usize),
    Same(Literal),
}

/// A statement of the transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// Without values, as BEGIN.
    Plain(Arc<str>),
    Prepared(Arc<str>, Arc<[Slot]>),
}

/// One transaction, ready to be sent for anybody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe {
    steps: Vec<Step>,
    made: usize,
}

impl Recipe {
    /// From what was sent for this subject.
    pub fn of(sent: Vec<Sent>, subject: &Subject) -> Self {
        let mut made = Vec::new();
        let steps = sent.into_iter().map(|sent| match sent {
            Sent::Plain(text) => Step::Plain(text.into()),
            Sent::Prepared(text, values) => {
                let slots = values.into_iter().map(|it| slot(it, subject, &mut made));
                Step::Prepared(text.into(), slots.collect())
            }
        });
        Self {
            steps: steps.collect(),
            made: made.len(),
        }
    }
}

fn slot(value: Literal, subject: &Subject, made: &mut Vec<Uuid>) -> Slot {
    match &value {
        Literal::Number(number) if *number == i64::from(subject.seat) => Slot::Seat,
        Literal::Bytes(bytes) if *bytes == subject.key.as_bytes() => Slot::Key,
        // Sixteen bytes that are no text are an id.
        Literal::Bytes(bytes) if bytes.len() == 16 && !bytes.is_ascii() => {
            let id = Uuid::from_slice(bytes).unwrap_or_default();
            match id {
                _ if id == subject.user => Slot::User,
                _ if id == subject.date => Slot::Date,
                _ if id == subject.reservation => Slot::Reservation,
                _ => Slot::Made(made.iter().position(|it| *it == id).unwrap_or_else(|| {
                    made.push(id);
                    made.len() - 1
                })),
            }
        }
        _ => Slot::Same(value),
    }
}

/// A connection.
pub struct Bare {
    mysql: MysqlConnection,
}

/// A statement with what its slots hold.
struct Statement {
    sql: Arc<str>,
    values: Vec<Literal>,
}

/// A row that was read.
struct AnyRow;

impl Bare {
    /// Connects.
    pub fn open(url: &str) -> io::Result<Self> {
        let mut mysql = MysqlConnection::establish(url).map_err(io::Error::other)?;
        mysql.batch_execute(SETUP).map_err(io::Error::other)?;
        Ok(Self { mysql })
    }

    /// Sends the transaction for a subject.
    pub fn send(&mut self, recipe: &Recipe, subject: &Subject) -> QueryResult<()> {
        let made: Vec<_> = (0..recipe.made).map(|_| new_id()).collect();
        for step in &recipe.steps {
            match step {
                Step::Plain(text) => self.mysql.batch_execute(text)?,
                Step::Prepared(text, slots) => {
                    let values = slots.iter().map(|it| it.fill(subject, &made)).collect();
                    self.execute(Statement {
                        sql: Arc::clone(text),
                        values,
                    })?;
                }
            }
        }
        Ok(())
    }

    /// All rows are read; a change that changes nothing is a mistake.
    fn execute(&mut self, statement: Statement) -> QueryResult<()> {
        if statement.sql.starts_with("SELECT") {
            let _: Vec<AnyRow> = statement.load(&mut self.mysql)?;
            return Ok(());
        }
        let is_change = !statement.values.is_empty();
        match statement.execute(&mut self.mysql)? {
            0 if is_change => Err(diesel::NotFound),
            _ => Ok(()),
        }
    }
}

impl Slot {
    fn fill(&self, subject: &Subject, made: &[Uuid]) -> Literal {
        let id = |id: &Uuid| Literal::Bytes(id.as_bytes().to_vec());
        match self {
            Slot::User => id(&subject.user),
            Slot::Date => id(&subject.date),
            Slot::Seat => Literal::Number(subject.seat.into()),
            Slot::Reservation => id(&subject.reservation),
            Slot::Key => Literal::Bytes(subject.key.clone().into_bytes()),
            Slot::Made(number) => id(&made[*number]),
            Slot::Same(value) => value.clone(),
        }
    }
}

/// Ids that grow with time, as booking's.
fn new_id() -> Uuid {
    let now = now();
    Uuid::new_v7(Timestamp::from_unix(
        NoContext,
        now.as_secs(),
        now.subsec_nanos(),
    ))
}

impl QueryFragment<Mysql> for Statement {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        const NOTHING: Option<i64> = None;
        // Not marked as unsafe to cache: the connection keeps the prepared statement under its text.
        for (index, part) in self.sql.split('?').enumerate() {
            match index.checked_sub(1).map(|before| &self.values[before]) {
                None => {}
                Some(Literal::Bytes(it)) => match std::str::from_utf8(it) {
                    Ok(text) => out.push_bind_param::<Text, _>(text)?,
                    Err(_) => out.push_bind_param::<Binary, _>(it)?,
                },
                Some(Literal::Number(it)) => out.push_bind_param::<BigInt, _>(it)?,
                Some(Literal::Null) => out.push_bind_param::<Nullable<BigInt>, _>(&NOTHING)?,
            }
            out.push_sql(part);
        }
        Ok(())
    }
}

impl QueryId for Statement {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Query for Statement {
    type SqlType = Untyped;
}

impl RunQueryDsl<MysqlConnection> for Statement {}

impl QueryableByName<Mysql> for AnyRow {
    fn build<'a>(_: &impl NamedRow<'a, Mysql>) -> deserialize::Result<Self> {
        Ok(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_the_subject_is_filled_in_anew_and_the_rest_is_the_same() {
        let id = |number: u128| Uuid::from_u128((0xff << 120) | number);
        let bytes = |id: Uuid| Literal::Bytes(id.as_bytes().to_vec());
        let subject = Subject {
            user: id(1),
            date: id(2),
            seat: 47,
            reservation: id(3),
            key: "k-1".to_owned(),
        };
        let (held, made) = (Literal::Bytes(b"held".to_vec()), bytes(id(9)));
        let values = vec![
            bytes(id(1)),
            Literal::Number(47),
            held.clone(),
            made.clone(),
            made,
        ];
        let sent = vec![
            Sent::Plain("BEGIN".into()),
            Sent::Prepared("A ? ? ? ? ?".into(), values),
        ];
        let recipe = Recipe::of(sent, &subject);
        assert_eq!(recipe.made, 1);
        let Step::Prepared(_, slots) = &recipe.steps[1] else {
            panic!("{recipe:?}")
        };
        let wanted = [
            Slot::User,
            Slot::Seat,
            Slot::Same(held),
            Slot::Made(0),
            Slot::Made(0),
        ];
        assert_eq!(slots[..], wanted);
        let other = Subject {
            user: id(4),
            ..subject
        };
        assert_eq!(slots[0].fill(&other, &[]), bytes(id(4)));
    }
}
