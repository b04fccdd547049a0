//! All that booking has of a person, for operators who answer a person's question about it.

use actix_web::HttpResponse;
use actix_web::web::Data;
use chassis::problem::Problem;
use chassis::time::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::answer;
use super::customer::AdminLedgerEntry;
use super::operator::{Operator, right};
use super::payments::Payment;
use super::people::Customer;
use super::reservations::Reservation;
use super::waitlist::WaitlistEntry;
use crate::Booking;
use crate::db::{Conn, Page, Tx};
use crate::ledger::{self, CURRENCY};
use crate::waitlist::WaitlistError;
use crate::{payment, reservation, subject, waitlist, wallet};

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
        payments: (payment::of_user(conn, user_id)?.into_iter())
            .map(Payment::from)
            .collect(),
        waitlist: waiting.into_iter().map(WaitlistEntry::from).collect(),
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
    let forget = move |tx: &mut Tx| subject::forget(tx, person, &by, now);
    app.db.transaction(forget).await?;
    app.subjects.drop_memory_of(person);
    log::info!("{} had a person forgotten", operator.name);
    Ok(answer::gone())
}
