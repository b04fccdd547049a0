//! The visitor's own money: charge it, look at it, see where it went.

use actix_web::HttpResponse;
use actix_web::web::{Data, Path, Query};
use chassis::json::Body;
use chassis::page::{Page, PageQuery};
use chassis::problem::Problem;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::caller::Visitor;
use super::provider::{PendingCharge, pending_charge};
use super::repeat::{self, RequiredKey, RequiredKeyHeader};
use super::{answer, paging};
use crate::Booking;
use crate::db::Tx;
use crate::idempotency::Answer;
use crate::ledger::{self, CURRENCY};
use crate::provider;
use crate::wallet::{self, Amount, AmountInvalid};

const CHARGES: &str = "POST /api/v1/users/{userId}/balance/charges";

/// Money to put into the wallet.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Charge {
    /// Minor units of KRW, which has none: 1 is 1 won.
    // Read as any JSON, so that every odd amount is refused in the same words.
    #[serde(default)]
    #[schema(value_type = i64, minimum = 1, maximum = 100_000_000, example = 200_000, required)]
    amount: Value,
}

impl Charge {
    fn amount(&self) -> Result<Amount, AmountInvalid> {
        Amount::try_from(self.amount.as_i64().ok_or(AmountInvalid)?)
    }
}

/// What a charge led to.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Charged {
    /// After the charge, in minor units.
    #[schema(example = 200_000)]
    balance: i64,
    #[schema(example = "KRW")]
    currency: &'static str,
    /// The entry in the ledger.
    entry_id: Uuid,
}

impl From<wallet::Charged> for Charged {
    fn from(charged: wallet::Charged) -> Self {
        Self {
            balance: charged.balance,
            currency: CURRENCY,
            entry_id: charged.entry_id,
        }
    }
}

/// Puts money into the visitor's own wallet.
#[utoipa::path(post, path = "/api/v1/users/{userId}/balance/charges", operation_id = "charge", tag = "wallets",
    params(("userId" = Uuid, Path, description = "The one who asks."), RequiredKeyHeader),
    request_body = Charge,
    responses((status = 201, description = "The wallet is charged.", body = Charged,
        headers(("Idempotent-Replayed" = String, description = "`true` on a repetition."))),
        (status = 202, description = "A payment provider confirms it later.", body = PendingCharge)),
    extensions(("x-access" = json!("token")),
        ("x-codes" = json!(["WALLET_NOT_FOUND", "AMOUNT_INVALID", "BALANCE_LIMIT"]))))]
pub async fn charge(
    app: Data<Booking>,
    visitor: Visitor,
    key: RequiredKey,
    user_id: Path<Uuid>,
    body: Body<Charge>,
) -> Result<HttpResponse, Problem> {
    let (user_id, amount) = (visitor.must_be(*user_id)?, body.amount()?);
    if app.provider.is_some() {
        return order(&app, key, user_id, amount, &body).await;
    }
    let request = key.request(user_id, CHARGES, &*body, charged);
    let wanted = wallet::Charge {
        request_id: request.id(),
        user_id,
        amount,
    };
    repeat::answer(app.sale.charge(wanted, request).await?)
}

/// The provider confirms it later.
async fn order(
    app: &Booking,
    key: RequiredKey,
    user_id: Uuid,
    amount: Amount,
    body: &Charge,
) -> Result<HttpResponse, Problem> {
    let request = key.request(user_id, CHARGES, body, pending_charge);
    let wanted = wallet::Charge {
        request_id: request.id(),
        user_id,
        amount,
    };
    let clock = app.clock.clone();
    let order = move |tx: &mut Tx| provider::order_charge(tx, &wanted, &clock);
    let outcome = request.run(&app.db, &app.clock, order).await?;
    app.instructions.notify();
    repeat::answer(outcome)
}

fn charged(charged: &wallet::Charged) -> Answer {
    repeat::created(&Charged::from(*charged))
}

/// What a wallet holds.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Balance {
    user_id: Uuid,
    /// In minor units.
    #[schema(example = 200_000)]
    balance: i64,
    #[schema(example = "KRW")]
    currency: &'static str,
}

/// Shows the visitor's own balance.
#[utoipa::path(get, path = "/api/v1/users/{userId}/balance", operation_id = "showBalance", tag = "wallets",
    params(("userId" = Uuid, Path, description = "The one who asks.")),
    responses((status = 200, description = "The balance; 0 for someone who never charged.", body = Balance)),
    extensions(("x-access" = json!("token")), ("x-codes" = json!(["WALLET_NOT_FOUND"]))))]
pub async fn balance(
    app: Data<Booking>,
    visitor: Visitor,
    user_id: Path<Uuid>,
) -> Result<HttpResponse, Problem> {
    let user_id = visitor.must_be(*user_id)?;
    let balance = app
        .db
        .read(move |conn| wallet::balance(conn, user_id))
        .await?;
    Ok(answer::own(&Balance::of(user_id, balance)))
}

impl Balance {
    pub(super) fn of(user_id: Uuid, balance: i64) -> Self {
        Self {
            user_id,
            balance,
            currency: CURRENCY,
        }
    }
}

/// One movement of the visitor's money.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LedgerEntry {
    id: Uuid,
    /// `charged`, `captured` (seats were paid), `refunded`, `goodwill` (a gift of the house), or `corrected_up` or
    /// `corrected_down` (a mistake was put right).
    #[schema(example = "captured")]
    cause: &'static str,
    /// What it did to the balance, in minor units: below zero when money went out.
    #[schema(example = -150_000)]
    amount: i64,
    #[schema(example = "KRW")]
    currency: &'static str,
    /// The request that charged, or the payment.
    reference_id: Uuid,
    #[serde(with = "chassis::time::wire")]
    created_at: DateTime<Utc>,
}

impl From<ledger::Entry> for LedgerEntry {
    fn from(entry: ledger::Entry) -> Self {
        Self {
            id: entry.id,
            cause: entry.cause.as_str(),
            amount: entry.signed_amount(),
            currency: CURRENCY,
            reference_id: entry.reference_id,
            created_at: entry.created_at,
        }
    }
}

/// Lists the visitor's own ledger entries, newest first.
#[utoipa::path(get, path = "/api/v1/users/{userId}/ledger", operation_id = "listLedger", tag = "wallets",
    params(("userId" = Uuid, Path, description = "The one who asks."), PageQuery),
    responses((status = 200, description = "A page of entries; all amounts together are the balance.",
        body = Page<LedgerEntry>)),
    extensions(("x-access" = json!("token")), ("x-codes" = json!(["WALLET_NOT_FOUND"]))))]
pub async fn ledger(
    app: Data<Booking>,
    visitor: Visitor,
    user_id: Path<Uuid>,
    query: Query<PageQuery>,
) -> Result<HttpResponse, Problem> {
    let user_id = visitor.must_be(*user_id)?;
    let rows = paging::rows_of(&query)?;
    let found = app
        .db
        .read(move |conn| ledger::entries(conn, user_id, rows))
        .await?;
    Ok(answer::own(&paging::page_of(
        found,
        &query,
        |row| row.id,
        LedgerEntry::from,
    )))
}
