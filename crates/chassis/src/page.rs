//! Owns how lists are asked for and answered: `?limit=` and an opaque `?cursor=`.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Items on a page when the client does not say.
const DEFAULT_LIMIT: u32 = 50;
/// Most items on a page.
const MAX_LIMIT: u32 = 200;

/// Which page of a list.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// Items on the page, 1 to 200.
    #[serde(default)]
    #[param(value_type = u32, default = 50, minimum = 1, maximum = 200)]
    limit: Limit,
    /// `nextCursor` of the page before.
    #[serde(default)]
    pub cursor: Option<String>,
}

impl PageQuery {
    /// The same from parameters that a query of its own has read, since serde cannot flatten numbers.
    ///
    /// # Errors
    /// A limit that is not a number from 1 to 200.
    pub fn of(limit: Option<String>, cursor: Option<String>) -> Result<Self, String> {
        let limit = limit.map_or(Ok(Limit::default()), Limit::try_from)?;
        Ok(Self { limit, cursor })
    }

    /// Items on the page, 1 to 200.
    pub fn limit(&self) -> u32 {
        self.limit.0
    }
}

/// A limit from 1 to 200.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(try_from = "String")]
#[schema(value_type = u32)]
struct Limit(u32);

impl Default for Limit {
    fn default() -> Self {
        Self(DEFAULT_LIMIT)
    }
}

impl TryFrom<String> for Limit {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.parse() {
            Ok(limit) if (1..=MAX_LIMIT).contains(&limit) => Ok(Self(limit)),
            _ => Err(format!("limit is a number from 1 to {MAX_LIMIT}")),
        }
    }
}

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Page<T> {
    /// The items of this page.
    pub items: Vec<T>,
    /// Ask again with this as `cursor`; `null` on the last page.
    pub next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// A page of at most `limit` of `items`, of which the caller fetched one more than that to
    /// learn whether there is another page; `cursor` names where an item stands.
    pub fn cut(mut items: Vec<T>, limit: u32, cursor: impl Fn(&T) -> String) -> Self {
        let limit = limit as usize;
        let more = items.len() > limit;
        items.truncate(limit);
        let next_cursor = if more { items.last().map(cursor) } else { None };
        Self { items, next_cursor }
    }

    /// A list that is always whole.
    pub fn whole(items: Vec<T>) -> Self {
        Self {
            items,
            next_cursor: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::web::Query;

    use super::{Page, PageQuery};

    #[test]
    fn a_limit_is_50_when_not_said_and_at_most_200() {
        let limit = |query: &str| Query::<PageQuery>::from_query(query).map(|query| query.limit());
        assert_eq!(limit("").expect("a default"), 50);
        assert_eq!(limit("limit=200").expect("the most"), 200);
        for odd in ["limit=0", "limit=201", "limit=x", "limit=-1", "limit="] {
            assert!(limit(odd).is_err(), "{odd}");
        }
    }

    #[test]
    fn the_last_page_has_no_cursor() {
        let cursor = |item: &u32| item.to_string();
        let page = Page::cut(vec![1, 2, 3], 2, cursor);
        assert_eq!(
            (page.items, page.next_cursor),
            (vec![1, 2], Some("2".into()))
        );
        assert_eq!(Page::cut(vec![1, 2], 2, cursor).next_cursor, None);
    }
}
