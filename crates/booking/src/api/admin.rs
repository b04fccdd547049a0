//! What operators do: put concerts and dates on sale, and see whether the books agree.

use std::sync::Arc;

use actix_web::HttpResponse;
use actix_web::web::{Data, Path};
use chassis::json::Body;
use chassis::problem::Problem;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::answer;
use super::codes::DATABASE_BUSY;
use super::concerts::{Concert, RefundRules, Schedule};
use super::operator::{Operator, right};
use super::programme::MaxSeats;
use crate::Booking;
use crate::audit::Actor;
use crate::concert::{self, Grade, Layout, Price, QueueName, Title, default_layout};
use crate::db::Tx;
use crate::reconciliation::checks::Outcome;
use crate::reconciliation::{self, Report};

/// A concert to put on sale.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewConcert {
    /// Without control characters.
    #[schema(value_type = String, min_length = 1, max_length = 200, example = "Night of the Harps")]
    title: Title,
    /// Without control characters.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 200, example = "Great Hall")]
    venue: Option<Title>,
    /// The queue through which its buyers come; it need not exist yet.
    #[schema(value_type = String, pattern = "^[a-z0-9][a-z0-9-]{0,31}$", example = "main")]
    queue: QueueName,
}

impl From<NewConcert> for concert::NewConcert {
    fn from(new: NewConcert) -> Self {
        Self {
            title: new.title,
            venue: new.venue,
            queue: new.queue,
        }
    }
}

/// Puts a concert on sale. It has no dates yet.
#[utoipa::path(post, path = "/api/v1/admin/concerts", operation_id = "createConcert", tag = "admin",
    request_body = NewConcert,
    responses((status = 201, description = "The concert.", body = Concert,
        headers(("Location" = String, description = "The concert.")))),
    extensions(("x-access" = json!("operator"))))]
pub async fn create_concert(
    app: Data<Booking>,
    operator: Operator<right::Sale>,
    body: Body<NewConcert>,
) -> Result<HttpResponse, Problem> {
    let (new, now) = (body.0.into(), app.clock.now());
    let name = operator.name.clone();
    let concert = app
        .db
        .transaction(move |tx| concert::create(tx, &new, Actor::Operator(&name), now))
        .await?;
    log::info!("{} created concert {}", operator.name, concert.id);
    Ok(answer::created(
        &format!("/api/v1/concerts/{}", concert.id),
        &Concert::from(concert),
    ))
}

/// A date to put on sale.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewSchedule {
    #[schema(example = "2027-05-01T10:00:00Z")]
    starts_at: DateTime<Utc>,
    /// At once when not said.
    sales_open_at: Option<DateTime<Utc>>,
    /// At `startsAt` when not said.
    sales_close_at: Option<DateTime<Utc>>,
    /// Most seats of one visitor; the default of the service when not said.
    #[schema(value_type = Option<u16>, minimum = 1, maximum = 50, example = 6)]
    max_seats_per_user: Option<MaxSeats>,
    /// All comes back until the start when not said.
    refund_rules: Option<RefundRules>,
    /// Seats 1 to 50 in four grades when not said.
    sections: Option<Vec<Section>>,
}

/// Seats of one grade and price: the numbers `from` to `to`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Section {
    /// 1 to 32 of `A-Z a-z 0-9 _ -`.
    #[schema(value_type = String, min_length = 1, max_length = 32, example = "VIP")]
    grade: Grade,
    /// In minor units of KRW.
    #[schema(value_type = i64, minimum = 0, maximum = 100_000_000, example = 150_000)]
    price: Price,
    #[schema(minimum = 1, maximum = 10_000, example = 1)]
    from: u16,
    #[schema(minimum = 1, maximum = 10_000, example = 50)]
    to: u16,
}

impl From<Section> for concert::Section {
    fn from(section: Section) -> Self {
        let Section {
            grade,
            price,
            from,
            to,
        } = section;
        Self {
            grade,
            price,
            from,
            to,
        }
    }
}

impl NewSchedule {
    fn checked(self) -> Result<concert::NewSchedule, Problem> {
        let layout = match self.sections {
            Some(sections) => {
                let sections = sections.into_iter().map(Section::into);
                Layout::try_from(sections.collect::<Vec<_>>())?
            }
            None => default_layout(),
        };
        Ok(concert::NewSchedule {
            starts_at: storable(self.starts_at),
            sales_open_at: self.sales_open_at.map(storable),
            sales_close_at: self.sales_close_at.map(storable),
            max_seats_per_user: self.max_seats_per_user.map(MaxSeats::number),
            refund_rules: self.refund_rules.unwrap_or_default().into(),
            layout,
        })
    }
}

/// Whole microseconds, and the second after in place of a leap second: what the database can keep.
pub(super) fn storable(instant: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(instant.timestamp_micros()).unwrap_or(instant)
}

