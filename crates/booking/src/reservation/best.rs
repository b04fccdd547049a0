//! Chooses the best free seats for a user who does not name them.
//!
//! Best is: seats side by side before seats that are not, then the dearest, then the lowest numbers. Side by side are
//! consecutive numbers of one grade. When no such seats are left, the best that are free are chosen wherever they are.
//!
//! Buyers are spread: what others have locked is skipped, so a buyer never waits for a seat that another will get. A buyer
//! who finds all that is left being taken looks again and waits, from the lowest number to the highest, so that no buyer
//! is refused while there are seats. The conditional update in `reserve` decides.

use chassis::time::Timestamp;
use diesel::dsl::{AsExprOf, auto_type};
use diesel::prelude::*;
use diesel::sql_types::Bool;
use rand::Rng as _;
use uuid::Uuid;

use super::wanted::Approach;
use super::{Best, ReserveError, ReservedSeat};
use crate::db::{Conn, DbError, Id, Tx, one_of};
use crate::schema::seats;
use crate::seat;

/// Free seats that are looked at first; all of them only when these do not hold enough side by side.
const FIRST_LOOK: usize = 512;
/// How often another buyer may be faster before waiting is better.
const TRIES: u32 = 8;
/// Groups among which the second try chooses. It doubles with each, so that any number of buyers spreads.
const SPREAD: usize = 16;

type Row = (u16, String, i64);

/// The best seats that are free at `now`. They are locked until the transaction ends.
///
/// Two statements; one more for each time that another buyer is faster, and one when what is free is scattered.
pub(super) fn choose(
    tx: &mut Tx,
    schedule_id: Uuid,
    best: &Best,
    now: Timestamp,
) -> Result<Vec<ReservedSeat>, ReserveError> {
    match best.approach() {
        Approach::Swift => swiftly(tx, schedule_id, best, now),
        Approach::Patient => patiently(tx, schedule_id, best, now),
    }
}

fn swiftly(
    tx: &mut Tx,
    schedule_id: Uuid,
    best: &Best,
    now: Timestamp,
) -> Result<Vec<ReservedSeat>, ReserveError> {
    let mut seen = look(tx, schedule_id, best, now, Some(FIRST_LOOK))?;
    let mut groups = side_by_side(&seen, best.count());
    if groups.is_empty() && seen.len() == FIRST_LOOK {
        seen = look(tx, schedule_id, best, now, None)?;
        groups = side_by_side(&seen, best.count());
    }
    if groups.is_empty() {
        groups = seen.chunks_exact(best.count()).collect();
    }
    if groups.is_empty() {
        return Err(too_few(tx, schedule_id, best, seen.len())?);
    }
    let mut wanted = 0;
    for attempt in 0..TRIES {
        if lock(tx, schedule_id, groups[wanted], now)? {
            return Ok(reserved(groups[wanted]));
        }
        let reach = groups.len().min(SPREAD << attempt);
        wanted = rand::rng().random_range(0..reach);
    }
    Err(ReserveError::Crowded)
}

/// Only the buyer is locked yet, and seats are locked by number, so two buyers never wait for each other.
fn patiently(
    tx: &mut Tx,
    schedule_id: Uuid,
    best: &Best,
    now: Timestamp,
) -> Result<Vec<ReservedSeat>, ReserveError> {
    let mut free: Vec<Row> = free(schedule_id, best, now)
        .order(seats::number)
        .for_update()
        .load(tx)?;
    free.sort_by_key(|(number, _, price)| (-price, *number));
    let groups = side_by_side(&free, best.count());
    match groups
        .first()
        .or(free.chunks_exact(best.count()).next().as_ref())
    {
        Some(group) => Ok(reserved(group)),
        None => Err(too_few(tx, schedule_id, best, free.len())?),
    }
}

