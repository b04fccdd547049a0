//! Owns the statements of the three verbs, as booking sends them, and the proof that it does.
//!
//! Before a verb is measured it runs once while the server writes down what it is asked. If that differs from the
//! list here, the row says so: its limit would no longer be one.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::fixture::{Caller, Fixture};

pub const BEGIN: &str = "BEGIN";
pub const SAVEPOINT: &str = "SAVEPOINT claimed";
pub const COMMIT: &str = "COMMIT";
pub const CLAIM: &str = "INSERT INTO `idempotency_keys` (`user_id`, `route`, `idempotency_key`, `fingerprint`, `created_at`) VALUES (?, ?, ?, ?, ?) ON DUPLICATE KEY UPDATE `claims` = (`idempotency_keys`.`claims` + ?)";
pub const ANSWER: &str = "UPDATE `idempotency_keys` SET `fingerprint` = ?, `status` = ?, `body` = ?, `created_at` = ? WHERE (((`idempotency_keys`.`user_id` = ?) AND (`idempotency_keys`.`route` = ?)) AND (`idempotency_keys`.`idempotency_key` = ?))";
pub const PUT_IN: &str = "INSERT INTO `wallets` (`user_id`, `balance`, `created_at`) VALUES (?, ?, ?) ON DUPLICATE KEY UPDATE `balance` = (`wallets`.`balance` + ?)";
pub const BALANCE: &str =
    "SELECT `wallets`.`balance` FROM `wallets` WHERE (`wallets`.`user_id` = ?) LIMIT ?";
pub const ENTRY: &str = "INSERT INTO `ledger_entries` (`id`, `user_id`, `cause`, `reference_id`, `debit_account`, `credit_account`, `amount`, `created_at`) VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
pub const AUDIT: &str = "INSERT INTO `audit_log` (`entity`, `entity_id`, `action`, `actor`, `actor_id`, `at`, `detail`) VALUES (?, ?, ?, ?, ?, ?, ?)";
pub const AUDIT_TWO: &str = "INSERT INTO `audit_log` (`entity`, `entity_id`, `action`, `actor`, `actor_id`, `at`, `detail`) VALUES (?, ?, ?, ?, ?, ?, ?), (?, ?, ?, ?, ?, ?, ?)";
pub const EVENT: &str = "INSERT INTO `outbox` (`id`, `aggregate_type`, `aggregate_id`, `type`, `payload`, `state`, `next_attempt_at`, `created_at`, `traceparent`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
pub const OFFERED: &str = "SELECT `seats`.`number`, `seats`.`grade`, `seats`.`price`, `seats`.`state`, `seats`.`hold_expires_at`, `schedules`.`sales_open_at`, `schedules`.`sales_close_at`, `concerts`.`queue` FROM (`seats` INNER JOIN (`schedules` INNER JOIN `concerts` ON (`schedules`.`concert_id` = `concerts`.`id`)) ON (`seats`.`schedule_id` = `schedules`.`id`)) WHERE ((`seats`.`schedule_id` = ?) AND (`seats`.`number` IN (?))) ORDER BY `seats`.`number`";
pub const BUYER: &str = "INSERT INTO `buyers` (`schedule_id`, `user_id`, `last_seen_at`) VALUES (?, ?, ?) ON DUPLICATE KEY UPDATE `last_seen_at` = ?";
pub const SEATS_OF_USER: &str = "SELECT `reservations`.`seat_count` FROM `reservations` WHERE (((`reservations`.`schedule_id` = ?) AND (`reservations`.`user_id` = ?)) AND ((`reservations`.`state` = ?) OR ((`reservations`.`state` = ?) AND (`reservations`.`hold_expires_at` > ?))))";
pub const HOLD_SEATS: &str = "UPDATE `seats` SET `state` = ?, `reservation_id` = ?, `holder_id` = ?, `hold_expires_at` = ? WHERE (((`seats`.`schedule_id` = ?) AND (`seats`.`number` IN (?))) AND ((`seats`.`state` = ?) OR ((`seats`.`state` = ?) AND (`seats`.`hold_expires_at` <= ?))))";
pub const RESERVATION: &str = "INSERT INTO `reservations` (`id`, `schedule_id`, `user_id`, `state`, `seat_count`, `amount`, `hold_expires_at`, `created_at`) VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
pub const RESERVATION_SEATS: &str = "INSERT INTO `reservation_seats` (`reservation_id`, `seat_number`, `schedule_id`, `grade`, `price`) VALUES (?, ?, ?, ?, ?)";
pub const CONFIRM: &str = "UPDATE `reservations` SET `state` = ? WHERE ((((`reservations`.`id` = ?) AND (`reservations`.`user_id` = ?)) AND (`reservations`.`state` = ?)) AND (`reservations`.`hold_expires_at` > ?))";
pub const STORED: &str = "SELECT `reservations`.`id`, `reservations`.`schedule_id`, `reservations`.`user_id`, `reservations`.`state`, `reservations`.`amount`, `reservations`.`hold_expires_at`, `reservations`.`created_at`, `reservation_seats`.`seat_number`, `reservation_seats`.`grade`, `reservation_seats`.`price` FROM (`reservations` INNER JOIN `reservation_seats` ON (`reservation_seats`.`reservation_id` = `reservations`.`id`)) WHERE ((`reservations`.`id` = ?) AND (`reservations`.`user_id` = ?)) ORDER BY `reservation_seats`.`seat_number`";
pub const TAKE_OUT: &str = "UPDATE `wallets` SET `balance` = (`wallets`.`balance` - ?) WHERE ((`wallets`.`user_id` = ?) AND (`wallets`.`balance` >= ?))";
pub const PAYMENT: &str = "INSERT INTO `payments` (`id`, `reservation_id`, `user_id`, `amount`, `state`, `created_at`) VALUES (?, ?, ?, ?, ?, ?)";
pub const SELL_SEATS: &str = "UPDATE `seats` SET `state` = ?, `hold_expires_at` = ? WHERE ((((`seats`.`schedule_id` = ?) AND (`seats`.`number` IN (?))) AND (`seats`.`reservation_id` = ?)) AND (`seats`.`state` = ?))";
pub const MARK_SEATS: &str = "UPDATE `reservation_seats` SET `sold_number` = `reservation_seats`.`seat_number` WHERE (`reservation_seats`.`reservation_id` = ?)";

