//! Which reservation has which seat, replayed from the audit log.

use std::collections::HashMap;

use booking::db::{At, Db, DbError, Id};
use chassis::time::Timestamp;
use chrono::TimeDelta;
use diesel::deserialize::QueryableByName;
use diesel::sql_types::{Binary, Datetime, Text};
use diesel::{RunQueryDsl, sql_query};
use serde_json::Value;
use uuid::Uuid;

/// What became of a reservation.
#[derive(QueryableByName)]
pub struct Change {
    #[diesel(sql_type = Binary)]
    entity_id: Id,
    #[diesel(sql_type = Text)]
    pub action: String,
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

/// The changes of all reservations in their order. A writer of a seat holds the lock on it, so they tell of each seat in the
/// order in which it changed hands.
pub async fn changes(db: &Db) -> Vec<Change> {
    let log = "SELECT entity_id, action, at, detail FROM audit_log WHERE entity = 'reservation' ORDER BY seq";
    let rows: Result<Vec<Change>, DbError> =
        db.read(move |conn| Ok(sql_query(log).load(conn)?)).await;
    rows.expect("a log")
}

/// Who has each seat at the moment.
pub struct Owners {
    seats: HashMap<u64, Owner>,
    /// How long a hold lasts, and by how much it can be extended.
    hold: TimeDelta,
    extension: TimeDelta,
}

impl Owners {
    /// Nobody has one.
    pub fn nobody(hold: TimeDelta, extension: TimeDelta) -> Self {
        let seats = HashMap::new();
        Self {
            seats,
            hold,
            extension,
        }
    }

    /// Each of its seats must be one that the reservation may have.
    pub fn replay(&mut self, change: &Change) {
        let detail: Value = serde_json::from_str(&change.detail).expect("JSON");
        let numbers = detail["seatNumbers"].as_array().expect("seats");
        for number in numbers {
            self.replay_seat(number.as_u64().expect("a number"), change);
        }
    }

    fn replay_seat(&mut self, seat: u64, change: &Change) {
        let (id, at) = (change.entity_id.0, change.at.0);
        let owner = self.seats.get_mut(&seat);
        let is_mine = owner.as_ref().is_some_and(|owner| owner.id == id);
        match (change.action.as_str(), owner) {
            ("held", owner) => {
                let free = owner.is_none_or(|owner| !owner.sold && owner.over <= at);
                assert!(free, "seat {seat} was taken from its owner by {id} at {at}");
                // By the clock of who held it; who takes it next has another, and waits by that one.
                let over = at + self.hold;
                let sold = false;
                self.seats.insert(seat, Owner { id, over, sold });
            }
            ("extended", Some(owner)) => {
                assert!(is_mine && !owner.sold, "seat {seat} was extended by {id}");
                owner.over += self.extension;
            }
            ("confirmed", Some(owner)) => {
                assert!(is_mine && !owner.sold, "seat {seat} was sold to {id}");
                owner.sold = true;
            }
            ("refunded" | "partially_refunded", Some(owner)) => {
                assert!(is_mine && owner.sold, "seat {seat} was given back by {id}");
                self.seats.remove(&seat);
            }
            ("cancelled" | "expired", owner) => {
                // A reservation that took the seat over in the meantime keeps it.
                if is_mine {
                    let unpaid = owner.is_some_and(|owner| !owner.sold);
                    assert!(unpaid, "seat {seat} of {id}");
                    self.seats.remove(&seat);
                }
            }
            (other, _) => panic!("seat {seat} without an owner: {other} by {id}"),
        }
    }
}
