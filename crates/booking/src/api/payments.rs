//! Money against seats, and the way back.

use std::sync::{Arc, OnceLock};

use actix_web::HttpResponse;
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::web::{Data, Path};
use chassis::json::Body;
use chassis::problem::Problem;
use chassis::time::Timestamp;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

use super::answer;
use super::caller::Admitted;
use super::repeat::{self, RequiredKey, RequiredKeyHeader};
use crate::Booking;
use crate::db::{Failure, Tx, new_id};
use crate::idempotency::{Claim, OnceError, Outcome};
use crate::ledger::CURRENCY;
use crate::metrics::Metrics;
use crate::payment::{self, RefundError};
use crate::reservation::Reservation;

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
}

impl Pay {
    fn wish(&self, user_id: Uuid, now: Timestamp) -> payment::Pay {
        payment::Pay {
            payment_id: new_id(now),
            user_id,
            reservation_id: self.reservation_id,
        }
    }
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
    /// `captured` or `refunded`.
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
            ("Idempotent-Replayed" = String, description = "`true` on a repetition.")))),
    extensions(("x-access" = json!("active")), ("x-codes" = json!(["RESERVATION_NOT_FOUND", "RESERVATION_CANCELLED",
        "HOLD_EXPIRED", "ALREADY_PAID", "BALANCE_SHORT"]))))]
pub async fn pay(
    app: Data<Booking>,
    admitted: Admitted,
    key: RequiredKey,
    body: Body<Pay>,
) -> Result<HttpResponse, Problem> {
    let (now, user_id) = (app.clock.now(), admitted.user_id);
    let claim = key.claim(user_id, PAY, &*body);
    let wish = body.wish(user_id, now);
    let pay = move |tx: &mut Tx| {
        payment::pay(tx, &wish, now).map(|paid| (Payment::from(paid.payment), paid.reservation))
    };
    let (outcome, settled) = settle(&app, claim, now, pay).await?;
    let Metrics {
        payments,
        captured,
        sold,
        ..
    } = &app.metrics;
    let Settled { won, seats } = settled;
    repeat::count(&outcome, &[(payments, 1), (captured, won), (sold, seats)]);
    let mut answer = repeat::answer_at(PAYMENTS, outcome)?;
    answer.headers_mut().insert(ADMISSION, RELEASE);
    Ok(answer)
}

/// Shows one of the visitor's own payments.
#[utoipa::path(get, path = "/api/v1/payments/{paymentId}", operation_id = "showPayment", tag = "payments",
    params(("paymentId" = Uuid, Path)),
    responses((status = 200, description = "The payment.", body = Payment)),
    extensions(("x-access" = json!("active")), ("x-codes" = json!(["PAYMENT_NOT_FOUND"]))))]
pub async fn show(
    app: Data<Booking>,
    admitted: Admitted,
    id: Path<Uuid>,
) -> Result<HttpResponse, Problem> {
    let found = app
        .db
        .read(move |conn| payment::find(conn, admitted.user_id, *id))
        .await?;
    Ok(answer::own(&Payment::from(
        found.ok_or(RefundError::PaymentNotFound)?,
    )))
}

/// Money that was given back.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Refund {
    id: Uuid,
    payment_id: Uuid,
    reservation_id: Uuid,
    user_id: Uuid,
    /// In minor units: all that was paid.
    #[schema(example = 300_000)]
    amount: i64,
    #[schema(example = "KRW")]
    currency: &'static str,
    /// What the payment is now: `refunded`.
    #[schema(example = "refunded")]
    state: &'static str,
    #[serde(with = "chassis::time::wire")]
    created_at: DateTime<Utc>,
}

impl From<&payment::Refunded> for Refund {
    fn from(refunded: &payment::Refunded) -> Self {
        Self {
            id: refunded.id,
            payment_id: refunded.payment.id,
            reservation_id: refunded.payment.reservation_id,
            user_id: refunded.payment.user_id,
            amount: refunded.payment.amount,
            currency: CURRENCY,
            state: refunded.payment.state.as_str(),
            created_at: refunded.created_at,
        }
    }
}

/// Gives a payment back in full until the show starts: the wallet is credited and the seats are free again.
#[utoipa::path(post, path = "/api/v1/payments/{paymentId}/refunds", operation_id = "refund", tag = "payments",
    params(("paymentId" = Uuid, Path), RequiredKeyHeader),
    responses((status = 201, description = "The money is in the wallet.", body = Refund,
        headers(("Idempotent-Replayed" = String, description = "`true` on a repetition.")))),
    extensions(("x-access" = json!("active")),
        ("x-codes" = json!(["PAYMENT_NOT_FOUND", "ALREADY_REFUNDED", "SHOW_STARTED", "BALANCE_LIMIT"]))))]
pub async fn refund(
    app: Data<Booking>,
    admitted: Admitted,
    key: RequiredKey,
    id: Path<Uuid>,
) -> Result<HttpResponse, Problem> {
    let (now, user_id, payment_id) = (app.clock.now(), admitted.user_id, *id);
    let claim = key.claim(user_id, REFUND, &json!({ "paymentId": payment_id }));
    let wish = payment::Refund {
        refund_id: new_id(now),
        user_id,
        payment_id,
    };
    let refund = move |tx: &mut Tx| {
        payment::refund(tx, &wish, now).map(|done| (Refund::from(&done), done.reservation))
    };
    let (outcome, settled) = settle(&app, claim, now, refund).await?;
    let (refunds, refunded) = (&app.metrics.refunds, &app.metrics.refunded);
    repeat::count(&outcome, &[(refunds, 1), (refunded, settled.won)]);
    repeat::answer(outcome)
}

/// What changed hands.
#[derive(Default)]
struct Settled {
    won: u64,
    seats: u64,
}

/// Lets `act` have its effect once; afterwards the seats of the reservation that it names have changed hands.
async fn settle<Body, E>(
    app: &Booking,
    claim: Claim,
    now: Timestamp,
    act: impl Fn(&mut Tx) -> Result<(Body, Reservation), E> + Send + Sync + 'static,
) -> Result<(Outcome<E>, Settled), OnceError>
where
    Body: Serialize,
    E: Failure + Send + 'static,
{
    let changed = Arc::new(OnceLock::new());
    let seen = Arc::clone(&changed);
    let act = move |tx: &mut Tx| {
        let (answer, reservation) = act(tx)?;
        seen.get_or_init(|| reservation);
        Ok(answer)
    };
    let outcome = repeat::once(app, claim, now, act).await?;
    let Some(reservation) = changed.get() else {
        return Ok((outcome, Settled::default()));
    };
    app.seats_changed(reservation).await;
    let settled = Settled {
        won: reservation.amount.unsigned_abs(),
        seats: reservation.seats.len() as u64,
    };
    Ok((outcome, settled))
}
