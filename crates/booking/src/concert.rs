//! Owns what can be bought: concerts, their schedules, and the layout of seats that a schedule starts with.
//!
//! A concert names the queue that stands before it. Seats are made once, with their schedule; from then on they belong
//! to `seat` and `reservation`. Nothing here knows who buys.

mod layout;
mod refunds;
mod wording;

use std::collections::HashMap;

use chassis::time::Timestamp;
use chrono::Datelike;
use diesel::dsl::count_star;
use diesel::mysql::Mysql;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Binary, Datetime, Nullable};
use serde_json::json;
use uuid::Uuid;

use crate::audit::{self, Action, Actor, Change, Entity};
use crate::db::{At, Conn, DbError, Id, Page, Tx, fails_with_db, new_id};
use crate::schema::{concerts, schedules, seats};
use crate::seat;
pub use layout::{Layout, LayoutError, Section, default_layout};
pub(crate) use refunds::{Promise, columns as refund_columns, percent_of};
pub use refunds::{RefundRules, RulesInvalid, Share};
pub use wording::{Grade, Price, QueueName, Title, WordingError};

/// Seats that one INSERT makes.
const SEATS_PER_INSERT: usize = 1_000;

/// A concert.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = concerts)]
pub struct Concert {
    /// Its id.
    #[diesel(deserialize_as = Id)]
    pub id: Uuid,
    /// What it is called.
    pub title: String,
    /// Where it takes place.
    pub venue: Option<String>,
    /// The queue that a buyer must have come through.
    pub queue: String,
    /// When it was added.
    #[diesel(deserialize_as = At)]
    pub created_at: Timestamp,
}

/// A concert to add.
#[derive(Debug, Clone)]
pub struct NewConcert {
    /// What it is called.
    pub title: Title,
    /// Where it takes place.
    pub venue: Option<Title>,
    /// The queue that a buyer must have come through; it need not exist yet.
    pub queue: QueueName,
}

/// One date of a concert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// Its id.
    pub id: Uuid,
    /// The concert.
    pub concert_id: Uuid,
    /// When the show starts.
    pub starts_at: Timestamp,
    /// From when seats can be reserved.
    pub sales_open_at: Timestamp,
    /// From when they no longer can.
    pub sales_close_at: Timestamp,
    /// All seats.
    pub seats_total: u32,
    /// Seats that are free at the instant that was asked for.
    pub seats_available: u32,
    /// Whether it does not take place.
    pub is_cancelled: bool,
    /// How much of a payment comes back, and until when.
    pub refund_rules: RefundRules,
}

/// A date to add.
#[derive(Debug, Clone)]
pub struct NewSchedule {
    /// When the show starts.
    pub starts_at: Timestamp,
    /// From when seats can be reserved; at once when not said.
    pub sales_open_at: Option<Timestamp>,
    /// From when they no longer can; when the show starts if not said.
    pub sales_close_at: Option<Timestamp>,
    /// Most seats of one user; the default of the service when not said.
    pub max_seats_per_user: Option<u16>,
    /// How much of a payment comes back, and until when.
    pub refund_rules: RefundRules,
    /// The seats; [`default_layout`] is fifty.
    pub layout: Layout,
}

/// Why a concert's dates cannot be shown or added.
#[derive(Debug, thiserror::Error)]
pub enum ScheduleError {
    /// There is no such concert.
    #[error("no such concert")]
    ConcertNotFound,
    /// Sales must open before they close, and close when the show starts at the latest.
    #[error("sales open before they close, and close when the show starts at the latest")]
    SalesInvalid,
    /// The database failed.
    #[error(transparent)]
    Db(DbError),
}

fails_with_db!(ScheduleError);

/// From when to when seats of a date are sold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SalesWindow {
    pub(crate) open_at: Timestamp,
    pub(crate) close_at: Timestamp,
    pub(crate) starts_at: Timestamp,
}

