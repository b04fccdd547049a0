//! What a customer has and what the desk does for them.

use actix_web::HttpResponse;
use actix_web::web::{Data, Path, Query};
use chassis::json::{Body, OptionalBody};
use chassis::page::{Page, PageQuery};
use chassis::problem::Problem;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use super::operator::{Operator, right};
use super::payments::{Refund, RefundPart, refunded};
use super::people::Customer;
use super::repeat::{self, RequiredKey, RequiredKeyHeader};
use super::reservations::Reservation;
use super::wallets::{Balance, LedgerEntry};
use super::{answer, paging};
use crate::Booking;
use crate::concert::Title;
use crate::db::{Tx, new_id};
use crate::idempotency::Answer;
use crate::ledger::{self, CURRENCY};
use crate::payment::{self, RefundError};
use crate::reservation;
use crate::wallet::{self, Amount, AmountInvalid, Correction, CorrectionCause, CorrectionError};

const REFUNDS: &str = "POST /api/v1/admin/payments/{paymentId}/refunds";
const CREDITS: &str = "POST /api/v1/admin/users/{userId}/credits";
const CORRECTIONS: &str = "POST /api/v1/admin/users/{userId}/corrections";

/// Shows what is in a customer's wallet.
#[utoipa::path(get, path = "/api/v1/admin/users/{userId}/balance", operation_id = "showBalanceOf", tag = "desk",
    params(("userId" = Uuid, Path)),
    responses((status = 200, description = "The balance; 0 for someone who never charged.", body = Balance)),
    extensions(("x-access" = json!("operator"))))]
pub async fn balance(
    app: Data<Booking>,
    _operator: Operator<right::Desk>,
    customer: Customer,
) -> Result<HttpResponse, Problem> {
    let user_id = customer.subject;
    let look = move |conn: &mut _| wallet::balance(conn, user_id);
    let balance = app.db.read(look).await?;
    Ok(answer::own(&Balance::of(user_id, balance)))
}

/// One movement of a customer's money, with what the desk wrote to it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AdminLedgerEntry {
    #[serde(flatten)]
    entry: LedgerEntry,
    /// Why an operator moved it; `null` for what the customer did.
    #[schema(example = "Sound failed")]
    reason: Option<String>,
    /// The name of the operator's key.
    #[schema(example = "operator:desk")]
    by: Option<String>,
}

impl From<ledger::Entry> for AdminLedgerEntry {
    fn from(entry: ledger::Entry) -> Self {
        Self {
            reason: entry.reason.clone(),
            by: entry.actor_name.clone(),
            entry: entry.into(),
        }
    }
}

/// Lists a customer's ledger entries, newest first.
#[utoipa::path(get, path = "/api/v1/admin/users/{userId}/ledger", operation_id = "listLedgerOf", tag = "desk",
    params(("userId" = Uuid, Path), PageQuery),
    responses((status = 200, description = "A page of entries; all amounts together are the balance.",
        body = Page<AdminLedgerEntry>)),
    extensions(("x-access" = json!("operator"))))]
pub async fn ledger(
    app: Data<Booking>,
    _operator: Operator<right::Desk>,
    customer: Customer,
    query: Query<PageQuery>,
) -> Result<HttpResponse, Problem> {
    let (user_id, rows) = (customer.subject, paging::rows_of(&query)?);
    let look = move |conn: &mut _| ledger::entries(conn, user_id, rows);
    let found = app.db.read(look).await?;
    let page = paging::page_of(found, &query, |row| row.id, AdminLedgerEntry::from);
    Ok(answer::own(&page))
}

/// Lists a customer's reservations, newest first.
#[utoipa::path(get, path = "/api/v1/admin/users/{userId}/reservations", operation_id = "listReservationsBy", tag = "desk",
    params(("userId" = Uuid, Path), PageQuery),
    responses((status = 200, description = "A page of reservations.", body = Page<Reservation>)),
    extensions(("x-access" = json!("operator"))))]
pub async fn reservations(
    app: Data<Booking>,
    _operator: Operator<right::Desk>,
    customer: Customer,
    query: Query<PageQuery>,
) -> Result<HttpResponse, Problem> {
    let (user_id, rows, now) = (customer.subject, paging::rows_of(&query)?, app.clock.now());
    let look = move |conn: &mut _| reservation::list(conn, user_id, rows, now);
    let found = app.db.read(look).await?;
    let shown = |row| Reservation::at(now, row);
    Ok(answer::own(&paging::page_of(
        found,
        &query,
        |row| row.id,
        shown,
    )))
}

/// Gives a customer's payment back, or a part of it, for the desk: all of the price, at any time, whatever the rules of the
/// date say. Seats that are given back are free again. Without a body it is all that is left.
#[utoipa::path(post, path = "/api/v1/admin/payments/{paymentId}/refunds", operation_id = "refundFor", tag = "desk",
    params(("paymentId" = Uuid, Path), RequiredKeyHeader), request_body(content = Option<RefundPart>),
    responses((status = 201, description = "The money is in the customer's wallet.", body = Refund,
        headers(("Idempotent-Replayed" = String, description = "`true` on a repetition.")))),
    extensions(("x-access" = json!("operator")), ("x-codes" = json!(["PAYMENT_NOT_FOUND", "ALREADY_REFUNDED",
        "REFUND_TOO_LARGE", "AMOUNT_INVALID", "SEAT_UNKNOWN", "SEATS_INVALID"]))))]
