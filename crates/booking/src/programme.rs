//! Owns the programme as operators see and change it: concerts and dates with what visitors do not see of them.
//!
//! Every verb here locks the concert or the date first, which no sale ever does, so operators line up among themselves
//! and keep no buyer waiting. A change counts the version on; who edits an older one is told so and changes nothing.

mod cancellation;
mod edit;
mod removal;
mod seating;

use std::collections::HashMap;

use chassis::time::Timestamp;
use diesel::dsl::count_star;
use diesel::prelude::*;
use uuid::Uuid;

use crate::db::{At, Conn, DbError, Id, Page, Tx, fails_with_db};
use crate::schema::{concerts, schedules, seats};
use crate::seat::{self, SeatState};
pub use cancellation::{
    DateCancellation, Left, Step, advance, cancel_date, cancellation, is_cancelling, left,
};
pub use edit::{EditConcert, EditDate, change_date, close, edit_concert, edit_date, end_at_start};
pub use removal::{remove_concert, remove_date};
pub use seating::{PlacedSeat, add_seats, block, release, seats};

/// A concert as its operators see it.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = concerts)]
pub struct ListedConcert {
    /// Its id.
    #[diesel(deserialize_as = Id)]
    pub id: Uuid,
    /// What it is called.
    pub title: String,
    /// Where it takes place.
    pub venue: Option<String>,
    /// The queue that a buyer must have come through.
    pub queue: String,
    /// Whether visitors see nothing of it.
    pub hidden: bool,
    /// How often it was changed, and one.
    pub version: u32,
    /// When it was added.
    #[diesel(deserialize_as = At)]
    pub created_at: Timestamp,
}

/// A date as its operators see it.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = schedules)]
pub struct ListedDate {
    /// Its id.
    #[diesel(deserialize_as = Id)]
    pub id: Uuid,
    /// The concert.
    #[diesel(deserialize_as = Id)]
    pub concert_id: Uuid,
    /// When the show starts.
    #[diesel(deserialize_as = At)]
    pub starts_at: Timestamp,
    /// From when seats can be reserved.
    #[diesel(deserialize_as = At)]
    pub sales_open_at: Timestamp,
    /// From when they no longer can.
    #[diesel(deserialize_as = At)]
    pub sales_close_at: Timestamp,
    /// All seats.
    pub seats_total: u32,
    /// Whether visitors see nothing of it.
    pub hidden: bool,
    /// Most seats of one user; the service's default when not said.
    pub max_seats_per_user: Option<u16>,
    /// As in [`RefundRules`](crate::concert::RefundRules).
    pub refund_full_until_s: u32,
    /// The same.
    pub refund_share_until_s: u32,
    /// The same.
    pub refund_share_percent: u16,
    /// When it was cancelled.
    pub cancelled_at: Option<At>,
    /// How often it was changed, and one.
    pub version: u32,
}

/// How many seats of a date are in each state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SeatCounts {
    /// Anybody may take them.
    pub available: i64,
    /// Taken and not paid yet.
    pub held: i64,
    /// Paid.
    pub sold: i64,
    /// Not for sale.
    pub blocked: i64,
}

/// Which version somebody means to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// Whatever it is by now.
    Any,
    /// One of these.
    OneOf(Vec<u32>),
}

impl Expected {
    /// Refuses a version that somebody has changed since.
    fn check(&self, version: u32) -> Result<(), ProgrammeError> {
        match self {
            Self::OneOf(versions) if !versions.contains(&version) => {
                Err(ProgrammeError::VersionMismatch(version))
            }
            Self::Any | Self::OneOf(_) => Ok(()),
        }
    }
}

/// Why the programme is not changed.
#[derive(Debug, thiserror::Error)]
pub enum ProgrammeError {
    /// There is no such concert.
    #[error("no such concert")]
    ConcertNotFound,
    /// There is no such date.
    #[error("no such schedule")]
    ScheduleNotFound,
    /// Somebody changed it since it was read.
    #[error("it is version {0} by now")]
    VersionMismatch(u32),
    /// Sales must open before they close, and close when the show starts at the latest.
    #[error("sales open before they close, and close when the show starts at the latest")]
    SalesInvalid,
    /// The date has no seats of this grade.
    #[error("no such grade: {0}")]
    GradeUnknown(String),
    /// The date has no seats with these numbers.
    #[error("no such seats: {0:?}")]
    SeatUnknown(Vec<u16>),
    /// Somebody holds or has bought these seats.
    #[error("seats are taken")]
    SeatTaken(Vec<(u16, SeatState)>),
    /// The date has a seat of this number already.
    #[error("there are seats with these numbers already: {0:?}")]
    SeatsExist(Vec<u16>),
    /// There would be more seats than a date may have.
    #[error("a date has at most 10000 seats")]
    TooMany,
    /// Somebody bought seats, or holds some: it can be cancelled, not removed.
    #[error("seats were sold")]
    Sold,
    /// The concert still has dates.
    #[error("the concert has dates")]
    HasDates,
    /// The date is cancelled.
    #[error("the date is cancelled")]
    Cancelled,
    /// The date is not cancelled.
    #[error("the date is not cancelled")]
    NotCancelled,
    /// The database failed.
    #[error(transparent)]
    Db(DbError),
}

