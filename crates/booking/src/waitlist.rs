//! Owns the waiting list of a date: who wants seats that come back, in the order in which they asked.
//!
//! Seats that come back are offered to the first in the list whom they serve: a hold of their own, longer than a usual one,
//! which is paid like any other and, when it is over, goes to the next. From the moment that enough seats are free for
//! somebody in the list, nobody else can take them; a request after an entry was made finds it counted with the date.
//! Joining, leaving and offering lock the date first, so they happen one after another. Locks: date, buyer, seats, entry.

mod offer;

use chassis::time::{Clock, Timestamp};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Binary, Nullable, Text};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::audit::{self, Action, Actor, Change, Entity};
use crate::concert::{ClosedSales, Grade, QueueName};
use crate::db::{At, Conn, DbError, Id, Page, Tx, fails_with_db, new_id};
use crate::outbox::{Event, EventType};
pub use crate::precedence::EntryState;
use crate::precedence::Free;
use crate::reservation::Limits;
use crate::schema::{concerts, schedules, seats, waitlist_entries};
pub use offer::{Offered, ended_offers, follow_up, offer, waited_for};

/// A wish to be told when seats come back.
#[derive(Debug, Clone)]
pub struct Join {
    /// Who.
    pub user_id: Uuid,
    /// For which date.
    pub schedule_id: Uuid,
    /// How many seats, together.
    pub count: u16,
    /// Of which grade; of any when not said.
    pub grade: Option<Grade>,
    /// The queue that the user has come through.
    pub queue: QueueName,
}

/// An entry of the list.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = waitlist_entries)]
pub struct Entry {
    /// Where it stands.
    pub seq: i64,
    /// Its id.
    #[diesel(deserialize_as = Id)]
    pub id: Uuid,
    /// For which date.
    #[diesel(deserialize_as = Id)]
    pub schedule_id: Uuid,
    /// Who.
    #[diesel(deserialize_as = Id)]
    pub user_id: Uuid,
    /// How many seats.
    pub seat_count: u16,
    /// Of which grade.
    pub grade: Option<String>,
    /// What has become of it.
    pub state: EntryState,
    /// What was offered.
    pub reservation_id: Option<Id>,
    /// Since when.
    pub created_at: At,
}

/// An entry with the number of those before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The entry.
    pub entry: Entry,
    /// 1 is the next; none once seats were offered, or it is over.
    pub position: Option<u32>,
    /// Whether this call made it.
    pub is_new: bool,
}

/// Why somebody is not taken into the list.
#[derive(Debug, thiserror::Error)]
pub enum WaitlistError {
    /// There is no such date.
    #[error("no such schedule")]
    ScheduleNotFound,
    /// The user has come through the queue of another concert.
    #[error("admitted to another queue")]
    QueueMismatch,
    /// Nothing comes back: sales have not begun or are over.
    #[error("sales are closed")]
    SalesClosed(ClosedSales),
    /// More than a user may have.
    #[error("at most {0} seats")]
    TooManySeats(u16),
    /// The date has no seats of this grade.
    #[error("no such grade: {0}")]
    GradeUnknown(String),
    /// There are enough seats for everybody who waits and for this user too.
    #[error("{0} seats are free")]
    SeatsAvailable(i64),
    /// The user has no such entry.
    #[error("no such entry")]
    EntryNotFound,
    /// The database failed.
    #[error(transparent)]
    Db(DbError),
}

fails_with_db!(WaitlistError);

impl Entry {
    /// What its user did. The row is one of the date, whose list it is, so that instances that know no other word for it go
    /// on reading the log.
    fn change(&self, action: Action) -> Change<'static> {
        Change {
            entity: Entity::Schedule,
            entity_id: self.schedule_id,
            action,
            actor: Actor::User(self.user_id),
            detail: json!({ "entryId": self.id, "count": self.seat_count, "grade": self.grade }),
        }
    }

    pub(crate) fn event(&self, event_type: EventType, more: Value) -> Event {
        let mut payload = json!({
            "entryId": self.id, "scheduleId": self.schedule_id, "userId": self.user_id,
            "count": self.seat_count, "grade": self.grade,
        });
        if let (Some(payload), Value::Object(more)) = (payload.as_object_mut(), more) {
            payload.extend(more);
        }
        Event {
            event_type,
            aggregate_id: self.id,
            payload,
        }
    }
}

