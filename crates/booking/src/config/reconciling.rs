//! What `booking reconcile` reads of the environment: the database, and no secret of the gateway.

use std::path::PathBuf;

use chassis::env::{ConfigInvalid, Env};
use log::LevelFilter;

use super::{MAX_SEATS, MYSQL_URL, MysqlUrl, log, page_of, read_all, within};

/// Everything that an operator may choose for a comparison.
pub struct Reconciling {
    /// `BOOKING_MYSQL_URL`: the books.
    pub mysql_url: MysqlUrl,
    /// `BOOKING_MAX_SEATS`: seats that a user may have of one schedule; 4.
    pub max_seats: u16,
    /// `LOG_CONFIG`: a log4rs file.
    pub log_config: Option<PathBuf>,
    /// `LOG_LEVEL`: of the log to standard output; info.
    pub log_level: LevelFilter,
}

impl Reconciling {
    /// The configuration that `lookup` gives, or everything that is wrong with it.
    pub fn from(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self, ConfigInvalid> {
        read_all(lookup, Self::read)
    }

    /// The page of all variables, for `reconcile --help`.
    pub fn page() -> String {
        page_of(Self::read)
    }

    fn read(env: &mut Env) -> Option<Self> {
        let mysql_url = env.secret("BOOKING_MYSQL_URL", MYSQL_URL);
        let max_seats = within(env, "BOOKING_MAX_SEATS", "4", MAX_SEATS, 1, 50);
        let (log_config, log_level) = log(env);
        Some(Self {
            mysql_url: mysql_url?,
            max_seats,
            log_config,
            log_level,
        })
    }
}
