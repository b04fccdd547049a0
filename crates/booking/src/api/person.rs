//! All that booking has of a person, for operators who answer a person's question about it.

use std::cmp::Reverse;

use actix_web::HttpResponse;
use actix_web::web::Data;
use chassis::problem::Problem;
use chassis::time::Timestamp;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::answer;
use super::audit::AuditEntry;
use super::customer::AdminLedgerEntry;
use super::operator::{Operator, right};
use super::payments::Payment;
use super::people::Customer;
use super::reservations::Reservation;
use super::waitlist::WaitlistEntry;
use crate::Booking;
use crate::db::{At, Conn, Page, Tx};
use crate::ledger::{self, CURRENCY};
use crate::payment::MadeRefund;
use crate::provider::Order;
use crate::waitlist::WaitlistError;
use crate::{audit, erasure, payment, provider, reservation, waitlist, wallet};

/// Everything from the first row on.
const WHOLE: Page = Page {
    limit: u32::MAX,
    after: None,
};

/// What booking has of a person.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Person {
    user_id: Uuid,
    /// Under which id the books know them; it stays when nobody knows any more who it is.
    subject: Uuid,
    /// In minor units.
    #[schema(example = 200_000)]
    balance: i64,
    #[schema(example = "KRW")]
    currency: &'static str,
    /// Newest first, as all of these.
    ledger: Vec<AdminLedgerEntry>,
    reservations: Vec<Reservation>,
    payments: Vec<Payment>,
    /// Places in waiting lists.
    waitlist: Vec<WaitlistEntry>,
    /// Money that a payment provider was asked for.
    orders: Vec<PersonOrder>,
    /// What came back of the payments, part by part.
    refunds: Vec<PersonRefund>,
    /// What the audit log has of all these and of the wallet.
    audit: Vec<AuditEntry>,
}

/// Money that a payment provider was asked for.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PersonOrder {
    id: Uuid,
    /// `charge` for the wallet, `payment` for seats.
    #[schema(example = "charge")]
    kind: &'static str,
    /// The seats, if it is for any.
    #[schema(required)]
    reservation_id: Option<Uuid>,
    /// In minor units.
    #[schema(example = 200_000)]
    amount: i64,
    #[schema(example = "KRW")]
    currency: &'static str,
    /// `pending`, `succeeded`, `failed` or `voided`.
    #[schema(example = "succeeded")]
    state: &'static str,
    #[serde(with = "chassis::time::wire")]
    created_at: DateTime<Utc>,
}

impl From<(Order, At)> for PersonOrder {
    fn from((order, created_at): (Order, At)) -> Self {
        Self {
            id: order.id,
            kind: order.kind.as_str(),
            reservation_id: order.reservation_id.map(Uuid::from),
            amount: order.amount,
            currency: CURRENCY,
            state: order.state.as_str(),
            created_at: created_at.0,
        }
    }
}

/// What came back of a payment at once.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PersonRefund {
    id: Uuid,
    payment_id: Uuid,
    /// In minor units.
    #[schema(example = 150_000)]
    amount: i64,
    #[schema(example = "KRW")]
    currency: &'static str,
    #[serde(with = "chassis::time::wire")]
    created_at: DateTime<Utc>,
}

impl From<MadeRefund> for PersonRefund {
    fn from(refund: MadeRefund) -> Self {
        Self {
            id: refund.id,
            payment_id: refund.payment_id,
            amount: refund.amount,
            currency: CURRENCY,
            created_at: refund.created_at,
        }
    }
}

/// Gives out all that booking has of a person. Booking knows people by an id alone: no name, no address.
#[utoipa::path(get, path = "/api/v1/admin/users/{userId}", operation_id = "exportPerson", tag = "desk",
    params(("userId" = Uuid, Path)),
    responses((status = 200, description = "All of it; empty for somebody who is not known.", body = Person)),
    extensions(("x-access" = json!("operator"))))]
pub async fn export(
    app: Data<Booking>,
    operator: Operator<right::Desk>,
    customer: Customer,
) -> Result<HttpResponse, Problem> {
    let (user_id, now) = (customer.subject, app.clock.now());
    let look = move |conn: &mut _| everything_of(conn, user_id, now);
    let person = app.db.read(look).await?;
    log::info!("{} exported what there is of a person", operator.name);
    Ok(answer::own(&person))
}

fn everything_of(conn: &mut Conn, user_id: Uuid, now: Timestamp) -> Result<Person, WaitlistError> {
    let waiting = waitlist::entries(conn, user_id, WHOLE)?;
    let reservations = reservation::list(conn, user_id, WHOLE, now)?;
    let payments = payment::of_user(conn, user_id)?;
    let orders = provider::of_user(conn, user_id)?;
    let mut things = vec![user_id];
    things.extend(reservations.iter().map(|row| row.id));
    things.extend(payments.iter().map(|row| row.id));
    things.extend(orders.iter().map(|(row, _)| row.id));
    let dates: Vec<Uuid> = waiting.iter().map(|it| it.entry.schedule_id).collect();
    let mut changes = audit::of(conn, &things)?;
    changes.extend(audit::by(conn, user_id, &dates)?);
    changes.sort_unstable_by_key(|row| Reverse(row.seq));
    Ok(Person {
        user_id,
        subject: user_id,
        balance: wallet::balance(conn, user_id)?,
        currency: CURRENCY,
        ledger: (ledger::entries(conn, user_id, WHOLE)?.into_iter())
            .map(AdminLedgerEntry::from)
            .collect(),
        reservations: (reservations.into_iter())
            .map(|row| Reservation::at(now, row))
            .collect(),
        payments: payments.into_iter().map(Payment::from).collect(),
        waitlist: waiting.into_iter().map(WaitlistEntry::from).collect(),
        orders: orders.into_iter().map(PersonOrder::from).collect(),
        refunds: (payment::refunds_of_user(conn, user_id)?.into_iter())
            .map(PersonRefund::from)
            .collect(),
        audit: changes.into_iter().map(AuditEntry::from).collect(),
    })
}

/// Forgets who a customer is: the row that joins the person and the subject of the books is dropped. Reservations, payments,
/// ledger and audit log stay as they are, under the subject, and the chain over them holds. Fine the second time. It cannot
/// be taken back; whoever comes again under the same id is somebody new.
#[utoipa::path(delete, path = "/api/v1/admin/users/{userId}", operation_id = "forgetPerson", tag = "desk",
    params(("userId" = Uuid, Path)),
    responses((status = 204, description = "Nobody knows any more who it is.")),
    extensions(("x-access" = json!("operator")), ("x-codes" = json!(["PERSON_HAS_CLAIMS"]))))]
pub async fn forget(
    app: Data<Booking>,
    operator: Operator<right::Desk>,
    customer: Customer,
) -> Result<HttpResponse, Problem> {
    let (person, now, by) = (customer.named, app.clock.now(), operator.name.clone());
    let forget = move |tx: &mut Tx| erasure::forget(tx, person, &by, now);
    app.db.transaction(forget).await?;
    app.subjects.drop_memory_of(person);
    log::info!("{} had a person forgotten", operator.name);
    Ok(answer::gone())
}
