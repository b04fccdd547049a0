//! What `booking reconcile` reads of the environment: the database, and no secret of the gateway.

use chassis::env::{Configuration, Env};
use chassis::logging::LogRules;

use super::{MAX_SEATS, MYSQL_URL, MysqlUrl, within};

/// Everything that an operator may choose for a comparison.
pub struct Reconciling {
    /// `BOOKING_MYSQL_URL`: the books.
    pub mysql_url: MysqlUrl,
    /// `BOOKING_MAX_SEATS`: seats that a user may have of one schedule; 4.
    pub max_seats: u16,
    /// `LOG_CONFIG`, `LOG_LEVEL`: where the log goes.
    pub log: LogRules,
}

impl Configuration for Reconciling {
    fn read(env: &mut Env<'_>) -> Option<Self> {
        let mysql_url = env.secret("BOOKING_MYSQL_URL", MYSQL_URL);
        let max_seats = within(env, "BOOKING_MAX_SEATS", "4", MAX_SEATS, 1, 50);
        let log = LogRules::read(env);
        Some(Self {
            mysql_url: mysql_url?,
            max_seats,
            log,
        })
    }
}
