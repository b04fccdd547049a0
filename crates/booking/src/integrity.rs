//! Owns the proof that nobody changed the books: one chain over all rows of the ledger and the audit log.
//!
//! A seal carries the hash of the seal before it and of the rows under it, so a row that is changed, removed, moved or put
//! in afterwards no longer fits, and anybody who has kept one hash can tell. A step seals what was committed since, at most some
//! seconds later: a chain that sales themselves wrote would make each of them wait for the one before. Who seals locks
//! seal 0; the primary key is the second judge, so however many instances seal, there is one chain.
//! The entries of one wallet are a chain of their own, which [`ledger`] and [`wallet`] write in the transaction of the sale.

use chassis::time::Timestamp;
use chrono::TimeDelta;
use diesel::dsl::{exists, select};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Binary, Datetime, Nullable, Unsigned};
use uuid::Uuid;

use crate::db::{At, Conn, DbError, Id, Tx};
use crate::schema::{audit_log, ledger_entries, seals};
#[cfg(doc)]
use crate::wallet;
use crate::{audit, ledger};

/// Rows of each table under one seal, at most.
const ROWS: i64 = 500;
/// Seals that one look verifies, at most.
const SEALS_VERIFIED: u64 = 100;
/// Breaks of one kind that a look names; more would not help the reader.
const BREAKS_NAMED: u32 = 100;

/// One seal.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = seals)]
pub struct Seal {
    /// Counted from 1; 0 is the beginning, with nothing under it.
    pub number: u64,
    /// Rows under it and all before it.
    pub rows_so_far: u64,
    /// The hash of the chain up to it, 32 bytes.
    pub hash: Vec<u8>,
    /// When it was made. Never before the seal before it.
    #[diesel(deserialize_as = At)]
    pub sealed_at: Timestamp,
}