impl SalesWindow {
    /// Whether sales open before they close, close when the show starts at the latest, and a DATETIME column can hold all
    /// of it; earlier years are typing errors.
    pub(crate) fn is_sound(&self) -> bool {
        let storable = |at: Timestamp| (1970..=9999).contains(&at.year());
        let in_order = self.open_at < self.close_at && self.close_at <= self.starts_at;
        in_order && storable(self.open_at) && storable(self.starts_at)
    }
}

type ScheduleRow = (Id, Id, At, At, At, u32, Option<At>, (u32, u32, u16));

/// Concerts that are not hidden, newest first. One statement.
pub fn list(conn: &mut Conn, page: Page) -> Result<Vec<Concert>, DbError> {
    let before = Id(page.after.unwrap_or(Uuid::max()));
    let found = concerts::table
        .filter(concerts::id.lt(before))
        .filter(concerts::hidden.eq(false))
        .order(concerts::id.desc())
        .limit(page.limit.into())
        .select(Concert::as_select())
        .load(conn)?;
    Ok(found)
}

/// One concert that is not hidden. One statement.
pub fn find(conn: &mut Conn, id: Uuid) -> Result<Option<Concert>, DbError> {
    let found = concerts::table
        .find(Id(id))
        .filter(concerts::hidden.eq(false))
        .select(Concert::as_select())
        .first(conn)
        .optional()?;
    Ok(found)
}

/// The queue before a date's concert; none when there is no such date or it is hidden. One statement.
pub fn queue_of(conn: &mut Conn, schedule_id: Uuid) -> Result<Option<String>, DbError> {
    let found = schedules::table
        .inner_join(concerts::table)
        .filter(schedules::id.eq(Id(schedule_id)))
        .filter(schedules::hidden.eq(false))
        .filter(concerts::hidden.eq(false))
        .select(concerts::queue)
        .first(conn)
        .optional()?;
    Ok(found)
}

/// The concerts behind a queue that are not hidden. One statement.
pub fn behind(conn: &mut Conn, queue: &str) -> Result<Vec<Uuid>, DbError> {
    let found: Vec<Id> = concerts::table
        .filter(concerts::queue.eq(queue))
        .filter(concerts::hidden.eq(false))
        .select(concerts::id)
        .load(conn)?;
    Ok(found.into_iter().map(Uuid::from).collect())
}

/// Adds a concert. Two statements.
pub fn create(
    tx: &mut Tx,
    new: &NewConcert,
    by: Actor<'_>,
    now: Timestamp,
) -> Result<Concert, DbError> {
    let concert = Concert {
        id: new_id(now),
        title: new.title.as_str().to_owned(),
        venue: new.venue.as_ref().map(|venue| venue.as_str().to_owned()),
        queue: new.queue.as_str().to_owned(),
        created_at: now,
    };
    diesel::insert_into(concerts::table)
        .values((
            concerts::id.eq(Id(concert.id)),
            concerts::title.eq(&concert.title),
            concerts::venue.eq(&concert.venue),
            concerts::queue.eq(&concert.queue),
            concerts::created_at.eq(At(now)),
        ))
        .execute(tx)?;
    let change = Change {
        entity: Entity::Concert,
        entity_id: concert.id,
        action: Action::Created,
        actor: by,
        detail: json!({ "title": concert.title, "queue": concert.queue }),
    };
    audit::record(tx, &[change], now)?;
    Ok(concert)
}

/// The dates of a concert in their order; with `available` only those of which a seat can be reserved at `now`.
/// Two statements, a third when there are none.
pub fn schedules(
    conn: &mut Conn,
    concert_id: Uuid,
    available: bool,
    now: Timestamp,
) -> Result<Vec<Schedule>, ScheduleError> {
    let rows: Vec<ScheduleRow> = schedules::table
        .filter(schedules::concert_id.eq(Id(concert_id)))
        .filter(schedules::hidden.eq(false))
        .order((schedules::starts_at, schedules::id))
        .select((
            schedules::id,
            schedules::concert_id,
            schedules::starts_at,
            schedules::sales_open_at,
            schedules::sales_close_at,
            schedules::seats_total,
            schedules::cancelled_at,
            refunds::columns(),
        ))
        .load(conn)?;
    if rows.is_empty() && find(conn, concert_id)?.is_none() {
        return Err(ScheduleError::ConcertNotFound);
    }
    let free = seats_available(conn, concert_id, now)?;
    let all = rows.into_iter().map(|row| Schedule {
        id: row.0.0,
        concert_id: row.1.0,
        starts_at: row.2.0,
        sales_open_at: row.3.0,
        sales_close_at: row.4.0,
        seats_total: row.5,
        seats_available: free.get(&row.0.0).copied().unwrap_or(0),
        is_cancelled: row.6.is_some(),
        refund_rules: row.7.into(),
    });
    Ok(all
        .filter(|schedule| !available || schedule.is_bookable(now))
        .collect())
}

