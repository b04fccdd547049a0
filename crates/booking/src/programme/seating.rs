//! The verbs that change which seats a date has and which of them are for sale.
//!
//! Blocking takes a seat by the same conditional update as a buyer does, so of the two exactly one gets it.

use chassis::time::Timestamp;
use diesel::prelude::*;
use serde_json::{Map, json};
use uuid::Uuid;

use super::edit::record;
use super::{Expected, ListedDate, ProgrammeError, date, locked_date};
use crate::audit::{Action, Actor, Entity};
use crate::concert::{self, Layout, Title};
use crate::db::{At, Conn, DbError, Id, Tx};
use crate::schema::{schedules, seats};
use crate::seat::{self, MAX_SEATS, SeatNumbers, SeatState};

/// A seat as operators see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacedSeat {
    /// Its number.
    pub number: u16,
    /// What seats of its price are called.
    pub grade: String,
    /// Minor units.
    pub price: i64,
    /// Its state at the instant that was asked for.
    pub state: SeatState,
    /// Why it is blocked.
    pub blocked_reason: Option<String>,
    /// Whose it is, while it is somebody's.
    pub reservation_id: Option<Uuid>,
}

type Row = (
    u16,
    String,
    i64,
    SeatState,
    Option<At>,
    Option<String>,
    Option<Id>,
);

/// Every seat of a date by number, as it is at `now`. Two statements.
pub fn seats(
    conn: &mut Conn,
    schedule_id: Uuid,
    now: Timestamp,
) -> Result<Vec<PlacedSeat>, ProgrammeError> {
    date(conn, schedule_id)?;
    let rows: Vec<Row> = seats::table
        .filter(seats::schedule_id.eq(Id(schedule_id)))
        .order(seats::number)
        .select((
            seats::number,
            seats::grade,
            seats::price,
            seats::state,
            seats::hold_expires_at,
            seats::blocked_reason,
            seats::reservation_id,
        ))
        .load(conn)?;
    let placed = |(number, grade, price, state, hold, blocked_reason, of): Row| {
        let state = seat::effective(state, hold, now);
        let is_somebodys = matches!(state, SeatState::Held | SeatState::Sold);
        PlacedSeat {
            number,
            grade,
            price,
            state,
            blocked_reason,
            reservation_id: of.filter(|_| is_somebodys).map(Uuid::from),
        }
    };
    Ok(rows.into_iter().map(placed).collect())
}

/// Adds seats to a date. Four statements, and one more for each thousand seats.
pub fn add_seats(
    tx: &mut Tx,
    id: Uuid,
    layout: &Layout,
    expected: &Expected,
    by: Actor<'_>,
    now: Timestamp,
) -> Result<ListedDate, ProgrammeError> {
    let found = locked_date(tx, id)?;
    expected.check(found.version)?;
    if found.cancelled_at.is_some() {
        return Err(ProgrammeError::Cancelled);
    }
    let numbers: Vec<u16> = layout.seats().map(|(number, _)| number).collect();
    let there: Vec<u16> = seats::table
        .filter(seats::schedule_id.eq(Id(id)))
        .filter(seats::number.eq_any(&numbers))
        .order(seats::number)
        .select(seats::number)
        .load(tx)?;
    if !there.is_empty() {
        return Err(ProgrammeError::SeatsExist(there));
    }
    let seats_total = found.seats_total + layout.seats_total();
    if seats_total > u32::from(MAX_SEATS) {
        return Err(ProgrammeError::TooMany);
    }
    concert::insert_seats(tx, id, layout)?;
    let grown = ListedDate {
        seats_total,
        version: found.version + 1,
        ..found
    };
    diesel::update(schedules::table.find(Id(id)))
        .set((
            schedules::seats_total.eq(seats_total),
            schedules::version.eq(grown.version),
        ))
        .execute(tx)?;
    let detail = Map::from_iter([
        ("seatNumbers".to_owned(), json!(numbers)),
        ("seatsTotal".to_owned(), json!(seats_total)),
    ]);
    record(
        tx,
        (Entity::Schedule, id),
        Action::Enlarged,
        detail,
        by,
        now,
    )?;
    Ok(grown)
}

