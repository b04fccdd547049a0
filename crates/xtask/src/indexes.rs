//! `cargo xtask bench indexes`: the test that guards the indexes makes the table; here it goes into the pages.
//!
//! The pages are the table in two languages, and the costs of reads on the page about caches, which are taken out of it: there
//! a verb in italics behind a query names the row, or the rows of one table of it (`*reserve: seats*`).

mod korean;

use std::fs;
use std::sync::atomic::AtomicBool;

use crate::failure::Failure;
use crate::{say, stop, workspace};

/// What the pages are about.
pub const PAGE_ROWS: u32 = 1_000_000;
const PAGES: [&str; 2] = ["docs/INDEXES.md", "docs/INDEXES.ko.md"];
const COSTS: [&str; 2] = ["docs/CACHING.md", "docs/CACHING.ko.md"];

/// The test that guards the indexes writes the table; how long it takes is the server's own time, so that this build
/// needs no optimisation.
pub fn run(rows: u32, write: bool, stop: &AtomicBool) -> Result<(), Failure> {
    let folder = workspace::root().join("target/usher");
    fs::create_dir_all(&folder)?;
    let file = folder.join("indexes.txt");
    let mut test = workspace::cargo(&["test", "-p", "booking", "--test", "it", "--", "indexes::"]);
    test.env("USHER_INDEX_ROWS", rows.to_string())
        .env("USHER_INDEX_TABLE", &file);
    let passed = stop::run(&mut test, stop)?.success();
    let table = fs::read_to_string(&file).unwrap_or_default();
    say(&table);
    if !passed || table.is_empty() {
        return Err(Failure::Failed(format!(
            "a statement has no index, or the report could not be made; see {}",
            file.display()
        )));
    }
    if write { into_pages(&table) } else { Ok(()) }
}

fn into_pages(table: &str) -> Result<(), Failure> {
    let (korean, unnamed) = in_korean(table);
    if !unnamed.is_empty() {
        say(&format!(
            "Without a Korean word: {}. They belong into crates/xtask/src/indexes/korean.rs.",
            unnamed.join(", ")
        ));
    }
    for (page, table) in PAGES.into_iter().zip([table, &korean]) {
        let path = workspace::root().join(page);
        let text = replaced(&fs::read_to_string(&path)?, table).ok_or_else(|| {
            Failure::Failed(format!("{page} holds no table that could be replaced"))
        })?;
        fs::write(path, text)?;
        say(&format!("{page} is written."));
    }
    for (page, table) in COSTS.into_iter().zip([table, &korean]) {
        let path = workspace::root().join(page);
        let text = priced(&fs::read_to_string(&path)?, table);
        fs::write(path, text)?;
        say(&format!("{page} has its costs from it."));
    }
    Ok(())
}

/// The page with its first table exchanged.
pub fn replaced(page: &str, table: &str) -> Option<String> {
    let lines: Vec<_> = page.lines().collect();
    let first = lines.iter().position(|line| line.starts_with('|'))?;
    let length = lines[first..]
        .iter()
        .take_while(|line| line.starts_with('|'))
        .count();
    let before = lines[..first].iter().copied();
    let after = lines[first + length..].iter().copied();
    let all: Vec<_> = before.chain(table.lines()).chain(after).collect();
    Some(all.join("\n") + "\n")
}

/// The table with Korean words, and the verbs that have none.
fn in_korean(table: &str) -> (String, Vec<String>) {
    let mut unnamed: Vec<String> = Vec::new();
    let lines = table.lines().enumerate().map(|(number, line)| {
        let row = line.strip_prefix("| ");
        match row.and_then(|row| row.split_once(" | ")) {
            _ if number == 0 => korean::HEAD.to_owned(),
            None => line.to_owned(),
            Some((verb, rest)) => {
                let word = korean::word(verb);
                if word.is_none() && unnamed.last().is_none_or(|last| last != verb) {
                    unnamed.push(verb.to_owned());
                }
                format!("| {} | {rest}", word.unwrap_or(verb))
            }
        }
    });
    (lines.collect::<Vec<_>>().join("\n"), unnamed)
}

/// What one row of the table says about a read.
struct Read<'a> {
    verb: &'a str,
    statement: &'a str,
    table: &'a str,
    with_ms: f64,
    without_ms: f64,
}

/// The reads of the table of indexes; what only writes is left out.
fn reads(table: &str) -> Vec<Read<'_>> {
    let read = |line| {
        let cells = cells(line);
        let [verb, statement, table, ..] = cells[..] else {
            return None;
        };
        let [.., with, without] = cells[..] else {
            return None;
        };
        let ms = |cell: &str| cell.strip_suffix(" ms")?.parse().ok();
        let read = Read {
            verb,
            statement,
            table,
            with_ms: ms(with)?,
            without_ms: ms(without)?,
        };
        statement.starts_with("`SELECT").then_some(read)
    };
    table.lines().filter_map(read).collect()
}

/// The cells of a row; a bar behind a backslash is part of one.
fn cells(line: &str) -> Vec<&str> {
    let mut cells = Vec::new();
    let mut begin = 0;
    for (index, _) in line.match_indices('|') {
        if !line[..index].ends_with('\\') {
            cells.push(line[begin..index].trim());
            begin = index + 1;
        }
    }
    // Nothing stands before the first bar.
    cells.into_iter().skip(1).collect()
}

