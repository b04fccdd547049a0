//! What the payment provider says, and what a visitor sees of money that is on its way.

use actix_web::web::{Bytes, Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use chassis::json::MAX_BODY_BYTES;
use chassis::problem::Problem;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::answer;
use super::caller::Visitor;
use super::codes::{
    BODY_INVALID, BODY_MALFORMED, BODY_TOO_LARGE, CHARGE_NOT_FOUND, SIGNATURE_INVALID,
};
use crate::Booking;
use crate::db::Tx;
use crate::idempotency::Answer;
use crate::ledger::CURRENCY;
use crate::provider::{self, Kind, Order, OrderState, Said};
use crate::signed::{ID, SIGNATURE, TIMESTAMP};

/// What the provider says of an order.
#[derive(Deserialize, ToSchema)]
pub struct ProviderEvent {
    /// `order.captured`, `order.authorised` or `order.failed`; other types are taken and mean nothing.
    #[serde(rename = "type")]
    #[schema(example = "order.captured")]
    event_type: String,
    data: ProviderEventData,
}

impl ProviderEvent {
    /// Nothing, when it is of another type.
    fn said(&self) -> Option<Said> {
        match self.event_type.as_str() {
            "order.captured" | "order.authorised" => Some(Said::HasMoney),
            "order.failed" => Some(Said::Failed),
            _ => None,
        }
    }
}

/// Which order, and over how much.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProviderEventData {
    order_id: Uuid,
    /// In minor units; another amount than that of the order is refused.
    #[schema(example = 200_000)]
    amount: i64,
}

/// Takes what the payment provider says of an order, signed as Standard Webhooks are. It may come twice, late and in any
/// order, and has one effect.
#[utoipa::path(post, path = "/api/v1/provider/events", operation_id = "takeProviderEvent", tag = "provider",
    params(
        ("webhook-id" = String, Header, description = "The same for each try."),
        ("webhook-timestamp" = i64, Header, description = "Seconds of unix time, at most 5 minutes off."),
        ("webhook-signature" = String, Header, description = "`v1,` and HMAC-SHA256 over `id.timestamp.body` in base64; more \
            than one, apart by blanks, during a rotation.")),
    request_body = ProviderEvent,
    responses((status = 204, description = "Taken, or known already.")),
    extensions(("x-access" = json!("public")), ("x-codes" = json!(["SIGNATURE_INVALID", "CHARGE_NOT_FOUND"]))))]
pub async fn events(
    app: Data<Booking>,
    request: HttpRequest,
    body: Bytes,
) -> Result<HttpResponse, Problem> {
    let event = signed_event(&app, &request, &body)?;
    let Some(said) = event.said() else {
        return Ok(answer::gone());
    };
    let (ProviderEventData { order_id, amount }, clock) = (event.data, app.clock.clone());
    let confirm = move |tx: &mut Tx| provider::confirm(tx, order_id, amount, said, &clock);
    let confirmed = app.db.transaction(confirm).await?;
    app.venue.count(&confirmed);
    app.sale.provider_confirmed(&confirmed).await;
    app.instructions.notify();
    Ok(answer::gone())
}

/// The event, if the provider has signed it just now.
fn signed_event(
    app: &Booking,
    request: &HttpRequest,
    body: &[u8],
) -> Result<ProviderEvent, Problem> {
    if body.len() > MAX_BODY_BYTES {
        return Err(BODY_TOO_LARGE.because("An event has at most 64 KiB."));
    }
    let unsigned = || SIGNATURE_INVALID.because("The event is not signed by the payment provider.");
    let header = |name| request.headers().get(name).and_then(|it| it.to_str().ok());
    let text = std::str::from_utf8(body).map_err(|_| unsigned())?;
    let (Some(id), Some(at), Some(signatures), Some(provider)) = (
        header(ID),
        header(TIMESTAMP),
        header(SIGNATURE),
        &app.provider,
    ) else {
        return Err(unsigned());
    };
    if !provider.signed(id, at, text, signatures, app.clock.now()) {
        return Err(unsigned());
    }
    serde_json::from_str(text).map_err(|cause| {
        if cause.is_data() {
            BODY_INVALID.because("The event lacks its type, order or amount.")
        } else {
            BODY_MALFORMED.because("The event is not JSON.")
        }
    })
}

