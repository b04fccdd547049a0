//! One connection and how each new one is set up.

use diesel::connection::{Connection, SimpleConnection};
use diesel::mysql::MysqlConnection;
use diesel::r2d2::{Error, ManageConnection, R2D2Connection};

use super::{Conn, DbError, UrlInvalid};

/// READ COMMITTED: no gap locks, and after waiting for a row a statement sees what is in it now.
/// The strict mode refuses what does not fit instead of cutting it. English words, because errors are told apart by
/// them.
const SETUP: &str = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED; \
     SET SESSION innodb_lock_wait_timeout = 2, time_zone = '+00:00', lc_messages = 'en_US', \
     sql_mode = 'STRICT_ALL_TABLES,ONLY_FULL_GROUP_BY,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'";

/// A connection of the pool.
pub(super) struct Session {
    pub(super) mysql: MysqlConnection,
    /// Set when the connection turned out to be dead: the pool drops it instead of taking it back.
    pub(super) lost: bool,
}

/// Makes connections for the pool.
pub(super) struct Sessions {
    url: String,
}

impl Sessions {
    pub(super) fn new(url: &str) -> Result<Self, UrlInvalid> {
        let rest = url.strip_prefix("mysql://").ok_or(UrlInvalid)?;
        let (_, database) = rest.split_once('/').ok_or(UrlInvalid)?;
        if database.is_empty() || database.starts_with('?') {
            return Err(UrlInvalid);
        }
        Ok(Self {
            url: url.to_owned(),
        })
    }
}

/// A new connection, set up.
pub(super) fn open(url: &str) -> Result<MysqlConnection, Error> {
    let mut mysql = MysqlConnection::establish(url).map_err(Error::ConnectionError)?;
    mysql.batch_execute(SETUP).map_err(Error::QueryError)?;
    Ok(mysql)
}

/// Whether the server answers.
pub(super) fn ping(conn: &mut Conn) -> Result<(), DbError> {
    Ok(R2D2Connection::ping(conn)?)
}

impl ManageConnection for Sessions {
    type Connection = Session;
    type Error = Error;

    fn connect(&self) -> Result<Session, Error> {
        let mysql = open(&self.url)?;
        Ok(Session { mysql, lost: false })
    }

    fn is_valid(&self, session: &mut Session) -> Result<(), Error> {
        R2D2Connection::ping(&mut session.mysql).map_err(Error::QueryError)
    }

    fn has_broken(&self, session: &mut Session) -> bool {
        session.lost || std::thread::panicking() || session.mysql.is_broken()
    }
}