impl Seal {
    /// The hash in lower-case hexadecimal.
    pub fn hash_hex(&self) -> String {
        self.hash.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// What one step sealed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sealed {
    /// Rows, of both tables.
    pub rows: usize,
    /// Whether it took as many as one seal may have: there are probably more.
    pub is_full: bool,
}

/// Whether there are rows to seal. One statement, so that a step with nothing to do costs no commit.
pub fn is_due(conn: &mut Conn) -> Result<bool, DbError> {
    let rows = audit_log::table.filter(audit_log::seal.is_null());
    let entries = ledger_entries::table.filter(ledger_entries::seal.is_null());
    Ok(select(exists(rows).or(exists(entries))).get_result(conn)?)
}

/// Seals what has been committed and is not sealed, in the order in which it was written. Seven statements; nothing when
/// another instance is at it.
///
/// The rows are read without a lock: those of a sale that is still open are not seen, and it never waits for this.
pub fn seal(tx: &mut Tx, now: Timestamp) -> Result<Sealed, DbError> {
    let first: Option<u64> = seals::table
        .find(0)
        .for_update()
        .skip_locked()
        .select(seals::number)
        .first(tx)
        .optional()?;
    if first.is_none() {
        return Ok(Sealed::default());
    }
    let rows: Vec<i64> = audit_log::table
        .filter(audit_log::seal.is_null())
        .order(audit_log::seq)
        .limit(ROWS)
        .select(audit_log::seq)
        .load(tx)?;
    let entries: Vec<Id> = ledger_entries::table
        .filter(ledger_entries::seal.is_null())
        .order(ledger_entries::id)
        .limit(ROWS)
        .select(ledger_entries::id)
        .load(tx)?;
    let sealed = Sealed {
        rows: rows.len() + entries.len(),
        is_full: rows.len().max(entries.len()) == ROWS as usize,
    };
    if sealed.rows == 0 {
        return Ok(sealed);
    }
    let number = last(tx)?.number + 1;
    let of_log = diesel::update(audit_log::table.filter(audit_log::seq.eq_any(rows)))
        .filter(audit_log::seal.is_null())
        .set(audit_log::seal.eq(number))
        .execute(tx)?;
    let of_ledger =
        diesel::update(ledger_entries::table.filter(ledger_entries::id.eq_any(entries)))
            .filter(ledger_entries::seal.is_null())
            .set(ledger_entries::seal.eq(number))
            .execute(tx)?;
    let under = of_log + of_ledger;
    if under != sealed.rows {
        return Err(DbError::Unexpected("rows to seal were removed or sealed"));
    }
    append(tx, number, now)?;
    Ok(sealed)
}

/// Puts a seal on the rows that are under it.
fn append(tx: &mut Tx, number: u64, now: Timestamp) -> Result<(), DbError> {
    let statement = format!(
        "INSERT INTO seals (number, audit_rows, ledger_rows, rows_so_far, last_seq, hash, sealed_at) \
         SELECT s.number, a.row_count, e.row_count, s.rows_before + a.row_count + e.row_count, \
             GREATEST(s.last_seq, COALESCE(a.last_seq, 0)), {HASH}, s.sealed_at \
         FROM (SELECT {number} AS number, hash AS hash_before, rows_so_far AS rows_before, last_seq, \
                 CAST(GREATEST(sealed_at, ?) AS DATETIME(6)) AS sealed_at FROM seals WHERE number = {number} - 1) s, \
             (SELECT COUNT(*) AS row_count, MAX(a.seq) AS last_seq, {} AS digests FROM audit_log a WHERE a.seal = {number}) a, \
             (SELECT COUNT(*) AS row_count, {} AS digests FROM ledger_entries e WHERE e.seal = {number}) e",
        audit_digests(),
        ledger_digests(),
    );
    let appended = sql_query(statement)
        .bind::<Datetime, _>(At(now))
        .execute(tx)?;
    if appended == 1 {
        Ok(())
    } else {
        Err(DbError::Unexpected("the last seal was removed"))
    }
}

/// The hash of a seal `s`, of which the rows `a` and `e` are.
const HASH: &str = "UNHEX(SHA2(CONCAT_WS('|', LOWER(HEX(s.hash_before)), s.number, DATE_FORMAT(s.sealed_at, '%Y-%m-%d %H:%i:%s.%f'), \
    COALESCE(a.digests, ''), COALESCE(e.digests, '')), 256))";

fn audit_digests() -> String {
    format!(
        "GROUP_CONCAT({} ORDER BY a.seq SEPARATOR '')",
        audit::DIGEST
    )
}

/// Of entries with the place and the hash that they have in the chain of their wallet.
fn ledger_digests() -> String {
    format!(
        "GROUP_CONCAT(SHA2(CONCAT_WS('|', {}, COALESCE(e.position, '-'), COALESCE(HEX(e.hash), '-')), 256) ORDER BY e.id SEPARATOR '')",
        ledger::DIGEST
    )
}

/// The newest seal. One statement.
pub fn last(conn: &mut Conn) -> Result<Seal, DbError> {
    let last = seals::table.order(seals::number.desc());
    Ok(last.select(Seal::as_select()).first(conn)?)
}

/// The last seal that was made before this instant: the same for ever, once the instant is past. One statement.
pub fn head_before(conn: &mut Conn, instant: Timestamp) -> Result<Seal, DbError> {
    let made = seals::sealed_at.lt(At(instant));
    let last = seals::table
        .filter(made.or(seals::number.eq(0)))
        .order((seals::sealed_at.desc(), seals::number.desc()));
    Ok(last.select(Seal::as_select()).first(conn)?)
}

/// How long ago the oldest row was written that is not sealed yet. One statement.
pub fn lag(conn: &mut Conn, now: Timestamp) -> Result<TimeDelta, DbError> {
    let oldest: Option<At> = audit_log::table
        .filter(audit_log::seal.is_null())
        .order(audit_log::seq)
        .select(audit_log::at)
        .first(conn)
        .optional()?;
    Ok(oldest.map_or(TimeDelta::zero(), |At(at)| {
        (now - at).max(TimeDelta::zero())
    }))
}

/// A place at which the chain does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Break {
    /// What does not fit, in a few words.
    pub subject: &'static str,
    /// The entry of the ledger, or the user whose wallet it is.
    pub id: Option<Uuid>,
    /// The seal, when it is one.
    pub seal: Option<u64>,
}

/// What one look at the chain found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The last seal that was looked at.
    pub through: u64,
    /// Whether it is the newest: the whole chain was seen by those who began at 0.
    pub is_end: bool,
    /// Where the chain does not hold; empty when all is well.
    pub breaks: Vec<Break>,
}

#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = Nullable<Binary>)]
    id: Option<Id>,
    #[diesel(sql_type = Nullable<Unsigned<BigInt>>)]
    seal: Option<u64>,
}

/// Verifies the whole chain, part by part.
pub fn verify_all(conn: &mut Conn) -> Result<Vec<Break>, DbError> {
    let (mut after, mut breaks) = (0, Vec::new());
    loop {
        let verified = verify(conn, after)?;
        breaks.extend(verified.breaks);
        if verified.is_end {
            return Ok(breaks);
        }
        after = verified.through;
    }
}