/// The page with the costs of its queries out of the table of indexes: the fourth cell is with the index, the fifth without.
/// A query that names nothing which the table has stays as it is.
fn priced(page: &str, table: &str) -> String {
    let reads = reads(table);
    let line = |line: &str| {
        let mut cells = cells(line);
        let verb = cells.first().and_then(|query| named(query));
        let found = verb.and_then(|verb| cost(&reads, verb));
        let (Some((with, without)), true) = (found, cells.len() > 5) else {
            return line.to_owned();
        };
        (cells[3], cells[4]) = (&with, &without);
        let filled = cells.iter().map(|cell| match *cell {
            "" => " ".to_owned(),
            cell => format!(" {cell} "),
        });
        format!("|{}|", filled.collect::<Vec<_>>().join("|"))
    };
    let lines: Vec<String> = page.lines().map(line).collect();
    lines.join("\n") + "\n"
}

/// What stands in italics.
fn named(query: &str) -> Option<&str> {
    let (_, rest) = query.split_once('*')?;
    Some(rest.split_once('*')?.0)
}

/// All reads of a verb together, and the dearest of them without its index.
fn cost(reads: &[Read<'_>], named: &str) -> Option<(String, String)> {
    let (verb, table) = match named.split_once(": ") {
        Some((verb, table)) => (verb, Some(table)),
        None => (named, None),
    };
    let its = reads
        .iter()
        .filter(|read| read.verb == verb && table.is_none_or(|table| read.table == table));
    let (mut with, mut without, mut last) = (0.0, 0.0_f64, None);
    for read in its {
        // A statement has a row for each of its tables.
        if last != Some(read.statement) {
            with += read.with_ms;
        }
        last = Some(read.statement);
        without = without.max(read.without_ms);
    }
    last.map(|_| (shown(with), shown(without)))
}

fn shown(ms: f64) -> String {
    match ms {
        long if long >= 1_000.0 => format!("{:.1} s", long / 1_000.0),
        some if some >= 10.0 => format!("{some:.0} ms"),
        short => format!("{short:.2} ms"),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{COSTS, PAGES, in_korean, priced, replaced};
    use crate::workspace;

    const TABLE: &str = "| verb | statement | table | index | with it | without it |
|---|---|---|---|---|---|
| list dates | `SELECT … FROM a \\| b` | a | PRIMARY | 0.25 ms | 20.40 ms |
| list dates | `SELECT … FROM a \\| b` | b | PRIMARY | 0.30 ms | 1500.00 ms |
| list dates | `SELECT … FROM c` | c | PRIMARY | 0.50 ms | 0.10 ms |
| list dates | `UPDATE d` | d | PRIMARY | 9.00 ms | 9000.00 ms |
| of nobody | `SELECT … FROM c` | c | PRIMARY | 0.50 ms | 0.10 ms |";

    #[test]
    fn only_the_table_of_the_page_changes() {
        let page = "# Head\n\n| a |\n|---|\n| old |\n\nAfter\n";
        let written = replaced(page, "| a |\n|---|\n| new |\n| newer |");
        let wanted = "# Head\n\n| a |\n|---|\n| new |\n| newer |\n\nAfter\n";
        assert_eq!(written.as_deref(), Some(wanted));
        assert_eq!(replaced("no table\n", "| a |"), None);
    }

    #[test]
    fn a_query_costs_what_all_reads_of_its_verb_cost_or_those_of_one_table() {
        let page = "| query | asked | often | cost | without | old | cached |
|---|---|---|---|---|---|---|
| dates (*list dates*) | `GET` | | not measured | ? | 1 s | |
| one (*list dates: a*) | `GET` | | 7 | | 1 s | no |
| other (*unknown*) | | | not measured | | | |
| none | | | 1 ms | | | |
";
        let wanted = "| query | asked | often | cost | without | old | cached |
|---|---|---|---|---|---|---|
| dates (*list dates*) | `GET` | | 0.75 ms | 1.5 s | 1 s | |
| one (*list dates: a*) | `GET` | | 0.25 ms | 20 ms | 1 s | no |
| other (*unknown*) | | | not measured | | | |
| none | | | 1 ms | | | |
";
        assert_eq!(priced(page, TABLE), wanted);
    }

    #[test]
    fn verbs_are_named_in_korean_and_those_without_a_word_are_told() {
        let (korean, unnamed) = in_korean(TABLE);
        assert_eq!(korean.matches("| 날짜 목록 | `").count(), 4);
        assert!(korean.starts_with("| 동작 |"), "{korean}");
        assert_eq!(unnamed, ["of nobody"]);
    }

    #[test]
    fn the_pages_about_caches_say_what_the_table_of_indexes_says() {
        for (costs, table) in COSTS.into_iter().zip(PAGES) {
            let read = |page| fs::read_to_string(workspace::root().join(page)).expect("a page");
            let page = read(costs);
            assert_eq!(priced(&page, &read(table)), page, "{costs}");
        }
    }
}