/// A verb of the sale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Money comes in.
    Charge,
    /// A seat is held.
    Reserve,
    /// A hold is paid.
    Pay,
}

impl Verb {
    /// What is sent, in order.
    pub fn statements(self) -> &'static [&'static str] {
        match self {
            Verb::Charge => &[
                BEGIN, CLAIM, SAVEPOINT, PUT_IN, BALANCE, ENTRY, AUDIT, EVENT, ANSWER, COMMIT,
            ],
            Verb::Reserve => &[
                BEGIN,
                OFFERED,
                BUYER,
                SEATS_OF_USER,
                HOLD_SEATS,
                RESERVATION,
                RESERVATION_SEATS,
                AUDIT,
                EVENT,
                COMMIT,
            ],
            Verb::Pay => &[
                BEGIN, CLAIM, SAVEPOINT, CONFIRM, STORED, TAKE_OUT, ENTRY, PAYMENT, SELL_SEATS,
                MARK_SEATS, AUDIT_TWO, EVENT, ANSWER, COMMIT,
            ],
        }
    }
}

/// How a remark about it begins.
const DIFFERS: &str = "booking sends other statements than the bare client";

/// What was asked, by connection: what is prepared and executed, and the text without values where there is one.
const LOG: &str = "SELECT thread_id, command_type, \
     IF(command_type = 'Execute', LEFT(argument, 9), REPLACE(argument, '\\n', ' ')) \
     FROM mysql.general_log WHERE command_type IN ('Prepare', 'Execute', 'Query', 'Close stmt') \
     ORDER BY event_time";

/// Runs a verb and says how it differs from the list, and how much of it is prepared anew each time.
pub fn check(fixture: &mut Fixture, verb: Verb) -> io::Result<Vec<String>> {
    // With new connections, every statement is prepared once while the log is on.
    fixture.stack.bookings[0].restart()?;
    let run = |statements: &str| fixture.stack.mariadb().execute(statements);
    run("SET GLOBAL log_output = 'TABLE', general_log = 1; TRUNCATE mysql.general_log")?;
    let acted = act(fixture, verb);
    let log = run(LOG);
    run("SET GLOBAL general_log = 0")?;
    acted?;
    Ok(compare(&log?, verb.statements()))
}