impl Schedule {
    /// Whether a seat can be reserved at `now`.
    pub fn is_bookable(&self, now: Timestamp) -> bool {
        let is_open = self.sales_open_at <= now && now < self.sales_close_at;
        is_open && !self.is_cancelled && self.seats_available > 0
    }
}

/// Why nothing of a date can be had: when it is for sale, and when that was judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClosedSales {
    /// From when seats can be reserved.
    pub opens_at: Timestamp,
    /// From when they no longer can.
    pub closes_at: Timestamp,
    /// Whether it does not take place, which no opening changes.
    pub is_cancelled: bool,
    /// When it was judged.
    pub now: Timestamp,
}

/// Adds a date with its seats. Three statements, and one more for each thousand seats.
pub fn add_schedule(
    tx: &mut Tx,
    concert_id: Uuid,
    new: &NewSchedule,
    by: Actor<'_>,
    now: Timestamp,
) -> Result<Schedule, ScheduleError> {
    let schedule = planned(concert_id, new, now)?;
    let known: i64 = concerts::table
        .find(Id(concert_id))
        .count()
        .get_result(tx)?;
    if known == 0 {
        return Err(ScheduleError::ConcertNotFound);
    }
    diesel::insert_into(schedules::table)
        .values((
            schedules::id.eq(Id(schedule.id)),
            schedules::concert_id.eq(Id(concert_id)),
            schedules::starts_at.eq(At(schedule.starts_at)),
            schedules::sales_open_at.eq(At(schedule.sales_open_at)),
            schedules::sales_close_at.eq(At(schedule.sales_close_at)),
            schedules::seats_total.eq(schedule.seats_total),
            schedules::max_seats_per_user.eq(new.max_seats_per_user),
            schedules::refund_full_until_s.eq(new.refund_rules.full_until_s),
            schedules::refund_share_until_s.eq(new.refund_rules.share_until_s),
            schedules::refund_share_percent.eq(new.refund_rules.share_percent),
            schedules::created_at.eq(At(now)),
        ))
        .execute(tx)?;
    insert_seats(tx, schedule.id, &new.layout)?;
    let change = Change {
        entity: Entity::Schedule,
        entity_id: schedule.id,
        action: Action::Created,
        actor: by,
        detail: json!({ "concertId": concert_id, "seatsTotal": schedule.seats_total }),
    };
    audit::record(tx, &[change], now)?;
    Ok(schedule)
}

/// Makes the seats of a layout. One statement for each thousand.
pub(crate) fn insert_seats(tx: &mut Tx, schedule_id: Uuid, layout: &Layout) -> Result<(), DbError> {
    let rows: Vec<_> = layout
        .seats()
        .map(|(number, section)| {
            (
                seats::schedule_id.eq(Id(schedule_id)),
                seats::number.eq(number),
                seats::grade.eq(section.grade.as_str()),
                seats::price.eq(section.price.minor()),
                seats::state.eq(seat::SeatState::Available),
            )
        })
        .collect();
    for some in rows.chunks(SEATS_PER_INSERT) {
        diesel::insert_into(seats::table).values(some).execute(tx)?;
    }
    Ok(())
}

