//! One connection and how each new one is set up.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use diesel::ConnectionError;
use diesel::connection::{Connection, SimpleConnection};
use diesel::dsl::sql;
use diesel::mysql::MysqlConnection;
use diesel::r2d2::{Error, ManageConnection, R2D2Connection};
use diesel::result::Error as DieselError;
use diesel::result::Error::NotFound;
use diesel::sql_types::{BigInt, Text};
use diesel::{QueryResult, QueryableByName, RunQueryDsl as _, select, sql_query};

use super::{Conn, DbError, UrlInvalid, Words, address};

/// READ COMMITTED: no gap locks, and after waiting for a row a statement sees what is in it now.
/// The strict mode refuses what does not fit instead of cutting it. English words, because errors are told apart by
/// them. Hashes of all rows under a seal are put together to one text, which the default would cut.
///
/// MariaDB itself ends a transaction that has been silent for longer than any of ours takes: of a client that is gone
/// without a word, behind a cut network, it would keep the rows locked for hours. To MySQL, which cannot, that is a comment.
const SETUP: &str = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED; \
     SET SESSION /*M! idle_transaction_timeout = 3, */ innodb_lock_wait_timeout = 2, time_zone = '+00:00', lc_messages = 'en_US', group_concat_max_len = 1048576, \
     sql_mode = 'STRICT_ALL_TABLES,ONLY_FULL_GROUP_BY,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'";

/// In a Galera cluster each read and each BEGIN first waits for what other nodes have committed by then, so that who
/// reserved through one node pays through another. Elsewhere it is never said.
const CAUSAL: &str = "SET SESSION wsrep_sync_wait = 1";

/// The first statement begins a transaction, so no round trip is spent on BEGIN. On a connection that only reads this must not
/// be said: what it has read would stay locked against changes of tables.
///
/// A client of MySQL that is gone without a word is closed when it has been silent for so long, in a transaction or between two;
/// the rows that it has locked are free then. Connections that were idle for as long are closed too, and the next who takes
/// one takes another. To MariaDB, which ends such transactions alone, that is a comment.
const WRITES: &str = "SET SESSION /*!80000 wait_timeout = 10, */ autocommit = 0";

static BEGIN: Words = Words::new("BEGIN");
static COMMIT: Words = Words::new("COMMIT");
static ROLLBACK: Words = Words::new("ROLLBACK");

/// A connection of the pool.
pub(super) struct Session {
    pub(super) mysql: MysqlConnection,
    /// Set when the connection turned out to be dead: the pool drops it instead of taking it back.
    pub(super) lost: bool,
    /// Whether a transaction must say BEGIN: a node of a cluster waits there for what others have committed.
    says_begin: bool,
}

/// How far a transaction came.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reached {
    /// It did not begin.
    Nothing,
    /// It was not committed, whatever became of its connection.
    Act,
    /// Its COMMIT was sent.
    Commit,
}

impl Session {
    /// Runs `act` inside a transaction. The second says how far it came.
    ///
    /// Diesel's own way takes three round trips for each BEGIN and COMMIT, because it switches several statements at once on
    /// before and off after it. Here there is no BEGIN, but in a cluster, and a prepared COMMIT takes one. So Diesel does not
    /// know of the transaction: inside, nothing may ask it for another one.
    pub(super) fn transact<T, E: From<DieselError>>(
        &mut self,
        act: impl Fn(&mut MysqlConnection) -> Result<T, E>,
    ) -> (Result<T, E>, Reached) {
        if self.says_begin
            && let Err(cause) = BEGIN.send(&mut self.mysql)
        {
            return (Err(cause.into()), Reached::Nothing);
        }
        let outcome = act(&mut self.mysql);
        let reached = match &outcome {
            Ok(_) => Reached::Commit,
            Err(_) => Reached::Act,
        };
        let ended = match &outcome {
            Ok(_) => COMMIT.send(&mut self.mysql),
            Err(_) => ROLLBACK.send(&mut self.mysql),
        };
        let outcome = match (outcome, ended) {
            (Ok(_), Err(cause)) => {
                // Where the server has not undone it by itself, it does when the connection ends.
                self.lost |= ROLLBACK.send(&mut self.mysql).is_err();
                Err(cause.into())
            }
            (outcome, ended) => {
                self.lost |= ended.is_err();
                outcome
            }
        };
        (outcome, reached)
    }
}

