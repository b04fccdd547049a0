//! Brings the schema up to date, one instance at a time, also over the nodes of a cluster.

use std::thread;
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection as _;
use diesel::dsl::sql;
use diesel::mysql::MysqlConnection;
use diesel::sql_types::{Binary, Integer, Nullable};
use diesel::{QueryableByName, RunQueryDsl, select, sql_query};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use uuid::Uuid;

use super::session::{Sessions, shown};
use super::{DbError, Id};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("../../migrations");
/// How long to wait for another instance that migrates the same database.
const WAIT: Duration = Duration::from_secs(60);
/// How soon to look again whether it is done.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Waits for another instance that migrates the same database, then runs what is missing.
///
/// A named lock lines up those on one server; it belongs to the connection, so it ends with it, also when the process is
/// killed. It is unknown to the other nodes of a cluster, so there a row is taken as well: certification lets one have it.
pub(super) fn run(sessions: &Sessions) -> Result<(), DbError> {
    let opened = sessions.open();
    let opened = opened.map_err(|cause| DbError::Unreachable(cause.to_string()))?;
    let mut conn = opened.mysql;
    // SHA1 left MySQL in 9.6; a name may have 64 characters, as many as this hash.
    let locked: Option<i32> = select(sql::<Nullable<Integer>>(
        "GET_LOCK(SHA2(CONCAT('booking migrations of ', DATABASE()), 256), 60)",
    ))
    .get_result(&mut conn)?;
    if locked != Some(1) {
        return Err(busy());
    }
    let lease = match is_clustered(&mut conn)? {
        true => Some(Lease::take(&mut conn)?),
        false => None,
    };
    let ran = conn.run_pending_migrations(MIGRATIONS);
    let ran = ran
        .map(drop)
        .map_err(|cause| DbError::Migration(cause.to_string()));
    if let Some(lease) = lease {
        lease.give_back(&mut conn)?;
    }
    ran
}

fn busy() -> DbError {
    DbError::Migration("another instance is still migrating".into())
}

/// Whether other nodes may write the same database. A server of its own has no size of a cluster, or says 0.
fn is_clustered(conn: &mut MysqlConnection) -> Result<bool, DbError> {
    let size = shown(conn, "STATUS", "wsrep_cluster_size")?;
    let group = shown(conn, "VARIABLES", "group_replication_group_name")?;
    Ok(size.is_some_and(|it| it != "0") || group.is_some_and(|it| !it.is_empty()))
}

#[derive(QueryableByName)]
struct Owner {
    #[diesel(sql_type = Binary)]
    owner: Id,
}

/// The right to migrate in a cluster. It ends by itself after five minutes, for an instance that was killed.
struct Lease(Uuid);

impl Lease {
    fn take(conn: &mut MysqlConnection) -> Result<Self, DbError> {
        conn.batch_execute(
            "CREATE TABLE IF NOT EXISTS migration_lease (id TINYINT NOT NULL PRIMARY KEY, \
             owner BINARY(16) NOT NULL, until_at DATETIME(6) NOT NULL) ENGINE = InnoDB",
        )?;
        let (lease, begun) = (Self(Uuid::new_v4()), Instant::now());
        while !lease.is_taken(conn)? {
            if begun.elapsed() >= WAIT {
                return Err(busy());
            }
            thread::sleep(LOOK_AGAIN);
        }
        Ok(lease)
    }

    /// One row, written by itself: of two nodes that write it at once, one fails when it commits.
    fn is_taken(&self, conn: &mut MysqlConnection) -> Result<bool, DbError> {
        let wrote = sql_query(
            "INSERT INTO migration_lease (id, owner, until_at) VALUES (1, ?, UTC_TIMESTAMP(6) + INTERVAL 5 MINUTE) \
             ON DUPLICATE KEY UPDATE owner = IF(until_at < UTC_TIMESTAMP(6), VALUES(owner), owner), \
             until_at = IF(owner = VALUES(owner), VALUES(until_at), until_at)",
        )
        .bind::<Binary, _>(Id(self.0))
        .execute(conn)
        .map_err(DbError::from);
        match wrote {
            Ok(_) => {}
            Err(DbError::Deadlock) => return Ok(false),
            Err(cause) => return Err(cause),
        }
        let mine: Vec<Owner> = sql_query("SELECT owner FROM migration_lease WHERE owner = ?")
            .bind::<Binary, _>(Id(self.0))
            .load(conn)?;
        Ok(mine.iter().any(|row| row.owner.0 == self.0))
    }

    fn give_back(self, conn: &mut MysqlConnection) -> Result<(), DbError> {
        sql_query("DELETE FROM migration_lease WHERE owner = ?")
            .bind::<Binary, _>(Id(self.0))
            .execute(conn)?;
        Ok(())
    }
}
