//! Money: what the answers said, what the wallet says and what its entries come to are the same.

use booking::db::{DbError, Page};
use booking::ledger;
use uuid::Uuid;

use crate::fixture::Fixture;

pub async fn check(fixture: &Fixture, user_id: Uuid, balance: i64) {
    assert_eq!(fixture.balance(user_id).await, balance, "of {user_id}");
    let all = Page {
        limit: 100_000,
        after: None,
    };
    let entries = fixture.instances[1].read(move |conn| ledger::entries(conn, user_id, all));
    let entries: Result<_, DbError> = entries.await;
    let sum: i64 = entries
        .expect("entries")
        .iter()
        .map(ledger::Entry::signed_amount)
        .sum();
    assert_eq!(sum, balance, "of {user_id}");
}
