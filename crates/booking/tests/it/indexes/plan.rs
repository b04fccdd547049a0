//! What the server was asked, how it would find the rows, and how long that takes.

use testbed::MariaDb;

/// What was asked since the log was emptied, a statement on a line. Prepared statements are logged with their values.
pub const LOG: &str = "SELECT REPLACE(argument, '\\n', ' ') FROM mysql.general_log \
    WHERE command_type IN ('Execute', 'Query') ORDER BY event_time";

pub const HEAD: &str = "| verb | statement | table | index | rows expected | with it | without it |\n|---|---|---|---|---|---|---|";

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
    pub key: Option<String>,
    rows: String,
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
    let [_, _, table, _, _, key, _, _, rows, ..] = columns[..] else {
        return None;
    };
    let found = |text: &str| (text != "NULL").then(|| text.to_owned());
    Some(Access {
        table: found(table).filter(|table| !table.starts_with('<'))?,
        key: found(key),
        rows: rows.to_owned(),
    })
}

/// A row of the report.
pub fn row(server: &MariaDb, database: &str, step: &Step, access: &Access) -> String {
    let key = access.key.as_deref().unwrap_or("none");
    let with = (0..3).map(|_| took_ms(server, database, &step.statement));
    let with = with.fold(f64::INFINITY, f64::min);
    let without = took_ms(server, database, &ignoring(&step.statement, access));
    format!(
        "| {} | `{}` | {} | {key} | {} | {with:.2} ms | {without:.2} ms |",
        step.verb,
        shape(&step.statement),
        access.table,
        access.rows,
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

/// The statement without its values and columns.
pub fn shape(statement: &str) -> String {
    let mut bare = String::new();
    for (index, part) in statement.split('\'').enumerate() {
        bare += if index % 2 == 0 { part } else { "?" };
    }
    let mut bare = bare.replace('`', "").replace('|', "\\|");
    while let Some(start) = bare
        .find(" IN (")
        .filter(|start| !bare[*start..].starts_with(" IN (…"))
    {
        let end = start + bare[start..].find(')').expect("a list ends");
        bare.replace_range(start..end, " in (…");
    }
    match (bare.find(" FROM "), bare.starts_with("SELECT")) {
        (Some(from), true) => format!("SELECT …{}", &bare[from..]),
        _ => bare,
    }
}