/// Free seats, best first, at most so many. What others are taking at this moment still looks free. One statement.
fn look(
    conn: &mut Conn,
    schedule_id: Uuid,
    best: &Best,
    now: Timestamp,
    at_most: Option<usize>,
) -> Result<Vec<Row>, DbError> {
    let at_most = at_most.map_or(i64::MAX, |at_most| at_most as i64);
    let found = free(schedule_id, best, now)
        .order((seats::price.desc(), seats::number))
        .limit(at_most)
        .load(conn)?;
    Ok(found)
}

#[auto_type(no_type_alias)]
fn free<'a>(schedule_id: Uuid, best: &'a Best, now: Timestamp) -> _ {
    let id: Id = Id(schedule_id);
    let any_grade: AsExprOf<bool, Bool> = best.grade().is_none().into_sql::<Bool>();
    let grade: &'a str = best.grade().unwrap_or_default();
    let is_free: seat::is_free = seat::is_free(now);
    seats::table
        .filter(seats::schedule_id.eq(id))
        .filter(is_free)
        .filter(seats::grade.eq(grade).or(any_grade))
        .select((seats::number, seats::grade, seats::price))
}

/// Groups of `count` consecutive numbers of one grade that do not overlap, in the order of `seen`.
fn side_by_side(seen: &[Row], count: usize) -> Vec<&[Row]> {
    let next_to = |one: &Row, other: &Row| one.0 + 1 == other.0 && one.1 == other.1;
    seen.chunk_by(next_to)
        .flat_map(|run| run.chunks_exact(count))
        .collect()
}

/// Locks these seats if they are all free and no other buyer is taking one of them. One statement.
fn lock(tx: &mut Tx, schedule_id: Uuid, group: &[Row], now: Timestamp) -> Result<bool, DbError> {
    let numbers: Vec<u16> = group.iter().map(|(number, ..)| *number).collect();
    let locked: Vec<u16> = seats::table
        .filter(seats::schedule_id.eq(Id(schedule_id)))
        .filter(one_of(seats::number, numbers))
        .filter(seat::is_free(now))
        .select(seats::number)
        .for_update()
        .skip_locked()
        .load(tx)?;
    Ok(locked.len() == group.len())
}

fn too_few(
    conn: &mut Conn,
    schedule_id: Uuid,
    best: &Best,
    available: usize,
) -> Result<ReserveError, DbError> {
    if let (0, Some(grade)) = (available, best.grade()) {
        let of_grade: i64 = seats::table
            .filter(seats::schedule_id.eq(Id(schedule_id)))
            .filter(seats::grade.eq(grade))
            .count()
            .get_result(conn)?;
        if of_grade == 0 {
            return Ok(ReserveError::GradeUnknown(grade.to_owned()));
        }
    }
    Ok(ReserveError::SoldOut { available })
}

/// By number, as every reservation has them.
fn reserved(group: &[Row]) -> Vec<ReservedSeat> {
    let mut group = group.to_vec();
    group.sort_unstable_by_key(|(number, ..)| *number);
    group.into_iter().map(super::reserved).collect()
}

#[cfg(test)]
mod tests {
    use super::{Row, side_by_side};

    #[test]
    fn side_by_side_are_consecutive_numbers_of_one_grade() {
        let seat = |number, grade: &str| -> Row { (number, grade.to_owned(), 1) };
        let seen = [
            seat(1, "A"),
            seat(2, "A"),
            seat(3, "A"),
            seat(4, "B"),
            seat(5, "B"),
            seat(7, "B"),
        ];
        let numbers = |count| -> Vec<Vec<u16>> {
            let groups = side_by_side(&seen, count);
            let numbers = groups.iter().map(|group| group.iter().map(|seat| seat.0));
            numbers.map(Iterator::collect).collect()
        };
        assert_eq!(numbers(2), [[1, 2], [4, 5]]);
        assert_eq!(numbers(3), [[1, 2, 3]]);
        assert_eq!(numbers(1).len(), 6);
        assert!(numbers(4).is_empty());
    }
}
