//! Owns what a cursor is: the id of the last item of the page before, in base64url.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chassis::page::{Page, PageQuery};
use chassis::problem::Problem;
use uuid::Uuid;

use super::codes::QUERY_INVALID;
use crate::db;

/// The rows to fetch: one more than the page has, which tells whether there is another page.
pub fn rows_of(query: &PageQuery) -> Result<db::Page, Problem> {
    let after = match &query.cursor {
        Some(cursor) => Some(id_of(cursor).ok_or_else(unknown)?),
        None => None,
    };
    Ok(db::Page {
        limit: query.limit() + 1,
        after,
    })
}

/// The page made of these rows, each as it is shown.
pub fn page_of<Row, Item>(
    rows: Vec<Row>,
    query: &PageQuery,
    id: fn(&Row) -> Uuid,
    shown: impl Fn(Row) -> Item,
) -> Page<Item> {
    let Page { items, next_cursor } =
        Page::cut(rows, query.limit(), |row| URL_SAFE_NO_PAD.encode(id(row)));
    Page {
        items: items.into_iter().map(shown).collect(),
        next_cursor,
    }
}

fn id_of(cursor: &str) -> Option<Uuid> {
    Uuid::from_slice(&URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()
}

fn unknown() -> Problem {
    QUERY_INVALID.because("The cursor is not one that this list has answered.")
}