/// Money that is on its way into a wallet.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PendingCharge {
    charge_id: Uuid,
    /// `pending`, `succeeded` or `failed`.
    #[schema(example = "pending")]
    state: &'static str,
    /// In minor units.
    #[schema(example = 200_000)]
    amount: i64,
    #[schema(example = "KRW")]
    currency: &'static str,
}

impl From<&Order> for PendingCharge {
    fn from(order: &Order) -> Self {
        Self {
            charge_id: order.id,
            state: order.state.as_str(),
            amount: order.amount,
            currency: CURRENCY,
        }
    }
}

/// 202, as it is stored: the provider confirms later.
pub(super) fn pending_charge(order: &Order) -> Answer {
    accepted(&PendingCharge::from(order))
}

/// Seats that are paid once the provider has the money.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PendingPayment {
    /// The payment that it becomes has the same id.
    id: Uuid,
    reservation_id: Option<Uuid>,
    user_id: Uuid,
    /// In minor units.
    #[schema(example = 300_000)]
    amount: i64,
    #[schema(example = "KRW")]
    currency: &'static str,
    /// `pending`, `failed`, or `voided` (the hold was over, so the money goes back).
    #[schema(example = "pending")]
    state: &'static str,
}

impl From<&Order> for PendingPayment {
    fn from(order: &Order) -> Self {
        Self {
            id: order.id,
            reservation_id: order.reservation_id.map(Uuid::from),
            user_id: order.user_id,
            amount: order.amount,
            currency: CURRENCY,
            state: order.state.as_str(),
        }
    }
}

/// The same for seats.
pub(super) fn pending_payment(order: &Order) -> Answer {
    accepted(&PendingPayment::from(order))
}

fn accepted(body: &impl Serialize) -> Answer {
    Answer {
        status: 202,
        ..super::repeat::created(body)
    }
}

/// Shows money that the visitor has ordered for the own wallet.
#[utoipa::path(get, path = "/api/v1/users/{userId}/balance/charges/{chargeId}", operation_id = "showCharge",
    tag = "wallets",
    params(("userId" = Uuid, Path, description = "The one who asks."), ("chargeId" = Uuid, Path)),
    responses((status = 200, description = "What has become of it.", body = PendingCharge)),
    extensions(("x-access" = json!("token")), ("x-codes" = json!(["WALLET_NOT_FOUND", "CHARGE_NOT_FOUND"]))))]
pub async fn show_charge(
    app: Data<Booking>,
    visitor: Visitor,
    path: Path<(Uuid, Uuid)>,
) -> Result<HttpResponse, Problem> {
    let (user_id, charge_id) = path.into_inner();
    let user_id = visitor.must_be(user_id)?;
    let look = move |conn: &mut _| provider::find(conn, user_id, charge_id);
    let found = app.db.read(look).await?;
    let order = found.filter(|order| order.kind == Kind::Charge);
    let order = order
        .ok_or_else(|| CHARGE_NOT_FOUND.because("There is no such charge, or it is not yours."))?;
    Ok(answer::own(&PendingCharge::from(&order)))
}

/// A payment that is not made yet, or never was: what a visitor sees where there is no payment of this id.
pub(super) async fn unpaid(
    app: &Booking,
    user_id: Uuid,
    id: Uuid,
) -> Result<Option<PendingPayment>, Problem> {
    let look = move |conn: &mut _| provider::find(conn, user_id, id);
    let found = app.db.read(look).await?;
    let is_open =
        |order: &Order| order.kind == Kind::Payment && order.state != OrderState::Succeeded;
    Ok(found
        .filter(is_open)
        .map(|order| PendingPayment::from(&order)))
}
