//! What can go wrong between this service and MySQL, told apart by what the caller does about it.

use diesel::result::{DatabaseErrorKind, Error};

/// A failure of the database, not of the request.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// No connection came free in time: too much at once, worth another try soon.
    #[error("no free connection")]
    Busy,
    /// Another transaction kept a row for longer than the lock wait of 2 s.
    #[error("a row stayed locked")]
    LockWait,
    /// Lost to other transactions, also after the retries.
    #[error("deadlock")]
    Deadlock,
    /// No connection, or it broke: whether an open transaction was committed is unknown.
    #[error("unreachable: {0}")]
    Unreachable(String),
    /// The server takes no writes, or nothing at all, at the moment: a replica, or a node without a majority. Another
    /// one may; nothing was written.
    #[error("not written: {0}")]
    Unwritable(String),
    /// A CHECK constraint of this name said no.
    #[error("check constraint {0}")]
    Check(String),
    /// A unique key of this name said no.
    #[error("unique key {0}")]
    Duplicate(String),
    /// A migration did not run.
    #[error("migration: {0}")]
    Migration(String),
    /// A row does not say what the code expects of it.
    #[error("unexpected row: {0}")]
    Unexpected(&'static str),
    /// A mistake in a statement.
    #[error(transparent)]
    Query(Error),
}

