//! Owns the proof that seats, payments, ledger and wallets agree.
//!
//! Every figure or comparison comes from one statement, so it sees one instant and work that goes on meanwhile raises no
//! false alarm. It only reads and it repairs nothing: one unit of difference is for a human to look at.

use std::fmt;

use chassis::time::Timestamp;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Binary, Nullable};
use uuid::Uuid;

use crate::db::{Conn, DbError, Id};
use crate::ledger::CURRENCY;

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
        } = self;
        write!(to, "{subject}: expected {expected}, found {found}")?;
        id.map_or(Ok(()), |id| write!(to, " ({id})"))
    }
}

/// Sums over everything; money in minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, QueryableByName)]
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
}

/// Compares everything with everything. Nine statements, which read whole tables: not for a hot path.
pub fn check(conn: &mut Conn, now: Timestamp) -> Result<Report, DbError> {
    let totals: Totals = sql_query(TOTALS).get_result(conn)?;
    let mut differences = of_totals(&totals);
    for (subject, statement) in COMPARISONS {
        let rows: Vec<Row> = sql_query(statement)
            .bind::<BigInt, _>(DIFFERENCES_NAMED)
            .load(conn)?;
        differences.extend(rows.into_iter().map(|row| Difference {
            subject,
            id: row.id.map(Uuid::from),
            expected: row.expected,
            found: row.found,
        }));
    }
    Ok(Report {
        checked_at: now,
        totals,
        differences,
    })
}

