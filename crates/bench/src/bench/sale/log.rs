//! Owns reading the general log of the database server: the longest transaction of a connection, with its values.

use std::collections::BTreeMap;
use std::sync::Arc;

/// A value as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Literal {
    /// A text, or bytes, or an instant.
    Bytes(Vec<u8>),
    /// A whole number.
    Number(i64),
    /// None.
    Null,
}

/// A prepared statement, and what it is executed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement<V> {
    /// With a question mark for each value.
    pub sql: Arc<str>,
    /// In their order.
    pub values: Vec<V>,
}

/// A transaction that was written down.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Transaction {
    /// Up to COMMIT.
    pub sent: Vec<Statement<Literal>>,
    /// How many statements were closed again, and are prepared anew each time.
    pub closed: usize,
}

/// The longest transaction of a general log in its file's form. Steps in the background send shorter ones.
///
/// # Errors
/// A statement whose values cannot be read.
pub fn longest_transaction(log: &[u8]) -> Result<Transaction, String> {
    let mut prepared: Vec<&[u8]> = Vec::new();
    let mut threads: BTreeMap<&[u8], Vec<Entry<'_>>> = BTreeMap::new();
    for entry in log.split(|byte| *byte == b'\n').filter_map(entry) {
        match entry.command {
            b"Prepare" => prepared.push(entry.argument),
            b"Query" | b"Execute" | CLOSE => threads.entry(entry.thread).or_default().push(entry),
            _ => {}
        }
    }
    let all = threads.values().flat_map(|it| transactions(it));
    let longest = all.max_by_key(|it| it.len()).unwrap_or_default();
    let (closed, sent): (Vec<_>, Vec<_>) = longest.iter().partition(|it| it.command == CLOSE);
    let sent = sent.into_iter().map(|entry| statement(entry, &prepared));
    Ok(Transaction {
        sent: sent.collect::<Result<_, _>>()?,
        closed: closed.len(),
    })
}

const CLOSE: &[u8] = b"Close stmt";

#[derive(Clone, Copy)]
struct Entry<'a> {
    thread: &'a [u8],
    command: &'a [u8],
    argument: &'a [u8],
}

/// The end of the statement that sets up a connection; behind it the first transaction begins.
const FIRST_BEGINS: &[u8] = b"autocommit = 0";

/// The transactions of a thread, each to its COMMIT: from the one before, or from where the connection was set up.
fn transactions<'a>(thread: &'a [Entry<'a>]) -> impl Iterator<Item = &'a [Entry<'a>]> {
    let parts = thread.split(|it| it.argument == b"ROLLBACK");
    let parts = parts.flat_map(|part| part.split_inclusive(|it| it.argument == b"COMMIT"));
    parts.filter_map(|part| {
        let set_up = part
            .iter()
            .rposition(|it| it.argument.ends_with(FIRST_BEGINS));
        let begin = set_up.map_or(0, |last| last + 1);
        let is_whole = part.last()?.argument == b"COMMIT";
        is_whole.then_some(&part[begin..])
    })
}

/// A line: the time or nothing, the thread and the command, the argument, with tabs between.
fn entry(line: &[u8]) -> Option<Entry<'_>> {
    let mut parts = line.splitn(4, |byte| *byte == b'\t');
    let (first, second) = (parts.next()?, parts.next()?);
    // Without a time there are two tabs.
    let (head, argument) = if first.is_empty() && second.is_empty() {
        (parts.next()?, parts.next()?)
    } else {
        (second, parts.next()?)
    };
    let head = head.trim_ascii_start();
    let space = head.iter().position(|byte| *byte == b' ')?;
    Some(Entry {
        thread: &head[..space],
        command: &head[space + 1..],
        argument,
    })
}

