//! Owns the proof that everything agrees that must: seats, reservations, payments, ledger, wallets, audit log, outbox, and
//! the chain over ledger and audit log.
//!
//! Every figure or comparison comes from one statement, so it sees one instant and work that goes on meanwhile raises no
//! false alarm. It only reads and it repairs nothing: one unit of difference is for a human to look at.

pub mod checks;
mod comparisons;

use std::fmt;
use std::time::Duration;

use chassis::time::Timestamp;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Binary, Datetime, Nullable};
use uuid::Uuid;

use crate::db::{At, Conn, DbError, Id};
use crate::integrity::{self, Break};
use crate::ledger::CURRENCY;
use comparisons::COMPARISONS;

/// So long a check may take: it is given up only when the database hangs.
pub const WITHIN: Duration = Duration::from_secs(600);
/// Differences of one kind that a report names; more would not help the reader.
const DIFFERENCES_NAMED: i64 = 100;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// When it was asked for.
    pub checked_at: Timestamp,
    /// The sums, all of one instant.
    pub totals: Totals,
    /// What does not agree; empty when all is well.
    pub differences: Vec<Difference>,
}

impl Report {
    /// Whether all agrees.
    pub fn is_clean(&self) -> bool {
        self.differences.is_empty()
    }
}

/// One line when all agrees, else one for each difference.
impl fmt::Display for Report {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_clean() {
            let Totals {
                seats_sold,
                confirmed_amount,
                wallets_balance,
                ..
            } = self.totals;
            return write!(
                to,
                "the books agree: {seats_sold} seats sold for {confirmed_amount} {CURRENCY}, {wallets_balance} {CURRENCY} in wallets"
            );
        }
        let lines: Vec<String> = self.differences.iter().map(ToString::to_string).collect();
        to.write_str(&lines.join("\n"))
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            subject,
            id,
            expected,
            found,
            seal,
        } = self;
        write!(to, "{subject}: expected {expected}, found {found}")?;
        if let Some(seal) = seal {
            write!(to, " (seal {seal})")?;
        }
        id.map_or(Ok(()), |id| write!(to, " ({id})"))
    }
}

/// Sums over everything; money in minor units.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, QueryableByName)]
pub struct Totals {
    /// Seats whose state is sold.
    #[diesel(sql_type = BigInt)]
    pub seats_sold: i64,
    /// Seats of confirmed reservations.
    #[diesel(sql_type = BigInt)]
    pub seats_confirmed: i64,
    /// What confirmed reservations cost.
    #[diesel(sql_type = BigInt)]
    pub confirmed_amount: i64,
    /// All payments, those that were refunded later among them.
    #[diesel(sql_type = BigInt)]
    pub payments_captured: i64,
    /// All refunds.
    #[diesel(sql_type = BigInt)]
    pub payments_refunded: i64,
    /// The ledger's `charged`.
    #[diesel(sql_type = BigInt)]
    pub ledger_charged: i64,
    /// The ledger's `captured`.
    #[diesel(sql_type = BigInt)]
    pub ledger_captured: i64,
    /// The ledger's `refunded`.
    #[diesel(sql_type = BigInt)]
    pub ledger_refunded: i64,
    /// What operators gave and corrected, less what they took.
    #[diesel(sql_type = BigInt)]
    pub ledger_corrected: i64,
    /// What all wallets hold.
    #[diesel(sql_type = BigInt)]
    pub wallets_balance: i64,
}

/// Two figures that should be the same and are not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What should agree, in a few words.
    pub subject: &'static str,
    /// The schedule, reservation, payment or user; none for a sum over everything.
    pub id: Option<Uuid>,
    /// What one side says.
    pub expected: i64,
    /// What the other side says.
    pub found: i64,
    /// The seal at which the chain does not hold, if it is about one.
    pub seal: Option<u64>,
}

impl From<Break> for Difference {
    fn from(Break { subject, id, seal }: Break) -> Self {
        Self {
            subject,
            id,
            expected: 1,
            found: 0,
            seal,
        }
    }
}

/// Everything that is compared, in the words of a [`Difference::subject`].
pub fn subjects() -> impl Iterator<Item = &'static str> {
    let of_rows = COMPARISONS.iter().map(|(subject, _)| *subject);
    SUMS.into_iter().chain(of_rows)
}