/// A date as the list needs it, locked.
struct Date {
    opens_at: At,
    closes_at: At,
    cancelled_at: Option<At>,
    max_seats: Option<u16>,
    queue: String,
}

fn locked(tx: &mut Tx, schedule_id: Uuid) -> Result<Date, WaitlistError> {
    type Row = (At, At, Option<At>, Option<u16>, Id);
    let row: Option<Row> = schedules::table
        .find(Id(schedule_id))
        .filter(schedules::hidden.eq(false))
        .for_update()
        .select((
            schedules::sales_open_at,
            schedules::sales_close_at,
            schedules::cancelled_at,
            schedules::max_seats_per_user,
            schedules::concert_id,
        ))
        .first(tx)
        .optional()?;
    let (opens_at, closes_at, cancelled_at, max_seats, concert_id) =
        row.ok_or(WaitlistError::ScheduleNotFound)?;
    let queue: Option<String> = concerts::table
        .find(concert_id)
        .filter(concerts::hidden.eq(false))
        .select(concerts::queue)
        .first(tx)
        .optional()?;
    Ok(Date {
        opens_at,
        closes_at,
        cancelled_at,
        max_seats,
        queue: queue.ok_or(WaitlistError::ScheduleNotFound)?,
    })
}

impl Date {
    fn is_on_sale(&self, now: Timestamp) -> bool {
        self.cancelled_at.is_none() && self.opens_at.0 <= now && now < self.closes_at.0
    }
}

/// Takes a user into the list; who is in it already stays where they are. Ten statements, one more where a grade is named.
pub fn join(
    tx: &mut Tx,
    wish: &Join,
    limits: &Limits,
    clock: &Clock,
) -> Result<Waiting, WaitlistError> {
    let date = locked(tx, wish.schedule_id)?;
    let now = clock.now();
    if date.queue != wish.queue.as_str() {
        return Err(WaitlistError::QueueMismatch);
    }
    if let Some(entry) = live(tx, wish.schedule_id, wish.user_id)? {
        return with_position(tx, entry);
    }
    if !date.is_on_sale(now) {
        return Err(WaitlistError::SalesClosed(ClosedSales {
            opens_at: date.opens_at.0,
            closes_at: date.closes_at.0,
            is_cancelled: date.cancelled_at.is_some(),
            now,
        }));
    }
    let max = date.max_seats.unwrap_or(limits.seats_per_user);
    if wish.count > max {
        return Err(WaitlistError::TooManySeats(max));
    }
    let grade = wish.grade.as_ref().map(Grade::as_str);
    let free = Free::count(tx, wish.schedule_id, now)?.of_grade(grade);
    let claimed = claimed_seats(tx, wish.schedule_id, grade)?;
    if free >= claimed + i64::from(wish.count) {
        return Err(WaitlistError::SeatsAvailable(free));
    }
    if let Some(grade) = grade {
        let of_grade: i64 = seats::table
            .filter(seats::schedule_id.eq(Id(wish.schedule_id)))
            .filter(seats::grade.eq(grade))
            .count()
            .get_result(tx)?;
        if of_grade == 0 {
            return Err(WaitlistError::GradeUnknown(grade.to_owned()));
        }
    }
    let id = new_id(now);
    diesel::insert_into(waitlist_entries::table)
        .values((
            waitlist_entries::id.eq(Id(id)),
            waitlist_entries::schedule_id.eq(Id(wish.schedule_id)),
            waitlist_entries::user_id.eq(Id(wish.user_id)),
            waitlist_entries::seat_count.eq(wish.count),
            waitlist_entries::grade.eq(grade),
            waitlist_entries::state.eq(EntryState::Waiting),
            waitlist_entries::created_at.eq(At(now)),
        ))
        .execute(tx)?;
    count(tx, wish.schedule_id, 1)?;
    let entry = live(tx, wish.schedule_id, wish.user_id)?;
    let entry = entry.ok_or(DbError::Unexpected("an entry that was made is not there"))?;
    audit::record(tx, &[entry.change(Action::WaitlistJoined)], now)?;
    Ok(Waiting {
        is_new: true,
        ..with_position(tx, entry)?
    })
}