pub async fn refund(
    app: Data<Booking>,
    operator: Operator<right::Desk>,
    key: RequiredKey,
    id: Path<Uuid>,
    body: OptionalBody<RefundPart>,
) -> Result<HttpResponse, Problem> {
    let part = body.0.unwrap_or_default();
    let wish = payment::Refund {
        refund_id: new_id(app.clock.now()),
        user_id: who_paid(&app, *id).await?,
        payment_id: *id,
        extent: part.extent()?,
    };
    let request = key.request(operator.id(), REFUNDS, &part.content(*id), refunded);
    let refunded = app.sale.refund_for(wish, operator.name, request);
    repeat::answer(refunded.await?)
}

async fn who_paid(app: &Booking, id: Uuid) -> Result<Uuid, Problem> {
    let look = move |conn: &mut _| payment::any(conn, id);
    let payment = app.db.read(look).await?;
    Ok(payment.ok_or(RefundError::PaymentNotFound)?.user_id)
}

/// Money that an operator gives or takes.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Credit {
    /// Minor units of KRW, at least 1; of a correction also below zero.
    #[serde(default)]
    #[schema(value_type = i64, minimum = -100_000_000, maximum = 100_000_000, example = 10_000, required)]
    amount: Value,
    /// Shown in the ledger to operators.
    #[schema(value_type = String, min_length = 1, max_length = 200, example = "Sound failed")]
    reason: Title,
}

/// What a movement by an operator led to.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Corrected {
    /// After it, in minor units.
    #[schema(example = 200_000)]
    balance: i64,
    #[schema(example = "KRW")]
    currency: &'static str,
    /// The entry in the ledger.
    entry_id: Uuid,
}

/// Gives a customer money out of goodwill. It is an entry of the ledger with the reason and the name of the key.
#[utoipa::path(post, path = "/api/v1/admin/users/{userId}/credits", operation_id = "credit", tag = "desk",
    params(("userId" = Uuid, Path), RequiredKeyHeader), request_body = Credit,
    responses((status = 201, description = "It is in the wallet.", body = Corrected,
        headers(("Idempotent-Replayed" = String, description = "`true` on a repetition.")))),
    extensions(("x-access" = json!("operator")), ("x-codes" = json!(["AMOUNT_INVALID"]))))]
pub async fn credit(
    app: Data<Booking>,
    operator: Operator<right::Money>,
    key: RequiredKey,
    customer: Customer,
    body: Body<Credit>,
) -> Result<HttpResponse, Problem> {
    let amount = Amount::try_from(body.amount.as_i64().ok_or(AmountInvalid)?)?;
    let wish = Wish {
        user_id: customer.subject,
        cause: CorrectionCause::Goodwill,
        amount,
    };
    wish.carry_out(&app, &operator, key, CREDITS, body.0).await
}

/// Puts right a mistake in a customer's wallet: adds money, or with an amount below zero takes it.
#[utoipa::path(post, path = "/api/v1/admin/users/{userId}/corrections", operation_id = "correct", tag = "desk",
    params(("userId" = Uuid, Path), RequiredKeyHeader), request_body = Credit,
    responses((status = 201, description = "It is booked.", body = Corrected,
        headers(("Idempotent-Replayed" = String, description = "`true` on a repetition.")))),
    extensions(("x-access" = json!("operator")), ("x-codes" = json!(["AMOUNT_INVALID", "BALANCE_SHORT"]))))]
pub async fn correct(
    app: Data<Booking>,
    operator: Operator<right::Money>,
    key: RequiredKey,
    customer: Customer,
    body: Body<Credit>,
) -> Result<HttpResponse, Problem> {
    let minor = body.amount.as_i64().ok_or(AmountInvalid)?;
    let wish = Wish {
        user_id: customer.subject,
        cause: if minor < 0 {
            CorrectionCause::CorrectedDown
        } else {
            CorrectionCause::CorrectedUp
        },
        amount: Amount::try_from(minor.checked_abs().ok_or(AmountInvalid)?)?,
    };
    wish.carry_out(&app, &operator, key, CORRECTIONS, body.0)
        .await
}

/// What an operator wants of a wallet.
struct Wish {
    user_id: Uuid,
    cause: CorrectionCause,
    amount: Amount,
}

impl Wish {
    async fn carry_out(
        self,
        app: &Booking,
        operator: &Operator<right::Money>,
        key: RequiredKey,
        route: &'static str,
        body: Credit,
    ) -> Result<HttpResponse, Problem> {
        let content = json!({ "userId": self.user_id, "body": &body });
        let request = key.request(operator.id(), route, &content, corrected);
        let correction = Correction {
            request_id: request.id(),
            user_id: self.user_id,
            cause: self.cause,
            amount: self.amount,
            reason: body.reason,
            by: operator.name.clone(),
        };
        let clock = app.clock.clone();
        let act = move |tx: &mut Tx| wallet::correct(tx, &correction, clock.now());
        let outcome = request.run::<CorrectionError>(&app.db, &app.clock, act);
        repeat::answer(outcome.await?)
    }
}

fn corrected(corrected: &wallet::Corrected) -> Answer {
    repeat::created(&Corrected {
        balance: corrected.balance,
        currency: CURRENCY,
        entry_id: corrected.entry_id,
    })
}