/// Compares everything with everything, and computes the chain anew. A statement for each comparison, which reads whole
/// tables: not for a hot path.
pub fn check(conn: &mut Conn, now: Timestamp, seats_per_user: u16) -> Result<Report, DbError> {
    let totals: Totals = sql_query(TOTALS).get_result(conn)?;
    let mut differences = of_totals(&totals);
    // Instants are told to the statements by a variable of the session, so that each may use them as often as it needs.
    sql_query("SET @now = ?, @seats_per_user = ?")
        .bind::<Datetime, _>(At(now))
        .bind::<BigInt, _>(i64::from(seats_per_user))
        .execute(conn)?;
    for (subject, statement) in COMPARISONS {
        let rows: Vec<Row> = sql_query(format!(
            "SELECT id, CAST(expected AS SIGNED) AS expected, CAST(found AS SIGNED) AS found \
             FROM ({statement} LIMIT {DIFFERENCES_NAMED}) AS difference"
        ))
        .load(conn)?;
        differences.extend(rows.into_iter().map(|row| Difference {
            subject,
            id: row.id.map(Uuid::from),
            expected: row.expected,
            found: row.found,
            seal: None,
        }));
    }
    differences.extend(
        integrity::verify_all(conn)?
            .into_iter()
            .map(Difference::from),
    );
    Ok(Report {
        checked_at: now,
        totals,
        differences,
    })
}

/// Sums that are compared with each other.
const SUMS: [&str; 4] = [
    "seats sold, and seats of confirmed reservations",
    "captured by payments, and by the ledger",
    "refunded by payments, and by the ledger",
    "the ledger's net of all wallets, and their balances",
];

fn of_totals(totals: &Totals) -> Vec<Difference> {
    let Totals {
        ledger_charged,
        ledger_captured,
        ledger_refunded,
        ledger_corrected,
        ..
    } = *totals;
    let in_wallets = ledger_charged - ledger_captured + ledger_refunded + ledger_corrected;
    let figures = [
        (totals.seats_confirmed, totals.seats_sold),
        (totals.payments_captured, ledger_captured),
        (totals.payments_refunded, ledger_refunded),
        (in_wallets, totals.wallets_balance),
    ];
    let compared = SUMS.into_iter().zip(figures);
    compared
        .filter(|(_, (expected, found))| expected != found)
        .map(|(subject, (expected, found))| Difference {
            subject,
            id: None,
            expected,
            found,
            seal: None,
        })
        .collect()
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Nullable<Binary>)]
    id: Option<Id>,
    #[diesel(sql_type = BigInt)]
    expected: i64,
    #[diesel(sql_type = BigInt)]
    found: i64,
}

const TOTALS: &str = "SELECT \
    (SELECT COUNT(*) FROM seats WHERE state = 'sold') AS seats_sold, \
    (SELECT COUNT(*) FROM reservation_seats s JOIN reservations r ON r.id = s.reservation_id WHERE r.state = 'confirmed' AND s.returned_by IS NULL) AS seats_confirmed, \
    (SELECT CAST(COALESCE(SUM(amount), 0) AS SIGNED) FROM reservations WHERE state = 'confirmed') AS confirmed_amount, \
    (SELECT CAST(COALESCE(SUM(amount), 0) AS SIGNED) FROM payments) AS payments_captured, \
    (SELECT CAST(COALESCE(SUM(amount), 0) AS SIGNED) FROM refunds) AS payments_refunded, \
    (SELECT CAST(COALESCE(SUM(amount), 0) AS SIGNED) FROM ledger_entries WHERE cause = 'charged') AS ledger_charged, \
    (SELECT CAST(COALESCE(SUM(amount), 0) AS SIGNED) FROM ledger_entries WHERE cause = 'captured') AS ledger_captured, \
    (SELECT CAST(COALESCE(SUM(amount), 0) AS SIGNED) FROM ledger_entries WHERE cause = 'refunded') AS ledger_refunded, \
    (SELECT CAST(COALESCE(SUM(IF(credit_account = 'wallet', amount, -amount)), 0) AS SIGNED) FROM ledger_entries \
        WHERE cause IN ('goodwill', 'corrected_up', 'corrected_down')) AS ledger_corrected, \
    (SELECT CAST(COALESCE(SUM(balance), 0) AS SIGNED) FROM wallets) AS wallets_balance";