/// Takes these seats off sale, all of them or none; blocking again gives another reason. Three statements.
pub fn block(
    tx: &mut Tx,
    id: Uuid,
    numbers: &SeatNumbers,
    reason: &Title,
    by: Actor<'_>,
    now: Timestamp,
) -> Result<(), ProgrammeError> {
    locked_date(tx, id)?;
    let (nobody, never): (Option<Id>, Option<At>) = (None, None);
    let free = seat::is_free(now).or(seats::state.eq(SeatState::Blocked));
    let of_these = seats::table
        .filter(seats::schedule_id.eq(Id(id)))
        .filter(seats::number.eq_any(numbers.as_slice()))
        .filter(free);
    // The row count decides: fewer rows than seats means that somebody has one of them.
    let blocked = diesel::update(of_these)
        .set((
            seats::state.eq(SeatState::Blocked),
            seats::reservation_id.eq(nobody),
            seats::holder_id.eq(nobody),
            seats::hold_expires_at.eq(never),
            seats::blocked_reason.eq(reason.as_str()),
        ))
        .execute(tx)?;
    if blocked != numbers.as_slice().len() {
        return Err(not_all(tx, id, numbers)?);
    }
    let detail = Map::from_iter([
        ("seatNumbers".to_owned(), json!(numbers.as_slice())),
        ("reason".to_owned(), json!(reason.as_str())),
    ]);
    record(tx, (Entity::Schedule, id), Action::Blocked, detail, by, now)?;
    Ok(())
}

/// Puts these seats on sale again, those of them that are blocked, and says how many. Four statements.
pub fn release(
    tx: &mut Tx,
    id: Uuid,
    numbers: &SeatNumbers,
    by: Actor<'_>,
    now: Timestamp,
) -> Result<usize, ProgrammeError> {
    // A cancellation stops sales by blocking seats, and begins by changing the date, which is locked here.
    if locked_date(tx, id)?.cancelled_at.is_some() {
        return Err(ProgrammeError::Cancelled);
    }
    let known = known(tx, id, numbers)?;
    if known.len() != numbers.as_slice().len() {
        return Err(ProgrammeError::SeatUnknown(missing(numbers, &known)));
    }
    let blocked = seats::table
        .filter(seats::schedule_id.eq(Id(id)))
        .filter(seats::number.eq_any(numbers.as_slice()))
        .filter(seats::state.eq(SeatState::Blocked));
    let released = diesel::update(blocked)
        .set((
            seats::state.eq(SeatState::Available),
            seats::blocked_reason.eq(None::<String>),
        ))
        .execute(tx)?;
    let detail = Map::from_iter([("seatNumbers".to_owned(), json!(numbers.as_slice()))]);
    record(
        tx,
        (Entity::Schedule, id),
        Action::Released,
        detail,
        by,
        now,
    )?;
    Ok(released)
}

/// Which of the seats there are, with their states as they are stored.
fn known(tx: &mut Tx, id: Uuid, numbers: &SeatNumbers) -> Result<Vec<(u16, SeatState)>, DbError> {
    let found = seats::table
        .filter(seats::schedule_id.eq(Id(id)))
        .filter(seats::number.eq_any(numbers.as_slice()))
        .order(seats::number)
        .select((seats::number, seats::state))
        .load(tx)?;
    Ok(found)
}

fn missing(numbers: &SeatNumbers, known: &[(u16, SeatState)]) -> Vec<u16> {
    let is_known = |number: &u16| known.iter().any(|(known, _)| known == number);
    let all = numbers.as_slice().iter().copied();
    all.filter(|number| !is_known(number)).collect()
}

/// Why fewer seats were blocked than wanted. Those that were blocked are so in this transaction only, which is undone.
fn not_all(tx: &mut Tx, id: Uuid, numbers: &SeatNumbers) -> Result<ProgrammeError, DbError> {
    let known = known(tx, id, numbers)?;
    if known.len() != numbers.as_slice().len() {
        return Ok(ProgrammeError::SeatUnknown(missing(numbers, &known)));
    }
    let taken = known
        .into_iter()
        .filter(|(_, state)| matches!(state, SeatState::Held | SeatState::Sold));
    Ok(ProgrammeError::SeatTaken(taken.collect()))
}
