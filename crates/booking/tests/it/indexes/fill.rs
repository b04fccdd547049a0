//! The tables as they are after so many sales.

use chassis::time::Timestamp;
use chrono::TimeDelta;
use testbed::MariaDb;

use crate::fixture::Fixture;

/// Seats of one date.
const HALL: u32 = 8_000;
/// Sales of one user.
const EACH: u32 = 5;

/// A seat that is available.
pub fn free_seat() -> i64 {
    i64::from(HALL) - 500
}

/// Under which all of it is sealed; no step comes as far.
const SEAL: u64 = 1_000_000_000;
/// A date with free seats for which people wait, and one of them: each fourth stands in the list.
pub const WAITED_FOR: u32 = 2;
/// See there.
pub const WAITER: u32 = 12_000;
/// An order of which the provider has not said anything.
pub const PENDING_ORDER: u32 = 1_000;
/// What the provider signs with.
pub const SECRET: &str = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
/// Who is told of events.
pub const RECEIVER: &str = "platform";

/// From this date on none has seats, and nothing was done to any.
pub fn without_seats(rows: u32) -> u32 {
    rows.div_ceil(HALL) + 100
}

/// Before this are a thousand keys and a thousand delivered events that may be forgotten.
pub fn long_ago(now: Timestamp) -> Timestamp {
    now - TimeDelta::days(100)
}

/// Fills every table: `rows` seats, reservations, payments, entries, keys and events. One in ten sales is still held.
pub fn fill(server: &MariaDb, fixture: &Fixture, rows: u32) {
    let database = fixture.url.rsplit('/').next().expect("a name");
    let instant = |at: Timestamp| at.naive_utc().format("%F %T%.6f").to_string();
    let (now, old) = (
        instant(fixture.now),
        instant(long_ago(fixture.now) - TimeDelta::days(1)),
    );
    let (open, later) = (
        instant(fixture.now - TimeDelta::days(1)),
        instant(fixture.now + TimeDelta::days(9)),
    );
    let soon = instant(fixture.now + TimeDelta::minutes(3));
    // Most dates are not on sale yet and have no seats.
    let dates = rows.div_ceil(HALL) + 500;
    let users = rows / EACH + 10;
    let (schedule, reservation, payment) = (
        some("schedule", "FLOOR((seq - 1) / 8000) + 1"),
        some("reserved", "seq"),
        some("payment", "seq"),
    );
    let user = some("user", &format!("seq % {users}"));
    // Of each venue the first 7,000 seats are gone: nine in ten sold, the tenth held.
    let number = "(seq - 1) % 8000 + 1";
    let gone = format!("({number}) <= 7000");
    let held = "seq % 10 = 0";
    let state = format!("IF({gone}, IF({held}, 'held', 'sold'), 'available')");
    let statements = [
        format!("USE {database}; SET foreign_key_checks = 0, unique_checks = 0, autocommit = 0"),
        format!(
            "INSERT INTO concerts (id, title, venue, queue, created_at) SELECT {}, 'A full venue', NULL, 'main', '{open}' FROM seq_1_to_{dates}",
            some("concert", "seq")
        ),
        format!(
            "INSERT INTO schedules (id, concert_id, starts_at, sales_open_at, sales_close_at, seats_total, created_at) SELECT {}, {}, '{later}', '{open}', '{later}', {HALL}, '{open}' FROM seq_1_to_{dates}",
            some("schedule", "seq"),
            some("concert", "FLOOR((seq - 1) / 5) + 1")
        ),
        format!(
            "INSERT INTO seats (schedule_id, number, grade, price, state, reservation_id, holder_id, hold_expires_at) SELECT {schedule}, {number}, 'ALL', 100, {state}, IF({gone}, {reservation}, NULL), IF({gone}, {user}, NULL), IF({gone} AND {held}, '{soon}', NULL) FROM seq_1_to_{rows}"
        ),
        // Some holds are over, for the sweeper.
        format!(
            "INSERT INTO reservations (id, schedule_id, user_id, state, seat_count, amount, hold_expires_at, created_at) SELECT {reservation}, {schedule}, {user}, IF({held}, 'held', 'confirmed'), 1, 100, IF(seq % 1000 = 0, '{open}', '{soon}'), '{old}' FROM seq_1_to_{rows}"
        ),
        format!(
            "INSERT INTO reservation_seats (reservation_id, seat_number, schedule_id, grade, price, sold_number) SELECT {reservation}, {number}, {schedule}, 'ALL', 100, IF({held}, NULL, {number}) FROM seq_1_to_{rows}"
        ),
        format!(
            "INSERT INTO buyers (schedule_id, user_id, last_seen_at) SELECT DISTINCT {schedule}, {user}, '{open}' FROM seq_1_to_{rows}"
        ),
        people(users, &old),
        format!(
            "INSERT INTO ledger_entries (id, user_id, cause, reference_id, debit_account, credit_account, amount, created_at, seal) SELECT {}, {user}, 'captured', {payment}, 'wallet', 'revenue', 100, '{open}', {SEAL} FROM seq_1_to_{rows}",
            some("entry", "seq")
        ),
        format!(
            "INSERT INTO payments (id, reservation_id, user_id, amount, state, created_at) SELECT {payment}, {reservation}, {user}, 100, 'captured', '{open}' FROM seq_1_to_{rows}"
        ),
        kept(rows, &user, &reservation, [&old, &open, &now]),
        waiting(rows, &user, &schedule, [&old, &open, &later]),
        "COMMIT; SET autocommit = 1".to_owned(),
        "ANALYZE TABLE concerts, schedules, seats, reservations, reservation_seats, buyers, wallets, ledger_entries, payments, idempotency_keys, outbox, forwarded_events, audit_log, subjects, provider_orders, waitlist_entries, schedule_cancellations, seals".to_owned(),
    ];
    server.execute(&statements.join("; ")).expect("full tables");
}

