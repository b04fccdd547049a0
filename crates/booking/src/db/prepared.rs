//! Statements that each connection prepares once and keeps.
//!
//! Diesel keeps a prepared statement only when no value can change its text. So it prepares and closes every `UPDATE`,
//! `ON DUPLICATE KEY UPDATE`, `IN` and insert of several rows anew, each for one more round trip. Those that are made
//! here have few texts, so Diesel may keep them under their text. Nothing here may be used where the number of texts
//! has no small limit.

use diesel::expression::{AppearsOnTable, Expression, SelectableExpression, ValidGrouping};
use diesel::mysql::Mysql;
use diesel::query_builder::{
    AsChangeset, AstPass, InsertStatement, IntoUpdateTarget, QueryFragment, QueryId, UpdateTarget,
};
use diesel::result::QueryResult;
use diesel::sql_types::{Bool, SmallInt, Unsigned};
use diesel::{QuerySource, RunQueryDsl};

/// `UPDATE` of these rows. The changes must have no `Option` that leaves a column out.
pub(crate) fn update<R, C>(
    rows: R,
    changes: C,
) -> Update<<R::Table as QuerySource>::FromClause, C::Changeset, R::WhereClause>
where
    R: IntoUpdateTarget,
    C: AsChangeset<Target = R::Table>,
{
    let UpdateTarget {
        table,
        where_clause,
    } = rows.into_update_target();
    Update {
        table: table.from_clause(),
        changes: changes.as_changeset(),
        rows: where_clause,
    }
}

/// `INSERT`, and where a row with one of the keys is there already, `ON DUPLICATE KEY UPDATE` of that row.
pub(crate) fn upsert<T, V, C>(
    insert: InsertStatement<T, V>,
    changes: C,
) -> Upsert<InsertStatement<T, V>, C::Changeset>
where
    T: QuerySource,
    C: AsChangeset<Target = T>,
{
    Upsert {
        insert,
        changes: changes.as_changeset(),
    }
}

/// `IN` of seat numbers, at least one. A text for each count, so only for the seats of one reservation.
pub(crate) fn one_of<C>(column: C, numbers: impl Into<Vec<u16>>) -> OneOf<C>
where
    C: Expression<SqlType = Unsigned<SmallInt>>,
{
    OneOf {
        column,
        numbers: numbers.into(),
    }
}

/// Inserts the rows of a slice with one statement. It is kept for one to four rows, and not for more.
macro_rules! insert_rows {
    ($tx:expr, $table:expr, $rows:expr) => {{
        let (rows, insert) = ($rows, diesel::insert_into($table));
        if let Ok(one) = <&[_; 1]>::try_from(rows) {
            insert.values(one).execute($tx)
        } else if let Ok(two) = <&[_; 2]>::try_from(rows) {
            insert.values(two).execute($tx)
        } else if let Ok(three) = <&[_; 3]>::try_from(rows) {
            insert.values(three).execute($tx)
        } else if let Ok(four) = <&[_; 4]>::try_from(rows) {
            insert.values(four).execute($tx)
        } else {
            insert.values(rows).execute($tx)
        }
    }};
}
pub(crate) use insert_rows;

pub(crate) struct Update<T, C, R> {
    table: T,
    changes: C,
    rows: R,
}

pub(crate) struct Upsert<I, C> {
    insert: I,
    changes: C,
}

#[derive(Debug, Clone)]
pub(crate) struct OneOf<C> {
    column: C,
    numbers: Vec<u16>,
}

impl<T, C, R> QueryFragment<Mysql> for Update<T, C, R>
where
    T: QueryFragment<Mysql>,
    C: QueryFragment<Mysql>,
    R: QueryFragment<Mysql>,
{
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.push_sql("UPDATE ");
        self.table.walk_ast(out.reborrow())?;
        out.push_sql(" SET ");
        self.changes.walk_ast(out.reborrow())?;
        self.rows.walk_ast(out)
    }
}

impl<I, C> QueryFragment<Mysql> for Upsert<I, C>
where
    I: QueryFragment<Mysql>,
    C: QueryFragment<Mysql>,
{
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        self.insert.walk_ast(out.reborrow())?;
        out.push_sql(" ON DUPLICATE KEY UPDATE ");
        self.changes.walk_ast(out)
    }
}

impl<C> QueryFragment<Mysql> for OneOf<C>
where
    C: QueryFragment<Mysql>,
{
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.push_sql("(");
        self.column.walk_ast(out.reborrow())?;
        out.push_sql(" IN (");
        for (index, number) in self.numbers.iter().enumerate() {
            if index > 0 {
                out.push_sql(", ");
            }
            out.push_bind_param::<Unsigned<SmallInt>, u16>(number)?;
        }
        out.push_sql("))");
        Ok(())
    }
}

/// Kept under their text.
macro_rules! found_by_text {
    ($($name:ident<$($part:ident),+>),+) => {$(
        impl<$($part),+> QueryId for $name<$($part),+> {
            type QueryId = ();
            const HAS_STATIC_QUERY_ID: bool = false;
        }
    )+};
}
found_by_text!(Update<T, C, R>, Upsert<I, C>, OneOf<C>);

impl<T, C, R, Conn> RunQueryDsl<Conn> for Update<T, C, R> {}
impl<I, C, Conn> RunQueryDsl<Conn> for Upsert<I, C> {}

impl<C> Expression for OneOf<C> {
    type SqlType = Bool;
}

impl<C: ValidGrouping<G>, G> ValidGrouping<G> for OneOf<C> {
    type IsAggregate = C::IsAggregate;
}

impl<C: AppearsOnTable<Q>, Q> AppearsOnTable<Q> for OneOf<C> {}
impl<C: SelectableExpression<Q>, Q> SelectableExpression<Q> for OneOf<C> {}
