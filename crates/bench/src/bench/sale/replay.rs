//! Owns the limit of the sale: what booking sends to the database for a verb, sent again by a client that does nothing else.
//!
//! The server writes down one transaction of booking while the verb runs once; [`log`](super::log) reads it. What stood
//! for the user, the date, the seat, the reservation and the key is then filled in anew for each transaction, an id that
//! booking made is made anew, and everything else is sent as it was. One connection, one thread; every statement is
//! prepared once and then sent with its values in one round trip, by the same library as booking's.

use std::sync::Arc;

use anyhow::Result;
use diesel::connection::SimpleConnection as _;
use diesel::deserialize::{self, QueryableByName};
use diesel::mysql::{Mysql, MysqlConnection};
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::QueryResult;
use diesel::row::NamedRow;
use diesel::sql_types::{BigInt, Binary, Nullable, Text, Untyped};
use diesel::{Connection as _, RunQueryDsl};
use uuid::{NoContext, Timestamp, Uuid};

use super::log::{Literal, Statement};
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

impl Subject {
    /// Its values, as they stand in statements.
    fn values(&self) -> Vec<Literal> {
        let [user, date, reservation] = [self.user, self.date, self.reservation].map(literal);
        let key = Literal::Bytes(self.key.clone().into_bytes());
        vec![
            user,
            date,
            Literal::Number(self.seat.into()),
            reservation,
            key,
        ]
    }
}

fn literal(id: Uuid) -> Literal {
    Literal::Bytes(id.as_bytes().to_vec())
}

/// A value of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Slot {
    /// The n-th of those that differ: the subject's, then the ids that are made in the transaction.
    Own(usize),
    Same(Literal),
}

/// One transaction, ready to be sent for anybody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe {
    steps: Vec<Statement<Slot>>,
    made: usize,
}

impl Recipe {
    /// From what was sent for this subject.
    pub fn of(sent: Vec<Statement<Literal>>, subject: &Subject) -> Self {
        let mut own = subject.values();
        let of_subject = own.len();
        let steps = sent.into_iter().map(|sent| match sent {
            Statement::Plain(text) => Statement::Plain(text),
            Statement::Prepared(text, values) => {
                let slots = values.into_iter().map(|it| slot(it, &mut own));
                Statement::Prepared(text, slots.collect())
            }
        });
        Self {
            steps: steps.collect(),
            made: own.len() - of_subject,
        }
    }
}

fn slot(value: Literal, own: &mut Vec<Literal>) -> Slot {
    // Sixteen bytes that are no text are an id.
    let is_id = matches!(&value, Literal::Bytes(it) if it.len() == 16 && !it.is_ascii());
    let known = own.iter().position(|it| *it == value);
    if known.is_none() && !is_id {
        return Slot::Same(value);
    }
    Slot::Own(known.unwrap_or_else(|| {
        own.push(value);
        own.len() - 1
    }))
}

/// A connection.
pub struct Bare {
    mysql: MysqlConnection,
}

/// A prepared statement with what its slots hold.
struct Filled {
    sql: Arc<str>,
    values: Vec<Literal>,
}

/// A row that was read.
struct AnyRow;

impl Bare {
    /// Connects.
    pub fn open(url: &str) -> Result<Self> {
        let mut mysql = MysqlConnection::establish(url)?;
        mysql.batch_execute(SETUP)?;
        Ok(Self { mysql })
    }

    /// Sends the transaction for a subject.
    pub fn send(&mut self, recipe: &Recipe, subject: &Subject) -> QueryResult<()> {
        let mut own = subject.values();
        own.extend((0..recipe.made).map(|_| literal(new_id())));
        for step in &recipe.steps {
            match step {
                Statement::Plain(text) => self.mysql.batch_execute(text)?,
                Statement::Prepared(text, slots) => {
                    let fill = |slot: &Slot| match slot {
                        Slot::Own(number) => own[*number].clone(),
                        Slot::Same(value) => value.clone(),
                    };
                    let (sql, values) = (Arc::clone(text), slots.iter().map(fill).collect());
                    self.execute(Filled { sql, values })?;
                }
            }
        }
        Ok(())
    }

    /// All rows are read; a change that changes nothing is a mistake.
    fn execute(&mut self, statement: Filled) -> QueryResult<()> {
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

/// Ids that grow with time, as booking's.
fn new_id() -> Uuid {
    let now = now();
    Uuid::new_v7(Timestamp::from_unix(
        NoContext,
        now.as_secs(),
        now.subsec_nanos(),
    ))
}

impl QueryFragment<Mysql> for Filled {
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

impl QueryId for Filled {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Query for Filled {
    type SqlType = Untyped;
}

impl RunQueryDsl<MysqlConnection> for Filled {}

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
        let subject = Subject {
            user: id(1),
            date: id(2),
            seat: 47,
            reservation: id(3),
            key: "k-1".to_owned(),
        };
        let (held, made) = (Literal::Bytes(b"held".to_vec()), literal(id(9)));
        let user = literal(id(1));
        let values = vec![user, Literal::Number(47), held.clone(), made.clone(), made];
        let sent = vec![
            Statement::Plain("BEGIN".into()),
            Statement::Prepared("A ? ? ? ? ?".into(), values),
        ];
        let recipe = Recipe::of(sent, &subject);
        assert_eq!(recipe.made, 1);
        let own = Slot::Own;
        let slots = vec![own(0), own(2), Slot::Same(held), own(5), own(5)];
        let wanted = Statement::Prepared("A ? ? ? ? ?".into(), slots);
        assert_eq!(recipe.steps[1], wanted);
    }
}