/// Who they are in the books, and what they have.
fn people(users: u32, since: &str) -> String {
    let (person, user) = (some("person", "seq"), some("user", "seq"));
    let all = format!("FROM seq_0_to_{}", users - 1);
    format!(
        "INSERT INTO subjects (person, subject, created_at) SELECT {person}, {user}, '{since}' {all}; \
         INSERT INTO wallets (user_id, balance, created_at) SELECT {user}, 1000000, '{since}' {all}"
    )
}

/// Orders of money, waiting lists of two dates, dates that were cancelled, and a seal for each five hundred rows.
fn waiting(rows: u32, user: &str, schedule: &str, [old, open, later]: [&str; 3]) -> String {
    let pending = "seq % 1000 = 0";
    let orders = format!(
        "INSERT INTO provider_orders (id, kind, user_id, amount, state, instruction, next_attempt_at, created_at) SELECT {}, 'charge', {user}, 100, IF({pending}, 'pending', 'succeeded'), IF({pending}, 'open', NULL), '{open}', '{old}' FROM seq_1_to_{rows}",
        some("order", "seq")
    );
    // Everybody waits once, so that the key of those who do is theirs.
    let waits = format!("seq > {HALL} AND seq <= 3 * {HALL} AND seq % 4 = 0");
    let lists = format!(
        "INSERT INTO waitlist_entries (id, schedule_id, user_id, seat_count, state, created_at) SELECT {}, {schedule}, {}, 1, IF({waits}, 'waiting', 'left'), '{old}' FROM seq_1_to_{rows}",
        some("queued", "seq"),
        some("waiter", "seq")
    );
    let counted = "UPDATE schedules s SET waiting = (SELECT COUNT(*) FROM waitlist_entries w WHERE w.schedule_id = s.id AND w.state = 'waiting')";
    // Of dates that are long gone. One is open and comes last.
    let cancelled = format!(
        "INSERT INTO schedule_cancellations (schedule_id, reason, requested_by, requested_at, finished_at) SELECT {}, 'Rain', 'tests', IF(seq = 1, '{later}', '{old}'), IF(seq = 1, NULL, '{open}') FROM seq_1_to_1000",
        some("schedule", "seq + 1000000")
    );
    let seals = format!(
        "INSERT INTO seals (number, audit_rows, ledger_rows, rows_so_far, last_seq, hash, sealed_at) SELECT seq, 250, 250, seq * 500, seq * 250, REPEAT('h', 32), '{open}' FROM seq_1_to_{}",
        rows.div_ceil(500)
    );
    format!("{orders}; {lists}; {counted}; {cancelled}; {seals}")
}

/// Ids as the log can show them.
fn some(kind: &str, number: &str) -> String {
    format!("CONCAT(RPAD('{kind}', 8, '_'), LPAD({number}, 8, '0'))")
}

/// What is kept for a while: keys, events and their receipts; and the log.
fn kept(rows: u32, user: &str, reservation: &str, [old, open, now]: [&str; 3]) -> String {
    let keys = format!(
        "INSERT INTO idempotency_keys (user_id, route, idempotency_key, fingerprint, claims, status, body, created_at) SELECT {user}, 'POST /api/v1/payments', CONCAT('old-', seq), REPEAT('f', 32), 1, 201, '{{}}', IF(seq <= 1000, '{old}', '{open}') FROM seq_1_to_{rows}"
    );
    let events = format!(
        "INSERT INTO outbox (id, aggregate_type, aggregate_id, type, payload, state, next_attempt_at, created_at, delivered_at) SELECT {}, 'reservation', {reservation}, 'payment.captured', '{{}}', IF(seq % 1000 = 0, 'pending', 'delivered'), '{open}', '{open}', IF(seq % 1000 = 0, NULL, IF(seq <= 1000, '{old}', '{now}')) FROM seq_1_to_{rows}",
        some("event", "seq")
    );
    let receipts = format!(
        "INSERT INTO forwarded_events (event_id, receiver, state, updated_at) SELECT {}, '{RECEIVER}', IF(seq % 1000 = 0, 'sending', 'delivered'), IF(seq <= 1000, '{old}', '{open}') FROM seq_1_to_{rows}",
        some("event", "seq")
    );
    let log = format!(
        "INSERT INTO audit_log (entity, entity_id, action, actor, actor_id, at, detail, seal) SELECT 'reservation', {reservation}, 'held', 'user', {user}, '{open}', '{{}}', {SEAL} FROM seq_1_to_{rows}"
    );
    format!("{keys}; {events}; {receipts}; {log}")
}
