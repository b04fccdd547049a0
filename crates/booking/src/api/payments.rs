//! Money against seats, and the way back.

use actix_web::HttpResponse;
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::web::{Data, Path};
use chassis::json::{self, Body, OptionalBody};
use chassis::problem::Problem;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use super::answer;
use super::caller::Visitor;
use super::codes::PROVIDER_UNKNOWN;
use super::document::SeatNumber;
use super::provider::{PendingPayment, pending_payment, unpaid};
use super::repeat::{self, RequiredKey, RequiredKeyHeader};
use crate::Booking;
use crate::db::{Tx, new_id};
use crate::idempotency::Answer;
use crate::ledger::CURRENCY;
use crate::payment::{self, Extent, Paid, RefundError, Refunded};
use crate::provider;
use crate::seat::SeatNumbers;
use crate::wallet::{Amount, AmountInvalid};

const PAYMENTS: &str = "/api/v1/payments";
const PAY: &str = "POST /api/v1/payments";
const REFUND: &str = "POST /api/v1/payments/{paymentId}/refunds";
/// Tells the gateway that the visit is over.
const ADMISSION: HeaderName = HeaderName::from_static("x-admission");
const RELEASE: HeaderValue = HeaderValue::from_static("release");

/// What is to be paid.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Pay {
    reservation_id: Uuid,
    /// Where the money comes from: the visitor's wallet when not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(inline)]
    with: Option<Source>,
}

/// Where money comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The visitor's wallet.
    Wallet,
    /// The payment provider, where there is one: it holds the money until the seats are sold.
    Provider,
}

/// Money that the visitor paid for a reservation.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Payment {
    id: Uuid,
    reservation_id: Uuid,
    user_id: Uuid,
    /// In minor units.
    #[schema(example = 300_000)]
    amount: i64,
    #[schema(example = "KRW")]
    currency: &'static str,
    /// What was given back of it so far, in minor units.
    #[schema(example = 0)]
    refunded_amount: i64,
    /// `captured`, `partially_refunded` or `refunded`.
    #[schema(example = "captured")]
    state: &'static str,
    #[serde(with = "chassis::time::wire")]
    created_at: DateTime<Utc>,
}

impl From<payment::Payment> for Payment {
    fn from(payment: payment::Payment) -> Self {
        Self {
            id: payment.id,
            reservation_id: payment.reservation_id,
            user_id: payment.user_id,
            amount: payment.amount,
            refunded_amount: payment.refunded_amount,
            currency: CURRENCY,
            state: payment.state.as_str(),
            created_at: payment.created_at,
        }
    }
}

/// Pays a reservation from the visitor's wallet: the seats are sold and the visit is over.
#[utoipa::path(post, path = "/api/v1/payments", operation_id = "pay", tag = "payments",
    params(RequiredKeyHeader), request_body = Pay,
    responses((status = 201, description = "Paid. The place in the queue is given to the next one.", body = Payment,
        headers(("Location" = String, description = "The payment."),
            ("Idempotent-Replayed" = String, description = "`true` on a repetition."))),
        (status = 202, description = "The payment provider was asked; the seats are sold when it has the money.",
            body = PendingPayment)),
    extensions(("x-access" = json!("token")), ("x-codes" = json!(["RESERVATION_NOT_FOUND", "RESERVATION_CANCELLED",
        "HOLD_EXPIRED", "ALREADY_PAID", "BALANCE_SHORT", "PAYMENT_IN_PROGRESS", "PROVIDER_UNKNOWN", "AMOUNT_INVALID"]))))]
pub async fn pay(
    app: Data<Booking>,
    visitor: Visitor,
    key: RequiredKey,
    body: Body<Pay>,
) -> Result<HttpResponse, Problem> {
    if body.with == Some(Source::Provider) {
        return order(&app, visitor.user_id, key, &body).await;
    }
    let wish = payment::Pay {
        payment_id: new_id(app.clock.now()),
        user_id: visitor.user_id,
        reservation_id: body.reservation_id,
    };
    let request = key.request(wish.user_id, PAY, &*body, paid);
    let outcome = app.sale.pay(wish, request).await?;
    let ends_visit = outcome.fresh().is_some_and(|paid| ends(&visitor, paid));
    Ok(released_if(ends_visit, repeat::answer(outcome)?))
}

/// The seats are paid when the provider has the money. The visit goes on until then.
async fn order(
    app: &Booking,
    user_id: Uuid,
    key: RequiredKey,
    body: &Pay,
) -> Result<HttpResponse, Problem> {
    if app.provider.is_none() {
        return Err(PROVIDER_UNKNOWN.because("There is no payment provider; pay from the wallet."));
    }
    let request = key.request(user_id, PAY, body, pending_payment);
    let wish = payment::Pay {
        payment_id: request.id(),
        user_id,
        reservation_id: body.reservation_id,
    };
    let clock = app.clock.clone();
    let order = move |tx: &mut Tx| provider::order_payment(tx, &wish, &clock);
    let outcome = request.run(&app.db, &app.clock, order).await?;
    app.instructions.notify();
    repeat::answer(outcome)
}

fn paid(paid: &Paid) -> Answer {
    let location = format!("{PAYMENTS}/{}", paid.payment.id);
    repeat::created_at(location, &Payment::from(paid.payment.clone()))
}

/// Only the visit that has just bought is over: not the next one, which may repeat the request, nor one to another queue. What
/// that is judged by was read with the payment, so nothing can fail any more.
fn ends(visitor: &Visitor, paid: &Paid) -> bool {
    visitor.is_inside(&paid.queue)
}

/// Tells the gateway whether the visit is over.
fn released_if(ends_visit: bool, mut answer: HttpResponse) -> HttpResponse {
    if ends_visit {
        answer.headers_mut().insert(ADMISSION, RELEASE);
    }
    answer
}

