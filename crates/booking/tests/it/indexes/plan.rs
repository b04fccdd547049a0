//! What the server was asked, how it would find the rows, and how long that takes.

use testbed::MariaDb;

/// What was asked since the log was emptied, a statement on a line. Prepared statements are logged with their values.
pub const LOG: &str = "SELECT REPLACE(argument, '\\n', ' ') FROM mysql.general_log \
    WHERE command_type IN ('Execute', 'Query') ORDER BY event_time";

pub const HEAD: &str = "| verb | statement | table | type | index | rows expected | Extra | with it | without it |\n|---|---|---|---|---|---|---|---|---|";

/// A statement of a verb.
#[derive(Debug, Clone)]
pub struct Step {
    pub verb: &'static str,
    pub statement: String,
}

/// How a statement finds the rows of one table.
#[derive(Debug)]
pub struct Access {
    table: String,
    kind: String,
    pub key: Option<String>,
    rows: String,
    extra: String,
}

/// Those lines of the log that look for rows.
pub fn steps(verb: &'static str, log: &str) -> Vec<Step> {
    let looks = |line: &&str| {
        ["SELECT", "UPDATE", "DELETE"]
            .iter()
            .any(|word| line.starts_with(word))
            && line.contains("WHERE")
            && !line.contains("general_log")
    };
    let step = |line: &str| Step {
        verb,
        statement: line.to_owned(),
    };
    log.lines().filter(looks).map(step).collect()
}

pub fn explain(server: &MariaDb, database: &str, step: &Step) -> Vec<Access> {
    // A hold that was sold is none any more, and nothing would be looked for.
    let statement = step.statement.replace("r.state = 'held' AND ", "");
    let plan = server
        .execute(&format!("USE {database}; EXPLAIN {statement}"))
        .unwrap_or_else(|cause| panic!("{statement}: {cause}"));
    plan.lines().filter_map(access).collect()
}

/// `id, select_type, table, type, possible_keys, key, key_len, ref, rows, Extra`; a line without a table reads none.
fn access(line: &str) -> Option<Access> {
    let columns: Vec<&str> = line.split('\t').collect();
    let [_, _, table, kind, _, key, _, _, rows, ..] = columns[..] else {
        return None;
    };
    let extra = columns.get(9).copied().unwrap_or_default();
    let found = |text: &str| (text != "NULL").then(|| text.to_owned());
    Some(Access {
        table: found(table).filter(|table| !table.starts_with('<'))?,
        kind: kind.to_owned(),
        key: found(key),
        rows: rows.to_owned(),
        extra: found(extra).unwrap_or_default(),
    })
}

/// A row of the report.
pub fn row(server: &MariaDb, database: &str, step: &Step, access: &Access) -> String {
    let key = access.key.as_deref().unwrap_or("none");
    let with = (0..3).map(|_| took_ms(server, database, &step.statement));
    let with = with.fold(f64::INFINITY, f64::min);
    let without = took_ms(server, database, &ignoring(&step.statement, access));
    format!(
        "| {} | `{}` | {} | {} | {key} | {} | {} | {with:.2} ms | {without:.2} ms |",
        step.verb,
        shape(&step.statement),
        access.table,
        access.kind,
        access.rows,
        access.extra,
    )
}

/// How long the server takes, by its own watch; nothing is changed. Values that the log has garbled may be cut: they are
/// not looked for.
fn took_ms(server: &MariaDb, database: &str, statement: &str) -> f64 {
    let script = format!(
        "USE {database}; SET sql_mode = ''; START TRANSACTION; ANALYZE FORMAT=JSON {statement}; ROLLBACK"
    );
    let told = server
        .execute(&script)
        .unwrap_or_else(|cause| panic!("{statement}: {cause}"));
    // Each part of the statement has a time of its own; the longest is that of the whole.
    let parts = told.split("\"r_total_time_ms\": ").skip(1);
    let digits = |part: &str| {
        let end = part.find(|letter: char| !letter.is_ascii_digit() && letter != '.');
        part[..end.unwrap_or(part.len())].parse::<f64>().ok()
    };
    let times = parts.filter_map(digits);
    times
        .reduce(f64::max)
        .unwrap_or_else(|| panic!("no time: {told}"))
}

/// The same statement without the index, as if there were none.
fn ignoring(statement: &str, access: &Access) -> String {
    let key = access.key.as_deref().unwrap_or("PRIMARY");
    let named = format!("`{}`", access.table);
    let hint = format!("IGNORE INDEX (`{key}`)");
    // A DELETE takes no hint; finding the rows is the same work.
    if let Some(rest) = statement.strip_prefix("DELETE FROM ") {
        let (table, condition) = rest.split_once(" WHERE ").expect("a condition");
        return format!("SELECT 1 FROM {table} {hint} WHERE {condition} FOR UPDATE");
    }
    for before in ["FROM ", "FROM (", "JOIN ", "JOIN (", "UPDATE "] {
        for written in [named.as_str(), access.table.as_str()] {
            for after in [" ", ")"] {
                let place = format!("{before}{written}{after}");
                if statement.contains(&place) {
                    let hinted = format!("{before}{written} {hint}{after}");
                    return statement.replacen(&place, &hinted, 1);
                }
            }
        }
    }
    // An alias: `FROM outbox o`.
    let alias = format!(" {} ", access.table);
    statement.replacen(&alias, &format!("{alias}{hint} "), 1)
}

