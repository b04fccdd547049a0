//! The verbs that change a concert or a date. What somebody holds already keeps its price, and its end unless the show
//! starts before it.

use chassis::time::Timestamp;
use diesel::prelude::*;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{Expected, ListedConcert, ListedDate, ProgrammeError, locked_concert, locked_date};
use crate::audit::{self, Action, Actor, Change, Entity};
use crate::concert::{Grade, Price, QueueName, RefundRules, SalesWindow, Title};
use crate::db::{At, Db, DbError, Id, Tx};
use crate::reservation;
use crate::schema::{concerts, schedules, seats};

/// What is to be changed of a concert; what is not said stays.
#[derive(Debug, Clone, Default)]
pub struct EditConcert {
    /// What it is called.
    pub title: Option<Title>,
    /// Where it takes place; `Some(None)` is nowhere in particular.
    pub venue: Option<Option<Title>>,
    /// The queue that a buyer must have come through, from now on.
    pub queue: Option<QueueName>,
    /// Whether visitors see nothing of it and can reserve nothing of it.
    pub hidden: Option<bool>,
}

/// What is to be changed of a date; what is not said stays.
#[derive(Debug, Clone, Default)]
pub struct EditDate {
    /// When the show starts.
    pub starts_at: Option<Timestamp>,
    /// From when seats can be reserved.
    pub sales_open_at: Option<Timestamp>,
    /// From when they no longer can.
    pub sales_close_at: Option<Timestamp>,
    /// Whether visitors see nothing of it and can reserve nothing of it.
    pub hidden: Option<bool>,
    /// Most seats of one user; `Some(None)` is the service's default.
    pub max_seats_per_user: Option<Option<u16>>,
    /// How much of a payment comes back; of one that is made already by the rules of then, where they give more.
    pub refund_rules: Option<RefundRules>,
    /// What seats of these grades cost from now on.
    pub prices: Vec<(Grade, Price)>,
}

/// Changes a concert. Three statements: locking it, the change, audit.
pub fn edit_concert(
    tx: &mut Tx,
    id: Uuid,
    edit: &EditConcert,
    expected: &Expected,
    by: Actor<'_>,
    now: Timestamp,
) -> Result<ListedConcert, ProgrammeError> {
    let found = locked_concert(tx, id)?;
    expected.check(found.version)?;
    let mut changed = Map::new();
    let mut edited = ListedConcert {
        version: found.version + 1,
        ..found
    };
    if let Some(title) = &edit.title {
        edited.title = title.as_str().to_owned();
        changed.insert("title".into(), json!(edited.title));
    }
    if let Some(venue) = &edit.venue {
        edited.venue = venue.as_ref().map(|venue| venue.as_str().to_owned());
        changed.insert("venue".into(), json!(edited.venue));
    }
    if let Some(queue) = &edit.queue {
        edited.queue = queue.as_str().to_owned();
        changed.insert("queue".into(), json!(edited.queue));
    }
    if let Some(hidden) = edit.hidden {
        edited.hidden = hidden;
        changed.insert("hidden".into(), json!(hidden));
    }
    diesel::update(concerts::table.find(Id(id)))
        .set((
            concerts::title.eq(&edited.title),
            concerts::venue.eq(&edited.venue),
            concerts::queue.eq(&edited.queue),
            concerts::hidden.eq(edited.hidden),
            concerts::version.eq(edited.version),
        ))
        .execute(tx)?;
    record(tx, (Entity::Concert, id), Action::Edited, changed, by, now)?;
    Ok(edited)
}

/// Changes a date, and ends the holds that would outlast its start, also those that were made meanwhile.
pub async fn change_date(
    db: &Db,
    id: Uuid,
    edit: EditDate,
    expected: Expected,
    by: String,
    now: Timestamp,
) -> Result<ListedDate, ProgrammeError> {
    let (is_moved, name) = (edit.starts_at.is_some(), by.clone());
    let change =
        move |tx: &mut Tx| edit_date(tx, id, &edit, &expected, Actor::Operator(&name), now);
    let edited = db.transaction(change).await?;
    if is_moved {
        let end = move |tx: &mut Tx| end_at_start(tx, id, Actor::Operator(&by), now);
        // The date is changed, whatever comes of this: those holds are not paid after the start, even if they say so.
        if let Err(cause) = db.transaction(end).await {
            log::warn!("holds that were made while {id} was moved may say a later end: {cause}");
        }
    }
    Ok(edited)
}

/// Ends the holds of a date that would last longer than to its start, and says how many: somebody who is new to the date may
/// have made one between the look of [`edit_date`] and its commit. Three statements, three more where there are any.
pub fn end_at_start(
    tx: &mut Tx,
    id: Uuid,
    by: Actor<'_>,
    now: Timestamp,
) -> Result<usize, ProgrammeError> {
    let date = locked_date(tx, id)?;
    let holds = reservation::cut(tx, id, date.starts_at)?;
    if holds > 0 {
        let changed = Map::from_iter([("holdsShortened".to_owned(), json!(holds))]);
        record(tx, (Entity::Schedule, id), Action::Edited, changed, by, now)?;
    }
    Ok(holds)
}