fn of_totals(totals: &Totals) -> Vec<Difference> {
    let Totals {
        ledger_charged,
        ledger_captured,
        ledger_refunded,
        ledger_corrected,
        ..
    } = *totals;
    [
        (
            "seats sold, and seats of confirmed reservations",
            totals.seats_confirmed,
            totals.seats_sold,
        ),
        (
            "captured by payments, and by the ledger",
            totals.payments_captured,
            ledger_captured,
        ),
        (
            "refunded by payments, and by the ledger",
            totals.payments_refunded,
            ledger_refunded,
        ),
        (
            "price of confirmed reservations, and captured less refunded",
            totals.confirmed_amount,
            ledger_captured - ledger_refunded,
        ),
        (
            "the ledger's net of all wallets, and their balances",
            ledger_charged - ledger_captured + ledger_refunded + ledger_corrected,
            totals.wallets_balance,
        ),
    ]
    .into_iter()
    .filter(|(_, expected, found)| expected != found)
    .map(|(subject, expected, found)| Difference {
        subject,
        id: None,
        expected,
        found,
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
    (SELECT COUNT(*) FROM reservation_seats s JOIN reservations r ON r.id = s.reservation_id WHERE r.state = 'confirmed') AS seats_confirmed, \
    (SELECT CAST(COALESCE(SUM(amount), 0) AS SIGNED) FROM reservations WHERE state = 'confirmed') AS confirmed_amount, \
    (SELECT CAST(COALESCE(SUM(amount), 0) AS SIGNED) FROM payments) AS payments_captured, \
    (SELECT CAST(COALESCE(SUM(amount), 0) AS SIGNED) FROM refunds) AS payments_refunded, \
    (SELECT CAST(COALESCE(SUM(amount), 0) AS SIGNED) FROM ledger_entries WHERE cause = 'charged') AS ledger_charged, \
    (SELECT CAST(COALESCE(SUM(amount), 0) AS SIGNED) FROM ledger_entries WHERE cause = 'captured') AS ledger_captured, \
    (SELECT CAST(COALESCE(SUM(amount), 0) AS SIGNED) FROM ledger_entries WHERE cause = 'refunded') AS ledger_refunded, \
    (SELECT CAST(COALESCE(SUM(IF(credit_account = 'wallet', amount, -amount)), 0) AS SIGNED) FROM ledger_entries \
        WHERE cause IN ('goodwill', 'corrected_up', 'corrected_down')) AS ledger_corrected, \
    (SELECT CAST(COALESCE(SUM(balance), 0) AS SIGNED) FROM wallets) AS wallets_balance";

/// Each names the things for which two figures differ: `id`, `expected`, `found`.
const COMPARISONS: [(&str, &str); 8] = [
    (
        "seats of a confirmed reservation, and those of them that are sold to it",
        "SELECT r.id, CAST(COUNT(*) AS SIGNED) AS expected, CAST(COUNT(t.number) AS SIGNED) AS found \
         FROM reservations r JOIN reservation_seats s ON s.reservation_id = r.id \
         LEFT JOIN seats t ON t.schedule_id = s.schedule_id AND t.number = s.sold_number \
             AND t.state = 'sold' AND t.reservation_id = r.id \
         WHERE r.state = 'confirmed' GROUP BY r.id HAVING COUNT(*) <> COUNT(t.number) LIMIT ?",
    ),
    (
        "price of a reservation, and the sum of its seats",
        "SELECT r.id, r.amount AS expected, CAST(COALESCE(SUM(s.price), 0) AS SIGNED) AS found \
         FROM reservations r LEFT JOIN reservation_seats s ON s.reservation_id = r.id \
         GROUP BY r.id, r.amount, r.seat_count \
         HAVING r.amount <> COALESCE(SUM(s.price), 0) OR r.seat_count <> COUNT(s.seat_number) LIMIT ?",
    ),
    (
        "what a reservation owes in its state, and what was paid and not given back",
        "SELECT r.id, IF(r.state = 'confirmed', r.amount, 0) AS expected, \
             COALESCE(p.amount - COALESCE(b.amount, 0), 0) AS found \
         FROM reservations r LEFT JOIN payments p ON p.reservation_id = r.id LEFT JOIN refunds b ON b.payment_id = p.id \
         WHERE IF(r.state = 'confirmed', r.amount, 0) <> COALESCE(p.amount - COALESCE(b.amount, 0), 0) \
             OR (r.state IN ('confirmed', 'refunded') AND p.id IS NULL) \
             OR (r.state = 'refunded' AND b.id IS NULL) \
             OR (p.state = 'refunded' AND b.id IS NULL) OR (p.state = 'captured' AND b.id IS NOT NULL) LIMIT ?",
    ),
    (
        "a payment less its refund, and what the ledger says of it",
        "SELECT p.id, p.amount - COALESCE(b.amount, 0) AS expected, \
             COALESCE(c.amount, 0) - COALESCE(d.amount, 0) AS found \
         FROM payments p LEFT JOIN refunds b ON b.payment_id = p.id \
         LEFT JOIN ledger_entries c ON c.cause = 'captured' AND c.reference_id = p.id \
         LEFT JOIN ledger_entries d ON d.cause = 'refunded' AND d.reference_id = p.id \
         WHERE p.amount <> COALESCE(c.amount, 0) OR COALESCE(b.amount, 0) <> COALESCE(d.amount, 0) LIMIT ?",
    ),
    (
        "the ledger's net of a wallet, and its balance",
        "SELECT w.user_id AS id, CAST(COALESCE(SUM(IF(e.credit_account = 'wallet', e.amount, -e.amount)), 0) AS SIGNED) AS expected, \
             w.balance AS found \
         FROM wallets w LEFT JOIN ledger_entries e ON e.user_id = w.user_id GROUP BY w.user_id, w.balance \
         HAVING w.balance <> COALESCE(SUM(IF(e.credit_account = 'wallet', e.amount, -e.amount)), 0) LIMIT ?",
    ),
    (
        "those who wait for seats of a date, and how many the date counts",
        "SELECT s.id, CAST(COUNT(e.seq) AS SIGNED) AS expected, CAST(s.waiting AS SIGNED) AS found \
         FROM schedules s LEFT JOIN waitlist_entries e ON e.schedule_id = s.id AND e.state = 'waiting' \
         GROUP BY s.id, s.waiting HAVING COUNT(e.seq) <> s.waiting LIMIT ?",
    ),
    (
        "money that a provider has collected, and what the ledger charged for it",
        "SELECT o.id, IF(o.state = 'succeeded', o.amount, 0) AS expected, COALESCE(e.amount, 0) AS found \
         FROM provider_orders o LEFT JOIN ledger_entries e ON e.cause = 'charged' AND e.reference_id = o.id \
             AND e.user_id = o.user_id \
         WHERE IF(o.state = 'succeeded', o.amount, 0) <> COALESCE(e.amount, 0) LIMIT ?",
    ),
    (
        "live reservations of a date whose cancellation is done",
        "SELECT c.schedule_id AS id, CAST(0 AS SIGNED) AS expected, CAST(COUNT(*) AS SIGNED) AS found \
         FROM schedule_cancellations c JOIN reservations r ON r.schedule_id = c.schedule_id \
         WHERE c.finished_at IS NOT NULL AND r.state IN ('held', 'confirmed') GROUP BY c.schedule_id LIMIT ?",
    ),
];
