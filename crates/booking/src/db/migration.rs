//! Brings the schema up to date, one instance at a time.

use diesel::dsl::sql;
use diesel::sql_types::{Integer, Nullable};
use diesel::{RunQueryDsl, select};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::{DbError, session};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("../../migrations");

/// Waits up to a minute for another instance that migrates the same database, then runs what is missing.
/// The lock belongs to this connection, so it ends with it, also when the process is killed.
pub(super) fn run(url: &str) -> Result<(), DbError> {
    let mut conn = session::open(url).map_err(|cause| DbError::Unreachable(cause.to_string()))?;
    let locked: Option<i32> = select(sql::<Nullable<Integer>>(
        "GET_LOCK(SHA1(CONCAT('booking migrations of ', DATABASE())), 60)",
    ))
    .get_result(&mut conn)?;
    if locked != Some(1) {
        return Err(DbError::Migration(
            "another instance is still migrating".into(),
        ));
    }
    conn.run_pending_migrations(MIGRATIONS)
        .map_err(|cause| DbError::Migration(cause.to_string()))?;
    Ok(())
}