/// Changes a date. Three statements and one for each grade whose price changes; two to four where the show starts earlier,
/// because no hold outlives its start.
pub fn edit_date(
    tx: &mut Tx,
    id: Uuid,
    edit: &EditDate,
    expected: &Expected,
    by: Actor<'_>,
    now: Timestamp,
) -> Result<ListedDate, ProgrammeError> {
    let found = locked_date(tx, id)?;
    expected.check(found.version)?;
    let (mut changed, started_at) = (Map::new(), found.starts_at);
    let mut edited = ListedDate {
        version: found.version + 1,
        ..found
    };
    let instants = [
        ("startsAt", edit.starts_at, &mut edited.starts_at),
        ("salesOpenAt", edit.sales_open_at, &mut edited.sales_open_at),
        (
            "salesCloseAt",
            edit.sales_close_at,
            &mut edited.sales_close_at,
        ),
    ];
    for (name, wanted, current) in instants {
        if let Some(wanted) = wanted {
            *current = wanted;
            changed.insert(name.into(), json!(chassis::time::rfc3339(wanted)));
        }
    }
    let window = SalesWindow {
        open_at: edited.sales_open_at,
        close_at: edited.sales_close_at,
        starts_at: edited.starts_at,
    };
    if !window.is_sound() {
        return Err(ProgrammeError::SalesInvalid);
    }
    if let Some(hidden) = edit.hidden {
        edited.hidden = hidden;
        changed.insert("hidden".into(), json!(hidden));
    }
    if let Some(max) = edit.max_seats_per_user {
        edited.max_seats_per_user = max;
        changed.insert("maxSeatsPerUser".into(), json!(max));
    }
    if let Some(rules) = edit.refund_rules {
        edited.refund_full_until_s = rules.full_until_s;
        edited.refund_share_until_s = rules.share_until_s;
        edited.refund_share_percent = rules.share_percent;
        changed.insert(
            "refundRules".into(),
            json!({
                "fullUntilSeconds": rules.full_until_s, "shareUntilSeconds": rules.share_until_s,
                "sharePercent": rules.share_percent,
            }),
        );
    }
    for (grade, price) in &edit.prices {
        reprice(tx, id, grade, *price)?;
        changed.insert(format!("price of {}", grade.as_str()), json!(price.minor()));
    }
    store(tx, &edited)?;
    if edited.starts_at < started_at {
        let holds = reservation::cut(tx, id, edited.starts_at)?;
        changed.insert("holdsShortened".into(), json!(holds));
    }
    record(tx, (Entity::Schedule, id), Action::Edited, changed, by, now)?;
    Ok(edited)
}

/// Ends the sales of a date at `now`; holds can still be paid. Sales that have not begun never do. The second time is
/// fine too. Three statements.
pub fn close(
    tx: &mut Tx,
    id: Uuid,
    by: Actor<'_>,
    now: Timestamp,
) -> Result<ListedDate, ProgrammeError> {
    let found = locked_date(tx, id)?;
    if found.sales_close_at <= now {
        return Ok(found);
    }
    let closed = ListedDate {
        // A window is never empty: sales that have not begun were open for a moment before now.
        sales_open_at: found
            .sales_open_at
            .min(now - chrono::TimeDelta::microseconds(1)),
        sales_close_at: now,
        version: found.version + 1,
        ..found
    };
    store(tx, &closed)?;
    let changed = Map::from_iter([(
        "salesCloseAt".to_owned(),
        json!(chassis::time::rfc3339(now)),
    )]);
    record(tx, (Entity::Schedule, id), Action::Closed, changed, by, now)?;
    Ok(closed)
}

/// Free and blocked seats cost this from now on; a hold has its own copy of the price.
fn reprice(tx: &mut Tx, id: Uuid, grade: &Grade, price: Price) -> Result<(), ProgrammeError> {
    let of_grade = seats::table
        .filter(seats::schedule_id.eq(Id(id)))
        .filter(seats::grade.eq(grade.as_str()));
    let repriced = diesel::update(of_grade)
        .set(seats::price.eq(price.minor()))
        .execute(tx)?;
    if repriced == 0 {
        return Err(ProgrammeError::GradeUnknown(grade.as_str().to_owned()));
    }
    Ok(())
}

fn store(tx: &mut Tx, date: &ListedDate) -> Result<(), DbError> {
    diesel::update(schedules::table.find(Id(date.id)))
        .set((
            schedules::starts_at.eq(At(date.starts_at)),
            schedules::sales_open_at.eq(At(date.sales_open_at)),
            schedules::sales_close_at.eq(At(date.sales_close_at)),
            schedules::hidden.eq(date.hidden),
            schedules::max_seats_per_user.eq(date.max_seats_per_user),
            schedules::refund_full_until_s.eq(date.refund_full_until_s),
            schedules::refund_share_until_s.eq(date.refund_share_until_s),
            schedules::refund_share_percent.eq(date.refund_share_percent),
            schedules::version.eq(date.version),
        ))
        .execute(tx)?;
    Ok(())
}

pub(super) fn record(
    tx: &mut Tx,
    (entity, entity_id): (Entity, Uuid),
    action: Action,
    detail: Map<String, Value>,
    by: Actor<'_>,
    now: Timestamp,
) -> Result<(), DbError> {
    let change = Change {
        entity,
        entity_id,
        action,
        actor: by,
        detail: Value::Object(detail),
    };
    audit::record(tx, &[change], now)
}
