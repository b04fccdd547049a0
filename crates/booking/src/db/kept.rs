//! Statements in SQL that each connection prepares once and keeps, also with lists of any length.
//!
//! Diesel prepares and closes a statement that is written as SQL anew each time. These are kept under their text, so there
//! must be few texts: a list is made as long as the next power of two by repeating its last value.

use std::sync::atomic::{AtomicBool, Ordering};

use diesel::RunQueryDsl;
use diesel::connection::SimpleConnection;
use diesel::expression::{AsExpression, TypedExpressionType};
use diesel::mysql::{Mysql, MysqlConnection};
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::{Error, QueryResult};
use diesel::sql_types::{SqlType, Untyped};

/// What MySQL says of statements that it does not prepare.
const NOT_PREPARED: &str = "prepared statement protocol";

/// A statement with its values.
pub(crate) struct Kept {
    text: String,
    values: Vec<Box<dyn QueryFragment<Mysql> + Send>>,
}

/// A statement in which each `?` is a value. It must have no other `?`.
pub(crate) fn kept(text: impl Into<String>) -> Kept {
    Kept {
        text: text.into(),
        values: Vec::new(),
    }
}

impl Kept {
    /// With one more condition.
    pub(crate) fn and(mut self, condition: &str) -> Self {
        self.text += " AND ";
        self.text += condition;
        self
    }

    /// The next value.
    pub(crate) fn bind<T, V>(mut self, value: V) -> Self
    where
        T: SqlType + TypedExpressionType,
        V: AsExpression<T>,
        V::Expression: QueryFragment<Mysql> + Send + 'static,
    {
        self.values.push(Box::new(value.as_expression()));
        self
    }

    /// The next values.
    pub(crate) fn bind_all<T, V>(self, values: &[V]) -> Self
    where
        T: SqlType + TypedExpressionType,
        V: AsExpression<T> + Copy,
        V::Expression: QueryFragment<Mysql> + Send + 'static,
    {
        values
            .iter()
            .fold(self, |statement, value| statement.bind::<T, V>(*value))
    }
}

/// Words without values, which begin or end a transaction.
pub(crate) struct Words {
    text: &'static str,
    /// The server has said that it does not prepare them. That says nothing of others: MySQL prepares COMMIT, but not BEGIN.
    is_refused: AtomicBool,
}

impl Words {
    pub(crate) const fn new(text: &'static str) -> Self {
        Self {
            text,
            is_refused: AtomicBool::new(false),
        }
    }

    /// Sends them, in one round trip where the server prepares them. Else they go as text, which takes three.
    pub(crate) fn send(&self, conn: &mut MysqlConnection) -> QueryResult<()> {
        if !self.is_refused.load(Ordering::Relaxed) {
            match kept(self.text).execute(conn) {
                Err(Error::DatabaseError(_, told)) if told.message().contains(NOT_PREPARED) => {
                    self.is_refused.store(true, Ordering::Relaxed);
                }
                done => return done.map(|_| ()),
            }
        }
        conn.batch_execute(self.text)
    }
}

/// The same values, of a length of which there are few. In an `IN` a value that stands there twice is one value.
pub(crate) fn padded<T: Copy>(values: &[T]) -> Vec<T> {
    let mut padded = values.to_vec();
    if let Some(last) = values.last() {
        padded.resize(values.len().next_power_of_two(), *last);
    }
    padded
}

/// So many of these, with commas between.
pub(crate) fn times(count: usize, what: &str) -> String {
    vec![what; count].join(", ")
}

impl QueryFragment<Mysql> for Kept {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        let mut values = self.values.iter();
        for (index, part) in self.text.split('?').enumerate() {
            if index > 0 {
                let value = values.next().expect("a value for each mark");
                value.walk_ast(out.reborrow())?;
            }
            out.push_sql(part);
        }
        Ok(())
    }
}

impl QueryId for Kept {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Query for Kept {
    type SqlType = Untyped;
}

impl RunQueryDsl<MysqlConnection> for Kept {}

#[cfg(test)]
mod tests {
    use super::{padded, times};

    #[test]
    fn lists_have_few_lengths() {
        assert_eq!(padded::<u8>(&[]), [0; 0]);
        assert_eq!(padded(&[7]), [7]);
        assert_eq!(padded(&[1, 2, 3]), [1, 2, 3, 3]);
        let lengths: std::collections::BTreeSet<_> = (1..=512)
            .map(|length| padded(&vec![0_u8; length]).len())
            .collect();
        assert_eq!(lengths.len(), 10);
        assert_eq!(times(2, "(?, ?)"), "(?, ?), (?, ?)");
    }
}
