//! Seats: the audit log, replayed from its beginning, must make sense.

use std::collections::HashMap;

use booking::db::{At, DbError, Id};
use chassis::time::Timestamp;
use chrono::TimeDelta;
use diesel::deserialize::QueryableByName;
use diesel::sql_types::{Binary, Datetime, Text};
use diesel::{RunQueryDsl, sql_query};
use serde_json::Value;
use uuid::Uuid;

use super::{HOLD_S, World};

#[derive(QueryableByName)]
struct Change {
    #[diesel(sql_type = Binary)]
    entity_id: Id,
    #[diesel(sql_type = Text)]
    action: String,
    #[diesel(sql_type = Datetime)]
    at: At,
    #[diesel(sql_type = Text)]
    detail: String,
}

struct Owner {
    id: Uuid,
    over: Timestamp,
    sold: bool,
}

/// A writer of a seat holds the lock on it, so the log tells of each seat in the order in which it changed hands.
pub async fn the_audit_log_makes_sense(world: &World) {
    let log = "SELECT entity_id, action, at, detail FROM audit_log WHERE entity = 'reservation' ORDER BY seq";
    let rows: Result<Vec<Change>, DbError> = world.fixture.instances[0]
        .read(move |conn| Ok(sql_query(log).load(conn)?))
        .await;
    let mut seats: HashMap<u64, Owner> = HashMap::new();
    for change in rows.expect("a log") {
        let detail: Value = serde_json::from_str(&change.detail).expect("JSON");
        let numbers = detail["seatNumbers"].as_array().expect("seats");
        for seat in numbers.iter().filter_map(Value::as_u64) {
            replay(&mut seats, seat, &change);
        }
    }
}

fn replay(seats: &mut HashMap<u64, Owner>, seat: u64, change: &Change) {
    let (id, at) = (change.entity_id.0, change.at.0);
    let owner = seats.get_mut(&seat);
    let is_mine = owner.as_ref().is_some_and(|owner| owner.id == id);
    match (change.action.as_str(), owner) {
        ("held", owner) => {
            let free = owner.is_none_or(|owner| !owner.sold && owner.over <= at);
            assert!(free, "seat {seat} was taken from its owner by {id} at {at}");
            // By the clock of who held it; who takes it next has another, and waits by that one.
            let over = at + TimeDelta::seconds(HOLD_S);
            let sold = false;
            seats.insert(seat, Owner { id, over, sold });
        }
        ("extended", Some(owner)) => {
            assert!(is_mine && !owner.sold, "seat {seat} was extended by {id}");
            owner.over += TimeDelta::seconds(5);
        }
        ("confirmed", Some(owner)) => {
            assert!(is_mine && !owner.sold, "seat {seat} was sold to {id}");
            owner.sold = true;
        }
        ("refunded" | "partially_refunded", Some(owner)) => {
            assert!(is_mine && owner.sold, "seat {seat} was given back by {id}");
            seats.remove(&seat);
        }
        ("cancelled" | "expired", owner) => {
            // A reservation that took the seat over in the meantime keeps it.
            if is_mine {
                let unpaid = owner.is_some_and(|owner| !owner.sold);
                assert!(unpaid, "seat {seat} of {id}");
                seats.remove(&seat);
            }
        }
        (other, _) => panic!("seat {seat} without an owner: {other} by {id}"),
    }
}