/// The statement without its values, and without columns that are only read.
pub fn shape(statement: &str) -> String {
    let bare = without_values(statement).replace('`', "");
    let short = without_columns(&without_lists(&bare));
    without_numbers(&short).replace('|', "\\|")
}

/// Each value in quotes is a question mark, also one with a quote in it.
fn without_values(statement: &str) -> String {
    let mut bare = String::new();
    let mut letters = statement.chars();
    while let Some(letter) = letters.next() {
        if letter != '\'' {
            bare.push(letter);
            continue;
        }
        while let Some(inner) = letters.next().filter(|inner| *inner != '\'') {
            if inner == '\\' {
                letters.next();
            }
        }
        bare.push('?');
    }
    bare.replace("TIMESTAMP?", "?")
}

/// A number that something is compared with, or set to, is a value.
fn without_numbers(statement: &str) -> String {
    let mut before = "";
    let words = statement.split(' ').map(|word| {
        let is_compared = ["=", "!=", "<", "<=", ">", ">="].contains(&before);
        before = word;
        match word.trim_start_matches(|letter: char| letter.is_ascii_digit()) {
            rest if is_compared && rest.len() < word.len() => format!("?{rest}"),
            _ => word.to_owned(),
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

/// What a value may be of is three dots; a question inside stays.
fn without_lists(statement: &str) -> String {
    let mut short = String::new();
    let mut rest = statement;
    while let Some((before, list)) = rest.split_once(" IN (") {
        short += before;
        short += " IN (";
        rest = list;
        if !list.starts_with("SELECT ") {
            short += "…";
            rest = &list[list_end(list)..];
        }
    }
    short + rest
}

/// Several columns between `SELECT` and its own `FROM` are three dots. One alone stays, and so do questions in their place.
fn without_columns(statement: &str) -> String {
    let Some((before, rest)) = statement.split_once("SELECT ") else {
        return statement.to_owned();
    };
    let (columns, rest) = rest.split_at(list_end(rest));
    let columns = if columns.contains("SELECT ") {
        without_columns(columns)
    } else if parts(columns) > 1 {
        "…".to_owned()
    } else {
        columns.to_owned()
    };
    format!("{before}SELECT {columns}{}", without_columns(rest))
}

/// Where a list ends: at a ` FROM ` that is not in brackets, or at the bracket that closes around it.
fn list_end(text: &str) -> usize {
    let mut depth = 0;
    for (index, letter) in text.char_indices() {
        match letter {
            '(' => depth += 1,
            ')' if depth == 0 => return index,
            ')' => depth -= 1,
            ' ' if depth == 0 && text[index..].starts_with(" FROM ") => return index,
            _ => {}
        }
    }
    text.len()
}

/// How many parts a list has.
fn parts(list: &str) -> usize {
    let mut depth = 0;
    let commas = list.chars().filter(|letter| {
        match letter {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        *letter == ',' && depth == 0
    });
    commas.count() + 1
}

#[test]
fn a_statement_is_shortened_so_that_it_can_be_read_and_its_brackets_close() {
    for (statement, short) in [
        (
            "SELECT `seats`.`number`, `seats`.`grade` FROM `seats` WHERE (`seats`.`schedule_id` = 'it\\'s') ORDER BY `seats`.`number`",
            "SELECT … FROM seats WHERE (seats.schedule_id = ?) ORDER BY seats.number",
        ),
        (
            "SELECT COUNT(*), MIN(a.b) FROM a WHERE a.at <= TIMESTAMP'2026-11-27 10:00:00'",
            "SELECT … FROM a WHERE a.at <= ?",
        ),
        (
            "SELECT (SELECT COUNT(*) FROM outbox WHERE state = 'pending') AS pending, \
             (SELECT created_at FROM outbox WHERE state = 'pending' ORDER BY seq LIMIT 1) AS oldest_at",
            "SELECT (SELECT COUNT(*) FROM outbox WHERE state = ?) AS pending, \
             (SELECT created_at FROM outbox WHERE state = ? ORDER BY seq LIMIT 1) AS oldest_at",
        ),
        (
            "SELECT (EXISTS (SELECT `a`.`b`, `a`.`c` FROM `a` WHERE (`a`.`d` IS NULL)) OR EXISTS (SELECT e.f, e.g FROM e WHERE e.h = 1))",
            "SELECT (EXISTS (SELECT … FROM a WHERE (a.d IS NULL)) OR EXISTS (SELECT … FROM e WHERE e.h = ?))",
        ),
        (
            "SELECT a, COALESCE(b, 'x') FROM c WHERE d IN ('1', '2') AND e IN (UNHEX('3'), '4') AND f IN (SELECT g, h FROM i)",
            "SELECT … FROM c WHERE d IN (…) AND e IN (…) AND f IN (SELECT … FROM i)",
        ),
        (
            "UPDATE `seats` SET `state` = 'a|b' WHERE ((`seats`.`number` IN (1, 2)) AND (x = y || z) AND (w = 12)) LIMIT 7",
            "UPDATE seats SET state = ? WHERE ((seats.number IN (…)) AND (x = y \\|\\| z) AND (w = ?)) LIMIT 7",
        ),
    ] {
        assert_eq!(shape(statement), short);
        let count = |bracket| short.matches(bracket).count();
        assert_eq!(count('('), count(')'), "{short}");
    }
}