/// Adds a date with its seats to a concert.
#[utoipa::path(post, path = "/api/v1/admin/concerts/{concertId}/schedules", operation_id = "addSchedule", tag = "admin",
    params(("concertId" = Uuid, Path)), request_body = NewSchedule,
    responses((status = 201, description = "The date.", body = Schedule,
        headers(("Location" = String, description = "Its seats.")))),
    extensions(("x-access" = json!("operator")),
        ("x-codes" = json!(["CONCERT_NOT_FOUND", "SALES_INVALID", "SECTIONS_INVALID"]))))]
pub async fn add_schedule(
    app: Data<Booking>,
    operator: Operator<right::Sale>,
    concert_id: Path<Uuid>,
    body: Body<NewSchedule>,
) -> Result<HttpResponse, Problem> {
    let (new, now) = (body.0.checked()?, app.clock.now());
    let (concert_id, name) = (*concert_id, operator.name.clone());
    let add =
        move |tx: &mut Tx| concert::add_schedule(tx, concert_id, &new, Actor::Operator(&name), now);
    let schedule = app.db.transaction(add).await?;
    app.lists.added(concert_id);
    log::info!("{} added schedule {}", operator.name, schedule.id);
    let at = format!("/api/v1/schedules/{}/seats", schedule.id);
    Ok(answer::created(&at, &Schedule::at(now, schedule)))
}

/// Whether seats, payments and ledger agree.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Reconciliation {
    #[serde(with = "chassis::time::wire")]
    checked_at: DateTime<Utc>,
    /// Whether there is no difference.
    clean: bool,
    totals: Totals,
    /// At most 100 of each kind.
    differences: Vec<Difference>,
}

/// Sums over everything, money in minor units.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Totals {
    #[schema(example = "KRW")]
    currency: &'static str,
    seats_sold: i64,
    seats_confirmed: i64,
    confirmed_amount: i64,
    payments_captured: i64,
    payments_refunded: i64,
    ledger_charged: i64,
    ledger_captured: i64,
    ledger_refunded: i64,
    /// What operators gave and corrected, less what they took.
    ledger_corrected: i64,
    wallets_balance: i64,
}

/// Two figures that should be the same and are not.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// What should agree.
    subject: &'static str,
    /// The schedule, reservation, payment or user; `null` for a sum over everything.
    id: Option<Uuid>,
    expected: i64,
    found: i64,
    /// The seal at which the chain of the books does not hold; `null` for all other comparisons.
    #[schema(required)]
    seal: Option<u64>,
}

impl From<reconciliation::Report> for Reconciliation {
    fn from(report: reconciliation::Report) -> Self {
        let (clean, totals) = (report.is_clean(), report.totals);
        let difference = |it: reconciliation::Difference| Difference {
            subject: it.subject,
            id: it.id,
            expected: it.expected,
            found: it.found,
            seal: it.seal,
        };
        Self {
            checked_at: report.checked_at,
            clean,
            totals: Totals {
                currency: crate::ledger::CURRENCY,
                seats_sold: totals.seats_sold,
                seats_confirmed: totals.seats_confirmed,
                confirmed_amount: totals.confirmed_amount,
                payments_captured: totals.payments_captured,
                payments_refunded: totals.payments_refunded,
                ledger_charged: totals.ledger_charged,
                ledger_captured: totals.ledger_captured,
                ledger_refunded: totals.ledger_refunded,
                ledger_corrected: totals.ledger_corrected,
                wallets_balance: totals.wallets_balance,
            },
            differences: report.differences.into_iter().map(difference).collect(),
        }
    }
}

/// Compares seats, payments, ledger and wallets, and computes the chain of the books anew. It reads whole tables: among very
/// many sales the answer is 503 while it runs, and who asks again joins the check that runs.
#[utoipa::path(get, path = "/api/v1/admin/reconciliation", operation_id = "reconcile", tag = "admin",
    responses((status = 200, description = "What was found.", body = Reconciliation)),
    extensions(("x-access" = json!("operator"))))]
pub async fn reconcile(
    app: Data<Booking>,
    _operator: Operator<right::Read>,
) -> Result<HttpResponse, Problem> {
    let (now, most) = (app.clock.now(), app.sale.limits.seats_per_user);
    let check = move |conn: &mut _| reconciliation::check(conn, now, most);
    let db = app.db.clone();
    let check = async move { db.read_for(reconciliation::WITHIN, check).await };
    let report = found(app.checks.ask(check).await)?;
    Ok(answer::own(&Reconciliation::from(Report::clone(&report))))
}

/// What a check found, unless it goes on or failed.
fn found(outcome: Option<Outcome>) -> Result<Arc<Report>, Problem> {
    let going_on = "The books are being compared. That goes on; ask again for what it finds.";
    let outcome = outcome.ok_or_else(|| DATABASE_BUSY.because(going_on))?;
    outcome.map_err(|cause| Problem::from(&*cause))
}