/// Shows one of the visitor's own payments, also one that is on its way or was not made.
#[utoipa::path(get, path = "/api/v1/payments/{paymentId}", operation_id = "showPayment", tag = "payments",
    params(("paymentId" = Uuid, Path)),
    responses((status = 200, description = "The payment.", body = Payment)),
    extensions(("x-access" = json!("token")), ("x-codes" = json!(["PAYMENT_NOT_FOUND"]))))]
pub async fn show(
    app: Data<Booking>,
    visitor: Visitor,
    id: Path<Uuid>,
) -> Result<HttpResponse, Problem> {
    let id = *id;
    let found = app
        .db
        .read(move |conn| payment::find(conn, visitor.user_id, id))
        .await?;
    if let Some(found) = found {
        return Ok(answer::own(&Payment::from(found)));
    }
    let unpaid = unpaid(&app, visitor.user_id, id).await?;
    let unpaid = unpaid.ok_or(RefundError::PaymentNotFound)?;
    Ok(answer::own(&unpaid))
}

/// Money that was given back.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Refund {
    id: Uuid,
    payment_id: Uuid,
    reservation_id: Uuid,
    user_id: Uuid,
    /// What this refund gave back, in minor units.
    #[schema(example = 300_000)]
    amount: i64,
    /// What was given back of the payment so far, this refund with it.
    #[schema(example = 300_000)]
    refunded_amount: i64,
    /// The seats that are free again.
    #[schema(example = json!([7, 8]))]
    seat_numbers: Vec<u16>,
    #[schema(example = "KRW")]
    currency: &'static str,
    /// What the payment is now: `partially_refunded` or `refunded`.
    #[schema(example = "refunded")]
    state: &'static str,
    #[serde(with = "chassis::time::wire")]
    created_at: DateTime<Utc>,
}

impl From<&Refunded> for Refund {
    fn from(refunded: &Refunded) -> Self {
        Self {
            id: refunded.id,
            payment_id: refunded.payment.id,
            reservation_id: refunded.payment.reservation_id,
            user_id: refunded.payment.user_id,
            amount: refunded.amount,
            refunded_amount: refunded.payment.refunded_amount,
            seat_numbers: refunded.seat_numbers.clone(),
            currency: CURRENCY,
            state: refunded.payment.state.as_str(),
            created_at: refunded.created_at,
        }
    }
}

/// How much of a payment to give back: without either field all that is left, with all its seats.
#[derive(Deserialize, Default, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RefundPart {
    /// These seats, and what they cost.
    #[schema(value_type = Option<Vec<SeatNumber>>, min_items = 1, example = json!([8]))]
    seat_numbers: Option<Vec<i64>>,
    /// So much money, in minor units; the seats stay, unless it is all that is left.
    #[schema(value_type = Option<i64>, minimum = 1)]
    amount: Option<Value>,
}

impl RefundPart {
    pub(super) fn extent(&self) -> Result<Extent, Problem> {
        match (&self.seat_numbers, &self.amount) {
            (None, None) => Ok(Extent::Rest),
            (Some(numbers), None) => {
                let most = u16::try_from(numbers.len()).unwrap_or(u16::MAX);
                Ok(Extent::Seats(SeatNumbers::parse(numbers, most)?))
            }
            (None, Some(amount)) => {
                let amount = amount.as_i64().ok_or(AmountInvalid)?;
                Ok(Extent::Amount(Amount::try_from(amount)?.minor()))
            }
            (Some(_), Some(_)) => Err(json::unacceptable(
                "Either `seatNumbers` or `amount`, not both.",
            )),
        }
    }

    /// What makes one request different from another with the same key. All of it is as it was before there were parts.
    pub(super) fn content(&self, payment_id: Uuid) -> Value {
        let mut content = json!({ "paymentId": payment_id });
        if let Some(numbers) = &self.seat_numbers {
            content["seatNumbers"] = json!(numbers);
        }
        if let Some(amount) = &self.amount {
            content["amount"] = amount.clone();
        }
        content
    }
}

/// Gives a payment back, or a part of it, by the rules of the date and until the show starts: the wallet is credited, and
/// seats that are given back are free again. Without a body it is all that is left.
#[utoipa::path(post, path = "/api/v1/payments/{paymentId}/refunds", operation_id = "refund", tag = "payments",
    params(("paymentId" = Uuid, Path), RequiredKeyHeader), request_body(content = Option<RefundPart>),
    responses((status = 201, description = "The money is in the wallet.", body = Refund,
        headers(("Idempotent-Replayed" = String, description = "`true` on a repetition.")))),
    extensions(("x-access" = json!("token")),
        ("x-codes" = json!(["PAYMENT_NOT_FOUND", "ALREADY_REFUNDED", "SHOW_STARTED", "REFUND_TOO_LATE",
            "REFUND_TOO_LARGE", "AMOUNT_INVALID", "SEAT_UNKNOWN", "SEATS_INVALID"]))))]
pub async fn refund(
    app: Data<Booking>,
    visitor: Visitor,
    key: RequiredKey,
    id: Path<Uuid>,
    body: OptionalBody<RefundPart>,
) -> Result<HttpResponse, Problem> {
    let part = body.0.unwrap_or_default();
    let content = part.content(*id);
    let request = key.request(visitor.user_id, REFUND, &content, refunded);
    let wish = payment::Refund {
        refund_id: new_id(app.clock.now()),
        user_id: visitor.user_id,
        payment_id: *id,
        extent: part.extent()?,
    };
    repeat::answer(app.sale.refund(wish, request).await?)
}

pub(super) fn refunded(refunded: &Refunded) -> Answer {
    repeat::created(&Refund::from(refunded))
}