/// The address of a database that cannot be understood. It is not shown: it may hold a password.
#[derive(Debug, thiserror::Error)]
#[error("not a MySQL URL: {0}")]
pub struct UrlInvalid(pub &'static str);

/// An error that a transaction may end with: a refusal of the domain, or a [`DbError`] inside.
pub trait Failure: From<DbError> + From<Error> {
    /// The database's failure, or the refusal back.
    fn into_db(self) -> Result<DbError, Self>;
}

impl Failure for DbError {
    fn into_db(self) -> Result<DbError, Self> {
        Ok(self)
    }
}

/// Lets errors with a variant `Db(DbError)` be the error of a transaction.
macro_rules! fails_with_db {
    ($($error:ty),+) => {$(
        impl From<$crate::db::DbError> for $error {
            fn from(cause: $crate::db::DbError) -> Self {
                Self::Db(cause)
            }
        }

        impl From<diesel::result::Error> for $error {
            fn from(cause: diesel::result::Error) -> Self {
                Self::Db(cause.into())
            }
        }

        impl $crate::db::Failure for $error {
            fn into_db(self) -> Result<$crate::db::DbError, Self> {
                match self {
                    Self::Db(cause) => Ok(cause),
                    refusal => Err(refusal),
                }
            }
        }
    )+};
}
pub(crate) use fails_with_db;

impl From<Error> for DbError {
    fn from(error: Error) -> Self {
        match error {
            Error::DatabaseError(kind, report) => read(&kind, report.message())
                .unwrap_or(Self::Query(Error::DatabaseError(kind, report))),
            Error::BrokenTransactionManager => Self::Unreachable("the transaction broke".into()),
            Error::RollbackErrorOnCommit {
                rollback_error,
                commit_error,
            } => match (*rollback_error).into() {
                lost @ Self::Unreachable(_) => lost,
                _ => (*commit_error).into(),
            },
            other => Self::Query(other),
        }
    }
}

/// Diesel shows no error numbers, so this goes by the server's words; the session asks for English ones.
fn read(kind: &DatabaseErrorKind, message: &str) -> Option<DbError> {
    const LOST: [&str; 9] = [
        "Lost connection",
        "gone away",
        "Can't connect",
        "Connection was killed",
        "Server shutdown in progress",
        "Commands out of sync",
        // 4031: it was idle for longer than the server likes.
        "disconnected by the server because of inactivity",
        // 1180: a node of Galera left its cluster while it committed, so nobody knows.
        "during COMMIT",
        "during commit",
    ];
    const UNWRITABLE: [&str; 7] = [
        // 1290, in the words of both servers; 1836.
        "running with the --read-only option",
        "running with the --super-read-only option",
        "running with the --innodb-read-only option",
        "Running in read-only mode",
        // 1047: a node of Galera without a majority, and one that is still catching up.
        "WSREP has not yet prepared node",
        "Not connected to Primary Component",
        // 3100: group replication without a majority.
        "while running replication hook",
    ];
    const LOST_TO_ANOTHER: [&str; 2] = [
        // 3101: group replication certified another transaction first.
        "Plugin instructed the server to rollback",
        // 1020: MariaDB with innodb_snapshot_isolation, the default from 11.6 on, undoes who waited for a row that changed.
        "Record has changed since last read",
    ];
    if matches!(kind, DatabaseErrorKind::SerializationFailure)
        || message.starts_with("Deadlock")
        || LOST_TO_ANOTHER.iter().any(|words| message.contains(words))
    {
        Some(DbError::Deadlock)
    } else if UNWRITABLE.iter().any(|words| message.contains(words)) {
        Some(DbError::Unwritable(message.to_owned()))
    } else if message.starts_with("Lock wait timeout exceeded") {
        Some(DbError::LockWait)
    } else if matches!(kind, DatabaseErrorKind::UniqueViolation) {
        // "Duplicate entry '…' for key 'name'", in MySQL 8 'table.name'. The entry may hold quotes, the name does not.
        let name = message.rsplit('\'').nth(1)?;
        let name = name.rsplit('.').next().unwrap_or(name);
        Some(DbError::Duplicate(name.to_owned()))
    } else if message.starts_with("CONSTRAINT `") {
        // MariaDB: "CONSTRAINT `name` failed for `database`.`table`".
        Some(DbError::Check(message.split('`').nth(1)?.to_owned()))
    } else if matches!(kind, DatabaseErrorKind::CheckViolation) {
        // MySQL: "Check constraint 'name' is violated."
        Some(DbError::Check(message.split('\'').nth(1)?.to_owned()))
    } else if LOST.iter().any(|words| message.contains(words)) {
        Some(DbError::Unreachable(message.to_owned()))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use diesel::result::DatabaseErrorKind;

    use super::{DbError, read};

    #[test]
    fn both_servers_name_the_constraint_that_said_no() {
        let unknown = DatabaseErrorKind::Unknown;
        let mariadb = "CONSTRAINT `wallets_balance` failed for `shop`.`wallets`";
        assert!(
            matches!(read(&unknown, mariadb), Some(DbError::Check(name)) if name == "wallets_balance")
        );
        let mysql = "Check constraint 'wallets_balance' is violated.";
        let check = DatabaseErrorKind::CheckViolation;
        assert!(
            matches!(read(&check, mysql), Some(DbError::Check(name)) if name == "wallets_balance")
        );
        let unique = DatabaseErrorKind::UniqueViolation;
        for message in [
            "Duplicate entry 'x' for key 'payments_once'",
            "Duplicate entry 'it's .odd' for key 'payments_once'",
            "Duplicate entry 'x' for key 'payments.payments_once'",
        ] {
            assert!(
                matches!(read(&unique, message), Some(DbError::Duplicate(name)) if name == "payments_once")
            );
        }
    }

    #[test]
    fn a_server_that_takes_no_writes_is_told_from_one_that_is_gone_and_from_a_conflict() {
        let unknown = DatabaseErrorKind::Unknown;
        for message in [
            "The MySQL server is running with the --super-read-only option so it cannot execute this statement",
            "The MariaDB server is running with the --read-only option so it cannot execute this statement",
            "WSREP has not yet prepared node for application use",
            "Not connected to Primary Component",
        ] {
            let told = read(&unknown, message);
            assert!(matches!(told, Some(DbError::Unwritable(_))), "{message}");
        }
        for message in [
            "The client was disconnected by the server because of inactivity. See wait_timeout and interactive_timeout \
             for configuring this behavior.",
            "Got error 6 \"No such device or address\" during COMMIT",
        ] {
            let told = read(&unknown, message);
            assert!(matches!(told, Some(DbError::Unreachable(_))), "{message}");
        }
        for message in [
            "Plugin instructed the server to rollback the current transaction.",
            "Deadlock: wsrep aborted transaction",
            "Record has changed since last read in table 'seats'",
        ] {
            assert!(
                matches!(read(&unknown, message), Some(DbError::Deadlock)),
                "{message}"
            );
        }
    }

    #[test]
    fn a_mistake_in_a_statement_is_none_of_these() {
        assert!(
            read(
                &DatabaseErrorKind::Unknown,
                "You have an error in your SQL syntax"
            )
            .is_none()
        );
    }
}
