//! Owns the limit of the sale: what booking sends to the database for a verb, sent again by a client that does nothing else.
//!
//! The server logs one transaction of booking while the verb runs once; [`log`](super::log) reads it. For each transaction
//! the user, the date, the seat, the reservation and the key are then filled in anew, ids that booking made are made anew,
//! and everything else is sent as it was. Each connection has a thread; every statement is prepared once and then sent
//! with its values in one round trip, by the same library as booking's.

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
use uuid::Uuid;

use super::log::{Literal, Statement};

/// As booking sets up each of its connections.
const SETUP: &str = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED; \
     SET SESSION innodb_lock_wait_timeout = 2, time_zone = '+00:00', autocommit = 0";

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
        let seat = Literal::Number(self.seat.into());
        let key = Literal::Bytes(self.key.clone().into_bytes());
        vec![user, date, seat, reservation, key]
    }
}

fn literal(id: Uuid) -> Literal {
    Literal::Bytes(id.as_bytes().to_vec())
}

/// A value of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Value {
    /// The n-th of those that differ: the subject's, then the ids that are made in the transaction.
    Own(usize),
    Same(Literal),
}

/// One transaction, ready to be sent for anybody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe {
    steps: Vec<Statement<Value>>,
    made: usize,
}

impl Recipe {
    /// From what was sent for this subject.
    pub fn of(sent: Vec<Statement<Literal>>, subject: &Subject) -> Self {
        let mut own = subject.values();
        let of_subject = own.len();
        let steps = sent.into_iter().map(|Statement { sql, values }| {
            let values = values
                .into_iter()
                .map(|it| value_for(it, &mut own))
                .collect();
            Statement { sql, values }
        });
        Self {
            steps: steps.collect(),
            made: own.len() - of_subject,
        }
    }
}

fn value_for(value: Literal, own: &mut Vec<Literal>) -> Value {
    // Sixteen bytes that are no text are an id.
    let is_id = matches!(&value, Literal::Bytes(it) if it.len() == 16 && !it.is_ascii());
    let known = own.iter().position(|it| *it == value);
    if known.is_none() && !is_id {
        return Value::Same(value);
    }
    Value::Own(known.unwrap_or_else(|| {
        own.push(value);
        own.len() - 1
    }))
}

/// A row that was read.
struct AnyRow;

/// A connection like booking's.
pub fn connect(url: &str) -> Result<MysqlConnection> {
    let mut mysql = MysqlConnection::establish(url)?;
    mysql.batch_execute(SETUP)?;
    Ok(mysql)
}

/// Sends the transaction for a subject.
pub fn send(mysql: &mut MysqlConnection, recipe: &Recipe, subject: &Subject) -> QueryResult<()> {
    let mut own = subject.values();
    // Ids that grow with time, as booking's.
    own.extend((0..recipe.made).map(|_| literal(Uuid::now_v7())));
    let fill = |value: &Value| match value {
        Value::Own(number) => own[*number].clone(),
        Value::Same(value) => value.clone(),
    };
    recipe.steps.iter().try_for_each(|step| {
        let sql = Arc::clone(&step.sql);
        let values = step.values.iter().map(fill).collect();
        execute(mysql, Statement { sql, values })
    })
}

/// All rows are read; a change that changes nothing is a mistake.
fn execute(mysql: &mut MysqlConnection, statement: Statement<Literal>) -> QueryResult<()> {
    if statement.sql.starts_with("SELECT") {
        let _: Vec<AnyRow> = statement.load(mysql)?;
        return Ok(());
    }
    let is_change = !statement.values.is_empty();
    match statement.execute(mysql)? {
        0 if is_change => Err(diesel::NotFound),
        _ => Ok(()),
    }
}

impl QueryFragment<Mysql> for Statement<Literal> {
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

impl QueryId for Statement<Literal> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Query for Statement<Literal> {
    type SqlType = Untyped;
}

impl RunQueryDsl<MysqlConnection> for Statement<Literal> {}

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
        let sent = Statement {
            sql: "A ? ? ? ? ?".into(),
            values: vec![user, Literal::Number(47), held.clone(), made.clone(), made],
        };
        let recipe = Recipe::of(vec![sent], &subject);
        assert_eq!(recipe.made, 1);
        let own = Value::Own;
        let values = [own(0), own(2), Value::Same(held), own(5), own(5)];
        assert_eq!(recipe.steps[0].values, values);
    }
}