/// Takes a user out of the list; what was offered stays a hold that can be given back. The second time is fine too.
/// Five statements, three for who does not wait any more.
pub fn leave(tx: &mut Tx, user_id: Uuid, id: Uuid, clock: &Clock) -> Result<(), WaitlistError> {
    let found: Option<Entry> = waitlist_entries::table
        .filter(waitlist_entries::id.eq(Id(id)))
        .filter(waitlist_entries::user_id.eq(Id(user_id)))
        .select(Entry::as_select())
        .first(tx)
        .optional()?;
    let entry = found.ok_or(WaitlistError::EntryNotFound)?;
    // The date is locked before the entry, as everywhere.
    schedules::table
        .find(Id(entry.schedule_id))
        .for_update()
        .select(schedules::id)
        .first::<Id>(tx)?;
    let left = move_on(tx, &entry, EntryState::Waiting, EntryState::Left, None)?;
    if left {
        count(tx, entry.schedule_id, -1)?;
        audit::record(tx, &[entry.change(Action::WaitlistLeft)], clock.now())?;
    }
    Ok(())
}

/// A user's own entries, the latest first. One statement, and one for each that waits.
pub fn entries(conn: &mut Conn, user_id: Uuid, page: Page) -> Result<Vec<Waiting>, WaitlistError> {
    let before = Id(page.after.unwrap_or(Uuid::max()));
    let found: Vec<Entry> = waitlist_entries::table
        .filter(waitlist_entries::user_id.eq(Id(user_id)))
        .filter(waitlist_entries::id.lt(before))
        .order(waitlist_entries::id.desc())
        .limit(page.limit.into())
        .select(Entry::as_select())
        .load(conn)?;
    found
        .into_iter()
        .map(|entry| with_position(conn, entry))
        .collect()
}

fn live(tx: &mut Tx, schedule_id: Uuid, user_id: Uuid) -> Result<Option<Entry>, DbError> {
    let found = waitlist_entries::table
        .filter(waitlist_entries::schedule_id.eq(Id(schedule_id)))
        .filter(waitlist_entries::live_user.eq(Some(Id(user_id))))
        .select(Entry::as_select())
        .first(tx)
        .optional()?;
    Ok(found)
}

fn with_position(conn: &mut Conn, entry: Entry) -> Result<Waiting, WaitlistError> {
    let position = match entry.state {
        EntryState::Waiting => {
            let before: i64 = waitlist_entries::table
                .filter(waitlist_entries::schedule_id.eq(Id(entry.schedule_id)))
                .filter(waitlist_entries::state.eq(EntryState::Waiting))
                .filter(waitlist_entries::seq.lt(entry.seq))
                .count()
                .get_result(conn)?;
            Some(u32::try_from(before).unwrap_or(u32::MAX).saturating_add(1))
        }
        _ => None,
    };
    Ok(Waiting {
        entry,
        position,
        is_new: false,
    })
}

/// Moves an entry on, if it is still in this state; says whether it was. One statement.
fn move_on(
    tx: &mut Tx,
    entry: &Entry,
    from: EntryState,
    to: EntryState,
    reservation_id: Option<Id>,
) -> Result<bool, DbError> {
    let still = waitlist_entries::table
        .find(entry.seq)
        .filter(waitlist_entries::state.eq(from));
    let moved = diesel::update(still)
        .set((
            waitlist_entries::state.eq(to),
            waitlist_entries::reservation_id.eq(reservation_id.or(entry.reservation_id)),
        ))
        .execute(tx)?;
    Ok(moved == 1)
}

/// The date is locked.
fn count(tx: &mut Tx, schedule_id: Uuid, more: i32) -> Result<(), DbError> {
    sql_query("UPDATE schedules SET waiting = waiting + ? WHERE id = ?")
        .bind::<diesel::sql_types::Integer, _>(more)
        .bind::<Binary, _>(Id(schedule_id))
        .execute(tx)?;
    Ok(())
}

/// Seats that those want who wait already and whom seats of this grade would serve.
fn claimed_seats(tx: &mut Tx, schedule_id: Uuid, grade: Option<&str>) -> Result<i64, DbError> {
    #[derive(QueryableByName)]
    struct Sum {
        #[diesel(sql_type = BigInt)]
        seats: i64,
    }
    let sum: Sum = sql_query(
        "SELECT CAST(COALESCE(SUM(seat_count), 0) AS SIGNED) AS seats FROM waitlist_entries \
         WHERE schedule_id = ? AND state = 'waiting' AND (grade IS NULL OR ? IS NULL OR grade = ?)",
    )
    .bind::<Binary, _>(Id(schedule_id))
    .bind::<Nullable<Text>, _>(grade)
    .bind::<Nullable<Text>, _>(grade)
    .get_result(tx)?;
    Ok(sum.seats)
}