fails_with_db!(ProgrammeError);

/// Concerts, hidden ones too, newest first. One statement.
pub fn concerts(conn: &mut Conn, page: Page) -> Result<Vec<ListedConcert>, DbError> {
    let before = Id(page.after.unwrap_or(Uuid::max()));
    let found = concerts::table
        .filter(concerts::id.lt(before))
        .order(concerts::id.desc())
        .limit(page.limit.into())
        .select(ListedConcert::as_select())
        .load(conn)?;
    Ok(found)
}

/// One concert. One statement.
pub fn concert(conn: &mut Conn, id: Uuid) -> Result<ListedConcert, ProgrammeError> {
    let found = concerts::table
        .find(Id(id))
        .select(ListedConcert::as_select())
        .first(conn)
        .optional()?;
    found.ok_or(ProgrammeError::ConcertNotFound)
}

/// The dates of a concert in their order, each with its seats as they are at `now`. Three statements, a fourth for a concert
/// without dates.
pub fn dates(
    conn: &mut Conn,
    concert_id: Uuid,
    now: Timestamp,
) -> Result<Vec<(ListedDate, SeatCounts)>, ProgrammeError> {
    let found: Vec<ListedDate> = schedules::table
        .filter(schedules::concert_id.eq(Id(concert_id)))
        .order((schedules::starts_at, schedules::id))
        .select(ListedDate::as_select())
        .load(conn)?;
    if found.is_empty() {
        concert(conn, concert_id)?;
    }
    let ids: Vec<Id> = found.iter().map(|date| Id(date.id)).collect();
    let counted = counts(conn, &ids, now)?;
    let with_counts = |date: ListedDate| {
        let counts = counted.get(&date.id).copied().unwrap_or_default();
        (date, counts)
    };
    Ok(found.into_iter().map(with_counts).collect())
}

/// One date. One statement.
pub fn date(conn: &mut Conn, id: Uuid) -> Result<ListedDate, ProgrammeError> {
    let found = schedules::table
        .find(Id(id))
        .select(ListedDate::as_select())
        .first(conn)
        .optional()?;
    found.ok_or(ProgrammeError::ScheduleNotFound)
}

/// The same, locked until the transaction ends: operators line up here. One statement.
pub(crate) fn locked_date(tx: &mut Tx, id: Uuid) -> Result<ListedDate, ProgrammeError> {
    let found = schedules::table
        .find(Id(id))
        .for_update()
        .select(ListedDate::as_select())
        .first(tx)
        .optional()?;
    found.ok_or(ProgrammeError::ScheduleNotFound)
}

fn locked_concert(tx: &mut Tx, id: Uuid) -> Result<ListedConcert, ProgrammeError> {
    let found = concerts::table
        .find(Id(id))
        .for_update()
        .select(ListedConcert::as_select())
        .first(tx)
        .optional()?;
    found.ok_or(ProgrammeError::ConcertNotFound)
}

/// Seats of these dates by state at `now`: first as they are stored, then the holds that are over. Two statements.
fn counts(
    conn: &mut Conn,
    schedule_ids: &[Id],
    now: Timestamp,
) -> Result<HashMap<Uuid, SeatCounts>, DbError> {
    let stored: Vec<(Id, SeatState, i64)> = seats::table
        .filter(seats::schedule_id.eq_any(schedule_ids))
        .group_by((seats::schedule_id, seats::state))
        .select((seats::schedule_id, seats::state, count_star()))
        .load(conn)?;
    let over: Vec<(Id, i64)> = seats::table
        .filter(seats::schedule_id.eq_any(schedule_ids))
        .filter(seats::state.eq(SeatState::Held))
        .filter(seats::hold_expires_at.le(At(now)))
        .group_by(seats::schedule_id)
        .select((seats::schedule_id, count_star()))
        .load(conn)?;
    let mut by_date: HashMap<Uuid, SeatCounts> = HashMap::new();
    for (id, state, seats) in stored {
        let counts = by_date.entry(id.0).or_default();
        let count = match state {
            SeatState::Available => &mut counts.available,
            SeatState::Held => &mut counts.held,
            SeatState::Sold => &mut counts.sold,
            SeatState::Blocked => &mut counts.blocked,
        };
        *count += seats;
    }
    for (id, seats) in over {
        let counts = by_date.entry(id.0).or_default();
        // A hold that was paid between the two statements is not counted twice.
        let seats = seats.min(counts.held);
        counts.held -= seats;
        counts.available += seats;
    }
    Ok(by_date)
}

/// Whether somebody has a seat of this state at `now`.
fn is_anybodys(state: SeatState, hold_expires_at: Option<At>, now: Timestamp) -> bool {
    matches!(
        seat::effective(state, hold_expires_at, now),
        SeatState::Held | SeatState::Sold
    )
}