fn statement(entry: Entry<'_>, prepared: &[&[u8]]) -> Result<Statement<Literal>, String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    // Some are prepared when the connection is made, which may be before the log is on.
    let is_bare = entry.command == b"Query" || entry.argument == b"COMMIT";
    let bare = is_bare.then(|| (entry.argument, Vec::new()));
    let found = bare.or_else(|| {
        let mut known = prepared.iter();
        known.find_map(|it| Some((*it, values(it, entry.argument)?)))
    });
    let (sql, values) = found.ok_or_else(|| format!("not read: {}", text(entry.argument)))?;
    let sql = text(sql).into();
    Ok(Statement { sql, values })
}

/// The values that stand where the prepared statement has its question marks; none when it is another statement.
fn values(prepared: &[u8], executed: &[u8]) -> Option<Vec<Literal>> {
    let mut parts = prepared.split(|byte| *byte == b'?');
    let mut rest = executed.strip_prefix(parts.next()?)?;
    let mut values = Vec::new();
    for part in parts {
        let (value, after) = literal(rest)?;
        values.push(value);
        rest = after.strip_prefix(part)?;
    }
    rest.is_empty().then_some(values)
}

/// The value at the front, and what follows.
fn literal(text: &[u8]) -> Option<(Literal, &[u8])> {
    if let Some(rest) = text.strip_prefix(b"NULL") {
        return Some((Literal::Null, rest));
    }
    // An instant is told with its type.
    let text = text.strip_prefix(b"TIMESTAMP").unwrap_or(text);
    let Some(mut rest) = text.strip_prefix(b"'") else {
        let is_digit = |byte: &u8| byte.is_ascii_digit() || *byte == b'-';
        let end = text.iter().take_while(|byte| is_digit(byte)).count();
        let number = std::str::from_utf8(&text[..end]).ok()?.parse().ok()?;
        return Some((Literal::Number(number), &text[end..]));
    };
    let mut bytes = Vec::new();
    loop {
        match rest {
            [b'\'', after @ ..] => return Some((Literal::Bytes(bytes), after)),
            [b'\\', escaped, after @ ..] => {
                bytes.push(match escaped {
                    b'0' => 0,
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b'Z' => 0x1a,
                    other => *other,
                });
                rest = after;
            }
            [byte, after @ ..] => {
                bytes.push(*byte);
                rest = after;
            }
            [] => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &[u8] = b"/usr/sbin/mariadbd, Version: 10.11\nTime\t\t    Id Command\tArgument\n\
        261126 10:00:00\t    12 Query\tSET SESSION autocommit = 0\n\t\t    13 Query\tSELECT 1\n\
        \t\t    12 Prepare\tUPDATE `a` SET `b` = ? WHERE `c` = ? AND `d` = ? AND `e` = ?\n\
        \t\t    12 Execute\tUPDATE `a` SET `b` = 'it\\'s\\0\\n\\\\' WHERE `c` = -7 AND `d` = NULL AND `e` = TIMESTAMP'2026-11-26 11:08:00.5'\n\
        \t\t    12 Close stmt\t\n\t\t    13 Query\tCOMMIT\n\t\t    12 Query\tCOMMIT\n";

    #[test]
    fn the_longest_transaction_is_read_with_its_values() {
        let read = longest_transaction(LOG).expect("a transaction");
        let statement = "UPDATE `a` SET `b` = ? WHERE `c` = ? AND `d` = ? AND `e` = ?";
        let values = vec![
            Literal::Bytes(b"it's\0\n\\".to_vec()),
            Literal::Number(-7),
            Literal::Null,
            Literal::Bytes(b"2026-11-26 11:08:00.5".to_vec()),
        ];
        let wanted = [(statement, values), ("COMMIT", vec![])];
        let wanted = wanted.map(|(sql, values)| Statement {
            sql: sql.into(),
            values,
        });
        assert_eq!((read.sent.as_slice(), read.closed), (&wanted[..], 1));
    }

    #[test]
    fn another_statement_is_not_taken_for_it() {
        assert_eq!(values(b"A = ?", b"A = 1 AND B = 2"), None);
        assert_eq!(values(b"A = ?", b"A = 'open"), None);
        assert_eq!(values(b"A", b"A"), Some(Vec::new()));
    }
}