fn planned(concert_id: Uuid, new: &NewSchedule, now: Timestamp) -> Result<Schedule, ScheduleError> {
    let sales_open_at = new.sales_open_at.unwrap_or(now);
    let sales_close_at = new.sales_close_at.unwrap_or(new.starts_at);
    let window = SalesWindow {
        open_at: sales_open_at,
        close_at: sales_close_at,
        starts_at: new.starts_at,
    };
    if !window.is_sound() {
        return Err(ScheduleError::SalesInvalid);
    }
    Ok(Schedule {
        id: new_id(now),
        concert_id,
        starts_at: new.starts_at,
        sales_open_at,
        sales_close_at,
        seats_total: new.layout.seats_total(),
        seats_available: new.layout.seats_total(),
        is_cancelled: false,
        refund_rules: new.refund_rules,
    })
}

/// How many seats of a date are free, and when the next hold of one ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Free {
    /// Free seats.
    pub seats: u32,
    /// When there may be one more without any change.
    pub next_end: Option<Timestamp>,
}

#[derive(QueryableByName)]
struct FreeRow {
    #[diesel(sql_type = Binary)]
    schedule_id: Id,
    #[diesel(sql_type = BigInt)]
    free: i64,
    #[diesel(sql_type = Nullable<Datetime>)]
    next_end: Option<At>,
}

/// Dates that one statement counts.
const DATES_PER_COUNT: usize = 50;

/// The free seats of these dates. One statement for each fifty.
pub fn count_free(
    conn: &mut Conn,
    ids: &[Uuid],
    now: Timestamp,
) -> Result<HashMap<Uuid, Free>, DbError> {
    let mut counted = HashMap::new();
    for some in ids.chunks(DATES_PER_COUNT) {
        let marks = vec!["?"; some.len()].join(", ");
        let mut count = sql_query(format!(
            "SELECT schedule_id, \
             CAST(SUM(state = 'available' OR (state = 'held' AND hold_expires_at <= ?)) AS SIGNED) AS free, \
             MIN(CASE WHEN state = 'held' AND hold_expires_at > ? THEN hold_expires_at END) AS next_end \
             FROM seats WHERE schedule_id IN ({marks}) GROUP BY schedule_id"
        ))
        .into_boxed::<Mysql>()
        .bind::<Datetime, _>(At(now))
        .bind::<Datetime, _>(At(now));
        for id in some {
            count = count.bind::<Binary, _>(Id(*id));
        }
        let rows: Vec<FreeRow> = count.load(conn)?;
        counted.extend(rows.into_iter().map(|row| {
            let free = Free {
                seats: u32::try_from(row.free).unwrap_or_default(),
                next_end: row.next_end.map(Timestamp::from),
            };
            (row.schedule_id.0, free)
        }));
    }
    Ok(counted)
}

/// When the next hold of each date of a concert ends, where there is one. One statement.
pub fn next_ends(
    conn: &mut Conn,
    concert_id: Uuid,
    now: Timestamp,
) -> Result<HashMap<Uuid, Timestamp>, DbError> {
    let ends: Vec<(Id, Option<At>)> = seats::table
        .inner_join(schedules::table)
        .filter(schedules::concert_id.eq(Id(concert_id)))
        .filter(seats::state.eq(seat::SeatState::Held))
        .filter(seats::hold_expires_at.gt(At(now)))
        .group_by(seats::schedule_id)
        .select((seats::schedule_id, diesel::dsl::min(seats::hold_expires_at)))
        .load(conn)?;
    let ends = ends
        .into_iter()
        .filter_map(|(id, end)| Some((id.0, end?.0)));
    Ok(ends.collect())
}

/// Free seats of each date, counted from the seats: a counter that each sale updates would be one hot row.
fn seats_available(
    conn: &mut Conn,
    concert_id: Uuid,
    now: Timestamp,
) -> Result<HashMap<Uuid, u32>, DbError> {
    let counted: Vec<(Id, i64)> = seats::table
        .inner_join(schedules::table)
        .filter(schedules::concert_id.eq(Id(concert_id)))
        .filter(seat::is_free(now))
        .group_by(seats::schedule_id)
        .select((seats::schedule_id, count_star()))
        .load(conn)?;
    Ok(counted
        .into_iter()
        .map(|(id, free)| (id.0, u32::try_from(free).unwrap_or(u32::MAX)))
        .collect())
}
