//! Statements that a connection prepares once and then only runs.

use diesel::mysql::{Mysql, MysqlConnection};
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::{QueryResult, RunQueryDsl};

/// A statement of the hot path, prepared once for each connection and each shape of its text.
///
/// Diesel keeps no prepared statement for an update, an upsert, an `IN` list or an insert of several rows, because their
/// texts may be without number; each run then costs a second round trip and a parse. The texts of those wrapped here
/// differ only in how many seats a reservation has, so there are a handful. Not for lists of unbounded length.
pub(crate) struct Prepared<Q>(pub(crate) Q);

impl<Q: QueryFragment<Mysql>> QueryFragment<Mysql> for Prepared<Q> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        self.0.walk_ast(out)
    }

    fn is_safe_to_cache_prepared(&self, _: &Mysql) -> QueryResult<bool> {
        Ok(true)
    }
}

/// Without a static id the statement is known by its text.
impl<Q> QueryId for Prepared<Q> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Q: Query> Query for Prepared<Q> {
    type SqlType = Q::SqlType;
}

impl<Q> RunQueryDsl<MysqlConnection> for Prepared<Q> {}