/// Computes anew the next hundred seals after this one, and the chains of all wallets with an entry under them; at the end
/// also of those with an entry that is not sealed yet. Six statements, each of which sees one instant.
pub fn verify(conn: &mut Conn, after: u64) -> Result<Verified, DbError> {
    let newest = last(conn)?.number;
    let through = after.saturating_add(SEALS_VERIFIED).min(newest);
    let is_end = through >= newest;
    let under = |row: &str| {
        let sealed = format!("{row}.seal > {after} AND {row}.seal <= {through}");
        if is_end {
            format!("({sealed} OR {row}.seal IS NULL)")
        } else {
            format!("({sealed})")
        }
    };
    let wallets = format!(
        "SELECT DISTINCT t.user_id FROM ledger_entries t WHERE {}",
        under("t")
    );
    let mut looks = vec![
        (
            "a seal, and the rows under it",
            seals_that_differ(after, through),
        ),
        (
            "a row of the audit log that came long after its time, by its seal",
            late_rows(after, through),
        ),
        (
            "an entry of the ledger, and the one before it in its wallet",
            entries_that_differ(&wallets),
        ),
        (
            "a wallet, and the last entry of its chain",
            wallets_that_differ(&wallets),
        ),
    ];
    if is_end {
        looks.push(("rows under a seal that is not there", rows_without_seal()));
    }
    let mut breaks = Vec::new();
    for (subject, statement) in looks {
        let found: Vec<Found> =
            sql_query(format!("{statement} LIMIT {BREAKS_NAMED}")).load(conn)?;
        breaks.extend(found.into_iter().map(|Found { id, seal }| Break {
            subject,
            id: id.map(Uuid::from),
            seal,
        }));
    }
    Ok(Verified {
        through,
        is_end,
        breaks,
    })
}

fn seals_that_differ(after: u64, through: u64) -> String {
    format!(
        "SELECT NULL AS id, s.number AS seal \
         FROM (SELECT number, audit_rows, ledger_rows, rows_so_far, hash, sealed_at, LAG(number) OVER in_order AS number_before, \
                 LAG(hash) OVER in_order AS hash_before, LAG(rows_so_far) OVER in_order AS rows_before, \
                 LAG(sealed_at) OVER in_order AS sealed_before \
             FROM seals WHERE number BETWEEN {after} AND {through} WINDOW in_order AS (ORDER BY number)) s \
         LEFT JOIN (SELECT a.seal, COUNT(*) AS row_count, {} AS digests \
             FROM audit_log a WHERE a.seal > {after} AND a.seal <= {through} GROUP BY a.seal) a ON a.seal = s.number \
         LEFT JOIN (SELECT e.seal, COUNT(*) AS row_count, {} AS digests \
             FROM ledger_entries e WHERE e.seal > {after} AND e.seal <= {through} GROUP BY e.seal) e ON e.seal = s.number \
         WHERE s.number > {after} AND NOT (s.number_before <=> s.number - 1 AND s.sealed_before <= s.sealed_at \
             AND s.audit_rows = COALESCE(a.row_count, 0) AND s.ledger_rows = COALESCE(e.row_count, 0) \
             AND s.rows_so_far = s.rows_before + s.audit_rows + s.ledger_rows AND s.hash = {HASH}) \
         ORDER BY s.number",
        audit_digests(),
        ledger_digests(),
    )
}

/// A late commit is sealed late, but by seconds: a row of an earlier number and of an earlier minute was put in.
fn late_rows(after: u64, through: u64) -> String {
    format!(
        "SELECT NULL AS id, a.seal FROM audit_log a JOIN seals s ON s.number = a.seal - 1 \
         WHERE a.seal > {after} AND a.seal <= {through} AND a.seq < s.last_seq AND a.at < s.sealed_at - INTERVAL 1 MINUTE \
         ORDER BY a.seal"
    )
}

fn entries_that_differ(wallets: &str) -> String {
    format!(
        "SELECT e.id, NULL AS seal \
         FROM (SELECT e.id, e.position, e.hash, UNHEX({}) AS digest, \
                 LAG(e.position) OVER in_order AS position_before, LAG(e.hash) OVER in_order AS hash_before \
             FROM ledger_entries e WHERE e.position IS NOT NULL AND e.user_id IN ({wallets}) \
             WINDOW in_order AS (PARTITION BY e.user_id ORDER BY e.position)) e \
         WHERE e.position <> COALESCE(e.position_before, 0) + 1 \
             OR e.hash <> UNHEX(SHA2(CONCAT(COALESCE(e.hash_before, REPEAT(X'00', 32)), e.digest), 256)) \
         ORDER BY e.id",
        ledger::DIGEST
    )
}

fn wallets_that_differ(wallets: &str) -> String {
    format!(
        "SELECT w.user_id AS id, NULL AS seal FROM wallets w \
         LEFT JOIN (SELECT e.user_id, COUNT(e.position) AS chained, COUNT(*) - COUNT(e.position) AS unchained \
             FROM ledger_entries e WHERE e.user_id IN ({wallets}) GROUP BY e.user_id) c ON c.user_id = w.user_id \
         LEFT JOIN ledger_entries e ON e.user_id = w.user_id AND e.position = w.entries \
         WHERE w.user_id IN ({wallets}) AND (w.entries <> c.chained OR w.unchained <> c.unchained \
             OR w.head <> COALESCE(e.hash, REPEAT(X'00', 32))) \
         ORDER BY w.user_id"
    )
}

fn rows_without_seal() -> String {
    "SELECT NULL AS id, r.seal FROM (SELECT seal FROM audit_log WHERE seal > (SELECT MAX(number) FROM seals) \
         UNION SELECT seal FROM ledger_entries WHERE seal > (SELECT MAX(number) FROM seals)) r ORDER BY r.seal"
        .to_owned()
}