fn compare(log: &str, ours: &[&str]) -> Vec<String> {
    let theirs = longest_transaction(log);
    let texts: BTreeSet<_> = log
        .lines()
        .filter_map(|it| it.splitn(3, '\t').nth(2))
        .collect();
    let missing: Vec<_> = ours.iter().filter(|text| !texts.contains(*text)).collect();
    let mut notes = Vec::new();
    if theirs.sent != ours.len() || !missing.is_empty() {
        notes.push(format!(
            "{DIFFERS}: {} and {}; not among booking's: {missing:?}",
            theirs.sent,
            ours.len()
        ));
    }
    notes.push(format!(
        "{} statements with BEGIN and COMMIT; booking prepares {} of them anew each time, the bare client none",
        theirs.sent, theirs.closed
    ));
    notes
}

/// A transaction that was written down.
#[derive(Debug, Default, PartialEq, Eq)]
struct Transaction {
    sent: usize,
    closed: usize,
}

/// Steps in the background send shorter ones.
fn longest_transaction(log: &str) -> Transaction {
    let mut running: BTreeMap<&str, Transaction> = BTreeMap::new();
    let mut done = Vec::new();
    for line in log.lines() {
        let mut columns = line.splitn(3, '\t');
        let (Some(thread), Some(kind), Some(text)) =
            (columns.next(), columns.next(), columns.next())
        else {
            continue;
        };
        if text == BEGIN {
            running.insert(thread, Transaction::default());
        }
        let Some(transaction) = running.get_mut(thread) else {
            continue;
        };
        match kind {
            "Execute" | "Query" => transaction.sent += 1,
            "Close stmt" => transaction.closed += 1,
            _ => {}
        }
        if text == COMMIT {
            done.extend(running.remove(thread));
        }
    }
    done.into_iter()
        .max_by_key(|it| it.sent)
        .unwrap_or_default()
}

/// One of each that leads to the verb, and the verb itself last.
fn act(fixture: &Fixture, verb: Verb) -> io::Result<()> {
    let mut caller = Caller::of(fixture.booking())?;
    let user = Uuid::new_v4();
    let pass = fixture.minter().pass(user);
    let mut ask = |path: &str, body: Value| {
        let key = Uuid::new_v4().to_string();
        let mut headers = vec![("X-Usher-Pass", pass.as_str())];
        if path != "/api/v1/reservations" {
            headers.push(("Idempotency-Key", &key));
        }
        let said = caller.ask("POST", path, &headers, &body)?;
        let made = said.status == 201;
        let words = format!("{path} answered {}: {}", said.status, said.body);
        made.then_some(said.body)
            .ok_or_else(|| io::Error::other(words))
    };
    if verb != Verb::Reserve {
        ask(
            &format!("/api/v1/users/{user}/balance/charges"),
            json!({ "amount": 1_000 }),
        )?;
    }
    if verb != Verb::Charge {
        let wish = json!({ "scheduleId": fixture.date(50)?, "seatNumbers": [7] });
        let held = ask("/api/v1/reservations", wish)?;
        if verb == Verb::Pay {
            ask("/api/v1/payments", json!({ "reservationId": held["id"] }))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{BALANCE, BEGIN, COMMIT, DIFFERS, SAVEPOINT, compare};

    #[test]
    fn a_list_that_is_not_booking_s_is_told() {
        let sent = [
            "1\tQuery\tBEGIN".to_owned(),
            "2\tQuery\tBEGIN".to_owned(),
            format!("1\tPrepare\t{BALANCE}"),
            "1\tExecute\tSELECT `w".to_owned(),
            "1\tClose stmt\t".to_owned(),
            "2\tQuery\tCOMMIT".to_owned(),
            "1\tQuery\tCOMMIT".to_owned(),
        ];
        let log = sent.join("\n");
        let same = compare(&log, &[BEGIN, BALANCE, COMMIT]);
        assert!(same[0].starts_with("3 statements"), "{same:?}");
        assert!(same[0].contains("prepares 1 of them"), "{same:?}");
        let fewer = compare(&log, &[BEGIN, COMMIT]);
        assert!(fewer[0].starts_with(DIFFERS), "{fewer:?}");
        let other = compare(&log, &[BEGIN, SAVEPOINT, COMMIT]);
        assert!(other[0].contains(SAVEPOINT), "{other:?}");
    }
}