/// Makes connections for a pool: to the host that took writes the last time, else to the first that does. Clones share
/// which one that is.
#[derive(Clone)]
pub(super) struct Sessions {
    hosts: Arc<[String]>,
    preferred: Arc<AtomicUsize>,
    /// Whether they are for transactions alone.
    transact: bool,
}

impl Sessions {
    pub(super) fn new(url: &str) -> Result<Self, UrlInvalid> {
        Ok(Self {
            hosts: address::hosts(url)?.into(),
            preferred: Arc::default(),
            transact: false,
        })
    }

    /// The same for transactions alone.
    pub(super) fn for_transactions(&self) -> Self {
        Self {
            transact: true,
            ..self.clone()
        }
    }

    /// Hosts that there are.
    pub(super) fn hosts(&self) -> usize {
        self.hosts.len()
    }

    /// A connection to a host that takes writes; when none does, to one that can be read.
    pub(super) fn open(&self) -> Result<Session, Error> {
        let first = self.preferred.load(Ordering::Relaxed);
        let (mut readable, mut failure) = (None, None);
        for step in 0..self.hosts.len() {
            let host = (first + step) % self.hosts.len();
            match open(&self.hosts[host], self.transact) {
                Ok((session, true)) => {
                    self.preferred.store(host, Ordering::Relaxed);
                    return Ok(session);
                }
                Ok((session, false)) => readable = readable.or(Some(session)),
                Err(cause) => failure = Some(cause),
            }
        }
        readable.ok_or_else(|| failure.unwrap_or(Error::QueryError(NotFound)))
    }
}

/// A new connection, set up, and whether its server takes writes. A node without a majority fails here.
fn open(url: &str, transact: bool) -> Result<(Session, bool), Error> {
    let mut mysql = MysqlConnection::establish(url).map_err(Error::ConnectionError)?;
    mysql.batch_execute(SETUP).map_err(Error::QueryError)?;
    let wsrep = shown(&mut mysql, "VARIABLES", "wsrep_on").map_err(Error::QueryError)?;
    let is_clustered = wsrep.is_some_and(|it| it == "ON");
    if is_clustered {
        mysql.batch_execute(CAUSAL).map_err(Error::QueryError)?;
    }
    if let Err(cause) = ping(&mut mysql) {
        return Err(Error::ConnectionError(ConnectionError::BadConnection(
            cause.to_string(),
        )));
    }
    let read_only: i64 = select(sql::<BigInt>("CAST(@@global.read_only AS SIGNED)"))
        .get_result(&mut mysql)
        .map_err(Error::QueryError)?;
    if transact && !is_clustered {
        mysql.batch_execute(WRITES).map_err(Error::QueryError)?;
    }
    let session = Session {
        mysql,
        lost: false,
        says_begin: is_clustered,
    };
    Ok((session, read_only == 0))
}

#[derive(QueryableByName)]
struct Shown {
    #[diesel(sql_type = Text, column_name = Value)]
    value: String,
}

/// What the server shows of itself: `kind` is `VARIABLES` or `STATUS`. `None` where it does not know the name.
pub(super) fn shown(conn: &mut Conn, kind: &str, name: &str) -> QueryResult<Option<String>> {
    let rows: Vec<Shown> = sql_query(format!("SHOW GLOBAL {kind} LIKE '{name}'")).load(conn)?;
    Ok(rows.into_iter().next().map(|it| it.value))
}

/// Whether the server answers questions about a table: a node of a cluster without a majority answers all others. That the
/// table is not there yet is an answer too.
pub(super) fn ping(conn: &mut Conn) -> Result<(), DbError> {
    let asked = sql_query("SELECT 1 FROM __diesel_schema_migrations LIMIT 1").execute(conn);
    match asked.map_err(DbError::from) {
        Ok(_) | Err(DbError::Query(_)) => Ok(()),
        Err(cause) => Err(cause),
    }
}

impl ManageConnection for Sessions {
    type Connection = Session;
    type Error = Error;

    fn connect(&self) -> Result<Session, Error> {
        self.open()
    }

    fn is_valid(&self, session: &mut Session) -> Result<(), Error> {
        R2D2Connection::ping(&mut session.mysql).map_err(Error::QueryError)
    }

    fn has_broken(&self, session: &mut Session) -> bool {
        session.lost || std::thread::panicking() || session.mysql.is_broken()
    }
}
